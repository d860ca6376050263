/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What several libraries ask of the operating system: its page size, to wake whoever waits for an
 * eventfd, and a thread.
 *
 * Thread: any.
 */
#include <pthread.h>

#include "rw_base.h"

/* Bytes of a page as mmap counts them. A file on hugetlbfs has larger ones. */
size_t rw_page_size(void);

/*
 * Add 1 to the eventfd `fd`, which is non-blocking. 0 or -errno. A counter that is full is success:
 * whoever waits for it has not read it yet and wakes up anyway.
 */
int rw_eventfd_signal(int fd);

/*
 * Start a thread that signals for the process do not interrupt. Those that its own instructions
 * cause (SIGBUS, SIGSEGV, SIGSYS) are not blocked: their handlers are the process', and without
 * them the process would end. `attr`: as for pthread_create, may be NULL. 0 or -errno.
 */
int rw_thread_start(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg);
