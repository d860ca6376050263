/* SPDX-License-Identifier: BSD-3-Clause */
/* Mirrors (sw_mirror.h). */
#include "sw_mirror.h"

#include <errno.h>

#include "plan.h"
#include "port_observer.h"

struct sw_mirror {
	struct sw_watch watch;
	struct sw *sw;
	struct sw_mirror_config cfg;
	uint16_t to;            /* atomic: id of the destination, or SW_NO_PORT */
	uint64_t nth;           /* atomic: frames so far, with `sample` above 1 */
	struct counts *workers; /* one for each */
};

/* Owner: the worker. Control reads it. */
struct counts {
	struct sw_mirror_counts n RW_CACHE_ALIGNED;
};

/* ---- workers ---- */

/* Which frames of a sight are copied. Returns how many. */
static unsigned choose(struct sw_mirror *m, const struct sw_sight *s, struct frame **list)
{
	const struct sw_mirror_config *cfg = &m->cfg;
	uint64_t nth = 0;
	unsigned n = 0, kept = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct sw_vlan vlan;

		list[n] = s->frames[i];
		if (!cfg->of_vlan) {
			n++;
			continue;
		}
		vlan = sw_sight_vlan(s, i);
		n += vlan.id == cfg->vlan.id &&
			vlan.bridge == __atomic_load_n(&cfg->vlan.bridge, __ATOMIC_RELAXED) &&
			(!vlan.id || vlan.service == cfg->vlan.service);
	}
	if (cfg->sample <= 1 || !n)
		return n;
	nth = __atomic_fetch_add(&m->nth, n, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++) {
		if (!((nth + i) % cfg->sample))
			list[kept++] = list[i];
	}
	return kept;
}

/* What a frame was before it was cut for a moment. */
struct uncut {
	uint32_t len, seg_len;
	uint16_t nsegs, head_len;
	struct frame_offload offload;
	struct rw_seg *seg; /* that was cut; NULL: none */
};

/*
 * Leave the first `snap` bytes of a frame. What is left asks for no checksum and no segmentation:
 * its headers are those of the whole frame, and it is sent as it is.
 */
static void cut(struct frame *f, uint32_t snap, struct uncut *was)
{
	uint32_t left;
	uint16_t k = 0;

	*was = (struct uncut){
		.len = f->len, .nsegs = f->nsegs, .head_len = f->head_len, .offload = f->offload};
	if (f->len <= snap)
		return;
	f->len = snap;
	f->head_len = (uint16_t)RW_MIN(snap, (uint32_t)f->head_len);
	f->offload = (struct frame_offload){0};
	for (left = snap - f->head_len; left && f->seg[k].len <= left; k++)
		left -= f->seg[k].len;
	f->nsegs = (uint16_t)(k + (left > 0));
	if (!left)
		return;
	was->seg = &f->seg[k];
	was->seg_len = was->seg->len;
	was->seg->len = left;
}

static void uncut(struct frame *f, const struct uncut *was)
{
	if (was->seg)
		was->seg->len = was->seg_len;
	f->len = was->len;
	f->nsegs = was->nsegs;
	f->head_len = was->head_len;
	f->offload = was->offload;
}

/* Observes the sending of copies: counts what is lost, and tells those who watch the port. */
struct copying {
	struct port_observer observer, *outer;
	uint64_t lost[PORT_NUM_DROPS];
};

static void copies_sent(
	struct port_observer *o, const struct port_txq *q, struct frame *const *frames, unsigned n)
{
	struct copying *c = rw_container_of(o, struct copying, observer);
	bool late = c->outer->late;

	c->outer->late |= o->late;
	c->outer->sent(c->outer, q, frames, n);
	c->outer->late = late;
}

static void copies_dropped(struct port_observer *o, const struct port_txq *q,
	struct frame *const *frames, unsigned n, enum port_drop why)
{
	struct copying *c = rw_container_of(o, struct copying, observer);
	bool late = c->outer->late;

	/* What comes from the backlog was counted as a copy before, perhaps of another mirror. */
	if (!o->late)
		c->lost[why] += n;
	c->outer->late |= o->late;
	c->outer->dropped(c->outer, q, frames, n, why);
	c->outer->late = late;
}

/* Buffers of the destination that are none: the copies go to others. */
static void copies_malformed(struct port_observer *o, const struct port *port, uint16_t index,
	bool rx, unsigned n, enum port_drop why)
{
	struct copying *c = rw_container_of(o, struct copying, observer);
	bool late = c->outer->late;

	c->outer->late |= o->late;
	c->outer->malformed(c->outer, port, index, rx, n, why);
	c->outer->late = late;
}

static void count_lost(struct sw_mirror_counts *n, const struct copying *c)
{
	for (unsigned why = 0; why < PORT_NUM_DROPS; why++) {
		if (c->lost[why])
			port_count(&n->lost[why], c->lost[why]);
	}
}

/* Send copies to a tx queue. The worker may hold the lock of a source's queue. */
static void copies_send(struct sw_worker *w, struct port_txq *q, struct frame **frames, unsigned n,
	struct sw_mirror_counts *counts)
{
	struct copying c = {.observer = {.sent = copies_sent,
				    .dropped = copies_dropped,
				    .malformed = copies_malformed},
		.outer = port_observer};

	port_observer = &c.observer;
	sw_txq_send_seen(w, q, frames, n, NULL);
	port_observer = c.outer;
	count_lost(counts, &c);
}

