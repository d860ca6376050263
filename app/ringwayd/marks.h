/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Marks: the counters of all ports at a moment, by name. Who wants to count from 0 sets a mark and
 * asks for what has been counted since then: the counters themselves, which others read too, go on.
 *
 * Thread: control.
 */
#include "sw.h"

#define MARKS_MAX       16u
#define MARKS_NAME_MAX  31u         /* characters */
#define MARKS_MAX_BYTES (64u << 20) /* of all of them */

struct mark;

struct marks {
	struct mark *list[MARKS_MAX];
	unsigned n;
	size_t bytes;
};

/*
 * Set the mark of that name, in place of the one that has it. 0; -EINVAL: it can be no name;
 * -ENOSPC: there are MARKS_MAX; -EDQUOT: MARKS_MAX_BYTES do not suffice; -ENOMEM.
 */
int marks_set(struct marks *marks, const struct sw *sw, const char *name);
/* 0, or -ENOENT. */
int marks_del(struct marks *marks, const char *name);
/* NULL: there is none. */
const struct mark *marks_find(const struct marks *marks, const char *name);
/* A port has left the switch, and another one may get its id. */
void marks_forget_port(struct marks *marks, uint16_t id);
void marks_end(struct marks *marks);

const char *mark_name(const struct mark *m);
/* When it was set, as sw_now_s. */
uint32_t mark_set_s(const struct mark *m);
/*
 * Take off what had been counted at the mark: of a whole port, of a queue pair, of its link. A port
 * that came later had counted nothing.
 */
void mark_subtract(const struct mark *m, uint16_t id, struct port_pair *pair);
void mark_subtract_pair(const struct mark *m, uint16_t id, uint16_t index, struct port_pair *pair);
void mark_subtract_link(const struct mark *m, uint16_t id, struct sw_link *link);
