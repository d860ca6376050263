/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Rules of system call filters, for whoever makes one. Functions return 0 or -errno. */
#include <seccomp.h>

#include "sandbox.h"

/* Allow a call. A name that this CPU's kernel does not know is skipped. */
int sandbox_allow(scmp_filter_ctx ctx, const char *name);

/* Allow a call whose argument `arg` has these bits of `mask`. */
int sandbox_allow_masked(
	scmp_filter_ctx ctx, const char *name, unsigned arg, uint64_t mask, uint64_t bits);
