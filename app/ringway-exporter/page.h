/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The files of the page, which scripts/embed.py compiles into the program. */
#include <stddef.h>

struct page_file {
	const char *path; /* of the URL */
	const char *type; /* its media type */
	const unsigned char *bytes;
	size_t len;
};

extern const struct page_file page_files[];
extern const unsigned page_nfiles;
