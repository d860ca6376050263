/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Reading a command line of ringwayd, and what must come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"

#define WORDS_MAX (OPTIONS_PORTS_MAX + 8)

static struct options got;
static char err[512];

/* Parse the words in `line`, which are separated by blanks. */
static inline int parse(const char *line)
{
	char *argv[WORDS_MAX + 1] = {"ringwayd"}, *copy = strdup(line), *rest = copy;
	int argc = 1, ret;

	while (argc < WORDS_MAX && (argv[argc] = strsep(&rest, " ")))
		argc++;
	memset(&got, 0x5a, sizeof(got));
	strcpy(err, "(untouched)");
	ret = options_parse(argc, argv, &got, err, sizeof(err));
	free(copy);
	return ret;
}

static inline void takes(const char *line)
{
	if (parse(line))
		fail_msg("%s: %s", line, err);
	assert_string_equal(err, "(untouched)");
}

/* `line` is a mistake; the one line about it holds `word`. */
static inline void refuses(const char *line, const char *word)
{
	static struct options untouched;

	memset(&untouched, 0x5a, sizeof(untouched));
	if (parse(line) >= 0)
		fail_msg("accepted: %s", line);
	if (!strstr(err, word))
		fail_msg("%s\n  says     %s\n  without  %s", line, err, word);
	assert_null(strchr(err, '\n'));
	assert_memory_equal(&got, &untouched, sizeof(got));
}
