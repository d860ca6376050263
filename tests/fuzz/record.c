/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record that a killed back-end leaves of a packed ring (lib/virtqueue/progress.c), and the
 * file that holds such records (drivers/vhost/record.h). An honest driver whose back-end is killed
 * between any two operations gets every chain back, once; with a ring or a record that was
 * scribbled over, all that counts is that nothing else is written.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "record.h"
#include "ring.h"

#define QEMU_BASE 0x80008000u
#define NUM_MAX   64

static struct fuzz_mem memory;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	mem_init(&memory);
	return 0;
}

/* ---- a ring ---- */

struct life {
	struct vq vq;
	struct vq_config cfg;
	struct rw_seg *segs;
	uint16_t num;
	/* The driver. */
	struct vq_cursor avail,
		seen; /* where it adds the next chain, and expects the next used one */
	uint32_t room;
	uint16_t ndesc[NUM_MAX]; /* by the chain's first entry */
	bool honest;
	/* The device: chains fetched and not flushed, in order. */
	struct vq_chain taken[NUM_MAX];
	unsigned ntaken, ndone;
};

static struct vring_packed_desc *ring_of(const struct life *l)
{
	return l->cfg.desc;
}

static void advance(const struct life *l, struct vq_cursor *c, uint32_t n)
{
	c->idx = (uint16_t)(c->idx + n);
	if (c->idx >= l->num)
		*c = (struct vq_cursor){.idx = (uint16_t)(c->idx - l->num), .wrap = !c->wrap};
}

static void driver_adds(struct life *l, struct fuzz_in *in)
{
	uint32_t n = 1 + fuzz_below(in, 4);
	uint16_t first = l->avail.idx;

	if (n > l->room)
		return;
	for (uint32_t i = 0; i < n; i++) {
		ring_of(l)[l->avail.idx] = (struct vring_packed_desc){.addr = TABLE_AT,
			.len = 64,
			.id = first,
			.flags = (uint16_t)((l->avail.wrap ? VQ_PACKED_AVAIL : VQ_PACKED_USED) |
				VRING_DESC_F_WRITE | (i + 1 < n ? VRING_DESC_F_NEXT : 0))};
		advance(l, &l->avail, 1);
	}
	l->ndesc[first] = (uint16_t)n;
	l->room -= n;
}

/* Take back what is used: each chain once, in order. */
static void driver_reaps(struct life *l)
{
	while (l->room < l->num) {
		const struct vring_packed_desc *d = &ring_of(l)[l->seen.idx];
		bool avail = d->flags & VQ_PACKED_AVAIL, used = d->flags & VQ_PACKED_USED;

		if (avail != used || used != l->seen.wrap)
			return;
		fuzz_check(!l->honest || d->id == l->seen.idx);
		l->room += l->ndesc[l->seen.idx];
		advance(l, &l->seen, l->ndesc[l->seen.idx]);
	}
}

static void device_fetches(struct life *l, unsigned n)
{
	for (; n && l->ntaken < NUM_MAX; n--) {
		struct vq_chain c = {0};
		enum vq_status status = vq_fetch(&l->vq, l->segs, &c, VQ_PACKED, true);

		if (status == VQ_EMPTY || status == VQ_BROKEN)
			return;
		fuzz_check(!l->honest || status == VQ_CHAIN);
		l->taken[l->ntaken++] = c;
	}
}

static void device_completes(struct life *l, unsigned n)
{
	for (; n && l->ndone < l->ntaken; n--)
		vq_complete(&l->vq, &l->taken[l->ndone++], 12, VQ_PACKED, true);
}

static void device_flushes(struct life *l)
{
	vq_flush(&l->vq, VQ_PACKED);
	l->ntaken -= l->ndone;
	memmove(l->taken, l->taken + l->ndone, l->ntaken * sizeof(l->taken[0]));
	l->ndone = 0;
	if (l->honest)
		driver_reaps(l);
}

/*
 * All entries are available in a first lap. Behind a chain that began in the lap before, that may
 * be a ring that is full, and no record tells it from one that a rebooted guest has just filled.
 */
static bool looks_new(const struct life *l)
{
	for (uint16_t i = 0; i < l->num; i++) {
		if ((ring_of(l)[i].flags & (VQ_PACKED_AVAIL | VQ_PACKED_USED)) != VQ_PACKED_AVAIL)
			return false;
	}
	return true;
}

/* The next back-end. False: it wants the guest to reset the ring. */
static bool device_starts(struct life *l, enum vq_known known)
{
	uint32_t base = l->cfg.base;

	switch (vq_progress_judge(&l->cfg, known, &base)) {
	case VQ_START_RECORD:
		break;
	case VQ_START_BASE:
		vq_progress_forget(l->cfg.progress, l->num);
		break;
	default:
		fuzz_check(!l->honest || looks_new(l));
		return false;
	}
	l->cfg.base = base;
	l->ntaken = l->ndone = 0;
	return !vq_init(&l->vq, &l->cfg);
}

static bool device_is_killed(struct life *l, struct fuzz_in *in)
{
	static const enum vq_known others[] = {VQ_KNOWN_RECORD, VQ_KNOWN_NOTHING, VQ_KNOWN_LOST};
	unsigned which = fuzz_below(in, 16);

	vq_fini(&l->vq);
	/* As QEMU; the last one that was told; or anything. */
	l->cfg.base = which & 8 ? fuzz_u32(in) : QEMU_BASE;
	if (l->honest)
		l->cfg.base = QEMU_BASE;
	if (!device_starts(l, l->honest ? VQ_KNOWN_RECORD : others[which % 3]))
		return false;
	if (l->honest)
		driver_reaps(l);
	return true;
}

