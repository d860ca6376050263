/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtqueue whose driver is the input: it writes rings, tables and the in-flight record, mostly
 * as a driver would, and says what the device does next.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring.h"

#define F(bit) (1ull << (bit))

static struct fuzz_mem memory;
static int call_fd;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	mem_init(&memory);
	call_fd = eventfd(0, EFD_NONBLOCK);
	return 0;
}

/* ---- the device's functions, with the mode as a variable ---- */

#define FORMAT (PACKED ? VQ_PACKED : 0u)
#define BY_MODE(r, call)                        \
	do {                                    \
		if ((r)->mode & VQ_SLOW)        \
			call(FORMAT | VQ_SLOW); \
		else                            \
			call(FORMAT);           \
	} while (0)

static uint16_t peek(struct ring *r, uint16_t want)
{
#define CALL(mode) return vq_peek(&r->vq, want, mode)
	BY_MODE(r, CALL);
#undef CALL
}

static enum vq_status fetch(struct ring *r, struct vq_chain *c)
{
#define CALL(mode)                                                    \
	return r->writable ? vq_fetch(&r->vq, r->segs, c, mode, true) \
			   : vq_fetch(&r->vq, r->segs, c, mode, false)
	BY_MODE(r, CALL);
#undef CALL
}

static void rewind_to(struct ring *r, struct vq_cursor at)
{
#define CALL(mode) vq_rewind(&r->vq, at, mode)
	BY_MODE(r, CALL);
#undef CALL
}

static void complete(struct ring *r, const struct vq_chain *c, uint32_t len)
{
#define CALL(mode)                                               \
	do {                                                     \
		if (r->writable)                                 \
			vq_complete(&r->vq, c, len, mode, true); \
		else                                             \
			vq_complete(&r->vq, c, 0, mode, false);  \
	} while (0)
	BY_MODE(r, CALL);
#undef CALL
}

static void flush(struct ring *r)
{
#define CALL(mode) vq_flush(&r->vq, mode)
	BY_MODE(r, CALL);
#undef CALL
}

static void signal_driver(struct ring *r)
{
#define CALL(mode) vq_signal(&r->vq, mode)
	BY_MODE(r, CALL);
#undef CALL
}

static void prefetch(struct ring *r, uint16_t n)
{
#define CALL(mode) vq_prefetch(&r->vq, n, mode)
	BY_MODE(r, CALL);
#undef CALL
}

/* ---- the driver ---- */

/* Addresses where something is, or nearly, more often than any others. */
static uint64_t any_addr(struct fuzz_in *in)
{
	static const uint64_t bases[] = {
		TABLE_AT, 0x4000, 0x4ff0, 0x5000, 0x5ff0, 0x8000, 0x8ff8, 0, DEVICE_AT, 0x3ff8};
	uint8_t kind = fuzz_u8(in);

	if (kind >= 0xf8)
		return fuzz_u64(in);
	return bases[kind % RW_ARRAY_SIZE(bases)] + (kind & 0x80 ? fuzz_u16(in) % 0x1000u : 0);
}

static uint32_t any_len(struct fuzz_in *in)
{
	static const uint32_t lens[] = {64, 1, 16, 32, 0, 12, 1500, 4096, 0x1000, 48, 15, 17};
	uint8_t kind = fuzz_u8(in);

	if (kind >= 0xf0)
		return fuzz_u32(in);
	return kind & 0x80 ? fuzz_u16(in) : lens[kind % RW_ARRAY_SIZE(lens)];
}

static void desc_write(struct ring *r, uint64_t gpa, struct vq_desc d)
{
	uint8_t bytes[16];

	if (r->cfg.swap)
		d = (struct vq_desc){__builtin_bswap64(d.addr), __builtin_bswap32(d.len),
			__builtin_bswap16(d.flags), __builtin_bswap16(d.next)};
	memcpy(bytes, &d.addr, 8);
	memcpy(bytes + 8, &d.len, 4);
	memcpy(bytes + 12, PACKED ? &d.next : &d.flags, 2);
	memcpy(bytes + 14, PACKED ? &d.flags : &d.next, 2);
	mem_write(r->mem, gpa, bytes, sizeof(bytes));
}

