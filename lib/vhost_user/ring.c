/* SPDX-License-Identifier: BSD-3-Clause */
/* What a ring needs, whatever message said it. */
#include <unistd.h>

#include "internal.h"

/*
 * Alignment of the parts of a ring, bytes (virtio 1.2, 2.7 and 2.8): "avail" is the driver's event
 * area in a packed ring, "used" the device's.
 */
#define DESC_ALIGN         16
#define SPLIT_AVAIL_ALIGN  2
#define PACKED_AVAIL_ALIGN 4
#define USED_ALIGN         4

void vu_ring_init(struct vu_ring *r)
{
	*r = (struct vu_ring){.kick_fd = -1, .call_fd = -1, .err_fd = -1};
}

void vu_ring_reset(struct vu_ring *r)
{
	if (r->kick_fd >= 0)
		close(r->kick_fd);
	if (r->call_fd >= 0)
		close(r->call_fd);
	if (r->err_fd >= 0)
		close(r->err_fd);
	vu_ring_init(r);
}

static bool is_packed(const struct vu_session *s)
{
	return vu_has_feature(s, VU_F_RING_PACKED);
}

uint32_t vu_ring_first_base(const struct vu_session *s)
{
	const uint32_t first_lap = VU_PACKED_AVAIL_WRAP;

	return is_packed(s) ? first_lap | first_lap << VU_PACKED_USED_SHIFT : 0;
}

bool vu_ring_num_fits(const struct vu_session *s, uint32_t num)
{
	return !s->features_set || is_packed(s) || rw_is_power_of_2(num);
}

bool vu_ring_base_fits(const struct vu_session *s, uint32_t base)
{
	return !s->features_set || is_packed(s) || base <= UINT16_MAX;
}

bool vu_ring_addr_fits(const struct vu_session *s, const struct vu_vring_addr *addr)
{
	uint64_t avail_align = is_packed(s) ? PACKED_AVAIL_ALIGN : SPLIT_AVAIL_ALIGN;

	if (!s->features_set)
		return true;
	return !(addr->desc % DESC_ALIGN) && !(addr->avail % avail_align) &&
		!(addr->used % USED_ALIGN);
}

bool vu_ring_complete(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = &s->rings[i];

	return s->features_set && s->mem && r->num && r->addr_set && r->started;
}

bool vu_ring_ready(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = &s->rings[i];

	return vu_ring_complete(s, i) && vu_ring_num_fits(s, r->num) &&
		vu_ring_base_fits(s, r->base) && vu_ring_addr_fits(s, &r->addr);
}
