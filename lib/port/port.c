/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>

#include "port_internal.h"

static const char *const drop_names[] = {
#define X(id, name) [PORT_DROP_##id] = name,
	PORT_DROPS(X)
#undef X
};

const char *port_drop_name(enum port_drop why)
{
	return drop_names[why];
}

int port_init(struct port *port, const char *name, const struct port_ops *ops, unsigned nworkers)
{
	*port = (struct port){.ops = ops, .nworkers = nworkers};
	snprintf(port->name, sizeof(port->name), "%s", name);
	port->unqueued = rw_zalloc(nworkers * sizeof(*port->unqueued));
	return port->unqueued ? 0 : -ENOMEM;
}

void port_fini(struct port *port)
{
	for (unsigned i = 0; i < PORT_MAX_PAIRS; i++)
		rw_free(port->pairs[i]);
	rw_free(port->steer);
	rw_free(port->unqueued);
}

int port_pair_prepare(struct port *port, uint16_t queue)
{
	if (!port->pairs[queue])
		port->pairs[queue] = rw_zalloc(sizeof(*port->pairs[queue]));
	if (queue && !port->steer)
		port->steer = port_steer_new();
	return port->pairs[queue] && (!queue || port->steer) ? 0 : -ENOMEM;
}

/* out += c, each counter read once */
static void counters_add(struct port_counters *out, const struct port_counters *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < sizeof(*c) / sizeof(*from); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void port_read_pair(const struct port *port, uint16_t queue, struct port_pair *out)
{
	*out = (struct port_pair){0};
	if (!port->pairs[queue])
		return;
	counters_add(&out->rx, &port->pairs[queue]->rx);
	counters_add(&out->tx, &port->pairs[queue]->tx);
}

void port_read(const struct port *port, struct port_pair *out)
{
	*out = (struct port_pair){0};
	for (uint16_t i = 0; i < PORT_MAX_PAIRS; i++) {
		if (!port->pairs[i])
			continue;
		counters_add(&out->rx, &port->pairs[i]->rx);
		counters_add(&out->tx, &port->pairs[i]->tx);
	}
	for (unsigned w = 0; w < port->nworkers; w++)
		counters_add(&out->tx, &port->unqueued[w]);
}
