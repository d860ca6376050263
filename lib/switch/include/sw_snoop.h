/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * IGMP and MLD snooping (RFC 4541): frames to a group go to the ports that have joined it and to
 * those with a multicast router behind them, in each domain on its own. lib/mdb says what is known
 * and for how long. Where no querier is heard, and for the groups that everybody gets, frames are
 * flooded as without snooping.
 *
 * Reports go to router ports alone, so that hosts do not hear each other's: each answers for
 * itself. Queries and what is malformed are flooded.
 *
 * Threads: control.
 */
#include "sw.h"

struct mdb;

/* Switch snooping on or off; at first it is off. Off forgets all groups. */
void sw_snooping_set(struct sw *sw, bool on);
bool sw_snooping(const struct sw *sw);
struct mdb *sw_mdb(struct sw *sw);
