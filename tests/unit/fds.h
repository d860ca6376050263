/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The descriptors that this process has open. Include it behind cmocka.h. */
#include <dirent.h>

/* How many there are, and always the same few more. */
static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
