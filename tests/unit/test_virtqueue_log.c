/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log of a ring is exact: a shadow copy of its memory, to which the driver's own writes
 * are applied, differs from the memory in the pages that are marked and in no other.
 */
#include <signal.h>

#include "vq_fixture.h"

#define RING_BYTES (256u << 10) /* of the memory that holds the ring */

/* Used rings of nine pages, resp. descriptor rings of sixteen. */
static const struct setup split = {.format = FE_SPLIT, .num = 4096, .slow = X_LOG};
static const struct setup packed = {.format = FE_PACKED, .num = 4096, .wrap = true, .slow = X_LOG};
static const struct setup split_all = {.format = FE_SPLIT, .num = 4096, .slow = X_ALL};
static const struct setup packed_all = {
	.format = FE_PACKED, .num = 4000, .wrap = true, .slow = X_ALL};
static const struct setup split_big = {.format = FE_SPLIT, .num = 4096, .slow = X_ALL | X_BIG};
static const struct setup split_event = {
	.format = FE_SPLIT, .num = 4096, .features = F(VIRTIO_RING_F_EVENT_IDX), .slow = X_LOG};
/* Batches from here on have the entry that publishes them in another page than the rest. */
static const struct setup split_later = {
	.format = FE_SPLIT, .num = 4096, .start = 1000, .slow = X_LOG};
static const struct setup packed_edge = {
	.format = FE_PACKED, .num = 4096, .start = 255, .wrap = true, .slow = X_LOG};
static const struct setup packed_edge_record = {
	.format = FE_PACKED, .num = 4096, .start = 255, .wrap = true, .slow = X_LOG | X_RECORD};

static uint64_t gpa_of(const struct fixture *f, const void *p)
{
	return (uint64_t)((const uint8_t *)p - f->mem[0]);
}

static void log_clear(struct fixture *f)
{
	memset(f->log_bits, 0, LOG_BYTES);
}

static unsigned marks(const struct fixture *f)
{
	unsigned n = 0;

	for (size_t i = 0; i < LOG_BYTES; i++)
		n += (unsigned)__builtin_popcount(f->log_bits[i]);
	return n;
}

/* ---- against a shadow ---- */

struct shadow {
	struct fixture *f;
	uint8_t bytes[RING_BYTES];
};

/* The driver writes: the shadow follows. */
static void driver_wrote(void *ctx, const void *at, const void *bytes, size_t len)
{
	struct shadow *sh = ctx;
	uint64_t gpa = gpa_of(sh->f, at);

	assert_true(gpa + len <= RING_BYTES);
	memcpy(sh->bytes + gpa, bytes, len);
}

static struct shadow *shadow_new(struct fixture *f)
{
	struct shadow *sh = malloc(sizeof(*sh));
	struct fe_layout lay;

	fe_ring_layout(f->packed ? FE_PACKED : FE_SPLIT, f->num, &lay);
	assert_true(lay.bytes <= RING_BYTES);
	sh->f = f;
	memcpy(sh->bytes, f->mem[0], RING_BYTES);
	f->ring.wrote = driver_wrote;
	f->ring.wrote_ctx = sh;
	return sh;
}

/* What has changed is what is marked; then the front-end has seen it. How many pages. */
static unsigned assert_exact(struct shadow *sh)
{
	struct fixture *f = sh->f;
	unsigned changed = 0;

	for (uint64_t gpa = 0; gpa < RING_BYTES; gpa += DL_PAGE) {
		bool differs = memcmp(sh->bytes + gpa, f->mem[0] + gpa, DL_PAGE);

		if (differs != logged(f, gpa))
			fail_msg("page %#lx: %s", (unsigned long)gpa,
				differs ? "changed, not marked" : "marked, not changed");
		changed += differs;
	}
	assert_int_equal(marks(f), changed);
	log_clear(f);
	memcpy(sh->bytes, f->mem[0], RING_BYTES);
	return changed;
}

