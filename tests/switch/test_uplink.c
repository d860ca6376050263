/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an uplink asks a NIC to do, and what it makes of a NIC's word. There is none here: a ring of
 * DPDK returns the mbufs that it got, as they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "ethdev.h"
#include "frame_convert.h"
#include "gso_packets.h"
#include "rw_virtio_net.h"

#define GSO 1300

static struct ethdev_device *dev;
static struct port port;
static struct ethdev_txq tx;
static struct ethdev_rxq rx;
static uint8_t whole[GSO_PACKET_MAX], flat[GSO_PACKET_MAX];

static int start(void **state)
{
	char *argv[] = {"test", "--no-huge", "-m", "128", "--no-pci", "--no-shconf",
		"--no-telemetry", "--log-level=*:error"};
	const struct ethdev_device_config cfg = {.device = "net_ring0", .nworkers = 1};
	char err[256] = "";

	(void)state;
	if (rte_eal_init(RW_ARRAY_SIZE(argv), argv) < 0)
		return -1;
	if (ethdev_device_open(&cfg, &dev, err, sizeof(err))) {
		print_error("%s\n", err);
		return -1;
	}
	return port_init(&port, "u", 1) || port_txq_init(&tx.txq, &port, 0) ||
			port_rxq_init(&rx.rxq, &port, 0)
		? -1
		: 0;
}

static int stop(void **state)
{
	(void)state;
	ethdev_device_close(dev);
	port_fini(&port);
	return rte_eal_cleanup();
}

/* The queues of a device with all offloads: a NIC, or net_virtio. */
static int queues_begin(bool virtio)
{
	dev->virtio = virtio;
	dev->tx_offloads = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
		RTE_ETH_TX_OFFLOAD_TCP_TSO | (virtio ? 0 : RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
	dev->rx_offloads = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	tx.dev_port = rx.dev_port = dev->id;
	tx.pool = dev->pool;
	tx.max_len = 1522;
	ethdev_tx_init(&tx);
	ethdev_rx_init(&rx);
	ethdev_offload_tx(dev, &tx);
	ethdev_offload_rx(dev, &rx);
	return 0;
}

static int a_nic(void **state)
{
	(void)state;
	return queues_begin(false);
}

static int a_virtio(void **state)
{
	(void)state;
	return queues_begin(true);
}

/* ---- frames ---- */

/* A frame of a packet, with a partial checksum; with `gso` it is large. */
static void frame_of(struct frame *f, struct rw_seg *seg, const struct gso_spec *s, uint16_t gso)
{
	frame_init(f, gso_build(s, whole));
	memcpy(f->head, whole, f->head_len);
	*seg = (struct rw_seg){.data = whole + f->head_len, .len = f->len - f->head_len};
	f->seg = seg;
	f->nsegs = 1;
	f->offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->offload.csum_start = (uint16_t)gso_place_of(s).transport;
	f->offload.csum_offset = s->udp ? 6 : 16;
	if (!gso)
		return;
	f->offload.gso_size = gso;
	f->offload.gso_type = s->udp ? VIRTIO_NET_HDR_GSO_UDP_L4
		: s->ipv6            ? VIRTIO_NET_HDR_GSO_TCPV6
				     : VIRTIO_NET_HDR_GSO_TCPV4;
}

/* Send it; the mbuf that the device got, or NULL: the queue does not take it. */
static struct rte_mbuf *sent(const struct gso_spec *s, uint16_t gso)
{
	struct frame f, *frames[] = {&f};
	struct rw_seg seg;
	struct rte_mbuf *m = NULL;
	unsigned took;

	frame_of(&f, &seg, s, gso);
	tx.txq.unfit = 0;
	took = tx.txq.burst(&tx.txq, frames, 1);
	assert_int_equal(rte_eth_rx_burst(dev->id, 0, &m, 1), took);
	assert_int_equal(took + tx.txq.unfit, 1);
	return m;
}

/* The bytes of an mbuf, which goes. */
static uint32_t flatten(struct rte_mbuf *m)
{
	uint32_t len = m->pkt_len, at = 0;

	for (const struct rte_mbuf *part = m; part; part = part->next) {
		memcpy(flat + at, rte_pktmbuf_mtod(part, const void *), part->data_len);
		at += part->data_len;
	}
	assert_int_equal(at, len);
	rte_pktmbuf_free(m);
	return len;
}

static void places_are(const struct rte_mbuf *m, const struct gso_spec *s)
{
	struct gso_place at = gso_place_of(s);

	assert_int_equal(m->l2_len, at.net);
	assert_int_equal(m->l3_len, at.transport - at.net);
	assert_int_equal(m->l4_len, at.payload - at.transport);
}

/* ---- to the device ---- */

static void a_nic_completes_checksums(void **state)
{
	uint64_t before = tx.txq.counters->converted_csum;

	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		const struct gso_spec s = {.ipv6 = i & 1,
			.udp = i & 2,
			.tags = (uint8_t)(i / 8),
			.ip_options = i & 4 && !(i & 1) ? 12 : 0,
			.payload = 700};
		uint64_t want = (s.udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM) |
			(s.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
		struct rte_mbuf *m = sent(&s, 0);
		uint32_t len = gso_place_of(&s).payload + s.payload;

		assert_non_null(m);
		assert_int_equal(m->ol_flags, want);
		places_are(m, &s);
		assert_int_equal(flatten(m), len);
		assert_memory_equal(flat, whole, len);
	}
	assert_int_equal(tx.txq.counters->converted_csum, before);
}

/* Extension headers: drivers take the first of them for the transport protocol. */
static void what_a_nic_does_not_know_is_completed_here(void **state)
{
	static const struct gso_spec specs[] = {{.ipv6 = true, .ip_options = 24, .payload = 700},
		{.ipv6 = true, .udp = true, .ip_options = 8, .payload = 700}};

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(specs); i++) {
		uint64_t before = tx.txq.counters->converted_csum;
		struct rte_mbuf *m = sent(&specs[i], 0);
		uint32_t done = 0;
		const char *bad;

		assert_non_null(m);
		assert_int_equal(m->ol_flags, 0);
		bad = gso_check(&specs[i], whole, flat, flatten(m), 0, &done, false);
		if (bad)
			fail_msg("not so: %s", bad);
		assert_int_equal(tx.txq.counters->converted_csum, before + 1);
	}
}

