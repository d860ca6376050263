/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the fuzz targets share. A target reads its input as a sequence of small decisions; an input
 * that ends early decides for zeros. A violated property ends the process, and libFuzzer keeps the
 * input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rw_base.h"

/* libFuzzer's entry points. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A property of the code under test. */
#define fuzz_check(cond)                                                                     \
	do {                                                                                 \
		if (rw_unlikely(!(cond))) {                                                  \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                             \
		}                                                                            \
	} while (0)

/* What is left of the input. */
struct fuzz_in {
	const uint8_t *at;
	size_t left;
};

/* Copy the next `n` bytes, and zeros when there are no more. */
static inline void fuzz_bytes(struct fuzz_in *in, void *to, size_t n)
{
	size_t have = RW_MIN(n, in->left);

	if (have)
		memcpy(to, in->at, have);
	memset((uint8_t *)to + have, 0, n - have);
	in->at += have;
	in->left -= have;
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	uint8_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint16_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint32_t fuzz_u32(struct fuzz_in *in)
{
	uint32_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint64_t fuzz_u64(struct fuzz_in *in)
{
	uint64_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

/* A number below `n`, of one byte of input. */
static inline unsigned fuzz_below(struct fuzz_in *in, unsigned n)
{
	return fuzz_u8(in) % n;
}