/* Every used entry is unlike the one it replaces: each has a length of its own. */
static void what_changes_is_marked_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct shadow *sh;
	unsigned most = 0;
	uint32_t name = 0;

	log_clear(f);
	sh = shadow_new(f);
	srand(3);
	while (name < 3u * f->num) {
		struct vq_chain c[64];
		unsigned n = 1 + (unsigned)rand() % 64, pages;
		struct fe_used used;

		for (unsigned i = 0; i < n; i++) {
			struct fe_seg segs[2] = {{BUFFERS, 64}, {BUFFERS + 64, 64}};

			post(f, segs, (uint16_t)(1 + rand() % 2), true, name + i);
		}
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(fetch(f, &c[i], true), VQ_CHAIN);
		assert_exact(sh); /* taking buffers writes nothing */
		for (unsigned i = 0; i < n; i++)
			complete(f, &c[i], name + i + 1);
		flush(f);
		pages = assert_exact(sh);
		most = pages > most ? pages : most;
		for (unsigned i = 0; i < n; i++, name++) {
			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, name);
			assert_int_equal(used.len, name + 1);
		}
	}
	assert_true(most >= 2 && most <= 4);
	free(sh);
}

static void setting_up_marks_the_fields_that_ask_for_no_kicks(void **state)
{
	struct fixture *f = *state;
	uint64_t flags = gpa_of(f, f->cfg.device);
	uint64_t event = flags + 4 + 8ull * f->num;
	bool event_idx = f->features & F(VIRTIO_RING_F_EVENT_IDX);

	assert_true(logged(f, flags));
	assert_int_equal(logged(f, event), event_idx);
	assert_int_equal(marks(f), event_idx ? 2 : 1);
}

/* Recovery gives the driver back descriptors that a dead back-end had begun to use. */
static void what_recovery_mends_is_marked(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	for (unsigned i = 0; i < 3; i++)
		post(f, &seg, 1, true, i);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		complete(f, &c, 1);
	}
	log_clear(f);
	assert_int_equal(restart(f, &cfg), 0);
	assert_int_equal(marks(f), 2);
	assert_true(logged(f, gpa_of(f, f->cfg.device)));
	assert_true(logged(f, gpa_of(f, &f->ring.pdesc[256])));
}

/* ---- the order of things ---- */

static struct {
	struct fixture *f;
	uint8_t *page; /* what is written there publishes the batch */
	bool others, itself, buffer;
	unsigned hits;
} trap;

/* The batch is about to be published: note what is marked, and let it happen. */
static void on_publish(int sig)
{
	struct fixture *f = trap.f;
	const void *other = f->packed ? (void *)&f->ring.pdesc[256] : &f->ring.used->ring[1000];

	(void)sig;
	trap.others = logged(f, gpa_of(f, other));
	trap.itself = logged(f, gpa_of(f, trap.page));
	trap.buffer = logged(f, BUFFERS);
	trap.hits++;
	mprotect(trap.page, DL_PAGE, PROT_READ | PROT_WRITE);
}

/* Trap the next write to the page of `p`, where the batch is published by one store. */
static void trap_set(struct fixture *f, const void *p)
{
	struct sigaction sa = {.sa_handler = on_publish};

	trap.f = f;
	trap.page = f->mem[0] + gpa_of(f, p) / DL_PAGE * DL_PAGE;
	trap.hits = 0;
	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
	assert_int_equal(mprotect(trap.page, DL_PAGE, PROT_READ), 0);
}

