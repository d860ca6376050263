/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mirrors of a running switch: the destination's guest gets exactly what the sources sent and
 * received, and a source loses nothing by a destination that takes nothing.
 */
#include "traffic.h"
#include "upgrade.h"

#include <string.h>

#define N   300
#define LEN 200

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

/* No mirror is left, and no guest. */
static int clean(void **state)
{
	json_t *mirrors = rig_call(*state, "mirror.list", NULL), *mirror;
	size_t i;

	json_array_foreach(mirrors, i, mirror)
	{
		json_t *name = json_object_get(mirror, "name");

		json_decref(rig_call(*state, "mirror.del", json_pack("{s:O}", "name", name)));
	}
	json_decref(mirrors);
	return rig_clean(state);
}

/* A mirror of a, and with `b` of b, to c. */
static void mirror(struct rig *r, const char *direction, bool b, int snap, int sample)
{
	json_t *params = json_pack("{s:s, s:s, s:[s], s:s, s:i}", "name", "m", "to", "c", "source",
		"a", "direction", direction, "sample", sample);

	if (b)
		json_array_append_new(json_object_get(params, "source"), json_string("b"));
	if (snap)
		json_object_set_new(params, "snap", json_integer(snap));
	json_decref(rig_call(r, "mirror.add", params));
}

/* A number of the mirror; or with "lost" all that was lost. */
static uint64_t mirror_info(struct rig *r, const char *key)
{
	json_t *mirrors = rig_call(r, "mirror.list", NULL), *n;
	json_t *value = json_object_get(json_array_get(mirrors, 0), key);
	uint64_t all = (uint64_t)json_integer_value(value);
	const char *why;

	json_object_foreach(value, why, n) all += (uint64_t)json_integer_value(n);
	json_decref(mirrors);
	return all;
}

static struct fe_guest_config guest(uint64_t format, uint16_t rx_size)
{
	struct fe_guest_config c = guest_usual();

	c.features |= format;
	c.rx_size = rx_size;
	return c;
}

/* The next copy that c gets is this frame, or its first `snap` bytes. */
static void copy_expect(struct rig *r, struct peer *c, const struct peer *to,
	const struct peer *from, uint32_t snap, uint32_t seed)
{
	static uint8_t want[FRAME_MAX], got[FRAME_MAX];
	struct fe_received info;

	frame_make(want, LEN, to->mac, from->mac, seed);
	peer_recv(r, c, 0, got, &info);
	assert_int_equal(info.len, snap ? snap : LEN);
	assert_memory_equal(got, want, info.len);
}

static void copies_are_exact(struct rig *r, uint64_t format)
{
	static const char *const directions[] = {"in", "out", "both"};
	struct fe_guest_config plain = guest(format, 256), large = guest(format, 1024);
	struct peer *a = peer_up(r, "a", &plain), *b = peer_up(r, "b", &plain);
	struct peer *c = peer_up(r, "c", &large);

	peers_meet_beside(r, a, b, c);
	for (unsigned way = 1; way < 4; way++) {
		const struct stream there = {.n = N, .len = LEN}, back = {.n = N, .len = LEN};

		mirror(r, directions[way - 1], false, 0, 1);
		stream_check(r, a, b, &there);
		stream_check(r, b, a, &back);
		assert_int_equal(mirror_info(r, "frames"), way == 3 ? 2 * N : N);
		assert_int_equal(mirror_info(r, "lost"), 0);
		for (uint32_t i = 0; (way & 1) && i < N; i++)
			copy_expect(r, c, b, a, 0, i);
		for (uint32_t i = 0; (way & 2) && i < N; i++)
			copy_expect(r, c, a, b, 0, i);
		assert_int_equal(peer_drain(r, c), 0);
		json_decref(rig_call(r, "mirror.del", json_pack("{s:s}", "name", "m")));
	}
}

static void copies_are_exact_split(void **state)
{
	copies_are_exact(*state, 0);
}

static void copies_are_exact_packed(void **state)
{
	copies_are_exact(*state, PACKED);
}

static void one_of_ten_is_cut(void **state)
{
	struct fe_guest_config packed = guest(PACKED, 256);
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", &packed);
	struct peer *c = peer_up(*state, "c", &packed);

	peers_meet_beside(*state, a, b, c);
	mirror(*state, "in", false, 90, 10);
	stream_check(*state, a, b, &(struct stream){.n = N, .len = LEN});
	assert_int_equal(mirror_info(*state, "frames"), N / 10);
	assert_int_equal(mirror_info(*state, "bytes"), N / 10 * 90);
	for (uint32_t i = 0; i < N; i += 10)
		copy_expect(*state, c, b, a, 90, i);
	assert_int_equal(peer_drain(*state, c), 0);
}

