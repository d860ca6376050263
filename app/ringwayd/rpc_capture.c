/* SPDX-License-Identifier: BSD-3-Clause */
/* What a client that captures asks for. */
#include <errno.h>
#include <stdlib.h>

#include "apply.h"
#include "cap_filter.h"
#include "cap_ring.h"
#include "capture.h"
#include "daemon.h"
#include "rpc.h"

#define SAMPLE_MAX 1000000000

/* Read an integer in a range. False: `fail` is filled in. */
static bool number_read(const json_t *value, const char *key, json_int_t min, json_int_t max,
	uint32_t *out, struct ctl_failure *fail)
{
	json_int_t n = json_integer_value(value);

	if (!value)
		return true;
	if (n < min || n > max) {
		ctl_fail(fail, CTL_ERR_PARAMS,
			"\"%s\" must be from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT,
			key, min, max);
		return false;
	}
	*out = (uint32_t)n;
	return true;
}

static bool ports_read(const struct daemon *d, const json_t *list, struct capture_wish *wish,
	struct ctl_failure *fail)
{
	wish->every_port = !list;
	if (json_array_size(list) > SW_MAX_PORTS || (list && !json_array_size(list))) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"ports\" must be a list of 1 to %d names",
			SW_MAX_PORTS);
		return false;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		const struct port *port = name ? sw_port_by_name(d->sw, name) : NULL;

		if (!port) {
			ctl_fail(fail, CTL_ERR_FAILED, "there is no port \"%s\"",
				name ? name : "what is no string");
			return false;
		}
		wish->ports[wish->nports++] = port;
	}
	return true;
}

/* Instruction `v`: four numbers. */
static bool insn_read(const json_t *v, struct cap_insn *out)
{
	static const json_int_t max[4] = {UINT16_MAX, UINT8_MAX, UINT8_MAX, UINT32_MAX};
	json_int_t n[4];

	if (json_array_size(v) != 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		n[i] = json_integer_value(json_array_get(v, i));
		if (!json_is_integer(json_array_get(v, i)) || n[i] < 0 || n[i] > max[i])
			return false;
	}
	*out = (struct cap_insn){(uint16_t)n[0], (uint8_t)n[1], (uint8_t)n[2], (uint32_t)n[3]};
	return true;
}

static bool filter_read(const json_t *list, struct capture_wish *wish, struct ctl_failure *fail)
{
	size_t n = json_array_size(list);

	if (!n)
		return true;
	if (n > CAP_FILTER_MAX) {
		ctl_fail(fail, CTL_ERR_PARAMS, "the filter has %zu instructions, and may have %d",
			n, CAP_FILTER_MAX);
		return false;
	}
	wish->insns = calloc(n, sizeof(wish->insns[0]));
	if (!wish->insns) {
		ctl_fail(fail, CTL_ERR_INTERNAL, "no memory");
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (insn_read(json_array_get(list, i), &wish->insns[i]))
			continue;
		ctl_fail(fail, CTL_ERR_PARAMS,
			"\"filter\" must be a list of [code, jt, jf, k], and item %zu is none", i);
		return false;
	}
	wish->ninsns = (unsigned)n;
	return true;
}

static bool wish_read(const struct daemon *d, const json_t *params, struct capture_wish *wish,
	struct ctl_failure *fail)
{
	wish->rx = json_is_true(json_object_get(params, "rx"));
	wish->tx = json_is_true(json_object_get(params, "tx"));
	wish->drops = json_is_true(json_object_get(params, "drops"));
	wish->snap = CAP_SNAP_MAX;
	wish->sample = 1;
	if (!wish->rx && !wish->tx) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"rx\", \"tx\" or both must be true");
		return false;
	}
	return number_read(json_object_get(params, "snap"), "snap", FRAME_MIN_LEN, CAP_SNAP_MAX,
		       &wish->snap, fail) &&
		number_read(json_object_get(params, "sample"), "sample", 1, SAMPLE_MAX,
			&wish->sample, fail) &&
		number_read(json_object_get(params, "ring"), "ring", CAP_DATA_MIN, CAP_DATA_MAX,
			&wish->data, fail) &&
		ports_read(d, json_object_get(params, "ports"), wish, fail) &&
		filter_read(json_object_get(params, "filter"), wish, fail);
}

/* Why frames are dropped, by the numbers that records have. */
static json_t *reasons_json(void)
{
	json_t *list = json_array();

	for (int i = 0; i < PORT_NUM_DROPS; i++)
		json_array_append_new(list, json_string(port_drop_name((enum port_drop)i)));
	return list;
}

json_t *rpc_capture_start(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	struct capture_wish wish = {.fd = -1};
	struct cap_layout layout;
	char err[256];
	int ret;

	if (apply_runs(d))
		return ctl_later(fail);
	if (!wish_read(d, params, &wish, fail)) {
		free(wish.insns);
		return NULL;
	}
	wish.fd = d->control ? ctl_take_fd(d->control) : -ENOTCONN;
	if (wish.fd < 0) {
		free(wish.insns);
		return ctl_fail(fail, CTL_ERR_FAILED,
			"the memory to write to is missing: a descriptor that comes with the "
			"request (SCM_RIGHTS)");
	}
	ret = capture_begin(d, &wish, &layout, err, sizeof(err));
	ctl_close_fd(d->control, wish.fd);
	if (ret)
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", err);
	return json_pack("{s:i, s:i, s:i, s:o}", "workers", (int)layout.nparts, "ring",
		(int)layout.data, "head", (int)layout.head, "reasons", reasons_json());
}

json_t *rpc_capture_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct capture_info info;

	(void)params, (void)fail;
	while (*cursor < CAPTURES_MAX) {
		unsigned i = (unsigned)(*cursor)++;

		if (!capture_describe(d, i, &info))
			continue;
		return json_pack("{s:i, s:o, s:b, s:b, s:b, s:I, s:I, s:I, s:I}", "capture", (int)i,
			"ports", info.ports ? json_integer(info.ports) : json_null(), "rx", info.rx,
			"tx", info.tx, "drops", info.drops, "snap", (json_int_t)info.snap, "sample",
			(json_int_t)info.sample, "frames", (json_int_t)info.taken, "lost",
			(json_int_t)info.lost);
	}
	return NULL;
}
