/* SPDX-License-Identifier: BSD-3-Clause */
/* Mirrors: what the destination gets, and that nobody else loses anything by it. */
#include "switch_fixture.h"

#include <linux/virtio_net.h>

#include "frame_convert.h"
#include "port_fifo.h"
#include "sw_bridge.h"
#include "sw_mirror.h"
#include "sw_snoop.h"

#define A 0
#define B 1
#define E 4 /* the destination */

static struct sw_mirror *mirror;
static struct frame_offload got_offload[MAX_GOT]; /* of what e got */
static bool defers;

/* As fake_tx, and keeps what the frames ask for; may defer all. */
static unsigned e_tx(struct port_txq *q, struct frame **frames, unsigned n)
{
	struct fake *p = rw_container_of(q, struct fake, txq);

	q->deferred = q->backlog && defers ? n : 0;
	if (q->deferred)
		return 0;
	for (unsigned i = 0; i < n; i++)
		got_offload[p->ngot + i] = frames[i]->offload;
	return fake_tx(q, frames, n);
}

/* Hosts 0 to 4 are behind ports a to e; a mirror of a port, or of a VLAN, goes to e. */
static void mirror_begin(const struct fake *source, const struct sw_mirror_config *cfg)
{
	for (uint8_t i = 0; i < NPORTS; i++)
		send_one(ports[i], UNTAGGED, BROADCAST, i, 0);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	ports[E]->txq.burst = e_tx;
	assert_int_equal(sw_mirror_new(sw, cfg, &mirror), 0);
	if (source)
		sw_mirror_source(sw, mirror, &source->port);
	sw_mirror_to(sw, mirror, &ports[E]->port);
}

static void mirror_end(void)
{
	sw_mirror_free(sw, mirror);
	mirror = NULL;
}

static uint64_t lost(unsigned why)
{
	struct sw_mirror_counts n;

	sw_mirror_read(mirror, &n);
	return n.lost[why];
}

static uint64_t copied(void)
{
	struct sw_mirror_counts n;

	sw_mirror_read(mirror, &n);
	return n.frames;
}

static void a_direction_is_mirrored_and_the_other_is_not(void **state)
{
	(void)state;
	for (unsigned way = 1; way < 4; way++) {
		const struct sw_mirror_config cfg = {.rx = way & 1, .tx = way & 2};

		mirror_begin(ports[A], &cfg);
		send_one(ports[A], UNTAGGED, B, A, 1);
		expect(ports[B], UNTAGGED, B, A, 1);
		if (cfg.rx)
			expect(ports[E], UNTAGGED, B, A, 1);
		send_one(ports[B], UNTAGGED, A, B, 2);
		expect(ports[A], UNTAGGED, A, B, 2);
		if (cfg.tx)
			expect(ports[E], UNTAGGED, A, B, 2);
		assert_int_equal(ports[E]->ngot, 0);
		assert_int_equal(copied(), cfg.rx + cfg.tx);
		/* What passes by. */
		send_one(ports[B], UNTAGGED, 2, B, 3);
		assert_int_equal(ports[E]->ngot, 0);
		mirror_end();
	}
}

static void two_sources_that_talk_give_two_copies(void **state)
{
	(void)state;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true, .tx = true});
	sw_mirror_source(sw, mirror, &ports[B]->port);
	send_one(ports[A], UNTAGGED, B, A, 1);
	expect(ports[B], UNTAGGED, B, A, 1);
	assert_int_equal(ports[E]->ngot, 2);
	assert_memory_equal(ports[E]->got[0], ports[E]->got[1], LEN);
	mirror_end();
}

static void what_a_policy_drops_was_mirrored(void **state)
{
	const struct sw_policy policy = {.mtu = LEN - 15};

	(void)state;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true, .tx = true});
	assert_int_equal(sw_policy_set(sw, &ports[A]->port, &policy), 0);
	send_one(ports[A], UNTAGGED, B, A, 1);
	assert_int_equal(ports[B]->ngot, 0);
	expect(ports[E], UNTAGGED, B, A, 1);
	/* But it did not receive this. */
	send_one(ports[B], UNTAGGED, A, B, 1);
	assert_int_equal(ports[E]->ngot, 0);
	mirror_end();
}

