/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Frames that a receiver's guest gets in place of a large one. */
#include "gso_packets.h"
#include "harness.h"

/*
 * What the packet `whole` becomes arrives at `to`, with complete checksums or partial ones. One
 * that is not larger than a segment arrives as itself.
 */
static inline void segments_arrive(struct rig *r, struct peer *to, const struct gso_spec *s,
	const uint8_t *whole, bool partial)
{
	static uint8_t got[FRAME_MAX];
	uint32_t done = 0, nth = 0;

	do {
		struct fe_received in;
		const char *bad;

		peer_recv(r, to, 0, got, &in);
		bad = gso_check(s, whole, got, in.len, nth++, &done, partial);
		if (bad)
			fail_msg("segment %u: not so: %s", nth, bad);
		assert_int_equal(in.hdr.hdr.flags, partial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
		assert_int_equal(in.hdr.hdr.gso_type, 0);
		assert_int_equal(in.hdr.hdr.csum_start, partial ? gso_place_of(s).transport : 0);
	} while (done < s->payload);
}
