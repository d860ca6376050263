/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: a trial from its beginning to its end. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "engine.h"

/* The interval of the checks of sockets and losses, and of the live line. */
#define WATCH_S 0.1
/* The closed loop writes off frames that are not back after one to two times this long. */
#define LOST_S WATCH_S
/* When nothing has come for this long, nothing more is under way. */
#define QUIET_S 0.05
/* The longest wait for that. */
#define QUIET_MAX_S 3.0

/* The burst that DPDK's drivers use, too: smaller ones cost the back-end more for each frame. */
#define BATCH 32u

/* A back-end that sleeps while others move frames is kicked after this many rounds. */
#define KICK_ROUNDS 8

/*
 * A round that moves fewer frames than these is followed by a wait, whose time is not measured.
 * Each poll takes the index lines of all rings away from the back-end, and with packed rings the
 * lines of the descriptors, too. With this wait instead of 20 pauses after less than 32 frames,
 * packed rings, the load's cycles for a frame and the back-end's rate became: testpmd 78 from 123
 * cycles, 14.5 from 12.3 Mpps; OVS-DPDK 86 from 128 cycles, 9.6 from 9.1 Mpps. Meanwhile the
 * back-end has enough to do (DEFAULT_IN_FLIGHT).
 */
#define ROUND_WORTH  256u
#define ROUND_WAIT_S 4e-6

static uint64_t ticks(const struct engine *e, double seconds)
{
	return (uint64_t)(seconds * e->hz);
}

int engine_watch(struct engine *e)
{
	struct pollfd p = {.events = POLLRDHUP};

	/* Frames under way are still counted. */
	if (bench_interrupted && e->phase != ENGINE_DRAIN)
		return -EINTR;
	if (tsc_now() - e->checked < ticks(e, WATCH_S))
		return 0;
	e->checked = tsc_now();
	for (unsigned i = 0; i < e->nguests; i++) {
		p.fd = e->ports[i].session->conn.fd;
		if (poll(&p, 1, 0) > 0 && p.revents) {
			engine_say("%s: the back-end closed its socket", e->o.sockets[i]);
			return -ECONNRESET;
		}
	}
	return 0;
}

static int broken(const struct engine *e, const struct lane *l, int err)
{
	if (err == -EPROTO)
		engine_say("%s: the back-end wrote nonsense to the rings of pair %u",
			e->o.sockets[l->port], l->queue);
	return err;
}

void engine_next_id(struct engine *e)
{
	e->warm_id = (uint8_t)(e->count_id + 1);
	e->count_id = (uint8_t)(e->warm_id + 1);
}

/* Wake a back-end that sleeps. */
static void lanes_kick(struct engine *e)
{
	for (unsigned i = 0; i < e->nlanes; i++) {
		fe_burst_kick(e->lanes[i].tx);
		fe_burst_kick(e->lanes[i].rx);
	}
}

int engine_quiet(struct engine *e)
{
	uint64_t begin = tsc_now(), last = begin, now = begin;
	int ret;

	while (now - last < ticks(e, QUIET_S) && now - begin < ticks(e, QUIET_MAX_S)) {
		for (unsigned i = 0; i < e->nlanes; i++) {
			struct lane *l = &e->lanes[i];

			ret = lane_discard(l);
			if (ret > 0)
				last = now;
			if (ret >= 0)
				ret = fe_burst_reap(l->tx);
			if (ret < 0)
				return broken(e, l, ret);
			if (!fe_burst_idle(l->tx))
				last = now;
		}
		lanes_kick(e);
		ret = engine_watch(e);
		if (ret)
			return ret;
		now = tsc_now();
	}
	return 0;
}

/* Poll all lanes once. The number of frames that moved, or -errno. */
static int round_run(struct engine *e, uint64_t now)
{
	int moved = 0;
	int ret;

	for (unsigned i = 0; i < e->nlanes; i++) {
		ret = fe_burst_peek(e->lanes[i].rx);
		if (rw_unlikely(ret < 0))
			return broken(e, &e->lanes[i], ret);
	}
	for (unsigned i = 0; i < e->nlanes; i++) {
		struct lane *l = &e->lanes[i];

		ret = lane_receive(e, l);
		if (ret >= 0) {
			moved += ret;
			ret = l->sends && e->phase != ENGINE_DRAIN ? lane_send(e, l, now) : 0;
		}
		if (rw_unlikely(ret < 0))
			return broken(e, l, ret);
		moved += ret;
	}
	return moved;
}

