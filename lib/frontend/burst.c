/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting a queue, posting buffers to it, and kicking the device. */
#include <string.h>
#include <sys/eventfd.h>

#include "burst_priv.h"

/* Where the virtio-net header begins in the first line. */
static uint32_t lead(const struct fe_burst *b)
{
	return FE_BURST_FRAME_AT - b->hdr_len;
}

static bool config_is_sane(const struct fe_burst_config *c)
{
	uint64_t misaligned = (uintptr_t)c->host | c->gpa | c->stride;
	bool header = c->hdr_len == 10 || c->hdr_len == 12;

	return rw_is_power_of_2(c->num) && c->num <= FE_RING_MAX && header &&
		!(misaligned % RW_CACHE_LINE) && c->size > FE_BURST_FRAME_AT &&
		c->size <= c->stride;
}

/*
 * Write a split ring's descriptors and available ring. They stay unchanged unless the device
 * returns buffers out of order.
 */
static void split_fill(struct fe_burst *b)
{
	uint32_t i;

	for (i = 0; i <= b->mask; i++) {
		b->desc[i] = (struct vring_desc){
			.addr = b->gpa + (uint64_t)i * b->stride + lead(b),
			.len = b->receive ? b->size : 0,
			.flags = b->receive ? VRING_DESC_F_WRITE : 0,
		};
		b->avail->ring[i] = (uint16_t)i;
	}
	b->avail->idx = 0;
	b->avail->flags = b->event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
	b->avail->ring[b->mask + 1] = UINT16_MAX;
}

static void packed_fill(struct fe_burst *b)
{
	memset(b->pdesc, 0, (b->mask + 1) * sizeof(*b->pdesc));
	b->driver_event->off_wrap = 0;
	b->driver_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
}

int fe_burst_init(struct fe_burst *b, const struct fe_burst_config *c)
{
	uint32_t i;
	void *mem;

	if (!config_is_sane(c))
		return -EINVAL;
	mem = rw_zalloc(c->num * (sizeof(*b->lens) + sizeof(*b->ids) + sizeof(*b->busy)));
	if (!mem)
		return -ENOMEM;
	*b = (struct fe_burst){
		.host = c->host,
		.gpa = c->gpa,
		.stride = c->stride,
		.mask = c->num - 1u,
		.hdr_len = c->hdr_len,
		.packed = c->format == FE_PACKED,
		.receive = c->receive,
		.event_idx = c->event_idx,
		.in_order = c->in_order,
		.mergeable = c->mergeable,
		.kick_fd = c->kick_fd,
		.lens = mem,
	};
	b->size = c->size - lead(b);
	b->ids = (uint16_t *)(b->lens + c->num);
	b->busy = (bool *)(b->ids + c->num);
	for (i = 0; i < c->num; i++)
		b->ids[i] = (uint16_t)i;
	if (b->packed) {
		b->pdesc = c->desc;
		b->driver_event = c->driver;
		b->device_event = c->device;
		packed_fill(b);
	} else {
		b->desc = c->desc;
		b->avail = c->driver;
		b->used = c->device;
		split_fill(b);
	}
	if (b->receive) {
		fe_burst_post(b, c->num);
		fe_burst_publish(b);
	}
	return 0;
}

void fe_burst_fini(struct fe_burst *b)
{
	rw_free(b->lens);
	memset(b, 0, sizeof(*b));
}

void fe_burst_set_len(struct fe_burst *b, uint16_t id, uint32_t len)
{
	b->lens[id] = b->hdr_len + len;
	if (!b->packed)
		b->desc[id].len = b->lens[id];
}

