/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's lines go through the log. DPDK by itself writes to standard error and to syslog, and
 * both can block.
 */
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

#include "daemon.h"
#include "rw_log.h"

#define LINE_MAX_BYTES 512

/* The line that has arrived in part. DPDK's stream has a lock, which is held here. */
static struct {
	char text[LINE_MAX_BYTES];
	size_t len;
} part;

static enum rw_log_level level_now(void)
{
	int level = rte_log_cur_msg_loglevel();

	if (level <= (int)RTE_LOG_ERR)
		return RW_LOG_ERROR;
	if (level <= (int)RTE_LOG_WARNING)
		return RW_LOG_WARNING;
	return level <= (int)RTE_LOG_INFO ? RW_LOG_INFO : RW_LOG_DEBUG;
}

static void part_flush(void)
{
	if (part.len)
		rw_log(level_now(), "dpdk: %.*s", (int)part.len, part.text);
	part.len = 0;
}

static ssize_t line_write(void *cookie, const char *data, size_t len)
{
	(void)cookie;
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n' || part.len == sizeof(part.text))
			part_flush();
		if (data[i] != '\n')
			part.text[part.len++] = data[i];
	}
	return (ssize_t)len;
}

int eal_log_begin(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = line_write});

	if (!f)
		return -ENOMEM;
	setvbuf(f, NULL, _IOLBF, 0);
	return rte_openlog_stream(f);
}
