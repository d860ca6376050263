/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux in software and lib/frame make the same bytes of a large frame. The frame is written with
 * its virtio-net header to one tap, whose bridge passes it to another tap that takes no offload.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "frame_convert.h"
#include "gso_packets.h"
#include "wire.h"

static int in = -1, out = -1; /* the taps */
static uint8_t whole[GSO_PACKET_MAX], ours[GSO_PACKET_MAX], theirs[GSO_PACKET_MAX];

static int tap_open(const char *name, short flags)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		fail_msg("tap %s: %s", name, strerror(errno));
	return fd;
}

static void tap_write(const struct virtio_net_hdr *hdr, uint32_t len)
{
	uint8_t buf[sizeof(*hdr) + GSO_PACKET_MAX];

	memcpy(buf, hdr, sizeof(*hdr));
	memcpy(buf + sizeof(*hdr), whole, len);
	assert_int_equal(write(in, buf, sizeof(*hdr) + len), sizeof(*hdr) + len);
}

/* The next frame of ours that Linux sends, or 0: none comes within `ms`. */
static uint32_t tap_read(int ms)
{
	for (;;) {
		struct pollfd p = {.fd = out, .events = POLLIN};
		ssize_t n = read(out, theirs, sizeof(theirs));

		if (n > 12 && !memcmp(theirs + 6, whole + 6, 6))
			return (uint32_t)n;
		if (n <= 0 && poll(&p, 1, ms) <= 0)
			return 0;
	}
}

static int start(void **state)
{
	static const struct gso_spec probe = {.udp = true, .payload = 100};
	static const struct virtio_net_hdr plain;

	(void)state;
	if (wire_begin())
		return -1;
	in = tap_open("in0", IFF_VNET_HDR);
	out = tap_open("out0", 0);
	assert_int_equal(ioctl(out, TUNSETOFFLOAD, 0), 0);
	wire_run("ip link add br0 mtu 9000 type bridge && ip link set br0 up && for i in in0 out0; "
		 "do "
		 "ip link set $i mtu 9000 master br0 up || exit 1; done");
	/* The bridge passes frames when it has seen that its ports are up. */
	for (unsigned i = 0; i < 600; i++) {
		tap_write(&plain, gso_build(&probe, whole));
		if (tap_read(100)) {
			while (tap_read(200))
				;
			return 0;
		}
	}
	print_error("the bridge passes no frame\n");
	return -1;
}

static int stop(void **state)
{
	(void)state;
	close(in);
	close(out);
	return 0;
}

/* Our frame's bytes. */
static uint32_t flatten(const struct frame *f)
{
	uint32_t n = f->head_len;

	memcpy(ours, f->head, n);
	for (unsigned i = 0; i < f->nsegs; i++) {
		memcpy(ours + n, f->seg[i].data, f->seg[i].len);
		n += f->seg[i].len;
	}
	return n;
}

/* Linux' next frame is this one; a difference is said by its place. */
static void same(const struct gso_spec *s, const struct frame *f, unsigned nth)
{
	uint32_t len = flatten(f), got = tap_read(30000);
	struct gso_place at = gso_place_of(s);

	if (got != len)
		fail_msg("frame %u: %u bytes, Linux has %u", nth, len, got);
	for (uint32_t i = 0; i < len; i++) {
		if (ours[i] != theirs[i])
			fail_msg("ipv6 %d udp %d tags %u frame %u, %s header + %u: 0x%02x, Linux "
				 "has "
				 "0x%02x",
				s->ipv6, s->udp, s->tags, nth,
				i < at.net                 ? "link"
					: i < at.transport ? "network"
							   : "transport",
				i < at.net                 ? i
					: i < at.transport ? i - at.net
							   : i - at.transport,
				ours[i], theirs[i]);
	}
}

static void compare(const struct gso_spec *s, uint16_t gso_size)
{
	const struct virtio_net_hdr hdr = gso_header(s, gso_size);
	uint32_t len = gso_build(s, whole), n = 0;
	struct rw_seg rest, shared[4];
	struct frame_room room = {.segs = shared, .max = RW_ARRAY_SIZE(shared)};
	struct frame_cut c;
	struct frame f, made;

	frame_init(&f, len);
	memcpy(f.head, whole, f.head_len);
	rest = (struct rw_seg){.data = whole + f.head_len, .len = len - f.head_len};
	f.seg = &rest;
	f.nsegs = 1;
	memcpy(&f.offload, &hdr, sizeof(f.offload));
	tap_write(&hdr, len);
	if (!gso_size) {
		assert_int_equal(frame_csum_fill(&f, &room, &made), FRAME_OK);
		same(s, &made, 0);
		return;
	}
	assert_int_equal(frame_cut_begin(&c, &f, false), FRAME_OK);
	while (frame_cut_next(&c, &room, &made) == FRAME_OK) {
		same(s, &made, n++);
		room.n = 0;
	}
	assert_int_equal(n, (s->payload + gso_size - 1) / gso_size);
}

static void segments_are_those_of_linux(void **state)
{
	static const uint8_t flags[] = {0x10, 0x19, 0x98, 0x99};
	static const uint32_t payloads[] = {1449, 2896, 2897, 30000};
	unsigned turn = 0;

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		for (unsigned tags = 0; tags < 3; tags++) {
			for (unsigned options = 0; options < 3; options++, turn++) {
				struct gso_spec s = {.ipv6 = kind & 1,
					.udp = kind & 2,
					.tags = (uint8_t)tags,
					.ip_options = (uint8_t)(options * 16),
					.tcp_options = (uint8_t)(turn % 4 * 12),
					.tcp_flags = flags[turn % 4],
					.id = (uint16_t)(65530 + turn),
					.seq = UINT32_MAX - 2000,
					.payload = payloads[turn % 4]};

				compare(&s, 1448);
				s.payload = 1000 + turn;
				compare(&s, 0);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_those_of_linux),
	};

	return cmocka_run_group_tests_name("gso_linux", tests, start, stop);
}
