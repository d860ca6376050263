/* SPDX-License-Identifier: BSD-3-Clause */
/* The buffer in which a back-end records what it has taken from the rings. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

void fe_inflight_fini(struct fe_inflight *in)
{
	if (in->map)
		munmap(in->map, in->map_len);
	if (in->fd >= 0)
		close(in->fd);
	*in = (struct fe_inflight){.fd = -1};
}

static int inflight_map(struct fe_inflight *in)
{
	uint64_t before = in->desc.mmap_offset % FE_PAGE;
	void *p;

	if (!in->desc.mmap_size || rw_range_wraps(in->desc.mmap_offset, in->desc.mmap_size))
		return -EPROTO;
	in->map_len = in->desc.mmap_size + before;
	p = mmap(NULL, in->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, in->fd,
		(off_t)(in->desc.mmap_offset - before));
	if (p == MAP_FAILED)
		return -errno;
	in->map = p;
	in->at = in->map;
	in->at += before;
	return 0;
}

int fe_guest_get_inflight(struct fe_guest *g)
{
	struct fe_inflight in = {
		.desc = {.num_queues = (uint16_t)g->nqueues,
			.queue_size = RW_MAX(g->config.rx_size, g->config.tx_size)},
		.fd = -1,
	};
	int err;

	err = fe_conn_get_inflight(&g->conn, &in.desc, &in.fd);
	if (!err)
		err = inflight_map(&in);
	if (err) {
		fe_inflight_fini(&in);
		return err;
	}
	fe_inflight_fini(&g->inflight);
	g->inflight = in;
	return 0;
}

int fe_guest_set_inflight(struct fe_guest *g)
{
	return fe_conn_set_inflight(&g->conn, &g->inflight.desc, g->inflight.fd);
}

void *fe_guest_inflight(const struct fe_guest *g, uint32_t i, uint64_t *len)
{
	const struct fe_inflight *in = &g->inflight;

	if (!in->at || i >= in->desc.num_queues)
		return NULL;
	*len = in->desc.mmap_size / in->desc.num_queues;
	return in->at + i * *len;
}