static uint64_t drops_of(unsigned port, bool rx, enum port_drop why)
{
	struct port_pair pair;

	port_read(&ports[port]->port, &pair);
	return rx ? pair.rx.drops[why] : pair.tx.drops[why];
}

static void the_destination_is_out_of_the_switch(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, E};
	const fdb_key key = fdb_key_make(mac, sw_domain_of(sw, (struct sw_vlan){.id = 0}));

	(void)state;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true});
	assert_true(sw_port_is_up(sw, &ports[E]->port));
	assert_int_equal(fdb_lookup(sw_fdb(sw), key), FDB_HOP_NONE);
	/* It gets no flood, */
	send_one(ports[B], UNTAGGED, BROADCAST, B, 1);
	assert_int_equal(ports[E]->ngot, 0);
	/* nobody hears or learns what it sends, */
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	send_one(ports[E], UNTAGGED, BROADCAST, E, 1);
	send_one(ports[E], UNTAGGED, A, E, 1);
	for (unsigned i = 0; i < NPORTS; i++)
		assert_int_equal(ports[i]->ngot, 0);
	assert_int_equal(drops_of(E, true, PORT_DROP_MIRROR), 2);
	assert_int_equal(fdb_lookup(sw_fdb(sw), key), FDB_HOP_NONE);
	/* not even what control sends in its name, */
	assert_int_equal(sw_inject(sw, &ports[E]->port, ports[E]->pending[0], 60, FDB_BY_RARP), 0);
	sw_round(sw, 0);
	assert_int_equal(ports[A]->ngot, 0);
	/* and an address that is there by hand is nowhere. */
	assert_int_equal(fdb_add_static(sw_fdb(sw), key, E, false), 0);
	send_one(ports[B], UNTAGGED, E, B, 1);
	assert_int_equal(drops_of(E, false, PORT_DROP_MIRROR), 1);
	fdb_del(sw_fdb(sw), key);
	/* In another mode, too. */
	sw_forward_set(sw, SW_FORWARD_IO, true);
	send_one(ports[E], UNTAGGED, A, E, 1);
	for (unsigned i = 0; i < NPORTS; i++)
		assert_int_equal(ports[i]->ngot, 0);
	assert_int_equal(drops_of(E, false, PORT_DROP_MIRROR), 2);
	sw_forward_set(sw, SW_FORWARD_SWITCH, true);
	mirror_end();
	/* It is a port as others again. */
	send_one(ports[E], UNTAGGED, BROADCAST, E, 2);
	expect(ports[A], UNTAGGED, BROADCAST, E, 2);
	send_one(ports[A], UNTAGGED, E, A, 3);
	expect(ports[E], UNTAGGED, E, A, 3);
}

static void a_copy_has_the_form_of_its_source(void **state)
{
	(void)state;
	members_join();
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true, .tx = true});
	sw_mirror_source(sw, mirror, &ports[B]->port);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	send_one(ports[A], 10, BROADCAST, A, 1);
	/* a sent it with its tag, b got it without. */
	assert_int_equal(ports[E]->ngot, 2);
	assert_int_equal(ports[E]->got_len[0], LEN + 4);
	assert_int_equal(ports[E]->got_len[1], LEN);
	assert_memory_equal(ports[E]->got[0] + 16, ports[E]->got[1] + 12, LEN - 12);
	mirror_end();
}

