/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A switch with ports that are played: they send and record frames, and each worker's rounds are
 * made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "out.h"
#include "port_observer.h"

#define LEN       100 /* of a frame without a tag */
#define MAX_GOT   128
#define UNTAGGED  (-1)
#define NPORTS    5
#define MAX_LEN   512
#define BROADCAST 0xff
#define SERVICE   0x10000 /* in a TCI: the tag is a service VLAN's */
#define CARRIES   0x20000 /* in a TCI: a tag of the other kind with VLAN id 33 is behind it */

/* A port that sends what `pending` says and keeps what it gets. */
struct fake {
	struct port port;
	struct port_rxq rxq;
	struct port_txq txq;
	struct rw_seg segs[FRAME_BURST];
	uint8_t pending[FRAME_BURST][MAX_LEN];
	uint32_t len[FRAME_BURST];
	unsigned npending;
	struct frame_offload offload; /* of all frames that it sends */
	unsigned nbad;                /* chains that are no frames, before the next frames */
	unsigned nrefused; /* frames that it has no buffers for, the last ones of a list */
	uint8_t got[MAX_GOT][MAX_LEN];
	uint32_t got_len[MAX_GOT];
	unsigned ngot;
};

static struct sw *sw;
static struct fake *ports[NPORTS];

static unsigned fake_rx(struct port_rxq *q, struct frame *frames, unsigned n)
{
	struct fake *p = rw_container_of(q, struct fake, rxq);
	unsigned m = RW_MIN(n, p->npending);

	if (p->nbad)
		port_rxq_drop(q, p->nbad, PORT_DROP_BAD_CHAIN);
	p->nbad = 0;
	for (unsigned i = 0; i < m; i++) {
		struct frame *f = &frames[i];

		frame_init(f, p->len[i]);
		memcpy(f->head, p->pending[i], f->head_len);
		p->segs[i] = (struct rw_seg){
			.data = p->pending[i] + f->head_len, .len = f->len - f->head_len};
		f->seg = &p->segs[i];
		f->nsegs = p->segs[i].len ? 1 : 0;
		f->offload = p->offload;
	}
	p->npending = 0;
	return m;
}

static void fake_nothing(struct port_rxq *q)
{
	(void)q;
}

static unsigned fake_tx(struct port_txq *q, struct frame **frames, unsigned n)
{
	struct fake *p = rw_container_of(q, struct fake, txq);
	unsigned refused = RW_MIN(n, p->nrefused);

	n -= refused;
	port_txq_drop(q, frames + n, refused, PORT_DROP_NO_BUFFER);
	for (unsigned i = 0; i < n; i++) {
		const struct frame *f = frames[i];
		uint8_t *to = p->got[p->ngot];
		uint32_t at = f->head_len;

		assert_true(p->ngot < MAX_GOT);
		memcpy(to, f->head, at);
		for (uint16_t k = 0; k < f->nsegs; k++) {
			memcpy(to + at, f->seg[k].data, f->seg[k].len);
			at += f->seg[k].len;
		}
		assert_int_equal(at, f->len);
		p->got_len[p->ngot++] = at;
	}
	return n;
}

static const struct port_rxq_ops rxq_ops = {0};

static void begin_with(unsigned max_domains, unsigned nworkers)
{
	static const struct sw_worker_config workers[2];
	const struct sw_config cfg = {.workers = workers,
		.nworkers = nworkers,
		.fdb_entries = 64,
		.max_domains = max_domains};

	assert_int_equal(sw_new(&cfg, &sw), 0);
	for (unsigned i = 0; i < NPORTS; i++) {
		const char name[2] = {(char)('a' + i), 0};
		struct fake *p = ports[i] = calloc(1, sizeof(*p));

		assert_non_null(p);
		assert_int_equal(port_init(&p->port, name, nworkers), 0);
		assert_int_equal(sw_port_add(sw, &p->port), 0);
		p->rxq = (struct port_rxq){.burst = fake_rx,
			.done = fake_nothing,
			.prefetch = fake_nothing,
			.ops = &rxq_ops};
		p->txq = (struct port_txq){.burst = fake_tx};
		assert_int_equal(port_rxq_init(&p->rxq, &p->port, 0), 0);
		assert_int_equal(port_txq_init(&p->txq, &p->port, 0), 0);
		sw_rxq_set(sw, &p->port, 0, &p->rxq);
		sw_txq_set(sw, &p->port, 0, &p->txq);
	}
	sw_commit(sw);
}

