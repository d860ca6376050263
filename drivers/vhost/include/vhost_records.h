/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How far the packed rings of all ports have come, in a file that outlives the process: after it
 * was killed, the next one lets the rings go on where they really are. A split ring has its used
 * index in the guest's memory and needs no record.
 *
 * The file is private to ringwayd, sparse, and mapped; what a ring needs of it is allocated before
 * the ring starts, so that no store can fail. Workers store to it as part of their normal work. It
 * is of use until the host boots again.
 *
 * Thread: control.
 */
#include <stdbool.h>

struct vhost_records;

/*
 * Use the file `fd`, which stays the caller's, and is open for reading and writing. A file that is
 * not of this version of ringwayd and of the boot named `boot` is made anew, and `*kept` says
 * whether it was not. 0 or -errno.
 */
int vhost_records_new(int fd, const char *boot, bool *kept, struct vhost_records **out);
/* Whether vhost_records_new would keep what is in the file. */
bool vhost_records_fit(int fd, const char *boot);
/* The records stay in the file. No port uses them any more. NULL is fine. */
void vhost_records_free(struct vhost_records *records);
