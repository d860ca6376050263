/* SPDX-License-Identifier: BSD-3-Clause */
/* config.*: all that is configured, as one document. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apply.h"
#include "rpc.h"

json_t *rpc_config_get(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params, (void)fail;
	return options_document(&d->opt);
}

/* The answer once the switch is, or would be, what the document says. */
static json_t *applied_json(struct applied *done, bool dry_run)
{
	return json_pack("{s:o, s:o, s:i, s:b}", "changes", done->changes, "notes", done->notes,
		"unchanged", (int)done->unchanged, "applied", !dry_run);
}

static json_t *not_applied(const struct wanted_fault *fault, struct ctl_failure *fail)
{
	ctl_fail(fail, CTL_ERR_FAILED, "%s", fault->text);
	snprintf(fail->at, sizeof(fail->at), "config%s%.*s", fault->at[0] ? "/" : "",
		(int)sizeof(fail->at) - 8, fault->at);
	return NULL;
}

/* It is asked again and again until the document is applied; `params` tell whose it is. */
json_t *rpc_config_apply(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	json_t *config = json_object_get(params, "config");
	bool dry_run = json_is_true(json_object_get(params, "dry_run"));
	struct daemon *d = ctx;
	struct wanted_fault fault;
	struct applied done;
	int ret = apply_take(d, params, &done, &fault);

	if (ret == -ENOENT && apply_runs(d))
		return ctl_later(fail);
	if (ret == -ENOENT) {
		if (apply_begin(d, config, dry_run, params))
			return ctl_fail(fail, CTL_ERR_FAILED, "%s", strerror(ENOMEM));
		ret = apply_take(d, params, &done, &fault);
	}
	if (ret == -EINPROGRESS)
		return ctl_later(fail);
	return ret ? not_applied(&fault, fail) : applied_json(&done, dry_run);
}

void rpc_config_gone(void *ctx, const json_t *params)
{
	apply_disown(ctx, params);
}
