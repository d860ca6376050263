/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Signal an eventfd that somebody else gave us. Its file status flags are shared with the giver, so
 * write(2) waits whenever the giver wants it to: O_NONBLOCK promises nothing.
 *
 * The kernel signals an eventfd itself when a request of Linux AIO is over (IOCB_FLAG_RESFD). It
 * never waits for the counter: one that is full stays full. So a signal is an empty read from a
 * file of ours whose end the kernel reports to the eventfd: one system call, as write(2). The
 * kernel refuses a descriptor that is no eventfd.
 *
 * Each thread that signals has an AIO context of its own, which counts as one in
 * /proc/sys/fs/aio-nr. It is made by the thread's first signal and ends with the thread.
 *
 * Thread: any.
 */
#include "rw_base.h"

/*
 * Add 1 to the eventfd `fd` unless its counter is full. Never waits. 0; -EINVAL: no eventfd;
 * -EBADF; -ENOSYS: this thread has no AIO; -EAGAIN: the kernel has no memory.
 */
int rw_foreign_signal(int fd);

/*
 * Whether `fd` is an eventfd. Never waits: no file system is asked. Without AIO, /proc says it.
 */
bool rw_is_eventfd(int fd);

/* Make this thread's context now. 0 or -errno: every rw_foreign_signal of this thread fails. */
int rw_foreign_signal_prepare(void);
