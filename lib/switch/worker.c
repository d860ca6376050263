/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worker: one poll round is, for each queue it owns, borrow a burst, decide where each frame
 * goes, hand each destination its frames at once, give the burst back.
 */
#include <rte_cycles.h>

#include "idle.h"

/* 01:80:c2:00:00:00 to 0f concern the link to the next bridge (IEEE 802.1Q, 8.6.3). */
static bool is_reserved(const struct frame *f)
{
	static const uint8_t prefix[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};

	return !__builtin_memcmp(frame_dst(f), prefix, sizeof(prefix)) && f->head[5] < 0x10;
}

static void flush(struct sw_worker *w)
{
	for (unsigned i = 0; i < w->nouts; i++) {
		struct sw_out *out = &w->outs[i];
		struct port *port = out->target->port;

		port->ops->to(port, out->queue, out->frames, out->n);
		w->out_of[out->port_id] = SW_NO_OUT;
		w->fresh[w->handed % SW_FRESH].port_id = out->port_id;
		w->fresh[w->handed++ % SW_FRESH].queue = out->queue;
	}
	w->nouts = 0;
}

/* The list of frames for (port, queue). */
static struct sw_out *out_get(
	struct sw_worker *w, const struct sw_target *t, uint16_t port_id, uint16_t queue)
{
	unsigned i = w->out_of[port_id];

	if (rw_likely(i != SW_NO_OUT && w->outs[i].queue == queue))
		return &w->outs[i];
	/* A port with several queues: its latest entry was for another one. */
	if (i != SW_NO_OUT) {
		for (i = 0; i < w->nouts; i++) {
			if (w->outs[i].port_id == port_id && w->outs[i].queue == queue)
				goto found;
		}
	}
	if (rw_unlikely(w->nouts == SW_MAX_OUTS))
		flush(w);
	i = w->nouts++;
	w->outs[i].target = t;
	w->outs[i].port_id = port_id;
	w->outs[i].queue = queue;
	w->outs[i].n = 0;
found:
	w->out_of[port_id] = (uint16_t)i;
	return &w->outs[i];
}

/* The queue on which the receiver gets this flow. */
static uint16_t pick_queue(const struct sw_target *t, const struct frame *f)
{
	uint32_t hash;
	int queue;

	if (rw_likely(t->nqueues == 1))
		return t->queues[0];
	hash = frame_flow_hash(f);
	queue = port_steer_find(t->steer, hash);
	if (queue >= 0 && t->running[queue])
		return (uint16_t)queue;
	return t->queues[hash % t->nqueues];
}

/* One frame for a port. */
static void deliver(
	struct sw_worker *w, const struct sw_plan *plan, uint16_t port_id, struct frame *f)
{
	const struct sw_target *t = &plan->targets[port_id];
	struct sw_out *out;

	if (rw_unlikely(!t->nqueues)) {
		/* Between a port's end and the flush of its addresses there may be no port. */
		if (t->port)
			port_count_drop(&t->port->unqueued[w->index], PORT_DROP_LINK_DOWN);
		return;
	}
	out = out_get(w, t, port_id, pick_queue(t, f));
	out->frames[out->n++] = f;
}

/* `n` frames for a port. */
static void deliver_run(struct sw_worker *w, const struct sw_plan *plan, uint16_t port_id,
	struct frame *frames, unsigned n)
{
	const struct sw_target *t = &plan->targets[port_id];
	struct frame **to;
	struct sw_out *out;

	if (rw_unlikely(t->nqueues != 1)) {
		for (unsigned i = 0; i < n; i++)
			deliver(w, plan, port_id, &frames[i]);
		return;
	}
	out = out_get(w, t, port_id, t->queues[0]);
	to = &out->frames[out->n];
	for (unsigned i = 0; i < n; i++)
		to[i] = &frames[i];
	out->n += n;
}

/* To every port that is up but the one they came from. */
static void flood(struct sw_worker *w, const struct sw_plan *plan, const struct sw_poll *from,
	struct frame *frames, unsigned n)
{
	bool reached = false;

