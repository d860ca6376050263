/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of the command line, read by the table of options. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "options_internal.h"

/* What getopt_long returns for the first row; above all letters. */
#define ROW_FIRST 256
/* struct parse.seen has a bit for each. */
#define ROWS_MAX 64

/*
 * The row of an option, as getopt_long found it, if `word` has its name in full. NULL: it is
 * unknown.
 */
static const struct options_row *row_of(int found, const char *word)
{
	const char *end = strchrnul(word, '=');
	const struct options_row *row;

	if (found < ROW_FIRST)
		return NULL;
	row = &options_rows[found - ROW_FIRST];
	return strlen(row->name) == (size_t)(end - word) - 2 ? row : NULL;
}

/* There is no such option. */
static int option_refuse(struct parse *p, const char *word)
{
	const char *names[ROWS_MAX], *nearest;

	for (size_t i = 0; i < options_nrows; i++)
		names[i] = options_rows[i].name;
	nearest = rw_text_nearest_option(word, names, options_nrows);
	if (nearest)
		return options_mistake(
			p, "unknown option %s: did you mean --%s? (see --help)", word, nearest);
	return options_mistake(p, "unknown option %s (see --help)", word);
}

/* Whether the value of an option that wants one is missing. `next`: the word behind it, or NULL. */
static bool value_missing(int opt, const char *next)
{
	/* A word that looks like an option is one. */
	return opt == ':' || !*optarg || (optarg == next && !strncmp(next, "--", 2));
}

/*
 * Act on what getopt_long returned for `word`; `next` is the word behind it, or NULL. As row.set.
 */
static int option_read(struct parse *p, int opt, const char *word, const char *next)
{
	const struct options_row *row = row_of(opt == '?' || opt == ':' ? optopt : opt, word);
	uint64_t bit;

	if (opt == 1)
		return options_mistake(
			p, "unexpected word \"%s\": options begin with -- (see --help)", word);
	if (opt == 'h')
		return OPTIONS_HELP;
	if (!row)
		return option_refuse(p, word);
	bit = UINT64_C(1) << (row - options_rows);
	if (!row->many && (p->seen & bit))
		return options_mistake(p, "--%s is given twice", row->name);
	p->seen |= bit;
	if (!row->value)
		return opt == '?' ? options_mistake(p, "--%s takes no value", row->name)
				  : row->set(p, NULL);
	if (value_missing(opt, next))
		return options_mistake(
			p, "--%s wants a value: --%s %s", row->name, row->name, row->value);
	return row->set(p, optarg);
}

int options_words_read(struct parse *p, int argc, char **argv)
{
	struct option longs[ROWS_MAX + 1] = {{0}};
	int opt, at, ret = 0;

	for (size_t i = 0; i < options_nrows; i++)
		longs[i] = (struct option){options_rows[i].name,
			options_rows[i].value ? required_argument : no_argument, NULL,
			ROW_FIRST + (int)i};
	optind = 0; /* begin afresh */
	opterr = 0;
	while (!ret) {
		at = RW_MAX(optind, 1);
		/* "-": a word that is no option comes as option 1, wherever it stands. */
		opt = getopt_long(argc, argv, "-:h", longs, NULL);
		if (opt >= 0)
			ret = option_read(p, opt, argv[at], at + 1 < argc ? argv[at + 1] : NULL);
		else if (optind > at) /* "--" */
			ret = options_mistake(p, "unknown option %s (see --help)", argv[at]);
		else
			break;
	}
	return ret;
}
