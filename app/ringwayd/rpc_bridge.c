/* SPDX-License-Identifier: BSD-3-Clause */
/* bridge.*: which bridges there are, and their coming and going. */
#include <string.h>

#include "apply.h"
#include "rpc.h"
#include "rw_log.h"

/* {"name", "ports": [names]} */
static json_t *bridge_json(const struct daemon *d, const char *name)
{
	json_t *ports = json_array();

	for (unsigned i = 0; i < d->nports; i++) {
		if (!strcmp(options_bridge_of(&d->opt.ports[i]), name))
			json_array_append_new(ports, json_string(d->opt.ports[i].name));
	}
	return json_pack("{s:s, s:o}", "name", name, "ports", ports);
}

json_t *rpc_bridge_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	size_t i = (*cursor)++;

	(void)params, (void)fail;
	if (!i)
		return bridge_json(d, OPTIONS_BRIDGE_DEFAULT);
	return i <= d->opt.nbridges ? bridge_json(d, d->opt.bridges[i - 1]) : NULL;
}

static const char *param_name(const json_t *params, struct ctl_failure *fail)
{
	const char *name = json_string_value(json_object_get(params, "name"));

	if (!name)
		ctl_fail(fail, CTL_ERR_PARAMS, "\"name\" must be the name of a bridge");
	return name;
}

json_t *rpc_bridge_add(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *name = param_name(params, fail);
	struct daemon *d = ctx;
	char err[512];

	if (!name)
		return NULL;
	if (apply_runs(d))
		return ctl_later(fail);
	if (options_bridge_add(&d->opt, name, err, sizeof(err)))
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", err);
	rw_info("bridge %s: added", name);
	return bridge_json(d, name);
}

json_t *rpc_bridge_del(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *name = param_name(params, fail);
	struct daemon *d = ctx;
	char err[512];

	if (!name)
		return NULL;
	if (apply_runs(d))
		return ctl_later(fail);
	if (options_bridge_del(&d->opt, name, err, sizeof(err)))
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", err);
	rw_info("bridge %s: deleted", name);
	return json_object();
}
