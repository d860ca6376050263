/* SPDX-License-Identifier: BSD-3-Clause */
/* A million hosts behind one port: each is learned from a frame of its own and found again. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#define LEN 60

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HOSTS 50000u
#else
#define HOSTS 1000000u
#endif

static struct rig rig;

static int start(void **state)
{
	static const char *const args[] = {"--fdb-size=1048576", NULL};

	*state = &rig;
	return rig_start(&rig, "abc", args);
}

static struct fe_guest_config guest_quick(void)
{
	struct fe_guest_config c = guest_usual();

	c.rx_size = 1024;
	c.tx_size = 1024;
	c.rx_buf_size = 128;
	c.tx_buf_size = 128;
	return c;
}

/* The address of host `i`: as hypervisors give them, one after the other. */
static void host_address(uint32_t i, uint8_t mac[6])
{
	const uint32_t n = i + 0x100000;

	memcpy(mac,
		(uint8_t[]){0x52, 0x54, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
			(uint8_t)n},
		6);
}

/* A frame to or from each host, `a` having them; they arrive in order. */
static void sweep(struct peer *from, struct peer *to, bool home)
{
	const struct peer *other = home ? from : to;
	uint8_t buf[LEN] = {0}, got[256], mac[6];
	const struct fe_frame frame = {.data = buf, .len = LEN};
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(&rig);
	uint32_t sent = 0, received = 0, before;
	struct fe_received in;

	memcpy(home ? buf + 6 : buf, other->mac, 6);
	while (received < HOSTS) {
		before = received;
		while (sent < HOSTS && sent - received < 512) {
			host_address(sent, home ? buf : buf + 6);
			if (fe_guest_put(from->g, 0, &frame))
				break;
			sent++;
		}
		fe_guest_flush(from->g, 0);
		while (!fe_guest_recv(to->g, 0, got, sizeof(got), &in)) {
			host_address(received, mac);
			if (memcmp(home ? got : got + 6, mac, 6))
				fail_msg("host %u is missing", received);
			received++;
		}
		if (received != before)
			until = rw_now_ms() + (uint64_t)rig_patience(&rig);
		else if (rw_now_ms() > until)
			fail_msg("stuck at host %u", received);
		else
			rig_nap();
	}
}

static uint64_t table(const char *key)
{
	json_t *page = rig_call(&rig, "fdb.list", json_pack("{s:i}", "limit", 1));
	uint64_t n = (uint64_t)json_integer_value(json_object_get(page, key));

	json_decref(page);
	return n;
}

static void a_million_hosts_are_found_again(void **state)
{
	const struct fe_guest_config config = guest_quick();
	struct peer *a, *b;
	uint64_t heard;

	(void)state;
	a = peer_up(&rig, "a", &config);
	b = peer_up(&rig, "b", &config);
	peer_up(&rig, "c", &config);
	peers_meet(&rig, a, b);
	/* What the third guest hears from now on was flooded. */
	heard = rig_counter(&rig, "c", "tx", "frames") +
		rig_counter(&rig, "c", "tx", "drops.no_buffer");
	sweep(a, b, false);
	assert_int_equal(table("entries_total"), HOSTS + 2);
	assert_int_equal(table("max_entries"), 1048576);
	sweep(b, a, true);
	assert_int_equal(rig_counter(&rig, "c", "tx", "frames") +
			rig_counter(&rig, "c", "tx", "drops.no_buffer"),
		heard);
	assert_int_equal(table("entries_total"), HOSTS + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_million_hosts_are_found_again),
	};

	return cmocka_run_group_tests_name("million", tests, start, rig_stop);
}