static void a_nic_cuts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		const struct gso_spec s = {.ipv6 = i & 1,
			.tags = i & 2 ? 1 : 0,
			.payload = i & 4 ? 65000 : 5000,
			.tcp_flags = 0x18,
			.tcp_options = 12};
		uint64_t want = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG |
			(s.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
		uint32_t len = gso_place_of(&s).payload + s.payload;
		struct rte_mbuf *m = sent(&s, GSO);

		assert_non_null(m);
		assert_int_equal(m->ol_flags, want);
		assert_int_equal(m->tso_segsz, GSO);
		assert_int_equal(m->nb_segs, (len + 2047) / 2048);
		places_are(m, &s);
		assert_int_equal(flatten(m), len);
		assert_memory_equal(flat, whole, len);
	}
}

static void a_large_frame_of_one_segment_is_none(void **state)
{
	const struct gso_spec s = {.payload = GSO, .tcp_flags = 0x18};
	struct rte_mbuf *m = sent(&s, GSO);

	(void)state;
	assert_non_null(m);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4);
	flatten(m);
}

/* The caller converts these: port_txq_convert. */
static void a_nic_does_not_take_others(void **state)
{
	const struct gso_spec tcp = {.payload = 5000}, udp = {.udp = true, .payload = 5000};
	const struct gso_spec extended = {.ipv6 = true, .ip_options = 8, .payload = 5000};

	(void)state;
	assert_null(sent(&udp, GSO));
	assert_null(sent(&extended, GSO));
	assert_null(sent(&tcp, 255));
	flatten(sent(&tcp, 256));
}

static void virtio_takes_extension_headers_and_small_segments(void **state)
{
	const struct gso_spec s = {.ipv6 = true, .ip_options = 8, .payload = 5000};
	struct rte_mbuf *m = sent(&s, 100);

	(void)state;
	assert_non_null(m);
	places_are(m, &s);
	assert_int_equal(m->tso_segsz, 100);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
	flatten(m);
	m = sent(&(struct gso_spec){.ipv6 = true, .ip_options = 8, .payload = 500}, 0);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV6);
	flatten(m);
}

/* ---- from the device ---- */

/* A packet comes from the device, which says this of it. Whether it is lent. */
static bool received(
	const struct gso_spec *s, uint64_t flags, uint16_t segment, struct frame_offload *out)
{
	uint32_t len = gso_build(s, whole), at = 0;
	static struct frame frames[FRAME_BURST];
	struct rte_mbuf *first = rte_pktmbuf_alloc(dev->pool), *m = first;

	for (;;) {
		uint32_t piece = RW_MIN(len - at, 2048u);

		assert_non_null(m);
		memcpy(rte_pktmbuf_mtod(m, void *), whole + at, piece);
		m->data_len = (uint16_t)piece;
		at += piece;
		if (at == len)
			break;
		m->next = rte_pktmbuf_alloc(dev->pool);
		m = m->next;
		first->nb_segs++;
	}
	first->pkt_len = len;
	first->ol_flags = flags;
	first->tso_segsz = segment;
	assert_int_equal(rte_eth_tx_burst(dev->id, 0, &first, 1), 1);
	if (!rx.rxq.burst(&rx.rxq, frames, FRAME_BURST))
		return false;
	assert_int_equal(frames[0].len, len);
	*out = frames[0].offload;
	rx.rxq.done(&rx.rxq);
	return true;
}

static void offload_is(const struct frame_offload *o, const struct frame_offload *want)
{
	assert_memory_equal(o, want, sizeof(*o));
}