	for (unsigned i = 0; i < plan->nflood; i++) {
		if (plan->flood[i] == from->port->id)
			continue;
		deliver_run(w, plan, plan->flood[i], frames, n);
		reached = true;
	}
	if (!reached)
		port_count(&from->port->pairs[from->queue]->rx.drops[PORT_DROP_NO_PORT], n);
}

/* What tells a frame's run: both addresses, the EtherType and, if there is one, the VLAN tag. */
struct run_key {
	uint64_t lo, hi;
};

/* Reads the tag, too. */
static inline struct run_key run_key_of(struct frame *f)
{
	struct run_key key;

	__builtin_memcpy(&key, f->head, sizeof(key));
	f->vlan = 0;
	if (rw_unlikely(frame_has_tag(f))) {
		f->vlan = frame_vlan(f);
		if (f->vlan)
			return key;
	}
	key.hi &= UINT64_C(0xffffffffffff);
	return key;
}

static inline bool run_key_same(struct run_key a, struct run_key b)
{
	return !((a.lo ^ b.lo) | (a.hi ^ b.hi));
}

/*
 * Frames come in runs: one sender, one receiver. Cut the burst into runs, w->run[i] being where the
 * i-th begins, have what the FDB knows of them fetched, and count it. How many there are. To remember
 * a queue's last run for its next burst was tried in two ways: 0.3 to 2 % more instructions.
 */
static unsigned runs_find(struct sw_worker *w, struct port_counters *c, unsigned n)
{
	struct port_tally tally = {0};
	/* Of the frame before; at first other than any frame's. */
	struct run_key last = {.lo = ~run_key_of(&w->frames[0]).lo};
	const struct fdb_places places = fdb_places(w->sw->fdb);
	unsigned nruns = 0;

	for (unsigned i = 0; i < n; i++) {
		struct frame *f = &w->frames[i];
		struct run_key key = run_key_of(f);

		port_tally_add(&tally, f);
		if (rw_likely(run_key_same(key, last)))
			continue;
		last = key;
		w->dests[nruns] = fdb_locate(&places, fdb_key_make(frame_dst(f), f->vlan));
		w->sources[nruns] = fdb_locate(&places, fdb_key_make(frame_src(f), f->vlan));
		w->run[nruns++] = (uint8_t)i;
	}
	w->run[nruns] = (uint8_t)n;
	port_tally_commit(&tally, c);
	return nruns;
}

/* Learn where the burst came from. */
static void learn(struct sw_worker *w, const struct sw_plan *plan, const struct sw_poll *from,
	unsigned nruns, unsigned n)
{
	const struct sw_target *self = &plan->targets[from->port->id];

	fdb_learn_bulk(w->sw->fdb, w->sources, nruns, from->port->id, w->now_s);
	if (self->nqueues <= 1)
		return;
	for (unsigned i = 0; i < n; i++)
		port_steer_learn(self->steer, frame_flow_hash(&w->frames[i]), from->queue);
}

/* A run whose destination is not known, or none that frames may go to. */
static RW_NOINLINE void forward_other(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_poll *from, uint16_t dst, struct frame *frames, unsigned n)
{
	struct port_counters *c = &from->port->pairs[from->queue]->rx;

	if (dst == from->port->id)
		port_count(&c->drops[PORT_DROP_HAIRPIN], n);
	else if (is_reserved(frames))
		port_count(&c->drops[PORT_DROP_RESERVED], n);
	else
		flood(w, plan, from, frames, n);
}

/* Each run to where it goes; runs for one port that follow each other go as one. */
static void distribute(
	struct sw_worker *w, const struct sw_plan *plan, const struct sw_poll *from, unsigned nruns)
{
	unsigned next;

	w->dst[nruns] = FDB_PORT_NONE; /* no run goes on there */
	for (unsigned r = 0; r < nruns; r = next) {
		struct frame *frames = &w->frames[w->run[r]];
		uint16_t dst = w->dst[r];
		bool known = dst != FDB_PORT_NONE && dst != from->port->id;
		unsigned len;

		next = r + 1;
		while (known && w->dst[next] == dst)
			next++;
		len = (unsigned)(w->run[next] - w->run[r]);
		if (rw_likely(known))
			deliver_run(w, plan, dst, frames, len);
		else
			forward_other(w, plan, from, dst, frames, len);
	}
}

