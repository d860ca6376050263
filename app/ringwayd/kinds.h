/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The kinds of port that there are. A kind says which options its ports take, makes a port of them
 * and describes it; what is common to all ports (name, description, life) is done once, in
 * options_port.c and ports.c. A new kind is a file kind_NAME.c and a line in kinds.c.
 *
 * Thread: control.
 */
#include <jansson.h>

#include "options_internal.h"
#include "rw_loop.h"
#include "sw.h"

/* KEY=VALUE of a kind's ports. */
struct port_option {
	const char *key;
	const char *value; /* what it wants, for messages */
	bool needed;
	bool changeable; /* while the port exists */
	/* Note it in `port`. `what` names the port to the user. 0 or a mistake. */
	int (*set)(struct parse *p, const char *what, struct options_port *port, const char *value);
	/*
	 * What holds, as `set` takes it from a document: a new text, number, boolean, or a list of
	 * these. NULL: nothing does. A port's document leaves out what a new port has anyway.
	 */
	json_t *(*get)(const struct options_port *port);
};

/* What a port is made in. */
struct port_context {
	struct sw *sw;
	struct rw_loop *loop;
	struct rw_budget_pools *pools;       /* what ports share */
	struct vhost_records *records;       /* of packed rings; NULL: none */
	uint32_t linger_s;                   /* see vhost_port_config */
	const struct rw_sock_access *access; /* to their sockets, where a port says nothing */
	bool waits; /* a port of the kind vhost is taken over: it neither listens nor connects */
	/* The other side has left for good, and there will be no other. */
	void (*gone)(void *arg);
	void *arg;
};

struct port_kind {
	const char *name;
	const struct port_option *options;
	unsigned noptions;
	/*
	 * A key that is neither among them nor among those of all ports. 0 or a mistake. NULL:
	 * there is no such key.
	 */
	int (*other)(struct parse *p, const char *what, struct options_port *port, const char *key,
		const char *value);
	/*
	 * What one option alone does not show: `port` against its other options, and the ports
	 * before it.
	 */
	int (*check)(struct parse *p, struct options_port *port);

	/*
	 * What a port needs before ringwayd gives up its privileges and fixes EAL's heap. All three
	 * are NULL if that is nothing, and ports can be added later.
	 */
	/* Bytes that it takes of EAL's heap. */
	size_t (*memory)(const struct options_port *port, unsigned nworkers);
	/* Have it ready as port->prepared, which `new` takes over. 0; or -errno and `err`. */
	int (*prepare)(struct options_port *port, unsigned nworkers, char *err, size_t errlen);
	/* There will be no port. */
	void (*discard)(struct options_port *port);

	/*
	 * A port, which is in the switch from then on under its name. 0; or -errno, and `err` holds
	 * the reason as the rest of a line that begins with the port's name.
	 */
	int (*new)(const struct port_context *ctx, const struct options_port *port, void **out,
		char *err, size_t errlen);
	/*
	 * Options of the port were changed: `port` has all that hold from now on. `note` is empty,
	 * or what the user has to know about it, one line.
	 */
	void (*change)(void *handle, const struct options_port *port, char *note, size_t notelen);
	/*
	 * Some sockets that ringwayd made may no longer be where they were: see to that of this
	 * port. NULL: it has none.
	 */
	void (*mend)(void *handle);
	/* End its traffic, then take it out of the switch. */
	void (*free)(void *handle);

	/* What is special to this kind, for port.list and port.show, as a new object. */
	json_t *(*describe)(void *handle);
	json_t *(*show)(void *handle);
};

extern const struct port_kind kind_vhost;
extern const struct port_kind kind_ethdev;

/* The port's policy by the keys of its options; what is as without a policy is left out. */
json_t *options_policy_json(const struct options_port *port);

/* The kind of that name, or NULL. */
const struct port_kind *kind_by_name(const char *name);
/* The kind whose ports only have that key, or NULL. */
const struct port_kind *kind_by_key(const char *key);
/* Kind `i` of all; NULL behind the last. */
const struct port_kind *kind_at(unsigned i);
/* All names, for messages: "vhost, ethdev". */
const char *kind_names(void);
/* Of ports that name none. */
extern const struct port_kind *const kind_default;