static void scribble(struct life *l, struct fuzz_in *in)
{
	uint8_t where = fuzz_u8(in);
	size_t bytes = where & 1 ? l->num * sizeof(struct vring_packed_desc)
				 : vq_progress_bytes(l->num);
	uint8_t *at = where & 1 ? (uint8_t *)l->cfg.desc : (uint8_t *)l->cfg.progress;

	for (unsigned n = 1 + fuzz_below(in, 4); n; n--)
		at[fuzz_u16(in) % bytes] = fuzz_u8(in);
	l->honest = false;
}

static bool life_goes_on(struct life *l, struct fuzz_in *in)
{
	switch (fuzz_below(in, 8)) {
	case 0:
	case 1:
		driver_adds(l, in);
		return true;
	case 2:
		device_fetches(l, fuzz_below(in, 8));
		return true;
	case 3:
		device_completes(l, fuzz_below(in, 8));
		return true;
	case 4:
		device_flushes(l);
		return true;
	case 5:
		device_fetches(l, NUM_MAX);
		device_completes(l, NUM_MAX);
		device_flushes(l);
		return true;
	case 6:
		if (fuzz_below(in, 8) == 7)
			scribble(l, in);
		return true;
	default:
		return device_is_killed(l, in);
	}
}

/* At the end all chains have come back. */
static void nothing_is_lost(struct life *l)
{
	device_fetches(l, NUM_MAX);
	device_completes(l, NUM_MAX);
	device_flushes(l);
	device_fetches(l, NUM_MAX);
	device_completes(l, NUM_MAX);
	device_flushes(l);
	fuzz_check(!l->honest || l->room == l->num);
}

static void ring_lives(struct fuzz_in *in)
{
	static const uint16_t nums[] = {8, 1, 2, 3, 5, 16, 31, NUM_MAX};
	struct life l = {.num = nums[fuzz_below(in, 8)], .honest = true};
	bool runs;

	mem_reset(&memory);
	l.room = l.num;
	l.avail = l.seen = (struct vq_cursor){.wrap = true};
	l.cfg = (struct vq_config){.mem = memory.map,
		.desc = memory.map->regions[0].host + DESC_AT,
		.driver = memory.map->regions[0].host + DRIVER_AT,
		.device = memory.map->regions[0].host + DEVICE_AT,
		.features = 1ull << VIRTIO_F_RING_PACKED,
		.base = QEMU_BASE,
		.num = l.num,
		.call_fd = -1,
		.progress = calloc(1, vq_progress_bytes(l.num))};
	l.segs = malloc(vq_max_segs(l.num) * sizeof(*l.segs));
	fuzz_check(l.cfg.progress && l.segs);
	vq_progress_forget(l.cfg.progress, l.num);
	runs = !vq_init(&l.vq, &l.cfg);
	fuzz_check(runs);
	for (unsigned i = 0; runs && i < MAX_OPS && in->left; i++)
		runs = life_goes_on(&l, in);
	if (runs)
		nothing_is_lost(&l);
	vq_fini(&l.vq);
	free(l.cfg.progress);
	free(l.segs);
}

/* ---- the file ---- */

#define NAMES_AT 4096 /* where names of ports begin: what decides who gets which part */

/* Ports come, in a file that another process left or somebody wrote to. */
static void ports_come(int fd, struct fuzz_in *in)
{
	struct vhost_record ports[4] = {0};
	struct vhost_records *records;
	bool kept;

	fuzz_check(!vhost_records_new(fd, "boot", &kept, &records));
	for (unsigned i = 0; i < RW_ARRAY_SIZE(ports); i++) {
		char name[] = {'a', (char)('0' + i), 0};
		const volatile uint8_t *part;

		if (fuzz_below(in, 4) == 3)
			continue;
		fuzz_check(!vhost_record_begin(&ports[i], records, name));
		for (unsigned k = 0; k < i; k++)
			fuzz_check(!ports[k].base || ports[k].offset != ports[i].offset);
		/* All of the part is there. */
		part = ports[i].base;
		(void)part[fuzz_u32(in) % (1u << 20)];
	}
	for (unsigned i = 0; i < RW_ARRAY_SIZE(ports); i++)
		vhost_record_end(&ports[i]);
	vhost_records_free(records);
}

static void file_lives(struct fuzz_in *in)
{
	int fd = memfd_create("rings", 0);

	fuzz_check(fd >= 0);
	for (unsigned n = 1 + fuzz_below(in, 3); n; n--) {
		ports_come(fd, in);
		for (unsigned k = fuzz_below(in, 16); k; k--) {
			uint8_t bytes[8];
			off_t at = (k & 1 ? NAMES_AT : 0) + fuzz_u16(in);

			fuzz_bytes(in, bytes, sizeof(bytes));
			fuzz_check(pwrite(fd, bytes, sizeof(bytes), at) == sizeof(bytes));
		}
		if (!fuzz_below(in, 8))
			fuzz_check(!ftruncate(fd, fuzz_u16(in)));
	}
	ports_come(fd, in);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};

	if (fuzz_below(&in, 16) == 15)
		file_lives(&in);
	else
		ring_lives(&in);
	return 0;
}
