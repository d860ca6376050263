/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int near_ns, far_ns;

/* A namespace without the frames that IPv6 sends by itself. The calling thread is in it. */
static int namespace_new(void)
{
	int fd, ret;

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	ret = fd < 0 || write(fd, "1", 1) == 1 ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return ret ? ret : fd < 0 ? -errno : fd;
}

int wire_begin(void)
{
	far_ns = namespace_new();
	near_ns = far_ns < 0 ? far_ns : namespace_new();
	if (near_ns < 0)
		print_error("no network namespace: %s\n", strerror(-near_ns));
	return near_ns < 0 ? near_ns : 0;
}

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

void wire_run(const char *command)
{
	int status = system(command);

	if (status)
		fail_msg("status %d of: %s", status, command);
}

void wire_run_far(const char *command)
{
	enter(far_ns);
	wire_run(command);
	enter(near_ns);
}

void wire_connect(unsigned mtu)
{
	char command[256];

	/* By a process that is in the far namespace: names of it are nobody's. */
	enter(far_ns);
	snprintf(command, sizeof(command),
		"ip link add " WIRE_FAR " mtu %u type veth peer name " WIRE_NEAR
		" mtu %u netns /proc/%d/fd/%d && ip link set " WIRE_FAR " up",
		mtu, mtu, getpid(), near_ns);
	wire_run(command);
	enter(near_ns);
	wire_run("ip link set " WIRE_NEAR " up");
}

int wire_open(const char *interface)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	at.sll_ifindex = (int)if_nametoindex(interface);
	assert_int_not_equal(at.sll_ifindex, 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

int wire_open_far(const char *interface)
{
	int fd;

	enter(far_ns);
	fd = wire_open(interface);
	enter(near_ns);
	return fd;
}

void wire_send(int fd, const void *frame, uint32_t len)
{
	ssize_t n = send(fd, frame, len, 0);

	/* An interface that was down says so once. */
	if (n < 0 && errno == ENETDOWN)
		n = send(fd, frame, len, 0);
	assert_int_equal(n, len);
}

/* The VLAN tag that Linux has taken out of the frame. */
static int tag_of(struct msghdr *msg)
{
	struct tpacket_auxdata aux;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			return aux.tp_vlan_tci;
	}
	return WIRE_UNTAGGED;
}

/* One frame of any kind, whoever sent it; 0: it is not for the test. */
static uint32_t one_recv(int fd, uint8_t *buf, int *tag)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		struct cmsghdr align;
	} control;
	struct sockaddr_ll from = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = FRAME_MAX};
	struct msghdr msg = {.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, 0);

	if (n < ETHER_HDR_LEN || from.sll_pkttype == PACKET_OUTGOING || buf[12] != ETHERTYPE >> 8 ||
		buf[13] != (ETHERTYPE & 0xff))
		return 0;
	*tag = tag_of(&msg);
	return (uint32_t)n;
}

uint32_t wire_recv(struct rig *r, int fd, void *buf, int *tag)
{
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint32_t n = 0;

	while (!n) {
		if (rw_now_ms() > until)
			fail_msg("no frame comes out of the uplink");
		if (poll(&p, 1, 100) > 0)
			n = one_recv(fd, buf, tag);
	}
	return n;
}

void wire_expect(struct rig *r, int fd, const struct wire_frame *want)
{
	static uint8_t got[FRAME_MAX], bytes[FRAME_MAX];
	int tag;
	uint32_t n = wire_recv(r, fd, got, &tag);

	frame_make(bytes, want->len, want->dst, want->src, want->seed);
	if (n != want->len || memcmp(got, bytes, n) || tag != want->tag)
		fail_msg("%u bytes with tag %d, not %u with tag %d", n, tag, want->len, want->tag);
}
