/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is behind the port: the device configuration space, the stations that travel with a migrated
 * guest, and the RARP broadcasts that tell the network where they are now.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhost.h"

/* ---- RARP ---- */

#define ETHERTYPE_RARP 0x8035
#define ETHERTYPE_VLAN 0x8100
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

/*
 * A request "who am I" from and for `mac` (RFC 903), which makes every switch on its way learn
 * where the station is. With `vlan`, tagged. Its length.
 */
static uint32_t rarp_make(uint8_t frame[FRAME_HEAD], const uint8_t mac[6], uint16_t vlan)
{
	static const uint8_t body[] = {
		0, 1, 0x08, 0, 6, 4, 0, 3}; /* Ethernet, IPv4, request reverse */
	static const uint8_t any[4];
	uint8_t *p = frame;

	memset(frame, 0, FRAME_HEAD);
	memset(p, 0xff, 6);
	p = put_bytes(p + 6, mac, 6);
	if (vlan)
		p = put16(put16(p, ETHERTYPE_VLAN), vlan);
	p = put16(p, ETHERTYPE_RARP);
	p = put_bytes(p, body, sizeof(body));
	p = put_bytes(p, mac, 6);
	p = put_bytes(p, any, sizeof(any));
	p = put_bytes(p, mac, 6);
	p = put_bytes(p, any, sizeof(any));
	assert(p <= frame + RARP_LEN);
	return vlan ? RARP_LEN + 4 : RARP_LEN;
}

static bool is_station(const uint8_t mac[6])
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none));
}

/* 0, or -ENOBUFS: the workers have yet to send what was announced before. */
static int announce(struct vhost_port *vp, const uint8_t mac[6], uint16_t vlan)
{
	uint8_t frame[FRAME_HEAD];
	uint32_t len = rarp_make(frame, mac, vlan);

	return sw_inject(vp->sw, &vp->port, frame, len);
}

void vhost_rarp_wanted(void *dev, const uint8_t mac[6])
{
	struct vhost_port *vp = dev;
	int ret;

	if (!is_station(mac)) {
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: the front-end wants to announce what is no station's address",
			vp->port.name);
		return;
	}
	ret = announce(vp, mac, 0);
	/* Two rounds of the workers, microseconds, and there is room again. */
	for (unsigned i = 0; i < 2 && ret; i++) {
		sw_quiesce(vp->sw);
		ret = announce(vp, mac, 0);
	}
	if (ret)
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: too many stations to announce at once", vp->port.name);
}

static void stations_replace(struct vhost_port *vp, struct vhost_station *stations, uint32_t n)
{
	rw_timer_stop(vp->loop, &vp->announcer);
	free(vp->stations);
	vp->stations = stations;
	vp->nstations = n;
	vp->announced = 0;
}

/*
 * QEMU asks for a RARP only when the guest cannot announce itself (GUEST_ANNOUNCE), and the guest
 * does so when it gets to it. The stations that came along with it are announced here, at once.
 */
void vhost_announce(struct vhost_port *vp)
{
	if (!vp->announce_due || !sw_port_is_up(vp->sw, &vp->port))
		return;
	vp->announce_due = false;
	if (!vp->nstations && vp->mac_set && is_station(vp->mac))
		announce(vp, vp->mac, 0);
	vhost_announce_due(vp);
}

/*
 * A burst, and the next one later: all receivers get all of them, and a ring of 256 buffers, as
 * Linux guests have it, shall have room for them besides its other frames. 4096 stations take 128
 * ms.
 */
#define ANNOUNCE_BURST 64
#define ANNOUNCE_MS    2

void vhost_announce_due(void *arg)
{
	struct vhost_port *vp = arg;

	for (unsigned i = 0; i < ANNOUNCE_BURST && vp->announced < vp->nstations; i++) {
		const struct vhost_station *s = &vp->stations[vp->announced];

		if (announce(vp, s->mac, s->vlan))
			break;
		vp->announced++;
	}
	if (vp->announced < vp->nstations)
		rw_timer_start(vp->loop, &vp->announcer, ANNOUNCE_MS, 0);
	else
		stations_replace(vp, NULL, 0);
}

void vhost_identity_reset(struct vhost_port *vp)
{
	stations_replace(vp, NULL, 0);
	vp->announce_due = false;
	vp->mac_set = false;
}

/* ---- the configuration space ---- */

/* struct virtio_net_config up to `duplex` (virtio 1.2, 5.1.4), little-endian. */
struct net_config {
	uint8_t mac[6];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
	uint32_t speed; /* Mbit/s */
	uint8_t duplex;
} __attribute__((packed));

#define SPEED_UNKNOWN  UINT32_MAX
#define DUPLEX_UNKNOWN UINT8_MAX

uint32_t vhost_config_read(void *dev, void *out)
{
	const struct vhost_port *vp = dev;
	struct net_config config = {
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = PORT_MAX_PAIRS,
		.mtu = vu_mtu(vp->session) ? vu_mtu(vp->session) : UINT16_MAX,
		.speed = SPEED_UNKNOWN,
		.duplex = DUPLEX_UNKNOWN,
	};

	if (vp->mac_set)
		memcpy(config.mac, vp->mac, sizeof(config.mac));
	memcpy(out, &config, sizeof(config));
	return sizeof(config);
}

