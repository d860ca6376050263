/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches: what workers tell of each frame. Every drop counter has the sights that it needs. */
#include "switch_fixture.h"

#include <linux/virtio_net.h>

#include "group_packets.h"
#include "port_fifo.h"
#include "sw_snoop.h"

#define MAX_SIGHTS 256

/* A watch that keeps what it is told. */
struct recorder {
	struct sw_watch watch;
	unsigned n;
	struct sw_sight sights[MAX_SIGHTS];
	uint16_t marks[MAX_SIGHTS];   /* of the first frame */
	uint32_t len[MAX_SIGHTS];     /* the same */
	uint32_t results[MAX_SIGHTS]; /* the same */
	struct sw_vlan vlans[MAX_SIGHTS];
	uint64_t frames[SW_SEE_ONWARD]; /* by what was seen */
	uint64_t drops[NPORTS][2][PORT_NUM_DROPS];
};

static struct recorder rec;

static void record(struct sw_watch *watch, const struct sw_sight *s)
{
	struct recorder *r = rw_container_of(watch, struct recorder, watch);
	unsigned i = r->n++;

	assert_in_range(i, 0, MAX_SIGHTS - 1);
	assert_true(s->n > 0);
	assert_true(watch->wants & s->what);
	r->sights[i] = *s;
	r->frames[s->what] += s->n;
	if (s->what == SW_SEE_DROP)
		r->drops[s->port][s->rx][s->why] += s->n;
	if (!s->frames)
		return;
	assert_in_range(s->n, 1, FRAME_BURST);
	r->marks[i] = s->frames[0]->mark;
	r->len[i] = s->frames[0]->len;
	r->vlans[i] = sw_sight_vlan(s, 0);
	if (s->what == SW_SEE_STAGES && s->result)
		r->results[i] = s->result[0];
}

/* Watch a port, or all of them. */
static void watch(const struct fake *p, uint32_t wants)
{
	rec = (struct recorder){.watch = {.see = record, .wants = wants, .all = !p}};
	if (p)
		sw_watch_port(&rec.watch, &p->port);
	assert_int_equal(sw_watch_add(sw, &rec.watch), 0);
	sw_commit(sw);
}

static void unwatch(void)
{
	sw_watch_remove(sw, &rec.watch);
	sw_commit(sw);
}

static void forget(void)
{
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
	rec.n = 0;
	memset(rec.frames, 0, sizeof(rec.frames));
}

static const struct sw_sight *sight(unsigned i)
{
	assert_in_range(i, 0, rec.n - 1);
	return &rec.sights[i];
}

/* Hosts 0 to 4 are behind ports a to e. */
static void hosts_known(void)
{
	for (uint8_t i = 0; i < NPORTS; i++)
		send_one(ports[i], UNTAGGED, BROADCAST, i, 0);
	forget();
}

static void a_frame_is_seen_on_both_sides(void **state)
{
	(void)state;
	hosts_known();
	watch(ports[0], SW_SEE_RX | SW_SEE_TX | SW_SEE_DROP);
	put(ports[0], UNTAGGED, 1, 0, 1);
	put(ports[0], UNTAGGED, 1, 0, 2);
	sw_round(sw, 0);
	assert_int_equal(rec.n, 1);
	assert_int_equal(sight(0)->what, SW_SEE_RX);
	assert_int_equal(sight(0)->n, 2);
	assert_int_equal(sight(0)->port, 0);
	assert_int_equal(sight(0)->other, SW_NO_PORT);
	assert_int_equal(rec.len[0], LEN);
	assert_true(sight(0)->polled && sight(0)->now >= sight(0)->polled);
	assert_int_equal(ports[1]->ngot, 2);
	forget();
	send_one(ports[1], UNTAGGED, 0, 1, 1);
	assert_int_equal(rec.n, 1);
	assert_int_equal(sight(0)->what, SW_SEE_TX);
	assert_int_equal(sight(0)->port, 0);
	assert_int_equal(sight(0)->other, 1);
	assert_null(sight(0)->edit);
	assert_true(sight(0)->polled && sight(0)->now >= sight(0)->polled);
	unwatch();
}

