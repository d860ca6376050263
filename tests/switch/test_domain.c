/* SPDX-License-Identifier: BSD-3-Clause */
/* Broadcast domains and what a receiver's copy looks like. */
#include "switch_fixture.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* A customer VLAN of the default bridge. */
static struct sw_vlan vlan_of(int id)
{
	return (struct sw_vlan){.id = (uint16_t)id};
}

static void expect_nothing(struct fake *p)
{
	assert_int_equal(p->ngot, 0);
}

static void one_flood_reaches_members_with_and_without_a_tag(void **state)
{
	(void)state;
	members_join();
	/* Untagged from b: it is of VLAN 10. */
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 7);
	expect(ports[0], 10, BROADCAST, 1, 7);
	expect(ports[2], 10, BROADCAST, 1, 7);
	expect(ports[4], 10, BROADCAST, 1, 7);
	expect_nothing(ports[1]);
	expect_nothing(ports[3]);
	/* Tagged from c, with a priority, which stays where there is a tag. */
	send_one(ports[2], 0xa000 | 10, BROADCAST, 2, 8);
	expect(ports[0], 0xa000 | 10, BROADCAST, 2, 8);
	expect(ports[1], UNTAGGED, BROADCAST, 2, 8);
	expect(ports[4], 0xa000 | 10, BROADCAST, 2, 8);
	expect_nothing(ports[3]);
	send_one(ports[2], 20, BROADCAST, 2, 9);
	expect(ports[0], 20, BROADCAST, 2, 9);
	expect(ports[3], UNTAGGED, BROADCAST, 2, 9);
	expect(ports[4], 20, BROADCAST, 2, 9);
	expect_nothing(ports[1]);
	/* From a transparent port the tag chooses. */
	send_one(ports[0], 10, BROADCAST, 3, 10);
	expect(ports[1], UNTAGGED, BROADCAST, 3, 10);
	expect(ports[2], 10, BROADCAST, 3, 10);
	expect(ports[4], 10, BROADCAST, 3, 10);
	send_one(ports[0], UNTAGGED, BROADCAST, 3, 11);
	expect(ports[4], UNTAGGED, BROADCAST, 3, 11);
	for (unsigned i = 1; i < 4; i++)
		expect_nothing(ports[i]);
	/* A priority tag is no VLAN's: where one is wanted its id is rewritten, else it goes. */
	send_one(ports[1], 0xe000, BROADCAST, 1, 12);
	expect(ports[0], 0xe000 | 10, BROADCAST, 1, 12);
	expect(ports[2], 0xe000 | 10, BROADCAST, 1, 12);
	expect(ports[4], 0xe000 | 10, BROADCAST, 1, 12);
}

static void what_was_learned_gets_the_same_forms(void **state)
{
	(void)state;
	members_join();
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	send_one(ports[2], 10, BROADCAST, 2, 0);
	send_one(ports[0], 10, BROADCAST, 3, 0);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	send_one(ports[1], UNTAGGED, 2, 1, 1);
	expect(ports[2], 10, 2, 1, 1);
	send_one(ports[2], 10, 1, 2, 2);
	expect(ports[1], UNTAGGED, 1, 2, 2);
	send_one(ports[1], UNTAGGED, 3, 1, 3);
	expect(ports[0], 10, 3, 1, 3);
	send_one(ports[0], 10, 1, 3, 4);
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
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0); /* VLAN 10 */
	send_one(ports[3], UNTAGGED, BROADCAST, 1, 0); /* VLAN 20 */
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	send_one(ports[2], 10, 1, 2, 1);
	expect(ports[1], UNTAGGED, 1, 2, 1);
	send_one(ports[2], 20, 1, 2, 2);
	expect(ports[3], UNTAGGED, 1, 2, 2);
	/* In VLAN 0 nobody knows it. */
	send_one(ports[0], UNTAGGED, 1, 4, 3);
	expect(ports[4], UNTAGGED, 1, 4, 3);
	for (unsigned i = 0; i < NPORTS; i++)
		expect_nothing(ports[i]);
}

