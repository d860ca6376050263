/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kick.h"
#include "postcopy.h"
#include "rw_sock.h"
#include "vq_ops.h"

/* How often control checks whether a worker found a ring broken. */
#define WATCH_MS 100

/* ---- the session ---- */

/* Report rings that a worker found broken: in the log, and to the front-end. */
static void watch_rings(struct vhost_port *vp)
{
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		const struct vhost_queue *q = *vhost_ring_queue(vp, i);

		if (!q || vp->broken_told[i] || !__atomic_load_n(&q->broken, __ATOMIC_RELAXED))
			continue;
		vp->broken_told[i] = true;
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: ring %u has impossible indices; it rests until the guest resets "
			"it",
			vp->port.name, i);
		vu_ring_error(vp->session, i);
		vhost_tell_broken(vp, i);
	}
}

/* Say that the port's rings cost too much, once for as long as it lasts. */
static void watch_work(struct vhost_port *vp)
{
	uint32_t rests = __atomic_load_n(&vp->port.work.rests, __ATOMIC_RELAXED);

	if (rests != vp->rests_seen && !vp->rests_told)
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: the guest's chains are longer than any driver's; its queues are "
			"held back",
			vp->port.name);
	vp->rests_told = rests != vp->rests_seen;
	vp->rests_seen = rests;
}

/* Say that the port's helper signals, once. */
static void watch_helper(struct vhost_port *vp)
{
	struct rw_helper_info info;

	rw_helper_describe(vp->helper, &info);
	if (info.signals && !vp->helped_told)
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: %s; the port's helper sends them from now on", vp->port.name,
			info.no_aio ? "signals to its front-end need AIO, which this kernel lacks"
				    : "signals to its front-end take long");
	vp->helped_told = info.signals;
}

uint64_t vhost_port_unlogged(const struct vhost_port *vp)
{
	uint64_t n = vp->nunlogged;

	for (unsigned i = 0; i < PORT_MAX_PAIRS; i++) {
		if (vp->pairs[i].tx)
			n += __atomic_load_n(&vp->pairs[i].tx->nunlogged, __ATOMIC_RELAXED);
	}
	return n;
}

/* A migration may leave stale pages behind: nobody else finds out. */
static void watch_log(struct vhost_port *vp)
{
	uint64_t n = vhost_port_unlogged(vp);

	if (n == vp->unlogged_told)
		return;
	rw_log_limited(&vp->limit, RW_LOG_ERROR,
		"port %s: %ju buffer(s) written are missing in the dirty log", vp->port.name,
		(uintmax_t)(n - vp->unlogged_told));
	vp->unlogged_told = n;
}

static void watch_due(void *arg)
{
	struct vhost_port *vp = arg;

	vu_session_end_if_lost(vp->session);
	if (!vp->session)
		return;
	vhost_tell_state(vp);
	vhost_tell_pages(vp);
	watch_rings(vp);
	watch_work(vp);
	watch_helper(vp);
	watch_log(vp);
	/* The moment does not matter, so no worker spends time on it. */
	vu_log_signal(vp->session);
	vhost_miss_tick(vp);
}

static void mtu_changed(void *dev, uint16_t mtu)
{
	struct vhost_port *vp = dev;

	rw_debug("port %s: MTU %u", vp->port.name, mtu);
	/* It is in the configuration space, too. */
	vu_config_changed(vp->session);
}

static uint64_t inflight_bytes(void *dev, uint16_t num)
{
	const struct vhost_port *vp = dev;

	return vq_inflight_bytes(vu_features(vp->session), num);
}

void vhost_port_event(struct vhost_port *vp, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	rw_log_limited(&vp->event_limit, RW_LOG_INFO, "port %s: %s", vp->port.name, line);
}

void vhost_port_down(struct vhost_port *vp, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(vp->down, sizeof(vp->down), fmt, ap);
	va_end(ap);
}

