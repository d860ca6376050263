/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a packed ring starts after a back-end was killed.
 *
 * A split ring says so itself: its used index is in the guest's memory. A packed ring has no index,
 * and front-ends remember only what the latest orderly stop answered. So the device records how far
 * it has come. Chains are completed in the order in which they were fetched, therefore one position
 * says all: what lies before it is used, what lies behind it is still to be fetched, and what was
 * fetched and not completed is fetched again.
 *
 * A batch of completed chains is published by its first used entry, which is written last. A
 * back-end that is killed before that leaves used entries behind that the driver cannot see yet;
 * they have overwritten what the driver wrote, so the batch cannot be undone. It is finished
 * instead: the record has the first used entry, and the length of each chain. Buffers are filled
 * between completion and flush, so unless the flush had begun the batch says that nothing was
 * written to them; a network driver drops such a frame.
 *
 * Guest memory is read as anywhere: once, bounded, and believed in nothing. The record comes from a
 * file that may be stale or torn.
 */
#include "vq_ops.h"

#define BOTH ((uint16_t)(VQ_PACKED_AVAIL | VQ_PACKED_USED))

#define CODE_WRAP (1u << 15)

/* The length of a chain that was not noted. */
#define NDESC_UNKNOWN UINT16_MAX

/* A ring that is looked at, and its record. */
struct look {
	struct vq vq; /* packed, num: for vq_packed_* */
	struct vq_progress *p;
};

static struct vq_cursor cursor_of(uint16_t code)
{
	return (struct vq_cursor){.idx = code & (CODE_WRAP - 1), .wrap = code & CODE_WRAP};
}

static uint16_t flags_at(const struct look *l, struct vq_cursor c)
{
	return vq_load_acquire(&l->vq.packed[c.idx].flags);
}

/* The driver has made it available in the lap of `c`, and the device has not used it. */
static bool is_available(const struct look *l, struct vq_cursor c)
{
	return vq_packed_is_avail(flags_at(l, c), c.wrap);
}

/* The device has used it in that lap. */
static bool is_used(const struct look *l, struct vq_cursor c)
{
	return (flags_at(l, c) & BOTH) == (c.wrap ? BOTH : 0);
}

/* Entries from `from` to `to`, at most a lap. */
static uint32_t distance(const struct look *l, struct vq_cursor from, struct vq_cursor to)
{
	return (uint32_t)to.idx - from.idx + (from.wrap != to.wrap ? l->vq.num : 0u);
}

/* The entries of the chain that the driver made available at `c`; 0: it does not end. */
static uint16_t chain_length(const struct look *l, struct vq_cursor c)
{
	for (uint16_t n = 1; n <= l->vq.num; n++) {
		if (!(flags_at(l, c) & VRING_DESC_F_NEXT))
			return n;
		vq_packed_advance(&l->vq, &c, 1);
	}
	return 0;
}

/*
 * Where the batch ends that was being written when the back-end died: `*end`, which is `done` if
 * there was none. False: the record contradicts the ring.
 */
static bool batch_find(const struct look *l, struct vq_cursor done, struct vq_cursor *end)
{
	struct vq_cursor c = done;
	uint32_t total = 0;
	uint16_t n;

	*end = done;
	if (!is_available(l, done))
		return true;
	n = chain_length(l, done);
	if (!n)
		return true; /* whoever fetches it finds the ring broken */
	do {
		total += n;
		if (!n || total > l->vq.num)
			return false;
		vq_packed_advance(&l->vq, &c, n);
		if (total == l->vq.num || !is_used(l, c))
			break;
		n = vq_load(&l->p->ndesc[c.idx]);
		*end = c;
	} while (true);
	/* The first chain alone is not written: it is fetched again. */
	if (vq_cursor_code(*end) != vq_cursor_code(done))
		*end = c;
	return true;
}

/*
 * The entries of a lap: those that are available, then none. In between, the driver may just be
 * writing one chain, whose first entry it makes available last.
 */
enum lap { LAP_AVAILABLE, LAP_HEAD, LAP_TAIL, LAP_REST, LAP_WRONG };

/* Where in it an entry is, from where the one before it was. */
static enum lap lap_next(enum lap lap, bool available, uint16_t flags)
{
	uint16_t both = flags & BOTH;

	/* What lies there may have been used, or else be available in the next lap already. */
	if (!available)
		return lap == LAP_AVAILABLE && (!both || both == BOTH) ? LAP_HEAD : LAP_REST;
	switch (lap) {
	case LAP_AVAILABLE:
		return LAP_AVAILABLE;
	case LAP_HEAD:
	case LAP_TAIL:
		return flags & VRING_DESC_F_NEXT ? LAP_TAIL : LAP_REST;
	default:
		return LAP_WRONG;
	}
}

