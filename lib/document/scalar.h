/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Internal to lib/document. Thread: any. */
#include <jansson.h>

/* The value of a plain scalar (see document.h) as a new reference. NULL: no memory. */
json_t *doc_scalar(const char *text, size_t len);
