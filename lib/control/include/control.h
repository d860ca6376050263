/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The control socket: JSON-RPC 2.0 (jsonrpc.org/specification) over a Unix stream socket, one JSON
 * text per line in both directions. Requests, notifications and batches are understood; errors use
 * the codes of the specification. Blank lines are ignored, and the end of the stream ends a line.
 * It knows no switch: a program hands in a table of methods.
 *
 * A client that sends nonsense gets an error object, and one that sends an endless line gets one
 * and is closed. Nobody waits for a client: the socket is non-blocking, and answers are made in
 * turns (rw_loop.h). An item of a turn is one request, also of a batch, or one element of a method
 * that lists. A client that does not read its answers is not served further while CTL_OUTPUT_HIGH
 * bytes wait for it, and is closed when it has taken nothing for CTL_STALL_MS. So the answers that
 * wait for a client take CTL_OUTPUT_HIGH bytes and one item at most.
 *
 * Thread: control.
 */
#include <jansson.h>

#include "rw_loop.h"
#include "rw_sock.h"

#define CTL_LINE_MAX    (1u << 20)   /* bytes of one JSON text, without its newline */
#define CTL_DEPTH_MAX   32u          /* values inside values in it */
#define CTL_OUTPUT_HIGH (256u << 10) /* bytes of answers that wait for one client */
#define CTL_STALL_MS    30000        /* how long a client may take none of them */
#define CTL_OUTPUT_MAX  (16u << 20)  /* bytes of one item; and of an answer that ctl_call takes */
#define CTL_CLIENTS_MAX 64           /* at once, one of them root; one more is told so and closed */
#define CTL_BATCH_MAX   256          /* requests in one batch */
#define CTL_EVENTS_MAX  (128u << 10) /* bytes of events that wait for one client */
#define CTL_SUBJECT_MAX 63           /* bytes of the name of what an event is about */

/* JSON-RPC error codes. Program-defined errors use CTL_ERR_FAILED with a message. */
enum ctl_error {
	CTL_ERR_PARSE = -32700,
	CTL_ERR_REQUEST = -32600,
	CTL_ERR_METHOD = -32601,
	CTL_ERR_PARAMS = -32602,
	CTL_ERR_INTERNAL = -32603,
	CTL_ERR_FAILED = -32000, /* the method ran and could not do it; the message says why */
	CTL_LATER = 1,           /* no error: see ctl_later */
};

/* What a method returns besides its result. */
struct ctl_failure {
	int code;          /* 0: none; enum ctl_error */
	char message[512]; /* one line for a person; other than printable ASCII becomes '?' */
	char at[128];      /* the value of `params` that is wrong: "config/ports/vm1"; "": unsaid */
};

/* The types that a value may have, as a set of bits. */
#define CTL_OBJECT  (1u << JSON_OBJECT)
#define CTL_ARRAY   (1u << JSON_ARRAY)
#define CTL_STRING  (1u << JSON_STRING)
#define CTL_INTEGER (1u << JSON_INTEGER)
#define CTL_NUMBER  (1u << JSON_INTEGER | 1u << JSON_REAL)
#define CTL_BOOLEAN (1u << JSON_TRUE | 1u << JSON_FALSE)
#define CTL_NULL    (1u << JSON_NULL)

/* A member of an object: of `params`, of a result, or of an event. */
struct ctl_field {
	const char *name; /* NULL ends a list of fields */
	unsigned types;   /* CTL_* */
	bool optional;    /* it may be absent */
	const char *help; /* what it is, as the rest of a line after "must be" */
};

struct ctl_method {
	const char *name; /* "port.list" */
	/*
	 * `params` is an object, an array or NULL (borrowed). Returns a new reference, or NULL with
	 * `fail` filled in. It must not free the server that calls it.
	 */
	json_t *(*fn)(void *ctx, const json_t *params, struct ctl_failure *fail);
	/*
	 * Instead of `fn`, for a result that is an array without a bound: its next element, or NULL
	 * behind the last one. `*cursor` is 0 at first, and the method's own. Other work is done
	 * between two elements. NULL with `fail` filled in, as the first answer: there is no list.
	 */
	json_t *(*each)(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail);
	/*
	 * The client that called `fn`, which said ctl_later, is gone. NULL: nothing is to be done.
	 */
	void (*gone)(void *ctx, const json_t *params);
	const char *help;               /* one line; NULL: `params` are checked by `fn` alone */
	const struct ctl_field *params; /* checked before `fn` runs; NULL: it takes none */
	/*
	 * Members of `params` besides, from their names to their schemas, as a new object; `fn`
	 * checks them. NULL: any other member is refused.
	 */
	json_t *(*more)(void);
	const struct ctl_field *result; /* its members, or of each element; NULL: it has none */
	bool list;                      /* `fn` returns an array of them */
	bool open;                      /* the result may have other members */
};

/* The rows of a method, the last one included. */
#define CTL_FIELDS(...) ((const struct ctl_field[]){__VA_ARGS__, {0}})

/* Fill in `fail` and return NULL, for the last line of a method. */
json_t *ctl_fail(struct ctl_failure *fail, int code, const char *fmt, ...) RW_PRINTF(3, 4);

/*
 * For `fn`: it cannot answer yet. It is called again with the same `params`, at the same place in
 * memory, in a later turn; other clients are served in between. Returns NULL.
 */
json_t *ctl_later(struct ctl_failure *fail);

/* A kind of event. Its fields come behind "event", the name of the kind, and "time". */
struct ctl_event_kind {
	const char *name, *help;
	const struct ctl_field *fields;
};

