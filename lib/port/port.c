/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>

#include "port_internal.h"
#include "port_observer.h"

_Thread_local struct port_observer *port_observer;

static const char *const drop_names[] = {
#define X(id, name) [PORT_DROP_##id] = name,
	PORT_DROPS(X)
#undef X
};

const char *port_drop_name(enum port_drop why)
{
	return drop_names[why];
}

int port_init(struct port *port, const char *name, unsigned nworkers)
{
	*port = (struct port){.nworkers = nworkers};
	port_work_init(&port->work);
	snprintf(port->name, sizeof(port->name), "%s", name);
	rw_budgets_init(&port->budgets, port->name);
	port->unqueued = rw_zalloc(nworkers * sizeof(*port->unqueued));
	return port->unqueued ? 0 : -ENOMEM;
}

void port_fini(struct port *port)
{
	for (unsigned i = 0; i < PORT_MAX_PAIRS; i++) {
		rw_free(port->rx[i]);
		rw_free(port->tx[i]);
	}
	rw_free(port->steer);
	rw_free(port->unqueued);
}

/*
 * Return the counters in `slot`, allocated if needed. Allocate flow steering too if this is not the
 * first pair. NULL: no memory.
 */
static struct port_counters *counters_get(
	struct port *port, struct port_counters **slot, uint16_t index)
{
	if (!*slot)
		*slot = rw_zalloc(sizeof(**slot));
	if (index && !port->steer)
		port->steer = port_steer_new();
	return index && !port->steer ? NULL : *slot;
}

int port_rxq_init(struct port_rxq *q, struct port *port, uint16_t index)
{
	q->port = port;
	q->index = index;
	q->counters = counters_get(port, &port->rx[index], index);
	return q->counters ? 0 : -ENOMEM;
}

int port_txq_init(struct port_txq *q, struct port *port, uint16_t index)
{
	q->port = port;
	q->index = index;
	q->counters = counters_get(port, &port->tx[index], index);
	return q->counters ? 0 : -ENOMEM;
}

/* out += c, each counter read once */
static void counters_add(struct port_counters *out, const struct port_counters *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < sizeof(*c) / sizeof(*from); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void pair_add(struct port_pair *out, const struct port *port, uint16_t index)
{
	if (port->rx[index])
		counters_add(&out->rx, port->rx[index]);
	if (port->tx[index])
		counters_add(&out->tx, port->tx[index]);
}

bool port_has_pair(const struct port *port, uint16_t index)
{
	return port->rx[index] || port->tx[index];
}

void port_read_pair(const struct port *port, uint16_t index, struct port_pair *out)
{
	*out = (struct port_pair){0};
	pair_add(out, port, index);
}

static void unqueued_add(struct port_counters *out, const struct port *port)
{
	for (unsigned w = 0; w < port->nworkers; w++)
		counters_add(out, &port->unqueued[w]);
}

void port_read_unqueued(const struct port *port, struct port_counters *out)
{
	*out = (struct port_counters){0};
	unqueued_add(out, port);
}

void port_read(const struct port *port, struct port_pair *out)
{
	*out = (struct port_pair){0};
	for (uint16_t i = 0; i < PORT_MAX_PAIRS; i++)
		pair_add(out, port, i);
	unqueued_add(&out->tx, port);
}

int port_add_pair(struct port *port, uint16_t index, const struct port_pair *add)
{
	struct port_counters *rx, *tx;

	if (index == PORT_UNQUEUED) {
		counters_add(&port->unqueued[0], &add->tx);
		return 0;
	}
	rx = counters_get(port, &port->rx[index], index);
	tx = counters_get(port, &port->tx[index], index);
	if (!rx || !tx)
		return -ENOMEM;
	counters_add(rx, &add->rx);
	counters_add(tx, &add->tx);
	return 0;
}
