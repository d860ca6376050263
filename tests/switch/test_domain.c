/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Broadcast domains and what a receiver's copy looks like: ports that are played send and record
 * frames, and each worker's rounds are made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>

#include "out.h"

#define LEN       100 /* of a frame without a tag */
#define MAX_GOT   128
#define UNTAGGED  (-1)
#define NPORTS    5
#define MAX_LEN   512
#define BROADCAST 0xff

/* A port that sends what `pending` says and keeps what it gets. */
struct fake {
	struct port port;
	struct port_rxq rxq;
	struct port_txq txq;
	struct rw_seg segs[FRAME_BURST];
	uint8_t pending[FRAME_BURST][MAX_LEN];
	uint32_t len[FRAME_BURST];
	unsigned npending;
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

	for (unsigned i = 0; i < m; i++) {
		struct frame *f = &frames[i];

		frame_init(f, p->len[i]);
		memcpy(f->head, p->pending[i], f->head_len);
		p->segs[i] = (struct rw_seg){
			.data = p->pending[i] + f->head_len, .len = f->len - f->head_len};
		f->seg = &p->segs[i];
		f->nsegs = p->segs[i].len ? 1 : 0;
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

static void begin_with(unsigned max_domains)
{
	static const struct sw_worker_config worker = {0};
	const struct sw_config cfg = {
		.workers = &worker, .nworkers = 1, .fdb_entries = 64, .max_domains = max_domains};

	assert_int_equal(sw_new(&cfg, &sw), 0);
	for (unsigned i = 0; i < NPORTS; i++) {
		const char name[2] = {(char)('a' + i), 0};
		struct fake *p = ports[i] = calloc(1, sizeof(*p));

		assert_non_null(p);
		assert_int_equal(port_init(&p->port, name, 1), 0);
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
	begin_with(0);
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
		to[n++] = 0x81;
		to[n++] = 0x00;
		to[n++] = (uint8_t)(tci >> 8);
		to[n++] = (uint8_t)tci;
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

static void send(struct fake *p, int tci, uint8_t dst, uint8_t src, uint8_t seq)
{
	put(p, tci, dst, src, seq);
	sw_round(sw, 0);
}

/* Port `p` got this one frame since it was asked last. */
static void expect(struct fake *p, int tci, uint8_t dst, uint8_t src, uint8_t seq)
{
	uint8_t want[MAX_LEN];
	uint32_t len = frame_make(want, tci, dst, src, seq);

	assert_int_equal(p->ngot, 1);
	assert_int_equal(p->got_len[0], len);
	assert_memory_equal(p->got[0], want, len);
	p->ngot = 0;
}

static void expect_nothing(struct fake *p)
{
	assert_int_equal(p->ngot, 0);
}

/*
 * a is transparent, b has VLAN 10 untagged, c has VLANs 10 and 20 tagged, d VLAN 20 untagged, e
 * nothing.
 */
static void members_join(void)
{
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 10, SW_FORM_UNTAGGED), 0);
	assert_int_equal(sw_domain_join(sw, &ports[2]->port, 10, SW_FORM_TAGGED), 0);
	assert_int_equal(sw_domain_join(sw, &ports[2]->port, 20, SW_FORM_TAGGED), 0);
	assert_int_equal(sw_domain_join(sw, &ports[3]->port, 20, SW_FORM_UNTAGGED), 0);
	sw_commit(sw);
}

static void one_flood_reaches_members_with_and_without_a_tag(void **state)
{
	(void)state;
	members_join();
	/* Untagged from b: it is of VLAN 10. */
	send(ports[1], UNTAGGED, BROADCAST, 1, 7);
	expect(ports[0], 10, BROADCAST, 1, 7);
	expect(ports[2], 10, BROADCAST, 1, 7);
	expect(ports[4], 10, BROADCAST, 1, 7);
	expect_nothing(ports[1]);
	expect_nothing(ports[3]);
	/* Tagged from c, with a priority, which stays where there is a tag. */
	send(ports[2], 0xa000 | 10, BROADCAST, 2, 8);
	expect(ports[0], 0xa000 | 10, BROADCAST, 2, 8);
	expect(ports[1], UNTAGGED, BROADCAST, 2, 8);
	expect(ports[4], 0xa000 | 10, BROADCAST, 2, 8);
	expect_nothing(ports[3]);
	send(ports[2], 20, BROADCAST, 2, 9);
	expect(ports[0], 20, BROADCAST, 2, 9);
	expect(ports[3], UNTAGGED, BROADCAST, 2, 9);
	expect(ports[4], 20, BROADCAST, 2, 9);
	expect_nothing(ports[1]);
	/* From a transparent port the tag chooses. */
	send(ports[0], 10, BROADCAST, 3, 10);
	expect(ports[1], UNTAGGED, BROADCAST, 3, 10);
	expect(ports[2], 10, BROADCAST, 3, 10);
	expect(ports[4], 10, BROADCAST, 3, 10);
	send(ports[0], UNTAGGED, BROADCAST, 3, 11);
	expect(ports[4], UNTAGGED, BROADCAST, 3, 11);
	for (unsigned i = 1; i < 4; i++)
		expect_nothing(ports[i]);
	/* A priority tag is no VLAN's: where one is wanted its id is rewritten, else it goes. */
	send(ports[1], 0xe000, BROADCAST, 1, 12);
	expect(ports[0], 0xe000 | 10, BROADCAST, 1, 12);
	expect(ports[2], 0xe000 | 10, BROADCAST, 1, 12);
	expect(ports[4], 0xe000 | 10, BROADCAST, 1, 12);
}

static void what_was_learned_gets_the_same_forms(void **state)
{
	(void)state;
	members_join();
	send(ports[1], UNTAGGED, BROADCAST, 1, 0);
	send(ports[2], 10, BROADCAST, 2, 0);
	send(ports[0], 10, BROADCAST, 3, 0);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	send(ports[1], UNTAGGED, 2, 1, 1);
	expect(ports[2], 10, 2, 1, 1);
	send(ports[2], 10, 1, 2, 2);
	expect(ports[1], UNTAGGED, 1, 2, 2);
	send(ports[1], UNTAGGED, 3, 1, 3);
	expect(ports[0], 10, 3, 1, 3);
	send(ports[0], 10, 1, 3, 4);
	expect(ports[1], UNTAGGED, 1, 3, 4);
	for (unsigned i = 0; i < NPORTS; i++)
		expect_nothing(ports[i]);
	/* The counters have what the receiver got. */
	assert_int_equal(ports[1]->txq.counters->frames, 4);
	assert_int_equal(ports[1]->txq.counters->bytes, 4 * LEN);
}

static void one_address_in_two_domains_is_two_hosts(void **state)
{
	(void)state;
	members_join();
	send(ports[1], UNTAGGED, BROADCAST, 1, 0); /* VLAN 10 */
	send(ports[3], UNTAGGED, BROADCAST, 1, 0); /* VLAN 20 */
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	send(ports[2], 10, 1, 2, 1);
	expect(ports[1], UNTAGGED, 1, 2, 1);
	send(ports[2], 20, 1, 2, 2);
	expect(ports[3], UNTAGGED, 1, 2, 2);
	/* In VLAN 0 nobody knows it. */
	send(ports[0], UNTAGGED, 1, 4, 3);
	expect(ports[4], UNTAGGED, 1, 4, 3);
	for (unsigned i = 0; i < NPORTS; i++)
		expect_nothing(ports[i]);
}

static void frames_of_a_vlan_that_a_port_is_not_in_are_dropped(void **state)
{
	struct fdb_stats before, after;

	(void)state;
	members_join();
	fdb_get_stats(sw_fdb(sw), &before);
	send(ports[1], 20, BROADCAST, 1, 0);
	send(ports[1], 10, BROADCAST, 1, 0); /* it has VLAN 10 untagged */
	send(ports[2], UNTAGGED, BROADCAST, 1, 0);
	fdb_get_stats(sw_fdb(sw), &after);
	assert_int_equal(after.entries, before.entries); /* they teach nothing */
	for (unsigned i = 0; i < NPORTS; i++)
		expect_nothing(ports[i]);
	assert_int_equal(ports[1]->rxq.counters->drops[PORT_DROP_VLAN], 2);
	assert_int_equal(ports[2]->rxq.counters->drops[PORT_DROP_VLAN], 1);
	assert_int_equal(ports[1]->rxq.counters->frames, 2);
}

static void a_membership_changes_with_the_next_commit(void **state)
{
	(void)state;
	members_join();
	assert_int_equal(sw_domain_join(sw, &ports[2]->port, 10, SW_FORM_UNTAGGED), 0);
	send(ports[1], UNTAGGED, BROADCAST, 1, 0);
	expect(ports[2], 10, BROADCAST, 1, 0);
	sw_commit(sw);
	send(ports[1], UNTAGGED, BROADCAST, 1, 1);
	expect(ports[2], UNTAGGED, BROADCAST, 1, 1);
	sw_domain_leave(sw, &ports[2]->port, 10);
	sw_domain_leave(sw, &ports[2]->port, 10);
	sw_commit(sw);
	send(ports[1], UNTAGGED, BROADCAST, 1, 2);
	expect_nothing(ports[2]);
	/* Out of its last domain it is transparent again. */
	sw_domain_leave(sw, &ports[2]->port, 20);
	sw_commit(sw);
	ports[0]->ngot = ports[4]->ngot = 0;
	send(ports[1], UNTAGGED, BROADCAST, 1, 3);
	expect(ports[2], 10, BROADCAST, 1, 3);
	send(ports[2], 10, 1, 5, 4);
	expect(ports[1], UNTAGGED, 1, 5, 4);
}

static void a_host_is_not_found_where_its_port_has_left(void **state)
{
	(void)state;
	members_join();
	send(ports[1], UNTAGGED, BROADCAST, 1, 0);
	sw_domain_leave(sw, &ports[1]->port, 10);
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 20, SW_FORM_UNTAGGED), 0);
	sw_commit(sw);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	/* The entry is there, the member is not: as for an unknown address. */
	send(ports[2], 10, 1, 2, 1);
	expect_nothing(ports[1]);
	expect(ports[0], 10, 1, 2, 1);
}