static void forward(
	struct sw_worker *w, const struct sw_plan *plan, const struct sw_poll *from, unsigned n)
{
	unsigned nruns = runs_find(w, &from->port->pairs[from->queue]->rx, n);

	learn(w, plan, from, nruns, n);
	fdb_lookup_bulk(w->sw->fdb, w->dests, w->dst, nruns);
	distribute(w, plan, from, nruns);
	flush(w);
}

/*
 * Flood what control injected in the name of a port, which may have gone meanwhile: then it has
 * nothing to say any more. False: not now, its source could not be learned at once, and no other
 * frame may ever tell where the station is.
 */
static bool flood_injected(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_injected *slot, struct frame *f)
{
	*f = (struct frame){.len = slot->len};
	__builtin_memcpy(f->head, slot->bytes, FRAME_HEAD);
	f->vlan = frame_vlan(f);
	if (!plan->targets[slot->port_id].port)
		return true;
	if (fdb_learn(w->sw->fdb, fdb_key_make(frame_src(f), f->vlan), slot->port_id, w->now_s) ==
		FDB_BUSY)
		return false;
	for (unsigned i = 0; i < plan->nflood; i++) {
		if (plan->flood[i] != slot->port_id)
			deliver(w, plan, plan->flood[i], f);
	}
	return true;
}

/* Send what control injected: no more at a time than a guest may, or guests would wait for it. */
static RW_NOINLINE void send_injected(
	struct sw_worker *w, const struct sw_plan *plan, uint32_t head)
{
	struct sw_injection *in = w->sw->injection;
	uint32_t n = RW_MIN(head - in->tail, (uint32_t)FRAME_BURST), i;

	for (i = 0; i < n; i++) {
		const struct sw_injected *slot = &in->slots[(in->tail + i) % SW_INJECT_MAX];

		/* Ports that are paired tell nobody where their stations are. */
		if (plan->mode == SW_FORWARD_SWITCH &&
			!flood_injected(w, plan, slot, &w->frames[i]))
			break;
	}
	flush(w);
	/* Pairs with the acquire in sw_inject and sw_port_flush. */
	__atomic_store_n(&in->tail, in->tail + i, __ATOMIC_RELEASE);
}

/* Whether control left something to send: one worker does it, so that the order is kept. */
static inline void injection(struct sw_worker *w, const struct sw_plan *plan)
{
	uint32_t head;

	if (w->index)
		return;
	/* Pairs with the release in sw_inject. */
	head = __atomic_load_n(&w->sw->injection->head, __ATOMIC_ACQUIRE);
	if (rw_unlikely(head != w->sw->injection->tail))
		send_injected(w, plan, head);
}

/*
 * A queue that was empty QUIET times in a row is looked at in one of QUIET_TURNS rounds only, while
 * others keep the worker busy. tests/perf, "crowd", instructions for a frame of the only busy port beside 62
 * such: 471 without this, 369 with 4 turns and a look at each of them, 327 as it is; 313 alone. The
 * first frame after a silence waits for some bursts of other queues longer.
 */
#define QUIET       UINT8_MAX
#define QUIET_TURNS 16 /* a power of two */
#define QUIET_GROUP 8  /* queues that are passed over at once */

/* How many polls from `i` on to pass over in this round, of those before `end`. */
static inline unsigned resting(const struct sw_worker *w, unsigned i, unsigned end)
{
	unsigned at = i % SW_QUIETS;
	uint64_t group;

	if (w->quiet[at] != QUIET || !((w->polls + i / QUIET_GROUP) & w->skip))
		return 0;
	if (i + QUIET_GROUP > end || at + QUIET_GROUP > SW_QUIETS)
		return 1;
	__builtin_memcpy(&group, &w->quiet[at], sizeof(group));
	return group == UINT64_MAX ? QUIET_GROUP - i % QUIET_GROUP : 1;
}

