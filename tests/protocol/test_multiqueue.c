/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests with several queue pairs: a flow is received on the pair it is sent from. */
#include "harness.h"

#include <errno.h>
#include <string.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static struct fe_guest_config with_pairs(uint16_t pairs, uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features |= FE_BIT(VIRTIO_NET_F_MQ) | features;
	c.pairs = pairs;
	c.rx_size = 32;
	c.tx_size = 32;
	return c;
}

/* A TCP or UDP connection between two hosts. */
struct flow {
	bool v6;
	uint8_t protocol; /* 6 or 17 */
	uint16_t port;    /* of the first host; the second's is 80 */
};

#define FLOW_LEN 128

/* A frame of the flow, from the first host to the second or back. */
static void flow_frame(
	uint8_t *f, const struct flow *flow, const uint8_t *dst, const uint8_t *src, bool back)
{
	uint8_t *ip = f + 14;
	uint8_t *l4 = ip + (flow->v6 ? 40 : 20);
	uint16_t first = flow->port, second = 80;

	frame_make(f, FLOW_LEN, dst, src, flow->port);
	memset(ip, 0, FLOW_LEN - 14);
	f[12] = flow->v6 ? 0x86 : 0x08;
	f[13] = flow->v6 ? 0xdd : 0x00;
	if (flow->v6) {
		ip[0] = 0x60;
		ip[5] = FLOW_LEN - 14 - 40;
		ip[6] = flow->protocol;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[back ? 39 : 23] = 1; /* fd00::1 and fd00::2 */
		ip[back ? 23 : 39] = 2;
	} else {
		ip[0] = 0x45;
		ip[3] = FLOW_LEN - 14;
		ip[8] = 64;
		ip[9] = flow->protocol;
		ip[12] = ip[16] = 10;
		ip[back ? 19 : 15] = 1; /* 10.0.0.1 and 10.0.0.2 */
		ip[back ? 15 : 19] = 2;
	}
	l4[back ? 2 : 0] = (uint8_t)(first >> 8);
	l4[back ? 3 : 1] = (uint8_t)first;
	l4[back ? 0 : 2] = (uint8_t)(second >> 8);
	l4[back ? 1 : 3] = (uint8_t)second;
}

/* Wait for a frame on any pair of `p`; the pair. */
static uint16_t arrives_on(struct rig *r, struct peer *p, const uint8_t *want)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint16_t pair = 0;
	int err;

	rig_wait(r,
		(pair = (uint16_t)((pair + 1) % p->g->config.pairs),
			err = fe_guest_recv(p->g, pair, got, sizeof(got), &in)) != -EAGAIN);
	assert_int_equal(err, 0);
	assert_int_equal(in.len, FLOW_LEN);
	assert_memory_equal(got, want, FLOW_LEN);
	return pair;
}

/* The guest `a` sends a frame of the flow on `pair`, `b` answers: the pair of the answer. */
static uint16_t answer_arrives_on(
	struct rig *r, struct peer *a, struct peer *b, const struct flow *flow, uint16_t pair)
{
	uint8_t frame[FLOW_LEN];
	const struct fe_frame f = {.data = frame, .len = sizeof(frame)};

	flow_frame(frame, flow, b->mac, a->mac, false);
	peer_send(r, a, pair, &f);
	arrives_on(r, b, frame);
	flow_frame(frame, flow, a->mac, b->mac, true);
	peer_send(r, b, 0, &f);
	return arrives_on(r, a, frame);
}

static void a_flow_is_received_on_the_pair_it_is_sent_from(void **state)
{
	static const struct flow flows[] = {{false, 6, 1000}, {false, 17, 1001}, {true, 6, 1002},
		{true, 17, 1003}, {false, 6, 2000}};
	static const uint64_t formats[] = {0, PACKED};
	struct fe_guest_config c;
	struct peer *a, *b;
	uint32_t round;
	size_t f, i;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = with_pairs(4, formats[f]);
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", NULL);
		for (round = 0; round < 20; round++)
			for (i = 0; i < RW_ARRAY_SIZE(flows); i++)
				assert_int_equal(
					answer_arrives_on(*state, a, b, &flows[i], i % 4), i % 4);
		/* Flows move with the guest's threads. */
		for (round = 0; round < 20; round++)
			for (i = 0; i < RW_ARRAY_SIZE(flows); i++)
				assert_int_equal(
					answer_arrives_on(*state, a, b, &flows[i], (i + round) % 4),
					(i + round) % 4);
		rig_clean(state);
	}
}

