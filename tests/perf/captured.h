/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A capture as ringwayd makes it, whose reader is the program itself.
 *
 * Functions end the program with a line on stderr when something is wrong. Thread: the worker's,
 * which is also control.
 */
#include "sw.h"

struct captured;

/* Capture what that port sends and receives. */
struct captured *captured_begin(struct sw *sw, const char *port);
void captured_end(struct captured *c);
/* Read all that was captured, so that there is room again. How many frames. */
unsigned captured_read(struct captured *c);
