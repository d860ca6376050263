/* SPDX-License-Identifier: BSD-3-Clause */
/* What each message does to the session, in the order of the rows in table.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* IPv4's smallest MTU (RFC 791), and what the virtio configuration field holds. */
#define MTU_MIN 68
#define MTU_MAX UINT16_MAX

/* Device status bit by which the driver asks whether its choice of features is acceptable. */
#define STATUS_FEATURES_OK 0x8

/*
 * A session begins when the connection does, so SET_OWNER tells nothing new; RESET_OWNER is
 * deprecated and meant different things to different back-ends, so nothing is what it does.
 */
int vu_on_owner(struct vu_session *s, struct vu_msg *m)
{
	(void)s;
	(void)m;
	return 0;
}

int vu_on_get_features(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->offer.features;
	return 0;
}

static int features_check(const struct vu_session *s, struct vu_msg *m)
{
	if (m->payload.u64 & ~s->offer.features)
		return vu_refuse(m, -EINVAL, "features that were not offered");
	if (s->features_set && m->payload.u64 == s->features)
		return 0;
	for (unsigned i = 0; i < s->nrings; i++) {
		if (vu_ring_ready(s, i))
			return vu_refuse(m, -EBUSY, "features change while a ring runs");
	}
	return 0;
}

int vu_on_set_features(struct vu_session *s, struct vu_msg *m)
{
	int ret = features_check(s, m);

	s->features_refused = ret != 0;
	if (ret)
		return ret;
	s->features = m->payload.u64;
	s->features_set = true;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		struct vu_ring *r = &s->rings[i];

		if (!r->base_set)
			r->base = vu_ring_first_base(s);
		/* Without protocol features there is no SET_VRING_ENABLE. */
		if (!vu_has_feature(s, VU_F_PROTOCOL_FEATURES))
			r->enabled = true;
	}
	return 0;
}

int vu_on_set_mem_table(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_mem_table *t = &m->payload.mem;
	struct gm_region_desc descs[VU_MAX_TABLE_REGIONS];
	struct gm_map *map, *old = s->mem;
	uint32_t n = t->nregions;
	int ret;

	if (!n || n > VU_MAX_TABLE_REGIONS)
		return vu_refuse(m, -EINVAL, "wrong number of regions");
	/* The unused tail of the table may be sent or left out. */
	if (m->hdr.size != sizeof(*t) &&
		m->hdr.size != offsetof(struct vu_mem_table, regions) + n * sizeof(t->regions[0]))
		return vu_refuse(m, -EPROTO, "wrong payload size");
	for (uint32_t i = 0; i < n; i++) {
		descs[i] = (struct gm_region_desc){
			.gpa = t->regions[i].gpa,
			.size = t->regions[i].size,
			.uva = t->regions[i].uva,
			.mmap_offset = t->regions[i].mmap_offset,
		};
	}
	ret = gm_map_new(descs, m->fds, n, old, &map);
	if (ret)
		return ret;
	s->mem = map;
	gm_map_free(old);
	return 0;
}

int vu_on_set_vring_num(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	uint32_t num = m->payload.state.num;

	if (!num || num > s->offer.max_ring_size)
		return vu_refuse(m, -EINVAL, "ring size out of range");
	if (!vu_ring_num_fits(s, num))
		return vu_refuse(m, -EINVAL, "the size of a split ring is a power of two");
	if (num != r->num && vu_ring_ready(s, m->ring))
		return vu_refuse(m, -EBUSY, "the size of a running ring is fixed");
	r->num = num;
	return 0;
}

int vu_on_set_vring_addr(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_vring_addr *a = &m->payload.addr;
	struct vu_ring *r = &s->rings[m->ring];
	uint64_t gpa;

	if (!s->mem)
		return vu_refuse(m, -EINVAL, "no memory table yet");
	if (gm_uva_to_gpa(s->mem, a->desc, &gpa) || gm_uva_to_gpa(s->mem, a->avail, &gpa) ||
		gm_uva_to_gpa(s->mem, a->used, &gpa))
		return vu_refuse(m, -EFAULT, "the ring is outside the guest's memory");
	if (!vu_ring_addr_fits(s, a))
		return vu_refuse(m, -EINVAL, "misaligned ring");
	r->addr = *a;
	r->addr_set = true;
	return 0;
}

