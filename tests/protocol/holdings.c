/* SPDX-License-Identifier: BSD-3-Clause */
#include "holdings.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* ThreadSanitizer maps memory of its own for each thread that there was, and keeps some. */
#if defined(__SANITIZE_THREAD__)
#define SLACK_MAPPINGS 200
#else
#define SLACK_MAPPINGS 8
#endif
#define SLACK_KIB 512

static unsigned fds_count(const struct rig *r)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)r->pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

struct holdings holdings(const struct rig *r)
{
	struct holdings h = {.fds = fds_count(r)};
	char path[64], line[512];
	bool is_heap = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long kib;

		/* A mapping begins with its range. */
		if (strchr("0123456789abcdef", line[0])) {
			h.mappings++;
			is_heap = strstr(line, "[heap]");
		} else if (is_heap && sscanf(line, "Rss: %lu", &kib) == 1) {
			h.heap_kib += kib;
		}
	}
	fclose(f);
	return h;
}

/* A thread of the port closes and unmaps, in its own time. */
static bool has_settled(const struct rig *r, const struct holdings *before)
{
	struct holdings now = holdings(r);

	return now.fds <= before->fds && now.mappings <= before->mappings + SLACK_MAPPINGS;
}

bool holdings_have_grown(struct rig *r, const struct holdings *before)
{
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);
	struct holdings after;

	while (!has_settled(r, before) && rw_now_ms() < until)
		rig_nap();
	after = holdings(r);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	after.heap_kib = 0;
#endif
	return after.fds > before->fds || after.mappings > before->mappings + SLACK_MAPPINGS ||
		after.heap_kib >= before->heap_kib + SLACK_KIB;
}

void holdings_are_flat(struct rig *r, const struct holdings *before)
{
	assert_false(holdings_have_grown(r, before));
}
