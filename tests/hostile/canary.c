/* SPDX-License-Identifier: BSD-3-Clause */
#include "canary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rw_sock.h"

#define LEN         128 /* bytes of a frame */
#define WINDOW      8   /* frames under way in each direction */
#define RX_SIZE     1024
#define WORKERS_MAX 8
#define LOST_MS     2000 /* a frame that takes longer will not come */
/* A round of the canary that took longer than this was interrupted: the rest does not count. */
#define ROUND_NS  2000000
#define SAMPLE_NS 10000000 /* how often the daemon's time is read */
#define PAUSE_NS  5000000  /* between two questions */

/* Time in which the daemon's threads could run and the canary looked, in nanoseconds. */
struct stopwatch {
	int64_t ns;
	uint64_t last;        /* clock when `ns` was last moved on */
	uint64_t sampled;     /* clock of the last sample... */
	uint64_t waited;      /* ...and what the threads had waited for a CPU by then */
	int fds[WORKERS_MAX]; /* their schedstat */
	unsigned nfds;
};

/* One direction. */
struct way {
	struct fe_guest *from, *to;
	const uint8_t *from_mac, *to_mac;
	uint32_t sent, got;
	int64_t departed[WINDOW]; /* by the stopwatch */
};

struct canary {
	struct rig *r;
	struct fe_guest *guests[2];
	struct way ways[2];
	struct stopwatch watch;
	pthread_t traffic, questions;
	int ctl;
	uint32_t stop;
	uint32_t reset;  /* the threads forget their longest times when this changed */
	uint64_t frames; /* that arrived */
	uint64_t answers;
	int64_t longest_frame, longest_answer; /* ns */
	char why[2][160];                      /* what went wrong, of each thread */
	uint32_t failed;
};

static const uint8_t macs[2][6] = {{0x02, 0xca, 0, 0, 0, 'y'}, {0x02, 0xca, 0, 0, 0, 'z'}};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say(struct canary *c, unsigned thread, const char *fmt, ...) RW_PRINTF(3, 4);

static void say(struct canary *c, unsigned thread, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!c->why[thread][0])
		vsnprintf(c->why[thread], sizeof(c->why[thread]), fmt, ap);
	va_end(ap);
	__atomic_store_n(&c->failed, 1, __ATOMIC_RELEASE);
}

/* Told once a round, by one writer each. */
static void tell(int64_t *longest, int64_t ns)
{
	if (ns > __atomic_load_n(longest, __ATOMIC_RELAXED))
		__atomic_store_n(longest, ns, __ATOMIC_RELAXED);
}

/* ---- the stopwatch ---- */

/* Nanoseconds that a thread has waited for a CPU, by its schedstat; 0 where there is none. */
static uint64_t waited_ns(int fd)
{
	uint64_t ran, waited;
	char text[64];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	return sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2 ? waited : 0;
}

static int schedstat_open(pid_t pid, const char *tid)
{
	char path[320];

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool is_worker(pid_t pid, const char *tid)
{
	char path[320], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)pid, tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = 0;
	fclose(f);
	return strstr(name, "worker");
}

static uint64_t workers_waited(const struct stopwatch *w)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < w->nfds; i++)
		sum += waited_ns(w->fds[i]);
	return sum;
}

static void stopwatch_start(struct stopwatch *w, pid_t pid)
{
	char path[64];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (w->nfds < WORKERS_MAX && is_worker(pid, e->d_name)) {
			int fd = schedstat_open(pid, e->d_name);

			if (fd >= 0)
				w->fds[w->nfds++] = fd;
		}
	}
	closedir(d);
	w->last = w->sampled = now_ns();
	w->waited = workers_waited(w);
}

static void stopwatch_sample(struct stopwatch *w)
{
	uint64_t waited = workers_waited(w);

	w->ns -= (int64_t)(waited - w->waited);
	w->waited = waited;
	w->sampled = w->last;
}

/* Once a round. */
static void stopwatch_advance(struct stopwatch *w)
{
	uint64_t now = now_ns();

	w->ns += (int64_t)RW_MIN(now - w->last, (uint64_t)ROUND_NS);
	w->last = now;
	if (now - w->sampled >= SAMPLE_NS)
		stopwatch_sample(w);
}

/* ---- frames ---- */

static void frame_number(uint8_t *buf, const struct way *w, uint32_t n)
{
	frame_make(buf, LEN, w->to_mac, w->from_mac, n);
	memcpy(buf + 14, &n, sizeof(n));
}

/* Send what the window allows. */
static void way_send(struct canary *c, struct way *w)
{
	uint8_t buf[LEN];
	const struct fe_frame f = {.data = buf, .len = LEN};
	uint32_t before = w->sent;
	int err = 0;

	for (; w->sent - w->got < WINDOW; w->sent++) {
		frame_number(buf, w, w->sent);
		err = fe_guest_put(w->from, 0, &f);
		if (err)
			break;
		w->departed[w->sent % WINDOW] = c->watch.ns;
	}
	if (w->sent != before)
		fe_guest_flush(w->from, 0);
	if (err && err != -EAGAIN)
		say(c, 0, "sending: %s", strerror(-err));
}

