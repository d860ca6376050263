/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log_queue.h"
#include "rw_loop.h"
#include "rw_sys.h"

#define LIMIT_BURST   10
#define LIMIT_STEP_MS 1000
#define END_WAIT_S    2

static const char *const level_names[] = {
	[RW_LOG_ERROR] = "error",
	[RW_LOG_WARNING] = "warning",
	[RW_LOG_INFO] = "info",
	[RW_LOG_DEBUG] = "debug",
};

/* How a line begins: for people, and for the journal (sd-daemon(3), syslog(3)). */
static const char *const heads[][4] = {
	{
		[RW_LOG_ERROR] = "error: ",
		[RW_LOG_WARNING] = "warning: ",
		[RW_LOG_INFO] = "info: ",
		[RW_LOG_DEBUG] = "debug: ",
	},
	{
		[RW_LOG_ERROR] = "<3>",
		[RW_LOG_WARNING] = "<4>",
		[RW_LOG_INFO] = "<6>",
		[RW_LOG_DEBUG] = "<7>",
	},
};

/* Who writes a line. */
enum log_way {
	LOG_DIRECT, /* whoever logs it */
	LOG_QUEUED, /* the thread */
	LOG_LOST,   /* nobody: standard error takes nothing */
};

static atomic_int max_level = RW_LOG_INFO;
static atomic_int way = LOG_DIRECT;
static bool to_journal;

/* The thread and what it shares with those that log. */
static struct {
	struct log_queue queue;
	atomic_uint_fast64_t lost; /* lines that found the queue full, not told yet */
	atomic_bool stop;
	sem_t ready; /* posted after each line, and after `stop` */
	sem_t ended;
	bool runs; /* `thread`; otherwise lines wait for it */
	pthread_t thread;
} writer;

void rw_log_set_level(enum rw_log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

enum rw_log_level rw_log_get_level(void)
{
	return (enum rw_log_level)atomic_load_explicit(&max_level, memory_order_relaxed);
}

const char *rw_log_level_name(enum rw_log_level level)
{
	return level_names[level];
}

int rw_log_level_by_name(const char *name)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(level_names); i++) {
		if (!strcmp(name, level_names[i]))
			return (int)i;
	}
	return -EINVAL;
}

void rw_log_find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	to_journal = stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
		!fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

/* ---- writing ---- */

static void line_write(const char *line, size_t len)
{
	/* There is nowhere left to report that standard error is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

static void line_queue(const char *line, size_t len)
{
	size_t pos;
	struct log_slot *slot = log_queue_claim(&writer.queue, &writer.queue.tail, 0, &pos);

	if (!slot) {
		atomic_fetch_add_explicit(&writer.lost, 1, memory_order_relaxed);
		return;
	}
	memcpy(slot->text, line, len);
	slot->len = len;
	log_queue_publish(slot, pos + 1);
	sem_post(&writer.ready);
}

/* The line that has waited longest, to `line`. Its length; 0: none waits. */
static size_t line_take(char line[LOG_LINE_MAX])
{
	size_t pos, len;
	struct log_slot *slot = log_queue_claim(&writer.queue, &writer.queue.head, 1, &pos);

	if (!slot)
		return 0;
	len = slot->len;
	memcpy(line, slot->text, len);
	log_queue_publish(slot, pos + RW_LOG_QUEUE);
	return len;
}

static void lost_tell(void)
{
	uint64_t n = atomic_exchange_explicit(&writer.lost, 0, memory_order_relaxed);
	char line[128];
	int len;

	if (!n)
		return;
	len = snprintf(line, sizeof(line),
		"%s%ju line(s) of the log are lost: standard error was not read in time\n",
		heads[to_journal][RW_LOG_WARNING], (uintmax_t)n);
	line_write(line, (size_t)len);
}

static void lines_write(void)
{
	char line[LOG_LINE_MAX];
	size_t len;

	while ((len = line_take(line)))
		line_write(line, len);
	lost_tell();
}

static void *writer_run(void *arg)
{
	bool stop = false;

	(void)arg;
	/* By itself: to name another thread is to open a file. */
	pthread_setname_np(pthread_self(), "rw-log");
	while (!stop) {
		if (sem_wait(&writer.ready))
			continue; /* a debugger interrupted it */
		/* Read before the queue, so that what was logged before rw_log_end is written. */
		stop = atomic_load(&writer.stop);
		lines_write();
	}
	sem_post(&writer.ended);
	return NULL;
}

static void child_begins(void)
{
	atomic_store(&way, LOG_DIRECT);
}

int rw_log_hold(void)
{
	static bool watches_fork;

	log_queue_init(&writer.queue);
	atomic_store(&writer.stop, false);
	if (sem_init(&writer.ready, 0, 0) || sem_init(&writer.ended, 0, 0))
		return -errno;
	if (!watches_fork && pthread_atfork(NULL, NULL, child_begins))
		return -ENOMEM;
	watches_fork = true;
	writer.runs = false;
	atomic_store(&way, LOG_QUEUED);
	return 0;
}

int rw_log_begin(void)
{
	int ret = atomic_load(&way) == LOG_QUEUED ? 0 : rw_log_hold();

	if (ret)
		return ret;
	ret = rw_thread_start(&writer.thread, NULL, writer_run, NULL);
	writer.runs = !ret;
	return ret;
}

void rw_log_end(void)
{
	struct timespec until;
	int ret;

	if (atomic_load(&way) != LOG_QUEUED)
		return;
	if (!writer.runs) {
		atomic_store(&way, LOG_DIRECT);
		lines_write();
		return;
	}
	atomic_store(&writer.stop, true);
	sem_post(&writer.ready);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += END_WAIT_S;
	do {
		ret = sem_timedwait(&writer.ended, &until);
	} while (ret && errno == EINTR);
	if (ret) {
		/* It is in a write that does not return. The end of the process ends it. */
		atomic_store(&way, LOG_LOST);
		pthread_detach(writer.thread);
		return;
	}
	pthread_join(writer.thread, NULL);
	atomic_store(&way, LOG_DIRECT);
	lines_write();
}

void rw_log_crash(const char *text, size_t len)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[LOG_LINE_MAX];
	size_t n;

	if (atomic_load(&way) != LOG_DIRECT) {
		while (poll(&out, 1, 0) > 0 && (n = line_take(line)))
			line_write(line, n);
	}
	if (poll(&out, 1, 0) > 0)
		line_write(text, len);
}

