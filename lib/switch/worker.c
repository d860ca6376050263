/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worker: one poll round is, for each queue it owns, borrow a burst, decide where each frame
 * goes, hand each destination its frames at once, give the burst back.
 */
#include <string.h>

#include <rte_cycles.h>

#include "idle.h"

/* 01:80:c2:00:00:00 to 0f concern the link to the next bridge (IEEE 802.1Q, 8.6.3). */
static bool is_reserved(const struct frame *f)
{
	static const uint8_t prefix[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};

	return !__builtin_memcmp(frame_dst(f), prefix, sizeof(prefix)) && f->head[5] < 0x10;
}

/* Send what a list holds. */
static void out_send(struct sw_worker *w, struct sw_out *out)
{
	sw_txq_send(out->txq, out->frames, out->n, &out->tally);
	w->recent[w->filled % SW_RECENT].port_id = out->port_id;
	w->recent[w->filled++ % SW_RECENT].index = out->txq->index;
	out->n = 0;
	out->tally = (struct port_tally){0};
}

static void flush(struct sw_worker *w)
{
	for (unsigned i = 0; i < w->nouts; i++) {
		struct sw_out *out = &w->outs[i];

		w->out_of[out->port_id] = SW_NO_OUT;
		if (rw_likely(out->n))
			out_send(w, out);
	}
	w->nouts = 0;
}

/* The list of frames for a queue. */
static struct sw_out *out_get(struct sw_worker *w, uint16_t port_id, struct port_txq *txq)
{
	unsigned i = w->out_of[port_id];

	if (rw_likely(i != SW_NO_OUT && w->outs[i].txq == txq))
		return &w->outs[i];
	/* A port with several queues: its latest list was for another one. */
	if (i != SW_NO_OUT) {
		for (i = 0; i < w->nouts; i++) {
			if (w->outs[i].txq == txq)
				goto found;
		}
	}
	if (rw_unlikely(w->nouts == SW_MAX_OUTS))
		flush(w);
	i = w->nouts++;
	w->outs[i].txq = txq;
	w->outs[i].port_id = port_id;
	w->outs[i].n = 0;
	w->outs[i].tally = (struct port_tally){0};
found:
	w->out_of[port_id] = (uint16_t)i;
	return &w->outs[i];
}

/* Append `n` frames of one run or of several unicast ones, `bytes` in all; a full list is sent first. */
static inline void out_append(
	struct sw_worker *w, struct sw_out *out, struct frame *frames, unsigned n, uint64_t bytes)
{
	struct frame **to;

	if (rw_unlikely(out->n + n > FRAME_BURST))
		out_send(w, out);
	port_tally_add_run(&out->tally, frames, n, bytes);
	to = &out->frames[out->n];
	for (unsigned i = 0; i < n; i++)
		to[i] = &frames[i];
	out->n += n;
}

/* The queue on which the receiver gets this flow. */
static struct port_txq *pick_queue(const struct sw_target *t, const struct frame *f)
{
	uint32_t hash;
	int index;

	if (rw_likely(t->ntxqs == 1))
		return t->txqs[0];
	hash = frame_flow_hash(f);
	index = port_steer_find(t->steer, hash);
	if (index >= 0 && t->by_index[index])
		return t->by_index[index];
	return t->txqs[hash % t->ntxqs];
}