static void a_flow_that_was_never_sent_has_a_pair_of_its_own_all_the_same(void **state)
{
	struct fe_guest_config c = with_pairs(4, 0);
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b = peer_up(*state, "b", NULL);
	unsigned used = 0;
	uint16_t port;

	peer_send_to(*state, a, mac_broadcast, 60, 0);
	peer_expect(*state, b, mac_broadcast, a->mac, 60, 0);
	for (port = 5000; port < 5064; port++) {
		const struct flow flow = {.protocol = 17, .port = port};
		uint8_t frame[FLOW_LEN];
		const struct fe_frame f = {.data = frame, .len = sizeof(frame)};
		uint16_t pair;

		flow_frame(frame, &flow, a->mac, b->mac, true);
		peer_send(*state, b, 0, &f);
		pair = arrives_on(*state, a, frame);
		used |= 1u << pair;
		/* Frames of one flow stay together. */
		peer_send(*state, b, 0, &f);
		assert_int_equal(arrives_on(*state, a, frame), pair);
	}
	assert_int_equal(used, 0xf);
}

static void all_128_pairs_work(void **state)
{
	struct fe_guest_config c = with_pairs(128, 0);
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint16_t pair;

	c.rx_size = 8;
	c.tx_size = 8;
	a = peer_up(*state, "a", &c);
	assert_int_equal(rig_port_info(*state, "a", "pairs"), 128);
	for (pair = 0; pair < 128; pair++) {
		const struct flow flow = {.protocol = 6, .port = (uint16_t)(20000 + pair)};

		assert_int_equal(answer_arrives_on(*state, a, b, &flow, pair), pair);
	}
}

static void a_flow_whose_pair_is_disabled_arrives_on_another(void **state)
{
	static const struct flow flow = {.protocol = 6, .port = 3000};
	struct fe_guest_config c = with_pairs(3, 0);
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b = peer_up(*state, "b", NULL);
	uint16_t last;

	/* While two are left, then one. */
	assert_int_equal(answer_arrives_on(*state, a, b, &flow, 1), 1);
	assert_int_equal(fe_guest_enable(a->g, 2, false), 0);
	last = answer_arrives_on(*state, a, b, &flow, 1);
	assert_int_not_equal(last, 1);
	assert_int_equal(fe_guest_enable(a->g, 2u * last, false), 0);
	assert_int_equal(answer_arrives_on(*state, a, b, &flow, 1), 2 - last);
	assert_int_equal(fe_guest_enable(a->g, 2, true), 0);
	assert_int_equal(answer_arrives_on(*state, a, b, &flow, 1), 1);
}

static void a_guest_may_leave_pairs_unstarted(void **state)
{
	struct fe_guest_config c = with_pairs(4, 0);
	struct peer *a = peer_new(*state, "a", &c);
	struct peer *b = peer_up(*state, "b", NULL);
	uint16_t port;
	uint32_t i;

	/* Pair 2 alone: rings 4 and 5. */
	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	for (i = 4; i < 6; i++)
		assert_int_equal(fe_guest_start_ring(a->g, i), 0);
	assert_int_equal(rig_port_info(*state, "a", "pairs"), 1);
	for (port = 1; port < 20; port++) {
		const struct flow flow = {.protocol = 17, .port = port};

		assert_int_equal(answer_arrives_on(*state, a, b, &flow, 2), 2);
	}
}

static void a_flood_reaches_a_guest_once_whatever_its_pairs(void **state)
{
	struct fe_guest_config c = with_pairs(8, 0);
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b = peer_up(*state, "b", NULL);
	uint64_t before = rig_counter(*state, "a", "tx", "broadcast");
	uint32_t i;

	for (i = 0; i < 20; i++)
		peer_send_to(*state, b, mac_broadcast, 60, i);
	rig_wait(*state, rig_counter(*state, "a", "tx", "broadcast") >= before + 20);
	/* It is done with them when it delivers what is sent now. */
	peer_send_to(*state, a, b->mac, 60, 0);
	peer_expect(*state, b, b->mac, a->mac, 60, 0);
	assert_int_equal(rig_counter(*state, "a", "tx", "broadcast"), before + 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_flow_is_received_on_the_pair_it_is_sent_from),
		rig_test(a_flow_that_was_never_sent_has_a_pair_of_its_own_all_the_same),
		rig_test(all_128_pairs_work),
		rig_test(a_flow_whose_pair_is_disabled_arrives_on_another),
		rig_test(a_guest_may_leave_pairs_unstarted),
		rig_test(a_flood_reaches_a_guest_once_whatever_its_pairs),
	};

	return cmocka_run_group_tests_name("multiqueue", tests, start, rig_stop);
}
