/* SPDX-License-Identifier: BSD-3-Clause */
#include "buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 4096u

int buf_reserve(struct buf *b, size_t more)
{
	size_t cap = RW_MAX(b->cap, CAP_MIN);
	char *data;

	if (b->start + b->len + more <= b->cap)
		return 0;
	if (b->start)
		memmove(b->data, b->data + b->start, b->len);
	b->start = 0;
	while (cap < b->len + more)
		cap *= 2;
	if (cap == b->cap)
		return 0;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_add(struct buf *b, const char *data, size_t len)
{
	int ret = buf_reserve(b, len);

	/* Of an empty buffer there may be no memory yet. */
	if (ret || !len)
		return ret;
	memcpy(b->data + b->start + b->len, data, len);
	b->len += len;
	return 0;
}

void buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	b->len -= n;
	if (b->len)
		return;
	free(b->data);
	*b = (struct buf){0};
}
