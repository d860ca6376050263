/* SPDX-License-Identifier: BSD-3-Clause */
/* worker.move, worker.balance, and the queues in worker.list. */
#include <errno.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_numa.h"
#include "sw_balance.h"

static json_t *node_json(int node)
{
	return node == RW_NUMA_UNKNOWN ? json_null() : json_integer(node);
}

static json_t *queue_json(const struct sw_queue_info *q)
{
	return json_pack("{s:s, s:i, s:f, s:o, s:b, s:b}", "port", q->port->name, "queue",
		(int)q->queue, "load", q->load / 1000.0, "memory_node", node_json(q->node),
		"far_off", q->far_off, "by_hand", q->by_hand);
}

static void add_queue(void *arg, const struct sw_queue_info *info)
{
	json_array_append_new(arg, queue_json(info));
}

void rpc_worker_queues(const struct sw *sw, json_t *workers)
{
	for (unsigned i = 0; i < sw_nworkers(sw); i++) {
		json_t *worker = json_array_get(workers, i), *polled = json_array();

		sw_queues_of(sw, i, add_queue, polled);
		json_object_set_new(worker, "worker", json_integer(i));
		json_object_set_new(worker, "node", node_json(sw_worker_node(sw, i)));
		json_object_set_new(worker, "polled", polled);
	}
}

/* A number from 0 to 65535, which is beyond all that there is. */
static bool param_u16(const json_t *params, const char *key, uint16_t *out)
{
	const json_t *v = json_object_get(params, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT16_MAX)
		return false;
	*out = (uint16_t)json_integer_value(v);
	return true;
}

json_t *rpc_worker_move(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const char *name = json_string_value(json_object_get(params, "port"));
	struct sw_queue_info info;
	uint16_t queue, worker;
	struct port *port;

	if (!name)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"port\" must be the name of a port");
	if (!param_u16(params, "queue", &queue) || !param_u16(params, "worker", &worker))
		return ctl_fail(
			fail, CTL_ERR_PARAMS, "\"queue\" and \"worker\" must be numbers from 0");
	port = sw_port_by_name(d->sw, name);
	if (!port)
		return ctl_fail(fail, CTL_ERR_FAILED, "there is no port \"%s\"", name);
	switch (sw_queue_move(d->sw, port, queue, worker)) {
	case -ENOENT:
		return ctl_fail(
			fail, CTL_ERR_FAILED, "queue %u of port \"%s\" does not run", queue, name);
	case -EINVAL:
		return ctl_fail(fail, CTL_ERR_FAILED,
			"there is no worker %u: they are numbered from 0 to %u", worker,
			sw_nworkers(d->sw) - 1);
	default:
		sw_queue_read(d->sw, port, queue, &info);
		return queue_json(&info);
	}
}

json_t *rpc_worker_balance(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params, (void)fail;
	return json_pack("{s:i}", "moved", (int)sw_balance(d->sw, true));
}
