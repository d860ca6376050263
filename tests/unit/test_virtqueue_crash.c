/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end that is killed at any instruction loses no buffer and returns none twice, with an
 * in-flight record or with the progress that the device records for itself.
 *
 * A child process is the device. Its parent steps it through its code one machine instruction at a
 * time, and whenever the memory that survives a kill (ring and in-flight record) has changed, a
 * copy of that memory is recovered, as a new back-end would do it. What must hold at each of these
 * points: the buffers that the driver finds used, followed by those that the new back-end hands
 * out, are the buffers that were made available, in that order, each once; and of those handed out
 * the driver sees each when it is flushed and not earlier.
 *
 * The driver lives in the parent and its state is a value: each check goes on with a copy of it,
 * once as it was and once after it has taken what is used and refilled the ring behind the dead
 * back-end's back. Recovery may be killed in turn: it is stepped through from states that it has
 * something to mend in.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vq_driver.h"

#define F(bit) (1ull << (bit))

/* Of the states that recovery changes something in, every so many is recovered step by step. */
#define MOMENTS      6
#define MOMENT_EVERY 19

enum op { OP_INIT, OP_FETCH, OP_COMPLETE, OP_FLUSH, OP_REWIND };

/* Shared by parent and child; only `shared` counts as surviving. */
struct arena {
	struct shared shared;
	enum op op;
	unsigned n; /* chains to fetch, complete or rewind */
	int result; /* of the operation: chains fetched, or what vq_init said */
};

/* A state to recover from. */
struct moment {
	struct shared shared;
	struct driver driver;
};

struct world {
	const struct variant *v;
	struct gm_map *map;
	struct arena *arena;
	struct driver driver;
	pid_t child;
	unsigned long points; /* states that a kill would leave behind */
	struct moment moments[MOMENTS];
	unsigned nmoments, mended; /* kept; seen */
	unsigned long unsure;      /* times that a ring looked new */
};

/* ---- the device ---- */

static uint64_t features_of(const struct variant *v)
{
	return v->packed ? F(VIRTIO_F_RING_PACKED) : 0;
}

/* A back-end starts on `s`. The base is what a front-end remembers of the very beginning. */
static int device_init(const struct world *w, struct vq *vq, struct shared *s)
{
	struct vq_config cfg = {.mem = w->map,
		.desc = s->desc,
		.driver = s->driver,
		.device = s->device,
		.features = features_of(w->v),
		.base = w->v->packed ? 0x80008000 : 0,
		.num = w->v->num,
		.call_fd = -1,
		.inflight = w->v->progress ? NULL : s->record,
		.progress = w->v->progress ? (struct vq_progress *)(void *)s->progress : NULL};
	enum vq_known known = s->open ? VQ_KNOWN_RECORD : VQ_KNOWN_NOTHING;
	int ret;

	if (w->v->progress && vq_progress_judge(&cfg, known, &cfg.base) == VQ_START_UNSURE)
		return -EBADMSG;
	ret = vq_init(vq, &cfg);
	__atomic_store_n(&s->open, 1, __ATOMIC_RELEASE);
	return ret;
}

#define PACKED_MODE (VQ_PACKED | VQ_SLOW)

/* The usual functions of a packed ring, which record its progress. */
static bool is_fast(const struct world *w)
{
	return w->v->progress && !w->v->slow;
}

static enum vq_status device_fetch(
	const struct world *w, struct vq *vq, struct rw_seg *segs, struct vq_chain *c)
{
	if (is_fast(w))
		return vq_fetch(vq, segs, c, VQ_PACKED, true);
	return w->v->packed ? vq_fetch(vq, segs, c, PACKED_MODE, true)
			    : vq_fetch(vq, segs, c, VQ_SLOW, true);
}

/* Single chains and batches of them are completed by different functions. */
static void device_complete(const struct world *w, struct vq *vq, const struct vq_chain *c)
{
	struct vq_chain one = *c;

	one.len = BUF_BYTES;
	if (is_fast(w) && c->id % 2)
		vq_complete_batch(vq, &one, 1, VQ_PACKED, true);
	else if (is_fast(w))
		vq_complete(vq, c, BUF_BYTES, VQ_PACKED, true);
	else if (w->v->packed)
		vq_complete(vq, c, BUF_BYTES, PACKED_MODE, true);
	else
		vq_complete(vq, c, BUF_BYTES, VQ_SLOW, true);
}

