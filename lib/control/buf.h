/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Bytes that wait: data[start, start + len). Zero-initialise it. Thread: the owner's. */
#include "rw_base.h"

struct buf {
	char *data;
	size_t start, len, cap;
};

/* Make room for `more` bytes behind the present ones. 0 or -ENOMEM. */
int buf_reserve(struct buf *b, size_t more);
/* 0 or -ENOMEM, and nothing is added. */
int buf_add(struct buf *b, const char *data, size_t len);
/* Drop `n` bytes at the front. An empty buffer keeps no memory. */
void buf_consume(struct buf *b, size_t n);