/* Frame `w->got` arrived. */
static void way_arrived(struct canary *c, struct way *w)
{
	int64_t departed = w->departed[w->got % WINDOW];
	int64_t limit = (int64_t)CANARY_FRAME_MS * 1000000 * c->r->slow;

	if (c->watch.ns - departed > SAMPLE_NS)
		stopwatch_sample(&c->watch);
	if (c->watch.ns - departed > limit)
		say(c, 0, "a frame was held up for %" PRId64 " ms",
			(c->watch.ns - departed) / 1000000);
	tell(&c->longest_frame, c->watch.ns - departed);
	__atomic_store_n(&w->got, w->got + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&c->frames, c->frames + 1, __ATOMIC_RELEASE);
}

/* Receive what is there. */
static void way_receive(struct canary *c, struct way *w)
{
	static uint8_t got[FRAME_MAX];
	uint8_t want[LEN];
	struct fe_received in;
	uint32_t n;
	int err;

	while (!(err = fe_guest_recv(w->to, 0, got, sizeof(got), &in))) {
		if (memcmp(got, w->to_mac, 12 - 6) || memcmp(got + 6, w->from_mac, 6))
			continue; /* what others flood */
		memcpy(&n, got + 14, sizeof(n));
		frame_number(want, w, n);
		if (in.len != LEN || memcmp(got, want, LEN) != 0)
			say(c, 0, "a frame was damaged");
		else if (n != w->got)
			say(c, 0, "frame %u came, and %u was expected", n, w->got);
		if (c->why[0][0])
			return;
		way_arrived(c, w);
	}
	if (err != -EAGAIN)
		say(c, 0, "receiving: %s", strerror(-err));
}

/* The oldest frame under way has waited too long to arrive at all. */
static void way_expect(struct canary *c, const struct way *w)
{
	int64_t limit = (int64_t)LOST_MS * 1000000 * c->r->slow;

	if (w->got != w->sent && c->watch.ns - w->departed[w->got % WINDOW] > limit)
		say(c, 0, "port %s: frame %u of %u did not arrive", w == c->ways ? "z" : "y",
			w->got, w->sent);
}

static void *traffic_run(void *arg)
{
	struct canary *c = arg;
	uint32_t reset = 0;

	while (!c->why[0][0]) {
		bool stop = __atomic_load_n(&c->stop, __ATOMIC_ACQUIRE), all_there = true;

		stopwatch_advance(&c->watch);
		if (reset != __atomic_load_n(&c->reset, __ATOMIC_RELAXED)) {
			reset = __atomic_load_n(&c->reset, __ATOMIC_RELAXED);
			__atomic_store_n(&c->longest_frame, 0, __ATOMIC_RELAXED);
		}
		for (unsigned i = 0; i < 2; i++) {
			if (!stop)
				way_send(c, &c->ways[i]);
			way_receive(c, &c->ways[i]);
			way_expect(c, &c->ways[i]);
			all_there &= c->ways[i].got == c->ways[i].sent;
		}
		if (stop && all_there)
			break;
		rig_nap();
	}
	return NULL;
}

/* ---- questions ---- */

static bool ask_control(struct canary *c)
{
	struct ctl_failure fail;
	json_t *answer = ctl_call(c->ctl, "port.list", NULL, 2 * rig_patience(c->r), &fail);

	if (!answer)
		say(c, 1, "port.list: %s", fail.message);
	json_decref(answer);
	return answer;
}

static bool ask_front_end(struct canary *c)
{
	uint64_t features;
	int err = fe_conn_get(&c->guests[0]->conn, VU_GET_FEATURES, &features);

	if (err)
		say(c, 1, "GET_FEATURES: %s", strerror(-err));
	return !err;
}

static void *questions_run(void *arg)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct canary *c = arg;
	int64_t limit = (int64_t)CANARY_CONTROL_MS * 1000000 * c->r->slow;
	char tid[16];
	int fds[2]; /* of the control thread and of this one */
	uint32_t reset = 0;

	snprintf(tid, sizeof(tid), "%d", (int)c->r->pid);
	fds[0] = schedstat_open(c->r->pid, tid);
	fds[1] = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		uint64_t waited = waited_ns(fds[0]) + waited_ns(fds[1]);
		int64_t took = (int64_t)now_ns();

		if (!ask_control(c) || !ask_front_end(c))
			break;
		took = (int64_t)now_ns() - took -
			(int64_t)(waited_ns(fds[0]) + waited_ns(fds[1]) - waited);
		if (took > limit)
			say(c, 1, "control answered after %" PRId64 " ms", took / 1000000);
		if (reset != __atomic_load_n(&c->reset, __ATOMIC_RELAXED)) {
			reset = __atomic_load_n(&c->reset, __ATOMIC_RELAXED);
			__atomic_store_n(&c->longest_answer, 0, __ATOMIC_RELAXED);
		}
		tell(&c->longest_answer, took);
		__atomic_store_n(&c->answers, c->answers + 1, __ATOMIC_RELEASE);
		nanosleep(&pause, NULL);
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

