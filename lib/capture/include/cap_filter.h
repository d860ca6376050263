/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A filter of frames: a program of the classic Berkeley packet filter, as libpcap compiles it from
 * tcpdump's syntax. Whoever captures sends it; a worker runs it.
 *
 * DPDK's rte_bpf is not used: rte_bpf_load makes executable memory, which the system call filters
 * of ringwayd refuse, and its packet loads want an mbuf that holds the whole frame. The interpreter
 * runs on the frame's copied head, and says when it needs more than that.
 *
 * Jumps go forwards only, so a program takes at most as many steps as it has instructions.
 *
 * Thread: any. A checked program is immutable.
 */
#include "rw_base.h"

/* Instructions that a program has at most: what a worker executes for a frame. */
#define CAP_FILTER_MAX 1024

/* One instruction, as struct bpf_insn of libpcap. */
struct cap_insn {
	uint16_t code;
	uint8_t jt, jf; /* how many instructions a conditional jump skips */
	uint32_t k;
};

struct cap_filter {
	const struct cap_insn *insns; /* the owner's */
	unsigned n;                   /* 0: every frame matches */
};

/*
 * Whether the program is one that cap_filter_run can run: all instructions are known, jumps stay
 * inside, memory is addressed inside its 16 words, nothing is divided by a constant 0, and the end
 * is a return. NULL, or what is wrong as the rest of a line; `*at` is the instruction.
 */
const char *cap_filter_check(const struct cap_filter *filter, unsigned *at);

enum cap_verdict {
	CAP_NO,
	CAP_YES,
	CAP_MORE, /* it depends on bytes behind the first `have` */
};

/*
 * Run a checked program on a frame of `len` bytes, of which the first `have` are at `data`. A
 * program that reads behind the frame does not match.
 */
enum cap_verdict cap_filter_run(
	const struct cap_filter *filter, const uint8_t *data, uint32_t have, uint32_t len);
