/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: teaching addresses, and finding out which are known. */
#include <errno.h>
#include <stdlib.h>

#include "engine.h"

/* Probes under way at a time, and the time after which a probe is given up. */
#define PROBES_MOST 16
#define PROBE_S     0.01
/* A back-end that has not taken a frame for this long is given up. */
#define TAKE_S 3.0

static int others_discard(struct engine *e)
{
	int ret = 0;

	for (unsigned i = 0; ret >= 0 && i < e->nlanes; i++)
		ret = lane_discard(&e->lanes[i]);
	return RW_MIN(ret, 0);
}

/*
 * Send at most `n` frames of the head `h`, whose sequence number counts up. Their number, or
 * -EPROTO.
 */
static int heads_send(struct lane *l, struct engine *e, struct frame_head *h, uint32_t n)
{
	int room;

	room = fe_burst_room(l->tx, n);
	for (int i = 0; i < room; i++, h->seq++)
		frame_address(fe_burst_buf(l->tx, (unsigned)i), e->format, h);
	if (room > 0)
		fe_burst_send(l->tx, (unsigned)room);
	fe_burst_kick(l->tx);
	return room;
}

int engine_teach(struct engine *e, unsigned port, uint32_t first, uint32_t n, double rate)
{
	struct lane *l = &e->lanes[(size_t)port * e->o.pairs];
	struct frame_head h = {.dst = FRAME_BROADCAST};
	uint64_t began, last;
	uint32_t sent = 0;
	int ret;

	ret = lane_prepare(e, l, LANE_SMALL);
	if (ret)
		return ret;
	engine_next_id(e);
	h.tag = (uint16_t)(e->count_id << 8);
	began = last = tsc_now();
	while (ret >= 0 && (sent < n || !fe_burst_idle(l->tx))) {
		double due = rate > 0 ? (double)(tsc_now() - began) / e->hz * rate : n;

		if (sent < n && sent < due) {
			h.src = frame_mac(port, first + sent);
			ret = heads_send(l, e, &h, 1);
			if (ret > 0) {
				sent++;
				last = tsc_now();
			}
		} else {
			ret = fe_burst_reap(l->tx);
		}
		if (ret >= 0 && (sent % PROBES_MOST == 0 || sent == n))
			ret = others_discard(e);
		if (ret >= 0)
			ret = engine_watch(e);
		if (ret >= 0 && (double)(tsc_now() - last) > TAKE_S * e->hz) {
			engine_say("%s: the back-end does not take frames", e->o.sockets[port]);
			ret = -ETIMEDOUT;
		}
	}
	if (ret < 0)
		return ret;
	e->teach_rate = n * e->hz / (double)(tsc_now() - began);
	return engine_quiet(e);
}

/* What is known of a host. */
#define AT_ITS_PORT 1
#define ELSEWHERE   2

/* Receive probes: mark which arrived where. Returns how many arrived at their port, or -EPROTO. */
static int probes_receive(
	struct engine *e, const struct lane *l, bool its_port, uint8_t *marks, uint32_t n)
{
	struct fe_burst_frame frames[FE_BURST_MAX];
	struct frame_seen s;
	int arrived = 0;
	int got;

	got = fe_burst_recv(l->rx, frames, FE_BURST_MAX);
	for (int i = 0; i < got; i++) {
		if (!frame_read(frames[i].data, frames[i].len, e->format, &s) ||
			s.trial != e->count_id || s.seq >= n)
			continue;
		arrived += its_port && !(marks[s.seq] & AT_ITS_PORT);
		marks[s.seq] |= its_port ? AT_ITS_PORT : ELSEWHERE;
	}
	if (got > 0)
		fe_burst_release(l->rx);
	fe_burst_kick(l->rx);
	return got < 0 ? got : arrived;
}

static int probes_collect(struct engine *e, unsigned port, uint8_t *marks, uint32_t n)
{
	int arrived = 0;
	int ret;

	for (unsigned i = 0; i < e->nlanes; i++) {
		ret = probes_receive(e, &e->lanes[i], e->lanes[i].port == port, marks, n);
		if (ret < 0)
			return ret;
		arrived += ret;
	}
	return arrived;
}

/* Send all probes, a few at a time; in the end wait for those that were flooded. */
static int probes_run(
	struct engine *e, struct lane *l, unsigned port, uint32_t first, uint32_t n, uint8_t *marks)
{
	struct frame_head h = {.src = frame_mac(l->port, 0)};
	uint64_t last = tsc_now(), late = (uint64_t)(PROBE_S * e->hz);
	uint32_t sent = 0, done = 0;
	int ret = 0;

	h.tag = (uint16_t)(e->count_id << 8);
	while (ret >= 0 && (sent < n || tsc_now() - last < 5 * late)) {
		ret = probes_collect(e, port, marks, n);
		if (ret > 0) {
			done += (uint32_t)ret;
			last = tsc_now();
		}
		if (ret >= 0 && sent < n && tsc_now() - last > late)
			done = sent; /* lost */
		if (ret >= 0 && sent < n && (int32_t)(sent - done) < PROBES_MOST) {
			h.dst = frame_mac(port, first + sent);
			ret = heads_send(l, e, &h, 1);
			if (ret > 0) {
				sent++;
				last = tsc_now();
			}
		}
		if (ret >= 0)
			ret = engine_watch(e);
	}
	return RW_MIN(ret, 0);
}

int engine_probe(
	struct engine *e, unsigned from, unsigned port, uint32_t first, uint32_t n, uint32_t *known)
{
	struct lane *l = &e->lanes[(size_t)from * e->o.pairs];
	uint32_t count = 0;
	uint8_t *marks;
	int err;

	err = lane_prepare(e, l, LANE_SMALL);
	if (err)
		return err;
	marks = calloc(RW_MAX(n, 1u), sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	engine_next_id(e);
	err = probes_run(e, l, port, first, n, marks);
	for (uint32_t i = 0; i < n; i++)
		count += marks[i] == AT_ITS_PORT;
	free(marks);
	if (!err)
		*known = count;
	return err;
}