static void a_vlan_is_mirrored_wherever_it_is(void **state)
{
	struct sw_mirror_config cfg = {.rx = true, .of_vlan = true, .vlan = {.id = 10}};

	(void)state;
	members_join();
	mirror_begin(NULL, &cfg);
	send_one(ports[A], 10, BROADCAST, A, 1);       /* tagged */
	send_one(ports[B], UNTAGGED, BROADCAST, B, 2); /* its only VLAN */
	assert_int_equal(ports[E]->ngot, 2);
	send_one(ports[A], 20, BROADCAST, A, 3);
	send_one(ports[A], UNTAGGED, BROADCAST, A, 4);
	send_one(ports[A], SERVICE | 10, BROADCAST, A, 4);
	send_one(ports[3], UNTAGGED, BROADCAST, 3, 5); /* VLAN 20 */
	assert_int_equal(ports[E]->ngot, 2);
	mirror_end();
	ports[E]->ngot = 0;
	/* What is received: by b and c, each. */
	cfg = (struct sw_mirror_config){.tx = true, .of_vlan = true, .vlan = {.id = 10}};
	mirror_begin(NULL, &cfg);
	send_one(ports[A], 10, BROADCAST, A, 1);
	assert_int_equal(ports[E]->ngot, 2);
	mirror_end();
	ports[E]->ngot = 0;
	/* The VLAN of another bridge is another one. */
	cfg.vlan.bridge = 1;
	mirror_begin(NULL, &cfg);
	send_one(ports[A], 10, BROADCAST, A, 1);
	assert_int_equal(ports[E]->ngot, 0);
	mirror_end();
}

static void a_copy_is_cut_and_the_frame_is_not(void **state)
{
	static const uint32_t snaps[] = {14, 50, 63, 64, 65, 99, 100, 101, 4000};
	static const struct frame_offload asks = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 20,
		.csum_start = 34,
		.csum_offset = 16};

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(snaps); i++) {
		const struct sw_mirror_config cfg = {.rx = true, .snap = snaps[i]};
		const uint32_t len = RW_MIN(snaps[i], (uint32_t)LEN);
		struct sw_mirror_counts n;

		ports[B]->txq.takes = ports[E]->txq.takes = FRAME_TAKES_ALL;
		mirror_begin(ports[A], &cfg);
		ports[A]->offload = asks;
		put(ports[A], UNTAGGED, B, A, 1);
		put(ports[A], UNTAGGED, B, A, 2);
		sw_round(sw, 0);
		assert_int_equal(ports[B]->ngot, 2);
		assert_int_equal(ports[E]->ngot, 2);
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(ports[B]->got_len[k], LEN);
			assert_int_equal(ports[E]->got_len[k], len);
			assert_memory_equal(ports[E]->got[k], ports[B]->got[k], len);
			assert_int_equal(got_offload[k].gso_type, len < LEN ? 0 : asks.gso_type);
			assert_int_equal(got_offload[k].flags, len < LEN ? 0 : asks.flags);
		}
		assert_int_equal(ports[A]->segs[0].len, LEN - FRAME_HEAD);
		sw_mirror_read(mirror, &n);
		assert_int_equal(n.bytes, 2 * len);
		ports[A]->offload = (struct frame_offload){0};
		ports[B]->txq.takes = ports[E]->txq.takes = 0;
		for (unsigned k = 0; k < NPORTS; k++)
			ports[k]->ngot = 0;
		mirror_end();
	}
}

/* A frame to be cut into segments, for a guest that takes it and a destination that does not. */
static void a_copy_is_converted_as_frames_are(void **state)
{
	static const uint8_t ip[] = {8, 0, 0x45, 0, 0, LEN - 14, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0,
		9, 10, 0, 0, 8, 0, 67, 0, 68, 0, 0, 0, 0, 0, 0, 0, 0, 0x50};

	(void)state;
	ports[B]->txq.takes = FRAME_TAKES_ALL;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true});
	ports[A]->offload = (struct frame_offload){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 20,
		.csum_start = 34,
		.csum_offset = 16};
	put(ports[A], UNTAGGED, B, A, 1);
	memcpy(ports[A]->pending[0] + 12, ip, sizeof(ip));
	sw_round(sw, 0);
	assert_int_equal(ports[B]->ngot, 1);
	/* 46 bytes of payload. */
	assert_int_equal(ports[E]->ngot, 3);
	assert_int_equal(ports[E]->txq.counters->segmented, 1);
	assert_int_equal(copied(), 1);
	ports[A]->offload = (struct frame_offload){0};
	mirror_end();
}

