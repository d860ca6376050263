/* SPDX-License-Identifier: BSD-3-Clause */
/* config.*: all that is configured, as one document. */
#include <stdio.h>

#include "apply.h"
#include "rpc.h"

json_t *rpc_config_get(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params, (void)fail;
	return options_document(&d->opt);
}

json_t *rpc_config_apply(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct wanted_source source = {.root = json_object_get(params, "config")};
	const json_t *dry_run = json_object_get(params, "dry_run");
	struct wanted_fault fault;
	struct applied done;

	if (!source.root)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"config\" must be a configuration");
	if (dry_run && !json_is_boolean(dry_run))
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"dry_run\" must be true or false");
	if (apply_document(ctx, &source, json_is_true(dry_run), &done, &fault)) {
		ctl_fail(fail, CTL_ERR_FAILED, "%s", fault.text);
		snprintf(fail->at, sizeof(fail->at), "config%s%.*s", fault.at[0] ? "/" : "",
			(int)sizeof(fail->at) - 8, fault.at);
		return NULL;
	}
	return json_pack("{s:o, s:o, s:i, s:b}", "changes", done.changes, "notes", done.notes,
		"unchanged", (int)done.unchanged, "applied", !json_is_true(dry_run));
}
