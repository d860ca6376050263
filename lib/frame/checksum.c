/* SPDX-License-Identifier: BSD-3-Clause */
#include "checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* A sum of 64-bit words; each of its carries counts as one. */
struct sum {
	uint64_t words, carries;
};

RW_ALWAYS_INLINE void sum_add(struct sum *s, uint64_t word)
{
	s->carries += __builtin_add_overflow(s->words, word, &s->words);
}

/* At most 7 bytes, and nothing around them is read. */
RW_ALWAYS_INLINE uint64_t sum_few(const uint8_t *p, uint32_t n)
{
	uint64_t sum = 0;
	uint16_t word;

	for (; n >= sizeof(word); n -= (uint32_t)sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	word = 0;
	if (n)
		memcpy(&word, p, 1);
	return sum + word;
}

/* The 1 to 7 bytes in front of `end`, as the first ones of a word. 8 bytes there may be read. */
RW_ALWAYS_INLINE uint64_t last_bytes(const uint8_t *end, uint32_t n)
{
	uint64_t v;

	memcpy(&v, end - sizeof(v), sizeof(v));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return v >> (64 - 8 * n);
#else
	return v << (64 - 8 * n);
#endif
}

/* As any CPU does it. `before`: the 8 bytes in front of the end may be read; a constant. */
RW_ALWAYS_INLINE uint64_t sum_any(const uint8_t *p, uint32_t n, const bool before)
{
	const uint8_t *end = p + n;
	struct sum sum = {0};
	uint64_t v[4];

	if (!before && n < sizeof(v[0]))
		return sum_few(p, n);
	for (; n >= sizeof(v); n -= (uint32_t)sizeof(v), p += sizeof(v)) {
		memcpy(v, p, sizeof(v));
		sum_add(&sum, v[0]);
		sum_add(&sum, v[1]);
		sum_add(&sum, v[2]);
		sum_add(&sum, v[3]);
	}
	for (; n >= sizeof(v[0]); n -= (uint32_t)sizeof(v[0]), p += sizeof(v[0])) {
		memcpy(v, p, sizeof(v[0]));
		sum_add(&sum, v[0]);
	}
	if (n)
		sum_add(&sum, last_bytes(end, n));
	return (sum.words & UINT32_MAX) + (sum.words >> 32) + sum.carries;
}

#if defined(__x86_64__)
/*
 * Pairs of words are added as signed ones to lanes of 32 bits; in return, each word is less by
 * `BIAS`, which is added at the end. A lane has room for 2^15 registers, and the sum of all lanes
 * for 128 KiB. Registers of 64 bytes, most of whose loads would cross a line, are slower: cycles of
 * port_txq_convert for a frame of 1518 bytes, and for a segment of 64 KiB, all variants in turn in
 * one run on an AMD EPYC (Zen 5): 230 and 290 with them, 213 and 271 without.
 */
#define BIAS 0x8000u

__attribute__((target("avx2"))) static RW_NOINLINE uint64_t sum_avx2(const uint8_t *p, uint32_t n)
{
	const __m256i bias = _mm256_set1_epi16((short)BIAS), one = _mm256_set1_epi16(1);
	const uint32_t words = n / (uint32_t)sizeof(bias) * (uint32_t)(sizeof(bias) / 2);
	__m256i a = _mm256_setzero_si256(), b = a;
	__m128i s;

#define STEP(sum, at)               \
	sum = _mm256_add_epi32(sum, \
		_mm256_madd_epi16(  \
			_mm256_xor_si256(_mm256_loadu_si256((const __m256i_u *)(at)), bias), one))
	for (; n >= 4 * sizeof(a); n -= (uint32_t)(4 * sizeof(a)), p += 4 * sizeof(a)) {
		STEP(a, p);
		STEP(b, p + sizeof(a));
		STEP(a, p + 2 * sizeof(a));
		STEP(b, p + 3 * sizeof(a));
	}
	for (; n >= sizeof(a); n -= (uint32_t)sizeof(a), p += sizeof(a))
		STEP(a, p);
#undef STEP
	a = _mm256_add_epi32(a, b);
	s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
	return (uint64_t)((int64_t)words * BIAS + _mm_cvtsi128_si32(s)) + sum_any(p, n, true);
}
#elif defined(__aarch64__)
/* Pairs of 32-bit words are added to lanes of 64 bits. */
static RW_NOINLINE uint64_t sum_neon(const uint8_t *p, uint32_t n)
{
	uint64x2_t a = vdupq_n_u64(0), b = a;
	const uint32_t size = (uint32_t)sizeof(a);

	for (; n >= 4 * size; n -= 4 * size, p += 4 * size) {
		a = vpadalq_u32(a, vreinterpretq_u32_u8(vld1q_u8(p)));
		b = vpadalq_u32(b, vreinterpretq_u32_u8(vld1q_u8(p + size)));
		a = vpadalq_u32(a, vreinterpretq_u32_u8(vld1q_u8(p + 2 * size)));
		b = vpadalq_u32(b, vreinterpretq_u32_u8(vld1q_u8(p + 3 * size)));
	}
	return vaddvq_u64(vaddq_u64(a, b)) + sum_any(p, n, true);
}
#endif

/* Bytes from which wide registers pay. */
#define LONG 64

uint64_t checksum_words(const uint8_t *p, uint32_t n)
{
	return sum_any(p, n, false);
}

uint64_t checksum_bytes(const uint8_t *p, uint32_t n)
{
	if (n >= LONG) {
#if defined(__x86_64__)
		if (__builtin_cpu_supports("avx2"))
			return sum_avx2(p, n);
#elif defined(__aarch64__)
		return sum_neon(p, n);
#endif
	}
	return sum_any(p, n, false);
}

uint64_t checksum_frame(const struct frame *f, uint32_t start)
{
	const uint32_t in_head = f->head_len - start;
	uint64_t sum = checksum_bytes(f->head + start, in_head), piece;
	bool odd = in_head & 1;

	for (uint16_t i = 0; i < f->nsegs; i++) {
		piece = checksum_bytes(f->seg[i].data, f->seg[i].len);
		/* The first byte is the lower one of a word. */
		sum += odd ? __builtin_bswap16(checksum_fold(piece)) : piece;
		odd ^= f->seg[i].len & 1;
	}
	return sum;
}