static void what_becomes_of_its_frames_is_seen_anywhere(void **state)
{
	(void)state;
	members_join();
	watch(ports[0], SW_SEE_RX | SW_SEE_ONWARD | SW_SEE_TX);
	put(ports[0], 10, BROADCAST, 0, 1);
	put(ports[0], 20, BROADCAST, 0, 2);
	sw_round(sw, 0);
	/* b, c, e get the first, c, d, e the second; c and e get both in one list. */
	assert_int_equal(rec.frames[SW_SEE_RX], 2);
	assert_int_equal(rec.frames[SW_SEE_TX], 6);
	for (unsigned i = 1; i < rec.n; i++) {
		bool edited = sight(i)->port == 1 || sight(i)->port == 3;

		assert_int_equal(sight(i)->what, SW_SEE_TX);
		assert_int_equal(sight(i)->other, 0);
		assert_int_equal(sight(i)->edit != NULL, edited);
		assert_int_equal(rec.len[i], edited ? LEN : LEN + 4);
		assert_int_equal(rec.marks[i], sight(i)->port == 3);
		assert_int_equal(rec.vlans[i].id, rec.marks[i] ? 20 : 10);
	}
	unwatch();
}

static void other_ports_see_nothing(void **state)
{
	(void)state;
	hosts_known();
	watch(ports[4], SW_SEE_RX | SW_SEE_TX | SW_SEE_DROP | SW_SEE_STAGES | SW_SEE_ONWARD);
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	send_one(ports[1], UNTAGGED, 0, 1, 1);
	send_one(ports[1], UNTAGGED, 1, 1, 1);
	assert_int_equal(rec.n, 0);
	assert_int_equal(ports[0]->ngot, 1);
	assert_int_equal(ports[1]->ngot, 1);
	unwatch();
}

static void what_was_removed_sees_nothing(void **state)
{
	static struct recorder more[SW_MAX_WATCHES];

	(void)state;
	hosts_known();
	watch(NULL, SW_SEE_RX);
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	assert_int_equal(rec.n, 1);
	unwatch();
	assert_null(sw->plan->round);
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	assert_int_equal(rec.n, 1);
	/* Their number is limited. */
	for (unsigned i = 0; i < SW_MAX_WATCHES; i++) {
		more[i].watch = (struct sw_watch){.see = record, .wants = SW_SEE_RX, .all = true};
		assert_int_equal(sw_watch_add(sw, &more[i].watch), 0);
	}
	assert_int_equal(sw_watch_add(sw, &rec.watch), -ENOSPC);
	sw_watch_remove(sw, &more[3].watch);
	sw_commit(sw);
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	for (unsigned i = 0; i < SW_MAX_WATCHES; i++) {
		assert_int_equal(more[i].n, i != 3);
		sw_watch_remove(sw, &more[i].watch);
	}
	sw_commit(sw);
}

static void a_port_that_left_is_not_watched_again(void **state)
{
	struct fake *p = ports[1];

	(void)state;
	watch(p, SW_SEE_RX);
	assert_true(sw_watch_has_port(&rec.watch));
	sw_port_del(sw, &p->port);
	assert_false(sw_watch_has_port(&rec.watch));
	assert_int_equal(sw_port_add(sw, &p->port), 0);
	assert_int_equal(p->port.id, 1);
	sw_rxq_set(sw, &p->port, 0, &p->rxq);
	sw_txq_set(sw, &p->port, 0, &p->txq);
	sw_commit(sw);
	send_one(p, UNTAGGED, BROADCAST, 1, 1);
	assert_int_equal(ports[0]->ngot, 1);
	assert_int_equal(rec.n, 0);
	unwatch();
}

