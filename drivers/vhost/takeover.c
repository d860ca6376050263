/* SPDX-License-Identifier: BSD-3-Clause */
/* A port that goes to another process, or comes from one. */
#include "vhost_takeover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postcopy.h"
#include "vhost.h"

void vhost_state_init(struct vhost_port_state *st)
{
	memset(st, 0, sizeof(*st));
	st->listen_fd = -1;
}

void vhost_state_free(struct vhost_port_state *st)
{
	if (st->listen_fd >= 0)
		close(st->listen_fd);
	vu_export_free(&st->session);
	free(st->hosts);
	free(st->translations);
	vhost_state_init(st);
}

const char *vhost_port_hindrance(const struct vhost_port *vp)
{
	if (vp->postcopy)
		return "a post-copy migration is under way";
	return vp->session ? vu_export_hindrance(vp->session) : NULL;
}

int vhost_port_listener(const struct vhost_port *vp, struct rw_sock_id *file)
{
	*file = vp->file;
	return vp->listen_fd;
}

uint32_t vhost_port_regions(const struct vhost_port *vp,
	struct vu_export_region regions[GM_MAX_REGIONS], bool *any_file)
{
	*any_file = vp->session && vu_owner(vp->session)->any_file;
	return vp->session ? vu_session_regions(vp->session, regions) : 0;
}

int vhost_port_prepare(
	struct vhost_port *vp, const struct vu_export_region *regions, uint32_t n, bool any_file)
{
	int ret = vhost_session_prepare(vp, regions, n, any_file);

	if (ret)
		vhost_session_unprepare(vp);
	return ret;
}

/* ---- out ---- */

/* What the IOTLB has. 0 or -ENOMEM. */
static int translations_give(const struct vhost_port *vp, struct vhost_port_state *out)
{
	const struct gm_iotlb *tlb = vu_iotlb(vp->session);
	const struct gm_iotlb_view *view = tlb ? gm_iotlb_view(tlb) : NULL;

	if (!view || !view->n)
		return 0;
	out->translations = calloc(view->n, sizeof(*out->translations));
	if (!out->translations)
		return -ENOMEM;
	memcpy(out->translations, view->entries, view->n * sizeof(*out->translations));
	out->ntranslations = view->n;
	return 0;
}

/* The hosts that are not announced yet. 0 or -ENOMEM. */
static int hosts_give(const struct vhost_port *vp, struct vhost_port_state *out)
{
	uint32_t n = vp->nhosts - vp->nannounced;

	if (!n)
		return 0;
	out->hosts = calloc(n, sizeof(*out->hosts));
	if (!out->hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct vhost_host *h = &vp->hosts[vp->nannounced + i];

		memcpy(out->hosts[i].mac, h->mac, sizeof(h->mac));
		out->hosts[i].vlan = h->vlan;
	}
	out->nhosts = n;
	return 0;
}

/* What the port knows of its rings besides what the session does. They rest. */
static void rings_give(const struct vhost_port *vp, struct vhost_port_state *out)
{
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		out->settled[i] = vp->settled[i] && vp->settled_at[i] == out->session.rings[i].base;
		out->needs_reset[i] = vp->needs_reset[i];
		out->rested[i] = vp->rested[i];
	}
}

/* Move the session out. 0 or -errno, and it goes on. */
static int session_give(struct vhost_port *vp, struct vhost_port_state *out)
{
	bool any_file = vu_owner(vp->session)->any_file;
	int ret = hosts_give(vp, out);

	if (!ret)
		ret = translations_give(vp, out);
	if (!ret)
		ret = vu_session_export(vp->session, &out->session);
	if (ret)
		return ret;
	rings_give(vp, out);
	out->any_file = any_file;
	out->connected = true;
	vu_session_free(vp->session);
	vp->session = NULL;
	rw_timer_stop(vp->loop, &vp->watch);
	rw_timer_stop(vp->loop, &vp->announcer);
	rw_turn_cancel(vp->loop, &vp->rings_turn);
	vp->retry_due = false;
	return 0;
}

