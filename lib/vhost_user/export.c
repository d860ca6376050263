/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session without its process. Everything is copied while the session is whole, so that a failure
 * leaves it as it was; then the session lets go of its own. The two ends of a copied descriptor are
 * one socket or file: the front-end sees nothing of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

int vu_fd_copy(int fd, int *out)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0 && copy < 0)
		return -errno;
	*out = copy;
	return 0;
}

/* ---- the descriptors ---- */

static unsigned fd_note(int *fds[], unsigned n, int *fd)
{
	if (*fd >= 0)
		fds[n++] = fd;
	return n;
}

unsigned vu_export_fds(struct vu_export *e, int *fds[])
{
	unsigned n = 0;

	if (!e->version)
		return 0;
	n = fd_note(fds, n, &e->fd);
	n = fd_note(fds, n, &e->log.fd);
	n = fd_note(fds, n, &e->log.event_fd);
	n = fd_note(fds, n, &e->inflight.fd);
	n = fd_note(fds, n, &e->channel.fd);
	for (uint32_t i = 0; i < e->message.nfds; i++)
		n = fd_note(fds, n, &e->message.fds[i]);
	for (uint32_t i = 0; i < e->nregions; i++)
		n = fd_note(fds, n, &e->regions[i].fd);
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		n = fd_note(fds, n, &e->rings[i].kick_fd);
		n = fd_note(fds, n, &e->rings[i].call_fd);
		n = fd_note(fds, n, &e->rings[i].err_fd);
	}
	return n;
}

void vu_export_free(struct vu_export *e)
{
	int *fds[VU_EXPORT_MAX_FDS];
	unsigned n = vu_export_fds(e, fds);

	for (unsigned i = 0; i < n; i++)
		close(*fds[i]);
	memset(e, 0, sizeof(*e));
}

void vu_export_init(struct vu_export *e)
{
	memset(e, 0, sizeof(*e));
	e->version = VU_EXPORT_VERSION;
	e->fd = -1;
	e->log.fd = -1;
	e->log.event_fd = -1;
	e->inflight.fd = -1;
	e->channel.fd = -1;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		e->rings[i].kick_fd = -1;
		e->rings[i].call_fd = -1;
		e->rings[i].err_fd = -1;
	}
	for (unsigned i = 0; i < GM_MAX_REGIONS; i++)
		e->regions[i].fd = -1;
}

/* ---- out ---- */

static int message_export(const struct vu_conn *c, struct vu_export *e)
{
	struct vu_export_message *m = &e->message;
	int ret = vu_fd_copy(c->fd, &e->fd);

	m->have = (uint32_t)c->have;
	m->fds_lost = c->msg.fds_lost;
	m->hdr = c->msg.hdr;
	m->payload = c->msg.payload;
	for (unsigned i = 0; i < c->msg.nfds && !ret; i++) {
		ret = vu_fd_copy(c->msg.fds[i], &m->fds[i]);
		if (!ret)
			m->nfds++;
	}
	return ret;
}

static int regions_export(const struct gm_map *map, struct vu_export *e)
{
	uint32_t n = map ? map->nregions : 0;

	for (uint32_t i = 0; i < n; i++) {
		struct vu_export_region *r = &e->regions[i];
		int ret = vu_fd_copy(gm_map_describe(map, i, &r->desc), &r->fd);

		if (ret)
			return ret;
		r->again = map->regions[i].readds;
		e->nregions++;
	}
	return 0;
}

static int ring_export(const struct vu_ring *r, struct vu_export_ring *out)
{
	int ret = vu_fd_copy(r->kick_fd, &out->kick_fd);

	if (!ret && !r->call)
		ret = vu_fd_copy(r->call_fd, &out->call_fd);
	if (!ret)
		ret = vu_fd_copy(r->err_fd, &out->err_fd);
	out->num = r->num;
	out->base = r->base;
	out->addr = r->addr;
	out->kick_polled = r->kick_polled;
	out->call_given = r->call_given;
	out->addr_set = r->addr_set;
	out->base_set = r->base_set;
	out->started = r->started;
	out->enabled = r->enabled;
	out->swap = r->swap;
	return ret;
}

