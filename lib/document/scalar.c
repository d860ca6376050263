/* SPDX-License-Identifier: BSD-3-Clause */
/* Plain scalars, by YAML's core schema (yaml.org/spec/1.2.2, 10.3.2). */
#include "scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rw_base.h"

static bool is_one_of(const char *text, const char *const words[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(text, words[i]))
			return true;
	}
	return false;
}

/* [-+]?[0-9]+ and, without a sign, 0o[0-7]+ and 0x[0-9a-fA-F]+. False: not that, or too large. */
static bool integer_read(const char *text, json_int_t *out)
{
	const char *digits = text + (*text == '-' || *text == '+');
	int base = 10;
	char *end;

	if (!strncmp(text, "0o", 2) || !strncmp(text, "0x", 2)) {
		base = text[1] == 'o' ? 8 : 16;
		digits = text + 2;
	}
	if (base == 16 ? !isxdigit((unsigned char)*digits) : !isdigit((unsigned char)*digits))
		return false;
	errno = 0;
	*out = strtoll(base == 10 ? text : digits, &end, base);
	return !*end && !errno;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, finite: JSON has no other numbers. */
static bool number_read(const char *text, double *out)
{
	const char *c = text + (*text == '-' || *text == '+');
	char *end;

	if (!isdigit((unsigned char)*c) && !(*c == '.' && isdigit((unsigned char)c[1])))
		return false;
	if (strspn(text, "+-.0123456789eE") != strlen(text))
		return false;
	*out = strtod(text, &end);
	return !*end && isfinite(*out);
}

json_t *doc_scalar(const char *text, size_t len)
{
	static const char *const null[] = {"", "~", "null", "Null", "NULL"};
	static const char *const yes[] = {"true", "True", "TRUE"};
	static const char *const no[] = {"false", "False", "FALSE"};
	json_int_t integer;
	double number;

	/* With a zero byte inside, the words below would be found too early. */
	if (strlen(text) != len)
		return json_stringn(text, len);
	if (is_one_of(text, null, RW_ARRAY_SIZE(null)))
		return json_null();
	if (is_one_of(text, yes, RW_ARRAY_SIZE(yes)))
		return json_true();
	if (is_one_of(text, no, RW_ARRAY_SIZE(no)))
		return json_false();
	if (integer_read(text, &integer))
		return json_integer(integer);
	if (number_read(text, &number))
		return json_real(number);
	return json_stringn(text, len);
}