/* Bring frames, which are this function's, to the destination, or count why not. */
static void deliver(struct sw_mirror *m, struct sw_worker *w, struct frame **frames, unsigned n)
{
	struct sw_mirror_counts *counts = &m->workers[w->index].n;
	uint16_t to = __atomic_load_n(&m->to, __ATOMIC_RELAXED);
	const struct sw_target *t = to == SW_NO_PORT ? NULL : &w->seen.plan->targets[to];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += frames[i]->len;
	port_count(&counts->frames, n);
	port_count(&counts->bytes, bytes);
	/* A plan may be older, or newer, than what the mirror says. */
	if (!t || !t->port || !t->sink) {
		port_count(&counts->lost[SW_MIRROR_ABSENT], n);
	} else if (!t->ncopies) {
		enum port_drop why = t->closed ? PORT_DROP_ADMIN_DOWN : PORT_DROP_LINK_DOWN;

		port_count(&counts->lost[why], n);
		port_count(&t->port->unqueued[w->index].drops[why], n);
		sw_see_copies_lost(w, t, frames, n, why);
	} else {
		copies_send(w, t->txqs[w->index % t->ncopies], frames, n, counts);
	}
}

static void see(struct sw_watch *watch, const struct sw_sight *s)
{
	struct sw_mirror *m = rw_container_of(watch, struct sw_mirror, watch);
	struct sw_worker *w = m->sw->workers[s->worker];
	struct frame *list[FRAME_BURST], *cuts[FRAME_BURST];
	struct uncut was[FRAME_BURST];
	unsigned n;

	/* Copies are no source, nor is what the destination's guest sends. */
	if (w->seen.plan->targets[s->port].sink)
		return;
	n = choose(m, s, list);
	if (!n)
		return;
	if (!m->cfg.snap) {
		deliver(m, w, list, n);
		return;
	}
	/* The queue orders its list anew. */
	for (unsigned i = 0; i < n; i++) {
		cuts[i] = list[i];
		cut(cuts[i], m->cfg.snap, &was[i]);
	}
	deliver(m, w, list, n);
	/* In reverse order: a frame may have been there twice. */
	for (unsigned i = n; i--;)
		uncut(cuts[i], &was[i]);
}

/* ---- control ---- */

int sw_mirror_new(struct sw *sw, const struct sw_mirror_config *cfg, struct sw_mirror **out)
{
	struct sw_mirror *m;
	int ret = -ENOMEM;

	if (sw->nmirrors == SW_MIRRORS_MAX)
		return -ENOSPC;
	m = rw_zalloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->workers = rw_zalloc(sw->nworkers * sizeof(*m->workers));
	if (!m->workers)
		goto err;
	m->sw = sw;
	m->cfg = *cfg;
	m->to = SW_NO_PORT;
	m->watch = (struct sw_watch){.see = see,
		.wants = (cfg->rx ? SW_SEE_RX : 0u) | (cfg->tx ? SW_SEE_TX : 0u),
		.all = cfg->of_vlan,
		.last = true};
	ret = sw_watch_add(sw, &m->watch);
	if (ret)
		goto err;
	sw->mirrors[sw->nmirrors++] = m;
	sw_commit_soon(sw);
	*out = m;
	return 0;
err:
	rw_free(m->workers);
	rw_free(m);
	return ret;
}

void sw_mirror_free(struct sw *sw, struct sw_mirror *m)
{
	unsigned i = 0;

	while (sw->mirrors[i] != m)
		i++;
	sw->mirrors[i] = sw->mirrors[--sw->nmirrors];
	sw_watch_remove(sw, &m->watch);
	/*
	 * A mirror that is added now may have as a source what was this one's destination. So no
	 * worker may be behind: two of them could wait for the locks of each other's queues.
	 */
	sw_commit(sw);
	rw_free(m->workers);
	rw_free(m);
}

void sw_mirror_source(struct sw *sw, struct sw_mirror *m, const struct port *port)
{
	__atomic_or_fetch(
		&m->watch.ports[port->id / 64], UINT64_C(1) << port->id % 64, __ATOMIC_RELAXED);
	sw->changed = true;
	sw_commit_soon(sw);
}

void sw_mirror_to(struct sw *sw, struct sw_mirror *m, const struct port *port)
{
	__atomic_store_n(&m->to, port->id, __ATOMIC_RELAXED);
	sw->changed = true;
	sw_commit(sw);
	sw_port_flush(sw, port);
}

void sw_mirror_bridge(struct sw_mirror *m, uint16_t bridge)
{
	__atomic_store_n(&m->cfg.vlan.bridge, bridge, __ATOMIC_RELAXED);
}

void sw_mirror_read(const struct sw_mirror *m, struct sw_mirror_counts *out)
{
	*out = (struct sw_mirror_counts){0};
	for (unsigned w = 0; w < m->sw->nworkers; w++) {
		const struct sw_mirror_counts *n = &m->workers[w].n;

		out->frames += __atomic_load_n(&n->frames, __ATOMIC_RELAXED);
		out->bytes += __atomic_load_n(&n->bytes, __ATOMIC_RELAXED);
		for (unsigned why = 0; why < SW_MIRROR_LOSSES; why++)
			out->lost[why] += __atomic_load_n(&n->lost[why], __ATOMIC_RELAXED);
	}
}

const char *sw_mirror_loss_name(unsigned why)
{
	return why == SW_MIRROR_ABSENT ? "no_port" : port_drop_name((enum port_drop)why);
}

bool sw_is_sink(const struct sw *sw, uint16_t id)
{
	for (unsigned i = 0; i < sw->nmirrors; i++) {
		if (sw->mirrors[i]->to == id)
			return true;
	}
	return false;
}

void sw_mirrors_forget(struct sw *sw, uint16_t id)
{
	for (unsigned i = 0; i < sw->nmirrors; i++) {
		if (sw->mirrors[i]->to == id)
			__atomic_store_n(&sw->mirrors[i]->to, SW_NO_PORT, __ATOMIC_RELAXED);
	}
}
