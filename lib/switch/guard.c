/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port's rules refuse of the frames that come from it, and of those that go to it. */
#include <linux/virtio_net.h>
#include <rte_cycles.h>

#include "frame_parse.h"
#include "plan.h"

#define TCP_LEN_AT 12 /* of the byte that has the TCP header's length */
#define UDP_LEN    8

/* A worker's frame goes to another place; its segments stay where they are. */
static void frame_move(struct frame *to, const struct frame *from)
{
	to->seg = from->seg;
	to->len = from->len;
	to->nsegs = from->nsegs;
	to->head_len = from->head_len;
	to->vlan = from->vlan;
	to->offload = from->offload;
	to->mark = from->mark;
	__builtin_memcpy(to->head, from->head, RW_MAX(from->head_len, (uint16_t)FRAME_HEAD));
}

/* Count the frames that are not in `keep` as received, and close the gaps. How many stay. */
static unsigned refuse(struct sw_worker *w, const struct port_rxq *from, uint32_t keep, unsigned n)
{
	struct port_tally tally = {0};
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!(keep >> i & 1))
			port_tally_add(&tally, &w->frames[i]);
		else if (kept++ != i)
			frame_move(&w->frames[kept - 1], &w->frames[i]);
	}
	port_tally_commit(&tally, from->counters);
	return kept;
}

/* The length of a packet; of a large segment, that of its parts. UINT32_MAX: unknown. */
static uint32_t packet_len(struct frame *f)
{
	bool tagged = frame_has_tag(f, FRAME_TPID_CUSTOMER) || frame_has_tag(f, FRAME_TPID_SERVICE);
	uint32_t at = FRAME_MIN_LEN + (tagged ? FRAME_TAG_LEN : 0);
	uint32_t end = f->offload.csum_start, len = UDP_LEN;
	uint8_t type = f->offload.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (rw_likely(!f->offload.gso_type))
		return f->len > at ? f->len - at : 0;
	if (type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6) {
		if (!frame_reaches(f, end + TCP_LEN_AT + 1))
			return UINT32_MAX;
		len = (f->head[end + TCP_LEN_AT] >> 4) * 4u;
	}
	return end + len - at + f->offload.gso_size;
}

/* Which frames are not longer than the MTU. */
static uint32_t fitting(struct frame *frames, uint32_t which, uint32_t mtu)
{
	uint32_t fit = which;

	for (uint32_t left = which; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);

		if (packet_len(&frames[i]) > mtu)
			fit &= ~(UINT32_C(1) << i);
	}
	return fit;
}

/* Whose frames are judged: those of a queue, or those for a port. */
struct place {
	struct sw_worker *w;
	const struct port_rxq *from;
	const struct sw_target *to; /* NULL: those of `from` */
	struct frame *frames;
};

/* Drop those of `which` that are not in `keep`, which is returned. */
static inline uint32_t drop(
	const struct place *p, uint32_t which, uint32_t keep, enum port_drop why)
{
	if (rw_likely(keep == which))
		return keep;
	if (p->to)
		sw_drop_tx(p->w, p->to, p->frames, which & ~keep, why);
	else
		sw_drop_rx(p->w, p->from, p->frames, which & ~keep, SW_NO_PORT, why);
	return keep;
}

static uint64_t bytes_of(const struct frame *frames, uint32_t which)
{
	uint64_t bytes = 0;

	for (uint32_t left = which; left; left &= left - 1)
		bytes += frames[__builtin_ctz(left)].len;
	return bytes;
}

/* Which frames, `bytes` in all, pass a limit, if there is one. */
static uint32_t police(const struct place *p, struct port_meter *m, const struct port_rate *rate,
	uint32_t which, uint64_t bytes)
{
	struct port_meter copy;
	uint64_t now;

	if (!port_rate_is_set(rate) || !which)
		return which;
	now = rte_rdtsc();
	if (rw_unlikely(p->w->seen.dry)) {
		port_meter_copy(m, &copy);
		m = &copy;
	}
	if (rw_likely(
		    port_meter_pass_all(m, rate, now, (uint32_t)__builtin_popcount(which), bytes)))
		return which;
	return port_meter_pass(m, rate, now, p->frames, which);
}

/* Storm control for broadcasts and multicasts. */
static uint32_t calm(const struct sw_rules *rules, const struct place *p, uint32_t which)
{
	const struct frame *frames = p->frames;
	uint32_t broadcasts = 0, multicasts = 0, quiet;

	for (uint32_t left = which; left; left &= left - 1) {
		const struct frame *f = &frames[__builtin_ctz(left)];

		if (rw_likely(!frame_is_group(f)))
			continue;
		if (frame_is_broadcast(f))
			broadcasts |= left & -left;
		else
			multicasts |= left & -left;
	}
	quiet = which & ~(broadcasts | multicasts);
	if (broadcasts)
		quiet |= drop(p, broadcasts,
			police(p, &rules->meters->storm[SW_STORM_BROADCAST],
				&rules->storm[SW_STORM_BROADCAST], broadcasts,
				bytes_of(frames, broadcasts)),
			PORT_DROP_STORM_BROADCAST);
	if (multicasts)
		quiet |= drop(p, multicasts,
			police(p, &rules->meters->storm[SW_STORM_MULTICAST],
				&rules->storm[SW_STORM_MULTICAST], multicasts,
				bytes_of(frames, multicasts)),
			PORT_DROP_STORM_MULTICAST);
	return quiet;
}

