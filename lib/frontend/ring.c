/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "fe_ring.h"

/* All fields are little-endian (VERSION_1) and accessed as native integers. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts are not supported");
_Static_assert(sizeof(union fe_indirect_desc) == 16, "indirect table entry");

#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)

struct fe_slot {
	uint64_t token;
	uint32_t in_len; /* device-writable bytes of the buffer */
	uint16_t ndesc;  /* ring descriptors of the buffer that starts here; 0: none in flight */
	uint16_t next;   /* the chain's next descriptor, or the next free one */
};

void fe_ring_layout(enum fe_format format, uint32_t num, struct fe_layout *out)
{
	size_t driver = sizeof(struct vring_packed_desc_event);
	size_t device = sizeof(struct vring_packed_desc_event);

	if (format == FE_SPLIT) {
		/* The last field of each is the other side's event index. */
		driver = sizeof(struct vring_avail) + num * sizeof(uint16_t) + sizeof(uint16_t);
		device = sizeof(struct vring_used) + num * sizeof(struct vring_used_elem) +
			sizeof(uint16_t);
	}
	out->desc = 0;
	out->driver = rw_align_up(num * sizeof(struct vring_desc), RW_CACHE_LINE);
	out->device = rw_align_up(out->driver + driver, RW_CACHE_LINE);
	out->bytes = rw_align_up(out->device + device, RW_CACHE_LINE);
}

static uint16_t *used_event(const struct fe_ring *r)
{
	return &r->avail->ring[r->num];
}

static uint16_t *avail_event(const struct fe_ring *r)
{
	return (uint16_t *)&r->used->ring[r->num];
}

/* The flags that say "used" in the lap with wrap counter `wrap`. */
static uint16_t packed_used_flags(bool wrap)
{
	return wrap ? PACKED_AVAIL | PACKED_USED : 0;
}

static void areas_reset(struct fe_ring *r, uint16_t start)
{
	uint32_t i;

	if (r->format == FE_SPLIT) {
		memset(r->desc, 0, r->num * sizeof(*r->desc));
		memset(r->avail, 0, sizeof(*r->avail) + (r->num + 1) * sizeof(uint16_t));
		memset(r->used, 0, sizeof(*r->used) + r->num * sizeof(r->used->ring[0]));
		r->avail->idx = start;
		r->used->idx = start;
		*used_event(r) = start;
		*avail_event(r) = start;
		return;
	}
	memset(r->pdesc, 0, r->num * sizeof(*r->pdesc));
	memset(r->driver_event, 0, sizeof(*r->driver_event));
	memset(r->device_event, 0, sizeof(*r->device_event));
	/* Started in mid-lap: what lies behind was used in this lap, what lies ahead in the last. */
	for (i = 0; i < r->num; i++)
		r->pdesc[i].flags = packed_used_flags(i < start ? r->avail_wrap : !r->avail_wrap);
}

static bool config_is_sane(const struct fe_ring_config *c)
{
	uintptr_t misaligned = ((uintptr_t)c->desc & 15) | ((uintptr_t)c->device & 3);

	if (c->num == 0 || c->num > FE_RING_MAX || misaligned)
		return false;
	if (c->format == FE_SPLIT)
		return rw_is_power_of_2(c->num) && !((uintptr_t)c->driver & 1);
	return c->start < c->num && !((uintptr_t)c->driver & 3);
}

static void slots_reset(struct fe_ring *r)
{
	uint32_t i;

	for (i = 0; i < r->num; i++)
		r->slots[i].next = (uint16_t)(i + 1);
	r->free_head = 0;
	r->free_tail = (uint16_t)(r->num - 1);
	r->free_ids = r->num;
	r->free_descs = r->num;
}

int fe_ring_init(struct fe_ring *r, const struct fe_ring_config *c)
{
	struct fe_slot *slots;

	if (!config_is_sane(c))
		return -EINVAL;
	slots = rw_zalloc(c->num * (sizeof(*slots) + sizeof(uint16_t)));
	if (!slots)
		return -ENOMEM;

	memset(r, 0, sizeof(*r));
	r->format = c->format;
	r->num = c->num;
	r->event_idx = c->event_idx;
	r->in_order = c->in_order;
	r->slots = slots;
	r->order = (uint16_t *)(slots + c->num);
	if (c->format == FE_SPLIT) {
		r->desc = c->desc;
		r->avail = c->driver;
		r->used = c->device;
	} else {
		r->pdesc = c->desc;
		r->driver_event = c->driver;
		r->device_event = c->device;
	}
	r->avail_idx = r->published_idx = r->used_idx = r->used_seen = c->start;
	r->avail_wrap = r->published_wrap = r->used_wrap = c->wrap;
	slots_reset(r);
	areas_reset(r, c->start);
	return 0;
}

