/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "idle.h"
#include "rw_log.h"
#include "rw_numa.h"
#include "rw_text.h"
#include "snoop.h"

/*
 * Moves of a host within FDB_FLAP_S that are too many. A guest that moves does so once, one with
 * two links a few times; a loop moves a host with each frame.
 */
#define FLAP_MOVES 20
/* Hosts that flap of which the log may tell in a second. */
#define FLAPS_TOLD 8

/* A poll round takes microseconds. A worker that takes so long does not run. */
#define QUIESCE_LONG_S 2

static int workers_new(struct sw *sw, const struct sw_config *cfg)
{
	for (unsigned i = 0; i < cfg->nworkers; i++) {
		unsigned lcore = cfg->workers[i].lcore;
		struct sw_worker *w = rte_zmalloc_socket("worker", sizeof(*w), RTE_CACHE_LINE_SIZE,
			(int)rte_lcore_to_socket_id(lcore));

		if (!w)
			return -ENOMEM;
		*w = (struct sw_worker){.sw = sw,
			.index = i,
			.lcore = lcore,
			.cpu = cfg->workers[i].cpu,
			.seen = {.observer = sw_observer()},
			.node = rw_numa_node_of_cpu(cfg->workers[i].cpu)};
		memset(w->out_of, 0xff, sizeof(w->out_of));
		sw->workers[i] = w;
		/* calloc: large and sparse, as the plans; untouched pages cost nothing. */
		w->rxqs = calloc(SW_MAX_QUEUES, sizeof(struct port_rxq *));
		if (!w->rxqs)
			return -ENOMEM;
	}
	return 0;
}

static int qsbr_new(struct sw *sw)
{
	size_t size = rte_rcu_qsbr_get_memsize(sw->nworkers);

	/* Aligned to DPDK's cache line size, which may differ from ours. */
	sw->qsbr = rte_zmalloc("qsbr", size, RTE_CACHE_LINE_SIZE);
	if (!sw->qsbr)
		return -ENOMEM;
	return rte_rcu_qsbr_init(sw->qsbr, sw->nworkers) ? -EINVAL : 0;
}

int sw_new(const struct sw_config *cfg, struct sw **out)
{
	struct fdb_config fdb_cfg = {
		.max_entries = cfg->fdb_entries,
		.max_ports = SW_MAX_PORTS,
		.age_s = cfg->fdb_age_s,
		.flap_moves = FLAP_MOVES,
	};
	struct sw *sw = rw_zalloc(sizeof(*sw));
	int ret = -ENOMEM;

	if (!sw)
		return -ENOMEM;
	sw->nworkers = cfg->nworkers;
	sw->forward = cfg->forward;
	sw->forwarding = true;
	sw->tsc_start = rte_rdtsc();
	sw->tsc_hz = rte_get_tsc_hz();
	/* calloc: the plans are large and sparse, and untouched pages cost nothing. */
	sw->plan = calloc(1, sizeof(*sw->plan));
	sw->spare = calloc(1, sizeof(*sw->spare));
	sw->ports = calloc(SW_MAX_PORTS, sizeof(*sw->ports));
	sw->fdb = fdb_new(&fdb_cfg);
	sw->injection = rw_zalloc(sizeof(*sw->injection));
	if (!sw->plan || !sw->spare || !sw->ports || !sw->fdb || !sw->injection)
		goto err;
	ret = sw_domains_begin(sw, cfg->max_domains);
	if (!ret)
		ret = qsbr_new(sw);
	if (!ret)
		ret = sw_snoop_begin(sw);
	if (ret)
		goto err;
	ret = workers_new(sw, cfg);
	if (!ret)
		ret = sw_idle_begin(sw, cfg->idle);
	if (ret)
		goto err;
	*out = sw;
	return 0;
err:
	sw_free(sw);
	return ret;
}

void sw_free(struct sw *sw)
{
	if (!sw)
		return;
	sw_idle_end(sw);
	sw_domains_end(sw);
	for (unsigned i = 0; i < sw->nworkers && sw->workers[i]; i++) {
		free(sw->workers[i]->rxqs);
		rte_free(sw->workers[i]);
	}
	rte_free(sw->qsbr);
	fdb_free(sw->fdb);
	mdb_free(sw->mdb);
	rw_free(sw->injection);
	free(sw->ports);
	free(sw->spare);
	free(sw->plan);
	rw_free(sw);
}

