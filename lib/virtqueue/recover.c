/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making an in-flight record, or reading a predecessor's: the steps for reconnecting in vhost-user.
 *
 * The region lies in memory of the front-end, and a predecessor may have been any program. It is
 * read once, into private memory, checked there as a whole, and written only when all of it makes
 * sense. What is written leaves a record that can be recovered again after a kill at any point.
 */
#include <errno.h>
#include <stdlib.h>

#include "inflight.h"

uint64_t vq_inflight_bytes(uint64_t features, uint16_t num)
{
	if (features >> VIRTIO_F_RING_PACKED & 1)
		return rw_align_up(sizeof(struct inflight_packed) +
				num * (uint64_t)sizeof(struct inflight_packed_desc),
			64);
	return rw_align_up(
		sizeof(struct inflight_split) + num * (uint64_t)sizeof(struct inflight_split_desc),
		64);
}

bool vq_inflight_recorded(const void *region)
{
	const struct inflight_region *r = region;

	return vq_load(&r->version) != 0;
}

/* A chain in flight. */
struct chain {
	uint64_t counter;
	uint16_t head;
};

/* What recovery keeps of the entries while it reads them. */
struct recovery {
	struct chain *chains; /* in flight, room for all entries */
	uint16_t n;
	/* split: 1: in flight, 2: said so, but was published; packed: see packed_read */
	uint8_t *seen;
};

static int by_counter(const void *a, const void *b)
{
	const struct chain *x = a, *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return (int)x->head - y->head;
}

/* In order of fetching, and the counter goes on behind the last. */
static void chains_sort(struct vq_inflight *fl, struct recovery *rd)
{
	qsort(rd->chains, rd->n, sizeof(*rd->chains), by_counter);
	fl->counter = rd->n ? rd->chains[rd->n - 1].counter + 1 : 0;
}

/* ---- split ---- */

static void split_init(struct vq *vq, struct inflight_split *r)
{
	for (uint16_t i = 0; i < vq->num; i++) {
		vq_store_release(&r->desc[i].inflight, 0);
		vq_store_release(&r->desc[i].next, 0);
	}
	vq_store_release(&r->last_batch_head, 0);
	vq_store_release(&r->used_idx, vq->done.idx);
}

/* Step 1 (b): what the last batch published is not in flight, whatever its marks say. */
static int split_last_batch(const struct vq *vq, struct recovery *rd)
{
	struct inflight_split *r = vq->inflight->split;
	uint16_t n = (uint16_t)(vq->done.idx - vq_load(&r->used_idx));

	if (n > vq->num)
		return -EINVAL;
	for (uint16_t i = vq_load(&r->last_batch_head); n; n--) {
		if (i >= vq->num)
			return -EINVAL;
		if (rd->seen[i])
			rd->seen[i] = 2;
		i = vq_load(&r->desc[i].next);
	}
	return 0;
}

static int split_read(const struct vq *vq, struct recovery *rd)
{
	struct inflight_split *r = vq->inflight->split;
	uint16_t avail = vq_split_16(vq, vq_load_acquire(&vq->avail->idx), VQ_SLOW);
	uint16_t marked = 0;
	int ret;

	for (uint16_t i = 0; i < vq->num; i++) {
		rd->seen[i] = vq_load(&r->desc[i].inflight);
		if (rd->seen[i] > 1)
			return -EINVAL;
		marked = (uint16_t)(marked + rd->seen[i]);
	}
	/* With no mark the used index has nothing to say: the driver may have begun anew. */
	ret = marked ? split_last_batch(vq, rd) : 0;
	if (ret)
		return ret;
	for (uint16_t i = 0; i < vq->num; i++) {
		if (rd->seen[i] == 1)
			rd->chains[rd->n++] = (struct chain){vq_load(&r->desc[i].counter), i};
	}
	/* More in flight than the driver has made available. */
	return rd->n > (uint16_t)(avail - vq->done.idx) ? -EINVAL : 0;
}

static int split_recover(struct vq *vq, struct recovery *rd)
{
	struct vq_inflight *fl = vq->inflight;
	int ret = split_read(vq, rd);

	if (ret)
		return ret;
	for (uint16_t i = 0; i < vq->num; i++) {
		if (rd->seen[i] == 2)
			vq_store_release(&fl->split->desc[i].inflight, 0);
	}
	vq_store_release(&fl->split->used_idx, vq->done.idx); /* 1 (c) */
	chains_sort(fl, rd);
	for (uint16_t i = 0; i < rd->n; i++)
		fl->head_at[(vq->done.idx + i) & (vq->num - 1)] = rd->chains[i].head;
	fl->resume = rd->n;
	return 0;
}

