/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture.h"
#include "capture_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon.h"
#include "gm_guard.h"

#define TICK_MS 1000

/* Linux 5.14; older headers lack it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

_Static_assert(CAP_PORTS_MAX == SW_MAX_PORTS, "each port has its counts");
_Static_assert(CAP_PARTS_MAX == SW_MAX_WORKERS, "each worker has a part");

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct capture {
	struct daemon *d;
	struct cap_insn *insns;
	struct gm_owner owner;
	struct gm_file memory;
	struct cap_layout layout;
	uint32_t snap, sample;
	uint8_t *scratch; /* CAP_SNAP_MAX bytes for each worker */
	struct capture_view view;
};

/* The first part of the memory, where control has a word of its own. */
static struct cap_part *first_part(const struct capture *c)
{
	return c->view.taps[0].writer.part;
}

static void tick(void *arg)
{
	struct daemon *d = arg;

	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		struct capture *c = d->captures.all[i];

		if (!c)
			continue;
		capture_view_clock(&c->view);
		if (!c->view.watch.all && !sw_watch_has_port(&c->view.watch))
			__atomic_store_n(&first_part(c)->ended, 1, __ATOMIC_RELAXED);
	}
}

static void capture_free(struct capture *c)
{
	gm_file_unmap(&c->memory);
	rw_free(c->scratch);
	free(c->insns);
	rw_free(c);
}

/* Its client is gone. */
static void capture_end(void *arg)
{
	struct capture *c = arg;
	struct captures *captures = &c->d->captures;

	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		if (captures->all[i] == c)
			captures->all[i] = NULL;
	}
	if (!--captures->n)
		rw_timer_stop(c->d->loop, &captures->tick);
	sw_watch_remove(c->d->sw, &c->view.watch);
	sw_commit(c->d->sw);
	capture_free(c);
}

void captures_end(struct daemon *d)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		struct capture *c = d->captures.all[i];

		if (!c)
			continue;
		ctl_untie(d->control, c);
		capture_end(c);
	}
}

/* Whether `fd` is memory that stays as large as `bytes`. */
static int memory_check(int fd, uint64_t bytes, char *err, size_t len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS) {
		snprintf(err, len,
			"the memory must be a memfd with F_SEAL_SHRINK, F_SEAL_GROW and "
			"F_SEAL_SEAL");
		return -EPERM;
	}
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
		snprintf(err, len, "the memory is sealed against writing");
		return -EPERM;
	}
	if (fstat(fd, &st) || (uint64_t)st.st_size != bytes) {
		snprintf(err, len, "the memory must have %llu bytes", (unsigned long long)bytes);
		return -EINVAL;
	}
	return 0;
}

static int memory_map(struct capture *c, int fd, char *err, size_t len)
{
	uint64_t bytes = cap_layout_bytes(&c->layout);
	int ret = memory_check(fd, bytes, err, len);

	if (ret)
		return ret;
	ret = gm_file_map(&c->owner, GM_LOSS_MEMORY, fd, 0, bytes, &c->memory);
	if (ret) {
		snprintf(err, len, "the memory cannot be mapped: %s", strerror(-ret));
		return ret;
	}
	/* So that workers meet no page that is missing; they can do with that, too. */
	madvise(c->memory.base, c->memory.len, MADV_POPULATE_WRITE);
	return 0;
}

static void watch_fill(struct capture *c, const struct capture_wish *wish)
{
	c->view.watch.see = capture_see;
	c->view.rx = wish->rx;
	c->view.tx = wish->tx;
	c->view.watch.wants = (uint32_t)(wish->drops
			? SW_SEE_DROP
			: (wish->rx ? SW_SEE_RX : 0) | (wish->tx ? SW_SEE_TX : 0));
	c->view.watch.all = wish->every_port;
	for (unsigned i = 0; i < wish->nports; i++)
		sw_watch_port(&c->view.watch, wish->ports[i]);
}

static int taps_make(struct capture *c)
{
	c->scratch = rw_zalloc((size_t)c->layout.nparts * CAP_SNAP_MAX);
	if (!c->scratch)
		return -ENOMEM;
	for (unsigned i = 0; i < c->layout.nparts; i++) {
		struct cap_tap *tap = &c->view.taps[i];

		cap_writer_init(&tap->writer, c->memory.host, &c->layout, i);
		tap->snap = c->snap;
		tap->sample = c->sample;
		tap->scratch = c->scratch + (size_t)i * CAP_SNAP_MAX;
	}
	return 0;
}

