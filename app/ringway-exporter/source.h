/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the switch says of itself: readings of all its counters, over the control socket. A reading
 * is made when somebody asks and the last one is old, so many clients cost the switch no more than
 * one, and it never takes more than a fifth of the time.
 *
 * A reading is an object:
 *	up        whether the switch answered
 *	error     why it did not, if it did not; then all that follows is missing
 *	time      when the reading began: seconds since 1970
 *	took      seconds that it took
 *	version, ports, stats, workers, bridges, fdb, groups, captures, counts
 *	          the answers to version, port.list, port.stats, worker.list, bridge.list, fdb.list,
 *	          group.list, capture.list and count.list; of fdb and groups the first page
 *	sizes, vlans, latency
 *	          the answers to sizes.show, vlans.show and latency.show, with its histograms; each
 *	          is missing while it is not counted
 *
 * Thread: the only one. A reading makes it wait, for SOURCE_TIMEOUT_MS at most.
 */
#include <jansson.h>

#define SOURCE_TIMEOUT_MS 2000

struct source;

/* `path`, the control socket, outlives it. NULL: no memory. */
struct source *source_new(const char *path);
void source_free(struct source *s);

/* A reading of a moment ago; a new reference, never NULL. */
json_t *source_reading(struct source *s);

/*
 * Ask something else: the result as a new reference, or NULL: the switch is away or says no.
 * `params` is taken over.
 */
json_t *source_ask(struct source *s, const char *method, json_t *params);
