/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What is attached to a client's connection: a descriptor that it sent, and what ends with it.
 * Zero-initialise it. And how a connection is turned away. Thread: control.
 */
#include <sys/types.h>

#include "rw_helper.h"

/* Who closes descriptors that clients sent, which can wait. */
struct ctl_foreign {
	struct rw_loop *loop;
	struct rw_helper *helper; /* NULL: nobody has sent one yet */
};
void ctl_foreign_close(struct ctl_foreign *f, int fd);

struct ctl_attached {
	bool has_fd;             /* a descriptor came that no method has taken, */
	int fd;                  /* this one */
	void (*gone)(void *arg); /* called when the connection is closed; NULL: nothing is */
	void *arg;
};

/* As recv(); descriptors that come are taken: the latest is kept. */
ssize_t ctl_receive(int fd, char *to, size_t room, struct ctl_attached *a, struct ctl_foreign *f);
/* The descriptor, which is the caller's from now on; or -ENOENT. */
int ctl_attached_take(struct ctl_attached *a);
/* 0 or -EBUSY. */
int ctl_attached_tie(struct ctl_attached *a, void (*fn)(void *arg), void *arg);
void ctl_attached_untie(struct ctl_attached *a, const void *arg);
/* The connection is closed. */
void ctl_attached_end(struct ctl_attached *a, struct ctl_foreign *f);

/* Send one line that says why, then close a new connection. */
void ctl_turn_away(int fd, const char *why);