/* The frames that port `p` got, whose last bytes say which they are. */
static void got_in_order(struct fake *p, const int tcis[], const uint8_t seqs[], unsigned n)
{
	assert_int_equal(p->ngot, n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t want[MAX_LEN];
		uint32_t len = frame_make(want, tcis[i], 0, 0, seqs[i]);

		assert_int_equal(p->got_len[i], len);
		assert_memory_equal(p->got[i] + 12, want + 12, len - 12);
	}
	p->ngot = 0;
}

/* Neighbours for one port are delivered together, if they need the same edit. */
static void a_burst_may_have_all_kinds_of_frames_for_a_port(void **state)
{
	(void)state;
	members_join();
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0); /* VLAN 10 */
	send_one(ports[3], UNTAGGED, BROADCAST, 1, 0); /* VLAN 20 */
	send_one(ports[2], 10, BROADCAST, 2, 0);
	send_one(ports[2], 20, BROADCAST, 2, 0);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	put(ports[2], 10, 1, 2, 0);
	put(ports[2], 10, 1, 5, 1); /* another host */
	put(ports[2], 20, 1, 2, 2);
	put(ports[2], 0xa000 | 10, 1, 2, 3);
	put(ports[2], 10, 1, 2, 4);
	sw_round(sw, 0);
	got_in_order(ports[1], (const int[]){UNTAGGED, UNTAGGED, UNTAGGED, UNTAGGED},
		(const uint8_t[]){0, 1, 3, 4}, 4);
	got_in_order(ports[3], (const int[]){UNTAGGED}, (const uint8_t[]){2}, 1);
	/* Without tag, and with a priority alone: the same VLAN, and another edit. */
	put(ports[1], UNTAGGED, 2, 1, 5);
	put(ports[1], UNTAGGED, 2, 6, 6);
	put(ports[1], 0xe000, 2, 1, 7);
	sw_round(sw, 0);
	got_in_order(ports[2], (const int[]){10, 10, 0xe000 | 10}, (const uint8_t[]){5, 6, 7}, 3);
	/* A transparent port gets what the sender's tag says. */
	send_one(ports[0], 10, BROADCAST, 7, 8);
	send_one(ports[0], 20, BROADCAST, 7, 8);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	put(ports[2], 10, 7, 2, 9);
	put(ports[2], 20, 7, 2, 10);
	put(ports[2], 20, 7, 5, 11);
	sw_round(sw, 0);
	got_in_order(ports[0], (const int[]){10, 20, 20}, (const uint8_t[]){9, 10, 11}, 3);
}

static void frames_of_a_vlan_that_a_port_is_not_in_are_dropped(void **state)
{
	struct fdb_stats before, after;

	(void)state;
	members_join();
	fdb_get_stats(sw_fdb(sw), &before);
	send_one(ports[1], 20, BROADCAST, 1, 0);
	send_one(ports[1], 10, BROADCAST, 1, 0); /* it has VLAN 10 untagged */
	send_one(ports[2], UNTAGGED, BROADCAST, 1, 0);
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
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	expect(ports[2], 10, BROADCAST, 1, 0);
	sw_commit(sw);
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 1);
	expect(ports[2], UNTAGGED, BROADCAST, 1, 1);
	sw_domain_leave(sw, &ports[2]->port, 10);
	sw_domain_leave(sw, &ports[2]->port, 10);
	sw_commit(sw);
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 2);
	expect_nothing(ports[2]);
	/* Out of its last domain it is transparent again. */
	sw_domain_leave(sw, &ports[2]->port, 20);
	sw_commit(sw);
	ports[0]->ngot = ports[4]->ngot = 0;
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 3);
	expect(ports[2], 10, BROADCAST, 1, 3);
	send_one(ports[2], 10, 1, 5, 4);
	expect(ports[1], UNTAGGED, 1, 5, 4);
}

