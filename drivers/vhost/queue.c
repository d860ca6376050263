/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frame_convert.h"
#include "kick.h"
#include "postcopy.h"
#include "record.h"
#include "rw_log.h"
#include "vq_ops.h"

/* Find the three areas of the ring in our memory. */
static int areas_get(struct vhost_queue *q, const struct vhost_queue_config *cfg, uint64_t *missing)
{
	const struct vu_session *s = cfg->session;
	const struct vu_ring *ring = vu_ring(s, cfg->ring);
	struct vq_areas bytes = vq_area_bytes(vu_features(s), (uint16_t)ring->num);
	struct gm_space space = vu_ring_space(s);
	int ret = gm_linear_get(
		&space, ring->addr.desc, bytes.desc, &q->area[VHOST_AREA_DESC], missing);

	if (!ret)
		ret = gm_linear_get(&space, ring->addr.avail, bytes.driver,
			&q->area[VHOST_AREA_DRIVER], missing);
	if (!ret)
		ret = gm_linear_get(&space, ring->addr.used, bytes.device,
			&q->area[VHOST_AREA_DEVICE], missing);
	return ret;
}

/* Make room for `more` pieces of the ring's log behind the first `n`. Where they go, or NULL. */
static struct gm_piece *pieces_grow(struct vhost_queue *q, unsigned n, unsigned more)
{
	struct gm_piece *all = realloc(q->pieces, (n + more) * sizeof(*all));

	if (!all)
		return NULL;
	q->pieces = all;
	return all + n;
}

/* Add what is behind an area to the `*n` pieces of the ring's log. 0 or -errno. */
static int pieces_add(struct vhost_queue *q, const struct gm_space *space, uint64_t addr,
	uint64_t len, const struct gm_linear *lin, unsigned *n)
{
	int want = gm_linear_pieces(space, addr, len, lin, NULL, 0);
	struct gm_piece *to;

	if (want < 0)
		return want;
	to = pieces_grow(q, *n, (unsigned)want);
	if (!to)
		return -ENOMEM;
	*n += (unsigned)want;
	want = gm_linear_pieces(space, addr, len, lin, to, (unsigned)want);
	return RW_MIN(want, 0);
}

/*
 * Where in the log our writes to the ring belong. The device area has an address of its own for
 * that, which need not be in the memory table (vhost-user, "Vring address description"); behind an
 * IOMMU, and for the descriptors of a packed ring, it is where they are.
 */
static int pieces_init(struct vhost_queue *q, const struct vhost_queue_config *cfg, unsigned *n)
{
	const struct vu_session *s = cfg->session;
	const struct vu_ring *ring = vu_ring(s, cfg->ring);
	struct vq_areas bytes = vq_area_bytes(vu_features(s), (uint16_t)ring->num);
	const struct gm_linear *device = &q->area[VHOST_AREA_DEVICE];
	struct gm_space space = vu_ring_space(s);
	struct gm_piece *to;
	int ret = 0;

	if (q->packed)
		ret = pieces_add(
			q, &space, ring->addr.desc, bytes.desc, &q->area[VHOST_AREA_DESC], n);
	if (ret)
		return ret;
	if (space.kind == GM_IOVA)
		return pieces_add(q, &space, ring->addr.used, bytes.device, device, n);
	to = pieces_grow(q, *n, 1);
	if (!to)
		return -ENOMEM;
	*to = (struct gm_piece){.host = device->host, .len = bytes.device, .gpa = ring->addr.log};
	++*n;
	return 0;
}

static int log_init(
	struct vhost_queue *q, const struct vhost_queue_config *cfg, struct vq_config *vq)
{
	const struct vu_session *s = cfg->session;
	bool from = cfg->ring & 1, ring = vu_logs_ring(s, cfg->ring);
	unsigned n = 0;
	int ret = 0;

	q->log_buffers = !from && vu_logs_buffers(s);
	if (!q->log_buffers && !ring)
		return 0;
	dl_batch_init(&q->batch, vu_log(s));
	vq->log = &q->batch;
	if (ring)
		ret = pieces_init(q, cfg, &n);
	vq->log_pieces = q->pieces;
	vq->nlog_pieces = n;
	return ret;
}

int vhost_queue_init(struct vhost_queue *q)
{
	int ret = vq_init(&q->vq, &q->init);

	if (!ret && q->init.log)
		dl_flush(&q->batch);
	q->ready = !ret;
	return ret;
}

/* Gather all that vq_init wants to know. */
static int ring_prepare(
	struct vhost_queue *q, const struct vhost_queue_config *cfg, uint64_t *missing)
{
	const struct vu_session *s = cfg->session;
	const struct vu_ring *ring = vu_ring(s, cfg->ring);
	int ret = areas_get(q, cfg, missing);

