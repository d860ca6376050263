/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * DEVICE_STATE as a front-end uses it: guests that come and go by migration, and their state on its
 * way through a pipe. The process must ignore SIGPIPE.
 */
#include "hosts.h"

/*
 * The layout (drivers/vhost/device_state.c): magic, version, padding, hosts; address and VLAN of
 * each.
 */
#define STATE_HEADER  16
#define STATE_HOST    8
#define STATE_VERSION 8
#define STATE_COUNT   12
#define STATE_MOST    4096
#define STATE_BYTES   (STATE_HEADER + STATE_MOST * STATE_HOST)

/* The ordinary guest with DEVICE_STATE, which announces itself. */
struct peer *state_guest_up(struct rig *r, const char *port);

/* Its rings stop. */
void state_guest_stop(struct peer *p);

/* Such a guest that comes by migration: connected, nothing runs; and its rings start. */
struct peer *state_guest_incoming(struct rig *r, const char *port);
void state_guest_go(struct peer *p);

/* Begin a transfer: our end of the pipe, or -errno. */
int state_begin(struct peer *p, uint32_t direction);

/* Read up to `size` bytes, or to the end. How many. */
uint32_t state_read(struct rig *r, int fd, uint8_t *data, uint32_t size);

/* Write, until the back-end has seen enough and closes its end. */
void state_write(int fd, const uint8_t *data, uint32_t len);

/* All of a guest's state, at most `size` bytes. Its length. */
uint32_t state_save(struct rig *r, struct peer *p, uint8_t *data, uint32_t size);

/* Load it; what CHECK_DEVICE_STATE says. */
int state_load(struct peer *p, const uint8_t *data, uint32_t len);

/* A state of `n` hosts, from host `first` on, in VLANs of their own. Its length. */
uint32_t state_make(uint8_t *data, uint32_t first, uint32_t n);

/* `p` receives the RARPs of those, in their order. */
void state_is_announced(struct rig *r, struct peer *p, uint32_t first, uint32_t n);

/* The guest's rings start, and nobody is announced: a frame of its own is the first to arrive. */
void state_is_not_announced(struct rig *r, struct peer *p, struct peer *listener);