/* What frames are like. */
struct survey {
	uint64_t bytes; /* of all of them */
	uint8_t first;  /* bits that the first byte of some destination has */
};

static struct survey survey(const struct frame *frames, unsigned n)
{
	struct survey s = {0};

	for (const struct frame *f = frames; f < frames + n; f++) {
		s.bytes += f->len;
		s.first |= f->head[0];
	}
	return s;
}

/*
 * How many frames from `f` on, the first one included, are of its flow as rules see it; most are.
 * All of them are added to the survey.
 */
static inline unsigned flow_take(const struct frame *f, const struct frame *end, struct survey *s)
{
	const struct frame *first = f;
	uint64_t bytes = s->bytes;
	uint8_t bits = s->first;
	struct sw_claim claim;

	sw_claim_begin(&claim, f);
	if (rw_unlikely(claim.odd))
		end = f + 1;
	do {
		bytes += f->len;
		bits |= f->head[0];
		f++;
	} while (f < end && sw_claim_same(&claim, f));
	*s = (struct survey){.bytes = bytes, .first = bits};
	return (unsigned)(f - first);
}

/* Which of `n` frames claim what they may; also survey them. */
static uint32_t honest(
	const struct sw_rules *rules, const struct place *p, unsigned n, struct survey *s)
{
	struct frame *frames = p->frames;
	uint32_t keep = sw_bits(n);
	unsigned alike;

	for (unsigned i = 0; i < n; i += alike) {
		enum port_drop why = sw_spoof_check(rules, &frames[i]);

		alike = flow_take(&frames[i], &frames[n], s);
		if (rw_likely(why == PORT_NUM_DROPS))
			continue;
		keep = drop(p, keep, keep & ~(sw_bits(alike) << i), why);
	}
	return keep;
}

unsigned sw_guard(
	struct sw_worker *w, const struct sw_rules *rules, const struct port_rxq *from, unsigned n)
{
	const uint32_t all = sw_bits(n);
	const struct place p = {.w = w, .from = from, .frames = w->frames};
	struct survey seen = {0};
	uint32_t keep = all;

	if (rules->mute) {
		drop(&p, all, 0, rules->set.down ? PORT_DROP_ADMIN_DOWN : PORT_DROP_MIRROR);
		return refuse(w, from, 0, n);
	}
	if (rules->parsed)
		keep = honest(rules, &p, n, &seen);
	else
		seen = survey(w->frames, n);
	if (rules->set.mtu)
		keep = drop(&p, keep, fitting(w->frames, keep, rules->set.mtu), PORT_DROP_MTU);
	if (rules->grouped && seen.first & 1)
		keep = calm(rules, &p, keep);
	if (rw_unlikely(keep != all))
		seen.bytes = bytes_of(w->frames, keep);
	if (port_rate_is_set(&rules->rx))
		keep = drop(&p, keep, police(&p, &rules->meters->rx, &rules->rx, keep, seen.bytes),
			PORT_DROP_RATE);
	return keep == all ? n : refuse(w, from, keep, n);
}

void sw_guard_unknown(struct sw_worker *w, const struct sw_rules *rules, struct sw_lot *lot)
{
	const struct place p = {.w = w, .from = lot->from, .frames = lot->frames};
	const uint32_t all = sw_bits(lot->n);
	uint32_t pass;

	if (!port_rate_is_set(&rules->storm[SW_STORM_UNKNOWN]) || frame_is_group(lot->frames))
		return;
	pass = drop(&p, all,
		police(&p, &rules->meters->storm[SW_STORM_UNKNOWN], &rules->storm[SW_STORM_UNKNOWN],
			all, lot->bytes),
		PORT_DROP_STORM_UNKNOWN);
	if (pass == all)
		return;
	lot->n = 0;
	lot->bytes = 0;
	for (uint32_t left = pass; left; left &= left - 1) {
		struct frame *f = &lot->frames[__builtin_ctz(left)], *to = &lot->frames[lot->n++];

		lot->bytes += f->len;
		if (to != f)
			frame_move(to, f);
	}
}

uint32_t sw_guard_tx(struct sw_worker *w, const struct sw_target *to, struct frame *frames,
	unsigned n, uint64_t bytes)
{
	const struct sw_rules *rules = to->limits;
	const struct place p = {.w = w, .to = to, .frames = frames};
	const uint32_t all = sw_bits(n);
	uint32_t pass = all;

	if (rules->set.mtu)
		pass = drop(&p, pass, fitting(frames, pass, rules->set.mtu), PORT_DROP_MTU);
	if (rw_unlikely(pass != all))
		bytes = bytes_of(frames, pass);
	if (port_rate_is_set(&rules->tx))
		pass = drop(&p, pass, police(&p, &rules->meters->tx, &rules->tx, pass, bytes),
			PORT_DROP_RATE);
	return pass;
}

void sw_learn_each(struct sw_worker *w, const struct port_rxq *from, unsigned nruns, uint32_t *how)
{
	const struct fdb_hasher hasher = fdb_hasher(w->sw->fdb);

	w->refused = 0;
	for (unsigned r = 0; r < nruns; r++) {
		enum fdb_learned learned = rw_unlikely(w->seen.dry)
			? sw_explain_learn(w, from, r)
			: fdb_learn(w->sw->fdb, w->sources[r].key, from->port->id, w->now_s);

		if (how)
			how[r] = learned;
		if (learned != FDB_EXCESS)
			continue;
		w->refused |= UINT32_C(1) << r;
		w->dests[r] = fdb_locate(&hasher, 0); /* no address */
	}
}