static void impossible_memberships_are_refused(void **state)
{
	struct port *b = &ports[1]->port;

	(void)state;
	assert_int_equal(sw_domain_join(sw, b, SW_VLANS, SW_FORM_TAGGED), -EINVAL);
	assert_int_equal(sw_domain_join(sw, b, 0, SW_FORM_TAGGED), -EINVAL);
	assert_int_equal(sw_domain_join(sw, b, 5, SW_FORM_AS_IS), -EINVAL);
	assert_int_equal(sw_domain_join(sw, b, 5, SW_FORM_UNTAGGED), 0);
	assert_int_equal(sw_domain_join(sw, b, 5, SW_FORM_UNTAGGED), 0);
	assert_int_equal(sw_domain_join(sw, b, 6, SW_FORM_UNTAGGED), -EEXIST);
	assert_int_equal(sw_domain_join(sw, b, 6, SW_FORM_TAGGED), 0);
}

static int begin_small(void **state)
{
	(void)state;
	begin_with(3);
	return 0;
}

static void numbers_are_given_out_on_use_and_taken_back_late(void **state)
{
	struct port_rxq *q = &ports[0]->rxq;
	struct fdb_stats stats;

	(void)state;
	for (int vlan = 0; vlan < 3; vlan++) {
		assert_int_equal(sw_domain_find(sw, (uint16_t)vlan), SW_DOMAIN_NONE);
		send(ports[0], vlan ? vlan : UNTAGGED, BROADCAST, 1, 0);
		assert_int_equal(sw_domain_vlan(sw, sw_domain_find(sw, (uint16_t)vlan)), vlan);
		assert_int_equal(ports[4]->ngot, 1 + vlan);
	}
	send(ports[0], 3, BROADCAST, 1, 0);
	assert_int_equal(q->counters->drops[PORT_DROP_NO_DOMAIN], 1);
	assert_int_equal(ports[4]->ngot, 3);
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 3, SW_FORM_TAGGED), -ENOSPC);
	/* Those that were heard of just now stay; so does one that a static entry names. */
	assert_int_equal(sw_domain_reclaim(sw, 100), 0);
	assert_int_equal(sw_domain_keep(sw, 2), sw_domain_find(sw, 2));
	assert_int_equal(sw_domain_reclaim(sw, 0), 1);
	assert_int_equal(sw_domain_find(sw, 1), SW_DOMAIN_NONE);
	fdb_get_stats(sw_fdb(sw), &stats);
	assert_int_equal(stats.entries, 2); /* what was learned in it is forgotten */
	send(ports[0], 3, BROADCAST, 1, 0);
	assert_int_equal(ports[4]->ngot, 4);
	assert_int_equal(sw_domain_vlan(sw, sw_domain_find(sw, 3)), 3);
}

