/* SPDX-License-Identifier: BSD-3-Clause */
#include "http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics.h"
#include "page.h"
#include "rw_base.h"

/* Bytes of one connection's request, and of what is made of it. */
#define CONNECTION_MEMORY (16u << 10)

/* Milliseconds from one look at the connections to the next while there are many. */
#define CROWDED_MS 20ull

/* Milliseconds from one question for the hosts behind ports to the next. */
#define HOSTS_MS 50

#define TYPE_TEXT        "text/plain; charset=utf-8"
#define TYPE_JSON        "application/json"
#define TYPE_PROMETHEUS  "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* The page takes nothing from elsewhere, and nobody shows it inside another one. */
#define POLICY                                                                          \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " \
	"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* A document that is made of a reading. It is kept for others who ask while the reading is good. */
enum document { DOC_PROMETHEUS, DOC_OPENMETRICS, DOC_JSON, DOCUMENTS };

struct made {
	json_t *reading; /* NULL: none yet */
	struct MHD_Response *response;
};

struct http {
	struct rw_loop *loop;
	struct rw_watch watch;
	struct rw_timer timer;
	struct source *source;
	struct events *events;
	uint64_t hosts_ms; /* when hosts were asked for last */
	struct MHD_Daemon *mhd;
	bool loopback;
	struct made made[DOCUMENTS];
	size_t held; /* bytes of texts that are not freed yet */
	unsigned nclients;
	struct client {
		int fd; /* -1: free */
		bool closing;
		uint64_t since_us; /* when it came, or asked last */
	} clients[HTTP_CLIENTS_MAX];
};

/* ---- texts ---- */

/* A text that is being sent. */
struct text {
	struct http *http;
	size_t len;
	char *bytes;
};

static void text_free(void *cls)
{
	struct text *text = cls;

	text->http->held -= text->len;
	free(text->bytes);
	free(text);
}

static void headers_add(struct MHD_Response *response, const char *type)
{
	static const char *const headers[][2] = {
		{"Content-Security-Policy", POLICY},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Cache-Control", "no-store"},
	};

	MHD_add_response_header(response, "Content-Type", type);
	for (size_t i = 0; i < RW_ARRAY_SIZE(headers); i++)
		MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

/* A response of `bytes`, which are taken over. NULL: no memory. */
static struct MHD_Response *response_new(
	struct http *http, char *bytes, size_t len, const char *type)
{
	struct text *text = bytes ? malloc(sizeof(*text)) : NULL;
	struct MHD_Response *response;

	if (!text) {
		free(bytes);
		return NULL;
	}
	*text = (struct text){http, len, bytes};
	http->held += len;
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		len, bytes, text_free, text);
	if (response)
		headers_add(response, type);
	else
		text_free(text);
	return response;
}

/* A line for a person. */
static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *line)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(line), (void *)(uintptr_t)line, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ret;

	if (!response)
		return MHD_NO;
	headers_add(response, TYPE_TEXT);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	ret = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return ret;
}

/* ---- connections ---- */

/* Close the connections whose last request is the oldest. */
static void clients_close_oldest(struct http *http, unsigned n)
{
	while (n--) {
		struct client *oldest = NULL;

		for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
			struct client *c = &http->clients[i];

			if (c->fd >= 0 && !c->closing &&
				(!oldest || c->since_us < oldest->since_us))
				oldest = c;
		}
		if (!oldest)
			return;
		shutdown(oldest->fd, SHUT_RDWR);
		oldest->closing = true;
	}
}

static void client_notify(void *cls, struct MHD_Connection *connection, void **slot,
	enum MHD_ConnectionNotificationCode what)
{
	struct http *http = cls;
	const union MHD_ConnectionInfo *info;
	struct client *c = *slot;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (c) {
			c->fd = -1;
			http->nclients--;
		}
		return;
	}
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (size_t i = 0; info && i < HTTP_CLIENTS_MAX; i++) {
		c = &http->clients[i];
		if (c->fd >= 0)
			continue;
		*c = (struct client){.fd = info->connect_fd, .since_us = rw_now_us()};
		*slot = c;
		/* This one is the last that there is room for: the next ones shall find some. */
		if (++http->nclients >= HTTP_CLIENTS_MAX - 1)
			clients_close_oldest(http, HTTP_CLIENTS_MAX / 4);
		return;
	}
}

