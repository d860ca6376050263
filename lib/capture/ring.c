/* SPDX-License-Identifier: BSD-3-Clause */
#include "cap_ring.h"

#include <errno.h>
#include <string.h>

#define HEAD_BYTES ((uint32_t)sizeof(struct cap_record))

_Static_assert(sizeof(struct cap_record) == 32, "both sides are built alike");
_Static_assert(CAP_DATA_MIN >= HEAD_BYTES + CAP_SNAP_MAX + CAP_ALIGN, "every record fits");

int cap_layout(unsigned nparts, unsigned nports, uint32_t data, struct cap_layout *layout)
{
	struct cap_layout l = {.nparts = nparts, .nports = nports, .data = data};

	if (!nparts || nparts > CAP_PARTS_MAX || !nports || nports > CAP_PORTS_MAX ||
		!rw_is_power_of_2(data) || data < CAP_DATA_MIN || data > CAP_DATA_MAX)
		return -EINVAL;
	l.head = (uint32_t)rw_align_up(
		sizeof(struct cap_part) + nports * sizeof(struct cap_count), CAP_PAGE_BYTES);
	if (cap_layout_bytes(&l) > CAP_BYTES_MAX)
		return -EINVAL;
	*layout = l;
	return 0;
}

uint64_t cap_layout_bytes(const struct cap_layout *layout)
{
	return (uint64_t)layout->nparts * (layout->head + layout->data);
}

static uint8_t *part_at(uint8_t *base, const struct cap_layout *layout, unsigned part)
{
	return base + (uint64_t)part * (layout->head + layout->data);
}

/* ---- writing ---- */

void cap_writer_init(
	struct cap_writer *w, uint8_t *base, const struct cap_layout *layout, unsigned part)
{
	uint8_t *at = part_at(base, layout, part);

	*w = (struct cap_writer){.part = (struct cap_part *)(void *)at,
		.data = at + layout->head,
		.size = layout->data,
		.nports = layout->nports,
		.room = layout->data};
}

void cap_writer_look(struct cap_writer *w)
{
	/* Pairs with the release in cap_reader_release: the reader is done with what was there. */
	uint64_t used = w->head - __atomic_load_n(&w->part->tail, __ATOMIC_ACQUIRE);

	w->room = used <= w->size ? w->size - used : 0;
}

/* A number that only this writer writes, or a peer who lies to himself. */
static void count(uint64_t *at, unsigned n)
{
	__atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

void cap_writer_publish(struct cap_writer *w, uint16_t port, unsigned taken, unsigned lost)
{
	count(&w->taken, taken);
	count(&w->part->ports[port].taken, taken);
	if (rw_unlikely(lost)) {
		count(&w->lost, lost);
		count(&w->part->ports[port].lost, lost);
	}
	/* Pairs with the acquire in cap_reader_look. */
	__atomic_store_n(&w->part->head, w->head, __ATOMIC_RELEASE);
}

/* ---- reading ---- */

void cap_reader_init(
	struct cap_reader *r, uint8_t *base, const struct cap_layout *layout, unsigned part)
{
	uint8_t *at = part_at(base, layout, part);

	*r = (struct cap_reader){.part = (struct cap_part *)(void *)at,
		.data = at + layout->head,
		.size = layout->data};
}

int cap_reader_look(struct cap_reader *r)
{
	/* Pairs with the release in cap_writer_publish. */
	uint64_t head = __atomic_load_n(&r->part->head, __ATOMIC_ACQUIRE);

	if (head - r->tail > r->size || head - r->tail < r->head - r->tail || head % CAP_ALIGN)
		return -EPROTO;
	r->head = head;
	return 0;
}

int cap_reader_next(struct cap_reader *r, struct cap_record *out, const uint8_t **bytes)
{
	for (;;) {
		uint32_t at = (uint32_t)(r->tail & (r->size - 1)), size;
		uint64_t left = RW_MIN(r->head - r->tail, (uint64_t)(r->size - at));
		struct cap_record record;

		if (!left)
			return 0;
		memcpy(&size, r->data + at, sizeof(size));
		if (size & CAP_FILL) {
			/* It reaches to the end of the ring, and a record follows. */
			if ((size & ~CAP_FILL) != r->size - at || left != r->size - at)
				return -EPROTO;
			r->tail += left;
			continue;
		}
		if (left < sizeof(record))
			return -EPROTO;
		memcpy(&record, r->data + at, sizeof(record));
		if (record.size % CAP_ALIGN || record.size > left || record.size < sizeof(record) ||
			record.caplen > record.size - sizeof(record) ||
			record.caplen > record.len || record.what >= CAP_NUM_WHATS)
			return -EPROTO;
		*out = record;
		*bytes = r->data + at + sizeof(record);
		return 1;
	}
}

void cap_reader_skip(struct cap_reader *r, const struct cap_record *record)
{
	r->tail += record->size;
}

void cap_reader_release(struct cap_reader *r)
{
	/* Pairs with the acquire in cap_writer_look. */
	__atomic_store_n(&r->part->tail, r->tail, __ATOMIC_RELEASE);
}
