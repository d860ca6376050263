/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rw_loop.h"

#define LINE_MAX_BYTES 1024
#define LIMIT_BURST    10
#define LIMIT_STEP_MS  1000

static const char *const level_names[] = {
	[RW_LOG_ERROR] = "error",
	[RW_LOG_WARNING] = "warning",
	[RW_LOG_INFO] = "info",
	[RW_LOG_DEBUG] = "debug",
};

static atomic_int max_level = RW_LOG_INFO;

void rw_log_set_level(enum rw_log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

enum rw_log_level rw_log_get_level(void)
{
	return (enum rw_log_level)atomic_load_explicit(&max_level, memory_order_relaxed);
}

int rw_log_level_by_name(const char *name)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(level_names); i++) {
		if (!strcmp(name, level_names[i]))
			return (int)i;
	}
	return -EINVAL;
}

static void log_va(enum rw_log_level level, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	size_t len;
	int n;

	len = (size_t)snprintf(line, sizeof(line), "%s: ", level_names[level]);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	if (n < 0)
		return;
	len = RW_MIN(len + (size_t)n, sizeof(line) - 1);
	line[len++] = '\n';
	/* There is nowhere left to report that standard error is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void rw_log(enum rw_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > rw_log_get_level())
		return;
	va_start(ap, fmt);
	log_va(level, fmt, ap);
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
		return false;
	}
	limit->tokens--;
	return true;
}

void rw_log_limited(struct rw_log_limit *limit, enum rw_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > rw_log_get_level() || !limit_take(limit))
		return;
	if (limit->dropped) {
		rw_log(level, "(%u similar lines suppressed)", limit->dropped);
		limit->dropped = 0;
	}
	va_start(ap, fmt);
	log_va(level, fmt, ap);
	va_end(ap);
}