/* A request begins. */
static void client_asks(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *c = info ? info->socket_context : NULL;

	if (c)
		c->since_us = rw_now_us();
}

/* ---- documents ---- */

static struct MHD_Response *document_make(
	struct http *http, enum document which, const json_t *reading)
{
	static const char *const types[DOCUMENTS] = {[DOC_PROMETHEUS] = TYPE_PROMETHEUS,
		[DOC_OPENMETRICS] = TYPE_OPENMETRICS,
		[DOC_JSON] = TYPE_JSON};
	size_t len = 0;
	char *text;

	if (which == DOC_JSON) {
		text = json_dumps(reading, JSON_COMPACT);
		len = text ? strlen(text) : 0;
	} else {
		text = metrics_text(reading, which == DOC_OPENMETRICS, &len);
	}
	return response_new(http, text, len, types[which]);
}

static void made_drop(struct made *made)
{
	if (made->response)
		MHD_destroy_response(made->response);
	json_decref(made->reading);
	*made = (struct made){.reading = NULL};
}

static enum MHD_Result document_send(
	struct http *http, struct MHD_Connection *connection, enum document which)
{
	struct made *made = &http->made[which];
	json_t *reading = source_reading(http->source);

	if (made->reading != reading) {
		made_drop(made);
		if (http->held > HTTP_HELD_MAX)
			clients_close_oldest(http, HTTP_CLIENTS_MAX / 4);
		if (http->held > 2 * HTTP_HELD_MAX) {
			json_decref(reading);
			return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				"Slow clients hold too much: try again later.\n");
		}
		made->reading = json_incref(reading);
		made->response = document_make(http, which, reading);
	}
	json_decref(reading);
	if (!made->response)
		return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "There is no memory.\n");
	return MHD_queue_response(connection, MHD_HTTP_OK, made->response);
}

static enum MHD_Result send_metrics(struct http *http, struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	bool openmetrics = accept && strstr(accept, "application/openmetrics-text");

	return document_send(http, connection, openmetrics ? DOC_OPENMETRICS : DOC_PROMETHEUS);
}

/* ---- for the page ---- */

static enum MHD_Result send_switch(struct http *http, struct MHD_Connection *connection)
{
	return document_send(http, connection, DOC_JSON);
}

/* `value` is taken over; NULL: there is none. */
static enum MHD_Result json_send(
	struct http *http, struct MHD_Connection *connection, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	struct MHD_Response *response = NULL;
	enum MHD_Result ret;

	json_decref(value);
	if (text)
		response = response_new(http, text, strlen(text), TYPE_JSON);
	if (!response)
		return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "There is no memory.\n");
	ret = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result send_events(struct http *http, struct MHD_Connection *connection)
{
	const char *from = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "from");

	return json_send(
		http, connection, events_since(http->events, from ? strtoull(from, NULL, 10) : 0));
}

/* Whoever asks for the hosts of many ports makes the switch look through its table each time. */
static enum MHD_Result send_hosts(struct http *http, struct MHD_Connection *connection)
{
	const char *port = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "port");
	json_t *answer = NULL;

	if (rw_now_ms() - http->hosts_ms >= HOSTS_MS) {
		answer = source_ask(http->source, "fdb.list", json_pack("{s:s*}", "port", port));
		http->hosts_ms = rw_now_ms();
	}
	if (!answer)
		answer = json_pack("{s:[], s:n}", "entries", "next");
	return json_send(http, connection, answer);
}

static enum MHD_Result send_file(struct MHD_Connection *connection, const struct page_file *file)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		file->len, (void *)(uintptr_t)file->bytes, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ret;

	if (!response)
		return MHD_NO;
	headers_add(response, file->type);
	ret = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return ret;
}