static int session_copy(struct vu_session *s, struct vu_export *e)
{
	int ret = vu_state_export(s, e);

	e->features = s->features;
	e->protocol_features = s->protocol_features;
	e->features_set = s->features_set;
	e->features_refused = s->features_refused;
	e->mtu = s->mtu;
	e->status = s->status;
	e->nrings = s->nrings;
	if (!ret)
		ret = message_export(s->conn, e);
	if (!ret)
		ret = regions_export(s->mem, e);
	if (!ret)
		ret = vu_log_export(s, &e->log);
	if (!ret)
		ret = vu_inflight_export(s, &e->inflight);
	for (unsigned i = 0; i < VU_MAX_RINGS && !ret; i++)
		ret = ring_export(&s->rings[i], &e->rings[i]);
	/* Last: what rings have to say goes into the channel first. */
	if (!ret)
		vu_calls_forward(s);
	return ret ? ret : vu_channel_export(s, &e->channel);
}

const char *vu_export_hindrance(const struct vu_session *s)
{
	/* The front-end has a userfaultfd of this process. */
	if (s->postcopy != VU_POSTCOPY_NONE)
		return "a post-copy migration is under way";
	if (vu_state_fds(s))
		return "device state is being transferred";
	return vu_channel_reads(s) ? "an answer of the front-end is being read" : NULL;
}

uint32_t vu_session_regions(const struct vu_session *s, struct vu_export_region out[GM_MAX_REGIONS])
{
	uint32_t n = s->mem ? s->mem->nregions : 0;

	for (uint32_t i = 0; i < n; i++) {
		out[i].fd = gm_map_describe(s->mem, i, &out[i].desc);
		out[i].again = s->mem->regions[i].readds;
	}
	return n;
}

int vu_session_export(struct vu_session *s, struct vu_export *out)
{
	int ret;

	vu_export_init(out);
	if (s->postcopy != VU_POSTCOPY_NONE)
		return -EBUSY;
	if (s->nrings && !s->ops->rings_pause(s->dev, 0, s->nrings))
		return -EBUSY;
	ret = session_copy(s, out);
	if (ret) {
		vu_export_free(out);
		if (s->nrings)
			s->ops->rings_resume(s->dev, 0, s->nrings);
		return ret;
	}
	vu_session_release(s);
	return 0;
}

/* ---- in ---- */

static bool message_is_sane(const struct vu_export_message *m)
{
	if (m->nfds > VU_MAX_FDS || m->have > VU_HEADER_SIZE + VU_MAX_DRAIN)
		return false;
	return m->have < VU_HEADER_SIZE ||
		(m->hdr.size <= VU_MAX_DRAIN && m->have - VU_HEADER_SIZE <= m->hdr.size);
}

static int export_check(const struct vu_export *e, const struct vu_offer *offer)
{
	if (e->version != VU_EXPORT_VERSION)
		return -EPROTONOSUPPORT;
	if (e->fd < 0 || e->nrings > VU_MAX_RINGS || e->nregions > GM_MAX_REGIONS ||
		!message_is_sane(&e->message))
		return -EINVAL;
	if ((e->features & ~offer->features) ||
		(e->protocol_features & ~offer->protocol_features) ||
		e->nrings > offer->max_pairs * 2u)
		return -ENOTSUP;
	for (uint32_t i = 0; i < e->nrings; i++) {
		if (e->rings[i].num > offer->max_ring_size)
			return -ENOTSUP;
	}
	return 0;
}

static int message_adopt(struct vu_conn *c, const struct vu_export_message *m)
{
	int ret = 0;

	c->msg.fds_lost = m->fds_lost;
	c->msg.hdr = m->hdr;
	c->msg.payload = m->payload;
	c->have = m->have;
	for (uint32_t i = 0; i < m->nfds && !ret; i++) {
		ret = vu_fd_copy(m->fds[i], &c->msg.fds[i]);
		if (!ret)
			c->msg.nfds++;
	}
	return ret;
}

/* A region that was added again is counted as often. */
static int region_repeat(struct vu_session *s, const struct vu_export_region *r)
{
	struct gm_map *next;
	int ret = r->again ? gm_map_readd(s->mem, &r->desc, r->again, &next) : 0;

	if (ret || !r->again)
		return ret;
	gm_map_free(s->mem);
	s->mem = next;
	return 0;
}

int vu_session_map(struct vu_session *s, const struct vu_export_region *regions, uint32_t n)
{
	struct gm_region_desc descs[GM_MAX_REGIONS];
	struct gm_map *next = NULL;
	int fds[GM_MAX_REGIONS], ret = 0;

	for (uint32_t i = 0; i < n; i++) {
		descs[i] = regions[i].desc;
		fds[i] = regions[i].fd;
	}
	if (n)
		ret = gm_map_new(&s->owner, descs, fds, n, s->mem, &next);
	if (ret)
		return ret;
	gm_map_free(s->mem);
	s->mem = next;
	return 0;
}

