/* SPDX-License-Identifier: BSD-3-Clause */
/* forward.*: what is done with frames, and whether. Each answers with what is so from now on. */
#include "apply.h"
#include "rpc.h"

json_t *rpc_forward_show(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params, (void)fail;
	for (uint16_t id = 0; id < SW_MAX_PORTS; id++) {
		const struct port *port = sw_port(d->sw, id);
		const struct port *partner = port ? sw_forward_partner(d->sw, port) : NULL;

		if (port)
			json_array_append_new(list,
				json_pack("{s:s, s:s?}", "name", port->name, "partner",
					partner ? partner->name : NULL));
	}
	return json_pack("{s:s, s:b, s:o}", "mode", sw_forward_name(sw_forward_mode(d->sw)),
		"running", sw_forward_runs(d->sw), "ports", list);
}

json_t *rpc_forward_set(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	const char *name = json_string_value(json_object_get(params, "mode"));
	int mode = name ? sw_forward_by_name(name) : -EINVAL;

	if (mode < 0)
		return ctl_fail(fail, CTL_ERR_PARAMS,
			"forwarding cannot be set to %s%s%s: choose " SW_FORWARD_NAMES,
			name ? "\"" : "", name ? name : "what is no string", name ? "\"" : "");
	if (apply_runs(d))
		return ctl_later(fail);
	d->opt.forward = (enum sw_forward)mode;
	sw_forward_set(d->sw, d->opt.forward, sw_forward_runs(d->sw));
	return rpc_forward_show(ctx, NULL, fail);
}

json_t *rpc_forward_start(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params;
	sw_forward_set(d->sw, sw_forward_mode(d->sw), true);
	return rpc_forward_show(ctx, NULL, fail);
}

json_t *rpc_forward_stop(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params;
	sw_forward_set(d->sw, sw_forward_mode(d->sw), false);
	return rpc_forward_show(ctx, NULL, fail);
}
