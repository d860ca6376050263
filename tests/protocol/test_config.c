/* SPDX-License-Identifier: BSD-3-Clause */
/* The device configuration space, and the MTU, for front-ends that leave them to the back-end. */
#include <errno.h>
#include <string.h>

#include "hosts.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	if (rig_start(&rig, "ab", NULL))
		return -1;
	rig_allow(&rig, "config-space");
	return 0;
}

/* struct virtio_net_config up to `duplex` (virtio 1.2, 5.1.4). */
enum {
	AT_MAC = 0,
	AT_STATUS = 6,
	AT_PAIRS = 8,
	AT_MTU = 10,
	AT_SPEED = 12,
	AT_DUPLEX = 16,
	SPACE = 17
};

static struct fe_guest_config configured(void)
{
	struct fe_guest_config c = guest_usual();

	c.features |= FE_BIT(VIRTIO_NET_F_MTU) | FE_BIT(VIRTIO_NET_F_STATUS) |
		FE_BIT(VIRTIO_NET_F_SPEED_DUPLEX);
	c.protocol_features |= FE_BIT(VU_PF_CONFIG) | FE_BIT(VU_PF_BACKEND_REQ);
	return c;
}

static struct peer *guest_up(struct rig *r, const char *port)
{
	const struct fe_guest_config c = configured();

	return peer_up(r, port, &c);
}

/* A driver from before virtio 1.0. */
static struct peer *legacy_up(struct rig *r, const char *port)
{
	struct fe_guest_config c = configured();

	c.features &= ~FE_BIT(VIRTIO_F_VERSION_1);
	return peer_up(r, port, &c);
}

static void read_space(struct peer *p, uint8_t space[SPACE])
{
	assert_int_equal(fe_conn_get_config(&p->g->conn, 0, SPACE, space), 0);
}

static uint32_t field(struct peer *p, uint32_t at, uint32_t len)
{
	uint8_t bytes[4] = {0};

	assert_int_equal(fe_conn_get_config(&p->g->conn, at, len, bytes), 0);
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		(uint32_t)bytes[3] << 24;
}

static int set(struct peer *p, uint32_t at, uint32_t len, uint32_t flags, const void *data)
{
	return fe_conn_set_config(&p->g->conn, at, len, flags, data);
}

static void every_field_can_be_read(void **state)
{
	static const uint8_t none[6];
	struct peer *a = guest_up(*state, "a");
	uint8_t space[SPACE];

	read_space(a, space);
	assert_memory_equal(space + AT_MAC, none, 6);
	assert_int_equal(field(a, AT_STATUS, 2), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(field(a, AT_PAIRS, 2), 128);
	assert_int_equal(field(a, AT_MTU, 2), 65535); /* nobody has set one */
	assert_int_equal(field(a, AT_SPEED, 4), UINT32_MAX);
	assert_int_equal(field(a, AT_DUPLEX, 1), 0xff);
}

static void any_part_of_it_can_be_read_and_nothing_beyond(void **state)
{
	struct peer *a = guest_up(*state, "a");
	uint8_t space[SPACE], part[VU_CONFIG_MAX];
	uint32_t at, len;

	read_space(a, space);
	for (at = 0; at < SPACE; at++)
		for (len = 1; len <= SPACE - at; len++) {
			assert_int_equal(fe_conn_get_config(&a->g->conn, at, len, part), 0);
			assert_memory_equal(part, space + at, len);
		}
	for (at = 0; at <= SPACE; at++)
		assert_int_equal(
			fe_conn_get_config(&a->g->conn, at, SPACE + 1 - at, part), -EREMOTEIO);
	assert_int_equal(fe_conn_get_config(&a->g->conn, 0, VU_CONFIG_MAX, part), -EREMOTEIO);
	assert_int_equal(fe_conn_get_config(&a->g->conn, 0, 0, part), -EREMOTEIO);
	assert_int_equal(fe_conn_get_config(&a->g->conn, SPACE, 1, part), -EREMOTEIO);
	assert_int_equal(fe_conn_get_config(&a->g->conn, UINT32_MAX, 1, part), -EREMOTEIO);
	assert_int_equal(fe_conn_get_config(&a->g->conn, UINT32_MAX - 1, 4, part), -EREMOTEIO);
}

static void the_mtu_follows_the_front_end(void **state)
{
	static const uint16_t good[] = {68, 1500, 9000, 65535};
	static const uint64_t bad[] = {0, 1, 67, 65536, 1ull << 32, 1500 + (1ull << 32), UINT64_MAX,
		UINT64_MAX << 16 | 1500};
	struct peer *a = guest_up(*state, "a");
	struct peer *b = guest_up(*state, "b");
	struct fe_channel *ch = &a->g->channel;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(good); i++) {
		assert_int_equal(fe_conn_set(&a->g->conn, VU_NET_SET_MTU, good[i]), 0);
		assert_int_equal(field(a, AT_MTU, 2), good[i]);
		/* The configuration space has changed, says the back-end, once. */
		rig_wait(*state, fe_guest_service(a->g) >= 0 && ch->config_changes == i + 1);
	}
	assert_int_equal(fe_conn_set(&a->g->conn, VU_NET_SET_MTU, 2000), 0);
	for (i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		assert_int_equal(fe_conn_set(&a->g->conn, VU_NET_SET_MTU, bad[i]), -EREMOTEIO);
		assert_int_equal(field(a, AT_MTU, 2), 2000);
		assert_int_equal(rig_port_info(*state, "a", "mtu"), 2000);
	}
	assert_int_equal(fe_guest_service(a->g) >= 0, 1);
	assert_int_equal(ch->config_changes, RW_ARRAY_SIZE(good) + 1);
	assert_int_equal(ch->others, 0);
	assert_int_equal(field(b, AT_MTU, 2), 65535);
	duplex_check(*state, a, b);
}

