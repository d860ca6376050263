/* SPDX-License-Identifier: BSD-3-Clause */
/* An uplink of two interfaces by LACP (net_bonding, mode 4), to another switch's. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosts.h"
#include "wire.h"

#define LEN   100
#define HOSTS 8 /* on each side */

static struct rig near_rig, far_rig;

/* The state machine of DPDK runs every 100 ms, and waits 2 s before it takes a member in. */
#define TURNS 6

#define IDLE_MS      500
#define IDLE_LONG_MS (10 * 60 * 1000)

static int start(void **state)
{
	static const char *const near_bond[] = {"--port",
		"u,device=net_bonding,mode=4,xmit_policy=l2,"
		"members=net_af_packet/iface=near0+net_af_packet/iface=near1",
		NULL};
	static const char *const far_bond[] = {"--port",
		"u,device=net_bonding,mode=4,xmit_policy=l2,"
		"members=net_af_packet/iface=far0+net_af_packet/iface=far1",
		NULL};

	*state = &near_rig;
	if (wire_begin())
		return -1;
	wire_run("for i in 0 1; do ip link add near$i type veth peer name far$i && "
		 "ip link set near$i up || exit 1; done; ip link set far0 up");
	if (rig_start_huge(&near_rig, "a", near_bond) || rig_start(&far_rig, "b", far_bond))
		return -1;
	/* A member whose first link comes while the switch runs, with less rights and memory. */
	wire_run("ip link set far1 up");
	return 0;
}

static int stop(void **state)
{
	void *other = &far_rig;

	return rig_stop(&other) | rig_stop(state);
}

static int clean(void **state)
{
	void *other = &far_rig;

	return rig_clean(&other) | rig_clean(state);
}

/* Wait until both sides have agreed: a bond's link is up when a member distributes. */
static void agreed(void)
{
	uint64_t until = rw_now_ms() + TURNS * (uint64_t)rig_patience(&near_rig);

	while (!rig_port_info(&near_rig, "u", "link") || !rig_port_info(&far_rig, "u", "link")) {
		if (rw_now_ms() > until)
			fail_msg("the two sides do not agree");
		rig_nap();
	}
}

/* A frame of `host` arrives, at the latest when the bonds have chosen another member for it. */
static void reaches(struct rig *from_rig, struct peer *from, struct peer *to, const uint8_t *host)
{
	uint64_t until = rw_now_ms() + TURNS * (uint64_t)rig_patience(from_rig), next = 0;
	static uint8_t got[FRAME_MAX];
	struct fe_received in = {0};
	uint8_t frame[LEN];

	frame_make(frame, LEN, mac_broadcast, host, 1);
	do {
		if (rw_now_ms() > until)
			fail_msg("a frame from port %s does not arrive", from->port);
		if (rw_now_ms() >= next)
			peer_send(from_rig, from, 0, &(struct fe_frame){.data = frame, .len = LEN});
		if (rw_now_ms() >= next)
			next = rw_now_ms() + 200;
		if (!fe_guest_recv(to->g, 0, got, FRAME_MAX, &in) && in.len == LEN &&
			!memcmp(got, frame, LEN))
			return;
		rig_nap();
	} while (true);
}

/* How many of our frames wait on an interface, none of them any more. */
static unsigned drain(int fd)
{
	uint8_t buf[2048];
	unsigned n = 0;

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		n += buf[12] == ETHERTYPE >> 8 && buf[13] == (ETHERTYPE & 0xff);
	return n;
}

/* Frames of several hosts arrive, each over the member that its address chooses. */
static void hosts_reach(struct peer *a, struct peer *b)
{
	uint8_t host[6];

	for (uint32_t i = 0; i < HOSTS; i++) {
		host_make(host, i);
		reaches(&near_rig, a, b, host);
		host_make(host, HOSTS + i);
		reaches(&far_rig, b, a, host);
	}
}

/* Until a member is in use, or no more. */
static void uses(struct peer *a, struct peer *b, int fd, bool use)
{
	uint64_t until = rw_now_ms() + TURNS * (uint64_t)rig_patience(&near_rig);

	do {
		if (rw_now_ms() > until)
			fail_msg("a member is%s used", use ? " not" : "");
		drain(fd);
		hosts_reach(a, b);
	} while (!drain(fd) == use);
}

static void both_members_are_used_and_one_when_the_other_is_cut(void **state)
{
	struct peer *a = peer_up(&near_rig, "a", NULL), *b = peer_up(&far_rig, "b", NULL);
	int first = wire_open("near0"), second = wire_open("near1");

	(void)state;
	agreed();
	uses(a, b, first, true);
	uses(a, b, second, true);
	wire_run("ip link set far1 down");
	uses(a, b, second, false);
	uses(a, b, first, true);
	wire_run("ip link set far1 up && ip link set far0 down");
	uses(a, b, second, true);
	uses(a, b, first, false);
	wire_run("ip link set far1 down");
	rig_wait(&near_rig, !rig_port_info(&near_rig, "u", "link"));
	assert_int_equal(hosts_behind(&near_rig, "u"), 0);
	close(first);
	close(second);
}

/* Both links stay up while nothing but the bonds' own frames is on the wire. */
static void idle(void)
{
	uint64_t until = rw_now_ms() + (rig_is_long() ? IDLE_LONG_MS : IDLE_MS);

	while (rw_now_ms() < until) {
		if (!rig_port_info(&near_rig, "u", "link") || !rig_port_info(&far_rig, "u", "link"))
			fail_msg("a link is down, %llu s before the end",
				(unsigned long long)(until - rw_now_ms()) / 1000);
		usleep(100000);
	}
}

/* How often the link has gone by now. */
static unsigned downs(const struct rig *r)
{
	FILE *f = fopen(rig_path(r, "log"), "re");
	unsigned n = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "link is down") != NULL;
	fclose(f);
	return n;
}

/* What a side knows of the other is renewed every 30 s, and forgotten after 90 s without. */
static void idle_minutes_change_nothing(void **state)
{
	struct peer *a = peer_up(&near_rig, "a", NULL), *b = peer_up(&far_rig, "b", NULL);
	int first = wire_open("near0"), second = wire_open("near1");
	unsigned before;

	(void)state;
	agreed();
	uses(a, b, first, true);
	uses(a, b, second, true);
	before = downs(&near_rig) + downs(&far_rig);
	idle();
	assert_int_equal(downs(&near_rig) + downs(&far_rig), before);
	drain(first);
	drain(second);
	/* Both still carry frames. */
	hosts_reach(a, b);
	assert_int_not_equal(drain(first), 0);
	assert_int_not_equal(drain(second), 0);
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(idle_minutes_change_nothing, clean),
		cmocka_unit_test_teardown(
			both_members_are_used_and_one_when_the_other_is_cut, clean),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
