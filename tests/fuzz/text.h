/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Inputs of targets that read text: words, one a line, and what is behind them. */
#include "fuzz.h"

#define TEXT_WORDS 32

struct fuzz_text {
	char *copy;
	char *words[TEXT_WORDS + 1]; /* then NULL */
	unsigned nwords;
	char *rest; /* behind the first empty line */
	size_t restlen;
};

/* The words of an input that ends up to the first empty line. Released by text_free. */
static inline void text_read(struct fuzz_text *t, const uint8_t *data, size_t size)
{
	char *at;

	*t = (struct fuzz_text){.copy = malloc(size + 1)};
	fuzz_check(t->copy);
	if (size)
		memcpy(t->copy, data, size);
	t->copy[size] = 0;
	at = t->copy;
	while (at < t->copy + size && *at != '\n' && t->nwords < TEXT_WORDS) {
		t->words[t->nwords++] = at;
		at += strcspn(at, "\n");
		if (at < t->copy + size)
			*at++ = 0;
	}
	t->rest = RW_MIN(at + 1, t->copy + size);
	t->restlen = (size_t)(t->copy + size - t->rest);
}

static inline void text_free(struct fuzz_text *t)
{
	free(t->copy);
}

/* `err` is one line for a person. */
static inline void check_line(const char *err, size_t room)
{
	size_t len = strnlen(err, room);

	fuzz_check(len && len < room && !strpbrk(err, "\n\r\033"));
}
