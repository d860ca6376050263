/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "port_fifo.h"

/*
 * A frame in the ring buffer, or the gap at the buffer's end where the next frame did not fit.
 * Sizes are multiples of the alignment, so there is always room for a gap's header.
 */
struct record {
	struct rw_seg seg; /* the part of `data` after the head; set by the consumer */
	uint32_t bytes;    /* of the whole record */
	uint32_t len;      /* as in struct frame, like the next ones */
	uint16_t head_len;
	uint16_t vlan;
	struct frame_offload offload;
	bool gap;
	uint8_t data[] RW_CACHE_ALIGNED; /* all of the frame */
} RW_CACHE_ALIGNED;

struct port_fifo {
	uint32_t head RW_CACHE_ALIGNED; /* free-running, bytes; written by the producer */
	uint32_t tail RW_CACHE_ALIGNED; /* the same, written by the consumer */
	uint8_t *mem;
};

struct port_fifo *port_fifo_new(void)
{
	struct port_fifo *fifo = rw_zalloc(sizeof(*fifo));

	if (!fifo)
		return NULL;
	/* One more record, so that a gap's header fits after the last byte. */
	fifo->mem = rw_zalloc(PORT_FIFO_BYTES + sizeof(struct record));
	if (!fifo->mem) {
		rw_free(fifo);
		return NULL;
	}
	return fifo;
}

void port_fifo_free(struct port_fifo *fifo)
{
	if (!fifo)
		return;
	rw_free(fifo->mem);
	rw_free(fifo);
}

static struct record *record_at(const struct port_fifo *fifo, uint32_t pos)
{
	return (struct record *)(fifo->mem + pos % PORT_FIFO_BYTES);
}

static void record_fill(struct record *r, const struct frame *f)
{
	uint32_t n = f->head_len;

	r->len = f->len;
	r->head_len = f->head_len;
	r->vlan = f->vlan;
	r->offload = f->offload;
	memcpy(r->data, f->head, n);
	for (uint16_t i = 0; i < f->nsegs; i++) {
		memcpy(r->data + n, f->seg[i].data, f->seg[i].len);
		n += f->seg[i].len;
	}
}

/* Make `f` the frame of a record. */
static void record_lend(struct record *r, struct frame *f)
{
	uint32_t rest = r->len - r->head_len;

	r->seg = (struct rw_seg){.data = r->data + r->head_len, .len = rest};
	f->seg = &r->seg;
	f->nsegs = rest ? 1 : 0;
	f->len = r->len;
	f->head_len = r->head_len;
	f->vlan = r->vlan;
	f->offload = r->offload;
	memcpy(f->head, r->data, r->head_len);
}

bool port_fifo_push(struct port_fifo *fifo, const struct frame *f)
{
	uint32_t need = (uint32_t)rw_align_up(sizeof(struct record) + f->len, RW_CACHE_LINE);
	uint32_t left = PORT_FIFO_BYTES - fifo->head % PORT_FIFO_BYTES;
	uint32_t gap = left < need ? left : 0;
	/* Pairs with the release in port_fifo_pop: the consumer has read what we overwrite. */
	uint32_t used = fifo->head - __atomic_load_n(&fifo->tail, __ATOMIC_ACQUIRE);
	struct record *r;

	if (used + gap + need > PORT_FIFO_BYTES)
		return false;
	if (gap) {
		r = record_at(fifo, fifo->head);
		r->gap = true;
		r->bytes = gap;
	}
	r = record_at(fifo, fifo->head + gap);
	r->gap = false;
	r->bytes = need;
	record_fill(r, f);
	/* Pairs with the acquire in port_fifo_peek. */
	__atomic_store_n(&fifo->head, fifo->head + gap + need, __ATOMIC_RELEASE);
	return true;
}

uint32_t port_fifo_room(const struct port_fifo *fifo)
{
	return PORT_FIFO_BYTES - (fifo->head - __atomic_load_n(&fifo->tail, __ATOMIC_ACQUIRE));
}

unsigned port_fifo_peek(struct port_fifo *fifo, struct frame *frames, unsigned n)
{
	uint32_t head = __atomic_load_n(&fifo->head, __ATOMIC_ACQUIRE), pos = fifo->tail;
	unsigned got = 0;

	while (pos != head && got < n) {
		struct record *r = record_at(fifo, pos);

		if (!r->gap)
			record_lend(r, &frames[got++]);
		pos += r->bytes;
	}
	return got;
}

void port_fifo_pop(struct port_fifo *fifo, unsigned n)
{
	uint32_t pos = fifo->tail;

	while (n) {
		const struct record *r = record_at(fifo, pos);

		n -= !r->gap;
		pos += r->bytes;
	}
	__atomic_store_n(&fifo->tail, pos, __ATOMIC_RELEASE);
}

bool port_fifo_is_empty(const struct port_fifo *fifo)
{
	/* Read the tail first: it is never beyond a head that is read later. */
	uint32_t tail = __atomic_load_n(&fifo->tail, __ATOMIC_ACQUIRE);

	return tail == __atomic_load_n(&fifo->head, __ATOMIC_ACQUIRE);
}

unsigned port_fifo_clear(struct port_fifo *fifo)
{
	uint32_t head = __atomic_load_n(&fifo->head, __ATOMIC_ACQUIRE), pos = fifo->tail;
	unsigned n = 0;

	while (pos != head) {
		const struct record *r = record_at(fifo, pos);

		n += !r->gap;
		pos += r->bytes;
	}
	__atomic_store_n(&fifo->tail, pos, __ATOMIC_RELEASE);
	return n;
}
