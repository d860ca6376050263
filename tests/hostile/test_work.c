/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings that cost much: chains without end, and many rings of the largest size. */
#include "hostile.h"

#include <stdio.h>
#include <string.h>

#define SIZE  32768u /* entries of a ring */
#define RINGS 256u

/* Where everything is, guest-physical: all rings are one ring, which lies there once. */
#define DESC  (1ull << 30)
#define AVAIL (DESC + (1ull << 20))
#define USED  (DESC + (2ull << 20))
#define TABLE (DESC + (3ull << 20))

/* The first one is the guest's own. */
static const struct fe_region_config regions[] = {
	{.gpa = 0, .size = 64ull << 20, .uva = 0x7e0000000000},
	{.gpa = DESC, .size = 4ull << 20, .uva = 0x7f0000000000},
};

static struct fe_guest_config guest_of_large_rings(uint64_t format)
{
	struct fe_guest_config c = guest_usual();

	c.features |= format | FE_BIT(VIRTIO_NET_F_MQ) | FE_BIT(VIRTIO_NET_F_CTRL_VQ);
	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	c.pairs = RINGS / 2;
	c.rx_size = 2;
	c.tx_size = 2;
	return c;
}

/* A guest on port a whose rings do not run yet. */
static struct peer *attacker_new(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_large_rings(format);
	struct peer *a = peer_new(r, "a", &c);

	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	return a;
}

static void *at(const struct peer *a, uint64_t gpa, uint64_t len)
{
	void *p = fe_mem_at(&a->g->mem, gpa, len);

	assert_non_null(p);
	return p;
}

static void ring_start(const struct peer *a, uint32_t index, bool packed)
{
	struct fe_conn *conn = &a->g->conn;
	const struct vu_vring_addr addr = {.index = index,
		.desc = fe_mem_uva(&a->g->mem, DESC),
		.avail = fe_mem_uva(&a->g->mem, AVAIL),
		.used = fe_mem_uva(&a->g->mem, USED)};

	assert_int_equal(fe_conn_set_ring(conn, VU_SET_VRING_NUM, index, SIZE), 0);
	assert_int_equal(
		fe_conn_set_ring(conn, VU_SET_VRING_BASE, index, packed ? 0x80008000 : 0), 0);
	assert_int_equal(fe_conn_set_ring_addr(conn, &addr), 0);
	assert_int_equal(fe_guest_ring_step(a->g, index, FE_KICK), 0);
	assert_int_equal(fe_guest_ring_step(a->g, index, FE_CALL), 0);
	assert_int_equal(fe_guest_ring_step(a->g, index, FE_ENABLE), 0);
}

/*
 * Every head of a split ring is the same endless chain of empty descriptors; every descriptor of a
 * packed ring is a chain, a table of as many empty descriptors as there may be.
 */
static void make_endless(const struct peer *a, bool packed, uint16_t direction)
{
	struct vring_packed_desc *pdesc = at(a, DESC, SIZE * 16), *table = at(a, TABLE, SIZE * 16);
	struct vring_avail *avail = at(a, AVAIL, 4 + 2 * SIZE);
	struct vring_desc *desc = at(a, DESC, SIZE * 16);

	if (packed) {
		for (uint32_t i = 0; i < SIZE; i++) {
			table[i] = (struct vring_packed_desc){.addr = TABLE, .flags = direction};
			pdesc[i] = (struct vring_packed_desc){.addr = TABLE,
				.len = SIZE * 16,
				.id = (uint16_t)i,
				.flags = VRING_DESC_F_INDIRECT | 1u << VRING_PACKED_DESC_F_AVAIL};
		}
		return;
	}
	for (uint32_t i = 0; i < SIZE; i++)
		desc[i] = (struct vring_desc){.addr = TABLE,
			.flags = direction | VRING_DESC_F_NEXT,
			.next = (uint16_t)((i + 1) % SIZE)};
	/* All heads are 0. */
	__atomic_store_n(&avail->idx, SIZE, __ATOMIC_RELEASE);
}