/* ---- packed ---- */

static void packed_init(struct vq *vq, struct inflight_packed *r)
{
	struct vq_inflight *fl = vq->inflight;

	for (uint16_t i = 0; i < vq->num; i++) {
		fl->entries[i].next = (uint16_t)(i + 1);
		vq_store_release(&r->desc[i].inflight, 0);
		vq_store_release(&r->desc[i].next, fl->entries[i].next);
		vq_store_release(&r->desc[i].num, 0);
	}
	vq_store_release(&r->free_head, 0);
	vq_store_release(&r->old_free_head, 0);
	inflight_store_used(r, vq->done, vq->done);
	fl->old_used = vq->done;
}

/*
 * Steps 1 and 2: where the ring is, and where the free list begins. A batch that the driver can see
 * is committed, any other step that was under way is rolled back. The wrap counters are compared as
 * well as the indices: a batch as long as the ring changes nothing else.
 */
static int packed_position(struct vq *vq)
{
	struct vq_inflight *fl = vq->inflight;
	union inflight_used u = {.word = vq_load(&fl->packed->used.word)};
	struct vq_cursor old = {.idx = u.old_used_idx, .wrap = u.old_used_wrap_counter};

	if (u.used_idx >= vq->num || u.old_used_idx >= vq->num || u.used_wrap_counter > 1 ||
		u.old_used_wrap_counter > 1)
		return -EINVAL;
	vq->done = old;
	fl->free_head = vq_load(&fl->packed->old_free_head);
	if ((u.used_idx != old.idx || u.used_wrap_counter != old.wrap) &&
		!vq_packed_available(vq, old)) {
		vq->done = (struct vq_cursor){.idx = u.used_idx, .wrap = u.used_wrap_counter};
		fl->free_head = vq_load(&fl->packed->free_head);
	}
	fl->old_free_head = fl->free_head;
	fl->old_used = vq->done;
	return 0;
}

/* The `n` entries from `i` on are linked and nobody else's. 0 or -EINVAL. */
static int packed_chain(const struct vq_inflight *fl, struct recovery *rd, uint16_t num, uint16_t i)
{
	uint16_t n = fl->entries[i].num, at = i;

	if (!n || n > num)
		return -EINVAL;
	for (;; at = fl->entries[at].next) {
		if (at >= num || rd->seen[at])
			return -EINVAL;
		rd->seen[at] = 1;
		if (!--n)
			return at == fl->entries[i].last ? 0 : -EINVAL;
	}
}

/* Every entry must be in the free list or in one chain: `seen`. */
static int packed_read(struct vq *vq, struct recovery *rd)
{
	struct vq_inflight *fl = vq->inflight;
	struct inflight_packed *r = fl->packed;
	uint32_t total = 0;

	for (uint16_t i = 0; i < vq->num; i++)
		fl->entries[i] = (struct inflight_entry){.next = vq_load(&r->desc[i].next),
			.last = vq_load(&r->desc[i].last),
			.num = vq_load(&r->desc[i].num)};
	for (uint16_t i = fl->free_head; i < vq->num; i = fl->entries[i].next, total++) {
		if (rd->seen[i])
			return -EINVAL;
		rd->seen[i] = 2;
	}
	for (uint16_t i = 0; i < vq->num; i++) {
		uint8_t inflight = vq_load(&r->desc[i].inflight);

		if (!inflight || rd->seen[i] == 2)
			continue;
		if (inflight > 1 || packed_chain(fl, rd, vq->num, i))
			return -EINVAL;
		rd->chains[rd->n++] = (struct chain){vq_load(&r->desc[i].counter), i};
		total += fl->entries[i].num;
		fl->resume = (uint16_t)(fl->resume + fl->entries[i].num);
	}
	return total == vq->num ? 0 : -EINVAL;
}

/*
 * A batch that was being written holds back its first entry only. The others must not look used
 * once the driver gets to them: give them back what the driver wrote.
 */
static void packed_unuse(struct vq *vq, struct vq_cursor at, const struct inflight_packed_desc *e)
{
	uint16_t both = VQ_PACKED_AVAIL | VQ_PACKED_USED;
	uint16_t used = at.wrap ? both : 0, avail = at.wrap ? VQ_PACKED_AVAIL : VQ_PACKED_USED;
	uint64_t *word = (uint64_t *)&vq->packed[at.idx].len;

	if ((vq_load(&vq->packed[at.idx].flags) & both) != used)
		return;
	vq_store_release(word,
		(uint64_t)vq_load(&e->len) | (uint64_t)vq_load(&e->id) << 32 |
			(uint64_t)((vq_load(&e->flags) & ~both) | avail) << 48);
	vq_log_written(vq, word, sizeof(*word));
}