static void decisions_are_seen_in_their_order(void **state)
{
	static const enum sw_stage stages[] = {
		SW_STAGE_POLICY, SW_STAGE_DOMAIN, SW_STAGE_LEARN, SW_STAGE_LOOKUP, SW_STAGE_FLOOD};
	const struct sw_policy policy = {.mtu = 1500};
	const uint16_t domain = sw_domain_of(sw, (struct sw_vlan){.id = 7});
	const uint32_t results[] = {0, domain, FDB_NEW, FDB_HOP_NONE, SW_FLOOD_ALL};

	(void)state;
	assert_int_equal(sw_policy_set(sw, &ports[0]->port, &policy), 0);
	watch(ports[0], SW_SEE_STAGES);
	send_one(ports[0], 7, 1, 0, 1);
	assert_int_equal(rec.n, RW_ARRAY_SIZE(stages));
	for (unsigned i = 0; i < rec.n; i++) {
		assert_int_equal(sight(i)->stage, stages[i]);
		assert_int_equal(rec.results[i], results[i]);
		assert_int_equal(sight(i)->n, 1);
		assert_int_equal(sight(i)->port, 0);
		assert_true(!i || sight(i)->now >= sight(i - 1)->now);
	}
	forget();
	send_one(ports[1], 7, 0, 1, 1);
	assert_int_equal(rec.n, 0);
	send_one(ports[0], 7, 1, 0, 1);
	assert_int_equal(rec.n, 4);
	assert_int_equal(rec.results[2], FDB_KNOWN);
	assert_int_equal(rec.results[3], 1);
	unwatch();
}

static void a_watched_mode_is_the_same_mode(void **state)
{
	(void)state;
	sw_forward_set(sw, SW_FORWARD_MACSWAP, true);
	watch(ports[0], SW_SEE_RX | SW_SEE_TX);
	send_one(ports[0], UNTAGGED, 1, 0, 5);
	expect(ports[1], UNTAGGED, 0, 1, 5);
	assert_int_equal(rec.frames[SW_SEE_RX], 1);
	send_one(ports[1], UNTAGGED, 0, 1, 6);
	expect(ports[0], UNTAGGED, 1, 0, 6);
	assert_int_equal(rec.frames[SW_SEE_TX], 1);
	unwatch();
}

/* ---- backlogs ---- */

static bool defers;

static unsigned late_tx(struct port_txq *q, struct frame **frames, unsigned n)
{
	q->deferred = defers ? n : 0;
	return defers ? 0 : fake_tx(q, frames, n);
}

static void a_backlog_is_seen_when_it_is_delivered(void **state)
{
	struct fake *p = ports[1];

	(void)state;
	hosts_known();
	p->txq.backlog = port_fifo_new();
	assert_non_null(p->txq.backlog);
	p->txq.burst = late_tx;
	sw_txq_set(sw, &p->port, 0, NULL);
	sw_commit(sw);
	sw_txq_set(sw, &p->port, 0, &p->txq);
	watch(p, SW_SEE_TX | SW_SEE_DROP);
	defers = true;
	for (uint8_t i = 0; i < 4; i++)
		send_one(ports[0], UNTAGGED, 1, 0, i);
	assert_int_equal(rec.n, 0);
	defers = false;
	p->nrefused = 1;
	port_txq_want_poll(&p->txq);
	sw_round(sw, 0);
	assert_int_equal(rec.frames[SW_SEE_TX], 3);
	assert_int_equal(rec.frames[SW_SEE_DROP], 1);
	for (unsigned i = 0; i < rec.n; i++) {
		assert_true(sight(i)->late);
		assert_int_equal(sight(i)->other, SW_NO_PORT);
		assert_int_equal(sight(i)->polled, 0);
	}
	forget();
	p->nrefused = 0;
	send_one(ports[0], UNTAGGED, 1, 0, 9);
	assert_int_equal(rec.frames[SW_SEE_TX], 1);
	assert_false(sight(0)->late);
	assert_int_equal(sight(0)->other, 0);
	unwatch();
	sw_txq_set(sw, &p->port, 0, NULL);
	sw_commit(sw);
	port_fifo_free(p->txq.backlog);
	p->txq.backlog = NULL;
}