static void a_member_keeps_its_domains_number(void **state)
{
	(void)state;
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 7, SW_FORM_TAGGED), 0);
	sw_commit(sw);
	assert_int_equal(sw_domain_reclaim(sw, 0), 0);
	send(ports[1], 7, BROADCAST, 1, 0);
	expect(ports[0], 7, BROADCAST, 1, 0);
}

/*
 * As a mirror of a port to itself would make them: more copies for one queue than a burst has
 * frames.
 */
static void a_list_takes_any_number_of_frames(void **state)
{
	static struct frame frames[FRAME_BURST];
	struct sw_worker *w = sw->workers[0];
	struct fake *p = ports[2];
	const uint16_t id = p->port.id;
	uint64_t bytes = 0;

	(void)state;
	for (unsigned i = 0; i < FRAME_BURST; i++) {
		frame_init(&frames[i], FRAME_HEAD);
		frame_make(frames[i].head, UNTAGGED, 1, 2, 0);
		frames[i].head[20] = (uint8_t)i;
		bytes += frames[i].len;
	}
	for (unsigned copy = 0; copy < 3; copy++)
		sw_out_append(w, sw_out_get(w, id, &p->txq, (struct frame_edit){0}), frames,
			FRAME_BURST, bytes);
	sw_out_append(
		w, sw_out_get(w, id, &p->txq, (struct frame_edit){0}), frames, 7, 7 * FRAME_HEAD);
	sw_out_flush(w);
	assert_int_equal(p->ngot, 3 * FRAME_BURST + 7);
	for (unsigned i = 0; i < p->ngot; i++)
		assert_int_equal(p->got[i][20], i % FRAME_BURST);
	assert_int_equal(p->txq.counters->frames, 3 * FRAME_BURST + 7);
	assert_int_equal(p->txq.counters->bytes, (3 * FRAME_BURST + 7) * FRAME_HEAD);
	assert_int_equal(w->nouts, 0);
}

