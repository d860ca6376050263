/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeping the in-flight record, step by step as vhost-user prescribes; the numbers are its steps.
 *
 * The order in which the record changes makes chains in flight, at every instant, the ones right
 * behind the used index: recovery relies on it to find where the available ones begin.
 */
#include "inflight.h"

/* ---- split ---- */

static inline uint16_t *split_head_at(const struct vq *vq, uint16_t idx)
{
	return &vq->inflight->head_at[idx & (vq->num - 1)];
}

bool vq_inflight_resume_split(const struct vq *vq, uint16_t *head)
{
	if ((uint16_t)(vq->next.idx - vq->done.idx) >= vq->inflight->resume)
		return false;
	*head = *split_head_at(vq, vq->next.idx);
	return true;
}

bool vq_inflight_take_split(struct vq *vq, uint16_t head)
{
	struct vq_inflight *fl = vq->inflight;
	struct inflight_split_desc *d = &fl->split->desc[head];

	uint16_t ahead = (uint16_t)(vq->next.idx - vq->done.idx);

	if (ahead < fl->resume)
		return true;
	if (ahead >= vq->num)
		return false;
	*split_head_at(vq, vq->next.idx) = head;
	vq_store_release(&d->counter, fl->counter++); /* receiving, 2 and 3 */
	vq_store_release(&d->inflight, 1);            /* 4 */
	return true;
}

void vq_inflight_complete_split(struct vq *vq)
{
	struct vq_inflight *fl = vq->inflight;
	uint16_t head = *split_head_at(vq, (uint16_t)(vq->done.idx - 1));

	vq_store_release(&fl->split->desc[head].next, fl->last_batch_head); /* supplying, 2 */
	fl->last_batch_head = head;
	vq_store_release(&fl->split->last_batch_head, head); /* 3 */
	if (fl->resume)
		fl->resume--;
}

void vq_inflight_flushed_split(struct vq *vq)
{
	struct inflight_split *r = vq->inflight->split;

	for (uint16_t n = vq->npending; n; n--)
		vq_store_release(
			&r->desc[*split_head_at(vq, (uint16_t)(vq->done.idx - n))].inflight,
			0);                           /* 6 */
	vq_store_release(&r->used_idx, vq->done.idx); /* 7 */
}

/* The last one first: what is left in flight has no gap. */
void vq_inflight_rewind_split(struct vq *vq, struct vq_cursor at)
{
	struct vq_inflight *fl = vq->inflight;

	for (uint16_t idx = vq->next.idx; idx != at.idx;) {
		idx--;
		if ((uint16_t)(idx - vq->done.idx) < fl->resume)
			return;
		vq_store_release(&fl->split->desc[*split_head_at(vq, idx)].inflight, 0);
	}
}

/* ---- packed ---- */

bool vq_inflight_resumes_packed(const struct vq *vq)
{
	return inflight_ahead(vq, vq->next) < vq->inflight->resume;
}

enum vq_status vq_inflight_walk_packed(struct vq_walk *w, struct vq_chain *out)
{
	struct vq *vq = w->vq;
	const struct vq_inflight *fl = vq->inflight;
	const unsigned mode = VQ_PACKED | VQ_SLOW;
	uint16_t head = fl->head_at[vq->next.idx], at = head, n = fl->entries[head].num;
	enum vq_status status = VQ_CHAIN;

	out->ndesc = n;
	for (; n; n--, at = fl->entries[at].next) {
		struct inflight_packed_desc *e = &fl->packed->desc[at];
		struct vq_desc d = {.addr = vq_load(&e->addr),
			.len = vq_load(&e->len),
			.flags = vq_load(&e->flags),
			.next = vq_load(&e->id)};

		vq->walked++;
		if (!vq_walk_continues(status, mode))
			; /* but the last descriptor's id is wanted */
		else if (d.flags & VRING_DESC_F_INDIRECT)
			status = vq_walk_combine(status, vq_packed_indirect(w, d, mode), mode);
		else
			status = vq_walk_combine(status, vq_walk_add(w, d, mode), mode);
		out->id = d.next;
	}
	vq_packed_advance(vq, &vq->next, out->ndesc);
	return status;
}