/* Administratively down: the front-end is told, and the guest sees no link. */
static void the_link_follows_the_operator(void **state)
{
	struct peer *a = guest_up(*state, "a");
	struct peer *b = guest_up(*state, "b");
	struct fe_channel *ch = &a->g->channel;

	for (uint32_t i = 0; i < 4; i++) {
		rig_port_set(*state, "a", i % 2 ? "{\"admin\":\"up\"}" : "{\"admin\":\"down\"}");
		rig_wait(*state, fe_guest_service(a->g) >= 0 && ch->config_changes == i + 1);
		assert_int_equal(field(a, AT_STATUS, 2), i % 2 ? VIRTIO_NET_S_LINK_UP : 0);
		/* What does not change it is not told. */
		rig_port_set(*state, "a", "{\"description\":\"x\"}");
	}
	peer_sync(a);
	assert_true(fe_guest_service(a->g) >= 0);
	assert_int_equal(ch->config_changes, 4);
	/* The next front-end of a port that is down finds it so. */
	rig_port_set(*state, "a", "{\"admin\":\"down\"}");
	peer_down(*state, a);
	a = guest_up(*state, "a");
	assert_int_equal(field(a, AT_STATUS, 2), 0);
	assert_int_equal(field(b, AT_STATUS, 2), VIRTIO_NET_S_LINK_UP);
	rig_port_set(*state, "a", "{\"admin\":\"up\"}");
	duplex_check(*state, a, b);
}

static void a_change_is_not_told_to_those_who_did_not_ask_for_it(void **state)
{
	struct fe_guest_config c = configured();
	struct peer *a;

	c.protocol_features &= ~FE_BIT(VU_PF_CONFIG);
	a = peer_up(*state, "a", &c);
	assert_int_equal(fe_conn_set(&a->g->conn, VU_NET_SET_MTU, 1400), 0);
	peer_sync(a);
	assert_true(fe_guest_service(a->g) >= 0);
	assert_int_equal(a->g->channel.config_changes, 0);
	peer_down(*state, a);
	/* Nor does the lack of a channel matter. */
	c.protocol_features ^= FE_BIT(VU_PF_CONFIG) | FE_BIT(VU_PF_BACKEND_REQ);
	a = peer_up(*state, "a", &c);
	assert_int_equal(fe_conn_set(&a->g->conn, VU_NET_SET_MTU, 1400), 0);
	assert_int_equal(field(a, AT_MTU, 2), 1400);
}

static void what_is_read_only_stays_as_it_is(void **state)
{
	static const uint8_t other[SPACE] = {2, 3, 4, 5, 6, 7, 2, 0, 1, 0, 0xdc, 5, 0, 0, 0, 0, 1};
	struct peer *const guests[] = {guest_up(*state, "a"), legacy_up(*state, "b")};
	uint8_t before[SPACE], after[SPACE];
	uint32_t at, len;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(guests); i++) {
		struct peer *p = guests[i];

		read_space(p, before);
		for (at = 0; at < SPACE; at++)
			for (len = 1; len <= SPACE - at; len++) {
				/* A legacy driver may write its address. */
				if (i && at + len <= AT_STATUS)
					continue;
				assert_int_equal(set(p, at, len, VU_CONFIG_WRITABLE, other + at),
					-EREMOTEIO);
			}
		read_space(p, after);
		assert_memory_equal(before, after, SPACE);
	}
}

static void a_legacy_driver_may_set_its_address(void **state)
{
	static const uint8_t mac[6] = {2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}, none[6];
	struct peer *a = legacy_up(*state, "a"), *b = guest_up(*state, "b");
	uint8_t space[SPACE];

	assert_int_equal(set(a, AT_MAC, 6, VU_CONFIG_WRITABLE, mac), 0);
	read_space(a, space);
	assert_memory_equal(space, mac, 6);
	/* Linux writes it byte by byte. */
	assert_int_equal(set(a, 5, 1, VU_CONFIG_WRITABLE, "\x11"), 0);
	read_space(a, space);
	assert_memory_equal(space, mac, 5);
	assert_int_equal(space[5], 0x11);
	/* It has not moved: a restart of its ring announces nothing. */
	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
	duplex_check(*state, a, b);
	assert_int_equal(rig_counter(*state, "b", "tx", "broadcast"), 0);
	/* The next guest at this port has no address yet. */
	peer_down(*state, a);
	peer_start(*state, a);
	read_space(a, space);
	assert_memory_equal(space, none, 6);
}

