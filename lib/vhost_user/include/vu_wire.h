/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What travels on a vhost-user socket: numbers and layouts, native byte order (vhost-user,
 * "Message Specification"). Structures are exactly as long as on the wire.
 */
#include <assert.h>
#include <stdint.h>

/* Header: request, flags, bytes of payload that follow. */
struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

#define VU_VERSION         0x1u
#define VU_VERSION_MASK    0x3u
#define VU_FLAG_REPLY      (1u << 2)
#define VU_FLAG_NEED_REPLY (1u << 3)

/* Front-end to back-end. The numbers that are missing here are refused as unknown. */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_NET_SET_MTU = 20,
	VU_RESET_DEVICE = 34,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
};

/* Bits of the virtio feature word: it offers the protocol features below; the ring format. */
#define VU_F_PROTOCOL_FEATURES 30
#define VU_F_RING_PACKED       34

/* Protocol feature bits. */
enum vu_protocol_feature {
	VU_PF_MQ = 0,
	VU_PF_REPLY_ACK = 3,
	VU_PF_NET_MTU = 4,
	VU_PF_RESET_DEVICE = 13,
	VU_PF_STATUS = 16,
};

/* Regions in one SET_MEM_TABLE, and file descriptors in one message. */
#define VU_MAX_TABLE_REGIONS 8
#define VU_MAX_FDS           8

struct vu_mem_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t mmap_offset;
};

struct vu_mem_table {
	uint32_t nregions;
	uint32_t padding;
	struct vu_mem_region regions[VU_MAX_TABLE_REGIONS];
};

/* NUM, BASE, ENABLE and GET_VRING_BASE. */
struct vu_vring_state {
	uint32_t index;
	uint32_t num;
};

/* Addresses are the front-end's user addresses. */
struct vu_vring_addr {
	uint32_t index;
	uint32_t flags; /* bit 0: log writes to the used ring */
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

/* KICK, CALL and ERR carry a u64: ring index, and whether a descriptor came along. */
#define VU_VRING_IDX_MASK 0xffu
#define VU_VRING_NOFD     (1u << 8)

/* SET_VRING_BASE of a packed ring: both indices with their wrap counters. */
#define VU_PACKED_AVAIL_MASK 0x7fffu
#define VU_PACKED_AVAIL_WRAP (1u << 15)
#define VU_PACKED_USED_SHIFT 16

union vu_payload {
	uint64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table mem;
	uint8_t bytes[sizeof(struct vu_mem_table)];
};

#define VU_HEADER_SIZE 12
#define VU_MAX_PAYLOAD ((uint32_t)sizeof(union vu_payload))

static_assert(sizeof(struct vu_header) == VU_HEADER_SIZE, "vhost-user header");
static_assert(sizeof(struct vu_mem_region) == 32, "vhost-user memory region");
static_assert(sizeof(struct vu_mem_table) == 8 + 8 * 32, "vhost-user memory table");
static_assert(sizeof(struct vu_vring_state) == 8, "vhost-user vring state");
static_assert(sizeof(struct vu_vring_addr) == 40, "vhost-user vring address");