static void write16(struct ring *r, uint64_t gpa, uint16_t v)
{
	if (r->cfg.swap)
		v = __builtin_bswap16(v);
	mem_write(r->mem, gpa, &v, sizeof(v));
}

/* One descriptor: the right direction, unless the input says otherwise. */
static struct vq_desc any_desc(const struct ring *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in);
	struct vq_desc d = {.flags = r->writable ? VRING_DESC_F_WRITE : 0};

	d.addr = any_addr(in);
	d.len = any_len(in);
	if ((bits & 0x07) == 7)
		d.flags ^= VRING_DESC_F_WRITE;
	if ((bits & 0x38) == 0x38)
		d.flags |= VRING_DESC_F_INDIRECT;
	return d;
}

static void add_split(struct ring *r, struct fuzz_in *in)
{
	unsigned n = 1 + fuzz_below(in, 5);
	uint16_t head = (uint16_t)(fuzz_u8(in) % r->num), at = head;

	r->honest = r->honest && !r->busy[head];
	r->busy[head] = true;
	for (unsigned i = 0; i < n; i++) {
		struct vq_desc d = any_desc(r, in);

		d.next = (uint16_t)((at + 1) % r->num);
		if (i + 1 < n)
			d.flags |= VRING_DESC_F_NEXT;
		desc_write(r, DESC_AT + at * 16u, d);
		at = d.next;
	}
	write16(r, DRIVER_AT + 4 + r->avail.idx % r->num * 2u, head);
	write16(r, DRIVER_AT + 2, ++r->avail.idx);
}

static void add_packed(struct ring *r, struct fuzz_in *in)
{
	unsigned n = 1 + fuzz_below(in, 5);
	uint16_t id = fuzz_u8(in);

	r->honest = r->honest && r->room >= n;
	r->room -= RW_MIN(r->room, n);
	for (unsigned i = 0; i < n; i++) {
		struct vq_desc d = any_desc(r, in);

		d.next = id;
		d.flags |= r->avail.wrap ? VQ_PACKED_AVAIL : VQ_PACKED_USED;
		if (i + 1 < n)
			d.flags |= VRING_DESC_F_NEXT;
		desc_write(r, DESC_AT + r->avail.idx * 16u, d);
		if (++r->avail.idx == r->num)
			r->avail = (struct vq_cursor){.wrap = !r->avail.wrap};
	}
}

/* A table of descriptors where indirect ones look for it. */
static void add_table(struct ring *r, struct fuzz_in *in)
{
	uint64_t at = fuzz_u8(in) & 0x80 ? any_addr(in) : TABLE_AT;
	unsigned n = fuzz_below(in, 9);

	for (unsigned i = 0; i < n; i++) {
		struct vq_desc d = any_desc(r, in);
		uint8_t next = fuzz_u8(in);

		d.next = next & 0x80 ? next & 0x7f : (uint16_t)(i + 1);
		if (next & 0x40 || i + 1 < n)
			d.flags |= VRING_DESC_F_NEXT;
		desc_write(r, at + i * 16u, d);
	}
	r->honest = r->honest && at >= TABLE_AT;
}

static void poke(struct ring *r, struct fuzz_in *in)
{
	static const uint64_t bases[] = {DESC_AT, DRIVER_AT, DEVICE_AT, TABLE_AT};
	uint8_t bytes[32], n = fuzz_u8(in);
	uint64_t at = bases[n >> 6] + fuzz_u16(in) % 0x1000u;

	n = 1 + n % sizeof(bytes);
	fuzz_bytes(in, bytes, n);
	mem_write(r->mem, at, bytes, n);
	r->honest = false;
}

/* Suppression state, and an index that is not the next one. */
static void driver_events(struct ring *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in);
	uint16_t v = fuzz_u16(in);

	if (PACKED) {
		mem_write(r->mem, DRIVER_AT + (bits & 1 ? 0 : 2), &v, sizeof(v));
	} else if (bits & 1) {
		write16(r, DRIVER_AT, v);
	} else if (bits & 2) {
		write16(r, DRIVER_AT + 4 + r->num * 2u, v);
	} else {
		r->avail.idx = (uint16_t)(r->avail.idx + (bits & 4 ? v : v % (r->num + 2u)));
		write16(r, DRIVER_AT + 2, r->avail.idx);
		r->honest = false;
	}
}