static void a_write_that_makes_no_sense_is_refused(void **state)
{
	static const uint8_t mac[SPACE + 1] = {2, 1, 2, 3, 4, 5};
	struct peer *a = legacy_up(*state, "a");
	uint8_t before[SPACE], after[SPACE];
	uint32_t payload[4] = {0, 4, 0, 0x01010102};
	struct fe_raw raw = {.request = VU_SET_CONFIG, .payload = payload, .len = sizeof(payload)};
	uint32_t len;

	read_space(a, before);
	assert_int_equal(set(a, 0, 6, 2, mac), -EREMOTEIO);
	assert_int_equal(set(a, 0, 6, UINT32_MAX, mac), -EREMOTEIO);
	assert_int_equal(set(a, 0, 0, VU_CONFIG_WRITABLE, mac), -EREMOTEIO);
	assert_int_equal(set(a, 0, SPACE + 1, VU_CONFIG_MIGRATION, mac), -EREMOTEIO);
	assert_int_equal(set(a, SPACE, 1, VU_CONFIG_MIGRATION, mac), -EREMOTEIO);
	assert_int_equal(set(a, UINT32_MAX, 1, VU_CONFIG_MIGRATION, mac), -EREMOTEIO);
	/* More or fewer bytes than it says, and a descriptor. */
	for (len = 0; len < sizeof(payload); len += 4) {
		raw.len = len;
		assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	}
	raw.len = sizeof(payload);
	payload[1] = 3;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	payload[1] = UINT32_MAX;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	payload[1] = 4;
	raw.fds = &a->g->queues[0].err_fd;
	raw.nfds = 1;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	read_space(a, after);
	assert_memory_equal(before, after, SPACE);
	raw.nfds = 0;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), 0);
	read_space(a, after);
	assert_memory_equal(after, &payload[3], 4);
}

/* A guest comes by migration: its configuration space comes along, then its rings start. */
static void a_migrated_address_is_announced_when_the_rings_start(void **state)
{
	const struct fe_guest_config c = configured();
	struct peer *b = guest_up(*state, "b"), *a = peer_new(*state, "a", &c);
	uint8_t source[SPACE], before[SPACE], after[SPACE], mac[6];

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	read_space(a, before);
	memset(source, 0x33, sizeof(source));
	host_make(mac, 77);
	memcpy(source, mac, 6);
	assert_int_equal(set(a, 0, SPACE, VU_CONFIG_MIGRATION, source), 0);
	/* The address is the guest's; the rest says what this switch is. */
	read_space(a, after);
	assert_memory_equal(after, mac, 6);
	assert_memory_equal(after + 6, before + 6, SPACE - 6);
	assert_int_equal(host_port(*state, mac, 0), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	/* It cannot receive yet: too early. */
	peer_sync(a);
	assert_int_equal(host_port(*state, mac, 0), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
	peer_expect_rarp(*state, b, mac, 0);
	assert_int_equal(host_port(*state, mac, 0), 'a');
	/* Once. */
	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
	peer_send_to(*state, a, b->mac, 100, 1);
	peer_expect(*state, b, b->mac, a->mac, 100, 1);
}

static void a_migrated_group_address_is_not_announced(void **state)
{
	static const uint8_t group[6] = {0x01, 0, 0x5e, 1, 2, 3};
	const struct fe_guest_config c = configured();
	struct peer *b = guest_up(*state, "b"), *a = peer_new(*state, "a", &c);
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(set(a, 0, 6, VU_CONFIG_MIGRATION, group), 0);
	assert_int_equal(fe_guest_start(a->g), 0);
	peer_send_to(*state, a, b->mac, 100, 1);
	peer_recv(*state, b, 0, got, &in);
	assert_int_equal(in.len, 100);
}

static void without_the_feature_the_space_is_not_there(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = guest_up(*state, "b");
	uint8_t space[SPACE] = {0};

	assert_int_equal(fe_conn_get_config(&a->g->conn, 0, SPACE, space), -EREMOTEIO);
	assert_int_equal(set(a, 0, 6, VU_CONFIG_MIGRATION, space), -EREMOTEIO);
	duplex_check(*state, a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(every_field_can_be_read),
		rig_test(any_part_of_it_can_be_read_and_nothing_beyond),
		rig_test(the_mtu_follows_the_front_end),
		rig_test(the_link_follows_the_operator),
		rig_test(a_change_is_not_told_to_those_who_did_not_ask_for_it),
		rig_test(what_is_read_only_stays_as_it_is),
		rig_test(a_legacy_driver_may_set_its_address),
		rig_test(a_write_that_makes_no_sense_is_refused),
		rig_test(a_migrated_address_is_announced_when_the_rings_start),
		rig_test(a_migrated_group_address_is_not_announced),
		rig_test(without_the_feature_the_space_is_not_there),
	};

	return cmocka_run_group_tests_name("config", tests, start, rig_stop);
}