/* What the port remembers of its front-ends. */
static void again_give(const struct vhost_port *vp, struct vhost_port_state *out)
{
	const struct rw_timer *linger = &vp->again.linger;
	uint64_t now_ms = rw_now_ms();

	out->again = vp->again;
	if (linger->active)
		out->linger_ms = linger->expires_ms > now_ms ? linger->expires_ms - now_ms : 1;
	memcpy(out->down, vp->down, sizeof(out->down));
}

int vhost_port_give(struct vhost_port *vp, struct vhost_port_state *out)
{
	int ret;

	vhost_state_init(out);
	memcpy(out->mac, vp->mac, sizeof(out->mac));
	out->mac_set = vp->mac_set;
	out->link_off = vp->link_off;
	out->announce_due = vp->announce_due;
	out->unlogged = vhost_port_unlogged(vp);
	out->announced = vp->announced;
	again_give(vp, out);
	ret = vp->session ? session_give(vp, out) : 0;
	if (ret) {
		vhost_state_free(out);
		return ret;
	}
	rw_turn_cancel(vp->loop, &vp->accept_turn);
	rw_timer_stop(vp->loop, &vp->retry);
	rw_timer_stop(vp->loop, &vp->again.linger);
	rw_loop_del(vp->loop, &vp->listen_watch);
	out->file = vp->file;
	out->listen_fd = vp->listen_fd;
	vp->listen_fd = -1;
	return 0;
}

/* ---- in ---- */

static int hosts_take(struct vhost_port *vp, const struct vhost_port_state *st)
{
	struct vhost_host *hosts = st->nhosts ? calloc(st->nhosts, sizeof(*hosts)) : NULL;

	if (st->nhosts && !hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < st->nhosts; i++) {
		memcpy(hosts[i].mac, st->hosts[i].mac, sizeof(hosts[i].mac));
		hosts[i].vlan = st->hosts[i].vlan;
	}
	vhost_hosts_replace(vp, hosts, st->nhosts);
	return 0;
}

static int session_take(struct vhost_port *vp, const struct vhost_port_state *st)
{
	int ret = hosts_take(vp, st);

	if (!ret)
		ret = vhost_session_adopt(vp, &st->session, st->any_file);
	if (ret)
		return ret;
	/* Without them the front-end is asked again. */
	ret = vu_session_translate(vp->session, st->translations, st->ntranslations);
	if (ret)
		rw_warning("port %s: the IOTLB starts empty: %s", vp->port.name, strerror(-ret));
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		vp->settled[i] = st->settled[i];
		vp->settled_at[i] = st->session.rings[i].base;
		vp->needs_reset[i] = st->needs_reset[i];
		vp->rested[i] = st->rested[i];
	}
	return 0;
}

static void again_take(struct vhost_port *vp, const struct vhost_port_state *st)
{
	struct rw_timer linger = vp->again.linger;
	uint32_t linger_s = vp->again.linger_s;

	vp->again = st->again;
	vp->again.linger = linger;
	vp->again.linger_s = linger_s;
	if (st->linger_ms)
		rw_timer_start(vp->loop, &vp->again.linger, st->linger_ms, 0);
	memcpy(vp->down, st->down, sizeof(vp->down));
}

int vhost_port_take(struct vhost_port *vp, struct vhost_port_state *st)
{
	int ret = st->connected ? session_take(vp, st) : 0;

	if (ret)
		return ret;
	/* Its front-end has left meanwhile. */
	vhost_session_unprepare(vp);
	memcpy(vp->mac, st->mac, sizeof(vp->mac));
	vp->mac_set = st->mac_set;
	vp->link_off = st->link_off;
	vp->announce_due = st->announce_due;
	vp->announced = st->announced;
	vp->nunlogged = st->unlogged;
	vp->unlogged_told = st->unlogged;
	again_take(vp, st);
	vp->file = st->file;
	vp->listen_fd = st->listen_fd;
	st->listen_fd = -1;
	return 0;
}

int vhost_port_run(struct vhost_port *vp)
{
	int ret = vhost_port_attend(vp);

	if (vp->nhosts && !vp->announce_due)
		vhost_announce_due(vp);
	/* Last: the session may end in there. */
	return vp->session ? vu_session_resume(vp->session) : ret;
}