static void device_flush(const struct world *w, struct vq *vq)
{
	if (is_fast(w))
		vq_flush(vq, VQ_PACKED);
	else if (w->v->packed)
		vq_flush(vq, PACKED_MODE);
	else
		vq_flush(vq, VQ_SLOW);
}

static void device_rewind(const struct world *w, struct vq *vq, struct vq_cursor at)
{
	if (is_fast(w))
		vq_rewind(vq, at, VQ_PACKED);
	else if (w->v->packed)
		vq_rewind(vq, at, PACKED_MODE);
	else
		vq_rewind(vq, at, VQ_SLOW);
}

/* Chains that the device holds, in order, and where each began. */
struct held {
	struct vq_chain chains[MAX_NUM];
	struct vq_cursor at[MAX_NUM];
	unsigned n;
};

static void device_op(const struct world *w, struct vq *vq, struct held *held)
{
	struct rw_seg segs[MAX_NUM + VQ_EXTRA_SEGS];
	struct arena *a = w->arena;

	switch (a->op) {
	case OP_INIT:
		held->n = 0;
		a->result = device_init(w, vq, &a->shared);
		break;
	case OP_FETCH:
		for (a->result = 0; a->result < (int)a->n && held->n < MAX_NUM; a->result++) {
			held->at[held->n] = vq->next;
			if (device_fetch(w, vq, segs, &held->chains[held->n]) != VQ_CHAIN)
				break;
			held->n++;
		}
		break;
	case OP_COMPLETE:
		for (unsigned i = 0; i < a->n; i++)
			device_complete(w, vq, &held->chains[i]);
		held->n -= a->n;
		memmove(held->chains, held->chains + a->n, held->n * sizeof(held->chains[0]));
		memmove(held->at, held->at + a->n, held->n * sizeof(held->at[0]));
		break;
	case OP_FLUSH:
		device_flush(w, vq);
		break;
	case OP_REWIND:
		held->n -= a->n;
		device_rewind(w, vq, held->at[held->n]);
		break;
	}
}

/* The child: an operation after each stop. What it leaves behind between two inits is leaked. */
static _Noreturn void device_main(const struct world *w)
{
	struct vq vq = {0};
	struct held held = {.n = 0};
	pid_t self = getpid();

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	for (;;) {
		kill(self, SIGSTOP);
		device_op(w, &vq, &held);
	}
}

/* ---- what must hold ---- */

/* The device hands out exactly what the driver waits for, and the driver gets it back. */
static void assert_goes_on(const struct world *w, struct shared *s, struct vq *vq, struct driver *d)
{
	struct vq_chain chains[MAX_NUM];
	struct rw_seg segs[MAX_NUM + VQ_EXTRA_SEGS];
	unsigned n = 0;

	while (driver_pop(d, s, w->v))
		;
	for (; device_fetch(w, vq, segs, &chains[n]) == VQ_CHAIN; n++) {
		assert_true(n < MAX_NUM && d->out + n < d->in);
		for (unsigned i = 0; i < chains[n].nsegs; i++)
			assert_int_equal(
				segs[i].data - w->map->regions[0].host, buffer_of(d->out + n, i));
	}
	assert_false(vq->broken);
	assert_int_equal(n, d->in - d->out);
	for (unsigned i = 0; i < n; i++) {
		device_complete(w, vq, &chains[i]);
		assert_false(driver_pop(d, s, w->v));
		device_flush(w, vq);
		assert_true(driver_pop(d, s, w->v));
		assert_false(driver_pop(d, s, w->v));
	}
}

/* Keep a state if recovery, which made `after` of it, had something to do. */
static void moment_keep(struct world *w, const struct shared *after)
{
	const struct shared *s = &w->arena->shared;

	if (!memcmp(s->desc, after->desc, sizeof(s->desc)) &&
		!memcmp(s->record, after->record, sizeof(s->record)) &&
		!memcmp(s->progress, after->progress, sizeof(s->progress)))
		return;
	if (w->mended++ % MOMENT_EVERY == 0 && w->nmoments < MOMENTS)
		w->moments[w->nmoments++] = (struct moment){.shared = *s, .driver = w->driver};
}

/*
 * A ring as full as in its first lap could be that of a guest that was rebooted: nobody knows,
 * though the record fits. It takes a chain that goes round the end of the ring.
 */
