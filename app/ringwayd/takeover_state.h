/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The state of ports and of the switch as JSON, for a takeover (takeover.h). Thread: control.
 */
#include "takeover_wire.h"
#include "vhost_takeover.h"

struct daemon;

/* A new object; descriptors are added to `fds` and stay the state's. NULL: no memory. */
json_t *takeover_state_write(const struct vhost_port_state *st, struct takeover_fds *fds);
/*
 * Fill in `st`, with descriptors out of `fds`. NULL; or the name of a field that is missing or
 * wrong. `st` is to be freed in any case.
 */
const char *takeover_state_read(
	const json_t *from, struct vhost_port_state *st, struct takeover_fds *fds);

/* Guest memory, as vhost_port_prepare takes it. As the two above; `n`: how many there are. */
json_t *takeover_regions_write(
	const struct vu_export_region *regions, uint32_t n, struct takeover_fds *fds);
const char *takeover_regions_read(const json_t *from, struct vu_export_region *regions, uint32_t *n,
	struct takeover_fds *fds);

/* The counters of a port as a new array. */
json_t *takeover_counters_write(const struct port *port);
/* How often its link changed; what is missing or wrong counts as never. */
json_t *takeover_link_write(const struct sw *sw, const struct port *port);
struct sw_link takeover_link_read(const json_t *from);
/* Add them to those of `port`. 0, -EPROTO or -ENOMEM. */
int takeover_counters_read(const json_t *from, struct port *port);

/*
 * The addresses that the switch knows, from `*cursor` on (0: the beginning): a new array of as many
 * as fit into one text. FDB_CURSOR_END in `*cursor`: that were all.
 */
json_t *takeover_fdb_write(const struct daemon *d, uint32_t *cursor);
/* Enter them, where there are their ports and bridges. */
void takeover_fdb_read(struct daemon *d, const json_t *from);
