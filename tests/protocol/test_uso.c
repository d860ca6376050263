/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UDP segmentation offload: what both guests negotiated passes unchanged.
 */
#include <string.h>

#include "harness.h"

#define LEN     4000
#define HAS(n)  FE_BIT(VIRTIO_NET_F_##n)
#define USO_ALL (HAS(HOST_USO) | HAS(GUEST_USO4) | HAS(GUEST_USO6))

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

static struct fe_guest_config with(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features = FEATURES_BASE | FEATURES_OFFLOAD | HAS(MRG_RXBUF) | features;
	c.tx_buf_size = 8192;
	return c;
}

/* A UDP datagram to be cut: IPv4 or IPv6, and what tag it has. */
struct datagram {
	bool v6;
	int vlan; /* -1: untagged; 0: priority-tagged */
};

static const struct datagram datagrams[] = {
	{false, -1}, {true, -1}, {false, 0}, {true, 0}, {false, 7}, {true, 7}, {false, 4094}};

static struct virtio_net_hdr_mrg_rxbuf uso_hdr(const struct datagram *d)
{
	uint16_t l4 = (uint16_t)(14 + (d->vlan >= 0 ? 4 : 0) + (d->v6 ? 40 : 20));

	return (struct virtio_net_hdr_mrg_rxbuf){.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
							 .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
							 .gso_size = 1000,
							 .hdr_len = (uint16_t)(l4 + 8),
							 .csum_start = l4,
							 .csum_offset = 6}};
}

/* The bytes of it: ethertypes where they belong, the rest does not matter to a switch. */
static void datagram_make(uint8_t data[LEN], const struct datagram *d, const uint8_t *dst,
	const uint8_t *src, uint32_t seed)
{
	uint8_t *type = data + 12;

	frame_make(data, LEN, dst, src, seed);
	if (d->vlan >= 0) {
		memcpy(type, (uint8_t[]){0x81, 0, (uint8_t)(d->vlan >> 8), (uint8_t)d->vlan}, 4);
		type += 4;
	}
	memcpy(type, d->v6 ? (uint8_t[]){0x86, 0xdd} : (uint8_t[]){0x08, 0x00}, 2);
}

static void datagram_send(struct rig *r, struct peer *p, const uint8_t *dst,
	const struct datagram *d, const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	uint8_t data[LEN];
	const struct fe_frame f = {.data = data, .len = LEN, .hdr = hdr};

	datagram_make(data, d, dst, p->mac, 5);
	peer_send(r, p, 0, &f);
}

/* The next frame is that one, header and all. */
static void datagram_arrives(struct rig *r, struct peer *p, const uint8_t *src,
	const struct datagram *d, const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	static uint8_t got[FRAME_MAX], want[LEN];
	struct virtio_net_hdr_mrg_rxbuf expected = *hdr;
	struct fe_received in;

	peer_recv(r, p, 0, got, &in);
	datagram_make(want, d, p->mac, src, 5);
	expected.num_buffers = in.nbufs;
	assert_int_equal(in.len, LEN);
	assert_memory_equal(got, want, LEN);
	assert_memory_equal(&in.hdr, &expected, sizeof(expected));
}

static void datagrams_pass_unchanged(void **state)
{
	static const uint64_t formats[] = {0, PACKED};
	struct virtio_net_hdr_mrg_rxbuf hdr;
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t f, i;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = with(USO_ALL | formats[f]);
		a = peer_up(*state, "a", &c);
		c = with(USO_ALL | formats[1 - f]);
		b = peer_up(*state, "b", &c);
		assert_int_equal(a->g->features & USO_ALL, USO_ALL);
		for (i = 0; i < RW_ARRAY_SIZE(datagrams); i++) {
			hdr = uso_hdr(&datagrams[i]);
			datagram_send(*state, a, b->mac, &datagrams[i], &hdr);
			datagram_arrives(*state, b, a->mac, &datagrams[i], &hdr);
		}
		rig_clean(state);
	}
}

/* Sent by a, the frame is dropped for its header, and the next one passes. */
static void is_bad(struct rig *r, struct peer *a, struct peer *b, const struct datagram *d,
	const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	uint64_t before = rig_counter(r, "a", "rx", "drops.bad_header");

	datagram_send(r, a, b->mac, d, hdr);
	peer_send_to(r, a, b->mac, 100, 1);
	peer_expect(r, b, b->mac, a->mac, 100, 1);
	rig_wait(r, rig_counter(r, "a", "rx", "drops.bad_header") == before + 1);
}

static void a_sender_may_use_only_what_it_negotiated(void **state)
{
	struct fe_guest_config c = with(USO_ALL);
	struct virtio_net_hdr_mrg_rxbuf hdr;
	struct peer *a, *b = peer_up(*state, "b", &c);
	size_t i;

	c = with(USO_ALL & ~HAS(HOST_USO));
	a = peer_up(*state, "a", &c);
	for (i = 0; i < RW_ARRAY_SIZE(datagrams); i++) {
		hdr = uso_hdr(&datagrams[i]);
		is_bad(*state, a, b, &datagrams[i], &hdr);
	}
}

static void impossible_headers_are_dropped(void **state)
{
	struct fe_guest_config c = with(USO_ALL | HAS(HOST_ECN) | HAS(GUEST_ECN));
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", &c);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(datagrams); i++) {
		const struct datagram *d = &datagrams[i];
		const struct virtio_net_hdr_mrg_rxbuf good = uso_hdr(d);
		struct virtio_net_hdr_mrg_rxbuf bad = good;

		bad.hdr.flags = 0; /* no checksum to finish */
		is_bad(*state, a, b, d, &bad);
		bad = good;
		bad.hdr.gso_size = 0;
		is_bad(*state, a, b, d, &bad);
		bad = good;
		bad.hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN; /* that is a matter of TCP */
		is_bad(*state, a, b, d, &bad);
		bad = good;
		bad.hdr.gso_type = VIRTIO_NET_HDR_GSO_UDP; /* fragmentation, never offered */
		is_bad(*state, a, b, d, &bad);
		bad = good;
		bad.hdr.csum_start = LEN - 1;
		is_bad(*state, a, b, d, &bad);
		datagram_send(*state, a, b->mac, d, &good);
		datagram_arrives(*state, b, a->mac, d, &good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(datagrams_pass_unchanged),
		rig_test(a_sender_may_use_only_what_it_negotiated),
		rig_test(impossible_headers_are_dropped),
	};

	return cmocka_run_group_tests_name("uso", tests, start, rig_stop);
}