int vu_on_set_vring_base(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];

	if (!vu_ring_base_fits(s, m->payload.state.num))
		return vu_refuse(m, -EINVAL, "an index of a split ring has 16 bits");
	r->base = m->payload.state.num;
	r->base_set = true;
	return 0;
}

/*
 * Stops the ring. It starts again with a new kick only: a guest's firmware may use one ring of
 * many, and QEMU enables all of them, which still have the addresses of the system that ran before.
 */
int vu_on_get_vring_base(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];

	r->started = false;
	r->base_set = true;
	if (r->kick_fd >= 0)
		close(r->kick_fd);
	r->kick_fd = -1;
	m->payload.state.num = r->base;
	return 0;
}

/* Workers write to these descriptors: whatever else a front-end may send could make them wait. */
static bool is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], what[sizeof(want) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, what, sizeof(what));
	return n == (ssize_t)strlen(want) && !memcmp(what, want, strlen(want));
}

/* Let the message's descriptor, or none if that is what it says, replace the one in `slot`. */
static int fd_replace(struct vu_msg *m, int *slot)
{
	int fd = -1;

	if (!(m->payload.u64 & VU_VRING_NOFD)) {
		int flags = fcntl(m->fds[0], F_GETFL);

		if (flags < 0 || !is_eventfd(m->fds[0]))
			return vu_refuse(m, -EINVAL, "the descriptor is no eventfd");
		if (fcntl(m->fds[0], F_SETFL, flags | O_NONBLOCK))
			return -errno;
		fd = vu_msg_take_fd(m, 0);
	}
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
	return 0;
}

/*
 * The ring counts as started from here, without waiting for the first kick: it is polled anyway,
 * and after a restart of ours the guest may see no reason to kick.
 */
int vu_on_set_vring_kick(struct vu_session *s, struct vu_msg *m)
{
	struct vu_ring *r = &s->rings[m->ring];
	int ret = fd_replace(m, &r->kick_fd);

	if (!ret)
		r->started = true;
	return ret;
}

int vu_on_set_vring_call(struct vu_session *s, struct vu_msg *m)
{
	return fd_replace(m, &s->rings[m->ring].call_fd);
}

int vu_on_set_vring_err(struct vu_session *s, struct vu_msg *m)
{
	return fd_replace(m, &s->rings[m->ring].err_fd);
}

int vu_on_get_protocol_features(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->offer.protocol_features;
	return 0;
}

int vu_on_set_protocol_features(struct vu_session *s, struct vu_msg *m)
{
	if (m->payload.u64 & ~s->offer.protocol_features)
		return vu_refuse(m, -EINVAL, "protocol features that were not offered");
	s->protocol_features = m->payload.u64;
	return 0;
}

int vu_on_get_queue_num(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->offer.max_pairs;
	return 0;
}

int vu_on_set_vring_enable(struct vu_session *s, struct vu_msg *m)
{
	if (m->payload.state.num > 1)
		return vu_refuse(m, -EINVAL, "neither on nor off");
	s->rings[m->ring].enabled = m->payload.state.num;
	return 0;
}

int vu_on_net_set_mtu(struct vu_session *s, struct vu_msg *m)
{
	uint64_t mtu = m->payload.u64;

	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return vu_refuse(m, -EINVAL, "MTU out of range");
	s->mtu = (uint16_t)mtu;
	s->ops->mtu_changed(s->dev, s->mtu);
	return 0;
}

/* The guest's driver begins anew; what belongs to the front-end (memory, protocol) stays. */
int vu_on_reset_device(struct vu_session *s, struct vu_msg *m)
{
	(void)m;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		vu_ring_reset(&s->rings[i]);
	s->features = 0;
	s->features_set = false;
	s->features_refused = false;
	s->status = 0;
	return 0;
}

/*
 * Kept for GET_STATUS. Zero, "the driver resets the device", needs no more: rings are stopped by
 * GET_VRING_BASE, and DPDK's virtio-user sends it before it starts and after it has stopped them.
 */
int vu_on_set_status(struct vu_session *s, struct vu_msg *m)
{
	s->status = (uint8_t)m->payload.u64;
	if (s->features_refused)
		s->status &= (uint8_t)~STATUS_FEATURES_OK;
	return 0;
}

int vu_on_get_status(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->status;
	return 0;
}
