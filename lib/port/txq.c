/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tx queues with a backlog: copies of frames that the receiver cannot take yet, in their order.
 */
#include <rte_cycles.h>

#include "port.h"
#include "port_fifo.h"
#include "port_observer.h"

/*
 * Send one burst and count it. Returns how many frames were delivered or dropped. Adds those that
 * were delivered to `*took`. The others were deferred, or are to be converted.
 */
static unsigned send(struct port_txq *q, struct frame **frames, unsigned n, unsigned *took)
{
	struct port_tally tally = {0};

	q->deferred = 0;
	port_tally_frames(&tally, frames, q->burst(q, frames, n));
	port_tally_commit(&tally, q->counters);
	port_tell_sent(q, frames, tally.frames);
	*took += tally.frames;
	return n - q->deferred - q->unfit;
}

/* Send the backlog. False: it is not empty afterwards. */
static bool backlog_try(struct port_txq *q, unsigned *took)
{
	struct frame held[FRAME_BURST], *frames[FRAME_BURST];

	for (;;) {
		unsigned m = port_fifo_peek(q->backlog, held, FRAME_BURST), dealt;

		if (!m)
			return true;
		for (unsigned i = 0; i < m; i++)
			frames[i] = &held[i];
		dealt = send(q, frames, m, took);
		/* The port refuses now what it took when they came: these may become the last. */
		if (rw_unlikely(q->unfit)) {
			*took += port_txq_convert(q, frames + dealt, m - dealt, false);
			dealt = m;
		}
		port_fifo_pop(q->backlog, dealt);
		if (dealt < m)
			return false;
	}
}

/* The same, and an observer knows that these frames are late. */
static bool backlog_send(struct port_txq *q, unsigned *took)
{
	bool empty;

	port_tell_late(true);
	empty = backlog_try(q, took);
	port_tell_late(false);
	return empty;
}

unsigned port_txq_send_seen(
	struct port_txq *q, struct frame **frames, unsigned n, const struct port_tally *all)
{
	return port_txq_send_as(q, frames, n, all, port_tell_sent);
}

unsigned port_txq_send_in_turn(struct port_txq *q, struct frame **frames, unsigned n)
{
	unsigned dealt = 0, took = 0;

	port_txq_lock(q);
	if (backlog_send(q, &took))
		dealt = send(q, frames, n, &took);
	if (dealt < n)
		took += port_txq_convert(q, frames + dealt, n - dealt, !q->unfit);
	port_txq_unlock(q);
	return took;
}

void port_txq_lag_end(struct port_txq *q)
{
	bool again = q->lag.state & PORT_LAG_BEFORE, lags = q->lag.state & PORT_LAG_NOW;

	if (lags)
		port_lag_count(&q->lag, q->counters, rte_rdtsc(), again);
	q->lag.state = lags ? PORT_LAG_BEFORE : 0;
}

void port_txq_drop(
	const struct port_txq *q, struct frame *const *frames, unsigned n, enum port_drop why)
{
	port_count(&q->counters->drops[why], n);
	port_tell_dropped(q, frames, n, why);
}

void port_txq_drop_one(const struct port_txq *q, struct frame *f, enum port_drop why)
{
	port_txq_drop(q, &f, 1, why);
}

static void drop_malformed(
	const struct port *port, uint16_t index, bool rx, unsigned n, enum port_drop why)
{
	struct port_observer *o = port_observer;

	if (rw_unlikely(o != NULL))
		o->malformed(o, port, index, rx, n, why);
}

void port_rxq_drop(const struct port_rxq *q, unsigned n, enum port_drop why)
{
	port_count(&q->counters->drops[why], n);
	drop_malformed(q->port, q->index, true, n, why);
}

void port_rxq_drop_bad(struct port_rxq *q)
{
	for (unsigned i = 0, n; i < q->nbad; i += n) {
		for (n = 1; i + n < q->nbad && q->bad[i + n] == q->bad[i]; n++)
			;
		port_rxq_drop(q, n, (enum port_drop)q->bad[i]);
	}
	q->nbad = 0;
}

void port_txq_drop_buffer(const struct port_txq *q, enum port_drop why)
{
	port_count_drop(q->counters, why);
	drop_malformed(q->port, q->index, false, 1, why);
}

void port_txq_clear(struct port_txq *q)
{
	if (q->backlog)
		port_count(&q->counters->drops[PORT_DROP_NO_BUFFER], port_fifo_clear(q->backlog));
}
