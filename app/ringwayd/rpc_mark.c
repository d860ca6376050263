/* SPDX-License-Identifier: BSD-3-Clause */
/* mark.*: moments from which counters can be read. */
#include <errno.h>

#include "daemon.h"
#include "rpc.h"

static json_t *mark_json(const struct daemon *d, const struct mark *m)
{
	return json_pack("{s:s, s:I}", "name", mark_name(m), "age_s",
		(json_int_t)(sw_now_s(d->sw) - mark_set_s(m)));
}

static const char *param_name(const json_t *params)
{
	return json_string_value(json_object_get(params, "name"));
}

json_t *rpc_mark_add(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	int ret = marks_set(&d->marks, d->sw, param_name(params));

	switch (ret) {
	case 0:
		return mark_json(d, marks_find(&d->marks, param_name(params)));
	case -EINVAL:
		return ctl_fail(fail, CTL_ERR_PARAMS,
			"\"name\" must be 1 to %u printable characters without a blank",
			MARKS_NAME_MAX);
	case -ENOSPC:
		return ctl_fail(fail, CTL_ERR_FAILED,
			"there are %u marks: delete one first (mark del)", MARKS_MAX);
	case -EDQUOT:
		return ctl_fail(fail, CTL_ERR_FAILED,
			"all marks together may take %u MiB: delete one first (mark del)",
			MARKS_MAX_BYTES >> 20);
	default:
		return ctl_fail(fail, CTL_ERR_FAILED, "there is no memory for it");
	}
}

json_t *rpc_mark_del(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;

	if (marks_del(&d->marks, param_name(params)))
		return ctl_fail(
			fail, CTL_ERR_FAILED, "there is no mark \"%s\"", param_name(params));
	return json_object();
}

json_t *rpc_mark_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params, (void)fail;
	for (unsigned i = 0; i < d->marks.n; i++)
		json_array_append_new(list, mark_json(d, d->marks.list[i]));
	return list;
}
