/* SPDX-License-Identifier: BSD-3-Clause */
/* Two switches with a shared memory between them (net_memif): one of them goes and comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosts.h"
#include "traffic.h"

static struct rig server, client;
static char dir[] = "/tmp/ringway-memif.XXXXXX";
static char path[64], server_port[160], client_port[160];

static int server_start(void)
{
	const char *const uplink[] = {"--port", server_port, NULL};

	return rig_start(&server, "a", uplink);
}

static int client_start(void)
{
	const char *const uplink[] = {"--port", client_port, NULL};

	return rig_start(&client, "b", uplink);
}

static int start(void **state)
{
	*state = &server;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/memif.sock", dir);
	snprintf(server_port, sizeof(server_port),
		"u,device=net_memif,role=server,id=0,socket=%s,socket-abstract=no", path);
	snprintf(client_port, sizeof(client_port),
		"u,device=net_memif,role=client,id=0,socket=%s,socket-abstract=no", path);
	return server_start() || client_start() ? -1 : 0;
}

static int rig_end(struct rig *r)
{
	void *state = r;

	return rig_stop(&state);
}

static int stop(void **state)
{
	int ret = rig_end(&client) | rig_stop(state);

	/* The driver leaves the server's socket behind. */
	unlink(path);
	return rmdir(dir) ? -1 : ret;
}

static int clean(void **state)
{
	void *other = &client;

	return rig_clean(&other) | rig_clean(state);
}

/* What one guest sends, the other one behind the other switch receives: all of it, in order. */
static void exchange_check(uint32_t seed)
{
	static const uint32_t lens[] = {60, 64, 65, 128, 1500, 1514};
	struct peer *a = peer_up(&server, "a", NULL), *b = peer_up(&client, "b", NULL);

	rig_wait(&server, rig_port_info(&server, "u", "link"));
	rig_wait(&client, rig_port_info(&client, "u", "link"));
	/* The guests of both switches have the same number, and so would have one address. */
	host_make(b->mac, 1);
	peer_send_to(&server, a, mac_broadcast, 100, seed);
	peer_expect(&client, b, mac_broadcast, a->mac, 100, seed);
	peer_send_to(&client, b, a->mac, 100, seed);
	peer_expect(&server, a, a->mac, b->mac, 100, seed);
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t len = lens[i % RW_ARRAY_SIZE(lens)];

		peer_send_to(&server, a, b->mac, len, seed + i);
		peer_send_to(&client, b, a->mac, len, seed + i);
		peer_expect(&client, b, b->mac, a->mac, len, seed + i);
		peer_expect(&server, a, a->mac, b->mac, len, seed + i);
	}
	assert_int_equal(host_port(&server, b->mac, 0), 'u');
	assert_int_equal(host_port(&client, a->mac, 0), 'u');
}

static bool connects(const char *to)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ret;

	assert_true(fd >= 0);
	strcpy(addr.sun_path, to);
	ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	return !ret;
}

static void guests_of_two_switches_reach_each_other(void **state)
{
	(void)state;
	exchange_check(1);
}

static void the_client_goes_and_comes_back(void **state)
{
	void *other = &client;
	uint8_t mac[6];

	exchange_check(1000);
	memcpy(mac, client.peers[0]->mac, sizeof(mac));
	rig_clean(&other);
	assert_int_equal(rig_end(&client), 0);
	rig_wait(&server, !rig_port_info(&server, "u", "link"));
	rig_wait(&server, !host_port(&server, mac, 0));
	assert_int_equal(client_start(), 0);
	rig_clean(state);
	exchange_check(2000);
}

static void the_server_goes_and_comes_back(void **state)
{
	void *other = &client;

	exchange_check(3000);
	rig_clean(state);
	assert_int_equal(rig_end(&server), 0);
	rig_wait(&client, !rig_port_info(&client, "u", "link"));
	assert_int_equal(hosts_behind(&client, "u"), 0);
	assert_int_equal(server_start(), 0);
	rig_clean(&other);
	exchange_check(4000);
}

static void a_server_that_is_removed_takes_no_more_clients(void **state)
{
	(void)state;
	json_decref(rig_call(&server, "port.del", json_pack("{s:s}", "name", "u")));
	rig_wait(&client, !rig_port_info(&client, "u", "link"));
	assert_false(connects(path));
	json_decref(rig_call(&client, "port.del", json_pack("{s:s}", "name", "u")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(guests_of_two_switches_reach_each_other, clean),
		cmocka_unit_test_teardown(the_client_goes_and_comes_back, clean),
		cmocka_unit_test_teardown(the_server_goes_and_comes_back, clean),
		cmocka_unit_test_teardown(a_server_that_is_removed_takes_no_more_clients, clean),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