/* Give the chains their positions in the ring. */
static void packed_positions(struct vq *vq, const struct recovery *rd)
{
	struct vq_inflight *fl = vq->inflight;
	struct vq_cursor c = vq->done;

	for (uint16_t i = 0; i < rd->n; i++) {
		uint16_t at = rd->chains[i].head, n = fl->entries[at].num;

		fl->head_at[c.idx] = at;
		for (; n; n--, at = fl->entries[at].next) {
			packed_unuse(vq, c, &fl->packed->desc[at]);
			vq_packed_advance(vq, &c, 1);
		}
	}
}

static int packed_recover(struct vq *vq, struct recovery *rd)
{
	struct vq_inflight *fl = vq->inflight;
	struct inflight_packed *r = fl->packed;
	int ret = packed_position(vq);

	if (!ret)
		ret = packed_read(vq, rd);
	if (ret)
		return ret;
	chains_sort(fl, rd);
	packed_positions(vq, rd);
	vq_store_release(&r->old_free_head, fl->free_head);
	inflight_store_used(r, vq->done, vq->done);
	vq_store_release(&r->free_head, fl->free_head);
	for (uint16_t i = 0; i < vq->num; i++) {
		if (rd->seen[i] == 2)
			vq_store_release(&r->desc[i].inflight, 0); /* 3 */
	}
	return 0;
}

/* ---- both ---- */

static void inflight_free(struct vq_inflight *fl)
{
	if (!fl)
		return;
	free(fl->head_at);
	free(fl->entries);
	free(fl);
}

static struct vq_inflight *inflight_alloc(void *region, uint16_t num, bool packed)
{
	struct vq_inflight *fl = calloc(1, sizeof(*fl));

	if (!fl)
		return NULL;
	fl->region = region;
	fl->head_at = calloc(num, sizeof(*fl->head_at));
	if (packed)
		fl->entries = calloc(num, sizeof(*fl->entries));
	if (!fl->head_at || (packed && !fl->entries)) {
		inflight_free(fl);
		return NULL;
	}
	return fl;
}

static int record_recover(struct vq *vq, bool packed)
{
	struct inflight_region *r = vq->inflight->region;
	struct recovery rd = {0};
	int ret = -ENOMEM;

	/* A record for a longer ring will do: its first entries are those of ours. */
	if (vq_load(&r->version) != INFLIGHT_VERSION || vq_load(&r->features) ||
		vq_load(&r->desc_num) < vq->num)
		return -EINVAL;
	rd.chains = calloc(vq->num, sizeof(*rd.chains));
	rd.seen = calloc(vq->num, sizeof(*rd.seen));
	if (rd.chains && rd.seen)
		ret = packed ? packed_recover(vq, &rd) : split_recover(vq, &rd);
	free(rd.chains);
	free(rd.seen);
	return ret;
}

static void record_init(struct vq *vq, bool packed)
{
	struct inflight_region *r = vq->inflight->region;

	if (packed)
		packed_init(vq, vq->inflight->packed);
	else
		split_init(vq, vq->inflight->split);
	vq_store_release(&r->features, 0);
	vq_store_release(&r->desc_num, vq->num);
	vq_store_release(&r->version, INFLIGHT_VERSION);
}

int vq_inflight_new(struct vq *vq, void *region, bool packed, bool recorded)
{
	int ret = 0;

	vq->inflight = inflight_alloc(region, vq->num, packed);
	if (!vq->inflight)
		return -ENOMEM;
	if (recorded)
		ret = record_recover(vq, packed);
	else
		record_init(vq, packed);
	/* What is neither in flight nor used is available. */
	vq->next = vq->done;
	if (ret)
		vq_fini(vq);
	return ret;
}

bool vq_inflight_idle(const struct vq *vq)
{
	return vq->inflight && vq->next.idx == vq->done.idx && vq->next.wrap == vq->done.wrap &&
		!vq->inflight->resume && !vq->npending;
}

void vq_inflight_forget(void *region)
{
	struct inflight_region *r = region;

	vq_store_release(&r->version, 0);
}

void vq_fini(struct vq *vq)
{
	inflight_free(vq->inflight);
	vq->inflight = NULL;
}