/* Nothing came: the time goes to those who got frames last. */
static RW_NOINLINE void settle(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned i = w->handed - w->settled > SW_FRESH ? w->handed - SW_FRESH : w->settled;

	for (; i != w->handed; i++) {
		uint16_t queue = w->fresh[i % SW_FRESH].queue;
		const struct sw_target *t = &plan->targets[w->fresh[i % SW_FRESH].port_id];

		/* The port or the queue may have gone since. */
		if (t->nqueues && t->running[queue] && t->port->ops->settle)
			t->port->ops->settle(t->port, queue);
	}
	w->settled = w->handed;
}

/*
 * The next queue's turn is about to come: what it has is on its way meanwhile. 64-byte frames, split rings,
 * ringway-bench, with and without in turn every 10 ms of one run: 67.4 -> 65.7 busy cycles each.
 */
static inline void look_ahead(const struct sw_poll *next)
{
	if (rw_likely(next->port->ops->ahead))
		next->port->ops->ahead(next->port, next->queue);
}

static unsigned poll_round(struct sw_worker *w, const struct sw_plan *plan)
{
	const unsigned first = plan->first_poll[w->index], end = plan->first_poll[w->index + 1];
	unsigned i = first, total = 0;

	if (rw_unlikely(plan->round))
		return plan->round(w, plan);
	for (; i < end; i++) {
		const struct sw_poll *from = &plan->polls[i];
		uint8_t *quiet = &w->quiet[i % SW_QUIETS];
		unsigned n = resting(w, i, end);

		if (n) {
			i += n - 1;
			continue;
		}
		n = from->port->ops->from(from->port, from->queue, w->frames, FRAME_BURST);
		if (!n) {
			*quiet += *quiet < QUIET;
			continue;
		}
		*quiet = 0;
		forward(w, plan, from, n);
		look_ahead(&plan->polls[i + 1 < end ? i + 1 : first]);
		from->port->ops->give_back(from->port, from->queue);
		total += n;
	}
	w->skip = total ? QUIET_TURNS - 1 : 0;
	if (!total && w->handed != w->settled)
		settle(w, plan);
	return total;
}

/* Keep the books of a round that took from `start` to `end` (TSC). */
static void account(struct sw_worker *w, uint64_t start, uint64_t end, unsigned frames)
{
	port_count(&w->polls, 1);
	if (frames) {
		port_count(&w->busy_polls, 1);
		port_count(&w->busy_cycles, end - start);
		port_count(&w->frames_seen, frames);
	} else {
		port_count(&w->idle_cycles, end - start);
	}
	sw_worker_clock(w, end);
}

/* One round, since `start` (TSC). When it ended. */
static inline uint64_t round_run(struct sw_worker *w, uint64_t start)
{
	/* Pairs with the release in sw_commit. */
	const struct sw_plan *plan = __atomic_load_n(&w->sw->plan, __ATOMIC_ACQUIRE);
	unsigned frames = poll_round(w, plan);
	uint64_t end;

	injection(w, plan);
	/* Nothing of this round's plan is held any more. */
	rte_rcu_qsbr_quiescent(w->sw->qsbr, w->index);
	end = rte_rdtsc();
	account(w, start, end, frames);
	return end;
}

void sw_round(struct sw *sw, unsigned index)
{
	round_run(sw->workers[index], rte_rdtsc());
}

int sw_worker_main(void *arg)
{
	struct sw_worker *w = arg;
	struct sw *sw = w->sw;
	uint64_t start = rte_rdtsc(), last = start; /* frame */

	rte_rcu_qsbr_thread_online(sw->qsbr, w->index);
	while (!__atomic_load_n(&sw->stop, __ATOMIC_RELAXED)) {
		uint64_t busy = w->busy_polls;

		start = round_run(w, start);
		if (w->busy_polls != busy)
			last = start;
		else if (rw_unlikely(start - last > sw->idle_after))
			start = last = sw_idle_sleep(w, start);
	}
	rte_rcu_qsbr_thread_offline(sw->qsbr, w->index);
	return 0;
}