bool vq_inflight_take_packed(struct vq *vq, const struct vq_desc *d, uint16_t n)
{
	struct vq_inflight *fl = vq->inflight;
	struct inflight_packed *r = fl->packed;
	uint16_t head = fl->old_free_head, at = fl->free_head;
	bool last = !(d->flags & VRING_DESC_F_NEXT);

	if (at >= vq->num)
		return false;
	if (n == 1) { /* receiving, 2 */
		vq_store_release(&r->desc[head].num, 0);
		vq_store_release(&r->desc[head].counter, fl->counter++);
		vq_store_release(&r->desc[head].inflight, 1);
	}
	if (last)
		vq_store_release(&r->desc[head].last, at); /* 3 */
	vq_store_release(&r->desc[head].num, n);           /* 4 */
	vq_store_release(&r->desc[at].addr, d->addr);      /* 5 */
	vq_store_release(&r->desc[at].len, d->len);
	vq_store_release(&r->desc[at].flags, d->flags);
	vq_store_release(&r->desc[at].id, d->next);
	fl->free_head = fl->entries[at].next;
	vq_store_release(&r->free_head, fl->free_head); /* 6 */
	if (last) {
		fl->entries[head].last = at;
		fl->entries[head].num = n;
		fl->head_at[vq->next.idx] = head;
		fl->old_free_head = fl->free_head;
		vq_store_release(&r->old_free_head, fl->old_free_head); /* 7: now it is taken */
	}
	return true;
}

void vq_inflight_drop_packed(struct vq *vq)
{
	struct vq_inflight *fl = vq->inflight;

	if (fl->old_free_head < vq->num)
		vq_store_release(&fl->packed->desc[fl->old_free_head].inflight, 0);
	fl->free_head = fl->old_free_head;
	vq_store_release(&fl->packed->free_head, fl->free_head);
}

/*
 * The record waits for the flush: a chain may be taken before that, and taking needs a free list
 * that starts where it did after the last chain was taken.
 */
void vq_inflight_complete_packed(struct vq *vq, uint16_t ndesc)
{
	struct vq_inflight *fl = vq->inflight;

	fl->resume = fl->resume > ndesc ? (uint16_t)(fl->resume - ndesc) : 0;
}

static void link_entry(struct vq_inflight *fl, uint16_t i, uint16_t next)
{
	fl->entries[i].next = next;
	vq_store_release(&fl->packed->desc[i].next, next);
}

void vq_inflight_flush_packed(struct vq *vq)
{
	struct vq_inflight *fl = vq->inflight;
	struct vq_cursor c = {.idx = vq->first_pos};

	for (uint16_t n = vq->npending; n; n--) {
		uint16_t head = fl->head_at[c.idx];

		link_entry(fl, fl->entries[head].last, fl->free_head); /* supplying, 3 */
		fl->free_head = head;
		vq_store_release(&fl->packed->free_head, head); /* 4 */
		vq_packed_advance(vq, &c, fl->entries[head].num);
	}
	inflight_store_used(fl->packed, vq->done, fl->old_used); /* 6 */
}

void vq_inflight_flushed_packed(struct vq *vq)
{
	struct vq_inflight *fl = vq->inflight;
	struct vq_cursor c = {.idx = vq->first_pos};

	for (uint16_t n = vq->npending; n; n--) {
		uint16_t head = fl->head_at[c.idx];

		vq_store_release(&fl->packed->desc[head].inflight, 0); /* 8 */
		vq_packed_advance(vq, &c, fl->entries[head].num);
	}
	fl->old_free_head = fl->free_head;
	vq_store_release(&fl->packed->old_free_head, fl->old_free_head); /* 9 */
	fl->old_used = vq->done;
	inflight_store_used(fl->packed, vq->done, vq->done);
}

/*
 * Put the chains in front of the free list, in the order in which they were taken. One store frees
 * them all: recovery clears the marks of whatever is in that list.
 */
void vq_inflight_rewind_packed(struct vq *vq, struct vq_cursor at)
{
	struct vq_inflight *fl = vq->inflight;
	uint16_t first = UINT16_MAX, last = UINT16_MAX, head;

	while (inflight_ahead(vq, at) < fl->resume &&
		inflight_ahead(vq, at) < inflight_ahead(vq, vq->next))
		vq_packed_advance(vq, &at, fl->entries[fl->head_at[at.idx]].num);
	for (struct vq_cursor c = at; inflight_ahead(vq, c) < inflight_ahead(vq, vq->next);) {
		head = fl->head_at[c.idx];
		if (first == UINT16_MAX)
			first = head;
		else
			link_entry(fl, last, head);
		last = fl->entries[head].last;
		vq_packed_advance(vq, &c, fl->entries[head].num);
	}
	if (first == UINT16_MAX)
		return;
	link_entry(fl, last, fl->free_head);
	fl->old_free_head = first;
	vq_store_release(&fl->packed->old_free_head, first);
	for (struct vq_cursor c = at; inflight_ahead(vq, c) < inflight_ahead(vq, vq->next);) {
		head = fl->head_at[c.idx];
		vq_store_release(&fl->packed->desc[head].inflight, 0);
		vq_packed_advance(vq, &c, fl->entries[head].num);
	}
	fl->free_head = first;
	vq_store_release(&fl->packed->free_head, first);
}
