/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What passes between a ringwayd and its successor: JSON texts, each with the descriptors that it
 * names by their index, over the connection on which the successor called the method "takeover".
 *
 * Both processes are of the same user, or the successor is root's: the control socket admits nobody
 * else. Still, a text that is malformed is an error and does no harm.
 *
 * Both sides wait, each wait with a deadline. Thread: control.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors of one text at most: those of a port with all its rings and regions. */
#define TAKEOVER_FDS_MAX 2048

/* -1: taken. */
struct takeover_fds {
	int fd[TAKEOVER_FDS_MAX];
	unsigned n;
};

/* Add a descriptor, which stays the caller's. Its index; -1 of -1 and when there is no room. */
int takeover_fd_add(struct takeover_fds *fds, int fd);
/* Take the descriptor at an index, once. -1: there is none. */
int takeover_fd_take(struct takeover_fds *fds, json_int_t index);
/* Close those that were not taken. */
void takeover_fds_close(struct takeover_fds *fds);

/*
 * Send `text`, whose reference is taken over, and `fds` (NULL: none). 0; -ENOMEM; -ETIMEDOUT, or
 * what the socket says.
 */
int takeover_send(int sock, json_t *text, const struct takeover_fds *fds, int timeout_ms);

/*
 * Receive a text and its descriptors, which are the caller's. 0; -ECONNRESET: the other side has
 * gone; -EPROTO; -EMFILE: not all descriptors could be opened; -ENOMEM; -ETIMEDOUT. On failure
 * there is nothing to free.
 */
int takeover_receive(int sock, json_t **text, struct takeover_fds *fds, int timeout_ms);
