/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connector.h"
#include "rw_base.h"

#define LINE_MAX_BYTES (64u << 10) /* of one event; a longer one ends the connection */
#define CHECK_MS       1000

static const char subscription[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\"}\n";

struct events {
	struct rw_loop *loop;
	const char *path;
	struct rw_watch watch; /* of the connection, if there is one */
	struct rw_timer timer;
	uint64_t asked_ms; /* when somebody asked last */
	uint64_t next;     /* number of the next event */
	json_t *kept[EVENTS_KEPT];
	size_t have; /* bytes of a line that is not complete */
	char line[LINE_MAX_BYTES];
};

static void disconnect(struct events *ev)
{
	int fd = ev->watch.fd;

	if (!ev->watch.active)
		return;
	rw_loop_del(ev->loop, &ev->watch);
	close(fd);
	ev->have = 0;
}

/* One line that the switch sent: an event, or the answer to the subscription. */
static void line_take(struct events *ev, const char *line, size_t len)
{
	json_t *message = json_loadb(line, len, 0, NULL), *event, **place;

	event = json_object_get(message, "params");
	if (json_is_object(event)) {
		place = &ev->kept[ev->next % EVENTS_KEPT];
		json_object_set_new(event, "number", json_integer((json_int_t)ev->next++));
		json_decref(*place);
		*place = json_incref(event);
	}
	json_decref(message);
}

static void lines_take(struct events *ev)
{
	char *end, *at = ev->line;

	while ((end = memchr(at, '\n', ev->have))) {
		line_take(ev, at, (size_t)(end - at));
		ev->have -= (size_t)(end + 1 - at);
		at = end + 1;
	}
	memmove(ev->line, at, ev->have);
}

static void ready(void *arg, uint32_t what)
{
	struct events *ev = arg;
	ssize_t n;

	(void)what;
	n = recv(ev->watch.fd, ev->line + ev->have, sizeof(ev->line) - ev->have, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		ev->have += (size_t)n;
		lines_take(ev);
	}
	if (n <= 0 || ev->have == sizeof(ev->line))
		disconnect(ev);
}

static void subscribe(struct events *ev)
{
	int fd = connector_connect(ev->path);

	if (fd < 0)
		return;
	if (send(fd, subscription, sizeof(subscription) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
		rw_loop_add(ev->loop, &ev->watch, fd, EPOLLIN))
		close(fd);
}

/* Once a second, while somebody listens. */
static void due(void *arg)
{
	struct events *ev = arg;

	if (rw_now_ms() - ev->asked_ms > EVENTS_IDLE_MS) {
		disconnect(ev);
		rw_timer_stop(ev->loop, &ev->timer);
	} else if (!ev->watch.active) {
		subscribe(ev);
	}
}

struct events *events_new(struct rw_loop *loop, const char *path)
{
	struct events *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return NULL;
	ev->loop = loop;
	ev->path = path;
	ev->watch = (struct rw_watch){.fn = ready, .arg = ev};
	ev->timer = (struct rw_timer){.fn = due, .arg = ev};
	return ev;
}

void events_free(struct events *ev)
{
	if (!ev)
		return;
	disconnect(ev);
	rw_timer_stop(ev->loop, &ev->timer);
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		json_decref(ev->kept[i]);
	free(ev);
}

json_t *events_since(struct events *ev, uint64_t from)
{
	uint64_t oldest = ev->next > EVENTS_KEPT ? ev->next - EVENTS_KEPT : 0;
	json_t *list = json_array();

	ev->asked_ms = rw_now_ms();
	if (!ev->timer.active)
		rw_timer_start(ev->loop, &ev->timer, 0, CHECK_MS);
	/* A number that is not there yet is of an exporter that ran before. */
	from = from > ev->next ? oldest : RW_MAX(from, oldest);
	for (; from < ev->next; from++)
		json_array_append(list, ev->kept[from % EVENTS_KEPT]);
	return json_pack("{s:I, s:o}", "next", (json_int_t)ev->next, "events", list);
}
