/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The kernel's <linux/virtio_net.h>, and what the one of Debian 12 (Linux 6.1) lacks. */
#include <linux/virtio_net.h>

/* Segmentation of UDP (virtio 1.3, 5.1.3 and 5.1.6). */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
