/* SPDX-License-Identifier: BSD-3-Clause */
#include "checksum.h"

/* Four 64-bit words at a time: the compiler makes vectors of these. */
#define LANES 4

uint64_t checksum_bytes(const uint8_t *p, uint32_t n)
{
	uint64_t lane[LANES] = {0}, tail = 0, sum;

	for (; n >= sizeof(lane); n -= sizeof(lane), p += sizeof(lane)) {
		uint64_t v[LANES];

		memcpy(v, p, sizeof(v));
		for (unsigned i = 0; i < LANES; i++)
			lane[i] += (v[i] & UINT32_MAX) + (v[i] >> 32);
	}
	sum = lane[0] + lane[1] + lane[2] + lane[3];
	for (; n >= sizeof(tail); n -= sizeof(tail), p += sizeof(tail)) {
		memcpy(&tail, p, sizeof(tail));
		sum += (tail & UINT32_MAX) + (tail >> 32);
	}
	tail = 0;
	memcpy(&tail, p, n);
	return sum + (tail & UINT32_MAX) + (tail >> 32);
}

/* Add a piece whose first byte has the parity `odd` in the whole. */
static uint64_t piece(const uint8_t *p, uint32_t n, bool odd)
{
	uint64_t sum = checksum_bytes(p, n);

	return odd ? __builtin_bswap16(checksum_fold(sum)) : sum;
}

uint64_t checksum_frame(const struct frame *f, uint32_t start)
{
	uint64_t sum = checksum_bytes(f->head + start, f->head_len - start);
	bool odd = (f->head_len - start) & 1;

	for (uint16_t i = 0; i < f->nsegs; i++) {
		sum += piece(f->seg[i].data, f->seg[i].len, odd);
		odd ^= f->seg[i].len & 1;
	}
	return sum;
}
