/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Front-ends that take all there is. The process has so few descriptors that one of them could; the
 * others, and the control socket, must not notice.
 */
#include "say.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of the daemon, and of this program. */
#define FDS 700

/* Whether the daemon's log has a line with all of these words. */
static bool log_has(const struct rig *r, const char *one, const char *two)
{
	FILE *f = fopen(rig_path(r, "log"), "re");
	bool found = false;
	char line[1024];

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, one) && strstr(line, two);
	if (f)
		fclose(f);
	return found;
}

/* The front-end leaves, and nothing is charged to its port any more. */
static void leave(struct rig *r, struct peer *p)
{
	static const char *const kinds[] = {
		"fds", "mappings", "mapped", "slots", "iotlb", "scratch"};

	peer_down(r, p);
	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds); i++)
		rig_wait(r, !port_budget(r, p->port, kinds[i], "used"));
}

static enum outcome eventfd_give(struct peer *p, uint32_t request, uint64_t ring)
{
	int fd = fd_of(FD_EVENT);
	enum outcome out = say_with(p, request, &ring, sizeof(ring), fd, 1);

	close(fd);
	return out;
}

/* Send descriptors until twenty were refused. How many were taken. */
static unsigned fill(struct peer *p)
{
	static const uint32_t requests_[] = {VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	unsigned taken = 0, refusals = 0;

	for (uint64_t i = 0; i < 2 * 254 && refusals < 20; i++) {
		enum outcome out = eventfd_give(p, requests_[i & 1], 2 + i / 2);

		assert_true(out == SAID_YES || out == SAID_NO);
		taken += out == SAID_YES;
		refusals += out == SAID_NO;
	}
	assert_int_equal(refusals, 20);
	return taken;
}

static void s16_a_front_end_that_sends_descriptors_shuts_nobody_out(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	uint64_t refused = port_budget(r, "a", "fds", "refused");
	struct peer *a = peer_up(r, "a", &c), *b, *x, *y;

	assert_true(fill(a) > 50);
	assert_true(port_budget(r, "a", "fds", "refused") >= refused + 20);
	assert_true(port_budget(r, "a", "fds", "used") <= port_budget(r, "a", "fds", "high"));
	rig_wait(r, log_has(r, "port a", "LimitNOFILE="));
	/* A second one gets what it is guaranteed, and no more. */
	b = peer_up(r, "b", &c);
	assert_in_range(fill(b), 5, 100);
	/* Two who want nothing but to exchange frames. */
	x = peer_up(r, "c", &c);
	y = peer_up(r, "d", &c);
	duplex_check(r, x, y);
	/* Those that took all go on, too. */
	duplex_check(r, a, x);
	leave(r, a);
	leave(r, b);
	/* What they had can be had again. */
	peer_start(r, a);
	assert_true(fill(a) > 50);
}

static void s16_a_limit_of_descriptors_is_the_port_s_own(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *d, *b = peer_up(r, "b", &c);
	unsigned taken;

	port_set(r, "d", "max-fds", "40");
	d = peer_up(r, "d", &c);
	taken = fill(d);
	assert_in_range(taken, 10, 40);
	assert_true(port_budget(r, "d", "fds", "used") >= taken);
	/* What was too much counts until a thread of the port has closed it. */
	rig_wait(r, port_budget(r, "d", "fds", "used") <= 40);
	rig_wait(r, log_has(r, "port d", "ringway port set d max-fds="));
	/* Some more, for what comes next. */
	port_set(r, "d", "max-fds", "50");
	assert_int_equal(eventfd_give(d, VU_SET_VRING_ERR, 200), SAID_YES);
	assert_int_equal(fill(b) > taken, 1);
	duplex_check(r, d, b);
	leave(r, d);
	port_set(r, "d", "max-fds", "2048");
}

/* Descriptors that come with each byte of messages that never end. */
static void s16_descriptors_on_their_way_are_counted(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	const struct vu_header h = {VU_SET_VRING_CALL, VU_VERSION | VU_FLAG_NEED_REPLY, 8};
	int many[200], fd = fd_of(FD_EVENT);
	struct peer *a = peer_up(r, "a", &c);
	uint64_t before = port_budget(r, "a", "fds", "used");

	for (size_t i = 0; i < RW_ARRAY_SIZE(many); i++)
		many[i] = fd;
	for (size_t i = 0; i < VU_HEADER_SIZE; i++)
		assert_int_equal(fe_conn_send_bytes(&a->g->conn, (const uint8_t *)&h + i, 1, many,
					 RW_ARRAY_SIZE(many)),
			0);
	rig_wait(r, rig_port_info(r, "a", "connected"));
	/* What was too much counts until a thread of the port has closed it. */
	rig_wait(r, port_budget(r, "a", "fds", "used") <= before + VU_MAX_FDS);
	close(fd);
	leave(r, a);
}

static void s17_rings_beyond_the_scratch_budget_do_not_run(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	uint64_t refused = port_budget(r, "c", "scratch", "refused");
	struct peer *x, *b = peer_up(r, "b", &c);

	port_set(r, "c", "max-scratch", "16K");
	x = peer_new(r, "c", &c);
	peer_connect(r, x);
	assert_int_not_equal(fe_guest_start(x->g), 0);
	assert_true(port_budget(r, "c", "scratch", "refused") > refused);
	assert_true(port_budget(r, "c", "scratch", "used") <= 16384);
	rig_wait(r, log_has(r, "port c", "max-scratch="));
	port_set(r, "c", "max-scratch", "512M");
	fe_guest_disconnect(x->g);
	peer_start(r, x);
	duplex_check(r, x, b);
	assert_true(port_budget(r, "c", "scratch", "used") > 16384);
	leave(r, x);
}

/* Lines that the port's front-ends caused beyond its share of the log. */
static uint64_t suppressed(struct rig *r, const char *port)
{
	json_t *answer = rig_call(r, "port.show", json_pack("{s:s}", "name", port));
	json_int_t n = json_integer_value(json_object_get(answer, "log_suppressed"));

	json_decref(answer);
	return (uint64_t)n;
}

/*
 * The process has no descriptor left at all. A front-end that connects waits; nobody spins over it,
 * and it is served when there are descriptors again.
 */
static void r82_accept_without_descriptors_waits_and_goes_on(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	const struct rlimit none = {3, FDS}, few = {FDS, FDS};
	struct peer *a, *b = peer_new(r, "b", &c);
	uint64_t lines, since;

	a = peer_up(r, "a", &c);
	assert_int_equal(prlimit(r->pid, RLIMIT_NOFILE, &none, NULL), 0);
	assert_int_equal(fe_guest_connect(b->g, rig_path(r, "b.sock")), 0);
	lines = suppressed(r, "b");
	since = rw_now_ms();
	while (rw_now_ms() < since + 500)
		rig_nap();
	/* Each attempt is a line: ten a second. A loop would make thousands. */
	assert_true(suppressed(r, "b") - lines < (rw_now_ms() - since) / 10);
	assert_false(rig_port_info(r, "b", "connected"));
	assert_int_equal(prlimit(r->pid, RLIMIT_NOFILE, &few, NULL), 0);
	rig_wait(r, rig_port_info(r, "b", "connected"));
	assert_int_equal(fe_guest_start(b->g), 0);
	duplex_check(r, a, b);
}

static void s14_memory_has_no_more_slots_than_the_budget(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct vu_mem_slot slot = {.region.size = 1 << 20};
	struct peer *a, *b = peer_up(r, "b", &c);
	unsigned taken = 0;

	port_set(r, "a", "max-slots", "10");
	a = peer_up(r, "a", &c);
	assert_int_equal(a->g->max_slots, 10);
	for (uint64_t i = 0; i < 20; i++) {
		int fd = fd_of(FD_MEMORY);

		slot.region.gpa = slot.region.uva = (1ull << 40) + i * (1 << 20);
		taken += say_with(a, VU_ADD_MEM_REG, &slot, sizeof(slot), fd, 1) == SAID_YES;
		close(fd);
	}
	assert_true(taken < 10);
	assert_int_equal(port_budget(r, "a", "slots", "used"), 10);
	assert_true(port_budget(r, "a", "slots", "refused") >= 10);
	duplex_check(r, a, b);
	leave(r, a);
	port_set(r, "a", "max-slots", "509");
}

/* Regions of 1.5 TiB: 81 of them would fill the address space of an x86 process. */
static void s14_regions_of_a_sparse_file_leave_address_space_to_others(
	struct rig *r, uint64_t format)
{
	const uint64_t size = 3ull << 39, limit = 8ull << 40;
	struct fe_guest_config c = guest_of_all(format);
	struct vu_mem_slot slot = {.region.size = size};
	uint64_t refused = port_budget(r, "a", "mapped", "refused");
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	struct peer *a = peer_up(r, "a", &c), *x, *y;
	unsigned taken = 0;

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (uint64_t i = 0; i < 81; i++) {
		slot.region.gpa = slot.region.uva = (1ull << 50) + (i << 41);
		taken += say_with(a, VU_ADD_MEM_REG, &slot, sizeof(slot), fd, 1) == SAID_YES;
	}
	assert_in_range(taken, 1, limit / size);
	assert_int_equal(port_budget(r, "a", "mapped", "refused"), refused + 81 - taken);
	assert_in_range(port_budget(r, "a", "mapped", "used"), taken * size, limit);
	x = peer_up(r, "c", &c);
	y = peer_up(r, "d", &c);
	duplex_check(r, x, y);
	duplex_check(r, a, x);
	close(fd);
	leave(r, a);
	leave(r, x);
}

static void s15_mappings_are_limited(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct vu_mem_slot slot = {.region.size = 1 << 20};
	struct peer *x, *b = peer_up(r, "b", &c);
	uint64_t before;
	unsigned taken = 0;

	x = peer_up(r, "c", &c);
	rig_helper_rests(r, "c");
	before = port_budget(r, "c", "mappings", "used");
	assert_true(before >= 1);
	port_set(r, "c", "max-mappings", "20");
	for (uint64_t i = 0; i < 30; i++) {
		int fd = fd_of(FD_MEMORY);

		slot.region.gpa = slot.region.uva = (1ull << 40) + i * (1 << 20);
		taken += say_with(x, VU_ADD_MEM_REG, &slot, sizeof(slot), fd, 1) == SAID_YES;
		close(fd);
	}
	/* What the port had given up, and its helper had not yet let go of, made room meanwhile. */
	assert_in_range(taken, 20 - before, 19);
	assert_int_equal(port_budget(r, "c", "mappings", "used"), 20);
	assert_true(port_budget(r, "c", "mappings", "refused") >= 30 - taken);
	rig_wait(r, log_has(r, "port c", "ringway port set c max-mappings="));
	duplex_check(r, x, b);
	leave(r, x);
	port_set(r, "c", "max-mappings", "4096");
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(s16_a_front_end_that_sends_descriptors_shuts_nobody_out),
		ATTACK(s16_a_limit_of_descriptors_is_the_port_s_own),
		ATTACK(s16_descriptors_on_their_way_are_counted),
		ATTACK(s17_rings_beyond_the_scratch_budget_do_not_run),
		ATTACK(r82_accept_without_descriptors_waits_and_goes_on),
		ATTACK(s14_memory_has_no_more_slots_than_the_budget),
		ATTACK(s14_regions_of_a_sparse_file_leave_address_space_to_others),
		ATTACK(s15_mappings_are_limited),
	};
	const struct rlimit few = {FDS, FDS};

	setrlimit(RLIMIT_NOFILE, &few);
	return hostile_main("hostile budgets", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