static int begin(void **state)
{
	(void)state;
	begin_with(0, 1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NPORTS; i++) {
		struct fake *p = ports[i];

		sw_rxq_set(sw, &p->port, 0, NULL);
		sw_txq_set(sw, &p->port, 0, NULL);
		sw_commit(sw);
		sw_port_del(sw, &p->port);
		port_fini(&p->port);
		free(p);
	}
	sw_free(sw);
	return 0;
}

/*
 * Frame `seq` from host `src` to host `dst` (or BROADCAST) with that tag, or UNTAGGED. Its length.
 */
static uint32_t frame_make(uint8_t *to, int tci, uint8_t dst, uint8_t src, uint8_t seq)
{
	uint32_t n = 12;

	memset(to, dst == BROADCAST ? 0xff : 0, 6);
	if (dst != BROADCAST) {
		to[0] = 0x02;
		to[5] = dst;
	}
	memset(to + 6, 0, 6);
	to[6] = 0x02;
	to[11] = src;
	if (tci != UNTAGGED) {
		to[n++] = tci & SERVICE ? 0x88 : 0x81;
		to[n++] = tci & SERVICE ? 0xa8 : 0x00;
		to[n++] = (uint8_t)(tci >> 8);
		to[n++] = (uint8_t)tci;
		if (tci & CARRIES) {
			memcpy(to + n, tci & SERVICE ? "\x81\0\xe0\x21" : "\x88\xa8\xe0\x21", 4);
			n += 4;
		}
	}
	to[n++] = 0x88;
	to[n++] = 0xb5;
	for (uint32_t i = 0; i < LEN - 14; i++)
		to[n++] = (uint8_t)(seq + i * 3);
	return n;
}

static void put(struct fake *p, int tci, uint8_t dst, uint8_t src, uint8_t seq)
{
	p->len[p->npending] = frame_make(p->pending[p->npending], tci, dst, src, seq);
	p->npending++;
}

static inline void send_one(struct fake *p, int tci, uint8_t dst, uint8_t src, uint8_t seq)
{
	put(p, tci, dst, src, seq);
	sw_round(sw, 0);
}

/* Port `p` got this one frame since it was asked last. */
static inline void expect(struct fake *p, int tci, uint8_t dst, uint8_t src, uint8_t seq)
{
	uint8_t want[MAX_LEN];
	uint32_t len = frame_make(want, tci, dst, src, seq);

	assert_int_equal(p->ngot, 1);
	assert_int_equal(p->got_len[0], len);
	assert_memory_equal(p->got[0], want, len);
	p->ngot = 0;
}

/*
 * a is transparent, b has VLAN 10 untagged, c has VLANs 10 and 20 tagged, d VLAN 20 untagged, e
 * nothing.
 */
static inline void members_join(void)
{
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 10, SW_FORM_UNTAGGED), 0);
	assert_int_equal(sw_domain_join(sw, &ports[2]->port, 10, SW_FORM_TAGGED), 0);
	assert_int_equal(sw_domain_join(sw, &ports[2]->port, 20, SW_FORM_TAGGED), 0);
	assert_int_equal(sw_domain_join(sw, &ports[3]->port, 20, SW_FORM_UNTAGGED), 0);
	sw_commit(sw);
}

/* EAL, then the tests. */
static int run(char *name, const struct CMUnitTest *tests, size_t n, const char *group)
{
	char *eal[] = {name, "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "16",
		"--lcores", "0", "--log-level=*:error", NULL};

	if (rte_eal_init((int)RW_ARRAY_SIZE(eal) - 1, eal) < 0)
		return 99;
	return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}
