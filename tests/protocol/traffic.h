/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Streams both ways at once between two guests, which look after their back-end channels all the
 * while: for guests behind an IOMMU, and for those whose memory is logged.
 */
#include "harness.h"

/* What a guest behind an IOMMU negotiates more, and a log. */
#define FEATURES_IOMMU FE_BIT(VIRTIO_F_ACCESS_PLATFORM)
#define PROTOCOL_IOMMU FE_BIT(VU_PF_BACKEND_REQ)
#define PROTOCOL_LOG   FE_BIT(VU_PF_LOG_SHMFD)

/* The header of a long TCP segment: as it is, with any frame of frame_make. */
extern const struct virtio_net_hdr_mrg_rxbuf traffic_tso;

/* A guest that sends and receives frames of 64 KiB. */
struct fe_guest_config guest_large(void);

/* The ordinary guest, or the one for large frames, behind an IOMMU; its memory is scattered. */
struct fe_guest_config guest_behind(enum fe_iommu_mode mode, bool large);

/*
 * peer_up, and wait until the rings run: behind an IOMMU they do when the back-end knows where they
 * are.
 */
struct peer *peer_up_linked(struct rig *r, const char *port, const struct fe_guest_config *config);

/* All drops that a port has counted, both ways. */
uint64_t port_drops(struct rig *r, const char *port);

/* The stream both ways at once; each frame arrives, in order and unchanged, none is dropped. */
void traffic_check(struct rig *r, struct peer *a, struct peer *b, const struct stream *s);

/* Wait until the back-end has used all that the guest sent, and take it back. */
void peer_rest(struct rig *r, struct peer *p);

/* Receive the frames that are there now. How many. */
uint32_t peer_drain(struct rig *r, struct peer *p);

/* Give the back-end a new channel in place of the one it has. */
void peer_new_channel(struct peer *p);