/* ---- the device ---- */

/* After a flush the driver may use again what came back. */
static void driver_reuse(struct ring *r)
{
	for (unsigned i = 0; i < r->ndone; i++) {
		if (PACKED)
			r->room += r->taken[i].ndesc;
		else
			r->busy[r->taken[i].id] = false;
	}
	r->ntaken -= r->ndone;
	memmove(r->taken, r->taken + r->ndone, (r->ntaken + r->resumed) * sizeof(r->taken[0]));
	r->ndone = 0;
}

static void flush_all(struct ring *r, bool call)
{
	flush(r);
	if (r->ndone && !PACKED)
		fuzz_check(vq_split_16(&r->vq, r->vq.used->idx, VQ_SLOW) == r->vq.done.idx);
	driver_reuse(r);
	ring_check_writes(r, true);
	if (call)
		signal_driver(r);
}

/* One of a chain that a record must give back, in the order in which they were taken. */
static void check_resumed(
	struct ring *r, unsigned at, const struct vq_chain *c, enum vq_status status)
{
	fuzz_check(status == VQ_CHAIN || status == VQ_MISS || status == VQ_BAD_ADDR ||
		status == VQ_BAD_FORM);
	fuzz_check(c->id == r->taken[at].id && c->ndesc == r->taken[at].ndesc);
}

/* Fetch up to `n` chains behind those that are taken. False: no more. */
static bool fetch_one(struct ring *r)
{
	struct vq_cursor at = r->vq.next;
	struct vq_chain c = {0};
	enum vq_status status = fetch(r, &c);

	ring_check_chain(r, at, &c, status);
	if (status == VQ_EMPTY)
		fuzz_check(!r->resumed && !peek(r, 1));
	if (status == VQ_BROKEN)
		fuzz_check(r->vq.broken && !peek(r, 1));
	if (status == VQ_EMPTY || status == VQ_BROKEN)
		return false;
	if (r->resumed) {
		check_resumed(r, r->ntaken, &c, status);
		r->resumed--;
	}
	if (status == VQ_MISS)
		c.len = 0;
	r->taken[r->ntaken++] = c;
	return true;
}

static void op_fetch(struct ring *r, struct fuzz_in *in)
{
	uint8_t want = (uint8_t)(1 + fuzz_below(in, 32));
	uint16_t n = peek(r, want);
	unsigned room = r->resumed ? r->resumed : MAX_TAKEN - r->ntaken;

	fuzz_check(n <= want && n <= r->num);
	if (n)
		prefetch(r, n);
	while (n-- && room-- && fetch_one(r))
		;
}

static void op_batch(struct ring *r, struct fuzz_in *in)
{
	unsigned n = peek(r, (uint16_t)(1 + fuzz_below(in, VQ_MAX_BATCH))), back;
	struct vq_chain chains[VQ_MAX_BATCH];
	struct rw_seg segs[VQ_MAX_BATCH];

	if (r->mode & VQ_SLOW || r->ntaken || !n)
		return;
	n = r->writable ? vq_fetch_batch(&r->vq, segs, chains, n, FORMAT, true)
			: vq_fetch_batch(&r->vq, segs, chains, n, FORMAT, false);
	for (unsigned i = 0; i < n; i++) {
		chains[i].len = segs[i].len;
		r->segs[0] = segs[i];
		chains[i].nsegs = 1;
		ring_check_chain(r, (struct vq_cursor){0}, &chains[i], VQ_BAD_FORM);
	}
	back = n ? fuzz_u8(in) % (n + 1) : 0;
	vq_unfetch(&r->vq, back, FORMAT);
	n -= back;
	if (r->writable)
		vq_complete_batch(&r->vq, chains, n, FORMAT, true);
	else
		vq_complete_batch(&r->vq, chains, n, FORMAT, false);
	memcpy(r->taken, chains, n * sizeof(chains[0]));
	r->ntaken = r->ndone = n;
}

