/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the files of options share: options.c has the table, options_values.c reads what has a form.
 */
#include "options.h"
#include "rw_text.h"

/* A command line being read. */
struct parse {
	struct bench_options opt;
	char *err;
	size_t errlen;
	uint64_t seen;       /* bit: row of the table of options */
	const char *measure; /* the option that chose what is measured, or NULL */
};

/* Note a mistake as one line, whatever bytes the user's words hold. Returns -EINVAL. */
int options_mistake(struct parse *p, const char *fmt, ...) RW_PRINTF(2, 3);

/* As rw_text_number, for a decimal number such as 0.25, .25 or 1e-2; no sign, blank or "nan". */
bool options_decimal(const char *text, double min, double max, double *out);
/* A fraction below 1, as 0.001 or 0.1%. */
bool options_fraction(const char *text, double *out);
/* Frames a second: 2500000, 2500k or 2.5M; "max" is 0. */
bool options_rate(const char *text, double *out);
/*
 * --size and --size-with-fcs: 64 | 64,512,1518 | 64:7,594:4,1518:1 | imix. `more` bytes of each
 * size are no part of the frame. 0 or a mistake, which names the option.
 */
int options_sizes(struct parse *p, const char *option, const char *text, uint32_t more);
