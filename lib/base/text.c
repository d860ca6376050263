/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "rw_text.h"

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

bool rw_stdout_close(void)
{
	bool lost = ferror(stdout);

	return !fclose(stdout) && !lost;
}