/* Say which workers have not passed the quiescent point of `token` for QUIESCE_LONG_S. */
static void late_tell(const struct sw *sw, uint64_t token)
{
	for (unsigned i = 0; i < sw->nworkers; i++) {
		/* 0: it is offline. */
		uint64_t cnt = __atomic_load_n(&sw->qsbr->qsbr_cnt[i].cnt, __ATOMIC_RELAXED);

		if (cnt && cnt < token)
			rw_warning("the worker of CPU %u has not ended its poll round for %d s, "
				   "and control waits for it: what keeps it from running?",
				sw->workers[i]->cpu, QUIESCE_LONG_S);
	}
}

/*
 * Wait until every worker has passed a quiescent point or is offline. The same as
 * rte_rcu_qsbr_synchronize, but inline, so that ThreadSanitizer sees it. There is no way to go on
 * without a worker: it may still use what the caller wants to change or free. So a wait that is
 * long is told, and goes on.
 */
void sw_quiesce(struct sw *sw)
{
	uint64_t token = rte_rcu_qsbr_start(sw->qsbr), begun = rte_rdtsc();
	bool told = false;

	while (!rte_rcu_qsbr_check(sw->qsbr, token, false)) {
		rte_pause();
		if (told || rte_rdtsc() - begun < QUIESCE_LONG_S * sw->tsc_hz)
			continue;
		told = true;
		late_tell(sw, token);
	}
	if (told)
		rw_warning("control goes on after %ju ms",
			(uintmax_t)((rte_rdtsc() - begun) / (sw->tsc_hz / 1000)));
}

int sw_start(struct sw *sw)
{
	__atomic_store_n(&sw->stop, false, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < sw->nworkers; i++) {
		int ret = rte_rcu_qsbr_thread_register(sw->qsbr, i);

		if (!ret)
			ret = rte_eal_remote_launch(
				sw_worker_main, sw->workers[i], sw->workers[i]->lcore);
		if (ret) {
			sw_stop(sw);
			return ret;
		}
	}
	return 0;
}

void sw_stop(struct sw *sw)
{
	__atomic_store_n(&sw->stop, true, __ATOMIC_RELAXED);
	sw_idle_wake_all(sw);
	for (unsigned i = 0; i < sw->nworkers; i++)
		rte_eal_wait_lcore(sw->workers[i]->lcore);
	sw_quiesce(sw); /* acquires the workers' last writes */
	for (unsigned i = 0; i < sw->nworkers; i++)
		rte_rcu_qsbr_thread_unregister(sw->qsbr, i);
}

unsigned sw_nworkers(const struct sw *sw)
{
	return sw->nworkers;
}

struct fdb *sw_fdb(struct sw *sw)
{
	return sw->fdb;
}

void sw_rxq_set(struct sw *sw, struct port *port, uint16_t index, struct port_rxq *q)
{
	struct sw_port_state *state = &sw->ports[port->id];
	struct port_rxq *old = state->rxqs[index];

	if (old == q || state->leaves)
		return;
	sw->changed = true;
	state->rxqs[index] = q;
	if (!q)
		sw->load[state->rx_worker[index]]--;
	else if (!old && state->rxq_states[index].planned)
		/* No commit has stopped it yet: its worker may be using it. */
		sw->load[state->rx_worker[index]]++;
	else if (!old)
		sw_rxq_assign(sw, state, index);
}

void sw_txq_set(struct sw *sw, struct port *port, uint16_t index, struct port_txq *q)
{
	struct sw_port_state *state = &sw->ports[port->id];

	if (state->txqs[index] == q || state->leaves)
		return;
	sw->changed = true;
	state->txqs[index] = q;
}

static void plan_targets(const struct sw *sw, struct sw_plan *plan)
{
	plan->nflood = 0;
	plan->nup = 0;
	plan->isolation = false;
	for (unsigned id = 0; id < sw->id_end; id++) {
		const struct sw_port_state *state = &sw->ports[id];
		struct sw_target *t = &plan->targets[id];

		t->port = state->leaves ? NULL : state->port;
		t->ntxqs = 0;
		t->ncopies = 0;
		t->sink = false;
		t->direct = false;
		t->reach = SW_REACH_NORMAL;
		memset(t->by_index, 0, sizeof(t->by_index));
		if (!t->port)
			continue;
		t->steer = t->port->steer;
		memcpy(t->by_index, state->txqs, sizeof(t->by_index));
		for (unsigned q = 0; q < PORT_MAX_PAIRS; q++) {
			if (state->txqs[q])
				t->txqs[t->ntxqs++] = state->txqs[q];
		}
		sw_plan_policy(sw, plan, id);
		if (!t->ntxqs)
			continue;
		plan->up[plan->nup++] = (uint16_t)id;
		if (t->transparent)
			plan->flood[plan->nflood++] = (uint16_t)id;
	}
}

