/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Guests that migrate to the switch in mid-life: for the postcopy tests. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fe_postcopy.h"
#include "harness.h"

/* Whether this process may have a userfaultfd. */
static inline bool userfaultfd_is_there(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The same for a whole program; says so if not, as TAP has it. */
static inline bool postcopy_is_possible(void)
{
	bool possible = userfaultfd_is_there();

	if (!possible)
		printf("1..0 # SKIP no userfaultfd here\n");
	return possible;
}

/* The operator trusts the front-ends of all ports. */
static inline int postcopy_allow(struct rig *r)
{
	rig_allow(r, "postcopy");
	return 0;
}

/* The ordinary guest, of a front-end that can migrate it so. */
static inline struct fe_guest_config guest_moving(void)
{
	struct fe_guest_config c = guest_usual();

	c.protocol_features |= FE_BIT(VU_PF_PAGEFAULT);
	return c;
}

/* The guest stops at its source; the last frames have arrived. */
static inline void moved_away(struct rig *r, struct peer *p)
{
	uint32_t i;

	for (i = 0; i < p->g->nqueues; i++)
		assert_int_equal(fe_guest_stop_ring(p->g, i, NULL), 0);
	fe_guest_disconnect(p->g);
	rig_wait(r, !rig_port_info(r, p->port, "connected"));
	assert_int_equal(fe_postcopy_begin(p->g), 0);
}

/*
 * It goes on here, with no page of its memory. Each ring is told to start when all else is said:
 * what a guest has sent would be discarded while the ring is disabled, and once it runs it may wait
 * for a page at once.
 */
static inline void moved_here(struct rig *r, struct peer *p)
{
	static const enum fe_step order[] = {
		FE_NUM, FE_BASE, FE_ENDIAN, FE_ADDR, FE_CALL, FE_ENABLE, FE_KICK};
	struct fe_guest *g = p->g;
	uint32_t i, step;

	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(g), 0);
	assert_int_equal(fe_postcopy_advise(g->postcopy), 0);
	assert_int_equal(fe_postcopy_listen(g->postcopy), 0);
	assert_int_equal(fe_guest_share_memory(g), 0);
	for (i = 0; i < g->nqueues; i++)
		for (step = 0; step < RW_ARRAY_SIZE(order); step++)
			assert_int_equal(fe_guest_ring_step(g, i, order[step]), 0);
	peer_sync(p);
}