static void op_complete(struct ring *r, struct fuzz_in *in)
{
	unsigned n = 1 + fuzz_below(in, 32);

	while (n-- && r->ndone < r->ntaken) {
		const struct vq_chain *c = &r->taken[r->ndone++];

		complete(r, c, c->len ? fuzz_u16(in) % c->len : 0);
	}
	ring_check_writes(r, false);
}

/* Put the last chains back: those from a position on that was read before. */
static void op_rewind(struct ring *r, struct fuzz_in *in)
{
	unsigned n = 1 + fuzz_below(in, 8);
	struct vq_cursor start = r->vq.next, at;

	if (r->resumed)
		return;
	at = start;
	for (unsigned i = 0; i < n && r->ntaken < MAX_TAKEN; i++) {
		if (!fetch_one(r))
			break;
		r->ntaken--;
	}
	rewind_to(r, at);
	fuzz_check(r->vq.next.idx == start.idx && r->vq.next.wrap == start.wrap);
}

static void op_iotlb(struct ring *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in);
	uint64_t iova = any_addr(in), uva;
	unsigned region = fuzz_below(in, NREGIONS);

	if (!r->tlb)
		return;
	r->vq.nmisses = bits & 0x40 ? 0 : r->vq.nmisses;
	if (bits & 0x80) {
		gm_iotlb_invalidate(r->tlb, iova, any_len(in));
	} else {
		uva = memory.map->regions[region].uva + fuzz_u16(in);
		gm_iotlb_update(r->tlb, memory.map, iova, any_len(in), uva, bits & 3);
	}
	gm_iotlb_reclaim(r->tlb);
}

static void op_notify(struct ring *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in);

	if (bits & 1)
		vq_disable_notify(&r->vq, PACKED);
	else
		vq_enable_notify(&r->vq, PACKED);
	vq_prefetch_peek(&r->vq, PACKED);
}

/* ---- its life ---- */

static void queue_begin(struct ring *r)
{
	r->mode = vq_mode(&r->cfg) & VQ_SLOW;
	r->batch.n = 0;
}

static bool queue_init(struct ring *r)
{
	int ret = vq_init(&r->vq, &r->cfg);

	if (r->cfg.log)
		dl_flush(&r->batch);
	ring_check_writes(r, true);
	return !ret;
}

/* A ring as after a reset of the device. */
static bool queue_reset(struct ring *r)
{
	uint8_t zero[0x100] = {0};

	if (r->record)
		memset(r->record, 0, r->record_bytes);
	for (unsigned at = 0; at < TABLE_AT; at += sizeof(zero))
		mem_write(r->mem, at, zero, sizeof(zero));
	r->cfg.base = PACKED ? 0x80008000 : 0;
	r->avail = (struct vq_cursor){.wrap = true};
	r->honest = true;
	memset(r->busy, 0, sizeof(r->busy));
	r->room = r->num;
	r->ntaken = r->ndone = r->resumed = 0;
	return queue_init(r);
}

/*
 * The back-end is killed and another one goes on. What an honest driver's record holds must come
 * back as it was taken.
 */
static bool op_restart(struct ring *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in);
	bool kept = r->record && r->honest && !r->vq.broken;
	bool orderly = !r->ntaken && (bits & 1);

	r->cfg.base = orderly ? vq_base(&r->vq, PACKED) : fuzz_u32(in);
	if (r->record && vq_inflight_idle(&r->vq) && (bits & 2))
		vq_inflight_forget(r->record);
	else
		orderly = orderly || (kept && PACKED);
	if (!PACKED && !(bits & 4))
		r->cfg.base &= 0xffff;
	vq_fini(&r->vq);
	/* Completed and not flushed: the driver cannot see it, it is fetched again. */
	r->resumed = kept ? r->ntaken + r->resumed : 0;
	r->ntaken = r->ndone = 0;
	if (!queue_init(r))
		return queue_reset(r);
	r->honest = kept || (orderly && r->honest);
	return true;
}

static void op_record(struct ring *r, struct fuzz_in *in)
{
	uint64_t at = fuzz_u16(in);
	uint8_t bytes[16], n = (uint8_t)(1 + fuzz_below(in, sizeof(bytes)));

	fuzz_bytes(in, bytes, n);
	if (!r->record)
		return;
	at %= r->record_bytes;
	memcpy(r->record + at, bytes, RW_MIN(n, r->record_bytes - at));
	r->honest = false;
}

