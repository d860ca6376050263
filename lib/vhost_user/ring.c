/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings: the rules for their parts, which come in any order, and the messages about one ring. */
#include <errno.h>

#include "internal.h"
#include "rw_log.h"

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

/* Close the descriptor in `slot`, and put `fd` there; -1: none. */
static void fd_replace(struct vu_session *s, int *slot, int fd)
{
	vu_close(s, *slot);
	*slot = fd;
}

void vu_ring_reset(struct vu_session *s, struct vu_ring *r)
{
	fd_replace(s, &r->kick_fd, -1);
	fd_replace(s, &r->err_fd, -1);
	vu_call_close(s, r);
	vu_ring_init(r);
}

/*
 * QEMU gives the error eventfd and the call eventfd of a masked vector only when it connects, so a
 * device that it resets must still have them.
 */
void vu_ring_restart(struct vu_session *s, struct vu_ring *r)
{
	struct vu_ring kept = *r;

	fd_replace(s, &r->kick_fd, -1);
	vu_ring_init(r);
	r->err_fd = kept.err_fd;
	r->call_fd = kept.call_fd;
	r->call = kept.call;
	r->call_given = kept.call_given;
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

/* Whether a part suits the ring format. Anything does until SET_FEATURES has chosen one. */

static bool num_fits(const struct vu_session *s, uint32_t num)
{
	return !s->features_set || is_packed(s) || rw_is_power_of_2(num);
}

static bool base_fits(const struct vu_session *s, uint32_t base)
{
	return !s->features_set || is_packed(s) || base <= UINT16_MAX;
}

static bool addr_fits(const struct vu_session *s, const struct vu_vring_addr *addr)
{
	uint64_t avail_align = is_packed(s) ? PACKED_AVAIL_ALIGN : SPLIT_AVAIL_ALIGN;

	if (!s->features_set)
		return true;
	return !(addr->desc % DESC_ALIGN) && !(addr->avail % avail_align) &&
		!(addr->used % USED_ALIGN);
}

/* A device of virtio 1.0 or later is little-endian, and so is one with packed rings. */
static bool swap_fits(const struct vu_session *s, bool swap)
{
	return !swap || !s->features_set || !(vu_has_feature(s, VU_F_VERSION_1) || is_packed(s));
}

bool vu_ring_complete(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = &s->rings[i];

	return s->features_set && s->mem && s->mem->nregions && !s->mem_unacked && r->num &&
		r->addr_set && r->started;
}

bool vu_ring_ready(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = &s->rings[i];

	return vu_ring_complete(s, i) && num_fits(s, r->num) && base_fits(s, r->base) &&
		addr_fits(s, &r->addr) && swap_fits(s, r->swap);
}

bool vu_rings_run(const struct vu_session *s)
{
	for (unsigned i = 0; i < s->nrings; i++) {
		if (vu_ring_ready(s, i))
			return true;
	}
	return false;
}

struct gm_space vu_ring_space(const struct vu_session *s)
{
	struct gm_space space = {.kind = GM_UVA, .map = s->mem};

	if (s->iotlb) {
		space.kind = GM_IOVA;
		space.view = gm_iotlb_view(s->iotlb);
	} else if (vu_has_protocol_feature(s, VU_PF_GPA_ADDRESSES)) {
		space.kind = GM_GPA;
	}
	return space;
}

bool vu_logs_buffers(const struct vu_session *s)
{
	return s->log && vu_has_feature(s, VU_F_LOG_ALL);
}

bool vu_logs_ring(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = &s->rings[i];

	return s->log && r->addr_set && r->addr.flags & VU_VRING_LOG;
}

void vu_ring_error(struct vu_session *s, unsigned i)
{
	int fd = s->rings[i].err_fd;

	if (fd < 0) {
		if (vu_has_protocol_feature(s, VU_PF_INBAND_NOTIFICATIONS))
			vu_channel_error(s, i);
	} else if (rw_helper_signal(s->offer.helper, VU_SLOT_ERR + i, fd)) {
		rw_debug("%s: ring %u: the error eventfd cannot be written", s->name, i);
	}
}

void vu_ring_rested(struct vu_session *s, unsigned i, uint32_t base)
{
	s->rings[i].base = base;
}

/* ---- the messages ---- */

int vu_on_set_vring_num(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	uint32_t num = m->payload.state.num;

	if (!num || num > s->offer.max_ring_size)
		return vu_refuse(m, -EINVAL, "ring size out of range");
	if (!num_fits(s, num))
		return vu_refuse(m, -EINVAL, "the size of a split ring is a power of two");
	if (num != r->num && vu_ring_ready(s, m->ring))
		return vu_refuse(m, -EBUSY, "the size of a running ring is fixed");
	r->num = num;
	return 0;
}

/* Whether memory is mapped at a ring's address. An I/O virtual address may be mapped later. */
static bool is_mapped(const struct vu_session *s, uint64_t addr)
{
	uint64_t gpa;

	switch (vu_ring_space(s).kind) {
	case GM_UVA:
		return !gm_uva_to_gpa(s->mem, addr, &gpa);
	case GM_GPA:
		return gm_region_find(s->mem, addr);
	case GM_IOVA:
		break;
	}
	return true;
}

int vu_on_set_vring_addr(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_vring_addr *a = &m->payload.addr;
	struct vu_ring *r = &s->rings[m->ring];

	if (!s->mem && !s->iotlb)
		return vu_refuse(m, -EINVAL, "no guest memory was given: is it shared (share=on)?");
	if (!is_mapped(s, a->desc) || !is_mapped(s, a->avail) || !is_mapped(s, a->used))
		return vu_refuse(m, -EFAULT, "the ring is outside the guest's memory");
	if (!addr_fits(s, a))
		return vu_refuse(m, -EINVAL, "misaligned ring");
	r->addr = *a;
	r->addr_set = true;
	return 0;
}

int vu_on_set_vring_base(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];

	if (!base_fits(s, m->payload.state.num))
		return vu_refuse(m, -EINVAL, "an index of a split ring has 16 bits");
	r->base = m->payload.state.num;
	r->base_set = true;
	return 0;
}