static void a_host_is_not_found_where_its_port_has_left(void **state)
{
	(void)state;
	members_join();
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	sw_domain_leave(sw, &ports[1]->port, 10);
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 20, SW_FORM_UNTAGGED), 0);
	sw_commit(sw);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	/* The entry is there, the member is not: as for an unknown address. */
	send_one(ports[2], 10, 1, 2, 1);
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
	begin_with(3, 1);
	return 0;
}

static void numbers_are_given_out_on_use_and_taken_back_late(void **state)
{
	struct port_rxq *q = &ports[0]->rxq;
	struct fdb_stats stats;

	(void)state;
	for (int vlan = 0; vlan < 3; vlan++) {
		assert_int_equal(sw_domain_find(sw, vlan_of(vlan)), SW_DOMAIN_NONE);
		send_one(ports[0], vlan ? vlan : UNTAGGED, BROADCAST, 1, 0);
		assert_int_equal(sw_domain_vlan(sw, sw_domain_find(sw, vlan_of(vlan))).id, vlan);
		assert_int_equal(ports[4]->ngot, 1 + vlan);
	}
	send_one(ports[0], 3, BROADCAST, 1, 0);
	assert_int_equal(q->counters->drops[PORT_DROP_NO_DOMAIN], 1);
	assert_int_equal(ports[4]->ngot, 3);
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 3, SW_FORM_TAGGED), -ENOSPC);
	/* Those that were heard of just now stay; so does one that a static entry names. */
	assert_int_equal(sw_domain_reclaim(sw, 100), 0);
	assert_int_equal(sw_domain_keep(sw, vlan_of(2)), sw_domain_find(sw, vlan_of(2)));
	assert_int_equal(sw_domain_reclaim(sw, 0), 1);
	assert_int_equal(sw_domain_find(sw, vlan_of(1)), SW_DOMAIN_NONE);
	fdb_get_stats(sw_fdb(sw), &stats);
	assert_int_equal(stats.entries, 2); /* what was learned in it is forgotten */
	send_one(ports[0], 3, BROADCAST, 1, 0);
	assert_int_equal(ports[4]->ngot, 4);
	assert_int_equal(sw_domain_vlan(sw, sw_domain_find(sw, vlan_of(3))).id, 3);
}

static void a_member_keeps_its_domains_number(void **state)
{
	(void)state;
	assert_int_equal(sw_domain_join(sw, &ports[1]->port, 7, SW_FORM_TAGGED), 0);
	sw_commit(sw);
	assert_int_equal(sw_domain_reclaim(sw, 0), 0);
	send_one(ports[1], 7, BROADCAST, 1, 0);
	expect(ports[0], 7, BROADCAST, 1, 0);
	/* Workers have the member until the commit; then nothing keeps the number. */
	sw_domain_leave(sw, &ports[1]->port, 7);
	assert_int_equal(sw_domain_reclaim(sw, 0), 0);
	sw_commit(sw);
	assert_int_equal(sw_domain_reclaim(sw, 0), 1);
	assert_int_equal(sw_domain_find(sw, vlan_of(7)), SW_DOMAIN_NONE);
	send_one(ports[1], 8, BROADCAST, 1, 1);
	expect(ports[0], 8, BROADCAST, 1, 1);
}