/* Both send, c has few buffers and gives none back. */
static void nobody_loses_by_a_guest_without_buffers(struct rig *r, uint64_t format)
{
	struct fe_guest_config few = guest(format, 16);
	struct peer *a = peer_up(r, "a", NULL), *b = peer_up(r, "b", NULL);
	struct peer *c = peer_up(r, "c", &few);
	uint64_t before = rig_counter(r, "c", "tx", "drops.no_buffer");

	peers_meet_beside(r, a, b, c);
	mirror(r, "both", true, 0, 1);
	traffic_check(r, a, b, &(struct stream){.n = N, .len = LEN});
	assert_int_equal(mirror_info(r, "frames"), 4 * N);
	assert_int_equal(mirror_info(r, "lost"), 4 * N - 16);
	assert_int_equal(rig_counter(r, "c", "tx", "drops.no_buffer"), before + 4 * N - 16);
	assert_int_equal(peer_drain(r, c), 16);
}

static void nobody_loses_by_a_guest_without_buffers_split(void **state)
{
	nobody_loses_by_a_guest_without_buffers(*state, 0);
}

static void nobody_loses_by_a_guest_without_buffers_packed(void **state)
{
	nobody_loses_by_a_guest_without_buffers(*state, PACKED);
}

static void a_destination_behind_an_iommu_gets_its_copies(void **state)
{
	struct fe_guest_config behind = guest_behind(FE_IOMMU_STRICT, false);
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL), *c;

	behind.rx_size = 1024;
	c = peer_up_linked(*state, "c", &behind);
	peers_meet_beside(*state, a, b, c);
	mirror(*state, "in", false, 0, 1);
	stream_check(*state, a, b, &(struct stream){.n = N, .len = LEN});
	assert_int_equal(mirror_info(*state, "lost"), 0);
	for (uint32_t i = 0; i < N; i++)
		copy_expect(*state, c, b, a, 0, i);
}

static void the_destination_talks_to_nobody(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);
	uint64_t before = rig_counter(*state, "c", "rx", "drops.mirror_destination");

	peers_meet(*state, a, c);
	mirror(*state, "in", false, 0, 1);
	assert_int_equal(rig_port_info(*state, "c", "link"), 1);
	peer_drain(*state, b);
	peer_send_to(*state, c, a->mac, LEN, 1);
	peer_send_to(*state, c, mac_broadcast, LEN, 2);
	rig_wait(&rig, rig_counter(*state, "c", "rx", "drops.mirror_destination") == before + 2);
	/* For c, of which nobody knows any more where it was: b gets it, c the copy. */
	peer_send_to(*state, a, c->mac, LEN, 3);
	peer_expect(*state, b, c->mac, a->mac, LEN, 3);
	peer_expect(*state, c, c->mac, a->mac, LEN, 3);
	peer_send_to(*state, b, mac_broadcast, LEN, 4);
	peer_expect(*state, a, mac_broadcast, b->mac, LEN, 4);
	assert_int_equal(peer_drain(*state, c), 0);
	/* As before, once it is no destination. */
	json_decref(rig_call(*state, "mirror.del", json_pack("{s:s}", "name", "m")));
	peers_meet(*state, a, c);
}

/* Its front-end leaves and comes again; its port goes and comes again. */
static void a_destination_that_comes_back_goes_on(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);

	peers_meet(*state, a, b);
	mirror(*state, "in", false, 0, 1);
	peer_down(*state, c);
	stream_check(*state, a, b, &(struct stream){.n = 20, .len = LEN});
	assert_int_equal(mirror_info(*state, "lost"), 20);
	json_decref(rig_call(*state, "port.del", json_pack("{s:s}", "name", "c")));
	stream_check(*state, a, b, &(struct stream){.n = 20, .len = LEN});
	assert_int_equal(mirror_info(*state, "lost"), 40);
	json_decref(rig_call(*state, "port.add",
		json_pack("{s:s, s:s}", "name", "c", "socket", rig_path(*state, "c.sock"))));
	peer_start(*state, c);
	peer_drain(*state, c);
	stream_check(*state, a, b, &(struct stream){.n = 20, .len = LEN});
	for (uint32_t i = 0; i < 20; i++)
		copy_expect(*state, c, b, a, 0, i);
	assert_int_equal(mirror_info(*state, "lost"), 40);
}

static void a_mirror_outlives_a_takeover(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);

	peers_meet(*state, a, b);
	mirror(*state, "in", false, 100, 1);
	upgrade(*state, NULL, NULL);
	peer_drain(*state, c);
	stream_check(*state, a, b, &(struct stream){.n = 20, .len = LEN});
	for (uint32_t i = 0; i < 20; i++)
		copy_expect(*state, c, b, a, 100, i);
}

#define MIRROR_TEST(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MIRROR_TEST(copies_are_exact_split),
		MIRROR_TEST(copies_are_exact_packed),
		MIRROR_TEST(one_of_ten_is_cut),
		MIRROR_TEST(nobody_loses_by_a_guest_without_buffers_split),
		MIRROR_TEST(nobody_loses_by_a_guest_without_buffers_packed),
		MIRROR_TEST(a_destination_behind_an_iommu_gets_its_copies),
		MIRROR_TEST(the_destination_talks_to_nobody),
		MIRROR_TEST(a_destination_that_comes_back_goes_on),
		MIRROR_TEST(a_mirror_outlives_a_takeover),
	};

	return cmocka_run_group_tests_name("protocol_mirror", tests, start, rig_stop);
}
