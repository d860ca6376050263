/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What programs read from a command line and write for a person: messages of one line, numbers, MAC
 * addresses, and whether the output arrived.
 *
 * Thread: any; rw_stdout_close: the last one.
 */
#include <stdarg.h>

#include "rw_base.h"

/* Format into `out`, `len` bytes: one line, whatever bytes a user's words hold. */
void rw_text_line(char *out, size_t len, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* The decimal number at `*s`, which moves behind it. False: none there, or above `max`. */
bool rw_text_scan(const char **s, uint32_t max, uint32_t *out);
/* Whether `s` is a decimal number from `min` to `max` and nothing else. */
bool rw_text_number(const char *s, uint32_t min, uint32_t max, uint32_t *out);

/*
 * The one of `n` names that a user who wrote `word` is likely to have meant: at most a third of its
 * letters is wrong, missing, too many, or swapped with the next one. NULL: none of them.
 */
const char *rw_text_nearest(const char *word, const char *const names[], size_t n);
/* The same for `word`, an option as it was written: "--name" or "--name=value". */
const char *rw_text_nearest_option(const char *word, const char *const names[], size_t n);

/* `c`, or '?' when it is not printable ASCII: a peer's bytes cannot break a line or a terminal. */
static inline char rw_printable_char(char c)
{
	return c < ' ' || c > '~' ? '?' : c;
}
/* The same of each character of `s`, in place. */
void rw_printable(char *s);

/* Bytes of a MAC address, and of its text "52:54:00:00:00:01" with the terminating zero. */
#define RW_MAC_LEN  6
#define RW_MAC_TEXT 18

/* Write `mac` as text into `out`, which is returned. */
const char *rw_mac_text(const uint8_t mac[RW_MAC_LEN], char out[RW_MAC_TEXT]);
/*
 * Whether `s` is the text of a MAC address, two hexadecimal digits for each byte, and nothing else.
 */
bool rw_mac_parse(const char *s, uint8_t mac[RW_MAC_LEN]);

/* Close standard output. False, and errno: not all that was written to it arrived. */
bool rw_stdout_close(void);
