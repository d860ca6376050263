/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A switch that ends under traffic, and the next one that goes on with the same guests and rings.
 * Each switch has the same state directory.
 */
#include "harness.h"

#define RX_SIZE 256 /* entries of a receive ring */
#define LEN     200 /* bytes of a frame */

/* rig_start with a state directory, and rig_stop that removes it. */
int kill_start(struct rig *r, const char *ports);
/* The same; each of its switches has another option, too, which must outlive them. */
int kill_start_with(struct rig *r, const char *ports, const char *option);
int kill_stop(void **state);
/* Path of a file in the state directory; a static buffer. */
const char *kill_path(const char *name);

/* A number below `n`. */
uint32_t draw(uint32_t n);

/*
 * End the daemon with `sig` and start another one, in a directory of its own; the guests are the
 * same, and not connected. `meanwhile`, unless NULL, happens while there is no daemon.
 */
void switch_is_ended(struct rig *r, int sig, void (*meanwhile)(void));

/* An ordinary guest with rings of RX_SIZE and 64 entries; one that has an in-flight record. */
struct fe_guest_config guest_unrecorded(void);
struct fe_guest_config guest_recorded(void);

/* Let ring `i` run; enabled first, for what a disabled ring has to send is discarded. */
int ring_begin(struct fe_guest *g, uint32_t i);
/*
 * Where QEMU lets a ring go on: a split one behind what was used; for a packed one it knows but
 * what it was told last, or nothing.
 */
void base_as_qemu(struct fe_queue *q, bool forgotten);
/* Connect again, up to where rings may begin. */
void go_on(struct rig *r, struct peer *p);

/*
 * Guests with these features on a and b exchange frames while the switch is killed, `times` times:
 * none is lost but in a burst, none is wrong, every buffer comes back once.
 */
void kill_and_go_on(struct rig *r, const struct fe_guest_config *config, uint64_t features,
	bool scatter, uint32_t times);