static int regions_adopt(struct vu_session *s, const struct vu_export *e)
{
	int ret = vu_session_map(s, e->regions, e->nregions);

	for (uint32_t i = 0; i < e->nregions && !ret; i++)
		ret = region_repeat(s, &e->regions[i]);
	return ret;
}

static int ring_adopt(struct vu_ring *r, const struct vu_export_ring *from)
{
	int ret = vu_fd_copy(from->kick_fd, &r->kick_fd);

	if (!ret)
		ret = vu_fd_copy(from->call_fd, &r->call_fd);
	if (!ret)
		ret = vu_fd_copy(from->err_fd, &r->err_fd);
	r->num = from->num;
	r->base = from->base;
	r->addr = from->addr;
	r->kick_polled = from->kick_polled;
	r->call_given = from->call_given;
	r->addr_set = from->addr_set;
	r->base_set = from->base_set;
	r->started = from->started;
	r->enabled = from->enabled;
	r->swap = from->swap;
	return ret;
}

static int session_fill(struct vu_session *s, const struct vu_export *e)
{
	int ret = message_adopt(s->conn, &e->message);

	s->features = e->features;
	s->protocol_features = e->protocol_features;
	s->features_set = e->features_set;
	s->features_refused = e->features_refused;
	s->mtu = e->mtu;
	s->status = e->status;
	if (!ret)
		ret = regions_adopt(s, e);
	if (!ret && vu_has_feature(s, VU_F_ACCESS_PLATFORM)) {
		s->iotlb = gm_iotlb_new();
		ret = s->iotlb ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = vu_log_adopt(s, &e->log);
	if (!ret)
		ret = vu_inflight_adopt(s, &e->inflight);
	for (unsigned i = 0; i < VU_MAX_RINGS && !ret; i++)
		ret = ring_adopt(&s->rings[i], &e->rings[i]);
	if (!ret)
		ret = vu_state_adopt(s, e);
	return ret ? ret : vu_channel_adopt(s, &e->channel);
}

/* The session's own copy of the socket; nothing is read from it yet. */
static int socket_adopt(struct vu_session *s, int fd)
{
	int copy = -1, ret = vu_fd_copy(fd, &copy);

	if (ret)
		return ret;
	ret = vu_session_connect(s, copy, 0);
	if (ret)
		close(copy);
	return ret;
}

struct vu_session *vu_session_prepare(struct rw_loop *loop, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name)
{
	return vu_session_alloc(loop, offer, ops, dev, name);
}

int vu_session_fill(struct vu_session *s, const struct vu_export *e, const struct vu_offer *offer)
{
	int ret = export_check(e, offer);

	if (ret)
		return ret;
	s->offer = *offer;
	s->owner.any_file = offer->any_file;
	ret = socket_adopt(s, e->fd);
	if (!ret)
		ret = session_fill(s, e);
	if (ret)
		return ret;
	/* From here on there are rings to pause. */
	s->nrings = e->nrings;
	s->waiting = true;
	return 0;
}

struct vu_session *vu_session_adopt(struct rw_loop *loop, const struct vu_export *e,
	const struct vu_offer *offer, const struct vu_ops *ops, void *dev, const char *name)
{
	struct vu_session *s = vu_session_prepare(loop, offer, ops, dev, name);
	int ret = s ? vu_session_fill(s, e, offer) : -ENOMEM;

	if (!ret)
		return s;
	vu_session_free(s);
	errno = -ret;
	return NULL;
}

int vu_session_translate(struct vu_session *s, const struct gm_iotlb_entry *entries, uint32_t n)
{
	int ret = s->iotlb && s->mem ? gm_iotlb_fill(s->iotlb, s->mem, entries, n) : 0;

	if (s->iotlb)
		gm_iotlb_reclaim(s->iotlb);
	vu_budget_note(s);
	return ret;
}

int vu_session_resume(struct vu_session *s)
{
	const char *why = NULL;
	int ret = s->nrings ? vu_rings_resume(s, 0, s->nrings, &why) : 0;

	if (ret)
		vu_complain(s, "after a takeover: %s: %s", why, strerror(-ret));
	vu_session_retry(s);
	return ret;
}
