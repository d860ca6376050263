/* SPDX-License-Identifier: BSD-3-Clause */
#include "feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool ctl_feed_wants(const struct ctl_feed *f, unsigned kind, const char *const subjects[2])
{
	if (!(f->kinds >> kind & 1))
		return false;
	if (!f->subject[0])
		return true;
	for (int i = 0; i < 2; i++) {
		if (subjects[i] && !strcmp(subjects[i], f->subject))
			return true;
	}
	return false;
}

void ctl_feed_add(struct ctl_feed *f, const char *line, size_t len)
{
	if (f->lost || f->wait.len + len > CTL_EVENTS_MAX || buf_add(&f->wait, line, len))
		f->lost++;
}

void ctl_feed_lose(struct ctl_feed *f, uint64_t n)
{
	f->lost += n;
}

bool ctl_feed_waits(const struct ctl_feed *f)
{
	return f->wait.len || f->lost;
}

int ctl_feed_take(struct ctl_feed *f, struct buf *out)
{
	json_t *params;
	char *line;
	size_t len;
	int ret = 0;

	if (f->wait.len)
		ret = buf_add(out, f->wait.data + f->wait.start, f->wait.len);
	if (ret)
		return ret;
	buf_consume(&f->wait, f->wait.len);
	if (!f->lost)
		return 0;
	params = json_pack("{s:I}", "lost", (json_int_t)f->lost);
	line = ctl_event_line("lost", params, &len);
	json_decref(params);
	ret = line ? buf_add(out, line, len) : -ENOMEM;
	free(line);
	if (!ret)
		f->lost = 0;
	return ret;
}

void ctl_feed_end(struct ctl_feed *f)
{
	buf_consume(&f->wait, f->wait.len);
	*f = (struct ctl_feed){0};
}

static double now_s(void)
{
	struct timespec ts = {0};
	long ms;

	clock_gettime(CLOCK_REALTIME, &ts);
	ms = ts.tv_nsec / 1000000;
	return (double)ts.tv_sec + (double)ms / 1000;
}

char *ctl_event_line(const char *kind, const json_t *params, size_t *len)
{
	json_t *all = json_pack("{s:s, s:f}", "event", kind, "time", now_s()), *event;
	char *line;

	json_object_update(all, (json_t *)(uintptr_t)params);
	event = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", "event", "params", all);
	line = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(13));
	json_decref(event);
	if (!line)
		return NULL;
	*len = strlen(line);
	line[(*len)++] = '\n'; /* in place of the terminating zero */
	return line;
}
