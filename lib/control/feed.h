/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The events that wait for one client. Their number is bounded: an event that finds no room is
 * lost, as are all after it until the client has taken those that wait, and the client then hears
 * how many were. Zero-initialise it. Thread: control.
 */
#include "buf.h"
#include "control.h"

struct ctl_feed {
	uint32_t kinds;                    /* bit: a kind that the client wants; 0: no events */
	char subject[CTL_SUBJECT_MAX + 1]; /* what they must be about; "": anything */
	struct buf wait;                   /* whole lines */
	uint64_t lost;                     /* events, behind those that wait */
};

/* Whether an event is for the client. `subjects`: what it is about, NULL where there is nothing. */
bool ctl_feed_wants(const struct ctl_feed *f, unsigned kind, const char *const subjects[2]);
void ctl_feed_add(struct ctl_feed *f, const char *line, size_t len);
void ctl_feed_lose(struct ctl_feed *f, uint64_t n);
/* Whether there is anything to take. */
bool ctl_feed_waits(const struct ctl_feed *f);
/* Move what waits to `out`. 0 or -ENOMEM. */
int ctl_feed_take(struct ctl_feed *f, struct buf *out);
/* Want no events any more. */
void ctl_feed_end(struct ctl_feed *f);

/* The line of an event, with its newline, as a new string; NULL: no memory. `params` is kept. */
char *ctl_event_line(const char *kind, const json_t *params, size_t *len);