static void session_closed(void *dev, int reason)
{
	struct vhost_port *vp = dev;
	enum gm_loss loss = gm_owner_loss(vu_owner(vp->session));

	vhost_port_down(vp, "%s", loss ? gm_loss_text(loss) : reason ? strerror(-reason) : "");
	if (loss)
		rw_log_limited(&vp->limit, RW_LOG_WARNING, "port %s: %s; the connection is closed",
			vp->port.name, gm_loss_text(loss));
	else
		vhost_session_ended(vp, reason ? strerror(-reason) : "");
	vu_session_free(vp->session);
	vp->session = NULL;
	vhost_rings_forget(vp);
	vhost_record_alone(&vp->record);
	rw_timer_stop(vp->loop, &vp->watch);
	vhost_postcopy_end(vp);
	vhost_announce_reset(vp);
	vhost_tell_state(vp);
	vhost_tell_down(vp);
	vhost_addresses_leave(vp);
	if (vp->mode == VHOST_CLIENT)
		vhost_client_retry(vp);
	else if (vp->mode == VHOST_FD && vp->listen_fd < 0 && vp->gone)
		vp->gone(vp->arg);
}

static const struct vu_ops session_ops = {
	.rings_pause = vhost_rings_pause,
	.rings_resume = vhost_rings_resume,
	.ring_stopped = vhost_ring_stopped,
	.ring_kicked = vhost_ring_kicked,
	.quiesce = vhost_quiesce,
	.mtu_changed = mtu_changed,
	.rarp_wanted = vhost_rarp_wanted,
	.iotlb_updated = vhost_iotlb_updated,
	.iotlb_invalidated = vhost_iotlb_invalidated,
	.iotlb_answered = vhost_iotlb_answered,
	.complained = vhost_session_complained,
	.inflight_bytes = inflight_bytes,
	.config_read = vhost_config_read,
	.config_write = vhost_config_write,
	.state_save = vhost_state_save,
	.state_load = vhost_state_load,
	.closed = session_closed,
};

#define F(name) (1ull << VIRTIO_##name)
#define P(name) (1ull << VU_PF_##name)

/*
 * What a guest is offered. A front-end hands on the part of it that it knows. PAGEFAULT,
 * DEVICE_STATE and CONFIG are offered only if the operator allows them for the port.
 */
static const struct vu_offer offer = {
	.features = F(F_VERSION_1) | F(F_ACCESS_PLATFORM) | F(F_RING_PACKED) | F(F_IN_ORDER) |
		F(F_RING_RESET) | F(RING_F_INDIRECT_DESC) | F(RING_F_EVENT_IDX) | F(F_ANY_LAYOUT) |
		F(F_NOTIFY_ON_EMPTY) | F(NET_F_MRG_RXBUF) | F(NET_F_CSUM) | F(NET_F_GUEST_CSUM) |
		F(NET_F_HOST_TSO4) | F(NET_F_HOST_TSO6) | F(NET_F_HOST_ECN) | F(NET_F_HOST_USO) |
		F(NET_F_GUEST_TSO4) | F(NET_F_GUEST_TSO6) | F(NET_F_GUEST_ECN) |
		F(NET_F_GUEST_USO4) | F(NET_F_GUEST_USO6) | F(NET_F_MTU) | F(NET_F_STATUS) |
		F(NET_F_MQ) | F(NET_F_CTRL_VQ) | F(NET_F_GUEST_ANNOUNCE) | F(NET_F_SPEED_DUPLEX) |
		1ull << VU_F_LOG_ALL | 1ull << VU_F_PROTOCOL_FEATURES,
	.protocol_features = P(MQ) | P(LOG_SHMFD) | P(RARP) | P(REPLY_ACK) | P(NET_MTU) |
		P(BACKEND_REQ) | P(CROSS_ENDIAN) | P(PAGEFAULT) | P(CONFIG) | P(INFLIGHT_SHMFD) |
		P(RESET_DEVICE) | P(INBAND_NOTIFICATIONS) | P(CONFIGURE_MEM_SLOTS) | P(STATUS) |
		P(DEVICE_STATE) | P(GET_VRING_BASE_INFLIGHT) | P(GPA_ADDRESSES),
	.max_pairs = PORT_MAX_PAIRS,
	.max_ring_size = VQ_MAX_SIZE,
};