static void one_of_so_many_is_exact(void **state)
{
	static const unsigned bursts[] = {1, 3, 32, 7, 30, 2, 1, 1, 19, 4};
	const struct sw_mirror_config cfg = {.rx = true, .sample = 7};
	unsigned sent = 0;

	(void)state;
	mirror_begin(ports[A], &cfg);
	for (size_t i = 0; i < RW_ARRAY_SIZE(bursts); i++) {
		for (unsigned k = 0; k < bursts[i]; k++)
			put(ports[A], UNTAGGED, B, A, (uint8_t)sent++);
		sw_round(sw, 0);
		assert_int_equal(ports[E]->ngot, (sent + 6) / 7);
	}
	for (unsigned i = 0; i < ports[E]->ngot; i++)
		assert_int_equal(ports[E]->got[i][14], (uint8_t)(7 * i));
	assert_int_equal(ports[B]->ngot, sent);
	mirror_end();
}

static void what_finds_no_room_is_lost_to_the_mirror_alone(void **state)
{
	unsigned sent = 0, got = 0;

	(void)state;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true});
	for (unsigned round = 0; round < 4; round++) {
		ports[E]->nrefused = 8 * round;
		for (unsigned i = 0; i < 20; i++)
			put(ports[A], UNTAGGED, B, A, (uint8_t)sent++);
		sw_round(sw, 0);
		got += RW_MAX(20, 8 * round) - 8 * round;
		assert_int_equal(ports[B]->ngot, sent);
		assert_int_equal(ports[E]->ngot, got);
		assert_int_equal(lost(PORT_DROP_NO_BUFFER), sent - got);
	}
	for (unsigned i = 0; i < sent; i++)
		assert_int_equal(ports[B]->got[i][14], (uint8_t)i);
	assert_int_equal(copied(), sent);
	assert_int_equal(drops_of(E, false, PORT_DROP_NO_BUFFER), sent - got);
	mirror_end();
}

static void a_destination_that_is_down_or_gone_is_no_hindrance(void **state)
{
	const struct sw_policy down = {.down = true}, none = {0};
	struct fake *e = ports[E];

	(void)state;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true});
	assert_int_equal(sw_policy_set(sw, &e->port, &down), 0);
	send_one(ports[A], UNTAGGED, B, A, 1);
	assert_int_equal(lost(PORT_DROP_ADMIN_DOWN), 1);
	assert_int_equal(drops_of(E, false, PORT_DROP_ADMIN_DOWN), 1);
	assert_int_equal(sw_policy_set(sw, &e->port, &none), 0);
	sw_txq_set(sw, &e->port, 0, NULL);
	sw_commit(sw);
	assert_false(sw_port_is_up(sw, &e->port));
	send_one(ports[A], UNTAGGED, B, A, 2);
	assert_int_equal(lost(PORT_DROP_LINK_DOWN), 1);
	assert_int_equal(drops_of(E, false, PORT_DROP_LINK_DOWN), 1);
	sw_txq_set(sw, &e->port, 0, &e->txq);
	sw_commit(sw);
	send_one(ports[A], UNTAGGED, B, A, 3);
	expect(e, UNTAGGED, B, A, 3);
	/* Whoever has its id afterwards is no destination. */
	sw_port_del(sw, &e->port);
	send_one(ports[A], UNTAGGED, B, A, 4);
	assert_int_equal(lost(SW_MIRROR_ABSENT), 1);
	assert_int_equal(sw_port_add(sw, &e->port), 0);
	assert_int_equal(e->port.id, E);
	sw_rxq_set(sw, &e->port, 0, &e->rxq);
	sw_txq_set(sw, &e->port, 0, &e->txq);
	sw_commit(sw);
	send_one(ports[A], UNTAGGED, B, A, 5);
	assert_int_equal(lost(SW_MIRROR_ABSENT), 2);
	assert_int_equal(e->ngot, 0);
	assert_int_equal(ports[B]->ngot, 5);
	sw_mirror_to(sw, mirror, &e->port);
	send_one(ports[A], UNTAGGED, B, A, 6);
	expect(e, UNTAGGED, B, A, 6);
	/* The same with a source. */
	sw_port_del(sw, &ports[A]->port);
	assert_int_equal(sw_port_add(sw, &ports[A]->port), 0);
	sw_rxq_set(sw, &ports[A]->port, 0, &ports[A]->rxq);
	sw_txq_set(sw, &ports[A]->port, 0, &ports[A]->txq);
	sw_commit(sw);
	send_one(ports[A], UNTAGGED, B, A, 7);
	assert_int_equal(e->ngot, 0);
	mirror_end();
}

