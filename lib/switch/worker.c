/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worker. In one poll round, for each rx queue it owns, it fetches a burst, decides where each
 * frame goes, sends each destination its frames together, and completes the burst.
 */
#include <rte_cycles.h>

#include "idle.h"
#include "out.h"

/* 01:80:c2:00:00:00 to 0f concern the link to the next bridge (IEEE 802.1Q, 8.6.3). */
static bool is_reserved(const struct frame *f)
{
	static const uint8_t prefix[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};

	return !__builtin_memcmp(frame_dst(f), prefix, sizeof(prefix)) && f->head[5] < 0x10;
}

/* Identifies a frame's run: both addresses, the EtherType and, if there is one, the VLAN tag. */
struct run_key {
	uint64_t lo, hi;
};

/* Also sets f->vlan from a tag with that TPID. */
static inline struct run_key run_key_of(struct frame *f, uint16_t tpid)
{
	struct run_key key;

	__builtin_memcpy(&key, f->head, sizeof(key));
	f->vlan = 0;
	if (rw_unlikely(frame_has_tag(f, tpid))) {
		f->vlan = frame_vlan(f, tpid);
		if (f->vlan)
			return key;
	}
	key.hi &= UINT64_C(0xffffffffffff);
	return key;
}

/* The addresses of a run as FDB keys. The byte order is the same in both. */
static inline fdb_key run_key_dst(struct run_key key, uint16_t domain)
{
	return fdb_key_of(key.lo, domain);
}

static inline fdb_key run_key_src(struct run_key key, uint16_t domain)
{
	/* Learn nothing from a frame that is dropped: key 0 is no address. */
	return rw_likely(domain) ? fdb_key_of(key.lo >> 48 | key.hi << 16, domain) : 0;
}

static inline bool run_key_same(struct run_key a, struct run_key b)
{
	return !((a.lo ^ b.lo) | (a.hi ^ b.hi));
}

/* Count a burst of `nruns` runs. If no destination is a group address, count it as one run. */
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

/* The domain of untagged frames received from `self`; SW_DOMAIN_NONE: call sw_domain_from. */
static inline uint16_t domain_untagged(const struct sw_target *self)
{
	/* Pairs with the release in number_give (domain.c). */
	return __atomic_load_n(&self->domains[0], __ATOMIC_ACQUIRE);
}

RW_NOINLINE uint16_t sw_domain_from(
	struct sw_worker *w, const struct sw_target *self, uint16_t vlan)
{
	uint16_t domain;
	uint32_t *seen_s;

	if (rw_unlikely(vlan >= SW_VLANS))
		return SW_DOMAIN_NONE;
	if (!self->transparent)
		return self->domains[vlan];
	domain = sw_domain_of(w->sw,
		(struct sw_vlan){.bridge = self->bridge, .id = vlan, .service = self->service});
	seen_s = &w->sw->domains->domain[domain].seen_s;
	if (__atomic_load_n(seen_s, __ATOMIC_RELAXED) != w->now_s)
		__atomic_store_n(seen_s, w->now_s, __ATOMIC_RELAXED);
	return domain;
}

/*
 * Frames come in runs with one sender and one receiver. Split the burst into runs (w->run[i] is the
 * first frame of run i), prefetch the FDB buckets of their addresses, and count the burst. Returns
 * the number of runs. Keeping a queue's last run for its next burst was tried in two ways: it took
 * 0.3 to 2 % more instructions.
 */
static unsigned runs_find(
	struct sw_worker *w, const struct sw_target *self, struct port_counters *c, unsigned n)
{
	/* The key of the previous frame; initially different from the first frame's. */
	struct run_key last = {.lo = ~run_key_of(&w->frames[0], self->tpid).lo};
	const struct fdb_hasher hasher = fdb_hasher(w->sw->fdb);
	const uint16_t untagged = domain_untagged(self), tpid = self->tpid;
	unsigned nruns = 0;
	uint32_t bytes = 0;
	uint64_t any = 0;

