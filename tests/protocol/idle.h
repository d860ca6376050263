/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Workers that sleep, as a test and a guest see them. */
#include "harness.h"

/*
 * How many guests' kicks the variants of a ring cover: split and packed, with and without
 * EVENT_IDX.
 */
#define IDLE_VARIANTS 4

/* The ordinary guest with the rings of variant `i`. */
struct fe_guest_config idle_variant(size_t i);

/* Whether every worker sleeps. */
bool all_asleep(struct rig *r);

/* Wait until every worker sleeps. */
void fall_asleep(struct rig *r);

/* Times that workers have slept, all together. */
uint64_t sleeps(struct rig *r);

/* Whether the back-end asks for a kick with the next buffer. The guest has nothing unpublished. */
bool is_armed(const struct fe_ring *ring);

/*
 * Receive a frame on pair 0 as soon as it comes: without naps, unlike peer_recv. False: none came
 * within the rig's patience.
 */
bool peer_await(struct rig *r, struct peer *p);