static void plan_rxqs(const struct sw *sw, struct sw_plan *plan)
{
	unsigned next[SW_MAX_WORKERS];

	plan->first_rxq[0] = 0;
	for (unsigned w = 0; w < sw->nworkers; w++) {
		next[w] = plan->first_rxq[w];
		plan->first_rxq[w + 1] = next[w] + sw->load[w];
	}
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_port_state *state = &sw->ports[id];

		for (unsigned q = 0; state->port && q < PORT_MAX_PAIRS; q++) {
			struct sw_rxq_state *st = &state->rxq_states[q];

			st->planned = state->rxqs[q] && !st->held;
			if (st->planned)
				plan->rxqs[next[state->rx_worker[q]]++] = state->rxqs[q];
		}
	}
}

/*
 * The worker that polls a tx queue with a backlog: that of the pair's rx queue, if the rx queue
 * runs.
 */
static unsigned txq_worker(const struct sw *sw, const struct port_txq *q)
{
	const struct sw_port_state *state = &sw->ports[q->port->id];

	return state->rxqs[q->index] ? state->rx_worker[q->index] : q->port->id % sw->nworkers;
}

/*
 * For each tx queue with a backlog: count it in its worker's `n`. With `give`, also store it in the
 * plan at that index.
 */
static void backlogs_each(const struct sw *sw, struct sw_plan *plan, unsigned *n, bool give)
{
	for (unsigned id = 0; id < sw->id_end; id++) {
		const struct sw_target *t = &plan->targets[id];

		/* Those of a mirror's destination, too. */
		for (unsigned k = 0; k < t->ntxqs + t->ncopies; k++) {
			struct port_txq *q = t->txqs[k];
			unsigned w;

			if (!q->backlog)
				continue;
			w = txq_worker(sw, q);
			if (give)
				plan->txqs[n[w]] = q;
			n[w]++;
		}
	}
}

static void plan_txqs(const struct sw *sw, struct sw_plan *plan)
{
	unsigned n[SW_MAX_WORKERS] = {0}, sum = 0;

	backlogs_each(sw, plan, n, false);
	for (unsigned w = 0; w < sw->nworkers; w++) {
		plan->first_txq[w] = sum;
		sum += n[w];
		n[w] = plan->first_txq[w];
	}
	plan->first_txq[sw->nworkers] = sum;
	backlogs_each(sw, plan, n, true);
}

void sw_commit(struct sw *sw)
{
	struct sw_plan *next = sw->spare;

	if (!sw->changed)
		return;
	sw->changed = false;
	next->serial = ++sw->serial;
	sw_plan_vlans(sw, next);
	plan_targets(sw, next);
	next->selective = next->edits || next->isolation;
	next->snooping = sw->snooping;
	sw_plan_domains(sw, next);
	plan_rxqs(sw, next);
	plan_txqs(sw, next);
	sw_plan_forward(sw, next);
	sw_plan_watch(sw, next);
	sw_idle_watch(sw, next);
	sw->spare = sw->plan;
	/* Pairs with the acquire in round_run: the worker sees a complete plan. */
	__atomic_store_n(&sw->plan, next, __ATOMIC_RELEASE);
	sw_idle_wake_all(sw);
	sw_quiesce(sw);
	sw_domains_committed(sw);
	sw_idle_unwatch(sw, sw->spare);
	sw_ports_forget(sw);
	sw_bridges_settle(sw);
	sw_policies_settle(sw);
}

void sw_commit_soon(struct sw *sw)
{
	if (!sw->held)
		sw_commit(sw);
}

void sw_hold(struct sw *sw)
{
	sw->held = true;
}

void sw_release(struct sw *sw)
{
	sw->held = false;
	sw_commit(sw);
}

void sw_rxq_wake(struct sw *sw, const struct port *port, uint16_t index)
{
	const struct sw_port_state *state = &sw->ports[port->id];

	if (state->rxqs[index])
		sw_idle_wake(sw, state->rx_worker[index]);
}

