/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What travels with a migrated guest besides its rings (SET_DEVICE_STATE_FD): the addresses that
 * were learned behind the port, so that the switch at the other end knows them before the guest has
 * sent a frame. Little-endian.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sw_domain.h"
#include "vhost.h"

#define STATE_MAGIC   "RINGWAY"
#define STATE_VERSION 1

/* Most hosts that travel with a guest. */
#define MAX_HOSTS 4096

struct state_header {
	char magic[8];
	uint16_t version;
	uint16_t padding;
	uint32_t nhosts;
};

struct state_host {
	uint8_t mac[6];
	uint16_t vlan;
};

/* The highest VLAN; 4095 is reserved (IEEE 802.1Q, 9.6), yet a guest may send it. */
#define VLAN_MAX 4094

/* A state on its way out. */
struct state_out {
	struct state_host *to; /* room for MAX_HOSTS */
	uint32_t n;
};

static void state_add(struct state_out *out, const uint8_t mac[6], uint16_t vlan)
{
	struct state_host *h = &out->to[out->n];

	if (out->n == MAX_HOSTS || vlan > VLAN_MAX)
		return;
	memcpy(h->mac, mac, sizeof(h->mac));
	h->vlan = htole16(vlan);
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

	head = calloc(1, sizeof(*head) + MAX_HOSTS * sizeof(*state.to));
	if (!head)
		return -ENOMEM;
	state.to = (struct state_host *)(head + 1);
	/* What came here by migration and goes on by the next one before it could be announced. */
	for (uint32_t i = vp->nannounced; i < vp->nhosts; i++)
		state_add(&state, vp->hosts[i].mac, vp->hosts[i].vlan);
	while (cursor != FDB_CURSOR_END) {
		n = fdb_list(sw_fdb(vp->sw), &cursor, entries, RW_ARRAY_SIZE(entries));
		for (uint32_t i = 0; i < n; i++) {
			if (entries[i].hop != vp->port.id || entries[i].kind != FDB_LEARNED)
				continue;
			fdb_key_mac(entries[i].key, mac);
			state_add(&state, mac,
				sw_domain_vlan(vp->sw, fdb_key_domain(entries[i].key)).id);
		}
	}
	memcpy(head->magic, STATE_MAGIC, sizeof(head->magic));
	head->version = htole16(STATE_VERSION);
	head->nhosts = htole32(state.n);
	*out = head;
	return (int)(sizeof(*head) + state.n * sizeof(*state.to));
}

/*
 * How many hosts the `len` bytes at `data` hold; -EINVAL: they are no state; -EPROTONOSUPPORT: they
 * are one of another version.
 */
static int state_check(const void *data, uint32_t len)
{
	const struct state_header *head = data;
	uint32_t n;

	if (len < sizeof(*head) || memcmp(head->magic, STATE_MAGIC, sizeof(head->magic)))
		return -EINVAL;
	if (le16toh(head->version) != STATE_VERSION)
		return -EPROTONOSUPPORT;
	n = le32toh(head->nhosts);
	if (n > MAX_HOSTS || len != sizeof(*head) + n * sizeof(struct state_host))
		return -EINVAL;
	return (int)n;
}

int vhost_state_load(void *dev, const void *data, uint32_t len)
{
	const struct state_host *from;
	struct vhost_port *vp = dev;
	struct vhost_host *hosts;
	int n = state_check(data, len);

	/* Refused, it would end the guest. Without it, others learn where the guest is later. */
	if (n == -EPROTONOSUPPORT) {
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: the guest comes with state of another version of this switch, "
			"which is skipped; its addresses are learned when it sends",
			vp->port.name);
		vp->announce_due = true;
		return 0;
	}
	if (n < 0)
		return n;
	from = (const struct state_host *)((const struct state_header *)data + 1);
	hosts = calloc((size_t)n + 1, sizeof(*hosts));
	if (!hosts)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		memcpy(hosts[i].mac, from[i].mac, sizeof(hosts[i].mac));
		hosts[i].vlan = le16toh(from[i].vlan);
		if (!vhost_is_host_mac(hosts[i].mac) || hosts[i].vlan > VLAN_MAX) {
			free(hosts);
			return -EINVAL;
		}
	}
	vhost_hosts_replace(vp, hosts, (uint32_t)n);
	vp->announce_due = true;
	return 0;
}
