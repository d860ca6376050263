/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Captures of all ports, the canary's among them, whose clients do not read, lie or leave, while
 * guests break the rules of their rings.
 */
#include "ring.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cap_ring.h"
#include "rw_sock.h"

#define SIZE  16
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* A client that captures, and its memory. */
struct client {
	int fd, memory;
	struct cap_layout layout;
	uint8_t *base;
};

static int memory_new(uint64_t bytes, int seals)
{
	int fd = memfd_create("capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static uint32_t captures(struct rig *r)
{
	json_t *list = rig_call(r, "capture.list", NULL);
	size_t n = json_array_size(list);

	json_decref(list);
	return (uint32_t)n;
}

/* A member of the only capture. */
static uint64_t capture_count(struct rig *r, const char *member)
{
	json_t *list = rig_call(r, "capture.list", NULL);
	json_t *value = json_object_get(json_array_get(list, 0), member);
	uint64_t n;

	assert_int_equal(json_array_size(list), 1);
	assert_true(json_is_integer(value));
	n = (uint64_t)json_integer_value(value);
	json_decref(list);
	return n;
}

/* Ask for a capture of all ports into `memory`. Whether it began. */
static bool asked(struct rig *r, int fd, int memory, uint32_t ring)
{
	json_t *params = json_pack("{s:b, s:b, s:I}", "rx", 1, "tx", 1, "ring", (json_int_t)ring);
	struct ctl_failure fail;
	json_t *answer = ctl_call_passing(
		fd, memory, "capture.start", params, rig_patience(r), &fail);

	json_decref(params);
	if (!answer)
		assert_int_not_equal(fail.code, CTL_ERR_INTERNAL);
	json_decref(answer);
	return answer;
}

static void client_begin(struct rig *r, struct client *c)
{
	uint64_t bytes;

	*c = (struct client){.fd = rw_sock_connect(rig_path(r, "ctl"))};
	assert_true(c->fd >= 0);
	assert_int_equal(cap_layout(1, CAP_PORTS_MAX, CAP_DATA_MIN, &c->layout), 0);
	bytes = cap_layout_bytes(&c->layout);
	c->memory = memory_new(bytes, SEALS);
	c->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory, 0);
	assert_true(c->base != MAP_FAILED);
	assert_true(asked(r, c->fd, c->memory, CAP_DATA_MIN));
}

static void client_end(struct rig *r, struct client *c)
{
	close(c->fd);
	munmap(c->base, cap_layout_bytes(&c->layout));
	close(c->memory);
	rig_wait(r, !captures(r));
}

/* Chains that are no frames, of three kinds; then frames as usual. */
static void rules_are_broken(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	const struct fe_seg far = {end_of_memory(&s), 100}, runt = {good_gpa(&s), 20};

	for (int i = 0; i < 2; i++) {
		chain_drops(&s, &(struct fe_chain){.segs = &far, .n_out = 1}, "drops.bad_address");
		chain_drops(&s, &(struct fe_chain){.segs = &runt, .n_out = 1}, "drops.too_short");
		chain_drops(&s, &(struct fe_chain){.segs = &runt, .n_in = 1}, "drops.bad_chain");
	}
	duplex_check(r, s.a, s.b);
	rig_clean((void **)&r);
}

static void a_capture_that_nobody_reads_holds_up_nobody(struct rig *r, uint64_t format)
{
	struct client c;

	client_begin(r, &c);
	rules_are_broken(r, format);
	/* The canary alone fills the ring. */
	rig_wait(r, capture_count(r, "lost") > 0);
	client_end(r, &c);
}

static void a_reader_that_lies_holds_up_nobody(struct rig *r, uint64_t format)
{
	static const uint64_t lies[] = {
		1, 8, UINT64_MAX, 1ull << 63, CAP_DATA_MIN, CAP_DATA_MIN + 8, 1ull << 32};
	struct client c;
	struct cap_part *part;

	(void)format;
	client_begin(r, &c);
	part = (struct cap_part *)(void *)c.base;
	for (size_t i = 0; i < RW_ARRAY_SIZE(lies); i++) {
		uint64_t before = capture_count(r, "frames");

		memset(c.base, 0x5a ^ (int)i, cap_layout_bytes(&c.layout));
		__atomic_store_n(&part->tail, part->head + lies[i], __ATOMIC_RELEASE);
		rig_wait(r, capture_count(r, "frames") > before);
	}
	client_end(r, &c);
}

static void a_client_that_leaves_in_the_middle_leaves_nothing(struct rig *r, uint64_t format)
{
	for (int i = 0; i < 4; i++) {
		struct client c;

		client_begin(r, &c);
		if (!i)
			rules_are_broken(r, format);
		client_end(r, &c);
	}
}

static void memory_of_nonsense_is_refused(struct rig *r, uint64_t format)
{
	static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW,
		F_SEAL_GROW | F_SEAL_SEAL, SEALS | F_SEAL_WRITE};
	struct cap_layout layout;
	uint64_t bytes;
	int fd = rw_sock_connect(rig_path(r, "ctl"));

	(void)format;
	assert_true(fd >= 0);
	assert_int_equal(cap_layout(1, CAP_PORTS_MAX, CAP_DATA_MIN, &layout), 0);
	bytes = cap_layout_bytes(&layout);
	for (size_t i = 0; i < RW_ARRAY_SIZE(seals); i++) {
		int memory = memory_new(bytes, seals[i]);

		assert_false(asked(r, fd, memory, CAP_DATA_MIN));
		if (!seals[i])
			assert_int_equal(ftruncate(memory, 0), 0);
		close(memory);
	}
	for (uint64_t less = 1; less <= bytes; less *= 16) {
		int memory = memory_new(bytes - less, SEALS);

		assert_false(asked(r, fd, memory, CAP_DATA_MIN));
		close(memory);
	}
	close(fd);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(a_capture_that_nobody_reads_holds_up_nobody),
		ATTACK(a_reader_that_lies_holds_up_nobody),
		ATTACK(a_client_that_leaves_in_the_middle_leaves_nothing),
		ATTACK(memory_of_nonsense_is_refused),
	};

	return hostile_main("hostile_capture", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