void sw_txq_wake(struct sw *sw, const struct port *port, uint16_t index)
{
	const struct port_txq *q = sw->ports[port->id].txqs[index];

	if (q)
		sw_idle_wake(sw, txq_worker(sw, q));
}

void sw_port_limit_addresses(struct sw *sw, const struct port *port, uint32_t max)
{
	fdb_set_limit(sw->fdb, port->id, max);
}

void sw_port_addresses(
	const struct sw *sw, const struct port *port, uint32_t *learned, uint64_t *excesses)
{
	struct fdb_port_stats stats;

	fdb_get_port_stats(sw->fdb, port->id, &stats);
	*learned = stats.learned;
	*excesses = stats.excesses;
}

void sw_port_flush(struct sw *sw, const struct port *port)
{
	sw_port_flush_addresses(sw, port);
	sw_snoop_forget(sw, port);
}

void sw_port_flush_addresses(struct sw *sw, const struct port *port)
{
	/* A frame that was injected and is sent after the flush would be learned again. */
	sw_inject_wait(sw);
	fdb_flush(sw->fdb, port->id);
}

bool sw_port_is_up(const struct sw *sw, const struct port *port)
{
	const struct sw_target *t = &sw->plan->targets[port->id];

	return t->ntxqs + t->ncopies > 0;
}

uint64_t sw_cycles_ns(const struct sw *sw, uint64_t cycles)
{
	return cycles / sw->tsc_hz * UINT64_C(1000000000) +
		cycles % sw->tsc_hz * UINT64_C(1000000000) / sw->tsc_hz;
}

uint32_t sw_now_s(const struct sw *sw)
{
	return (uint32_t)((rte_rdtsc() - sw->tsc_start) / sw->tsc_hz);
}

uint64_t sw_clock_start(const struct sw *sw)
{
	return sw->tsc_start;
}

void sw_clock_set(struct sw *sw, uint64_t start)
{
	sw->tsc_start = start;
}

/* Say which hosts began to flap. */
static void flaps_tell(struct sw *sw)
{
	struct fdb_flap flaps[FLAPS_TOLD];
	uint32_t n = fdb_flaps_take(sw->fdb, flaps, FLAPS_TOLD);

	for (uint32_t i = 0; i < n; i++) {
		const struct port *home = sw_port(sw, (uint16_t)flaps[i].home);
		const struct port *away = sw_port(sw, (uint16_t)flaps[i].away);
		uint8_t mac[RW_MAC_LEN];
		char text[RW_MAC_TEXT];
		struct sw_vlan vlan;

		if (!home || !away)
			continue;
		sw_tell(sw,
			&(struct sw_event){.kind = SW_EVENT_FLAPPING,
				.port = home,
				.other = away,
				.key = flaps[i].key});
		vlan = sw_domain_vlan(sw, fdb_key_domain(flaps[i].key));
		fdb_key_mac(flaps[i].key, mac);
		rw_log_limited(&sw->flap_limit, RW_LOG_WARNING,
			"host %s (%sVLAN %u%s%s) flaps between ports %s and %s: it stays behind %s "
			"for "
			"%d s; is there a loop?",
			rw_mac_text(mac, text), vlan.service ? "service " : "", vlan.id,
			vlan.bridge ? " of bridge " : "",
			vlan.bridge ? sw_bridge_name(sw, vlan.bridge) : "", home->name, away->name,
			home->name, FDB_HOLD_S);
	}
}

void sw_age(struct sw *sw)
{
	flaps_tell(sw);
	fdb_age(sw->fdb, sw_now_s(sw));
	sw_snoop_age(sw);
	sw_domains_tick(sw);
}

void sw_worker_read(const struct sw *sw, unsigned index, struct sw_worker_stats *out)
{
	const struct sw_worker *w = sw->workers[index];

	*out = (struct sw_worker_stats){
		.cpu = w->cpu,
		.queues = sw->plan->first_rxq[index + 1] - sw->plan->first_rxq[index],
		.polls = __atomic_load_n(&w->polls, __ATOMIC_RELAXED),
		.busy_polls = __atomic_load_n(&w->busy_polls, __ATOMIC_RELAXED),
		.busy_cycles = __atomic_load_n(&w->busy_cycles, __ATOMIC_RELAXED),
		.idle_cycles = __atomic_load_n(&w->idle_cycles, __ATOMIC_RELAXED),
		.frames = __atomic_load_n(&w->frames_seen, __ATOMIC_RELAXED),
	};
	sw_idle_read(sw, index, out);
}