static void s10_a_receive_ring_of_endless_chains(struct rig *r, uint64_t format)
{
	struct peer *a = attacker_new(r, format), *b = peer_up(r, "b", NULL);
	uint64_t before = rig_counter(r, "a", "tx", "drops.bad_chain");
	uint64_t work = rig_counter(r, "a", "tx", "drops.work_limit");

	make_endless(a, format, VRING_DESC_F_WRITE);
	ring_start(a, 0, format);
	peer_sync(a);
	/* One broadcast that meets a chain: the port may still rest from the attack before. */
	rig_wait(r,
		(peer_send_to(r, b, mac_broadcast, 60, 0),
			rig_counter(r, "a", "tx", "drops.bad_chain") > before));
	/* Bursts of them. */
	for (uint32_t i = 1; i < 200; i++)
		peer_send_to(r, b, mac_broadcast, 60, i);
	rig_wait(r, rig_counter(r, "a", "tx", "drops.work_limit") > work);
}

/* The same from many ports, to all of its rings. */
static void s10_many_receive_rings_and_many_senders(struct rig *r, uint64_t format)
{
	struct peer *a = attacker_new(r, format), *peers[3];
	uint64_t before = rig_counter(r, "a", "tx", "drops.bad_chain");

	make_endless(a, format, VRING_DESC_F_WRITE);
	for (uint32_t i = 0; i < RINGS; i += 2)
		ring_start(a, i, format);
	peer_sync(a);
	for (int i = 0; i < 3; i++)
		peers[i] = peer_up(r, (const char *[]){"b", "c", "d"}[i], NULL);
	for (uint32_t i = 0; i < 300; i++)
		peer_send_to(r, peers[i % 3], mac_broadcast, 60 + i, i);
	rig_wait(r,
		(peer_send_to(r, peers[0], mac_broadcast, 60, 0),
			rig_counter(r, "a", "tx", "drops.bad_chain") > before));
}

static void s11_transmit_rings_of_endless_chains(struct rig *r, uint64_t format)
{
	struct peer *a = attacker_new(r, format), *b = peer_up(r, "b", NULL);
	struct peer *c = peer_up(r, "c", NULL);
	const char *why = format ? "drops.too_short" : "drops.bad_chain";
	uint64_t before = rig_counter(r, "a", "rx", why);

	peers_meet(r, b, c);
	make_endless(a, format, 0);
	/* Each start is a commit, which waits for the workers. */
	for (uint32_t i = 1; i < RINGS; i += 2)
		ring_start(a, i, format);
	peer_sync(a);
	for (int i = 0; i < 20; i++)
		duplex_check(r, b, c);
	rig_wait(r, rig_counter(r, "a", "rx", why) > before);
}

static void s12_features_again_and_again_over_all_rings(struct rig *r, uint64_t format)
{
	struct peer *a = attacker_new(r, format);
	const struct vu_header h = {
		.request = VU_SET_FEATURES, .flags = VU_VERSION, .size = sizeof(uint64_t)};
	uint8_t bytes[VU_HEADER_SIZE + sizeof(uint64_t)];

	for (uint32_t i = 0; i < RINGS; i++)
		ring_start(a, i, format);
	memcpy(bytes, &h, VU_HEADER_SIZE);
	memcpy(bytes + VU_HEADER_SIZE, &a->g->features, sizeof(uint64_t));
	a->g->conn.timeout_ms = 60000;
	for (int i = 0; i < 64; i++)
		assert_int_equal(fe_conn_send_bytes(&a->g->conn, bytes, sizeof(bytes), NULL, 0), 0);
	peer_sync(a);
}

/* Anonymous memory that the daemon has, in KiB. */
static uint64_t anonymous(const struct rig *r)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "RssAnon: %lu kB", &kib) != 1)
		;
	fclose(f);
	return kib;
}

static void s17_idle_rings_take_no_memory(struct rig *r, uint64_t format)
{
	struct peer *a = attacker_new(r, format);
	uint64_t before = anonymous(r), after;

	for (uint32_t i = 0; i < RINGS; i++)
		ring_start(a, i, format);
	peer_sync(a);
	after = anonymous(r);
	print_message("# 256 rings of 32768: %lu KiB\n", (unsigned long)(after - before));
	assert_true(after - before < 32768);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(s10_a_receive_ring_of_endless_chains),
		ATTACK_BOTH(s10_many_receive_rings_and_many_senders),
		ATTACK_BOTH(s11_transmit_rings_of_endless_chains),
		ATTACK_BOTH(s12_features_again_and_again_over_all_rings),
		ATTACK_BOTH(s17_idle_rings_take_no_memory),
	};

	return hostile_main("hostile_work", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