	if (ret)
		return ret;
	q->area_addr[VHOST_AREA_DESC] = ring->addr.desc;
	q->area_addr[VHOST_AREA_DRIVER] = ring->addr.avail;
	q->area_addr[VHOST_AREA_DEVICE] = ring->addr.used;
	q->init = (struct vq_config){
		.mem = vu_mem(s),
		.desc = q->area[VHOST_AREA_DESC].host,
		.driver = q->area[VHOST_AREA_DRIVER].host,
		.device = q->area[VHOST_AREA_DEVICE].host,
		.features = vu_features(s),
		.base = ring->base,
		.num = (uint16_t)ring->num,
		.call_fd = ring->call_fd,
		.helper = ring->call ? NULL : cfg->helper,
		.call_slot = VU_SLOT_CALL + cfg->ring,
		.tlb = vu_iotlb(s),
		/* Modern devices are little-endian, and packed rings are modern. */
		.swap = ring->swap && !q->packed && !vu_has_feature(s, VIRTIO_F_VERSION_1),
		.inflight = vu_ring_inflight(s, cfg->ring),
	};
	ret = log_init(q, cfg, &q->init);
	q->slow = vq_mode(&q->init) & VQ_SLOW;
	return ret;
}

/*
 * Set the ring up where it goes on. One whose setting up is deferred comes by migration, from a
 * switch that stopped it in good order: its base is right.
 */
static int ring_start(struct vhost_queue *q, const struct vhost_queue_config *cfg)
{
	bool recorded = q->packed && !cfg->deferred;
	int ret = 0;

	if (cfg->deferred)
		return 0;
	if (recorded && cfg->settled)
		vhost_record_resume(cfg->record, cfg->session, cfg->ring, &q->init);
	else if (recorded)
		ret = vhost_record_judge(
			cfg->record, cfg->session, cfg->ring, &q->init, &q->resumes);
	if (!ret)
		ret = vhost_queue_init(q);
	if (!ret && recorded)
		vhost_record_open(cfg->record, cfg->session, cfg->ring, &q->init);
	return ret;
}

/* The offloads that the guest negotiated, with what it sends or for what it accepts. */
static void offloads_init(struct vhost_queue *q, const struct vu_session *s, bool from)
{
	static const struct {
		unsigned feature;
		uint8_t takes;
	} accepted[] = {
		{VIRTIO_NET_F_GUEST_CSUM, FRAME_TAKES_CSUM},
		{VIRTIO_NET_F_GUEST_TSO4, FRAME_TAKES_TSO4},
		{VIRTIO_NET_F_GUEST_TSO6, FRAME_TAKES_TSO6 | FRAME_TAKES_EXT6},
		{VIRTIO_NET_F_GUEST_ECN, FRAME_TAKES_ECN},
		{VIRTIO_NET_F_GUEST_USO4, FRAME_TAKES_USO4},
		{VIRTIO_NET_F_GUEST_USO6, FRAME_TAKES_USO6},
	};

	if (from) {
		q->csum = vu_has_feature(s, VIRTIO_NET_F_CSUM);
		q->tso4 = vu_has_feature(s, VIRTIO_NET_F_HOST_TSO4);
		q->tso6 = vu_has_feature(s, VIRTIO_NET_F_HOST_TSO6);
		q->ecn = vu_has_feature(s, VIRTIO_NET_F_HOST_ECN);
		q->uso = vu_has_feature(s, VIRTIO_NET_F_HOST_USO);
		return;
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(accepted); i++) {
		if (vu_has_feature(s, accepted[i].feature))
			q->txq.takes |= accepted[i].takes;
	}
}

/*
 * Room for a burst's segments, the chain that may follow and, where frames take several chains, a
 * whole frame before that.
 */
static size_t segs_wanted(uint32_t num, bool from)
{
	return BURST_SEGS + (from ? 1 : 2) * (size_t)vq_max_segs((uint16_t)num) + 1;
}

/*
 * A queue with its scratch: all that workers write for it, in pages of its own. What no burst uses
 * takes no memory; a usual burst finds its part there already. 0, -ENOMEM or -EDQUOT.
 */
static int queue_alloc(struct rw_budgets *b, uint32_t num, bool from, struct vhost_queue **out)
{
	size_t self = rw_align_up(sizeof(struct vhost_queue), RW_CACHE_LINE) + RW_CACHE_LINE;
	size_t segs = rw_align_up(segs_wanted(num, from) * sizeof(struct rw_seg), RW_CACHE_LINE) +
		RW_CACHE_LINE;
	size_t taken = from ? 0 : num * sizeof(struct vq_chain);
	size_t bytes = self + segs + taken;
	struct vhost_queue *q;
	struct rw_pages pages;
	uint8_t *at;

	if (rw_budget_take(b, RW_BUDGET_SCRATCH, bytes))
		return -EDQUOT;
	at = rw_pages_alloc(bytes, &pages);
	if (!at) {
		rw_budget_give(b, RW_BUDGET_SCRATCH, bytes);
		return -ENOMEM;
	}
	q = (struct vhost_queue *)at;
	q->budgets = b;
	q->bytes = bytes;
	q->pages = pages;
	q->num = num;
	q->segs = (struct rw_seg *)(at + self);
	memset(q->segs, 0, BURST_SEGS * sizeof(*q->segs));
	if (!from) {
		q->taken = (struct vq_chain *)(at + self + segs);
		*q->taken = (struct vq_chain){0};
	}
	rw_guard(at + self - RW_CACHE_LINE, RW_CACHE_LINE);
	rw_guard(at + self + segs - RW_CACHE_LINE, RW_CACHE_LINE);
	*out = q;
	return 0;
}

