/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A driver whose whole state is a value, for tests that try many continuations from one point: copy
 * the state and the memory it shares with the device, and go on with the copies. Every buffer has a
 * name, a number that counts up, and must come back in the order in which it was made available.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vq_ops.h"

#define MAX_NUM   8   /* ring entries */
#define MAX_CHAIN 3   /* descriptors of a chain */
#define BUF_BYTES 64u /* of a descriptor's buffer; its address tells whose it is */
#define MEM_BYTES (1u << 20)

/* What survives a kill. */
struct shared {
	_Alignas(64) uint8_t desc[MAX_NUM * 16];
	_Alignas(64) uint8_t driver[64];
	_Alignas(64) uint8_t device[128];
	_Alignas(64) uint8_t record[32 + MAX_NUM * 32 + 32];
	_Alignas(64) uint8_t progress[64];
	uint32_t open; /* the progress is that of this ring */
};

/* The driver, as a value. */
struct driver {
	uint16_t avail_idx, used_idx; /* split: free-running; packed: position */
	bool avail_wrap, used_wrap;   /* packed */
	uint32_t in, out;             /* buffers made available and taken back: names of the next */
	uint16_t room;                /* free descriptors */
	uint16_t free[MAX_NUM];       /* circle of free descriptors (packed: buffer ids)... */
	uint16_t nfree, free_at;      /* ...how many and where the first is */
	struct {
		uint32_t name;
		uint16_t n;
		uint16_t descs[MAX_CHAIN];
	} chains[MAX_NUM]; /* by head, resp. id */
};

struct variant {
	bool packed;
	uint16_t num;
	unsigned max_chain; /* chains have 1 to this many descriptors */
	unsigned max_burst; /* and bursts as many chains */
	unsigned rounds;
	bool progress; /* of the device, without an in-flight record */
	bool slow;     /* then: with the functions for slow-path features */
};

static inline uint16_t id_take(struct driver *d, uint16_t num)
{
	uint16_t id = d->free[d->free_at];

	d->free_at = (uint16_t)((d->free_at + 1) % num);
	d->nfree--;
	return id;
}

static inline void id_give(struct driver *d, uint16_t num, uint16_t id)
{
	d->free[(d->free_at + d->nfree++) % num] = id;
}

static inline uint64_t buffer_of(uint32_t name, unsigned piece)
{
	/* No buffer is at 0: an entry that was used is never all zero. */
	return (1 + name % (MEM_BYTES / BUF_BYTES / MAX_CHAIN - 1) * MAX_CHAIN + piece) * BUF_BYTES;
}

static inline void driver_init(struct driver *d, uint16_t num)
{
	*d = (struct driver){.avail_wrap = true, .used_wrap = true, .room = num, .nfree = num};
	for (uint16_t i = 0; i < num; i++) /* ids in another order than positions */
		d->free[i] = (uint16_t)(num - 1 - i);
}

static inline void add_split(struct driver *d, struct shared *s, uint16_t num, uint16_t n)
{
	struct vring_desc *desc = (struct vring_desc *)s->desc;
	struct vring_avail *avail = (struct vring_avail *)s->driver;
	uint16_t descs[MAX_CHAIN];

	for (uint16_t i = 0; i < n; i++)
		descs[i] = id_take(d, num);
	for (uint16_t i = 0; i < n; i++)
		desc[descs[i]] = (struct vring_desc){.addr = buffer_of(d->in, i),
			.len = BUF_BYTES,
			.flags = VRING_DESC_F_WRITE | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
			.next = i + 1 < n ? descs[i + 1] : 0};
	d->chains[descs[0]].name = d->in;
	d->chains[descs[0]].n = n;
	memcpy(d->chains[descs[0]].descs, descs, sizeof(descs));
	avail->ring[d->avail_idx % num] = descs[0];
	__atomic_store_n(&avail->idx, ++d->avail_idx, __ATOMIC_RELEASE);
}

static inline void add_packed(struct driver *d, struct shared *s, uint16_t num, uint16_t n)
{
	struct vring_packed_desc *ring = (struct vring_packed_desc *)s->desc;
	uint16_t id = id_take(d, num), first = d->avail_idx, first_flags = 0;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t flags = d->avail_wrap ? VQ_PACKED_AVAIL : VQ_PACKED_USED;
		struct vring_packed_desc *p = &ring[d->avail_idx];

		flags |= VRING_DESC_F_WRITE | (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		p->addr = buffer_of(d->in, i);
		p->len = BUF_BYTES;
		p->id = id;
		if (i)
			p->flags = flags;
		else
			first_flags = flags;
		if (++d->avail_idx == num) {
			d->avail_idx = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	d->chains[id].name = d->in;
	d->chains[id].n = n;
	__atomic_store_n(&ring[first].flags, first_flags, __ATOMIC_RELEASE);
}

/* Make the next buffer available, of as many descriptors as its name says. False: no room. */
static inline bool driver_add(struct driver *d, struct shared *s, const struct variant *v)
{
	uint16_t n = (uint16_t)(1 + d->in * 7 / 3 % v->max_chain);

	if (d->room < n)
		return false;
	if (v->packed)
		add_packed(d, s, v->num, n);
	else
		add_split(d, s, v->num, n);
	d->room = (uint16_t)(d->room - n);
	d->in++;
	return true;
}

/* Take the next used buffer, which must be the oldest. False: there is none. */
static inline bool driver_pop(struct driver *d, struct shared *s, const struct variant *v)
{
	uint32_t id;

	if (v->packed) {
		struct vring_packed_desc *p = (struct vring_packed_desc *)s->desc + d->used_idx;
		uint16_t flags = __atomic_load_n(&p->flags, __ATOMIC_ACQUIRE);

		if (!!(flags & VQ_PACKED_AVAIL) != d->used_wrap ||
			!!(flags & VQ_PACKED_USED) != d->used_wrap)
			return false;
		id = p->id;
	} else {
		struct vring_used *used = (struct vring_used *)s->device;

		if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == d->used_idx)
			return false;
		id = used->ring[d->used_idx % v->num].id;
	}
	assert_true(id < v->num);
	assert_true(d->out < d->in);
	assert_int_equal(d->chains[id].name, d->out);
	d->out++;
	d->room = (uint16_t)(d->room + d->chains[id].n);
	if (!v->packed) {
		for (uint16_t i = 0; i < d->chains[id].n; i++)
			id_give(d, v->num, d->chains[id].descs[i]);
		d->used_idx++;
		return true;
	}
	id_give(d, v->num, (uint16_t)id);
	d->used_idx = (uint16_t)(d->used_idx + d->chains[id].n);
	if (d->used_idx >= v->num) {
		d->used_idx = (uint16_t)(d->used_idx - v->num);
		d->used_wrap = !d->used_wrap;
	}
	return true;
}
