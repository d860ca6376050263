/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The last events of the switch. They are subscribed while somebody asks for them, because those
 * that workers note cost them something, and no longer than EVENTS_IDLE_MS after that.
 *
 * Thread: the only one.
 */
#include <jansson.h>

#include "rw_loop.h"

#define EVENTS_KEPT    256
#define EVENTS_IDLE_MS 30000

struct events;

/* `path`, the control socket, outlives it. NULL: no memory. */
struct events *events_new(struct rw_loop *loop, const char *path);
void events_free(struct events *ev);

/*
 * {"next": N, "events": [...]}: the events that are kept, from number `from` on, the oldest first.
 * Each is what the switch sent, and "number". Ask with "next" for those that come. A new reference.
 */
json_t *events_since(struct events *ev, uint64_t from);