void fe_ring_fini(struct fe_ring *r)
{
	rw_free(r->slots);
	memset(r, 0, sizeof(*r));
}

int fe_ring_scatter(struct fe_ring *r, uint32_t seed)
{
	uint32_t i, j;
	uint16_t t;

	if (r->in_order)
		return -EINVAL;
	if (r->in_flight || r->pending)
		return -EBUSY;
	/* `order` serves IN_ORDER alone, so it is free to hold the permutation. */
	for (i = 0; i < r->num; i++)
		r->order[i] = (uint16_t)i;
	for (i = 1; i < r->num; i++) {
		seed = seed * 1664525u + 1013904223u;
		j = (seed >> 8) % (i + 1);
		t = r->order[i];
		r->order[i] = r->order[j];
		r->order[j] = t;
	}
	for (i = 0; i + 1 < r->num; i++)
		r->slots[r->order[i]].next = r->order[i + 1];
	r->free_head = r->order[0];
	r->free_tail = r->order[r->num - 1];
	return 0;
}

/* Put the list of `n` ids that starts at `id` behind the free ones. */
RW_ALWAYS_INLINE void ids_free(struct fe_ring *r, uint16_t id, uint16_t n)
{
	uint16_t last = id;
	uint16_t i;

	for (i = 1; i < n; i++)
		last = r->slots[last].next;
	if (r->free_ids)
		r->slots[r->free_tail].next = id;
	else
		r->free_head = id;
	r->free_tail = last;
	r->free_ids = (uint16_t)(r->free_ids + n);
}

RW_ALWAYS_INLINE void record_add(
	struct fe_ring *r, uint16_t id, const struct fe_chain *c, uint16_t ndesc)
{
	struct fe_slot *s = &r->slots[id];
	uint32_t pos = (uint32_t)r->order_head + r->in_flight;
	uint32_t in_len = 0;
	uint32_t i;

	for (i = c->n_out; i < (uint32_t)c->n_out + c->n_in; i++)
		in_len += c->segs[i].len;
	s->token = c->token;
	s->in_len = in_len;
	s->ndesc = ndesc;
	if (r->in_order)
		r->order[pos >= r->num ? pos - r->num : pos] = id;
	r->in_flight++;
	r->free_descs = (uint16_t)(r->free_descs - ndesc);
}

static void table_fill_split(const struct fe_chain *c, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct vring_desc *d = &c->table[i].split;

		d->addr = c->segs[i].gpa;
		d->len = c->segs[i].len;
		d->flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
		d->next = 0;
		if (i + 1 < n) {
			d->flags |= VRING_DESC_F_NEXT;
			d->next = (uint16_t)(i + 1);
		}
	}
}

static void table_fill_packed(const struct fe_chain *c, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct vring_packed_desc *d = &c->table[i].packed;

		d->addr = c->segs[i].gpa;
		d->len = c->segs[i].len;
		d->id = 0;
		d->flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
	}
}

static void add_split(struct fe_ring *r, const struct fe_chain *c, uint16_t n, uint16_t ndesc)
{
	uint16_t head = r->free_head;
	uint16_t at = head;
	uint16_t i;

	if (c->table) {
		table_fill_split(c, n);
		r->desc[at] = (struct vring_desc){
			.addr = c->table_gpa,
			.len = n * (uint32_t)sizeof(struct vring_desc),
			.flags = VRING_DESC_F_INDIRECT,
		};
		at = r->slots[at].next;
	} else {
		for (i = 0; i < n; i++) {
			struct vring_desc *d = &r->desc[at];

			d->addr = c->segs[i].gpa;
			d->len = c->segs[i].len;
			d->flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
			d->next = 0;
			at = r->slots[at].next;
			if (i + 1 < n) {
				d->flags |= VRING_DESC_F_NEXT;
				d->next = at;
			}
		}
	}
	r->free_head = at;
	r->free_ids = (uint16_t)(r->free_ids - ndesc);
	record_add(r, head, c, ndesc);
	r->avail->ring[r->avail_idx & (r->num - 1)] = head;
	r->avail_idx++;
	r->pending++;
}

RW_ALWAYS_INLINE void packed_advance(
	const struct fe_ring *r, uint16_t *slot, bool *wrap, uint16_t n)
{
	uint32_t to = (uint32_t)*slot + n;

	if (to >= r->num) {
		to -= r->num;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)to;
}

/*
 * Write one descriptor at the driver's position. The first one that is not published yet keeps its
 * old flags until fe_ring_publish: the device stops there, whatever lies behind.
 */
