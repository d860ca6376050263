/* SPDX-License-Identifier: BSD-3-Clause */
#include "live.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Seconds from one line to the next. */
#define TERMINAL_S 0.2
#define LOG_S      2.0 /* where standard error is not a terminal */

static struct {
	bool on, terminal, shown;
	double interval; /* seconds */
	double next;     /* time of the next line */
	char label[64];
	struct live_seen seen;
} live;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void live_line(
	char *line, size_t size, const struct live_seen *before, const struct bench_result *now)
{
	const struct bench_port_result *sum = &now->sum;
	double s = now->seconds - before->seconds;
	int len;

	if (now->seconds <= 0 || s <= 0) {
		snprintf(line, size, "warming up");
		return;
	}
	len = snprintf(line, size, "%6.1f s  sent %8.3f  received %8.3f Mpps %8.3f Gbit/s",
		now->seconds, (double)(sum->sent - before->sum.sent) / s / 1e6,
		(double)(sum->received - before->sum.received) / s / 1e6,
		8 * (double)(sum->received_bytes - before->sum.received_bytes) / s / 1e9);
	if (sum->wrong && len > 0 && (size_t)len < size)
		snprintf(line + len, size - (size_t)len, "  WRONG %" PRIu64, sum->wrong);
}

void live_begin(bool on, double interval)
{
	live.on = on;
	live.terminal = on && isatty(STDERR_FILENO);
	if (interval < 0)
		interval = live.terminal ? TERMINAL_S : LOG_S;
	live.interval = interval;
	live.next = now_s() + interval;
}

void live_trial(const char *fmt, ...)
{
	va_list ap;

	live.seen = (struct live_seen){0};
	va_start(ap, fmt);
	vsnprintf(live.label, sizeof(live.label), fmt, ap);
	va_end(ap);
}

void live_end(void)
{
	if (live.shown && live.terminal)
		fputs("\r\033[K", stderr);
	live.shown = false;
}

void bench_tick(const struct bench_result *so_far)
{
	char line[128];
	double now;

	if (!live.on)
		return;
	now = now_s();
	if (now < live.next)
		return;
	live.next = now + live.interval;
	live_line(line, sizeof(line), &live.seen, so_far);
	live.seen = (struct live_seen){.sum = so_far->sum, .seconds = so_far->seconds};
	fprintf(stderr, live.terminal ? "\r%s%s%s\033[K" : "%s%s%s\n", live.label,
		*live.label ? "  " : "", line);
	live.shown = true;
}
