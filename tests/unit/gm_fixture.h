/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Guest memory for tests: files whose bytes tell where they are, and a few ways to look at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest_mem.h"

#define PAGE 4096u
#define HUGE (2u << 20)
#define UVA  0x7f0000000000ull

/* What a file of `seed` holds at `offset`: no two pages look alike. */
static inline uint8_t file_byte(uint64_t offset, unsigned seed)
{
	return (uint8_t)(((offset + 1) * 2654435761u + seed * 0x9e3779b1u) >> 16);
}

static inline int file_new(unsigned pages, unsigned seed)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	uint8_t page[PAGE];

	assert_true(fd >= 0);
	for (unsigned p = 0; p < pages; p++) {
		for (unsigned i = 0; i < PAGE; i++)
			page[i] = file_byte((uint64_t)p * PAGE + i, seed);
		assert_int_equal(write(fd, page, PAGE), PAGE);
	}
	return fd;
}

/* A file of `n` free huge pages, or -1 after saying why there is none. */
static inline int huge_file_new(unsigned n)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)n * HUGE)) {
		print_message("this kernel has no huge pages for a memfd\n");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	p = mmap(NULL, (size_t)n * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		print_message("no %u free 2 MiB huge pages on this machine\n", n);
		close(fd);
		return -1;
	}
	munmap(p, (size_t)n * HUGE);
	return fd;
}

/*
 * How many mappings this process has. Sanitizers make their own at any time: then only those of our
 * files.
 */
static inline unsigned mapping_count(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
	const char *what = "/memfd:";
#else
	const char *what = "";
#endif
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned n = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, what) != NULL;
	fclose(f);
	return n;
}

/* xorshift64*: the same numbers in every run. */
static inline uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state * UINT64_C(2685821657736338717) >> 32);
}