/*
 * A legacy guest may set its address (virtio 1.2, 5.1.4.1), and that is what a migration brings
 * along. Every other field says what this switch is: what the source of a migration was does not
 * change it.
 */
int vhost_config_write(void *dev, uint32_t offset, const void *data, uint32_t len, bool migration)
{
	struct vhost_port *vp = dev;
	struct net_config config;
	const size_t mac_end = sizeof(config.mac);

	vhost_config_read(dev, &config);
	if (!migration &&
		(offset + len > mac_end || vu_has_feature(vp->session, VIRTIO_F_VERSION_1)))
		return -EPERM;
	memcpy((uint8_t *)&config + offset, data, len);
	if (offset < mac_end) {
		memcpy(vp->mac, config.mac, sizeof(vp->mac));
		vp->mac_set = true;
	}
	vp->announce_due |= migration;
	return 0;
}

/* ---- the state that migrates ---- */

/*
 * What travels: the addresses that were learned behind the port, so that the switch at the other
 * end knows them before the guest has sent a frame. Little-endian.
 */
#define STATE_MAGIC   "RINGWAY"
#define STATE_VERSION 1

struct state_header {
	char magic[8];
	uint16_t version;
	uint16_t padding;
	uint32_t nstations;
};

struct state_station {
	uint8_t mac[6];
	uint16_t vlan;
};

/* The highest VLAN; 4095 is reserved (IEEE 802.1Q, 9.6), yet a guest may send it. */
#define VLAN_MAX 4094

/* A state on its way out. */
struct state_out {
	struct state_station *to; /* room for VHOST_MAX_STATIONS */
	uint32_t n;
};

static void state_add(struct state_out *out, const uint8_t mac[6], uint16_t vlan)
{
	struct state_station *s = &out->to[out->n];

	if (out->n == VHOST_MAX_STATIONS || vlan > VLAN_MAX)
		return;
	memcpy(s->mac, mac, sizeof(s->mac));
	s->vlan = htole16(vlan);
	out->n++;
}

int vhost_state_save(void *dev, void **out)
{
	const struct vhost_port *vp = dev;
	struct state_out state = {0};
	struct state_header *head;
	struct fdb_entry entries[64];
	uint32_t cursor = 0, n;
	uint8_t mac[6];

	head = calloc(1, sizeof(*head) + VHOST_MAX_STATIONS * sizeof(*state.to));
	if (!head)
		return -ENOMEM;
	state.to = (struct state_station *)(head + 1);
	/* What came here by migration and goes on by the next one before it could be announced. */
	for (uint32_t i = vp->announced; i < vp->nstations; i++)
		state_add(&state, vp->stations[i].mac, vp->stations[i].vlan);
	while (cursor != FDB_CURSOR_END) {
		n = fdb_list(sw_fdb(vp->sw), &cursor, entries, RW_ARRAY_SIZE(entries));
		for (uint32_t i = 0; i < n; i++) {
			if (entries[i].hop != vp->port.id || entries[i].kind != FDB_LEARNED)
				continue;
			fdb_key_mac(entries[i].key, mac);
			state_add(&state, mac, fdb_key_domain(entries[i].key));
		}
	}
	memcpy(head->magic, STATE_MAGIC, sizeof(head->magic));
	head->version = htole16(STATE_VERSION);
	head->nstations = htole32(state.n);
	*out = head;
	return (int)(sizeof(*head) + state.n * sizeof(*state.to));
}

/* How many stations the `len` bytes at `data` hold, or -EINVAL: they are no state. */
static int state_check(const void *data, uint32_t len)
{
	const struct state_header *head = data;
	uint32_t n;

	if (len < sizeof(*head) || memcmp(head->magic, STATE_MAGIC, sizeof(head->magic)) ||
		le16toh(head->version) != STATE_VERSION)
		return -EINVAL;
	n = le32toh(head->nstations);
	if (n > VHOST_MAX_STATIONS || len != sizeof(*head) + n * sizeof(struct state_station))
		return -EINVAL;
	return (int)n;
}

int vhost_state_load(void *dev, const void *data, uint32_t len)
{
	const struct state_station *from;
	struct vhost_port *vp = dev;
	struct vhost_station *stations;
	int n = state_check(data, len);

	if (n < 0)
		return n;
	from = (const struct state_station *)((const struct state_header *)data + 1);
	stations = calloc((size_t)n + 1, sizeof(*stations));
	if (!stations)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		memcpy(stations[i].mac, from[i].mac, sizeof(stations[i].mac));
		stations[i].vlan = le16toh(from[i].vlan);
		if (!is_station(stations[i].mac) || stations[i].vlan > VLAN_MAX) {
			free(stations);
			return -EINVAL;
		}
	}
	stations_replace(vp, stations, (uint32_t)n);
	vp->announce_due = true;
	return 0;
}