static void one_queue_has_a_list_for_each_edit(void **state)
{
	const struct frame_edit tag = {.tag = FRAME_TAG_PUSH, .vlan = 5};
	const struct frame_edit other = {.tag = FRAME_TAG_PUSH, .vlan = 6};
	struct sw_worker *w = sw->workers[0];
	struct fake *p = ports[2];
	struct frame f;

	(void)state;
	frame_init(&f, FRAME_HEAD);
	frame_make(f.head, UNTAGGED, 1, 2, 0);
	for (unsigned i = 0; i < 4; i++) {
		const struct frame_edit edits[] = {tag, other, {0}, tag};

		sw_out_append(w, sw_out_get(w, p->port.id, &p->txq, edits[i]), &f, 1, f.len);
	}
	assert_int_equal(w->nouts, 3);
	sw_out_flush(w);
	assert_int_equal(p->ngot, 4);
	assert_int_equal(p->got_len[0], FRAME_HEAD + 4);
	assert_int_equal(p->got[0][15], 5);
	assert_int_equal(p->got[1][15], 5);
	assert_int_equal(p->got[2][15], 6);
	assert_int_equal(p->got_len[3], FRAME_HEAD);
	assert_int_equal(p->txq.counters->bytes, 4 * FRAME_HEAD + 3 * 4);
}

/* ---- a worker that does not run ---- */

static int log_fd; /* what is written to standard error */

static bool log_has(const char *text)
{
	char said[4096] = "";

	return pread(log_fd, said, sizeof(said) - 1, 0) > 0 && strstr(said, text);
}

static void *worker_that_sleeps(void *arg)
{
	pthread_barrier_t *barrier = arg;

	rte_rcu_qsbr_thread_register(sw->qsbr, 0);
	rte_rcu_qsbr_thread_online(sw->qsbr, 0);
	pthread_barrier_wait(barrier);
	while (!log_has("the worker of CPU 0 has not ended its poll round"))
		usleep(1000);
	rte_rcu_qsbr_quiescent(sw->qsbr, 0);
	rte_rcu_qsbr_thread_offline(sw->qsbr, 0);
	rte_rcu_qsbr_thread_unregister(sw->qsbr, 0);
	return NULL;
}

static void a_worker_that_does_not_run_is_named(void **state)
{
	int before = dup(STDERR_FILENO);
	pthread_barrier_t barrier;
	pthread_t thread;

	(void)state;
	log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(log_fd >= 0 && before >= 0);
	dup2(log_fd, STDERR_FILENO);
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, worker_that_sleeps, &barrier), 0);
	pthread_barrier_wait(&barrier);
	sw_quiesce(sw);
	pthread_join(thread, NULL);
	dup2(before, STDERR_FILENO);
	assert_true(log_has("control goes on after"));
	pthread_barrier_destroy(&barrier);
	close(before);
	close(log_fd);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m",
		"16", "--lcores", "0", "--log-level=*:error", NULL};
#define DOMAIN_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		DOMAIN_TEST(one_flood_reaches_members_with_and_without_a_tag),
		DOMAIN_TEST(what_was_learned_gets_the_same_forms),
		DOMAIN_TEST(one_address_in_two_domains_is_two_hosts),
		DOMAIN_TEST(frames_of_a_vlan_that_a_port_is_not_in_are_dropped),
		DOMAIN_TEST(a_membership_changes_with_the_next_commit),
		DOMAIN_TEST(a_host_is_not_found_where_its_port_has_left),
		DOMAIN_TEST(impossible_memberships_are_refused),
		cmocka_unit_test_setup_teardown(
			numbers_are_given_out_on_use_and_taken_back_late, begin_small, end),
		DOMAIN_TEST(a_member_keeps_its_domains_number),
		DOMAIN_TEST(a_list_takes_any_number_of_frames),
		DOMAIN_TEST(one_queue_has_a_list_for_each_edit),
		DOMAIN_TEST(a_worker_that_does_not_run_is_named),
	};

	(void)argc;
	if (rte_eal_init((int)RW_ARRAY_SIZE(eal) - 1, eal) < 0)
		return 99;
	return cmocka_run_group_tests_name("switch_domain", tests, NULL, NULL);
}