/* Write off the frames that have not come back since the last call: others may be sent instead. */
static void write_off(struct engine *e)
{
	for (unsigned i = 0; i < e->nlanes; i++) {
		struct lane *l = &e->lanes[i];

		if ((int64_t)(l->out_before - l->back) > 0)
			l->back = l->out_before;
		l->out_before = l->out;
	}
}

static void result_fill(const struct engine *e, double seconds, struct bench_result *out)
{
	struct bench_port_result *s = &out->sum;
	const struct lane *l = e->lanes;
	double offered = 0;

	out->seconds = seconds;
	out->nports = e->o.nports;
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < e->o.nports; i++) {
		struct bench_port_result *p = &out->ports[i];

		*p = e->ports[i].count;
		p->expected = e->expected[i];
		for (unsigned q = 0; q < e->o.pairs; q++, l++) {
			p->sent += l->sent;
			p->sent_bytes += l->sent_bytes;
		}
		if (e->o.pattern == BENCH_FLOOD && i)
			p->expected = out->ports[0].sent;
		s->sent += p->sent;
		s->sent_bytes += p->sent_bytes;
		s->received += p->received;
		s->received_bytes += p->received_bytes;
		s->expected += p->expected;
		s->wrong += p->wrong;
		s->misplaced += p->misplaced;
		s->reordered += p->reordered;
		s->duplicated += p->duplicated;
	}
	s->spread = e->spread;
	offered = seconds > 0 ? (double)s->sent / seconds : 0;
	out->offered = offered;
	out->lost = s->expected > s->received ? s->expected - s->received : 0;
	out->own_cycles = e->moved ? (double)e->busy / (double)e->moved : 0;
}

static double counted_seconds(const struct engine *e, uint64_t now, uint64_t from)
{
	return e->phase == ENGINE_WARM ? 0 : (double)(now - from) / e->hz;
}

static void spread_note(struct bench_spread *s, double rate, bool first)
{
	s->lowest = first ? rate : RW_MIN(s->lowest, rate);
	s->highest = first ? rate : RW_MAX(s->highest, rate);
}

/* A slice ends now, unless it has just begun. */
static void slice_end(struct engine *e, uint64_t now)
{
	double seconds = (double)(now - e->slice_began) / e->hz;
	uint64_t received, sum = 0;

	if (seconds < WATCH_S)
		return;
	for (unsigned i = 0; i < e->o.nports; i++) {
		struct engine_port *p = &e->ports[i];

		received = p->count.received - p->slice_received;
		p->slice_received = p->count.received;
		spread_note(&p->count.spread, (double)received / seconds, !e->slices);
		sum += received;
	}
	spread_note(&e->spread, (double)sum / seconds, !e->slices);
	e->slices++;
	e->slice_began = now;
}

static int watch_trial(struct engine *e, uint64_t now, uint64_t from, struct bench_result *out)
{
	bool due = now - e->checked >= ticks(e, LOST_S);
	int err;

	if (rw_likely(!due && (!bench_interrupted || e->phase == ENGINE_DRAIN)))
		return 0;
	err = engine_watch(e);
	if (err)
		return err;
	write_off(e);
	if (e->phase == ENGINE_COUNT)
		slice_end(e, now);
	if (e->o.progress) {
		result_fill(e, counted_seconds(e, now, from), out);
		bench_tick(out);
	}
	return 0;
}

/* Whether the back-end has taken every frame, or cannot. */
static bool all_taken(struct engine *e)
{
	for (unsigned i = 0; i < e->nlanes; i++) {
		struct lane *l = &e->lanes[i];

		if (fe_burst_reap(l->tx) >= 0 && !fe_burst_idle(l->tx))
			return false;
	}
	return true;
}

/*
 * Poll until `until`. Only rounds that move frames count as busy: a round that finds nothing is a
 * wait. DRAIN also ends when nothing has come for a while.
 */
static int phase_run(struct engine *e, enum engine_phase phase, uint64_t until, uint64_t from,
	struct bench_result *out)
{
	uint64_t now = tsc_now(), last = now, after;
	uint32_t rounds = 0;
	int moved, err = 0;