/* ---- two workers ---- */

static int begin_two(void **state)
{
	(void)state;
	begin_with(0, 2);
	return 0;
}

static void two_workers_tell_who_they_are(void **state)
{
	(void)state;
	watch(NULL, SW_SEE_RX);
	for (uint16_t i = 0; i < NPORTS; i++)
		put(ports[i], UNTAGGED, BROADCAST, (uint8_t)i, 0);
	for (unsigned w = 0; w < 2; w++) {
		unsigned before = rec.n;

		sw_round(sw, w);
		assert_true(rec.n > before);
		for (unsigned i = before; i < rec.n; i++)
			assert_int_equal(sight(i)->worker, w);
	}
	assert_int_equal(rec.frames[SW_SEE_RX], NPORTS);
	unwatch();
}

/* ---- drops ---- */

static void policy_of(unsigned port, const struct sw_policy *policy)
{
	assert_int_equal(sw_policy_set(sw, &ports[port]->port, policy), 0);
}

/* A frame whose bytes from the EtherType on are these. */
static void put_bytes(struct fake *p, uint8_t dst, const void *bytes, size_t n)
{
	put(p, UNTAGGED, dst, 0, 0);
	memcpy(p->pending[p->npending - 1] + 12, bytes, n);
}

static void put_packet(struct fake *p, struct packet packet)
{
	memcpy(p->pending[p->npending], packet.bytes, packet.len);
	p->len[p->npending++] = packet.len;
}

static void drops_of_policies(void)
{
	static const struct sw_policy policies[] = {
		{.down = true},
		{.nmacs = 1, .macs = {{2, 0, 0, 0, 0, 0x77}}},
		{.naddresses = 1, .addresses = {{.bytes = {10, 0, 0, 1}, .len = 32}}},
		{.no_dhcp_server = true},
		{.no_router = true},
		{.mtu = LEN - 15},
		{.rx = {.per_s = 1, .burst = 1, .frames = true}},
		{.storm = {[SW_STORM_BROADCAST] = {.per_s = 1, .burst = 1, .frames = true}}},
		{.storm = {[SW_STORM_MULTICAST] = {.per_s = 1, .burst = 1, .frames = true}}},
		{.storm = {[SW_STORM_UNKNOWN] = {.per_s = 1, .burst = 1, .frames = true}}},
		{0},
	};
	static const uint8_t dhcp[] = {8, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9,
		10, 0, 0, 8, 0, 67, 0, 68};
	static const uint8_t router[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, 58, 255, 0xfe, 0x80, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 1, 134, 0};

	for (unsigned i = 0; i < RW_ARRAY_SIZE(policies); i++) {
		policy_of(0, &policies[i]);
		put(ports[0], UNTAGGED, BROADCAST, 0, 1);
		put(ports[0], UNTAGGED, BROADCAST, 0, 2);
		for (unsigned k = 0; k < 2; k++) {
			put(ports[0], UNTAGGED, 3, 0, 3);
			ports[0]->pending[ports[0]->npending - 1][0] = 3; /* a group */
		}
		put(ports[0], UNTAGGED, 99, 0, 3);
		put(ports[0], UNTAGGED, 99, 0, 4);
		put_bytes(ports[0], 1, dhcp, sizeof(dhcp));
		put_bytes(ports[0], 1, router, sizeof(router));
		sw_round(sw, 0);
	}
	/* Of those who are to receive. */
	policy_of(1, &(struct sw_policy){.mtu = LEN - 15});
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	policy_of(1, &(struct sw_policy){.tx = {.per_s = 1, .burst = 1, .frames = true}});
	put(ports[0], UNTAGGED, 1, 0, 1);
	put(ports[0], UNTAGGED, 1, 0, 1);
	sw_round(sw, 0);
	policy_of(1, &(struct sw_policy){.isolated = true});
	send_one(ports[1], UNTAGGED, 0, 1, 1);
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 1);
	policy_of(1, &(struct sw_policy){0});
	/* More hosts than it may have. */
	sw_port_limit_addresses(sw, &ports[2]->port, 1);
	policy_of(2, &(struct sw_policy){.drop_excess = true});
	for (uint8_t i = 40; i < 44; i++)
		put(ports[2], UNTAGGED, BROADCAST, i, 1);
	sw_round(sw, 0);
	policy_of(2, &(struct sw_policy){0});
}

