/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages about the device as a whole: features, MTU, status, reset. */
#include <errno.h>

#include "internal.h"

/* IPv4's smallest MTU (RFC 791), and what the virtio configuration field holds. */
#define MTU_MIN 68
#define MTU_MAX UINT16_MAX

/* Device status bit by which the driver asks whether its choice of features is acceptable. */
#define STATUS_FEATURES_OK 0x8

#define BIT(n) (1ull << (n))

/* The name of each protocol feature, and the others that it needs. */
static const struct {
	const char *name;
	uint64_t needs;
} protocol_features[] = {
	[VU_PF_MQ] = {"MQ", 0},
	[VU_PF_LOG_SHMFD] = {"LOG_SHMFD", 0},
	[VU_PF_RARP] = {"RARP", 0},
	[VU_PF_REPLY_ACK] = {"REPLY_ACK", 0},
	[VU_PF_NET_MTU] = {"NET_MTU", 0},
	[VU_PF_BACKEND_REQ] = {"BACKEND_REQ", 0},
	[VU_PF_CROSS_ENDIAN] = {"CROSS_ENDIAN", 0},
	[VU_PF_CRYPTO_SESSION] = {"CRYPTO_SESSION", 0},
	[VU_PF_PAGEFAULT] = {"PAGEFAULT", 0},
	[VU_PF_CONFIG] = {"CONFIG", 0},
	[VU_PF_BACKEND_SEND_FD] = {"BACKEND_SEND_FD", 0},
	[VU_PF_HOST_NOTIFIER] = {"HOST_NOTIFIER", 0},
	[VU_PF_INFLIGHT_SHMFD] = {"INFLIGHT_SHMFD", 0},
	[VU_PF_RESET_DEVICE] = {"RESET_DEVICE", 0},
	[VU_PF_INBAND_NOTIFICATIONS] = {"INBAND_NOTIFICATIONS",
		BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_REPLY_ACK)},
	[VU_PF_CONFIGURE_MEM_SLOTS] = {"CONFIGURE_MEM_SLOTS", 0},
	[VU_PF_STATUS] = {"STATUS", 0},
	[VU_PF_XEN_MMAP] = {"XEN_MMAP", 0},
	[VU_PF_SHARED_OBJECT] = {"SHARED_OBJECT", 0},
	[VU_PF_DEVICE_STATE] = {"DEVICE_STATE", 0},
	[VU_PF_GET_VRING_BASE_INFLIGHT] = {"GET_VRING_BASE_INFLIGHT", BIT(VU_PF_INFLIGHT_SHMFD)},
	[VU_PF_GPA_ADDRESSES] = {"GPA_ADDRESSES", 0},
	[VU_PF_SHMEM] = {"SHMEM", 0},
};

const char *vu_protocol_feature_name(unsigned bit)
{
	return bit < RW_ARRAY_SIZE(protocol_features) ? protocol_features[bit].name : NULL;
}

/*
 * Both do nothing. A session begins with the connection, so SET_OWNER tells nothing new.
 * RESET_OWNER is deprecated, and back-ends never agreed on what it means.
 */
int vu_on_owner(struct vu_session *s, struct vu_msg *m)
{
	(void)s;
	(void)m;
	return 0;
}

int vu_on_get_features(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->offer.features;
	return 0;
}

/* While rings run, logging may go on and off (vhost-user, "Migration"), and nothing else. */
static int features_check(const struct vu_session *s, struct vu_msg *m)
{
	uint64_t changed = (m->payload.u64 ^ s->features) & ~BIT(VU_F_LOG_ALL);

	if (m->payload.u64 & ~s->offer.features)
		return vu_refuse(m, -EINVAL, "features that were not offered");
	if (s->features_set && !changed)
		return 0;
	if (vu_rings_run(s))
		return vu_refuse(m, -EBUSY, "features change while a ring runs");
	return 0;
}

/* Have an IOTLB exactly when the device is behind an IOMMU. */
static int iotlb_follow(struct vu_session *s, uint64_t features)
{
	if (!(features & BIT(VU_F_ACCESS_PLATFORM))) {
		gm_iotlb_free(s->iotlb);
		s->iotlb = NULL;
		vu_channel_forget(s);
	} else if (!s->iotlb) {
		s->iotlb = gm_iotlb_new();
		if (!s->iotlb)
			return -ENOMEM;
	}
	return 0;
}

int vu_on_set_features(struct vu_session *s, struct vu_msg *m)
{
	int ret = features_check(s, m);

	if (!ret)
		ret = iotlb_follow(s, m->payload.u64);
	s->features_refused = ret != 0;
	if (ret)
		return ret;
	s->features = m->payload.u64;
	s->features_set = true;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		struct vu_ring *r = &s->rings[i];

		if (!r->base_set)
			r->base = vu_ring_first_base(s);
		/* Without protocol features there is no SET_VRING_ENABLE. */
		if (!vu_has_feature(s, VU_F_PROTOCOL_FEATURES))
			r->enabled = true;
	}
	return 0;
}

int vu_on_get_protocol_features(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->offer.protocol_features;
	return 0;
}

int vu_on_set_protocol_features(struct vu_session *s, struct vu_msg *m)
{
	uint64_t bits = m->payload.u64;

	if (bits & ~s->offer.protocol_features)
		return vu_refuse(m, -EINVAL, "protocol features that were not offered");
	for (unsigned i = 0; i < RW_ARRAY_SIZE(protocol_features); i++) {
		if (bits & BIT(i) && protocol_features[i].needs & ~bits)
			return vu_refuse(m, -EINVAL, "a protocol feature without one it needs");
	}
	s->protocol_features = bits;
	return 0;
}

int vu_on_get_queue_num(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->offer.max_pairs;
	return 0;
}

int vu_on_net_set_mtu(struct vu_session *s, struct vu_msg *m)
{
	uint64_t mtu = m->payload.u64;

	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return vu_refuse(m, -EINVAL, "MTU out of range");
	s->mtu = (uint16_t)mtu;
	s->ops->mtu_changed(s->dev, s->mtu);
	return 0;
}

/*
 * The guest's driver starts from scratch. What belongs to the front-end stays: memory, protocol
 * features, channel, a postcopy migration, the descriptors for calls and errors.
 */
int vu_on_reset_device(struct vu_session *s, struct vu_msg *m)
{
	(void)m;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		vu_ring_restart(s, &s->rings[i]);
	iotlb_follow(s, 0);
	vu_log_release(s);
	vu_inflight_release(s);
	vu_state_release(s);
	s->features = 0;
	s->features_set = false;
	s->features_refused = false;
	s->status = 0;
	return 0;
}

/*
 * The status is kept for GET_STATUS. Zero, "the driver resets the device", stops no ring:
 * GET_VRING_BASE does, and DPDK's virtio-user sends zero before it starts rings and after it has
 * stopped them.
 */
int vu_on_set_status(struct vu_session *s, struct vu_msg *m)
{
	s->status = (uint8_t)m->payload.u64;
	if (s->features_refused)
		s->status &= (uint8_t)~STATUS_FEATURES_OK;
	return 0;
}

int vu_on_get_status(struct vu_session *s, struct vu_msg *m)
{
	m->payload.u64 = s->status;
	return 0;
}