static void device_op(struct ring *r, uint8_t op, struct fuzz_in *in)
{
	if (op == 6 || op == 7)
		op_fetch(r, in);
	else if (op == 8)
		op_batch(r, in);
	else if (op == 9)
		op_complete(r, in);
	else if (op == 10)
		flush_all(r, true);
	else if (op == 11)
		op_rewind(r, in);
	else if (op == 12)
		op_notify(r, in);
	/* A whole burst. */
	if (op == 7) {
		op_complete(r, in);
		flush_all(r, true);
	}
}

/* False: the ring cannot be set up again. */
static bool step(struct ring *r, struct fuzz_in *in)
{
	uint8_t op = (uint8_t)fuzz_below(in, 15);

	if (op <= 2)
		PACKED ? add_packed(r, in) : add_split(r, in);
	else if (op == 3)
		add_table(r, in);
	else if (op == 4)
		poke(r, in);
	else if (op == 5)
		driver_events(r, in);
	else if (op <= 12)
		device_op(r, op, in);
	else if (op == 13 && fuzz_u8(in) & 1)
		op_record(r, in);
	else if (op == 13)
		op_iotlb(r, in);
	else
		return op_restart(r, in);
	ring_check_writes(r, !r->ndone);
	ring_check_state(r);
	return true;
}

static void config_read(struct ring *r, struct fuzz_in *in)
{
	static const uint16_t nums[] = {8, 1, 2, 4, 16, 32, 256, 64};
	static const uint16_t packed_nums[] = {8, 1, 2, 3, 5, 16, 31, 64};
	uint8_t features = fuzz_u8(in), slow = fuzz_u8(in);

	r->num = (PACKED ? packed_nums : nums)[features & 7];
	r->writable = features & 8;
	r->cfg = (struct vq_config){
		.mem = memory.map,
		.desc = memory.map->regions[0].host + DESC_AT,
		.driver = memory.map->regions[0].host + DRIVER_AT,
		.device = memory.map->regions[0].host + DEVICE_AT,
		.features = (PACKED ? F(VIRTIO_F_RING_PACKED) : 0) |
			(features & 16 ? F(VIRTIO_RING_F_EVENT_IDX) : 0) |
			(features & 32 ? 0 : F(VIRTIO_RING_F_INDIRECT_DESC)) |
			(features & 64 ? F(VIRTIO_F_NOTIFY_ON_EMPTY) : 0),
		.num = r->num,
		.call_fd = features & 128 ? -1 : call_fd,
		.swap = !PACKED && (slow & 1),
	};
	if (slow & 2) {
		r->tlb = gm_iotlb_new();
		r->cfg.tlb = r->tlb;
	}
	if (slow & 4) {
		struct vq_areas bytes = vq_area_bytes(r->cfg.features, r->num);

		dl_batch_init(&r->batch, memory.log);
		r->pieces[0] = (struct gm_piece){r->cfg.device, bytes.device, DEVICE_AT};
		r->pieces[1] = (struct gm_piece){r->cfg.desc, bytes.desc, DESC_AT};
		r->cfg.log = &r->batch;
		r->cfg.log_pieces = r->pieces;
		r->cfg.nlog_pieces = slow & 16 ? 0 : 1 + PACKED;
	}
	if (slow & 8) {
		r->record_bytes = vq_inflight_bytes(r->cfg.features, r->num);
		r->record = aligned_alloc(64, r->record_bytes);
		fuzz_check(r->record);
		r->cfg.inflight = r->record;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct ring r = {.mem = &memory};

	mem_reset(&memory);
	config_read(&r, &in);
	r.segs = malloc(vq_max_segs(r.num) * sizeof(*r.segs));
	fuzz_check(r.segs);
	queue_begin(&r);
	if (queue_reset(&r)) {
		for (unsigned i = 0; i < MAX_OPS && in.left; i++) {
			if (!step(&r, &in))
				break;
		}
		vq_fini(&r.vq);
	}
	gm_iotlb_free(r.tlb);
	free(r.record);
	free(r.segs);
	return 0;
}
