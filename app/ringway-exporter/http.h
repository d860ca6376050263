/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What is served over HTTP, with libmicrohttpd in the loop of the process. GET and HEAD alone.
 *
 * Bounded: HTTP_CLIENTS_MAX connections; when the last one is taken, the quarter of them whose last
 * requests are the oldest is closed, and so it is when texts that slow clients have not taken yet
 * hold HTTP_HELD_MAX bytes. At twice as many bytes the answer is 503. Idle connections are closed
 * after HTTP_IDLE_S.
 *
 * Thread: the only one.
 */
#include <stdbool.h>

#include "events.h"
#include "rw_loop.h"
#include "source.h"

#define HTTP_CLIENTS_MAX 64
#define HTTP_IDLE_S      15
#define HTTP_HELD_MAX    (64u << 20)

struct http;

/*
 * Serve readings of `source`, `events` and the page on the listening socket `fd`, which is taken
 * over. `loopback`: the requests must name this host, or a foreign page that a browser shows could
 * read them. NULL with errno set.
 */
struct http *http_new(
	struct rw_loop *loop, int fd, bool loopback, struct source *source, struct events *events);
void http_free(struct http *http);