/*
 * What there is, for people and programs: {"methods": [...], "events": [...], "errors": [...]},
 * where params, results and events are JSON Schemas (json-schema.org, 2020-12). A new reference.
 */
json_t *ctl_describe(const struct ctl_method *methods, size_t nmethods,
	const struct ctl_event_kind *kinds, unsigned nkinds);

/*
 * Answer one JSON text: the response as a new string (free()), or NULL when none is due (a
 * notification, no memory, or a method that said ctl_later). No I/O: this is what the socket uses
 * and what tests call.
 */
char *ctl_answer(
	const struct ctl_method *methods, size_t nmethods, void *ctx, const char *text, size_t len);

struct ctl_server;

/*
 * Listen on `path` (mode 0600) and serve `methods`, which must outlive the server, as must `loop`.
 * A socket file that nobody listens on is replaced. NULL with errno set: EADDRINUSE when a live
 * process owns it, ENAMETOOLONG, ENOENT, EACCES, ...
 */
struct ctl_server *ctl_server_new(struct rw_loop *loop, const char *path,
	const struct ctl_method *methods, size_t nmethods, void *ctx);
/* A socket that listens at `path`, which is the file `id` unless somebody replaced that. */
struct ctl_listener {
	int fd;
	const char *path;
	struct rw_sock_id id;
};
/* The same on a socket that listens already and is taken over. NULL with errno set: it is not. */
struct ctl_server *ctl_server_take(struct rw_loop *loop, const struct ctl_listener *at,
	const struct ctl_method *methods, size_t nmethods, void *ctx);
/* The socket of a server, which stays the server's, as does `path`. */
struct ctl_listener ctl_server_listener(const struct ctl_server *srv);
/*
 * For a method: take the connection of the client that called it. The server sends the answer and
 * nothing more, reads nothing more, and forgets the client; the client waits for the answer before
 * it sends anything else. The descriptor, which is the caller's, or -errno; -ENOTCONN: no client of
 * the server calls.
 */
int ctl_take_caller(struct ctl_server *srv);
/* Close a client that takes nothing for `ms` instead of CTL_STALL_MS. */
void ctl_server_set_stall(struct ctl_server *srv, uint64_t ms);

/*
 * Events are notifications of the method "event" to the clients that subscribed. At most
 * CTL_EVENTS_MAX bytes of them wait for a client; one that reads too slowly misses some and hears
 * how many, in an event of the kind "lost". A client that subscribed is not closed for reading
 * nothing.
 *
 * `kinds`, at most 31 of them, must outlive the server. `wanted`, which may be NULL, is called when
 * the kinds that anybody wants change.
 */
void ctl_server_events(struct ctl_server *srv, const struct ctl_event_kind *kinds, unsigned nkinds,
	void (*wanted)(void *arg, uint32_t kinds), void *arg);
/* The kinds that anybody wants, as bits. */
uint32_t ctl_server_wanted(const struct ctl_server *srv);
/*
 * For a method: have the client that called it get these kinds of events (0: none), of `subject`
 * alone unless it is "". It replaces what the client wanted before. 0; -ENOTCONN: no client of the
 * server calls; -ENAMETOOLONG.
 */
int ctl_subscribe(struct ctl_server *srv, uint32_t kinds, const char *subject);
/*
 * For a method: take the descriptor that the client sent with its request (SCM_RIGHTS), the latest
 * of its connection: it is foreign, so the caller gives it to ctl_close_fd in the end, which does
 * not wait. -ENOENT: there is none; -ENOTCONN: no client of the server calls.
 */
int ctl_take_fd(struct ctl_server *srv);
void ctl_close_fd(struct ctl_server *srv, int fd);
/*
 * For a method: have `fn` called once the connection of the client that calls is closed. 0;
 * -ENOTCONN; -EBUSY: it has something tied to it. ctl_untie: no more.
 */
int ctl_tie(struct ctl_server *srv, void (*fn)(void *arg), void *arg);
void ctl_untie(struct ctl_server *srv, void *arg);
/* An event, about one or two subjects, or NULL. `params` is taken over. */
void ctl_emit(struct ctl_server *srv, unsigned kind, const char *const subjects[2], json_t *params);
/* So many events of one of these kinds are lost. */
void ctl_lose(struct ctl_server *srv, uint32_t kinds, uint64_t n);

/*
 * If the socket file is no longer at its path, make a new one: clients that are there stay. It
 * tries each time that this is called, and says once what is in the way.
 */
void ctl_server_mend(struct ctl_server *srv);

/* Close all clients and remove the socket file if it is still this server's. NULL is fine. */
void ctl_server_free(struct ctl_server *srv);

/*
 * The client's side, blocking: send one call on the connected socket `fd` and wait `timeout_ms` for
 * its answer. The result as a new reference, or NULL with `fail` filled in: the error that the
 * server sent, or CTL_ERR_INTERNAL for a broken or silent connection, which is then to be closed,
 * as a late answer would be taken for the next one's. `params` may be NULL; it is borrowed.
 * Thread: any.
 */
json_t *ctl_call(
	int fd, const char *method, const json_t *params, int timeout_ms, struct ctl_failure *fail);

/* The same, and the descriptor `pass` goes with the request (-1: none); it stays the caller's. */
json_t *ctl_call_passing(int fd, int pass, const char *method, const json_t *params, int timeout_ms,
	struct ctl_failure *fail);

/*
 * Where the daemon listens and the command line connects unless told otherwise: for root
 * /run/ringway.sock, for others $XDG_RUNTIME_DIR/ringway.sock or /tmp/ringway-UID.sock. 0, or
 * -ENAMETOOLONG when it does not fit into `len` bytes. Thread: any.
 */
int ctl_default_path(char *path, size_t len);
