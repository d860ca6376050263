/* SPDX-License-Identifier: BSD-3-Clause */
/* A session's memory and negotiation, and the start of its rings. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fe_session.h"

/* Guest-physical and user address of the memory. Both differ from our pointers. */
#define MEM_GPA 0x40000000ull
#define MEM_UVA 0x7e1200000000ull

/*
 * Gap between two buffers, in bytes. Buffer sizes are powers of two, so buffers without a gap would
 * use few of a cache's sets. A gap of three lines makes the distance an odd number of lines.
 */
#define BUF_GAP (3 * RW_CACHE_LINE)

#define HUGE_PAGE (2ull << 20)

struct fe_session_ring {
	uint16_t num;
	uint64_t ring_at; /* offset in the memory */
	uint64_t bufs_at;
	uint32_t buf_size;
	uint32_t stride; /* from one buffer to the next */
	int kick_fd;     /* eventfds, non-blocking */
	int call_fd;
};

/* Allocate the next `bytes` of the memory, aligned to a cache line. */
static uint64_t lay_out(struct fe_session *s, uint64_t bytes)
{
	uint64_t at = s->used;

	s->used = rw_align_up(at + bytes, RW_CACHE_LINE);
	return at;
}

static void rings_lay_out(struct fe_session *s)
{
	const struct fe_session_config *c = &s->config;
	struct fe_session_ring *r;
	struct fe_layout layout;
	uint32_t i;

	for (i = 0; i < s->nqueues; i++) {
		r = &s->rings[i];
		r->num = i % 2 ? c->tx_size : c->rx_size;
		/* A split ring needs no less than a packed one of the same size. */
		fe_ring_layout(FE_SPLIT, r->num, &layout);
		r->ring_at = lay_out(s, layout.bytes);
	}
	/* First all receive buffers, then all transmit buffers. */
	for (i = 0; i < 2 * s->nqueues; i++) {
		uint32_t tx = i >= s->nqueues;

		if (i % 2 != tx)
			continue;
		r = &s->rings[i % s->nqueues];
		r->buf_size = tx ? c->tx_buf_size : c->rx_buf_size;
		r->stride = (uint32_t)rw_align_up(r->buf_size + BUF_GAP, RW_CACHE_LINE);
		r->bufs_at = lay_out(s, (uint64_t)r->num * r->stride);
	}
}

static int mem_map(struct fe_session *s)
{
	bool huge = s->config.hugetlb;
	void *p;

	s->len = rw_align_up(s->used, huge ? HUGE_PAGE : 4096);
	s->mem_fd = memfd_create("guest", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0));
	if (s->mem_fd < 0 || ftruncate(s->mem_fd, (off_t)s->len) < 0)
		return -errno;
	p = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_SHARED, s->mem_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	s->host = p;
	return 0;
}

static int session_init(struct fe_session *s)
{
	uint32_t i;

	for (i = 0; i < s->nqueues; i++) {
		s->rings[i].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		s->rings[i].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->rings[i].kick_fd < 0 || s->rings[i].call_fd < 0)
			return -errno;
	}
	rings_lay_out(s);
	return mem_map(s);
}