RW_ALWAYS_INLINE void packed_put(
	struct fe_ring *r, const struct fe_seg *seg, uint16_t id, uint16_t flags)
{
	struct vring_packed_desc *d = &r->pdesc[r->avail_idx];

	flags |= r->avail_wrap ? PACKED_AVAIL : PACKED_USED;
	d->addr = seg->gpa;
	d->len = seg->len;
	d->id = id;
	if (r->pending == 0) {
		r->head_slot = r->avail_idx;
		r->head_flags = flags;
	} else {
		d->flags = flags;
	}
	r->pending++;
	packed_advance(r, &r->avail_idx, &r->avail_wrap, 1);
}

static void add_packed(struct fe_ring *r, const struct fe_chain *c, uint16_t n, uint16_t ndesc)
{
	uint16_t id = r->free_head;
	struct fe_seg table;
	uint16_t flags;
	uint16_t i;

	r->free_head = r->slots[id].next;
	r->free_ids--;
	record_add(r, id, c, ndesc);
	if (c->table) {
		table_fill_packed(c, n);
		table.gpa = c->table_gpa;
		table.len = n * (uint32_t)sizeof(struct vring_packed_desc);
		packed_put(r, &table, id, VRING_DESC_F_INDIRECT);
		return;
	}
	for (i = 0; i < n; i++) {
		flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		packed_put(r, &c->segs[i], id, flags);
	}
}

int fe_ring_add(struct fe_ring *r, const struct fe_chain *c)
{
	uint32_t n = (uint32_t)c->n_out + c->n_in;
	uint32_t ndesc = c->table ? 1 : n;

	if (rw_unlikely(n == 0 || n > r->num))
		return -EINVAL;
	if (rw_unlikely(ndesc > r->free_descs))
		return -ENOSPC;
	if (r->format == FE_SPLIT)
		add_split(r, c, (uint16_t)n, (uint16_t)ndesc);
	else
		add_packed(r, c, (uint16_t)n, (uint16_t)ndesc);
	return 0;
}

void fe_ring_publish(struct fe_ring *r)
{
	if (r->pending == 0)
		return;
	/* Release: descriptors and buffers before the index or flags; pairs with the device's acquire. */
	if (r->format == FE_SPLIT)
		__atomic_store_n(&r->avail->idx, r->avail_idx, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&r->pdesc[r->head_slot].flags, r->head_flags, __ATOMIC_RELEASE);
	r->published_idx = r->avail_idx;
	r->published_wrap = r->avail_wrap;
	r->added += r->pending;
	r->pending = 0;
}

static bool needs_kick_split(const struct fe_ring *r, uint16_t added)
{
	uint16_t event;

	if (!r->event_idx)
		return !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n(avail_event(r), __ATOMIC_RELAXED);
	return vring_need_event(event, r->published_idx, (uint16_t)(r->published_idx - added));
}

static bool needs_kick_packed(const struct fe_ring *r, uint16_t added)
{
	/* One load: offset and flags belong together. */
	uint32_t event = __atomic_load_n((uint32_t *)r->device_event, __ATOMIC_RELAXED);
	uint32_t flags = event >> 16 & 3;
	uint16_t off = event & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	bool wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR & 1;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (wrap != r->published_wrap)
		off = (uint16_t)(off - r->num);
	return vring_need_event(off, r->published_idx, (uint16_t)(r->published_idx - added));
}

bool fe_ring_needs_kick(struct fe_ring *r)
{
	uint32_t added = r->added;

	if (added == 0)
		return false;
	r->added = 0;
	/*
	 * Full barrier between publishing and reading what the device wants; it pairs with the
	 * device's between writing what it wants and its last look at the ring.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* The indices cannot tell more than that apart: be safe. */
	if (added > UINT16_MAX)
		return true;
	if (r->format == FE_SPLIT)
		return needs_kick_split(r, (uint16_t)added);
	return needs_kick_packed(r, (uint16_t)added);
}

/* Whether used entries are left to read; refreshes the split ring's view of the device's index. */
RW_ALWAYS_INLINE bool used_ready(struct fe_ring *r)
{
	uint16_t flags;
	bool avail, used;

	/* Acquire: the entry and the buffer after the index or flags; pairs with the device's release. */
	if (r->format == FE_SPLIT) {
		if (r->used_idx == r->used_seen)
			r->used_seen = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
		return r->used_idx != r->used_seen;
	}
	/* With nothing in flight the slot may hold a used descriptor of another lap. */
	if (r->in_flight == 0)
		return false;
	flags = __atomic_load_n(&r->pdesc[r->used_idx].flags, __ATOMIC_ACQUIRE);
	avail = flags & PACKED_AVAIL;
	used = flags & PACKED_USED;
	return avail == used && used == r->used_wrap;
}