/* ---- requests ---- */

static const struct route {
	const char *path;
	enum MHD_Result (*send)(struct http *http, struct MHD_Connection *connection);
} routes[] = {
	{"/metrics", send_metrics},
	{"/api/switch", send_switch},
	{"/api/events", send_events},
	{"/api/hosts", send_hosts},
};

/* Whether a Host header names this host: a number of its loopback, or "localhost". */
static bool host_is_local(const char *host)
{
	static const char *const names[] = {"localhost", "[::1]"};
	size_t n = strcspn(host, ":");

	if (host[0] == '[')
		n = strcspn(host, "]") + 1;
	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++) {
		if (n == strlen(names[i]) && !strncasecmp(host, names[i], n))
			return true;
	}
	return !strncmp(host, "127.", 4) && strspn(host, "0123456789.") == n;
}

static enum MHD_Result request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_len,
	void **state)
{
	struct http *http = cls;
	const char *host;

	(void)version, (void)upload;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return *upload_len ? MHD_NO
				   : say(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
					     "This only reads: GET or HEAD.\n");
	/* An answer to the head alone would end the connection: wait for the end of the request. */
	if (!*state) {
		*state = http;
		client_asks(connection);
		return MHD_YES;
	}
	host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	if (http->loopback && host && !host_is_local(host))
		return say(connection, MHD_HTTP_FORBIDDEN,
			"The request names another host: use localhost.\n");
	if (*upload_len) {
		*upload_len = 0; /* a body, which nobody wants */
		return MHD_YES;
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(routes); i++) {
		if (!strcmp(url, routes[i].path))
			return routes[i].send(http, connection);
	}
	for (unsigned i = 0; i < page_nfiles; i++) {
		if (!strcmp(url, page_files[i].path))
			return send_file(connection, &page_files[i]);
	}
	return say(connection, MHD_HTTP_NOT_FOUND, "There is no such page: see / or /metrics.\n");
}

/* ---- the loop ---- */

static void run(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait;
	uint64_t ms = UINT64_MAX;

	MHD_run(http->mhd);
	if (MHD_get_timeout(http->mhd, &wait) == MHD_YES)
		ms = wait;
	/* Connections that were closed make room in the run behind that which noticed it. */
	if (http->nclients >= HTTP_CLIENTS_MAX / 2)
		ms = RW_MIN(ms, CROWDED_MS);
	if (ms < UINT64_MAX)
		rw_timer_start(http->loop, &http->timer, RW_MIN(ms, 1000ull), 0);
	else
		rw_timer_stop(http->loop, &http->timer);
}

static void run_ready(void *arg, uint32_t events)
{
	(void)events;
	run(arg);
}

static void run_due(void *arg)
{
	run(arg);
}

struct http *http_new(
	struct rw_loop *loop, int fd, bool loopback, struct source *source, struct events *events)
{
	struct http *http = calloc(1, sizeof(*http));
	const union MHD_DaemonInfo *info = NULL;

	if (!http)
		return NULL;
	*http = (struct http){
		.loop = loop, .source = source, .events = events, .loopback = loopback};
	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++)
		http->clients[i].fd = -1;
	http->watch = (struct rw_watch){.fn = run_ready, .arg = http};
	http->timer = (struct rw_timer){.fn = run_due, .arg = http};
	http->mhd = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, request, http,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, HTTP_CLIENTS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION, client_notify, http,
		MHD_OPTION_END);
	if (http->mhd)
		info = MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info && !rw_loop_add(loop, &http->watch, info->epoll_fd, EPOLLIN))
		return http;
	http_free(http);
	errno = EIO;
	return NULL;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	rw_loop_del(http->loop, &http->watch);
	rw_timer_stop(http->loop, &http->timer);
	for (size_t i = 0; i < DOCUMENTS; i++)
		made_drop(&http->made[i]);
	if (http->mhd)
		MHD_stop_daemon(http->mhd);
	free(http);
}
