/* SPDX-License-Identifier: BSD-3-Clause */
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "connector.h"
#include "control.h"
#include "rw_base.h"
#include "rw_log.h"
#include "rw_loop.h"
#include "rw_sock.h"

/* A reading is good for so long, and for so many times what it took. */
#define FRESH_MS     200
#define FRESH_FACTOR 4

struct source {
	const char *path;
	int fd;          /* -1: not connected */
	json_t *reading; /* NULL: none yet */
	uint64_t fresh_until_ms;
	bool was_up, said;
};

/* What a reading consists of. */
static const struct question {
	const char *key, *method;
	json_type type;
} questions[] = {
	{"version", "version", JSON_OBJECT},
	{"ports", "port.list", JSON_ARRAY},
	{"stats", "port.stats", JSON_ARRAY},
	{"workers", "worker.list", JSON_ARRAY},
	{"bridges", "bridge.list", JSON_ARRAY},
	{"fdb", "fdb.list", JSON_OBJECT},
	{"groups", "group.list", JSON_OBJECT},
	{"captures", "capture.list", JSON_ARRAY},
	{"counts", "count.list", JSON_ARRAY},
};

/* And of what is counted on request, while it is. Talkers may be anybody: metrics.md. */
static const struct question counted[] = {
	{"sizes", "sizes.show", JSON_ARRAY},
	{"vlans", "vlans.show", JSON_ARRAY},
	{"latency", "latency.show", JSON_ARRAY},
};

struct source *source_new(const char *path)
{
	struct source *s = calloc(1, sizeof(*s));

	if (s)
		*s = (struct source){.path = path, .fd = -1};
	return s;
}

static void disconnect(struct source *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	disconnect(s);
	json_decref(s->reading);
	free(s);
}

/* The switch as it was when the connection was made may be another one by now: try again once. */
static json_t *ask(struct source *s, const char *method, const json_t *params, uint64_t deadline_ms,
	struct ctl_failure *fail)
{
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		bool old = s->fd >= 0;
		uint64_t now = rw_now_ms();
		json_t *result;

		if (!old)
			s->fd = connector_connect(s->path);
		if (s->fd < 0)
			return ctl_fail(fail, CTL_ERR_INTERNAL, "%s: %s", s->path,
				rw_sock_connect_strerror(s->fd));
		result = ctl_call(s->fd, method, params,
			now < deadline_ms ? (int)(deadline_ms - now) : 0, fail);
		if (result || fail->code != CTL_ERR_INTERNAL)
			return result;
		disconnect(s);
		if (!old)
			break;
	}
	return NULL;
}

json_t *source_ask(struct source *s, const char *method, json_t *params)
{
	struct ctl_failure fail;
	json_t *result = ask(s, method, params, rw_now_ms() + SOURCE_TIMEOUT_MS, &fail);

	json_decref(params);
	return result;
}

/* One question into the reading. False: `fail` says why not. */
static bool read_one(struct source *s, json_t *reading, const struct question *q,
	const json_t *params, uint64_t deadline_ms, struct ctl_failure *fail)
{
	json_t *answer = ask(s, q->method, params, deadline_ms, fail);
	bool good = answer && json_typeof(answer) == q->type;

	if (answer && !good)
		ctl_fail(fail, CTL_ERR_INTERNAL, "an unexpected answer to %s", q->method);
	if (good)
		json_object_set(reading, q->key, answer);
	json_decref(answer);
	return good;
}

static bool is_counted(const json_t *reading, const char *what)
{
	const json_t *counts = json_object_get(reading, "counts"), *row;

	for (size_t i = 0; (row = json_array_get(counts, i)); i++) {
		const char *name = json_string_value(json_object_get(row, "what"));

		if (name && !strcmp(name, what))
			return json_is_true(json_object_get(row, "running"));
	}
	return false;
}

/* Ask all questions. False: `fail` says why not. */
static bool read_all(struct source *s, json_t *reading, struct ctl_failure *fail)
{
	uint64_t deadline_ms = rw_now_ms() + SOURCE_TIMEOUT_MS;
	json_t *params;
	bool good = true;

	for (size_t i = 0; good && i < RW_ARRAY_SIZE(questions); i++)
		good = read_one(s, reading, &questions[i], NULL, deadline_ms, fail);
	for (size_t i = 0; good && i < RW_ARRAY_SIZE(counted); i++) {
		const struct question *q = &counted[i];

		if (!is_counted(reading, q->key))
			continue;
		params = strcmp(q->key, "latency") ? NULL : json_pack("{s:b}", "histogram", 1);
		/* The switch refuses if somebody has stopped it since it was listed. */
		good = read_one(s, reading, q, params, deadline_ms, fail) ||
			fail->code == CTL_ERR_FAILED;
		json_decref(params);
	}
	return good;
}

/* One line when the switch comes or goes. */
static void tell(struct source *s, bool up, const char *why)
{
	if (s->said && s->was_up == up)
		return;
	if (up)
		rw_info("the switch answers at %s", s->path);
	else
		rw_warning("the switch does not answer: %s", why);
	s->said = true;
	s->was_up = up;
}

static double now_s(void)
{
	struct timeval tv;

	gettimeofday(&tv, NULL);
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void read_anew(struct source *s)
{
	json_t *reading = json_pack("{s:b, s:f}", "up", 1, "time", now_s()), *away;
	struct ctl_failure fail = {0};
	uint64_t began_us = rw_now_us(), took_us;
	bool up = reading && read_all(s, reading, &fail);

	took_us = rw_now_us() - began_us;
	if (!up) {
		away = json_pack("{s:b, s:O*, s:s}", "up", 0, "time",
			json_object_get(reading, "time"), "error",
			fail.message[0] ? fail.message : "no memory");
		json_decref(reading);
		reading = away;
	}
	json_object_set_new(reading, "took", json_real((double)took_us / 1e6));
	tell(s, up, fail.message);
	json_decref(s->reading);
	s->reading = reading;
	s->fresh_until_ms = rw_now_ms() + RW_MAX(FRESH_MS, FRESH_FACTOR * took_us / 1000);
}

json_t *source_reading(struct source *s)
{
	if (!s->reading || rw_now_ms() >= s->fresh_until_ms)
		read_anew(s);
	return json_incref(s->reading);
}