/* ---- life ---- */

static struct fe_guest *guest_up(struct rig *r, const char *socket, uint64_t features)
{
	struct fe_guest_config c = guest_usual();
	struct fe_guest *g;

	c.features |= features;
	c.rx_size = RX_SIZE;
	assert_int_equal(fe_guest_new(&c, &g), 0);
	g->conn.timeout_ms = 2 * rig_patience(r);
	assert_int_equal(fe_guest_connect(g, rig_path(r, socket)), 0);
	assert_int_equal(fe_guest_start(g), 0);
	return g;
}

struct canary *canary_start(struct rig *r)
{
	struct canary *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->r = r;
	c->guests[0] = guest_up(r, "y.sock", 0);
	c->guests[1] = guest_up(r, "z.sock", PACKED);
	for (unsigned i = 0; i < 2; i++) {
		c->ways[i] = (struct way){.from = c->guests[i],
			.to = c->guests[!i],
			.from_mac = macs[i],
			.to_mac = macs[!i]};
	}
	c->ctl = rw_sock_connect(rig_path(r, "ctl"));
	assert_true(c->ctl >= 0);
	stopwatch_start(&c->watch, r->pid);
	assert_int_equal(pthread_create(&c->traffic, NULL, traffic_run, c), 0);
	assert_int_equal(pthread_create(&c->questions, NULL, questions_run, c), 0);
	return c;
}

void canary_reset(struct canary *c)
{
	__atomic_fetch_add(&c->reset, 1, __ATOMIC_RELAXED);
}

static const char *what_was_wrong(const struct canary *c)
{
	static char text[sizeof(c->why) + 16];

	snprintf(text, sizeof(text), "canary: %s%s%s", c->why[0],
		c->why[0][0] && c->why[1][0] ? "; " : "", c->why[1]);
	return text;
}

/* What a check waits for. */
struct progress {
	uint32_t got[2];
	uint64_t answers;
};

static struct progress progress_of(const struct canary *c)
{
	return (struct progress){
		.got = {__atomic_load_n(&c->ways[0].got, __ATOMIC_ACQUIRE),
			__atomic_load_n(&c->ways[1].got, __ATOMIC_ACQUIRE)},
		.answers = __atomic_load_n(&c->answers, __ATOMIC_ACQUIRE),
	};
}

/* All that was under way at `since` has arrived, and more. */
static bool has_gone_on(const struct canary *c, const struct progress *since)
{
	const struct progress now = progress_of(c);

	return now.got[0] - since->got[0] > WINDOW && now.got[1] - since->got[1] > WINDOW &&
		now.answers > since->answers + 1;
}

/* Why frames of the canary's may have been dropped. */
static void print_drops(const struct canary *c)
{
	struct ctl_failure fail;
	json_t *rows = ctl_call(c->r->ctl.fd, "port.stats", NULL, rig_patience(c->r), &fail);
	char *text = rows ? json_dumps(rows, JSON_COMPACT) : NULL;

	print_error("%s\n", text ? text : fail.message);
	free(text);
	json_decref(rows);
}

struct canary_report canary_check(struct canary *c)
{
	const struct progress since = progress_of(c);
	uint64_t until = rw_now_ms() + 3 * (uint64_t)rig_patience(c->r);

	while (!__atomic_load_n(&c->failed, __ATOMIC_ACQUIRE) && rw_now_ms() < until &&
		!has_gone_on(c, &since))
		rig_nap();
	if (__atomic_load_n(&c->failed, __ATOMIC_ACQUIRE)) {
		print_drops(c);
		fail_msg("%s", what_was_wrong(c));
	}
	if (rw_now_ms() >= until)
		fail_msg("the canary makes no progress");
	return (struct canary_report){
		.frame_ms = (double)__atomic_load_n(&c->longest_frame, __ATOMIC_RELAXED) / 1e6,
		.control_ms = (double)__atomic_load_n(&c->longest_answer, __ATOMIC_RELAXED) / 1e6,
		.frames = __atomic_load_n(&c->frames, __ATOMIC_RELAXED),
		.answers = __atomic_load_n(&c->answers, __ATOMIC_RELAXED),
	};
}

const char *canary_stop(struct canary *c)
{
	const char *wrong;

	__atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
	pthread_join(c->traffic, NULL);
	pthread_join(c->questions, NULL);
	wrong = c->failed ? what_was_wrong(c) : NULL;
	for (unsigned i = 0; i < c->watch.nfds; i++)
		close(c->watch.fds[i]);
	for (unsigned i = 0; i < 2; i++)
		fe_guest_free(c->guests[i]);
	close(c->ctl);
	free(c);
	return wrong;
}
