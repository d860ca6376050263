/* SPDX-License-Identifier: BSD-3-Clause */
/* An uplink of several interfaces (net_bonding), one of which takes over from another. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosts.h"
#include "wire.h"

#define LEN 100

static struct rig rig;

static int start(void **state)
{
	static const char *const bond[] = {"--port",
		"b,device=net_bonding,mode=1,"
		"members=net_af_packet/iface=near0+net_af_packet/iface=near1",
		NULL};

	*state = &rig;
	if (wire_begin())
		return -1;
	wire_run("for i in 0 1; do ip link add near$i type veth peer name far$i && "
		 "ip link set near$i up && ip link set far$i up || exit 1; done");
	return rig_start(&rig, "a", bond);
}

/* How many frames wait on an interface, none of them any more. */
static unsigned drain(int fd)
{
	uint8_t buf[2048];
	unsigned n = 0;

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		n++;
	return n;
}

/* Send again and again until a frame comes out of an interface. */
static void sends_until(struct rig *r, struct peer *a, int fd)
{
	uint64_t until = rw_now_ms() + 6 * (uint64_t)rig_patience(r);

	drain(fd);
	while (!drain(fd)) {
		if (rw_now_ms() > until)
			fail_msg("the bond does not use that member");
		peer_send_to(r, a, mac_broadcast, LEN, 1);
		usleep(10000);
	}
}

static void the_other_member_takes_over_when_one_is_cut(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	int first = wire_open("far0"), second = wire_open("far1");
	uint8_t frame[LEN], host[6];

	host_make(host, 1);
	rig_wait(*state, rig_port_info(*state, "b", "link"));
	sends_until(*state, a, first);
	assert_int_equal(drain(second), 0);
	frame_make(frame, LEN, a->mac, host, 2);
	wire_send(first, frame, LEN);
	peer_expect(*state, a, a->mac, host, LEN, 2);
	wire_run("ip link set far0 down");
	sends_until(*state, a, second);
	wire_send(second, frame, LEN);
	peer_expect(*state, a, a->mac, host, LEN, 2);
	wire_run("ip link set far0 up");
	sends_until(*state, a, second);
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(the_other_member_takes_over_when_one_is_cut),
	};

	return cmocka_run_group_tests(tests, start, rig_stop);
}
