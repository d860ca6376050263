/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Attacks on a running daemon, with a canary (canary.h) that must not notice them.
 *
 * A program starts one daemon with the ports a, b, c and d for the attack, and in VLAN 99 the
 * ports y and z for the canary, and runs a list of attacks. Each attack runs twice: what the
 * daemon holds after the second time (descriptors, mappings, heap) is compared with what it held
 * after the first. Then its guests are gone, the canary lost nothing and was not held up, the
 * control socket answers, and the daemon is alive and wrote no sanitizer report.
 *
 * An attack that the catalogue of known faults has carries its id in its name, in lower case and
 * with underscores: README.md in this folder lists them.
 */
#include <errno.h>

#include "canary.h"

/* `format` is 0 or PACKED: for the features of a guest. */
typedef void attack_fn(struct rig *r, uint64_t format);

struct attack {
	const char *name;
	attack_fn *run;
	bool both;   /* with split rings, then with packed ones */
	bool packed; /* with packed rings alone */
	bool once;   /* too long to be run twice: nothing is compared */
};

#define ATTACK(f)                      \
	{                              \
		.name = #f, .run = (f) \
	}
#define ATTACK_BOTH(f)                               \
	{                                            \
		.name = #f, .run = (f), .both = true \
	}
#define ATTACK_ONCE(f)                               \
	{                                            \
		.name = #f, .run = (f), .once = true \
	}
#define ATTACK_PACKED(f)                               \
	{                                              \
		.name = #f, .run = (f), .packed = true \
	}

/*
 * Run a program's attacks; its exit status. `more` are arguments of the daemon as for rig_start, or
 * NULL. $RINGWAY_TEST_ONLY runs only those whose name matches that pattern of the shell.
 */
int hostile_main(
	const char *program, const struct attack *attacks, size_t n, const char *const *more);

/* A member of a budget of a port, as `ringway port show` has it. */
uint64_t port_budget(struct rig *r, const char *port, const char *kind, const char *member);

/* One KEY=VALUE of `ringway port set`. */
void port_set(struct rig *r, const char *port, const char *key, const char *value);
