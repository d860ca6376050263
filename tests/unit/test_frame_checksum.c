/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum of any number of bytes, wherever they lie, and however this CPU adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "checksum.h"
#include "gso_packets.h"

#define SHORT_MOST 300u
#define LONG_MOST  (65535u + 18)

/* Ends where the memory ends, for the sanitizer to see. */
static uint8_t *bytes_new(uint32_t n, unsigned seed)
{
	uint8_t *p = malloc(n ? n : 1);

	assert_non_null(p);
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed < 256 ? seed : i * 167 + (i >> 8) * 13 + seed);
	return p;
}

static void same(const uint8_t *p, uint32_t n)
{
	uint8_t want[2], got[2];
	uint16_t sum = checksum_fold(checksum_bytes(p, n));

	gso_put16(want, gso_sum(p, n, 0));
	memcpy(got, &sum, sizeof(sum));
	assert_memory_equal(got, want, sizeof(want));
	sum = checksum_fold(checksum_words(p, n));
	memcpy(got, &sum, sizeof(sum));
	assert_memory_equal(got, want, sizeof(want));
}

/* With the least and the greatest words, too: sums that may be negative, and those that carry. */
static void every_length_and_place(void **state)
{
	static const unsigned seeds[] = {0, 0x7f, 0x80, 0xff, 1000};

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(seeds); i++) {
		for (uint32_t n = 0; n <= SHORT_MOST; n++) {
			uint8_t *p = bytes_new(n, seeds[i]);

			for (uint32_t at = 0; at <= n && at < 9; at++)
				same(p + at, n - at);
			free(p);
		}
		for (uint32_t n = LONG_MOST - 3; n <= LONG_MOST; n++) {
			uint8_t *p = bytes_new(n, seeds[i]);

			same(p, n);
			free(p);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_and_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
