/* SPDX-License-Identifier: BSD-3-Clause */
/* The device configuration space, for front-ends that ask us for it (virtio 1.2, 5.1.4). */
#include <errno.h>
#include <string.h>

#include "vhost.h"

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
	uint16_t mtu = vu_mtu(vp->session);
	struct net_config config = {
		.status = vp->link_off ? 0 : VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = PORT_MAX_PAIRS,
		.mtu = mtu ? mtu : UINT16_MAX,
		.speed = SPEED_UNKNOWN,
		.duplex = DUPLEX_UNKNOWN,
	};

	if (vp->mac_set)
		memcpy(config.mac, vp->mac, sizeof(config.mac));
	memcpy(out, &config, sizeof(config));
	return sizeof(config);
}

void vhost_port_link(struct vhost_port *vp, bool up)
{
	if (vp->link_off == !up)
		return;
	vp->link_off = !up;
	/* A front-end that cannot be told learns it when it asks. */
	if (vp->session)
		vu_config_changed(vp->session);
}

/*
 * A legacy guest may set its MAC (virtio 1.2, 5.1.4.1), and a migration brings that along. Every
 * other field describes this switch, whatever the source of the migration was.
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