/* ---- lines ---- */

/* `dropped`: lines suppressed before this one. */
static void log_va(enum rw_log_level level, uint64_t dropped, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX], tail[64] = "\n";
	size_t len, room;
	int n;

	if (dropped)
		snprintf(tail, sizeof(tail), " (%ju line(s) suppressed before)\n",
			(uintmax_t)dropped);
	room = sizeof(line) - strlen(tail);
	len = (size_t)snprintf(line, room, "%s", heads[to_journal][level]);
	n = vsnprintf(line + len, room - len, fmt, ap);
	if (n < 0)
		return;
	len = RW_MIN(len + (size_t)n, room - 1);
	memcpy(line + len, tail, strlen(tail));
	len += strlen(tail);
	switch (atomic_load_explicit(&way, memory_order_relaxed)) {
	case LOG_DIRECT:
		line_write(line, len);
		break;
	case LOG_QUEUED:
		line_queue(line, len);
		break;
	default:
		break;
	}
}

void rw_log(enum rw_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > rw_log_get_level())
		return;
	va_start(ap, fmt);
	log_va(level, 0, fmt, ap);
	va_end(ap);
}

/* Whether `limit` has a line left; takes it. */
static bool limit_take(struct rw_log_limit *limit)
{
	uint64_t now = rw_now_ms(), steps;

	if (!limit->started) {
		limit->started = true;
		limit->tokens = LIMIT_BURST;
		limit->last_ms = now;
	}
	steps = (now - limit->last_ms) / LIMIT_STEP_MS;
	if (steps) {
		limit->last_ms += steps * LIMIT_STEP_MS;
		limit->tokens = (uint32_t)RW_MIN(limit->tokens + steps, LIMIT_BURST);
	}
	if (!limit->tokens) {
		limit->dropped++;
		limit->dropped_total++;
		return false;
	}
	limit->tokens--;
	return true;
}

void rw_log_limited_va(
	struct rw_log_limit *limit, enum rw_log_level level, const char *fmt, va_list ap)
{
	if (level > rw_log_get_level() || !limit_take(limit))
		return;
	log_va(level, limit->dropped, fmt, ap);
	limit->dropped = 0;
}

void rw_log_limited(struct rw_log_limit *limit, enum rw_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rw_log_limited_va(limit, level, fmt, ap);
	va_end(ap);
}