/* The block of a queue that rested, if it fits, or a new one. */
static int queue_take(
	const struct vhost_queue_config *cfg, uint32_t num, bool from, struct vhost_queue **out)
{
	struct vhost_queue *q = *cfg->kept;

	*cfg->kept = NULL;
	if (q && q->num == num) {
		*out = q;
		return 0;
	}
	vhost_queue_free(q);
	return queue_alloc(&cfg->port->budgets, num, from, out);
}

/* What the switch knows of it, but for its operations. */
static int port_queue_init(struct vhost_queue *q, const struct vhost_queue_config *cfg)
{
	uint16_t index = (uint16_t)(cfg->ring / 2);
	int ret = q->rx ? port_rxq_init(&q->rxq, cfg->port, index)
			: port_txq_init(&q->txq, cfg->port, index);

	if (ret)
		return ret;
	q->counters = q->rx ? q->rxq.counters : q->txq.counters;
	q->work = &cfg->port->work;
	if (q->rx)
		return 0;
	q->txq.shared = cfg->shared;
	/* Behind an IOMMU frames may have to wait for buffers; in post-copy they wait elsewhere. */
	if (!vu_iotlb(cfg->session) || cfg->deferred)
		return 0;
	q->txq.backlog = port_fifo_new();
	if (!q->txq.backlog)
		return -ENOMEM;
	/* The buffers that were posted before the ring started are asked for at once. */
	port_txq_want_poll(&q->txq);
	return 0;
}

int vhost_queue_new(
	const struct vhost_queue_config *cfg, struct vhost_queue **out, uint64_t *missing)
{
	const struct vu_session *s = cfg->session;
	const struct vu_ring *ring = vu_ring(s, cfg->ring);
	bool from = cfg->ring & 1, mergeable = vu_has_feature(s, VIRTIO_NET_F_MRG_RXBUF);
	struct vhost_queue *q;
	int ret = queue_take(cfg, ring->num, from, &q);

	if (ret)
		return ret;
	q->space = vu_ring_space(s).kind;
	q->rx = from;
	q->packed = vu_has_feature(s, VIRTIO_F_RING_PACKED);
	q->miss.wake_fd = cfg->wake_fd;
	q->owner = vu_owner(s);
	ret = port_queue_init(q, cfg);
	if (ret)
		goto err;
	q->hdr_len = mergeable || vu_has_feature(s, VIRTIO_F_VERSION_1) ? NET_HDR_LONG
									: NET_HDR_SHORT;
	ret = ring_prepare(q, cfg, missing);
	if (!ret)
		ret = ring_start(q, cfg);
	if (ret)
		goto err;
	offloads_init(q, s, from);
	q->discards = from && !ring->enabled;
	q->kick_fd = vhost_kick_of(s, cfg->ring);
	if (from)
		vhost_rx_init(q, q->discards);
	else
		vhost_tx_init(q, mergeable);
	*out = q;
	return 0;
err:
	vhost_queue_free(q);
	return ret;
}

void vhost_queue_rest(struct vhost_queue *q)
{
	vq_fini(&q->vq);
	for (size_t i = 0; i < RW_ARRAY_SIZE(q->area); i++)
		gm_linear_put(&q->area[i]);
	vhost_relay_free(q->relay);
	if (!q->rx)
		port_fifo_free(q->txq.backlog);
	free(q->pieces);
	*q = (struct vhost_queue){.rx = q->rx,
		.num = q->num,
		.segs = q->segs,
		.taken = q->taken,
		.pages = q->pages,
		.budgets = q->budgets,
		.bytes = q->bytes};
}

void vhost_queue_free(struct vhost_queue *q)
{
	struct rw_pages pages;

	if (!q)
		return;
	vhost_queue_rest(q);
	rw_budget_give(q->budgets, RW_BUDGET_SCRATCH, q->bytes);
	pages = q->pages;
	rw_pages_free(&pages);
}

int vhost_queue_node(const struct vhost_queue *q)
{
	/*
	 * The area we write to: vq_init has done so, and the page is there. In a postcopy it may
	 * not be.
	 */
	return !q->relay && q->ready ? rw_numa_node_of(q->init.device) : RW_NUMA_UNKNOWN;
}

void vhost_queue_set_node(struct vhost_queue *q, int node)
{
	int ret = rw_pages_bind(&q->pages, node);

	if (ret)
		rw_debug("a queue's state cannot be put on NUMA node %d: %s", node, strerror(-ret));
}