	for (unsigned i = 0; i < n; i++) {
		struct frame *f = &w->frames[i];
		struct run_key key = run_key_of(f, tpid);
		uint16_t domain;

		if (rw_unlikely(!run_key_same(key, last))) {
			last = key;
			any |= key.lo;
			domain = untagged;
			if (rw_unlikely(f->vlan || !untagged))
				domain = sw_domain_from(w, self, f->vlan);
			w->domain[nruns] = domain;
			w->dests[nruns] = fdb_locate(&hasher, run_key_dst(key, domain));
			w->sources[nruns] = fdb_locate(&hasher, run_key_src(key, domain));
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

/* Learn the source addresses and flows of the burst. */
RW_ALWAYS_INLINE void learn(struct sw_worker *w, const struct sw_plan *plan,
	const struct port_rxq *from, unsigned nruns, unsigned n, const bool staged)
{
	const struct sw_target *self = &plan->targets[from->port->id];
	uint32_t how[FRAME_BURST];

	if (staged) {
		sw_learn_each(w, from, nruns, how);
		sw_see_runs(w, from, nruns, SW_STAGE_LEARN, how);
	} else if (rw_unlikely(self->strict)) {
		sw_learn_each(w, from, nruns, NULL);
	} else {
		fdb_learn_bulk(w->sw->fdb, w->sources, nruns, from->port->id, w->now_s);
	}
	if (self->ntxqs <= 1 || w->seen.dry)
		return;
	for (unsigned i = 0; i < n; i++)
		port_steer_learn(self->steer, frame_flow_hash(&w->frames[i]), from->index);
}

static inline void deliver(struct sw_worker *w, const struct sw_plan *plan, uint32_t port_id,
	struct frame *frames, unsigned n, uint64_t bytes)
{
	sw_deliver(w, &plan->targets[port_id], frames, n, bytes, (struct frame_edit){0});
}

static void see_domains(struct sw_worker *w, const struct port_rxq *from, unsigned nruns)
{
	uint32_t domain[FRAME_BURST];

	for (unsigned r = 0; r < nruns; r++)
		domain[r] = w->domain[r];
	sw_see_runs(w, from, nruns, SW_STAGE_DOMAIN, domain);
}

/* Flood or drop run `r`, whose destination is unknown or must not receive it. */
static RW_NOINLINE void forward_other(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned r)
{
	const struct sw_target *self = &plan->targets[from->port->id];
	struct sw_lot lot = {.frames = &w->frames[w->run[r]],
		.n = (unsigned)(w->run[r + 1] - w->run[r]),
		.bytes = w->run_bytes[r + 1] - w->run_bytes[r],
		.domain = w->domain[r],
		.from = from};
	enum port_drop why;

	if (lot.frames->vlan >= SW_VLANS) {
		why = PORT_DROP_VLAN_ID;
	} else if (!lot.domain) {
		why = self->transparent ? PORT_DROP_NO_DOMAIN : PORT_DROP_VLAN;
	} else if (self->strict && w->refused >> r & 1) {
		why = PORT_DROP_ADDRESS_LIMIT;
	} else if (w->dst[r] == from->port->id) {
		why = PORT_DROP_HAIRPIN;
	} else if (is_reserved(lot.frames) && !(self->link_local >> lot.frames->head[5] & 1)) {
		why = PORT_DROP_RESERVED;
	} else {
		if (rw_unlikely(self->guard))
			sw_guard_unknown(w, self->guard, &lot);
		why = lot.n ? sw_flood(w, plan, &lot, from->port) : PORT_NUM_DROPS;
	}
	if (why != PORT_NUM_DROPS)
		sw_drop_rx(w, from, lot.frames, sw_bits(lot.n), SW_NO_PORT, why);
}

/* Whether isolation forbids the runs from `r` to `end` their destination; then they are dropped. */
static bool drop_isolated(struct sw_worker *w, const struct sw_plan *plan,
	const struct port_rxq *from, unsigned r, unsigned end)
{
	if (sw_may_reach(plan->targets[from->port->id].reach, plan->targets[w->dst[r]].reach))
		return false;
	sw_drop_rx(w, from, &w->frames[w->run[r]], sw_bits((unsigned)(w->run[end] - w->run[r])),
		(uint16_t)w->dst[r], PORT_DROP_ISOLATED);
	return true;
}

/* Whether two runs for one port are alike to it: of one domain, and tagged in the same way. */
static inline bool is_alike(const struct sw_worker *w, unsigned a, unsigned b)
{
	const struct frame *x = &w->frames[w->run[a]], *y = &w->frames[w->run[b]];

	return w->domain[a] == w->domain[b] && frame_type(x) == frame_type(y) && x->vlan == y->vlan;
}

/*
 * Deliver the runs from `r` to `end`, which are alike, to the port of their destination, if some
 * ports have memberships. False: that port is not a member of the domain any more.
 */
static RW_NOINLINE bool deliver_to_member(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_target *self, unsigned r, unsigned end)
{
	const struct sw_target *t = &plan->targets[w->dst[r]];
	const struct sw_vlan vlan = sw_vlan_of(w->sw, w->domain[r]);
	enum sw_form form = sw_target_form(t, w->domain[r], vlan);
	const struct sw_lot lot = {.frames = &w->frames[w->run[r]],
		.n = (unsigned)(w->run[end] - w->run[r]),
		.bytes = w->run_bytes[end] - w->run_bytes[r]};

	if (form == SW_FORM_NONE)
		return false;
	sw_deliver_form(w, self, t, &lot, sw_edit_for(lot.frames, vlan, form));
	return true;
}

/*
 * As distribute, for a plan in which a receiver may get another form of a frame, or
 * must not get it.
 */
static RW_NOINLINE void distribute_edited(struct sw_worker *w, const struct sw_plan *plan,
	const struct port_rxq *from, unsigned nruns)
{
	const struct sw_target *self = &plan->targets[from->port->id];
	unsigned next;

	for (unsigned r = 0; r < nruns; r = next) {
		bool known = w->domain[r] && w->dst[r] < SW_MAX_PORTS &&
			w->dst[r] != from->port->id;

		next = r + 1;
		while (known && w->dst[next] == w->dst[r] && is_alike(w, r, next))
			next++;
		if (known && plan->isolation && drop_isolated(w, plan, from, r, next))
			continue;
		if (known && deliver_to_member(w, plan, self, r, next))
			continue;
		for (unsigned i = r; i < next; i++)
			forward_other(w, plan, from, i);
	}
}

/* Deliver each run to its destination. Consecutive runs for one port are delivered together. */
static void distribute(struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from,
	unsigned nruns)
{
	unsigned next;

	w->dst[nruns] = FDB_HOP_NONE; /* end mark */
	if (rw_unlikely(plan->selective)) {
		distribute_edited(w, plan, from, nruns);
		return;
	}
	for (unsigned r = 0; r < nruns; r = next) {
		uint32_t dst = w->dst[r];
		/* Not a port: unknown, or an external next hop, which is not supported yet. */
		bool known = dst < SW_MAX_PORTS && dst != from->port->id;

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

/* `staged`: somebody watches what is decided. */
RW_ALWAYS_INLINE void forward_as(struct sw_worker *w, const struct sw_plan *plan,
	const struct port_rxq *from, unsigned n, const bool staged)
{
	const struct sw_target *self = &plan->targets[from->port->id];
	unsigned nruns;

	if (rw_unlikely(self->guard)) {
		n = sw_guard(w, self->guard, from, n);
		if (!n)
			return;
		if (staged)
			sw_see_stage(w, from, n, SW_STAGE_POLICY, NULL);
	}
	nruns = runs_find(w, self, from->counters, n);
	if (staged)
		see_domains(w, from, nruns);
	learn(w, plan, from, nruns, n, staged);
	fdb_lookup_bulk(w->sw->fdb, w->dests, w->dst, nruns);
	if (staged) {
		if (w->seen.dry)
			sw_explain_lookup(w, nruns);
		sw_see_runs(w, from, nruns, SW_STAGE_LOOKUP, w->dst);
	}
	distribute(w, plan, from, nruns);
	sw_out_flush(w);
}

static void forward(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned n)
{
	forward_as(w, plan, from, n, false);
}

RW_NOINLINE void sw_forward_staged(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned n)
{
	forward_as(w, plan, from, n, true);
}

/* In a round in which somebody watches. */
static inline void forward_seen(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned n)
{
	if (rw_unlikely(sw_sees_stages(&w->seen) && plan->targets[from->port->id].seen))
		sw_forward_staged(w, plan, from, n);
	else
		forward(w, plan, from, n);
}

/* Send injected frames, if there are any. Only worker 0 does, so that their order is kept. */
static inline void injection(struct sw_worker *w, const struct sw_plan *plan)
{
	uint32_t head;

	if (w->index)
		return;
	/* Pairs with the release in sw_inject. */
	head = __atomic_load_n(&w->sw->injection->head, __ATOMIC_ACQUIRE);
	if (rw_unlikely(head != w->sw->injection->tail))
		sw_inject_send(w, plan, head);
}

/*
 * Back-off: a queue that was empty in BACK_OFF_AFTER consecutive polls is polled in only one of
 * BACK_OFF_TURNS rounds while other queues keep the worker busy. tests/perf, "crowd", instructions
 * for each frame of the only busy port: 471 beside 62 idle ports without back-off, 306 with it, 302
 * without idle ports. The first frame after a silence waits longer, for some bursts of other
 * queues.
 */
#define BACK_OFF_AFTER 255
#define BACK_OFF_TURNS 16

/* Take the rx queues from a new plan. All of them start as active. */
static RW_NOINLINE void rxqs_take(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned first = plan->first_rxq[w->index];

	w->nrxqs = plan->first_rxq[w->index + 1] - first;
	w->nactive = w->nrxqs;
	w->serial = plan->serial;
	for (unsigned i = 0; i < w->nrxqs; i++)
		w->rxqs[i] = plan->rxqs[first + i];
}

static inline void rxqs_swap(struct sw_worker *w, unsigned a, unsigned b)
{
	struct port_rxq *q = w->rxqs[a];

	w->rxqs[a] = w->rxqs[b];
	w->rxqs[b] = q;
}

/* Poll a queue; `next` is polled after it. Returns how many frames came. */
RW_ALWAYS_INLINE unsigned poll_queue(struct sw_worker *w, const struct sw_plan *plan,
	struct port_rxq *q, struct port_rxq *next, const bool seen)
{
	unsigned n = seen ? sw_burst_beside(w, plan, q) : q->burst(q, w->frames, FRAME_BURST);

	if (!n)
		return 0;
	if (n == FRAME_BURST)
		port_rxq_lags(q, w->round_at);
	else
		q->lag.at = 0;
	if (seen)
		forward_seen(w, plan, q, n);
	else
		forward(w, plan, q, n);
	/*
	 * Prefetch the next queue while this burst is completed. 64-byte frames, split rings,
	 * ringway-bench, alternating every 10 ms in one run: 67.4 busy cycles for each frame
	 * without the prefetch, 65.7 with it.
	 */
	next->prefetch(next);
	q->done(q);
	return n;
}

RW_ALWAYS_INLINE unsigned poll_active(
	struct sw_worker *w, const struct sw_plan *plan, const bool seen)
{
	unsigned i = 0, total = 0;

	while (i < w->nactive) {
		struct port_rxq *q = w->rxqs[i];
		struct port_rxq *next = w->rxqs[i + 1 < w->nactive ? i + 1 : 0];
		unsigned n = poll_queue(w, plan, q, next, seen);

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
 * Poll the queues that were backed off when the round began, from rxqs[first] on. Poll all of them
 * if the previous round found no frame, else 1/BACK_OFF_TURNS of them.
 */
RW_ALWAYS_INLINE unsigned poll_backed_off(
	struct sw_worker *w, const struct sw_plan *plan, unsigned first, const bool seen)
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
		got = poll_queue(w, plan, q, q, seen);
		if (got) {
			q->empty = 0;
			rxqs_swap(w, w->turn, w->nactive++);
			total += got;
		}
		w->turn++;
	}
	return total;
}

/* Demote the tx queues that got frames last. Called in a round without frames. */
static RW_NOINLINE void demote(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned i = w->filled - w->demoted > SW_RECENT ? w->filled - SW_RECENT : w->demoted;

	for (; i != w->filled; i++) {
		/* The port may have been deleted, or the queue stopped, since. */
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

RW_ALWAYS_INLINE unsigned switch_round(
	struct sw_worker *w, const struct sw_plan *plan, const bool seen)
{
	unsigned total, first;

	sw_backlogs_poll(w, plan);
	if (rw_unlikely(w->serial != plan->serial))
		rxqs_take(w, plan);
	first = w->nactive;
	total = poll_active(w, plan, seen);
	total += poll_backed_off(w, plan, first, seen);
	w->busy = total;
	if (!total && w->filled != w->demoted)
		demote(w, plan);
	return total;
}

unsigned sw_round_seen(struct sw_worker *w, const struct sw_plan *plan)
{
	unsigned total;

	sw_seen_begin(w, plan);
	total = plan->inner ? plan->inner(w, plan) : switch_round(w, plan, true);
	sw_seen_end(w);
	return total;
}

static unsigned poll_round(struct sw_worker *w, const struct sw_plan *plan)
{
	if (rw_unlikely(plan->round))
		return plan->round(w, plan);
	return switch_round(w, plan, false);
}

/* Update the statistics after a round that took from `start` to `end` (TSC). */
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

/* Run one round, which began at `start` (TSC). Returns the TSC at which it ended. */
static inline uint64_t round_run(struct sw_worker *w, uint64_t start)
{
	/* Pairs with the release in sw_commit. */
	const struct sw_plan *plan = __atomic_load_n(&w->sw->plan, __ATOMIC_ACQUIRE);
	unsigned frames;
	uint64_t end;

	w->round_at = start;
	frames = poll_round(w, plan);
	injection(w, plan);
	/* The worker uses nothing of this round's plan any more. */
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
	uint64_t start = rte_rdtsc(), last = start; /* last: last frame */

	rte_rcu_qsbr_thread_online(sw->qsbr, w->index);
	while (!__atomic_load_n(&sw->stop, __ATOMIC_RELAXED)) {
		uint64_t busy = w->busy_polls;

		start = round_run(w, start);
		if (w->busy_polls != busy) {
			last = start;
		} else if (rw_unlikely(start - last > sw->idle_after)) {
			start = sw_idle_sleep(w, start);
			if (!w->napped)
				last = start;
		}
	}
	rte_rcu_qsbr_thread_offline(sw->qsbr, w->index);
	return 0;
}
