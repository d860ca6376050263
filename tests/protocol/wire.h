/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The other side of an uplink: a network namespace with an interface of Linux, and what comes out
 * of it. The test and its daemon live in a namespace of their own as well, so that names are free
 * and nobody else hears anything. Root only.
 */
#include "harness.h"

#define WIRE_NEAR "near0"
#define WIRE_FAR  "far0"

/* Frames and no tag, see wire_recv. */
#define WIRE_UNTAGGED (-1)

/* Make both namespaces, before rig_start. 0 or -errno. */
int wire_begin(void);
/* Run a command with the shell here, or in the far namespace; it must succeed. */
void wire_run(const char *command);
void wire_run_far(const char *command);
/* Connect the namespaces by a pair WIRE_NEAR and WIRE_FAR of that MTU, both up. */
void wire_connect(unsigned mtu);

/* A socket that sends and receives on an interface, here or in the far namespace. */
int wire_open(const char *interface);
int wire_open_far(const char *interface);

void wire_send(int fd, const void *frame, uint32_t len);
/*
 * The next frame of ETHERTYPE that reaches the interface, its tag apart. Its length without the
 * tag. `buf` has room for FRAME_MAX.
 */
uint32_t wire_recv(struct rig *r, int fd, void *buf, int *tag);
/* A frame of frame_make, and its tag or WIRE_UNTAGGED. */
struct wire_frame {
	const uint8_t *dst, *src;
	uint32_t len, seed;
	int tag;
};
/* The next one is that one. */
void wire_expect(struct rig *r, int fd, const struct wire_frame *want);
