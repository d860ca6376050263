/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One log, to standard error, a line at a time: "LEVEL: message", or "<N>message" with a priority
 * of syslog(3) if that is systemd's journal.
 *
 * Standard error may be a full pipe or a stopped terminal, and its status flags are shared with
 * others, so every write to it can block. Until rw_log_hold, lines are written by the caller. From
 * rw_log_begin to rw_log_end, a thread of the log writes them: the caller puts a line into a queue
 * without a lock and never waits. Lines that find the queue full are counted, and the count is
 * logged as soon as there is room.
 *
 * What a guest or a front-end can cause at will is logged with rw_log_limited, so that no peer
 * can fill a disk. Workers never log: they count, and tell the control thread. Lines of the level
 * "debug" have no limit.
 *
 * Thread: any; a line is written with one write(2).
 */
#include <stdarg.h>

#include "rw_base.h"

enum rw_log_level {
	RW_LOG_ERROR,   /* ringwayd cannot do what it was told to */
	RW_LOG_WARNING, /* something is wrong, the switch goes on */
	RW_LOG_INFO,    /* what an operator wants to know, such as a port that is added */
	RW_LOG_DEBUG,   /* every protocol message */
};

/* Lines that can wait for the thread of the log. A line has at most 1024 bytes. */
#define RW_LOG_QUEUE 256

/* Lines above this level are dropped. Default: RW_LOG_INFO. */
void rw_log_set_level(enum rw_log_level level);
enum rw_log_level rw_log_get_level(void);

/*
 * Find out whether standard error is the journal (systemd.exec(5), $JOURNAL_STREAM). Until this is
 * called it is not. Thread: one, before others log.
 */
void rw_log_find_journal(void);

/* The level called `name` ("error", "warning", "info", "debug"), or -EINVAL. */
int rw_log_level_by_name(const char *name);
const char *rw_log_level_name(enum rw_log_level level);

void rw_log(enum rw_log_level level, const char *fmt, ...) RW_PRINTF(2, 3);

/*
 * From now on lines wait for the thread of the log, which does not run yet. 0 or -errno: lines are
 * written by the caller as before. Thread: as rw_log_begin.
 */
int rw_log_hold(void);
/*
 * Start the thread of the log (rw_thread_start). It inherits the CPUs of the caller. A child of
 * fork(2) has no such thread and writes its lines itself. 0 or -errno: lines go where they went
 * before. Thread: one, which also calls rw_log_end.
 */
int rw_log_begin(void);
/*
 * Write what waits and stop the thread. Standard error that takes nothing for two seconds is given
 * up, and lines that come later are lost. Harmless without rw_log_begin.
 */
void rw_log_end(void);

/*
 * For a signal handler that ends the process: write the lines that wait and then `text`, as far as
 * standard error takes them at once. Calls only what a signal handler may call.
 */
void rw_log_crash(const char *text, size_t len);

/*
 * A bucket of 10 lines that refills with one line a second. Zero-initialise it. One bucket for each
 * peer that can cause lines, which outlives its connections: a peer uses up its own lines, and gets
 * no new ones by connecting again.
 */
struct rw_log_limit {
	uint64_t last_ms; /* when it was refilled last */
	uint64_t dropped; /* lines suppressed since the last one printed */
	uint64_t dropped_total;
	uint32_t tokens; /* lines left */
	bool started;    /* false until first use */
};

/*
 * As rw_log, at most as often as `limit` allows. A line that follows suppressed ones says how many
 * they were. Thread: the owner of `limit`.
 */
void rw_log_limited(struct rw_log_limit *limit, enum rw_log_level level, const char *fmt, ...)
	RW_PRINTF(3, 4);
void rw_log_limited_va(
	struct rw_log_limit *limit, enum rw_log_level level, const char *fmt, va_list ap);

#define rw_error(...)   rw_log(RW_LOG_ERROR, __VA_ARGS__)
#define rw_warning(...) rw_log(RW_LOG_WARNING, __VA_ARGS__)
#define rw_info(...)    rw_log(RW_LOG_INFO, __VA_ARGS__)
#define rw_debug(...)                                      \
	do {                                               \
		if (rw_log_get_level() >= RW_LOG_DEBUG)    \
			rw_log(RW_LOG_DEBUG, __VA_ARGS__); \
	} while (0)