static void drops_of_destinations(void)
{
	static const uint8_t router[6] = {2, 0, 0, 0, 0, 2};
	unsigned i;

	send_one(ports[0], UNTAGGED, 0, 0, 1); /* hairpin */
	put(ports[0], UNTAGGED, 1, 0, 1);
	memcpy(ports[0]->pending[0], (uint8_t[]){1, 0x80, 0xc2, 0, 0, 3}, 6);
	sw_round(sw, 0);
	send_one(ports[0], 4095, 1, 0, 1);
	send_one(ports[0], 4094, 1, 0, 1); /* the second domain of two */
	send_one(ports[0], 4093, 1, 0, 1); /* none is left */
	/* A member, and none. */
	assert_int_equal(sw_domain_join(sw, &ports[3]->port, 4094, SW_FORM_TAGGED), 0);
	sw_commit(sw);
	send_one(ports[3], UNTAGGED, 1, 3, 1);
	sw_domain_leave(sw, &ports[3]->port, 4094);
	sw_commit(sw);
	/* What a receiver would take for a tag. */
	assert_int_equal(sw_bridge_enter(sw, &ports[3]->port, SW_BRIDGE_DEFAULT, true), 0);
	sw_commit(sw);
	send_one(ports[0], SERVICE | 5, BROADCAST, 0, 1);
	assert_int_equal(sw_bridge_enter(sw, &ports[3]->port, SW_BRIDGE_DEFAULT, false), 0);
	sw_commit(sw);
	/* Nobody has joined, but there is one who asks. */
	sw_snooping_set(sw, true);
	put_packet(ports[2], packet_igmp2(router, "10.0.0.1", 0x11, 100, NULL));
	sw_round(sw, 0);
	/* All hosts have answered by then. */
	sw->workers[0]->now_s = 60;
	sw->workers[0]->next_s_at = UINT64_MAX;
	put_bytes(ports[2], 1, (uint8_t[]){8, 0, 0x45}, 3);
	memcpy(ports[2]->pending[0], (uint8_t[]){1, 0, 0x5e, 1, 2, 3}, 6);
	sw_round(sw, 0);
	sw_snooping_set(sw, false);
	/* It has no buffers; what it sent is no frame; what it asks for cannot be done. */
	ports[1]->nrefused = 1;
	send_one(ports[0], UNTAGGED, BROADCAST, 0, 1);
	ports[1]->nrefused = 0;
	ports[0]->nbad = 3;
	sw_round(sw, 0);
	ports[0]->offload = (struct frame_offload){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 2000, .csum_offset = 16};
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	ports[0]->offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	ports[0]->offload.gso_size = 50;
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	ports[0]->offload = (struct frame_offload){0};
	/* Nobody is there. */
	sw_txq_set(sw, &ports[1]->port, 0, NULL);
	sw_commit(sw);
	send_one(ports[0], UNTAGGED, 1, 0, 1);
	for (i = 1; i < NPORTS; i++)
		sw_txq_set(sw, &ports[i]->port, 0, NULL);
	sw_commit(sw);
	send_one(ports[0], UNTAGGED, BROADCAST, 0, 1);
}