static bool looks_new(const struct world *w, const struct shared *s)
{
	const struct vring_packed_desc *ring = (const struct vring_packed_desc *)s->desc;

	for (uint16_t i = 0; i < w->v->num; i++) {
		if (!vq_packed_is_avail(ring[i].flags, true))
			return false;
	}
	return w->v->max_chain > 1;
}

/* The back-end is dead and another one starts; `busy`: the driver did not wait for that. */
static void assert_recovers(struct world *w, bool busy)
{
	struct shared s = w->arena->shared;
	struct driver d = w->driver;
	struct vq vq;
	int ret;

	if (busy) {
		while (driver_pop(&d, &s, w->v))
			;
		while (driver_add(&d, &s, w->v))
			;
	}
	ret = device_init(w, &vq, &s);
	if (ret && w->v->progress && looks_new(w, &s)) {
		w->unsure++;
		return;
	}
	assert_int_equal(ret, 0);
	if (!busy)
		moment_keep(w, &s);
	if (busy) { /* and dies at once */
		vq_fini(&vq);
		assert_int_equal(device_init(w, &vq, &s), 0);
	}
	assert_goes_on(w, &s, &vq, &d);
	while (driver_add(&d, &s, w->v))
		;
	assert_goes_on(w, &s, &vq, &d);
	vq_fini(&vq);
}

/* ---- stepping ---- */

static int wait_stop(struct world *w)
{
	int status;

	assert_int_equal(waitpid(w->child, &status, 0), w->child);
	assert_true(WIFSTOPPED(status));
	return WSTOPSIG(status);
}

/* Let the child do one operation, looking at what it leaves behind after each instruction. */
static void step_through(struct world *w, enum op op, unsigned n)
{
	const uint8_t *now = (const void *)&w->arena->shared;
	uint8_t seen[sizeof(struct shared)];
	int sig;

	memcpy(seen, now, sizeof(seen));
	w->arena->op = op;
	w->arena->n = n;
	do {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, w->child, NULL, NULL), 0);
		sig = wait_stop(w);
		if (memcmp(seen, now, sizeof(seen))) {
			memcpy(seen, now, sizeof(seen));
			w->points++;
			assert_recovers(w, false);
			assert_recovers(w, true);
		}
	} while (sig == SIGTRAP);
	assert_int_equal(sig, SIGSTOP);
}

/* Both processes on one CPU: handing it over costs less than waking another. */
static void share_cpu(cpu_set_t *saved)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	assert_int_equal(sched_getaffinity(0, sizeof(*saved), saved), 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void world_new(struct world *w, const struct variant *v)
{
	struct gm_region_desc region = {.size = MEM_BYTES, .uva = 0x10000000};
	int fd = memfd_create("guest", MFD_CLOEXEC);

	*w = (struct world){.v = v};
	assert_int_equal(ftruncate(fd, MEM_BYTES), 0);
	assert_int_equal(gm_map_new(NULL, &region, &fd, 1, NULL, &w->map), 0);
	close(fd);
	w->arena = mmap(
		NULL, sizeof(*w->arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->arena, MAP_FAILED);
	driver_init(&w->driver, v->num);
	assert_true(vq_inflight_bytes(features_of(v), v->num) <= sizeof(w->arena->shared.record));
	/* Once here as well, so that the dynamic linker has nothing left to do in the child. */
	assert_recovers(w, true);
	w->child = fork();
	assert_true(w->child >= 0);
	if (!w->child)
		device_main(w);
	assert_int_equal(wait_stop(w), SIGSTOP);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, w->child, NULL, PTRACE_O_EXITKILL), 0);
}

static void world_free(struct world *w)
{
	kill(w->child, SIGKILL);
	waitpid(w->child, NULL, 0);
	munmap(w->arena, sizeof(*w->arena));
	gm_map_free(w->map);
}

static unsigned fetch(struct world *w, unsigned n)
{
	step_through(w, OP_FETCH, n);
	assert_true(w->arena->result > 0);
	return (unsigned)w->arena->result;
}

static void use(struct world *w, unsigned n)
{
	step_through(w, OP_COMPLETE, n);
	step_through(w, OP_FLUSH, 0);
}

/*
 * One round: a burst of growing length, part of which is put back, or left over to the next burst,
 * or killed with a batch half written and recovered under the parent's eyes.
 */