static void a_good_checksum_is_handed_on(void **state)
{
	const struct frame_offload none = {0}, good = {.flags = VIRTIO_NET_HDR_F_DATA_VALID};
	const struct gso_spec s = {.payload = 500};
	struct frame_offload o;

	(void)state;
	assert_true(received(&s, RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0, &o));
	offload_is(&o, &good);
	assert_true(received(&s, RTE_MBUF_F_RX_L4_CKSUM_BAD, 0, &o));
	offload_is(&o, &none);
	assert_true(received(&s, 0, 0, &o));
	offload_is(&o, &none);
	/* Of a NIC it says that it does not know. */
	assert_true(received(&s, RTE_MBUF_F_RX_L4_CKSUM_NONE, 0, &o));
	offload_is(&o, &none);
}

static void a_device_that_was_not_asked_is_not_believed(void **state)
{
	const struct frame_offload none = {0};
	const struct gso_spec s = {.payload = 500};
	struct frame_offload o;

	(void)state;
	dev->rx_offloads = 0;
	rx.told = 0;
	ethdev_offload_rx(dev, &rx);
	assert_true(received(&s, RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0, &o));
	offload_is(&o, &none);
}

static void virtio_hands_over_what_guests_left_to_it(void **state)
{
	const uint64_t partial = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	const uint64_t large = partial | RTE_MBUF_F_RX_LRO;

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		const struct gso_spec s = {.ipv6 = i & 1,
			.udp = i & 2,
			.tags = i & 4 ? 2 : 0,
			.ip_options = i & 8 ? 8 : 0,
			.payload = 6000};
		struct gso_place at = gso_place_of(&s);
		struct frame_offload want = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.csum_start = (uint16_t)at.transport,
			.csum_offset = s.udp ? 6 : 16};
		struct frame_offload o;

		assert_true(received(&s, partial, 0, &o));
		offload_is(&o, &want);
		assert_int_equal(received(&s, large, GSO, &o), !s.udp);
		if (s.udp)
			continue;
		want.gso_type = s.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		want.gso_size = GSO;
		want.hdr_len = (uint16_t)at.payload;
		offload_is(&o, &want);
	}
}

static void what_cannot_be_is_dropped(void **state)
{
	const uint64_t large = RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
	const struct gso_spec tcp = {.payload = 5000};
	const struct gso_spec far = {.ipv6 = true, .ip_options = 240, .payload = 5000};
	uint64_t before = rx.rxq.counters->drops[PORT_DROP_BAD_HEADER];
	struct frame_offload o;

	(void)state;
	assert_false(received(&tcp, large, 0, &o));
	assert_false(received(&far, large, GSO, &o));
	assert_int_equal(rx.rxq.counters->drops[PORT_DROP_BAD_HEADER], before + 2);
	assert_true(received(&tcp, large, GSO, &o));
}

/* ---- a PCI address ---- */

static void explained(const char *sysfs, const char *device, const char *want)
{
	char err[256] = "";

	ethdev_pci_explain(sysfs, device, err, sizeof(err));
	if (!strstr(err, want))
		fail_msg("\"%s\" does not say \"%s\"", err, want);
}

/* What Linux would have in /sys, in a directory. */
static void a_missing_pci_device_is_explained(void **state)
{
	char dir[] = "/tmp/ringway-sysfs.XXXXXX", command[512];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command),
		"cd %s && mkdir -p bus/pci/devices/0000:0a:00.0 bus/pci/devices/0000:0a:00.1 "
		"bus/pci/devices/0000:0a:00.2 && "
		"ln -s ../../drivers/e1000e bus/pci/devices/0000:0a:00.1/driver && "
		"ln -s ../../drivers/vfio-pci bus/pci/devices/0000:0a:00.2/driver",
		dir);
	assert_int_equal(system(command), 0);
	explained(dir, "0000:0b:00.0", "there is no PCI device 0000:0b:00.0");
	explained(dir, "0a:00.0", "0000:0a:00.0 has no driver: dpdk-devbind.py -b vfio-pci");
	explained(dir, "0000:0a:00.1,x=y", "belongs to Linux (driver e1000e)");
	explained(dir, "0000:0a:00.2", "no driver for it");
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_nic_completes_checksums, a_nic),
		cmocka_unit_test_setup(what_a_nic_does_not_know_is_completed_here, a_nic),
		cmocka_unit_test_setup(a_nic_cuts, a_nic),
		cmocka_unit_test_setup(a_large_frame_of_one_segment_is_none, a_nic),
		cmocka_unit_test_setup(a_nic_does_not_take_others, a_nic),
		cmocka_unit_test_setup(virtio_takes_extension_headers_and_small_segments, a_virtio),
		cmocka_unit_test_setup(a_good_checksum_is_handed_on, a_nic),
		cmocka_unit_test_setup(a_device_that_was_not_asked_is_not_believed, a_nic),
		cmocka_unit_test_setup(virtio_hands_over_what_guests_left_to_it, a_virtio),
		cmocka_unit_test_setup(what_cannot_be_is_dropped, a_virtio),
		cmocka_unit_test(a_missing_pci_device_is_explained),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