/* Between two commits a port may change its form and come back, or change it for good. */
static void a_member_changes_its_form(void **state)
{
	(void)state;
	members_join();
	for (int round = 0; round < 2; round++) {
		for (int turn = 0; turn <= round; turn++) {
			assert_int_equal(sw_domain_join(sw, &ports[1]->port, 10,
						 turn ? SW_FORM_UNTAGGED : SW_FORM_TAGGED),
				0);
		}
		/* As before. */
		send_one(ports[2], 10, BROADCAST, 2, 1);
		expect(ports[1], round ? 10 : UNTAGGED, BROADCAST, 2, 1);
		sw_commit(sw);
		for (uint8_t again = 0; again < 2; again++) {
			ports[0]->ngot = 0;
			send_one(ports[2], 10, BROADCAST, 2, 2);
			expect(ports[1], round ? UNTAGGED : 10, BROADCAST, 2, 2);
			/* The other plan has the same. */
			sw->changed = true;
			sw_commit(sw);
		}
	}
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
	const struct frame_edit tag = {
		.tag = FRAME_TAG_PUSH, .vlan = 5, .tpid = FRAME_TPID_CUSTOMER};
	const struct frame_edit other = {
		.tag = FRAME_TAG_PUSH, .vlan = 6, .tpid = FRAME_TPID_CUSTOMER};
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

static void changes_that_are_held_come_into_force_at_once(void **state)
{
	const struct sw_policy isolated = {.isolated = true};
	uint32_t serial = sw->serial;

	(void)state;
	sw_hold(sw);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(sw_domain_join(sw, &ports[i]->port, 10, SW_FORM_UNTAGGED), 0);
		sw_commit_soon(sw);
	}
	assert_int_equal(sw_policy_set(sw, &ports[3]->port, &isolated), 0);
	assert_int_equal(sw->serial, serial);
	/* All is as before: port a, which is in no VLAN, is heard. */
	send_one(ports[0], UNTAGGED, BROADCAST, 3, 1);
	for (unsigned i = 1; i < NPORTS; i++)
		expect(ports[i], UNTAGGED, BROADCAST, 3, 1);
	sw_release(sw);
	assert_int_equal(sw->serial, serial + 1);
	send_one(ports[0], UNTAGGED, BROADCAST, 3, 2);
	for (unsigned i = 1; i <= 3; i++)
		expect_nothing(ports[i]);
	expect(ports[4], UNTAGGED, BROADCAST, 3, 2);
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 3);
	expect(ports[2], UNTAGGED, BROADCAST, 1, 3);
	/* What frees something, or has addresses forgotten, does it then. */
	sw_hold(sw);
	assert_int_equal(sw_policy_set(sw, &ports[3]->port, &(struct sw_policy){.nmacs = 0}), 0);
	assert_int_equal(
		sw_policy_set(sw, &ports[1]->port, &(struct sw_policy){.no_learning = true}), 0);
	assert_int_equal(sw->serial, serial + 1);
	assert_non_null(sw->ended);
	send_one(ports[2], UNTAGGED, 1, 4, 4); /* host 1 is still known */
	expect(ports[1], UNTAGGED, 1, 4, 4);
	expect_nothing(ports[3]);
	sw_release(sw);
	assert_int_equal(sw->serial, serial + 2);
	assert_null(sw->ended);
	send_one(ports[2], UNTAGGED, 1, 4, 5);
	expect(ports[1], UNTAGGED, 1, 4, 5);
	expect(ports[3], UNTAGGED, 1, 4, 5);
}

#define DOMAIN_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		DOMAIN_TEST(one_flood_reaches_members_with_and_without_a_tag),
		DOMAIN_TEST(what_was_learned_gets_the_same_forms),
		DOMAIN_TEST(one_address_in_two_domains_is_two_hosts),
		DOMAIN_TEST(a_burst_may_have_all_kinds_of_frames_for_a_port),
		DOMAIN_TEST(frames_of_a_vlan_that_a_port_is_not_in_are_dropped),
		DOMAIN_TEST(a_membership_changes_with_the_next_commit),
		DOMAIN_TEST(a_host_is_not_found_where_its_port_has_left),
		DOMAIN_TEST(impossible_memberships_are_refused),
		cmocka_unit_test_setup_teardown(
			numbers_are_given_out_on_use_and_taken_back_late, begin_small, end),
		DOMAIN_TEST(a_member_keeps_its_domains_number),
		DOMAIN_TEST(a_member_changes_its_form),
		DOMAIN_TEST(a_list_takes_any_number_of_frames),
		DOMAIN_TEST(one_queue_has_a_list_for_each_edit),
		DOMAIN_TEST(changes_that_are_held_come_into_force_at_once),
		DOMAIN_TEST(a_worker_that_does_not_run_is_named),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "switch_domain");
}