static void entries_and_buffers_are_marked_before_the_driver_can_see_them(void **state)
{
	struct fixture *f = *state;
	const void *publishes = f->packed ? (void *)&f->ring.pdesc[255] : &f->ring.used->idx;
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c[3];

	for (unsigned i = 0; i < 3; i++)
		post(f, &seg, 1, true, i);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fetch(f, &c[i], true), VQ_CHAIN);
		f->segs[0].data[0] = 1;
		dl_mark(&f->batch, BUFFERS, 1); /* the caller's part */
	}
	log_clear(f);
	trap_set(f, publishes);
	for (unsigned i = 0; i < 3; i++)
		complete(f, &c[i], 1);
	assert_int_equal(trap.hits, 0);
	assert_int_equal(marks(f), 0); /* nothing is seen yet, so nothing need be told yet */
	flush(f);
	signal(SIGSEGV, SIG_DFL);
	assert_int_equal(trap.hits, 1);
	assert_true(trap.others);
	assert_true(trap.buffer);
	assert_false(trap.itself); /* marked too early, the mark might be taken before the write */
	assert_true(logged(f, gpa_of(f, publishes)));
	assert_int_equal(marks(f), 3);
}

/* ---- pieces ---- */

/* The ring's log address need not be where the ring is, nor in one piece. */
static void bytes_are_marked_where_the_pieces_say(void **state)
{
	struct fixture *f = *state;
	uint8_t *device = f->cfg.device;
	struct vq_config cfg = config_of(f);
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	/* The index and an element and a half; the next, across a border; the rest. */
	f->pieces[0] = (struct gm_piece){.host = device, .len = 16, .gpa = 20 * DL_PAGE};
	f->pieces[1] = (struct gm_piece){.host = device + 16, .len = 12, .gpa = 31 * DL_PAGE - 1};
	f->pieces[2] = (struct gm_piece){
		.host = device + 28, .len = f->num * 8ull, .gpa = 40 * DL_PAGE};
	cfg.nlog_pieces = 3;
	assert_int_equal(restart(f, &cfg), 0);
	for (unsigned i = 0; i < 4; i++) {
		log_clear(f);
		post(f, &seg, 1, true, i);
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		complete(f, &c, 1);
		flush(f);
		assert_true(logged(f, 20 * DL_PAGE)); /* the index */
		/* Elements are at 4, 12 (half in the next piece), 20 and 28. */
		assert_int_equal(logged(f, 30 * DL_PAGE), i == 1);
		assert_int_equal(logged(f, 31 * DL_PAGE), i == 1 || i == 2);
		assert_int_equal(logged(f, 40 * DL_PAGE), i == 3);
		assert_int_equal(marks(f), i == 0 ? 1 : i == 1 ? 3 : 2);
	}
}

static void a_log_without_pieces_is_for_buffers_only(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	log_clear(f);
	cfg.nlog_pieces = 0;
	assert_int_equal(restart(f, &cfg), 0);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	dl_mark(&f->batch, BUFFERS, 1);
	complete(f, &c, 1);
	assert_int_equal(marks(f), 0);
	flush(f);
	assert_int_equal(marks(f), 1);
	assert_true(logged(f, BUFFERS));
}

/* A ring that the log does not reach is not marked, and nothing else is. */
static void pieces_beyond_the_bitmap_are_ignored(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	log_clear(f);
	for (unsigned i = 0; i < 2; i++)
		f->pieces[i].gpa = i ? UINT64_MAX - f->pieces[i].len : LOG_BYTES * 8ull * DL_PAGE;
	assert_int_equal(restart(f, &cfg), 0);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 1);
	flush(f);
	assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
	assert_int_equal(marks(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_changes_is_marked_and_nothing_else),
		T(what_changes_is_marked_and_nothing_else, split_all),
		T(what_changes_is_marked_and_nothing_else, packed_all),
		T(what_changes_is_marked_and_nothing_else, split_big),
		BOTH(setting_up_marks_the_fields_that_ask_for_no_kicks),
		T(setting_up_marks_the_fields_that_ask_for_no_kicks, split_event),
		T(what_recovery_mends_is_marked, packed_edge_record),
		T(entries_and_buffers_are_marked_before_the_driver_can_see_them, split_later),
		T(entries_and_buffers_are_marked_before_the_driver_can_see_them, packed_edge),
		T(bytes_are_marked_where_the_pieces_say, split),
		BOTH(a_log_without_pieces_is_for_buffers_only),
		BOTH(pieces_beyond_the_bitmap_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