/*
 * What a chain leaves behind its used entry looks available in some laps. So the length that was
 * noted for it must cover that: how many such entries may follow. Negative: any number.
 */
static int32_t covers(const struct look *l, struct vq_cursor c)
{
	uint16_t n = l->p ? vq_load(&l->p->ndesc[c.idx]) : NDESC_UNKNOWN;

	return n == NDESC_UNKNOWN ? -1 : RW_MAX(n, 1) - 1;
}

/* Whether the `n` entries from `start` on fit a device that goes on there. */
static bool lap_fits(const struct look *l, struct vq_cursor start, uint32_t n)
{
	struct vq_cursor c = start;
	enum lap lap = LAP_AVAILABLE;
	int32_t cover = -1;

	for (; n; n--, vq_packed_advance(&l->vq, &c, 1)) {
		uint16_t flags = flags_at(l, c), both = flags & BOTH;
		bool available = vq_packed_is_avail(flags, c.wrap);

		if (!available && !!(flags & VQ_PACKED_AVAIL) == c.wrap)
			return false; /* used, which nobody did */
		lap = lap_next(lap, available, flags);
		if (lap == LAP_WRONG)
			return false;
		if (available || !both || both == BOTH)
			cover = available ? -1 : covers(l, c);
		else if (!cover--)
			return false;
	}
	return true;
}

/*
 * The chains of the batch that was flushed last are used, or the driver used their place again.
 * `end`: where the batch behind it ends, which may have overwritten what is compared.
 */
static bool last_fits(
	const struct look *l, struct vq_cursor last, struct vq_cursor done, struct vq_cursor end)
{
	uint32_t left = distance(l, last, done);

	if (left > l->vq.num)
		return false;
	/* The length of the chain behind `end` may be noted, too. */
	if (left + distance(l, done, end) >= l->vq.num)
		return true;
	while (left) {
		uint16_t n = vq_load(&l->p->ndesc[last.idx]);
		struct vq_cursor again = {.idx = last.idx, .wrap = !last.wrap};

		if (!n || n > left || (!is_used(l, last) && !is_available(l, again)))
			return false;
		vq_packed_advance(&l->vq, &last, n);
		left -= n;
	}
	return true;
}

/* Whether a device has touched the ring since the driver made it. */
enum newness {
	RING_USED,
	RING_ADDED, /* no, and the driver may just be adding a chain; or else a few entries were */
	RING_NEW,   /* no */
};

/*
 * In a new ring a part of the first lap is available, and the rest has no address and no length
 * (DPDK's driver numbers its entries, others leave zeroes). A consumed one still has the addresses
 * of its buffers. Behind what is available there may be entries of a chain whose first entry has
 * all but its flags yet.
 */
static enum newness ring_newness(const struct look *l)
{
	struct vq_cursor c = {.wrap = true};
	enum newness found = RING_NEW;
	enum lap lap = LAP_AVAILABLE;

	for (; c.idx < l->vq.num; c.idx++) {
		const uint64_t *w = (const uint64_t *)&l->vq.packed[c.idx];
		uint64_t words = vq_load(&w[0]) | (uint32_t)vq_load(&w[1]);
		uint16_t flags = flags_at(l, c);
		bool available = vq_packed_is_avail(flags, true);

		lap = lap_next(lap, available, flags);
		if (lap == LAP_WRONG || (!available && flags & BOTH) ||
			(!available && lap == LAP_REST && words))
			return RING_USED;
		if (lap != LAP_AVAILABLE && words)
			found = RING_ADDED;
	}
	return found;
}

/* What the record says of the ring. */
struct found {
	struct vq_cursor done; /* where it starts */
	bool finish;           /* once a batch is published, which begins at `from` */
	bool filled;           /* its buffers are */
	struct vq_cursor from;
};

/* Whether the record and the ring fit together, and what follows. */
static bool record_read(const struct look *l, struct found *out)
{
	struct vq_cursor done = cursor_of(vq_load(&l->p->done));
	struct vq_cursor last = cursor_of(vq_load(&l->p->last));
	struct vq_cursor end = cursor_of(vq_load(&l->p->end));
	struct found f = {.done = done, .from = done};

	if (done.idx >= l->vq.num || last.idx >= l->vq.num || end.idx >= l->vq.num)
		return false;
	/* Killed behind the store that publishes, or before it, or with nothing to publish. */
	if (vq_cursor_code(end) != vq_cursor_code(done) && !is_available(l, done)) {
		if (distance(l, done, end) > l->vq.num)
			return false;
	} else {
		if (!batch_find(l, done, &end))
			return false;
		f.finish = vq_cursor_code(end) != vq_cursor_code(done);
		f.filled = vq_cursor_code(end) == vq_load(&l->p->end);
	}
	if (!last_fits(l, last, done, end))
		return false;
	f.done = end;
	/* Of a batch that was not published the driver has seen nothing. */
	if (!lap_fits(l, end, l->vq.num - (f.finish ? distance(l, done, end) : 0)))
		return false;
	*out = f;
	return true;
}