static void backlog_begin(struct fake *p)
{
	sw_txq_set(sw, &p->port, 0, NULL);
	sw_commit(sw);
	p->txq.backlog = port_fifo_new();
	assert_non_null(p->txq.backlog);
	p->txq.burst = e_tx;
	sw_txq_set(sw, &p->port, 0, &p->txq);
	sw_commit(sw);
}

static void backlog_end(struct fake *p)
{
	sw_txq_set(sw, &p->port, 0, NULL);
	sw_commit(sw);
	port_fifo_free(p->txq.backlog);
	p->txq.backlog = NULL;
}

static void a_destination_behind_an_iommu_gets_copies_later(void **state)
{
	(void)state;
	backlog_begin(ports[E]);
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true, .snap = 70});
	defers = true;
	for (uint8_t i = 0; i < 4; i++)
		send_one(ports[A], UNTAGGED, B, A, i);
	assert_int_equal(ports[B]->ngot, 4);
	assert_int_equal(ports[E]->ngot, 0);
	defers = false;
	port_txq_want_poll(&ports[E]->txq);
	sw_round(sw, 0);
	assert_int_equal(ports[E]->ngot, 4);
	for (uint8_t i = 0; i < 4; i++) {
		assert_int_equal(ports[E]->got_len[i], 70);
		assert_int_equal(ports[E]->got[i][14], i);
	}
	mirror_end();
	backlog_end(ports[E]);
}

static void what_a_source_receives_late_is_mirrored_then(void **state)
{
	(void)state;
	backlog_begin(ports[B]);
	mirror_begin(ports[B], &(struct sw_mirror_config){.tx = true});
	defers = true;
	send_one(ports[A], UNTAGGED, B, A, 1);
	assert_int_equal(ports[E]->ngot, 0);
	defers = false;
	port_txq_want_poll(&ports[B]->txq);
	sw_round(sw, 0);
	expect(ports[B], UNTAGGED, B, A, 1);
	expect(ports[E], UNTAGGED, B, A, 1);
	mirror_end();
	backlog_end(ports[B]);
}

/* ---- other watches ---- */

static unsigned nseen;
static struct sw_sight seen[8];

static void note(struct sw_watch *watch, const struct sw_sight *s)
{
	(void)watch;
	assert_in_range(nseen, 0, RW_ARRAY_SIZE(seen) - 1);
	seen[nseen++] = *s;
}

static void who_watches_sees_copies_after_their_frames(void **state)
{
	struct sw_watch watch = {
		.see = note, .wants = SW_SEE_RX | SW_SEE_TX | SW_SEE_DROP, .all = true};

	(void)state;
	mirror_begin(ports[A], &(struct sw_mirror_config){.rx = true});
	assert_int_equal(sw_watch_add(sw, &watch), 0);
	sw_commit(sw);
	nseen = 0;
	send_one(ports[A], UNTAGGED, B, A, 1);
	assert_int_equal(nseen, 3);
	assert_int_equal(seen[0].what, SW_SEE_RX);
	assert_int_equal(seen[1].what, SW_SEE_TX);
	assert_int_equal(seen[1].port, E);
	assert_int_equal(seen[1].other, A);
	assert_int_equal(seen[2].port, B);
	nseen = 0;
	ports[E]->nrefused = 1;
	send_one(ports[A], UNTAGGED, B, A, 1);
	assert_int_equal(nseen, 3);
	assert_int_equal(seen[1].what, SW_SEE_DROP);
	assert_int_equal(seen[1].why, PORT_DROP_NO_BUFFER);
	sw_watch_remove(sw, &watch);
	sw_commit(sw);
	mirror_end();
}