/* The second word of a packed descriptor: length, id and the flags that make it available. */
RW_ALWAYS_INLINE uint64_t packed_word(
	const struct fe_burst *b, uint16_t id, uint16_t flags, const bool receive)
{
	return (receive ? b->size : b->lens[id]) | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

/*
 * Write the descriptors of positions [pos, end), which lie in one lap, except the second word of
 * the first one. Return that word. Addresses are written each time, because ids may have moved and
 * a device may overwrite a whole descriptor.
 */
RW_ALWAYS_INLINE uint64_t post_lap(
	const struct fe_burst *b, uint32_t pos, uint32_t end, const bool receive)
{
	const struct fe_burst c = *b;
	const uint64_t at = c.gpa + lead(&c);
	const uint16_t flags = burst_avail_flags(&c, pos) | (receive ? VRING_DESC_F_WRITE : 0u);
	struct vring_packed_desc *d = &c.pdesc[pos & c.mask], *last = d + (end - pos);
	const uint16_t *id = &c.ids[pos & c.mask];
	uint64_t first = packed_word(&c, *id, flags, receive);

	d->addr = at + (uint64_t)*id * c.stride;
	for (d++, id++; d != last; d++, id++) {
		d->addr = at + (uint64_t)*id * c.stride;
		*(uint64_t *)&d->len = packed_word(&c, *id, flags, receive);
	}
	return first;
}

/* The device stops at the first descriptor that is not available, so that one is written last. */
RW_ALWAYS_INLINE void post_packed(const struct fe_burst *b, uint32_t end, const bool receive)
{
	const uint32_t pos = b->posted, lap = burst_lap(b, pos, end);
	uint64_t first = post_lap(b, pos, lap, receive);

	if (lap != end)
		*(uint64_t *)&b->pdesc[0].len = post_lap(b, lap, end, receive);
	/* Release: descriptors and buffers before the flags; pairs with the device's acquire. */
	__atomic_store_n((uint64_t *)&b->pdesc[pos & b->mask].len, first, __ATOMIC_RELEASE);
}

void fe_burst_post(struct fe_burst *b, uint32_t end)
{
	uint32_t pos;

	if (end == b->posted)
		return;
	if (rw_unlikely(b->loose)) {
		for (pos = b->posted; pos != end; pos++) {
			b->busy[b->ids[pos & b->mask]] = true;
			if (!b->packed)
				b->avail->ring[pos & b->mask] = b->ids[pos & b->mask];
		}
	}
	if (b->packed && b->receive)
		post_packed(b, end, true);
	else if (b->packed)
		post_packed(b, end, false);
	b->posted = end;
}

static bool wants_kick_split(const struct fe_burst *b, uint32_t before)
{
	uint16_t event;

	if (!b->event_idx)
		return !(__atomic_load_n(&b->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n((uint16_t *)&b->used->ring[b->mask + 1], __ATOMIC_RELAXED);
	return vring_need_event(event, (uint16_t)b->published, (uint16_t)before);
}

static bool wants_kick_packed(const struct fe_burst *b, uint32_t before)
{
	/* One load: offset and flags belong together. */
	uint32_t event = __atomic_load_n((uint32_t *)b->device_event, __ATOMIC_RELAXED);
	uint32_t num = b->mask + 1;
	uint32_t flags = event >> 16 & 3;
	uint32_t off = event & ((1u << VRING_PACKED_EVENT_F_WRAP_CTR) - 1);
	bool wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR & 1;
	uint32_t slot = b->published & b->mask;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !b->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (wrap != !(b->published & num))
		off -= num;
	return vring_need_event(
		(uint16_t)off, (uint16_t)slot, (uint16_t)(slot - (b->published - before)));
}

void fe_burst_publish(struct fe_burst *b)
{
	if (b->published == b->posted)
		return;
	b->published = b->posted;
	if (b->packed)
		return;
	/* The last used index is the farthest event: no call for another 65,000 buffers. */
	if (b->event_idx)
		__atomic_store_n(
			&b->avail->ring[b->mask + 1], (uint16_t)(b->next - 1), __ATOMIC_RELAXED);
	/* Release: write buffers before the index; pairs with the device's acquire. */
	__atomic_store_n(&b->avail->idx, (uint16_t)b->posted, __ATOMIC_RELEASE);
}

void fe_burst_kick_slow(struct fe_burst *b)
{
	uint32_t before = b->told;
	bool wanted;

	b->told = b->published;
	/*
	 * Full barrier between publishing and reading whether the device enabled notifications.
	 * It pairs with the device's barrier between enabling notifications and reading the ring
	 * again.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = b->packed ? wants_kick_packed(b, before) : wants_kick_split(b, before);
	if (rw_likely(!wanted))
		return;
	b->kicks++;
	if (b->kick_fd >= 0)
		eventfd_write(b->kick_fd, 1);
}

/* Make the queue loose: from now on `busy`, not positions, says which buffers the device has. */
static void loosen(struct fe_burst *b, uint32_t pos)
{
	for (; pos != b->posted; pos++)
		b->busy[b->ids[pos & b->mask]] = true;
	b->loose = true;
}

int fe_burst_stray(struct fe_burst *b, uint32_t pos, uint32_t id, uint32_t len, uint32_t *behind)
{
	uint32_t slot = pos & b->mask;
	uint32_t skip;

	if (id > b->mask || (b->receive && len > b->size))
		return -EPROTO;
	if (b->in_order) {
		skip = (id - slot) & b->mask;
		if (skip >= b->published - pos)
			return -EPROTO;
		/* Buffers that the entry does not name count as written in full (2.7.9, 2.8.9). */
		for (; skip; skip--, pos++) {
			if (b->receive)
				b->lens[pos & b->mask] = b->size;
		}
		slot = pos & b->mask;
	} else {
		if (!b->loose && id != slot)
			loosen(b, pos);
		if (b->loose) {
			if (!b->busy[id])
				return -EPROTO;
			b->busy[id] = false;
			b->ids[slot] = (uint16_t)id;
		}
	}
	if (b->receive)
		b->lens[slot] = len;
	*behind = pos + 1;
	return 0;
}
