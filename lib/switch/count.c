/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting on request: what all kinds have in common (sw_count.h). */
#include "count.h"

#include <errno.h>
#include <stdlib.h>

#include "rw_numa.h"

static const struct count_ops *const all_ops[SW_NUM_COUNT_KINDS] = {
	[SW_COUNT_SIZES] = &count_sizes,
	[SW_COUNT_VLANS] = &count_vlans,
	[SW_COUNT_TALKERS] = &count_talkers,
	[SW_COUNT_LATENCY] = &count_latency,
};

static void see(struct sw_watch *watch, const struct sw_sight *sight)
{
	const struct sw_count *c = rw_container_of(watch, struct sw_count, watch);

	/* What control tries out has not happened. */
	if (sight->worker < c->nworkers && sight->frames)
		c->ops->see(c, c->parts[sight->worker], sight);
}

static void count_free(struct sw_count *c)
{
	for (unsigned i = 0; i < c->nworkers; i++)
		rw_free(c->parts[i]);
	free(c);
}

static struct sw_count *count_new(struct sw *sw, const struct count_ops *ops)
{
	struct sw_count *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->sw = sw;
	c->ops = ops;
	c->started_s = sw_now_s(sw);
	c->ns_scale = (UINT64_C(1000000000) << 32) / sw->tsc_hz;
	c->nworkers = sw->nworkers;
	for (unsigned i = 0; i < c->nworkers; i++) {
		c->parts[i] = rw_zalloc(ops->bytes);
		if (!c->parts[i]) {
			count_free(c);
			return NULL;
		}
		if (ops->init)
			ops->init(c->parts[i]);
	}
	return c;
}

int sw_count_start(struct sw *sw, enum sw_count_kind kind, const struct port *const *ports,
	unsigned n, struct sw_count **out)
{
	struct sw_count *c = count_new(sw, all_ops[kind]);
	int ret;

	if (!c)
		return -ENOMEM;
	c->watch.see = see;
	c->watch.wants = c->ops->wants;
	c->watch.all = !n;
	for (unsigned i = 0; i < n; i++)
		sw_watch_port(&c->watch, ports[i]);
	ret = sw_watch_add(sw, &c->watch);
	if (ret) {
		count_free(c);
		return ret;
	}
	sw_commit(sw);
	*out = c;
	return 0;
}

void sw_count_stop(struct sw_count *c)
{
	if (!c)
		return;
	sw_watch_remove(c->sw, &c->watch);
	sw_commit(c->sw);
	count_free(c);
}

void sw_count_forget_port(struct sw_count *c, uint16_t id)
{
	for (unsigned i = 0; c && c->ops->forget_port && i < c->nworkers; i++)
		c->ops->forget_port(c->parts[i], id);
}

void sw_count_lost(const struct sw_count *c, struct sw_count_lost *out)
{
	*out = (struct sw_count_lost){0};
	for (unsigned i = 0; c->ops->lost && i < c->nworkers; i++)
		c->ops->lost(c->parts[i], out);
}

bool sw_count_has_port(const struct sw_count *c, const struct port *port)
{
	return sw_watch_names(&c->watch, port->id);
}

uint32_t sw_count_age_s(const struct sw_count *c)
{
	return sw_now_s(c->sw) - c->started_s;
}