static void their_number_is_limited(void **state)
{
	const struct sw_mirror_config cfg = {.rx = true};
	struct sw_mirror *all[SW_MIRRORS_MAX], *more;

	(void)state;
	for (unsigned i = 0; i < SW_MIRRORS_MAX; i++) {
		assert_int_equal(sw_mirror_new(sw, &cfg, &all[i]), 0);
		sw_mirror_source(sw, all[i], &ports[A]->port);
		sw_mirror_to(sw, all[i], &ports[i % 2 ? E : 3]->port);
	}
	assert_int_equal(sw_mirror_new(sw, &cfg, &more), -ENOSPC);
	/* Several mirrors may have one destination: each copies. */
	send_one(ports[A], UNTAGGED, BROADCAST, A, 1);
	assert_int_equal(ports[E]->ngot, SW_MIRRORS_MAX / 2);
	assert_int_equal(ports[3]->ngot, SW_MIRRORS_MAX / 2);
	expect(ports[B], UNTAGGED, BROADCAST, A, 1);
	for (unsigned i = 0; i < SW_MIRRORS_MAX; i++)
		sw_mirror_free(sw, all[i]);
	assert_null(sw->plan->round);
}

/* ---- two workers ---- */

static int begin_two(void **state)
{
	(void)state;
	begin_with(0, 2);
	return 0;
}

static void two_workers_fill_one_destination(void **state)
{
	const struct sw_mirror_config cfg = {.rx = true, .sample = 3};
	unsigned sent = 0;

	(void)state;
	ports[E]->txq.burst = e_tx;
	assert_int_equal(sw_mirror_new(sw, &cfg, &mirror), 0);
	for (unsigned i = 0; i < E; i++)
		sw_mirror_source(sw, mirror, &ports[i]->port);
	sw_mirror_to(sw, mirror, &ports[E]->port);
	ports[E]->txq.shared = true;
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < E; i++, sent++)
			put(ports[i], UNTAGGED, BROADCAST, (uint8_t)i, 0);
		sw_round(sw, 0);
		sw_round(sw, 1);
	}
	assert_int_equal(ports[E]->ngot, (sent + 2) / 3);
	assert_int_equal(copied(), ports[E]->ngot);
	mirror_end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_direction_is_mirrored_and_the_other_is_not, begin, end),
		cmocka_unit_test_setup_teardown(two_sources_that_talk_give_two_copies, begin, end),
		cmocka_unit_test_setup_teardown(what_a_policy_drops_was_mirrored, begin, end),
		cmocka_unit_test_setup_teardown(the_destination_is_out_of_the_switch, begin, end),
		cmocka_unit_test_setup_teardown(a_copy_has_the_form_of_its_source, begin, end),
		cmocka_unit_test_setup_teardown(a_vlan_is_mirrored_wherever_it_is, begin, end),
		cmocka_unit_test_setup_teardown(a_copy_is_cut_and_the_frame_is_not, begin, end),
		cmocka_unit_test_setup_teardown(a_copy_is_converted_as_frames_are, begin, end),
		cmocka_unit_test_setup_teardown(one_of_so_many_is_exact, begin, end),
		cmocka_unit_test_setup_teardown(
			what_finds_no_room_is_lost_to_the_mirror_alone, begin, end),
		cmocka_unit_test_setup_teardown(
			a_destination_that_is_down_or_gone_is_no_hindrance, begin, end),
		cmocka_unit_test_setup_teardown(
			a_destination_behind_an_iommu_gets_copies_later, begin, end),
		cmocka_unit_test_setup_teardown(
			what_a_source_receives_late_is_mirrored_then, begin, end),
		cmocka_unit_test_setup_teardown(
			who_watches_sees_copies_after_their_frames, begin, end),
		cmocka_unit_test_setup_teardown(their_number_is_limited, begin, end),
		cmocka_unit_test_setup_teardown(two_workers_fill_one_destination, begin_two, end),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "switch_mirror");
}