/* What the port's next front-end is offered. */
static struct vu_offer offer_of(struct vhost_port *vp)
{
	struct vu_offer mine = offer;

	if (!vp->allowed.postcopy)
		mine.protocol_features &= ~P(PAGEFAULT);
	if (!vp->allowed.device_state)
		mine.protocol_features &= ~P(DEVICE_STATE);
	if (!vp->allowed.config_space)
		mine.protocol_features &= ~P(CONFIG);
	mine.budgets = &vp->port.budgets;
	mine.any_file = vp->allowed.any_file;
	mine.helper = vp->helper;
	return mine;
}

int vhost_session_prepare(
	struct vhost_port *vp, const struct vu_export_region *regions, uint32_t n, bool any_file)
{
	int ret = vhost_helper_begin(vp);
	struct vu_offer mine = offer_of(vp);

	if (ret)
		return ret;
	mine.any_file = any_file;
	if (!vp->prepared)
		vp->prepared = vu_session_prepare(vp->loop, &mine, &session_ops, vp, vp->port.name);
	if (!vp->prepared)
		return -ENOMEM;
	return n ? vu_session_map(vp->prepared, regions, n) : 0;
}

void vhost_session_unprepare(struct vhost_port *vp)
{
	vu_session_free(vp->prepared);
	vp->prepared = NULL;
}

int vhost_session_adopt(struct vhost_port *vp, const struct vu_export *e, bool any_file)
{
	int ret = vhost_session_prepare(vp, e->regions, 0, any_file);
	struct vu_offer mine = offer_of(vp);

	if (ret)
		return ret;
	/* A front-end keeps what it was offered. */
	mine.protocol_features |= e->protocol_features & offer.protocol_features;
	mine.any_file = any_file;
	vhost_record_peer(&vp->record, e->fd);
	ret = vu_session_fill(vp->prepared, e, &mine);
	if (ret) {
		vhost_session_unprepare(vp);
		return ret;
	}
	vp->session = vp->prepared;
	vp->prepared = NULL;
	rw_timer_start(vp->loop, &vp->watch, WATCH_MS, WATCH_MS);
	return 0;
}

int vhost_session_begin(struct vhost_port *vp, int fd)
{
	struct ucred peer = {.pid = 0};
	socklen_t len = sizeof(peer);
	struct vu_offer mine = offer_of(vp);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	vhost_record_peer(&vp->record, fd);
	vp->session = vu_session_new(vp->loop, fd, &mine, &session_ops, vp, vp->port.name);
	if (!vp->session)
		return -errno;
	vhost_addresses_take(vp);
	vp->unreached = 0;
	vhost_port_down(vp, "%s", "");
	rw_timer_start(vp->loop, &vp->watch, WATCH_MS, WATCH_MS);
	vhost_session_began(vp, (int)peer.pid);
	return 0;
}