/* The two change at once. */
static uint32_t *done_and_last(struct vq_progress *p)
{
	return (uint32_t *)(void *)&p->done;
}

/* Of a used entry's second word: the length, and that something was written. */
#define WRITTEN (UINT32_MAX | (uint64_t)VRING_DESC_F_WRITE << 48)

/* The batch says of its chains that nothing was written to them. */
static void batch_void(const struct look *l, const struct found *f)
{
	struct vq_cursor c = f->from;

	vq_store_release(&l->p->first_word, vq_load(&l->p->first_word) & ~WRITTEN);
	for (;;) {
		uint64_t *entry;
		uint16_t n = vq_load(&l->p->ndesc[c.idx]);

		vq_packed_advance(&l->vq, &c, n);
		if (!n || distance(l, f->from, c) >= distance(l, f->from, f->done))
			return;
		entry = (uint64_t *)&l->vq.packed[c.idx].len;
		vq_store_release(entry, vq_load(entry) & ~WRITTEN);
	}
}

/*
 * Publish a batch that was under way, in the order of a flush: this may be killed, too, and is then
 * done again.
 */
static void batch_finish(const struct look *l, const struct found *f)
{
	uint64_t *entry = (uint64_t *)&l->vq.packed[f->from.idx].len;

	if (f->finish && !f->filled)
		batch_void(l, f);
	vq_store_release(&l->p->end, vq_cursor_code(f->done));
	if (f->finish)
		vq_store_release(entry, vq_load(&l->p->first_word));
}

static bool is_first(const struct vq_config *cfg)
{
	return cfg->base == (CODE_WRAP | CODE_WRAP << 16) || cfg->base == CODE_WRAP;
}

/* Without a record: whether the ring contradicts the base. */
static bool base_fits(const struct look *l, const struct vq_config *cfg)
{
	struct vq_cursor next = cursor_of((uint16_t)cfg->base);
	struct vq_cursor done = cursor_of((uint16_t)(cfg->base >> 16));

	if (is_first(cfg))
		return ring_newness(l) != RING_USED;
	/* What is in flight may be used out of order, by another back-end. */
	if (next.idx != done.idx || next.wrap != done.wrap || done.idx >= l->vq.num)
		return true;
	return lap_fits(l, done, l->vq.num);
}

enum vq_verdict vq_progress_judge(const struct vq_config *cfg, enum vq_known known, uint32_t *base)
{
	struct look l = {.vq = {.packed = cfg->desc, .num = cfg->num},
		.p = known == VQ_KNOWN_RECORD ? cfg->progress : NULL};
	enum newness new = ring_newness(&l);
	bool at_first, fits;
	struct found f;

	if (known == VQ_KNOWN_BASE)
		return VQ_START_BASE;
	if (known == VQ_KNOWN_NOTHING)
		return base_fits(&l, cfg) ? VQ_START_BASE : VQ_START_UNSURE;
	fits = known == VQ_KNOWN_RECORD && record_read(&l, &f);
	at_first = fits && !f.done.idx && f.done.wrap;
	/* A guest that was rebooted meanwhile may look as the ring of the record does. */
	if (fits && (new != RING_NEW || at_first)) {
		batch_finish(&l, &f);
		*base = vq_cursor_code(f.done) | (uint32_t)vq_cursor_code(f.done) << 16;
		return VQ_START_RECORD;
	}
	return new == RING_NEW && !fits &&is_first(cfg) ? VQ_START_BASE : VQ_START_UNSURE;
}

void vq_progress_forget(struct vq_progress *p, uint16_t num)
{
	for (uint16_t i = 0; i < num; i++)
		vq_store_release(&p->ndesc[i], NDESC_UNKNOWN);
	/* No ring has such a position. */
	vq_store_release(&p->end, UINT16_MAX);
	vq_store_release(done_and_last(p), UINT32_MAX);
}

void vq_progress_begin(struct vq_progress *p, uint32_t base)
{
	uint16_t code = (uint16_t)base, done = vq_load(&p->done);

	if (vq_load(&p->end) == code && done != UINT16_MAX) {
		/* It goes on, perhaps behind a batch that was finished. */
		if (done != code)
			vq_store_release(done_and_last(p), (uint32_t)done << 16 | code);
		return;
	}
	/* Read before all of it is written, it means the same or fits nothing. */
	vq_store_release(&p->end, code);
	vq_store_release(done_and_last(p), (uint32_t)code << 16 | code);
}
