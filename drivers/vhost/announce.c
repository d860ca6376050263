/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telling the network where a guest is: RARP broadcasts, which every switch on their way learns
 * from. The front-end asks for one (SEND_RARP), or the guest came here by migration.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sw_bridge.h"
#include "vhost.h"

#define ETHERTYPE_RARP 0x8035
#define RARP_LEN       60 /* the shortest Ethernet frame, without FCS */

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

/* The request "who am I" from and for `mac` (RFC 903), tagged when `vlan` is not 0. Its length. */
static uint32_t rarp_make(
	uint8_t frame[FRAME_HEAD], const uint8_t mac[6], uint16_t tpid, uint16_t vlan)
{
	static const uint8_t body[] = {
		0, 1, 0x08, 0, 6, 4, 0, 3}; /* Ethernet, IPv4, request reverse */
	static const uint8_t any[4];
	uint8_t *p = frame;

	memset(frame, 0, FRAME_HEAD);
	memset(p, 0xff, 6);
	p = put_bytes(p + 6, mac, 6);
	if (vlan)
		p = put16(put_bytes(p, &tpid, sizeof(tpid)), vlan);
	p = put16(p, ETHERTYPE_RARP);
	p = put_bytes(p, body, sizeof(body));
	p = put_bytes(p, mac, 6);
	p = put_bytes(p, any, sizeof(any));
	p = put_bytes(p, mac, 6);
	p = put_bytes(p, any, sizeof(any));
	assert(p <= frame + RARP_LEN);
	return vlan ? RARP_LEN + 4 : RARP_LEN;
}

bool vhost_is_host_mac(const uint8_t mac[6])
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none));
}

/* 0, or -ENOBUFS: the workers have yet to send earlier announcements. */
static int announce(struct vhost_port *vp, const uint8_t mac[6], uint16_t vlan, enum fdb_how how)
{
	uint8_t frame[FRAME_HEAD];
	uint16_t tpid = sw_bridge_vlan(vp->sw, &vp->port, vlan).service ? FRAME_TPID_SERVICE
									: FRAME_TPID_CUSTOMER;
	uint32_t len = rarp_make(frame, mac, tpid, vlan);
	int ret = sw_inject(vp->sw, &vp->port, frame, len, how);

	if (ret)
		return ret;
	vp->announced++;
	vhost_tell_announced(vp, mac);
	return 0;
}

void vhost_rarp_wanted(void *dev, const uint8_t mac[6])
{
	struct vhost_port *vp = dev;
	int ret;

	if (!vhost_is_host_mac(mac)) {
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: the front-end wants to announce what is no host's address",
			vp->port.name);
		return;
	}
	ret = announce(vp, mac, 0, FDB_BY_RARP);
	/* After two rounds of the workers, microseconds, there is room again. */
	for (unsigned i = 0; i < 2 && ret; i++) {
		sw_quiesce(vp->sw);
		ret = announce(vp, mac, 0, FDB_BY_RARP);
	}
	if (ret)
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: too many hosts to announce at once", vp->port.name);
}

void vhost_hosts_replace(struct vhost_port *vp, struct vhost_host *hosts, uint32_t n)
{
	rw_timer_stop(vp->loop, &vp->announcer);
	free(vp->hosts);
	vp->hosts = hosts;
	vp->nhosts = n;
	vp->nannounced = 0;
}

/*
 * QEMU asks for a RARP only when the guest cannot announce itself (GUEST_ANNOUNCE), and the guest
 * does so when it gets to it. The hosts that came along with it are announced here, at once.
 */
void vhost_announce(struct vhost_port *vp)
{
	if (!vp->announce_due || !sw_port_is_up(vp->sw, &vp->port))
		return;
	vp->announce_due = false;
	if (!vp->nhosts && vp->mac_set && vhost_is_host_mac(vp->mac))
		announce(vp, vp->mac, 0, FDB_BY_MIGRATION);
	vhost_announce_due(vp);
}

/*
 * Every receiver gets every announcement, and a ring of 256 buffers, as Linux guests have it, needs
 * room for its other frames, too. So they are sent in bursts with a pause between them: 4096
 * hosts take 128 ms.
 */
#define ANNOUNCE_BURST 64
#define ANNOUNCE_MS    2

void vhost_announce_due(void *arg)
{
	struct vhost_port *vp = arg;
	uint16_t untagged = sw_domain_untagged(vp->sw, &vp->port);

	for (unsigned i = 0; i < ANNOUNCE_BURST && vp->nannounced < vp->nhosts; i++) {
		const struct vhost_host *h = &vp->hosts[vp->nannounced];

		/* As a frame of the guest: in the port's untagged VLAN it has no tag. */
		if (announce(vp, h->mac, h->vlan == untagged ? 0 : h->vlan, FDB_BY_MIGRATION))
			break;
		vp->nannounced++;
	}
	if (vp->nannounced < vp->nhosts)
		rw_timer_start(vp->loop, &vp->announcer, ANNOUNCE_MS, 0);
	else
		vhost_hosts_replace(vp, NULL, 0);
}

void vhost_announce_reset(struct vhost_port *vp)
{
	vhost_hosts_replace(vp, NULL, 0);
	vp->announce_due = false;
	vp->mac_set = false;
}
