/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The Internet checksum (RFC 1071), in memory's byte order. Internal to lib/frame. */
#include <string.h>

#include "frame.h"

/* Fold a sum of 16-bit words into one. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

/* A number as the word that it is on the wire, folded. */
static inline uint16_t checksum_word(uint32_t v)
{
	uint16_t word = checksum_fold(v);
	const uint8_t bytes[2] = {(uint8_t)(word >> 8), (uint8_t)word};

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline void checksum_store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The sum of `n` bytes, of which the first is the upper one of a word. At most 128 KiB. */
uint64_t checksum_bytes(const uint8_t *p, uint32_t n);
/* The same, on a CPU without wide registers. */
uint64_t checksum_words(const uint8_t *p, uint32_t n);

/* The sum of a frame's bytes from `start`, which is in the head, to its end. */
uint64_t checksum_frame(const struct frame *f, uint32_t start);