bool fe_ring_has_used(struct fe_ring *r)
{
	return r->batch || used_ready(r);
}

RW_ALWAYS_INLINE int used_read(const struct fe_ring *r, uint16_t *id, uint32_t *len)
{
	const struct vring_used_elem *e;
	uint32_t raw;

	if (r->format == FE_SPLIT) {
		e = &r->used->ring[r->used_idx & (r->num - 1)];
		raw = __atomic_load_n(&e->id, __ATOMIC_RELAXED); /* once: it is not ours */
		*len = e->len;
	} else {
		raw = __atomic_load_n(&r->pdesc[r->used_idx].id, __ATOMIC_RELAXED);
		*len = r->pdesc[r->used_idx].len;
	}
	if (rw_unlikely(raw >= r->num || r->slots[raw].ndesc == 0))
		return -EPROTO;
	*id = (uint16_t)raw;
	return 0;
}

/* Account for buffer `id`, which the device is done with. */
RW_ALWAYS_INLINE void record_del(struct fe_ring *r, uint16_t id)
{
	uint16_t ndesc = r->slots[id].ndesc;

	r->slots[id].ndesc = 0;
	r->in_flight--;
	r->free_descs = (uint16_t)(r->free_descs + ndesc);
	if (r->format == FE_SPLIT) {
		r->used_idx++;
		ids_free(r, id, ndesc);
	} else {
		packed_advance(r, &r->used_idx, &r->used_wrap, ndesc);
		ids_free(r, id, 1);
	}
}

/*
 * IN_ORDER: an entry stands for every buffer up to the one it names; those before it count as
 * written in full (virtio 1.2, 2.7.9 and 2.8.9).
 */
static int pop_in_order(struct fe_ring *r, struct fe_used *out)
{
	uint16_t id;
	int err;

	if (r->batch) {
		if (r->format == FE_SPLIT && r->used_idx == r->used_seen)
			return -EPROTO; /* the index says fewer than the entry */
	} else {
		err = used_read(r, &r->batch_id, &r->batch_len);
		if (err)
			return err;
		r->batch = true;
	}
	id = r->order[r->order_head];
	out->id = id;
	out->token = r->slots[id].token;
	out->len = r->slots[id].in_len;
	if (id == r->batch_id) {
		out->len = r->batch_len;
		r->batch = false;
	}
	r->order_head = (uint16_t)(r->order_head + 1 == r->num ? 0 : r->order_head + 1);
	record_del(r, id);
	return 0;
}

int fe_ring_pop(struct fe_ring *r, struct fe_used *out)
{
	uint32_t len = 0;
	uint16_t id = 0;
	int err;

	if (!r->batch && !used_ready(r))
		return -EAGAIN;
	if (r->in_order)
		return pop_in_order(r, out);
	err = used_read(r, &id, &len);
	if (rw_unlikely(err))
		return err;
	out->id = id;
	out->token = r->slots[id].token;
	out->len = len;
	record_del(r, id);
	return 0;
}

/* Ask for an interrupt when the used position passes `ahead` entries from here. */
static void event_set(struct fe_ring *r, uint16_t ahead)
{
	uint16_t slot = r->used_idx;
	bool wrap = r->used_wrap;

	if (r->format == FE_SPLIT) {
		__atomic_store_n(used_event(r), (uint16_t)(r->used_idx + ahead), __ATOMIC_RELAXED);
		return;
	}
	packed_advance(r, &slot, &wrap, ahead);
	slot |= (uint16_t)(wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
	__atomic_store_n(&r->driver_event->off_wrap, slot, __ATOMIC_RELAXED);
	/* Release: a device that reads "DESC" reads the offset that goes with it. */
	__atomic_store_n(&r->driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC, __ATOMIC_RELEASE);
}

void fe_ring_want_interrupt(struct fe_ring *r, bool on)
{
	uint16_t flags;

	if (r->format == FE_SPLIT && !r->event_idx) {
		flags = on ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
		__atomic_store_n(&r->avail->flags, flags, __ATOMIC_RELAXED);
	} else if (r->format == FE_SPLIT) {
		event_set(r, on ? 0 : UINT16_MAX);
	} else if (on && r->event_idx) {
		event_set(r, 0);
	} else {
		flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
		__atomic_store_n(&r->driver_event->flags, flags, __ATOMIC_RELAXED);
	}
	/* Pairs with the device's between its used entry and its look at the request. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int fe_ring_interrupt_after(struct fe_ring *r, uint16_t n)
{
	if (!r->event_idx)
		return -ENOTSUP;
	if (n == 0 || n > r->num)
		return -EINVAL;
	event_set(r, (uint16_t)(n - 1));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return 0;
}
