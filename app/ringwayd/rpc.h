/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Methods that are not in rpc.c. See struct ctl_method; the context is the struct daemon. */
#include "control.h"
#include "sw.h"

/* What a method or an event has: a field that is always there, and one that may be. */
#define HAS(name, types, help)           \
	{                                \
		name, types, false, help \
	}
#define MAY(name, types, help)          \
	{                               \
		name, types, true, help \
	}

struct daemon;

/*
 * rpc.c: the port that `params` names with `key`: NULL in `out` when it names none. False: `fail`
 * is filled in.
 */
bool rpc_param_port(const struct daemon *d, const json_t *params, const char *key,
	struct ctl_failure *fail, struct port **out);

/* rpc_bridge.c */
json_t *rpc_bridge_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);
json_t *rpc_bridge_add(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_bridge_del(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_fdb.c */
/* "frame", "rarp", ...: constant. */
const char *rpc_how(enum fdb_how how);
json_t *rpc_fdb_list(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_fdb_flush(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_fdb_add(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_fdb_del(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_group.c */
json_t *rpc_group_list(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_port.c */
json_t *rpc_port_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);
json_t *rpc_port_show(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_port_add(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_port_del(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_port_set(void *ctx, const json_t *params, struct ctl_failure *fail);

/* Schemas of the options that port.add and port.set take. */
json_t *rpc_port_options(void);
json_t *rpc_port_changes(void);

/* rpc_mark.c */
json_t *rpc_mark_add(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_mark_del(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_mark_list(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_mirror.c */
json_t *rpc_mirror_add(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_mirror_del(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_mirror_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);
/* The names of the mirrors whose copies a port gets; NULL: there is none. */
json_t *rpc_mirrors_to(const struct daemon *d, const char *port);

/* rpc_stats.c */
json_t *rpc_port_stats(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);

/* rpc_count.c */
json_t *rpc_count_list(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_count_start(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_count_stop(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_sizes_show(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);
json_t *rpc_vlans_show(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_talkers_show(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_latency_show(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);

/* rpc_event.c */
json_t *rpc_subscribe(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_unsubscribe(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_forward.c */
json_t *rpc_forward_show(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_forward_set(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_forward_start(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_forward_stop(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_config.c */
json_t *rpc_config_get(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_config_apply(void *ctx, const json_t *params, struct ctl_failure *fail);
void rpc_config_gone(void *ctx, const json_t *params);

/* takeover_give.c */
json_t *rpc_takeover(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_capture.c */
json_t *rpc_capture_start(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_capture_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);
/* rpc_trace.c */
json_t *rpc_explain(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_trace_start(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_trace_read(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_trace_stop(void *ctx, const json_t *params, struct ctl_failure *fail);

/* rpc_worker.c */
json_t *rpc_worker_move(void *ctx, const json_t *params, struct ctl_failure *fail);
json_t *rpc_worker_balance(void *ctx, const json_t *params, struct ctl_failure *fail);
/* Add what each worker polls to the objects of `workers`, in their order. */
void rpc_worker_queues(const struct sw *sw, json_t *workers);