static int filter_check(struct capture *c, const struct capture_wish *wish, char *err, size_t len)
{
	const struct cap_filter filter = {wish->insns, wish->ninsns};
	unsigned at;
	const char *wrong = cap_filter_check(&filter, &at);

	c->insns = wish->insns;
	for (unsigned i = 0; i < c->layout.nparts; i++)
		c->view.taps[i].filter = filter;
	if (!wrong)
		return 0;
	snprintf(err, len, "instruction %u of the filter: %s", at, wrong);
	return -EINVAL;
}

static int capture_slot(const struct daemon *d, char *err, size_t len)
{
	for (int i = 0; i < CAPTURES_MAX; i++) {
		if (!d->captures.all[i])
			return i;
	}
	snprintf(err, len, "there are %d captures already", CAPTURES_MAX);
	return -ENOSPC;
}

/* It is all made: from now on workers know of it. */
static int capture_start(struct daemon *d, struct capture *c, int slot, char *err, size_t len)
{
	int ret = ctl_tie(d->control, capture_end, c);

	if (ret) {
		snprintf(err, len, "a connection has one capture");
		return ret;
	}
	ret = sw_watch_add(d->sw, &c->view.watch);
	if (ret) {
		snprintf(err, len, "there are %d watches of the switch already", SW_MAX_WATCHES);
		ctl_untie(d->control, c);
		return ret;
	}
	d->captures.all[slot] = c;
	if (!d->captures.n++) {
		d->captures.tick = (struct rw_timer){.fn = tick, .arg = d};
		rw_timer_start(d->loop, &d->captures.tick, TICK_MS, TICK_MS);
	}
	sw_commit(d->sw);
	return 0;
}

int capture_begin(struct daemon *d, struct capture_wish *wish, struct cap_layout *layout, char *err,
	size_t len)
{
	unsigned nworkers = sw_nworkers(d->sw);
	int slot = capture_slot(d, err, len), ret = slot;
	struct capture *c = NULL;

	if (slot >= 0)
		c = rw_zalloc(sizeof(*c) + nworkers * sizeof(c->view.taps[0]));
	if (!c) {
		free(wish->insns);
		if (slot >= 0)
			snprintf(err, len, "no memory");
		return slot >= 0 ? -ENOMEM : ret;
	}
	c->d = d;
	c->snap = wish->snap;
	c->sample = wish->sample;
	capture_view_clock(&c->view);
	c->view.ntaps = nworkers;
	ret = cap_layout(nworkers, CAP_PORTS_MAX, wish->data, &c->layout);
	if (ret)
		snprintf(err, len,
			"\"ring\" must be a power of two from %u to %u, and less for "
			"many workers",
			CAP_DATA_MIN, CAP_DATA_MAX);
	if (!ret)
		ret = memory_map(c, wish->fd, err, len);
	if (!ret && (ret = taps_make(c)))
		snprintf(err, len, "no memory");
	if (ret)
		free(wish->insns);
	else
		ret = filter_check(c, wish, err, len);
	if (!ret) {
		watch_fill(c, wish);
		ret = capture_start(d, c, slot, err, len);
	}
	if (ret)
		capture_free(c);
	else
		*layout = c->layout;
	return ret;
}

static uint32_t ports_count(const struct sw_watch *watch)
{
	uint32_t n = 0;

	for (unsigned i = 0; !watch->all && i < RW_ARRAY_SIZE(watch->ports); i++)
		n += (uint32_t)__builtin_popcountll(
			__atomic_load_n(&watch->ports[i], __ATOMIC_RELAXED));
	return n;
}

bool capture_describe(const struct daemon *d, unsigned i, struct capture_info *out)
{
	const struct capture *c = i < CAPTURES_MAX ? d->captures.all[i] : NULL;

	if (!c)
		return false;
	*out = (struct capture_info){.ports = ports_count(&c->view.watch),
		.snap = c->snap,
		.sample = c->sample,
		.rx = c->view.rx,
		.tx = c->view.tx,
		.drops = c->view.watch.wants & SW_SEE_DROP};
	for (unsigned part = 0; part < c->layout.nparts; part++) {
		out->taken += __atomic_load_n(&c->view.taps[part].writer.taken, __ATOMIC_RELAXED);
		out->lost += __atomic_load_n(&c->view.taps[part].writer.lost, __ATOMIC_RELAXED);
	}
	return true;
}
