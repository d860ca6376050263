/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a frame costs at least on this machine: a worker does nothing but copy it once, from lines
 * that another CPU has just written to lines that it will read. scripts/bench measures this in the
 * same rounds as the back-ends.
 *
 * usage: floor SIZE SECONDS LOAD_CPU WORKER_CPU [SOURCES]
 *
 * Two threads. The guests' (LOAD_CPU) writes the first line of a source buffer, says in eight bytes
 * where the frame lies and where it goes, and hands over 32 at a time; what comes back must be what
 * was sent. The worker (WORKER_CPU) prefetches a burst, copies it and hands it back. Both hand over
 * with one release store of a count. 256 frames are under way, as in the closed loop of
 * scripts/bench; the buffers that they go to are used in turn, as two receive rings of 1024 entries
 * post them. The source buffers are as many as frames are under way, so that their lines stay in
 * the worker's cache; SOURCES has more of them used in turn, as transmit rings with many buffers
 * do.
 *
 * Prints one line of JSON. A mistake is one line on standard error, and exit status 1.
 */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rw_copy.h"
#include "rw_text.h"
#include "tsc.h"

#define BURST     32
#define UNDER_WAY 256  /* of all frames */
#define TARGETS   2048 /* destination buffers */
#define STRIDE    2304 /* bytes from one buffer to the next */
#define PREFETCH  256  /* bytes of a frame: the hardware fetches what follows */
#define HUGE_PAGE (2u << 20)

#define SIZE_LEAST  60
#define SIZE_MOST   STRIDE
#define SECONDS_MAX 3600.0

#define SOURCES_MOST 32768
#define LOOK_ROUNDS  1024 /* the guests look at the clock every so many rounds */

/* Numbers of buffers. */
struct handed {
	uint32_t source, target;
};

/* Counts only grow; each has a line of its own, written by one thread. */
struct floor {
	/* Constant while it runs. */
	uint8_t *sources, *targets;
	rw_copy_fn copy;
	uint32_t size;     /* bytes of a frame */
	uint32_t nsources; /* source buffers */
	int worker_cpu;

	/* The guests'. */
	RW_CACHE_ALIGNED _Atomic uint64_t posted;
	RW_CACHE_ALIGNED _Atomic bool stop;
	RW_CACHE_ALIGNED struct handed frames[UNDER_WAY];

