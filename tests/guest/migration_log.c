/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fe_log.h"

/* Around the bitmap: neither a clear nor a full byte. */
#define AROUND 0x5a

int fe_log_init(struct fe_log *log, uint64_t size, uint64_t offset)
{
	uint64_t end = offset + size;
	int err;

	*log = (struct fe_log){.fd = -1, .base = {.size = size, .offset = offset}};
	if (size == 0 || end < size || end > INT64_MAX - FE_PAGE)
		return -EINVAL;
	log->map_len = rw_align_up(end, FE_PAGE);
	log->fd = memfd_create("log", MFD_CLOEXEC);
	if (log->fd < 0 || ftruncate(log->fd, (off_t)log->map_len) < 0)
		goto fail;
	log->map = mmap(NULL, log->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd, 0);
	if (log->map == MAP_FAILED) {
		log->map = NULL;
		goto fail;
	}
	memset(log->map, AROUND, log->map_len);
	log->bits = log->map + offset;
	memset(log->bits, 0, size);
	return 0;
fail:
	err = -errno;
	fe_log_fini(log);
	return err;
}

void fe_log_fini(struct fe_log *log)
{
	if (log->map)
		munmap(log->map, log->map_len);
	if (log->fd >= 0)
		close(log->fd);
	*log = (struct fe_log){.fd = -1};
}

uint64_t fe_log_size_for(const struct fe_mem *m)
{
	uint64_t end = 0;
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		end = RW_MAX(end, m->regions[i].c.gpa + m->regions[i].c.size);
	return (end / FE_PAGE + 7) / 8;
}

bool fe_log_has(const struct fe_log *log, uint64_t gpa)
{
	uint64_t page = gpa / FE_PAGE;

	if (page / 8 >= log->base.size)
		return false;
	return __atomic_load_n(&log->bits[page / 8], __ATOMIC_ACQUIRE) >> page % 8 & 1;
}

uint64_t fe_log_count(const struct fe_log *log)
{
	uint64_t n = 0;
	uint64_t i;

	for (i = 0; i < log->base.size; i++)
		n += (unsigned)__builtin_popcount(__atomic_load_n(&log->bits[i], __ATOMIC_RELAXED));
	return n;
}

uint64_t fe_log_fetch(struct fe_log *log, uint8_t *out)
{
	uint64_t n = 0;
	uint64_t i;
	uint8_t b;

	for (i = 0; i < log->base.size; i++) {
		/* Most are clear; reading keeps their lines shared. */
		if (!__atomic_load_n(&log->bits[i], __ATOMIC_RELAXED))
			continue;
		/* Acquire: who copies a page after this sees what was written before its mark. */
		b = __atomic_exchange_n(&log->bits[i], 0, __ATOMIC_ACQ_REL);
		out[i] |= b;
		n += (unsigned)__builtin_popcount(b);
	}
	return n;
}

static bool is_around(const uint8_t *from, const uint8_t *to)
{
	for (; from < to; from++)
		if (*from != AROUND)
			return false;
	return true;
}

bool fe_log_is_contained(const struct fe_log *log)
{
	return is_around(log->map, log->bits) &&
		is_around(log->bits + log->base.size, log->map + log->map_len);
}

int fe_guest_log_features(struct fe_guest *g, bool on)
{
	uint64_t features = g->features | (on ? FE_BIT(VU_F_LOG_ALL) : 0);
	int err;

	err = fe_conn_set(&g->conn, VU_SET_FEATURES, features);
	if (!err)
		g->log_all = on;
	return err;
}

int fe_guest_log_ring(struct fe_guest *g, uint32_t index, bool on)
{
	struct fe_queue *q = &g->queues[index];
	bool was = q->log;
	int err;

	q->log = on;
	err = fe_guest_ring_step(g, index, FE_ADDR);
	if (err)
		q->log = was;
	return err;
}

static int log_all_rings(struct fe_guest *g, bool on)
{
	uint32_t i;
	int err;

	err = fe_guest_log_features(g, on);
	for (i = 0; !err && i < g->nqueues; i++)
		err = fe_guest_log_ring(g, i, on);
	return err;
}

int fe_guest_log_start(struct fe_guest *g, struct fe_log *log, enum fe_log_style style)
{
	int err;

	err = fe_conn_set_log(&g->conn, &log->base, log->fd, style);
	if (err)
		return err;
	g->log = log;
	return log_all_rings(g, true);
}

int fe_guest_log_stop(struct fe_guest *g)
{
	return log_all_rings(g, false);
}
