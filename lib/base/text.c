/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "rw_text.h"

/* Longer words are nobody's slip of the finger. */
#define NEAREST_MAX 63

void rw_text_line(char *out, size_t len, const char *fmt, va_list ap)
{
	vsnprintf(out, len, fmt, ap);
	for (char *c = out; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
}

bool rw_text_scan(const char **s, uint32_t max, uint32_t *out)
{
	const char *c = *s;
	uint64_t v = 0;

	for (; *c >= '0' && *c <= '9'; c++) {
		v = v * 10 + (uint64_t)(*c - '0');
		if (v > max)
			return false;
	}
	if (c == *s)
		return false;
	*s = c;
	*out = (uint32_t)v;
	return true;
}

bool rw_text_number(const char *s, uint32_t min, uint32_t max, uint32_t *out)
{
	uint32_t v;

	if (!rw_text_scan(&s, max, &v) || *s || v < min)
		return false;
	*out = v;
	return true;
}

/*
 * How many letters are wrong, missing, too many, or swapped with the next one (optimal string
 * alignment); rows of the table are prefixes of `a`, columns those of `b`. Both have at most
 * NEAREST_MAX letters.
 */
static size_t text_distance(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t rows[3][NEAREST_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2], *oldest;

	for (size_t j = 0; j <= blen; j++)
		last[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		now[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			bool same = a[i - 1] == b[j - 1];

			now[j] = RW_MIN(last[j - 1] + !same, RW_MIN(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = RW_MIN(now[j], before[j - 2] + 1);
		}
		oldest = before;
		before = last;
		last = now;
		now = oldest;
	}
	return last[blen];
}

const char *rw_text_nearest(const char *word, const char *const names[], size_t n)
{
	size_t wlen = strlen(word), least = SIZE_MAX;
	const char *nearest = NULL;

	if (wlen > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]), distance;

		if (len > NEAREST_MAX)
			continue;
		distance = text_distance(word, wlen, names[i], len);
		if (distance < least && distance * 3 <= RW_MAX(wlen, len)) {
			least = distance;
			nearest = names[i];
		}
	}
	return nearest;
}

const char *rw_text_nearest_option(const char *word, const char *const names[], size_t n)
{
	char name[NEAREST_MAX + 1];
	size_t len;

	if (strncmp(word, "--", 2))
		return NULL;
	len = strcspn(word + 2, "=");
	if (len > NEAREST_MAX)
		return NULL;
	memcpy(name, word + 2, len);
	name[len] = '\0';
	return rw_text_nearest(name, names, n);
}

void rw_printable(char *s)
{
	for (; *s; s++)
		*s = rw_printable_char(*s);
}

const char *rw_mac_text(const uint8_t mac[RW_MAC_LEN], char out[RW_MAC_TEXT])
{
	snprintf(out, RW_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool rw_mac_parse(const char *s, uint8_t mac[RW_MAC_LEN])
{
	uint8_t read[RW_MAC_LEN];

	for (unsigned i = 0; i < RW_MAC_LEN; i++, s += 3) {
		int high = hex_digit(s[0]), low = high < 0 ? -1 : hex_digit(s[1]);

		if (low < 0 || s[2] != (i < RW_MAC_LEN - 1 ? ':' : '\0'))
			return false;
		read[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(mac, read, sizeof(read));
	return true;
}

bool rw_stdout_close(void)
{
	bool lost = ferror(stdout);

	return !fclose(stdout) && !lost;
}
