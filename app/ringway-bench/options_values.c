/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "options_internal.h"

#define SIZE_LEAST   60u    /* Ethernet's 64 less FCS */
#define SIZE_LARGEST 65549u /* an Ethernet header and the largest IPv4 packet */
#define WEIGHT_MAX   1000
#define RATE_MAX     1e9

/* The usual mix for the Internet: 7 small ones, 4 middle ones, 1 large one. */
#define IMIX "64:7,594:4,1518:1"

/*
 * The decimal number at `*s`, such as 5, 0.25, .25 or 1e6, which moves behind it. False: none
 * there. What else strtod takes (a sign, a blank, "0x", "inf") is none.
 */
static bool scan_decimal(const char **s, double *out)
{
	static const char digits[] = "0123456789";
	size_t whole = strspn(*s, digits), len = whole, part = 0;
	const char *exponent;
	char *end;

	if ((*s)[len] == '.') {
		part = strspn(*s + len + 1, digits);
		len += 1 + part;
	}
	if (!whole && !part)
		return false;
	if ((*s)[len] == 'e' || (*s)[len] == 'E') {
		exponent = *s + len + 1;
		exponent += *exponent == '+' || *exponent == '-';
		if (!strspn(exponent, digits))
			return false;
		len = (size_t)(exponent - *s) + strspn(exponent, digits);
	}
	*out = strtod(*s, &end);
	if (end != *s + len)
		return false;
	*s = end;
	return true;
}

bool options_decimal(const char *text, double min, double max, double *out)
{
	double v;

	if (!scan_decimal(&text, &v) || *text || v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool options_fraction(const char *text, double *out)
{
	double v;

	if (!scan_decimal(&text, &v))
		return false;
	if (!strcmp(text, "%"))
		v /= 100;
	else if (*text)
		return false;
	if (v >= 1)
		return false;
	*out = v;
	return true;
}

bool options_rate(const char *text, double *out)
{
	double v;

	if (!strcmp(text, "max")) {
		*out = 0;
		return true;
	}
	if (!scan_decimal(&text, &v))
		return false;
	if (!strcmp(text, "k"))
		v *= 1e3;
	else if (!strcmp(text, "M"))
		v *= 1e6;
	else if (*text)
		return false;
	if (v < 1 || v > RATE_MAX)
		return false;
	*out = v;
	return true;
}

int options_sizes(struct parse *p, const char *option, const char *text, uint32_t more)
{
	const char *s = strcmp(text, "imix") ? text : IMIX;
	struct bench_size sizes[BENCH_MAX_SIZES];
	unsigned n = 0;

	do {
		uint32_t len, weight = 1;

		if (!rw_text_scan(&s, SIZE_LARGEST + more, &len) || len < SIZE_LEAST + more)
			return options_mistake(p,
				"--%s=%s: give sizes from %u to %u bytes (%s FCS), such as "
				"64 or 64,1518 or, with weights, 64:7,1518:1, or imix",
				option, text, SIZE_LEAST + more, SIZE_LARGEST + more,
				more ? "with" : "without");
		if (*s == ':') {
			s++;
			if (!rw_text_scan(&s, WEIGHT_MAX, &weight) || !weight)
				return options_mistake(p,
					"--%s=%s: a weight is a number from 1 to %d", option, text,
					WEIGHT_MAX);
		}
		if (*s && *s != ',')
			return options_mistake(p, "--%s=%s: \"%s\" is neither a size nor a weight",
				option, text, s);
		if (n == BENCH_MAX_SIZES)
			return options_mistake(
				p, "--%s: there are more than %d sizes", option, BENCH_MAX_SIZES);
		sizes[n++] = (struct bench_size){.len = len - more, .weight = weight};
	} while (*s++ == ',');
	memcpy(p->opt.sizes, sizes, n * sizeof(*sizes));
	p->opt.nsizes = n;
	return 0;
}
