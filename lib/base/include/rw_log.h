/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One log, to standard error, a line at a time: "LEVEL: message".
 *
 * What a guest or a front-end can cause at will is logged with rw_log_limited, so that no peer
 * can fill a disk. Workers never log: they count, and tell the control thread.
 *
 * Thread: any; a line is written with one write(2).
 */
#include "rw_base.h"

enum rw_log_level {
	RW_LOG_ERROR,   /* ringwayd cannot do what it was told to */
	RW_LOG_WARNING, /* something is wrong, the switch goes on */
	RW_LOG_INFO,    /* what an operator wants to know, such as a port that is added */
	RW_LOG_DEBUG,   /* every protocol message */
};

/* Lines above this level are dropped. Default: RW_LOG_INFO. */
void rw_log_set_level(enum rw_log_level level);
enum rw_log_level rw_log_get_level(void);

/* The level called `name` ("error", "warning", "info", "debug"), or -EINVAL. */
int rw_log_level_by_name(const char *name);

void rw_log(enum rw_log_level level, const char *fmt, ...) RW_PRINTF(2, 3);

/* A bucket of 10 lines that refills with one line a second. Zero-initialise it. */
struct rw_log_limit {
	uint64_t last_ms; /* when it was refilled last */
	uint32_t tokens;  /* lines left */
	uint32_t dropped; /* lines suppressed since the last one printed */
	bool started;     /* false until first use */
};

/* As rw_log, at most as often as `limit` allows. Thread: the owner of `limit`. */
void rw_log_limited(struct rw_log_limit *limit, enum rw_log_level level, const char *fmt, ...)
	RW_PRINTF(3, 4);

#define rw_error(...)   rw_log(RW_LOG_ERROR, __VA_ARGS__)
#define rw_warning(...) rw_log(RW_LOG_WARNING, __VA_ARGS__)
#define rw_info(...)    rw_log(RW_LOG_INFO, __VA_ARGS__)
#define rw_debug(...)                                      \
	do {                                               \
		if (rw_log_get_level() >= RW_LOG_DEBUG)    \
			rw_log(RW_LOG_DEBUG, __VA_ARGS__); \
	} while (0)