static void round_of(struct world *w, unsigned round)
{
	struct shared *s = &w->arena->shared;
	unsigned n;

	while (driver_add(&w->driver, s, w->v))
		;
	n = fetch(w, 1 + round % w->v->max_burst);
	switch (round % 5) {
	case 1: /* put some back */
		step_through(w, OP_REWIND, (n + 1) / 2);
		n -= (n + 1) / 2;
		break;
	case 2: /* take more while a batch is open, then put that back */
		step_through(w, OP_COMPLETE, n);
		step_through(w, OP_FETCH, 1);
		if (w->arena->result)
			step_through(w, OP_REWIND, 1);
		step_through(w, OP_FLUSH, 0);
		n = 0;
		break;
	case 3: /* die with a batch open */
		step_through(w, OP_COMPLETE, n);
		step_through(w, OP_INIT, 0);
		assert_int_equal(w->arena->result, 0);
		/* By its own record the successor has finished the batch, or fetches one chain. */
		step_through(w, OP_FETCH, n);
		n = (unsigned)w->arena->result;
		assert_true(n > 0 || w->v->progress);
		break;
	case 4: /* a flush while chains are held; put those back after it */
		step_through(w, OP_FETCH, 2);
		if (w->arena->result) {
			unsigned more = (unsigned)w->arena->result;

			use(w, n);
			step_through(w, OP_REWIND, more);
			n = 0;
		}
		break;
	}
	if (n)
		use(w, n);
	while (driver_pop(&w->driver, s, w->v))
		;
}

static void a_kill_at_any_instruction_loses_nothing(void **state)
{
	const struct variant *v = *state;
	struct world w;
	cpu_set_t cpus;

	share_cpu(&cpus);
	world_new(&w, v);
	step_through(&w, OP_INIT, 0);
	assert_int_equal(w.arena->result, 0);
	for (unsigned round = 0; round < v->rounds; round++)
		round_of(&w, round);
	assert_true(w.driver.out >= 2u * v->num); /* round the ring and round again */
	/* A ring whose bursts are single chains never has a batch to finish. */
	assert_true(w.nmoments > 0 || v->progress);
	for (unsigned i = 0; i < w.nmoments; i++) {
		struct moment m = w.moments[i];

		w.arena->shared = m.shared;
		w.driver = m.driver;
		step_through(&w, OP_INIT, 0);
		assert_int_equal(w.arena->result, 0);
	}
	assert_true(w.points > v->rounds);
	assert_true(w.unsure < w.points / 4);
	world_free(&w);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

static const struct variant split_single = {.num = 4, .max_chain = 1, .max_burst = 1, .rounds = 10};
static const struct variant split_batches = {
	.num = 8, .max_chain = 3, .max_burst = 3, .rounds = 12};
static const struct variant packed_single = {
	.packed = true, .num = 4, .max_chain = 1, .max_burst = 1, .rounds = 10};
static const struct variant packed_batches = {
	.packed = true, .num = 7, .max_chain = 3, .max_burst = 3, .rounds = 12};
/* Bursts as long as the ring: the used position is the same before and after. */
static const struct variant packed_whole = {
	.packed = true, .num = 3, .max_chain = 1, .max_burst = 3, .rounds = 10};

static const struct variant own_single = {
	.packed = true, .num = 4, .max_chain = 1, .max_burst = 1, .rounds = 10, .progress = true};
static const struct variant own_batches = {
	.packed = true, .num = 7, .max_chain = 3, .max_burst = 3, .rounds = 20, .progress = true};
static const struct variant own_whole = {
	.packed = true, .num = 3, .max_chain = 1, .max_burst = 3, .rounds = 10, .progress = true};
static const struct variant own_slow = {.packed = true,
	.num = 8,
	.max_chain = 2,
	.max_burst = 4,
	.rounds = 10,
	.progress = true,
	.slow = true};

#define T(v)                                                                \
	{                                                                   \
		.name = "a_kill_at_any_instruction_loses_nothing (" #v ")", \
		.test_func = a_kill_at_any_instruction_loses_nothing,       \
		.initial_state = (void *)(uintptr_t)&v                      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(split_single),
		T(split_batches),
		T(packed_single),
		T(packed_batches),
		T(packed_whole),
		T(own_single),
		T(own_batches),
		T(own_whole),
		T(own_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
