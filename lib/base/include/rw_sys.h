/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What several libraries ask of the operating system: its page size, and to wake whoever waits for
 * an eventfd.
 *
 * Thread: any.
 */
#include "rw_base.h"

/* Bytes of a page as mmap counts them. A file on hugetlbfs has larger ones. */
size_t rw_page_size(void);

/*
 * Add 1 to the eventfd `fd`, which is non-blocking. 0 or -errno. A counter that is full is success:
 * whoever waits for it has not read it yet and wakes up anyway.
 */
int rw_eventfd_signal(int fd);