	e->phase = phase;
	while (!err && now < until) {
		moved = round_run(e, now);
		/* A back-end that has work to do is awake and needs no kick. */
		if (moved == 0 || ++rounds % KICK_ROUNDS == 0)
			lanes_kick(e);
		after = tsc_now();
		if (moved > 0) {
			last = after;
			if (phase == ENGINE_COUNT) {
				e->busy += after - now;
				e->moved += (unsigned)moved;
			}
		}
		/* A back-end whose CPU was taken away may still have frames to take. */
		if (phase == ENGINE_DRAIN && after - last > ticks(e, QUIET_S) && all_taken(e))
			return 0;
		err = moved < 0 ? moved : watch_trial(e, after, from, out);
		now = after;
		while (moved < (int)e->worth && now - after < ticks(e, ROUND_WAIT_S)) {
			rw_pause();
			now = tsc_now();
		}
	}
	return err;
}

/* No round is followed by a wait where the rate or the latency of single frames matters. */
static uint32_t round_worth(const struct engine *e, const struct bench_trial *t)
{
	uint32_t under_way = e->nsenders * (e->o.in_flight / e->o.pairs);

	if (t->rate > 0 || e->o.latency || (e->closed && e->o.in_flight < BATCH / 2))
		return 0;
	return e->closed ? RW_MIN(under_way / 4, ROUND_WORTH) : ROUND_WORTH;
}

static void trial_reset(struct engine *e, const struct bench_trial *t)
{
	size_t n = (size_t)e->nlanes * e->o.nports;
	double burst;

	memset(e->seqs, 0, n * sizeof(*e->seqs));
	memset(e->expected, 0, e->o.nports * sizeof(*e->expected));
	memset(e->newest, 0, (e->o.pairs > 1 ? n * e->o.pairs : 1) * sizeof(*e->newest));
	for (size_t i = 0; i < n; i++) {
		/* Most streams carry no frame: their pages stay untouched. */
		if (e->streams[i].next)
			memset(&e->streams[i], 0, sizeof(e->streams[i]));
	}
	for (unsigned i = 0; i < e->nlanes; i++) {
		struct lane *l = &e->lanes[i];

		l->out = l->back = l->out_before = 0;
		l->sent = l->sent_bytes = 0;
		l->paced = 0;
	}
	for (unsigned i = 0; i < e->o.nports; i++) {
		memset(&e->ports[i].count, 0, sizeof(e->ports[i].count));
		e->ports[i].slice_received = 0;
	}
	e->spread = (struct bench_spread){0};
	e->slices = 0;
	rw_histogram_reset(e->latency);
	e->busy = e->moved = 0;
	engine_next_id(e);
	e->closed = e->o.in_flight && !(t->rate > 0);
	e->worth = round_worth(e, t);
	e->lane_rate = t->rate / e->pieces / e->hz / RW_MAX(e->nsenders, 1u);
	e->batch = RW_MIN(BATCH, e->o.tx_ring_size / 4);
	if (e->closed)
		e->batch = RW_MIN(e->batch, RW_MAX(e->o.in_flight / e->o.pairs / 4, 1u));
	/* Frames that are due within 2 us are sent together, so that the rate is even. */
	burst = e->lane_rate * e->hz * 2e-6;
	if (t->rate > 0)
		e->batch = (uint32_t)RW_MIN(RW_MAX(burst, 1.0), (double)e->batch);
}

int engine_run(struct engine *e, const struct bench_trial *t, struct bench_result *out)
{
	uint64_t from, until;
	bool counted;
	int err = 0;

	for (unsigned i = 0; !err && i < e->nlanes; i++) {
		if (e->lanes[i].sends)
			err = lane_prepare(e, &e->lanes[i], LANE_TRIAL);
	}
	if (err)
		return err;
	trial_reset(e, t);
	e->began = e->checked = tsc_now();
	from = e->began + ticks(e, t->warm_up);
	until = from + ticks(e, t->seconds);
	err = phase_run(e, ENGINE_WARM, from, from, out);
	if (!err) {
		from = e->slice_began = tsc_now();
		err = phase_run(e, ENGINE_COUNT, until, from, out);
	}
	counted = e->phase == ENGINE_COUNT;
	until = tsc_now();
	if (!err || err == -EINTR) {
		int late = phase_run(e, ENGINE_DRAIN, until + ticks(e, QUIET_MAX_S),
			counted ? from : until, out);

		err = err ? err : late;
	}
	result_fill(e, counted ? (double)(until - from) / e->hz : 0, out);
	out->asked = t->rate;
	out->latency = *e->latency;
	e->phase = ENGINE_WARM;
	return err;
}