int vhost_port_new(const struct vhost_port_config *cfg, struct vhost_port **out)
{
	struct vhost_port *vp = rw_zalloc(sizeof(*vp));
	int ret;

	if (!vp)
		return -ENOMEM;
	vp->sw = cfg->sw;
	vp->loop = cfg->loop;
	vp->mode = cfg->mode;
	vp->access = cfg->access;
	vp->allowed = cfg->allowed;
	vp->gone = cfg->gone;
	vp->arg = cfg->arg;
	vhost_sockets_init(vp);
	vp->watch = (struct rw_timer){.fn = watch_due, .arg = vp};
	vp->again.linger_s = cfg->linger_s;
	vp->again.linger = (struct rw_timer){.fn = vhost_addresses_due, .arg = vp};
	vp->announcer = (struct rw_timer){.fn = vhost_announce_due, .arg = vp};
	vp->path = cfg->path ? strdup(cfg->path) : NULL;
	ret = port_init(&vp->port, cfg->name, sw_nworkers(cfg->sw));
	if (!ret && cfg->path && !vp->path)
		ret = -ENOMEM;
	if (ret)
		goto err_free;
	ret = vhost_miss_begin(vp);
	if (ret)
		goto err_free;
	ret = sw_port_add(vp->sw, &vp->port);
	if (ret)
		goto err_wake;
	vhost_budgets_begin(vp, cfg);
	vhost_record_alone(&vp->record);
	ret = vhost_record_begin(&vp->record, cfg->records, cfg->name);
	if (ret)
		rw_warning("port %s: its packed rings are not recorded: %s", cfg->name,
			strerror(-ret));
	ret = vhost_sockets_begin(vp, cfg);
	if (ret)
		goto err_port;
	*out = vp;
	return 0;
err_port:
	if (cfg->mode == VHOST_FD)
		vp->listen_fd = -1; /* still the caller's */
	vp->mode = VHOST_FD;        /* the path belongs to somebody else */
	vhost_port_free(vp);
	return ret;
err_wake:
	vhost_miss_end(vp);
err_free:
	port_fini(&vp->port);
	free(vp->path);
	rw_free(vp);
	return ret;
}

void vhost_port_free(struct vhost_port *vp)
{
	bool had_session;

	if (!vp)
		return;
	rw_timer_stop(vp->loop, &vp->watch);
	vhost_sockets_end(vp);
	had_session = vp->session || vp->again.linger.active;
	rw_timer_stop(vp->loop, &vp->again.linger);
	vu_session_free(vp->session);
	vhost_session_unprepare(vp);
	vhost_rings_forget(vp);
	vhost_postcopy_end(vp);
	vhost_announce_reset(vp);
	/* What was announced for its guest must not be learned for the next port of that id. */
	if (had_session)
		sw_port_flush(vp->sw, &vp->port);
	vhost_miss_end(vp);
	sw_port_del(vp->sw, &vp->port);
	vhost_record_end(&vp->record);
	rw_budgets_leave(&vp->port.budgets);
	rw_helper_free(vp->helper);
	port_fini(&vp->port);
	free(vp->path);
	rw_free(vp);
}

void vhost_port_allow(struct vhost_port *vp, const struct vhost_allowed *allowed)
{
	vp->allowed = *allowed;
}

void vhost_port_describe(const struct vhost_port *vp, struct vhost_port_info *out)
{
	const struct vu_session *s = vp->session;

	*out = (struct vhost_port_info){
		.name = vp->port.name,
		.path = vp->path,
		.id = vp->port.id,
		.mode = vp->mode,
		.connected = s,
		.link = sw_port_is_up(vp->sw, &vp->port),
		.packed = s && vu_has_feature(s, VIRTIO_F_RING_PACKED),
		.features = s ? vu_features(s) : 0,
		.mtu = s ? vu_mtu(s) : 0,
		.announced = vp->announced,
		.unlogged = vhost_port_unlogged(vp),
		.log_suppressed = vp->limit.dropped_total + vp->event_limit.dropped_total,
		.allowed = vp->allowed,
		.down = vp->down[0] ? vp->down : NULL,
	};
	if (vp->helper)
		rw_helper_describe(vp->helper, &out->helper);
	for (unsigned i = 0; i < PORT_MAX_PAIRS; i++) {
		const struct vhost_queue *rx = vp->pairs[i].rx, *tx = vp->pairs[i].tx;

		out->pairs += rx || tx;
		out->broken += rx && __atomic_load_n(&rx->broken, __ATOMIC_RELAXED);
		out->broken += tx && __atomic_load_n(&tx->broken, __ATOMIC_RELAXED);
		out->needs_reset += vp->needs_reset[2 * i] + vp->needs_reset[2 * i + 1];
	}
}