int fe_session_new(const struct fe_session_config *config, struct fe_session **out)
{
	struct fe_session *s = calloc(1, sizeof(*s));
	uint32_t i;
	int err = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->mem_fd = -1;
	fe_conn_init(&s->conn, -1);
	s->nqueues = 2u * config->pairs;
	s->queues = calloc(s->nqueues, sizeof(*s->queues));
	s->rings = calloc(s->nqueues, sizeof(*s->rings));
	for (i = 0; s->rings && i < s->nqueues; i++)
		s->rings[i].kick_fd = s->rings[i].call_fd = -1;
	if (s->queues && s->rings)
		err = session_init(s);
	if (err) {
		fe_session_free(s);
		return err;
	}
	*out = s;
	return 0;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void fe_session_free(struct fe_session *s)
{
	uint32_t i;

	if (!s)
		return;
	fe_conn_close(&s->conn);
	/* A queue that never started is all zero. */
	for (i = 0; s->queues && i < s->nqueues; i++)
		fe_burst_fini(&s->queues[i]);
	for (i = 0; s->rings && i < s->nqueues; i++) {
		fd_close(s->rings[i].kick_fd);
		fd_close(s->rings[i].call_fd);
	}
	if (s->host)
		munmap(s->host, s->len);
	fd_close(s->mem_fd);
	free(s->queues);
	free(s->rings);
	free(s);
}

int fe_session_connect(struct fe_session *s, const char *path)
{
	int err = fe_conn_open(&s->conn, path);

	return err ? err : fe_session_negotiate(s);
}

static int protocol_negotiate(struct fe_session *s)
{
	uint64_t offered;
	int err;

	s->protocol_features = 0;
	if (!fe_session_has(s, VU_F_PROTOCOL_FEATURES))
		return 0;
	err = fe_conn_get(&s->conn, VU_GET_PROTOCOL_FEATURES, &offered);
	if (err)
		return err;
	s->protocol_features = offered & s->config.protocol_features;
	err = fe_conn_set(&s->conn, VU_SET_PROTOCOL_FEATURES, s->protocol_features);
	if (!err && fe_session_has_protocol(s, VU_PF_MQ))
		err = fe_conn_get(&s->conn, VU_GET_QUEUE_NUM, &s->max_pairs);
	return err;
}

int fe_session_negotiate(struct fe_session *s)
{
	uint64_t offered;
	int err;

	err = fe_conn_get(&s->conn, VU_GET_FEATURES, &offered);
	if (err)
		return err;
	s->features = offered & s->config.features;
	err = protocol_negotiate(s);
	if (!err)
		err = fe_conn_order(&s->conn, VU_SET_OWNER);
	if (!err)
		err = fe_conn_set(&s->conn, VU_SET_FEATURES, s->features);
	return err;
}

static int memory_share(struct fe_session *s)
{
	struct vu_mem_table table = {
		.nregions = 1,
		.regions = {{.gpa = MEM_GPA, .size = s->len, .uva = MEM_UVA}},
	};

	return fe_conn_set_mem(&s->conn, &table, &s->mem_fd);
}

static int queue_init(struct fe_session *s, uint32_t i, struct fe_layout *layout)
{
	const struct fe_session_ring *r = &s->rings[i];
	bool longer = fe_session_has(s, VIRTIO_F_VERSION_1) ||
		fe_session_has(s, VIRTIO_NET_F_MRG_RXBUF);
	struct fe_burst_config c = {
		.format = fe_session_has(s, VIRTIO_F_RING_PACKED) ? FE_PACKED : FE_SPLIT,
		.num = r->num,
		.receive = i % 2 == 0,
		.event_idx = fe_session_has(s, VIRTIO_RING_F_EVENT_IDX),
		.in_order = fe_session_has(s, VIRTIO_F_IN_ORDER),
		.mergeable = fe_session_has(s, VIRTIO_NET_F_MRG_RXBUF),
		.host = s->host + r->bufs_at,
		.gpa = MEM_GPA + r->bufs_at,
		.stride = r->stride,
		.size = r->buf_size,
		.hdr_len = longer ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
				  : sizeof(struct virtio_net_hdr),
		.kick_fd = r->kick_fd,
	};
	uint8_t *at = s->host + r->ring_at;

	fe_ring_layout(c.format, c.num, layout);
	c.desc = at + layout->desc;
	c.driver = at + layout->driver;
	c.device = at + layout->device;
	return fe_burst_init(&s->queues[i], &c);
}

/* Set up ring `i` at the back-end and kick it, so that the back-end starts it. */
static int ring_start(struct fe_session *s, uint32_t i, const struct fe_layout *layout)
{
	const struct fe_session_ring *r = &s->rings[i];
	const uint64_t at = MEM_UVA + r->ring_at;
	const struct vu_vring_addr addr = {
		.index = i,
		.desc = at + layout->desc,
		.avail = at + layout->driver,
		.used = at + layout->device,
		.log = MEM_GPA + r->ring_at + layout->device,
	};
	uint32_t base = 0;
	int err;

	if (fe_session_has(s, VIRTIO_F_RING_PACKED))
		base = VU_PACKED_AVAIL_WRAP * (1u + (1u << VU_PACKED_USED_SHIFT));
	err = fe_conn_set_ring(&s->conn, VU_SET_VRING_NUM, i, r->num);
	if (!err)
		err = fe_conn_set_ring(&s->conn, VU_SET_VRING_BASE, i, base);
	if (!err)
		err = fe_conn_set_ring_addr(&s->conn, &addr);
	if (!err)
		err = fe_conn_set_ring_fd(&s->conn, VU_SET_VRING_KICK, i, r->kick_fd);
	if (!err)
		eventfd_write(r->kick_fd, 1);
	if (!err)
		err = fe_conn_set_ring_fd(&s->conn, VU_SET_VRING_CALL, i, r->call_fd);
	if (!err && fe_session_has(s, VU_F_PROTOCOL_FEATURES))
		err = fe_conn_set_ring(&s->conn, VU_SET_VRING_ENABLE, i, 1);
	return err;
}

int fe_session_start(struct fe_session *s)
{
	struct fe_layout layout;
	uint32_t i;
	int err;

	err = memory_share(s);
	for (i = 0; !err && i < s->nqueues; i++) {
		err = queue_init(s, i, &layout);
		if (!err)
			err = ring_start(s, i, &layout);
	}
	return err;
}