/* Each frame to the queue of its flow, if any queue runs. */
static RW_NOINLINE void deliver_each(struct sw_worker *w, const struct sw_target *t,
	uint16_t port_id, struct frame *frames, unsigned n)
{
	if (!t->ntxqs) {
		/* Between a port's end and the flush of its addresses there may be no port. */
		if (t->port)
			port_count(&t->port->unqueued[w->index].drops[PORT_DROP_LINK_DOWN], n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct frame *f = &frames[i];

		out_append(w, out_get(w, port_id, pick_queue(t, f)), f, 1, f->len);
	}
}

/* `n` frames, `bytes` in all, for a port; of one run or of several unicast ones. */
static void deliver(struct sw_worker *w, const struct sw_plan *plan, uint16_t port_id,
	struct frame *frames, unsigned n, uint64_t bytes)
{
	const struct sw_target *t = &plan->targets[port_id];

	if (rw_unlikely(t->ntxqs != 1)) {
		deliver_each(w, t, port_id, frames, n);
		return;
	}
	out_append(w, out_get(w, port_id, t->txqs[0]), frames, n, bytes);
}

/* One run to every port that is up but the one it came from. */
static void flood(struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from,
	struct frame *frames, unsigned n, uint64_t bytes)
{
	bool reached = false;

	for (unsigned i = 0; i < plan->nflood; i++) {
		if (plan->flood[i] == from->port->id)
			continue;
		deliver(w, plan, plan->flood[i], frames, n, bytes);
		reached = true;
	}
	if (!reached)
		port_count(&from->counters->drops[PORT_DROP_NO_PORT], n);
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

/* Count a burst of `nruns` runs; when none of them is for a group, all of it is one. */
static inline void count_received(
	const struct sw_worker *w, struct port_counters *c, unsigned nruns, bool group)
{
	struct port_tally tally = {.frames = w->run[nruns], .bytes = w->run_bytes[nruns]};

	if (rw_unlikely(group)) {
		tally = (struct port_tally){0};
		for (unsigned r = 0; r < nruns; r++)
			port_tally_add_run(&tally, &w->frames[w->run[r]],
				(unsigned)(w->run[r + 1] - w->run[r]),
				w->run_bytes[r + 1] - w->run_bytes[r]);
	}
	port_tally_commit(&tally, c);
}

/*
 * Frames come in runs: one sender, one receiver. Cut the burst into runs, w->run[i] being where the
 * i-th begins, have what the FDB knows of them fetched, and count it. How many there are. To remember
 * a queue's last run for its next burst was tried in two ways: 0.3 to 2 % more instructions.
 */
static unsigned runs_find(struct sw_worker *w, struct port_counters *c, unsigned n)
{
	/* Of the frame before; at first other than any frame's. */
	struct run_key last = {.lo = ~run_key_of(&w->frames[0]).lo};
	const struct fdb_hasher hasher = fdb_hasher(w->sw->fdb);
	unsigned nruns = 0;
	uint32_t bytes = 0;
	uint64_t any = 0;

	for (unsigned i = 0; i < n; i++) {
		struct frame *f = &w->frames[i];
		struct run_key key = run_key_of(f);

		if (rw_unlikely(!run_key_same(key, last))) {
			last = key;
			any |= key.lo;
			w->dests[nruns] = fdb_locate(&hasher, fdb_key_make(frame_dst(f), f->vlan));
			w->sources[nruns] = fdb_locate(
				&hasher, fdb_key_make(frame_src(f), f->vlan));
			w->run_bytes[nruns] = bytes;
			w->run[nruns++] = (uint8_t)i;
		}
		bytes += f->len;
	}
	w->run[nruns] = (uint8_t)n;
	w->run_bytes[nruns] = bytes;
	count_received(w, c, nruns, any & 1);
	return nruns;
}

/* Learn where the burst came from. */
static void learn(struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from,
	unsigned nruns, unsigned n)
{
	const struct sw_target *self = &plan->targets[from->port->id];

	fdb_learn_bulk(w->sw->fdb, w->sources, nruns, from->port->id, w->now_s);
	if (self->ntxqs <= 1)
		return;
	for (unsigned i = 0; i < n; i++)
		port_steer_learn(self->steer, frame_flow_hash(&w->frames[i]), from->index);
}

/* A run whose destination is not known, or none that frames may go to. */
static RW_NOINLINE void forward_other(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned r)
{
	struct frame *frames = &w->frames[w->run[r]];
	unsigned n = (unsigned)(w->run[r + 1] - w->run[r]);
	struct port_counters *c = from->counters;

	if (w->dst[r] == from->port->id)
		port_count(&c->drops[PORT_DROP_HAIRPIN], n);
	else if (is_reserved(frames))
		port_count(&c->drops[PORT_DROP_RESERVED], n);
	else
		flood(w, plan, from, frames, n, w->run_bytes[r + 1] - w->run_bytes[r]);
}

/* Each run to where it goes; runs for one port that follow each other go as one. */
static void distribute(struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from,
	unsigned nruns)
{
	unsigned next;

	w->dst[nruns] = FDB_HOP_NONE; /* no run goes on there */
	for (unsigned r = 0; r < nruns; r = next) {
		uint32_t dst = w->dst[r];
		bool known = dst != FDB_HOP_NONE && dst != from->port->id;

		next = r + 1;
		while (known && w->dst[next] == dst)
			next++;
		if (rw_likely(known))
			deliver(w, plan, dst, &w->frames[w->run[r]],
				(unsigned)(w->run[next] - w->run[r]),
				w->run_bytes[next] - w->run_bytes[r]);
		else
			forward_other(w, plan, from, r);
	}
}

static void forward(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned n)
{
	unsigned nruns = runs_find(w, from->counters, n);

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
	frame_init(f, slot->len);
	__builtin_memcpy(f->head, slot->bytes, FRAME_HEAD);
	f->vlan = frame_vlan(f);
	if (!plan->targets[slot->port_id].port)
		return true;
	if (fdb_learn(w->sw->fdb, fdb_key_make(frame_src(f), f->vlan), slot->port_id, w->now_s) ==
		FDB_BUSY)
		return false;
	for (unsigned i = 0; i < plan->nflood; i++) {
		if (plan->flood[i] != slot->port_id)
			deliver(w, plan, plan->flood[i], f, 1, f->len);
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
 * Back-off: a queue that was empty BACK_OFF_AFTER times in a row is looked at in one of BACK_OFF_TURNS rounds
 * only, while others keep the worker busy. tests/perf, "crowd", instructions for a frame of the only busy
 * port beside 62 such: 471 without this, 306 as it is; 302 alone. The first frame after a
 * silence waits for some bursts of other queues longer.
 */
#define BACK_OFF_AFTER 255
#define BACK_OFF_TURNS 16

/* Take over the queues of a new plan, all of them active. */
static RW_NOINLINE void rxqs_take(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned first = plan->first_rxq[w->index];

	w->nrxqs = plan->first_rxq[w->index + 1] - first;
	w->nactive = w->nrxqs;
	w->serial = plan->serial;
	memcpy(w->rxqs, &plan->rxqs[first], w->nrxqs * sizeof(w->rxqs[0]));
}

static inline void rxqs_swap(struct sw_worker *w, unsigned a, unsigned b)
{
	struct port_rxq *q = w->rxqs[a];

	w->rxqs[a] = w->rxqs[b];
	w->rxqs[b] = q;
}

/* Poll a queue; `next` is polled after it. How many frames it had. */
static inline unsigned poll_queue(
	struct sw_worker *w, const struct sw_plan *plan, struct port_rxq *q, struct port_rxq *next)
{
	unsigned n = q->burst(q, w->frames, FRAME_BURST);

	if (!n)
		return 0;
	forward(w, plan, q, n);
	/*
	 * What the next queue has is on its way meanwhile. 64-byte frames, split rings, ringway-bench, with
	 * and without in turn every 10 ms of one run: 67.4 -> 65.7 busy cycles each.
	 */
	next->prefetch(next);
	q->done(q);
	return n;
}

static unsigned poll_active(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned i = 0, total = 0;

	while (i < w->nactive) {
		struct port_rxq *q = w->rxqs[i];
		unsigned n = poll_queue(w, plan, q, w->rxqs[i + 1 < w->nactive ? i + 1 : 0]);

		total += n;
		if (n) {
			q->empty = 0;
		} else if (++q->empty == BACK_OFF_AFTER) {
			rxqs_swap(w, i, --w->nactive);
			continue;
		}
		i++;
	}
	return total;
}

/*
 * Look at those that were backed off when the round began, rxqs[first] and behind: at all of them when the
 * worker has nothing else to do.
 */
static unsigned poll_backed_off(struct sw_worker *w, const struct sw_plan *plan, unsigned first)
{
	unsigned n = w->nrxqs - first, total = 0;

	if (w->busy)
		n = (n + BACK_OFF_TURNS - 1) / BACK_OFF_TURNS;
	while (n--) {
		struct port_rxq *q;
		unsigned got;

		if (w->turn < first || w->turn >= w->nrxqs)
			w->turn = first;
		q = w->rxqs[w->turn];
		got = poll_queue(w, plan, q, q);
		if (got) {
			q->empty = 0;
			rxqs_swap(w, w->turn, w->nactive++);
			total += got;
		}
		w->turn++;
	}
	return total;
}

/* Nothing came: the time goes to the queues that got frames last. */
static RW_NOINLINE void demote(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned i = w->filled - w->demoted > SW_RECENT ? w->filled - SW_RECENT : w->demoted;

	for (; i != w->filled; i++) {
		/* The port or the queue may have gone since. */
		struct port_txq *q = plan->targets[w->recent[i % SW_RECENT].port_id]
					     .by_index[w->recent[i % SW_RECENT].index];

		if (!q || !q->demote)
			continue;
		port_txq_lock(q);
		q->demote(q);
		port_txq_unlock(q);
	}
	w->demoted = w->filled;
}

static unsigned poll_round(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned total, first;

	for (unsigned i = plan->first_txq[w->index]; i < plan->first_txq[w->index + 1]; i++)
		port_txq_poll(plan->txqs[i]);
	if (rw_unlikely(plan->round))
		return plan->round(w, plan);
	if (rw_unlikely(w->serial != plan->serial))
		rxqs_take(w, plan);
	first = w->nactive;
	total = poll_active(w, plan);
	total += poll_backed_off(w, plan, first);
	w->busy = total;
	if (!total && w->filled != w->demoted)
		demote(w, plan);
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