/*
 * Stops the ring. Only a new kick starts it again: a guest's firmware may use one ring of many, and
 * QEMU enables all of them, although the others still have the addresses of the previous system.
 */
int vu_on_get_vring_base(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	int ret;

	/*
	 * QEMU reports unmapped ranges only while its device runs: what the IOTLB has now may be
	 * wrong when it starts again. Rings that still run ask again.
	 */
	ret = s->iotlb ? gm_iotlb_invalidate(s->iotlb, 0, 0) : 0;
	if (ret)
		return ret;
	r->started = false;
	r->base_set = true;
	fd_replace(s, &r->kick_fd, -1);
	m->payload.state.num = r->base;
	return 0;
}

void vu_after_get_vring_base(struct vu_session *s, unsigned ring)
{
	if (s->ops->ring_stopped)
		s->ops->ring_stopped(s->dev, ring);
}

/*
 * The ring counts as started from now on, not from the first kick: it is polled anyway, and after a
 * restart of ours the guest may have no reason to kick.
 */
int vu_on_set_vring_kick(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	int fd, ret = vu_msg_take_eventfd(m, &fd);

	if (ret)
		return ret;
	fd_replace(s, &r->kick_fd, fd);
	r->kick_polled = fd < 0;
	r->started = true;
	return 0;
}

/* In-band: it starts the ring, or kicks one that has started. */
int vu_on_vring_kick(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];

	if (m->payload.state.num)
		return vu_refuse(m, -EINVAL, "a reserved field is not zero");
	if (r->started)
		s->ops->ring_kicked(s->dev, m->ring);
	r->started = true;
	return 0;
}

int vu_on_set_vring_call(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	int fd, ret = vu_msg_take_eventfd(m, &fd);

	if (ret)
		return ret;
	vu_call_close(s, r);
	r->call_fd = fd;
	r->call_given = true;
	return 0;
}

int vu_on_set_vring_err(struct vu_session *s, struct vu_msg *m)
{
	int fd, ret = vu_msg_take_eventfd(m, &fd);

	if (!ret)
		fd_replace(s, &s->rings[m->ring].err_fd, fd);
	return ret;
}

int vu_on_set_vring_enable(struct vu_session *s, struct vu_msg *m)
{
	if (m->payload.state.num > 1)
		return vu_refuse(m, -EINVAL, "neither on nor off");
	s->rings[m->ring].enabled = m->payload.state.num;
	return 0;
}

int vu_on_set_vring_endian(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	uint32_t big = m->payload.state.num;

	if (big > 1)
		return vu_refuse(m, -EINVAL, "neither little- nor big-endian");
	if (!swap_fits(s, big))
		return vu_refuse(m, -EINVAL, "only legacy devices may be big-endian");
	if (r->swap != (bool)big && vu_ring_ready(s, m->ring))
		return vu_refuse(m, -EBUSY, "the byte order of a running ring is fixed");
	r->swap = big;
	return 0;
}