	/* The worker's. */
	RW_CACHE_ALIGNED _Atomic uint64_t done;
	RW_CACHE_ALIGNED uint64_t busy; /* ticks; others read it when the worker has ended */
	_Atomic int started;            /* > 0: it runs; < 0: -errno */
};

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* Zeroed and touched, on 2 MiB pages if they can be had. NULL: no memory. */
static uint8_t *memory_new(size_t size, bool *huge)
{
	size_t whole = rw_align_up(size, HUGE_PAGE);
	void *at = mmap(NULL, whole, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	*huge = at != MAP_FAILED;
	if (!*huge)
		at = rw_zalloc(whole);
	if (at)
		memset(at, 0, whole);
	return at;
}

/* Copy the burst whose first frame is number `first`. */
static void burst_copy(const struct floor *f, uint64_t first)
{
	const struct handed *h = &f->frames[first % UNDER_WAY];
	uint32_t fetched = RW_MIN(f->size, PREFETCH);

	for (unsigned i = 0; i < BURST; i++) {
		for (uint32_t at = 0; at < fetched; at += RW_CACHE_LINE) {
			__builtin_prefetch(f->sources + (size_t)h[i].source * STRIDE + at);
			rw_prefetch_write(f->targets + (size_t)h[i].target * STRIDE + at);
		}
	}
	for (unsigned i = 0; i < BURST; i++)
		f->copy(f->targets + (size_t)h[i].target * STRIDE,
			f->sources + (size_t)h[i].source * STRIDE, f->size);
}

static void *worker_run(void *arg)
{
	struct floor *f = arg;
	uint64_t done = 0, busy = 0, begin;
	int err = pin(f->worker_cpu);

	atomic_store(&f->started, err ? err : 1);
	while (!err && !atomic_load_explicit(&f->stop, memory_order_relaxed)) {
		/* Pairs with the store in guests_send. */
		if (atomic_load_explicit(&f->posted, memory_order_acquire) == done)
			continue;
		begin = tsc_now();
		burst_copy(f, done);
		done += BURST;
		/* Pairs with the load in guests_run. */
		atomic_store_explicit(&f->done, done, memory_order_release);
		busy += tsc_now() - begin;
	}
	f->busy = busy;
	return NULL;
}

/* A burst of frames from number `first` on: each begins with its number. */
static void guests_send(struct floor *f, uint64_t first)
{
	for (uint64_t p = first; p < first + BURST; p++) {
		struct handed *h = &f->frames[p % UNDER_WAY];

		*h = (struct handed){(uint32_t)(p % f->nsources), (uint32_t)(p % TARGETS)};
		memcpy(f->sources + (size_t)h->source * STRIDE, &p, sizeof(p));
	}
	atomic_store_explicit(&f->posted, first + BURST, memory_order_release);
}

/* Look at frames `from` up to `to`: 0 if each is the one that was sent. */
static uint64_t guests_receive(const struct floor *f, uint64_t from, uint64_t to)
{
	uint64_t found, wrong = 0;

	for (uint64_t p = from; p < to; p++) {
		memcpy(&found, f->targets + (size_t)(p % TARGETS) * STRIDE, sizeof(found));
		wrong |= found ^ p;
	}
	return wrong;
}

/* So many ticks. The frames that came back, or 0 if one was wrong; *took: ticks, exactly. */
static uint64_t guests_run(struct floor *f, uint64_t ticks, uint64_t *took)
{
	uint64_t begin = tsc_now(), posted = 0, back = 0, wrong = 0, done;

	do {
		for (unsigned i = 0; i < LOOK_ROUNDS; i++) {
			for (; posted - back < UNDER_WAY; posted += BURST)
				guests_send(f, posted);
			done = atomic_load_explicit(&f->done, memory_order_acquire);
			wrong |= guests_receive(f, back, done);
			back = done;
		}
		*took = tsc_now() - begin;
	} while (*took < ticks);
	return wrong ? 0 : back;
}

/* A CPU's number, at which this process may run. */
static int cpu_read(const char *word)
{
	uint32_t cpu;

	if (!rw_text_number(word, 0, CPU_SETSIZE - 1, &cpu))
		errx(1, "%s is no CPU: give its number", word);
	return (int)cpu;
}

static double seconds_read(const char *word)
{
	char *end;
	double s = strtod(word, &end);

	/* Not "nan" either. */
	if (end == word || *end || !(s > 0 && s <= SECONDS_MAX))
		errx(1, "%s: give a time above 0, of at most %.0f seconds", word, SECONDS_MAX);
	return s;
}

static void measure(struct floor *f, double seconds, int load_cpu)
{
	double hz = tsc_measure();
	uint64_t frames, took;
	pthread_t worker;
	int err;

	err = pin(load_cpu);
	if (err)
		errx(1, "cannot run on CPU %d: %s", load_cpu, strerror(-err));
	err = pthread_create(&worker, NULL, worker_run, f);
	if (err)
		errx(1, "cannot start a thread: %s", strerror(err));
	do
		err = atomic_load(&f->started);
	while (!err);
	if (err < 0)
		errx(1, "cannot run on CPU %d: %s", f->worker_cpu, strerror(-err));
	frames = guests_run(f, (uint64_t)(seconds * hz), &took);
	atomic_store(&f->stop, true);
	pthread_join(worker, NULL);
	if (!frames)
		errx(1, "a frame came back that is not the one that was sent");
	printf("{\"frames_per_s\": %.0f, \"busy_cycles_per_frame\": %.2f",
		(double)frames * hz / (double)took, (double)f->busy / (double)f->done);
}

int main(int argc, char **argv)
{
	static struct floor f;
	bool huge, huge_too;
	double seconds;
	int load_cpu;

	if (argc != 5 && argc != 6)
		errx(1, "usage: floor SIZE SECONDS LOAD_CPU WORKER_CPU [SOURCES]");
	if (!rw_text_number(argv[1], SIZE_LEAST, SIZE_MOST, &f.size))
		errx(1, "%s: give a size from %d to %d bytes", argv[1], SIZE_LEAST, SIZE_MOST);
	seconds = seconds_read(argv[2]);
	load_cpu = cpu_read(argv[3]);
	f.worker_cpu = cpu_read(argv[4]);
	if (load_cpu == f.worker_cpu)
		errx(1, "%s %s: load and worker need a CPU each", argv[3], argv[4]);
	f.nsources = UNDER_WAY;
	if (argc == 6 && !rw_text_number(argv[5], UNDER_WAY, SOURCES_MOST, &f.nsources))
		errx(1, "%s: give %d to %d source buffers", argv[5], UNDER_WAY, SOURCES_MOST);
	f.sources = memory_new((size_t)f.nsources * STRIDE, &huge);
	f.targets = memory_new((size_t)TARGETS * STRIDE, &huge_too);
	if (!f.sources || !f.targets)
		errx(1, "no memory for the buffers");
	f.copy = rw_copy_best();
	measure(&f, seconds, load_cpu);
	printf(", \"huge_pages\": %s, \"copy\": \"%s\"}\n", huge && huge_too ? "true" : "false",
		rw_copy_way(0)->name);
	return rw_stdout_close() ? 0 : 1;
}