/* Of a port that gets copies alone. */
static void drops_of_mirrors(void)
{
	struct sw_mirror *mirror;

	assert_int_equal(sw_mirror_new(sw, &(struct sw_mirror_config){.tx = true}, &mirror), 0);
	sw_mirror_source(sw, mirror, &ports[2]->port);
	sw_mirror_to(sw, mirror, &ports[4]->port);
	send_one(ports[4], UNTAGGED, 1, 4, 1);
	ports[4]->nrefused = 1;
	send_one(ports[0], UNTAGGED, BROADCAST, 0, 1);
	sw_txq_set(sw, &ports[4]->port, 0, NULL);
	sw_commit(sw);
	send_one(ports[0], UNTAGGED, BROADCAST, 0, 1);
	sw_mirror_free(sw, mirror);
	ports[4]->nrefused = 0;
	sw_txq_set(sw, &ports[4]->port, 0, &ports[4]->txq);
	sw_commit(sw);
}

static void ledger_is(struct recorder *r)
{
	for (unsigned i = 0; i < NPORTS; i++) {
		struct port_pair pair;

		port_read(&ports[i]->port, &pair);
		for (unsigned why = 0; why < PORT_NUM_DROPS; why++) {
			if (r->drops[i][1][why] != pair.rx.drops[why] ||
				r->drops[i][0][why] != pair.tx.drops[why])
				print_message("port %u, %s\n", i, port_drop_name(why));
			assert_int_equal(r->drops[i][1][why], pair.rx.drops[why]);
			assert_int_equal(r->drops[i][0][why], pair.tx.drops[why]);
		}
	}
}

static int begin_few(void **state)
{
	(void)state;
	begin_with(2, 1);
	return 0;
}

/* Reasons that only a driver has. */
static bool is_of_a_driver(unsigned why)
{
	return why == PORT_DROP_BAD_ADDRESS || why == PORT_DROP_BAD_HEADER ||
		why == PORT_DROP_TOO_SHORT || why == PORT_DROP_TOO_LONG ||
		why == PORT_DROP_DISABLED || why == PORT_DROP_WORK || why == PORT_DROP_TX_FULL ||
		why == PORT_DROP_MANY_SEGMENTS;
}

static void every_drop_that_is_counted_is_seen(void **state)
{
	(void)state;
	hosts_known();
	watch(NULL, SW_SEE_DROP);
	rec.watch.all = true;
	drops_of_policies();
	rec.n = 0;
	drops_of_mirrors();
	drops_of_destinations();
	ledger_is(&rec);
	for (unsigned why = 0; why < PORT_NUM_DROPS; why++) {
		uint64_t n = 0;

		for (unsigned i = 0; i < NPORTS; i++)
			n += rec.drops[i][0][why] + rec.drops[i][1][why];
		if (!n && !is_of_a_driver(why))
			fail_msg("%s was not seen", port_drop_name(why));
	}
	unwatch();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_frame_is_seen_on_both_sides, begin, end),
		cmocka_unit_test_setup_teardown(
			what_becomes_of_its_frames_is_seen_anywhere, begin, end),
		cmocka_unit_test_setup_teardown(other_ports_see_nothing, begin, end),
		cmocka_unit_test_setup_teardown(what_was_removed_sees_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_port_that_left_is_not_watched_again, begin, end),
		cmocka_unit_test_setup_teardown(decisions_are_seen_in_their_order, begin, end),
		cmocka_unit_test_setup_teardown(a_watched_mode_is_the_same_mode, begin, end),
		cmocka_unit_test_setup_teardown(a_backlog_is_seen_when_it_is_delivered, begin, end),
		cmocka_unit_test_setup_teardown(two_workers_tell_who_they_are, begin_two, end),
		cmocka_unit_test_setup_teardown(every_drop_that_is_counted_is_seen, begin_few, end),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "switch_watch");
}
