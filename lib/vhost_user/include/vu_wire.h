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

/* Front-end to back-end. Other numbers are refused as unknown. */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
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
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_IOTLB_MSG = 22,
	VU_SET_VRING_ENDIAN = 23,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_CREATE_CRYPTO_SESSION = 26,
	VU_CLOSE_CRYPTO_SESSION = 27,
	VU_POSTCOPY_ADVISE = 28,
	VU_POSTCOPY_LISTEN = 29,
	VU_POSTCOPY_END = 30,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_GPU_SET_SOCKET = 33,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_GET_SHARED_OBJECT = 41,
	VU_SET_DEVICE_STATE_FD = 42,
	VU_CHECK_DEVICE_STATE = 43,
	VU_GET_SHMEM_CONFIG = 44,
};

/* Back-end to front-end, on the channel of SET_BACKEND_REQ_FD. */
enum vu_backend_request {
	VU_BACKEND_IOTLB_MSG = 1,
	VU_BACKEND_CONFIG_CHANGE_MSG = 2,
	VU_BACKEND_VRING_CALL = 4,
	VU_BACKEND_VRING_ERR = 5,
};

/*
 * Bits of the virtio feature word that concern the protocol: log writes to all buffers, protocol
 * features are offered, addresses are those of an IOMMU, the ring format.
 */
#define VU_F_LOG_ALL           26
#define VU_F_PROTOCOL_FEATURES 30
#define VU_F_VERSION_1         32
#define VU_F_ACCESS_PLATFORM   33
#define VU_F_RING_PACKED       34

/* Protocol feature bits. */
enum vu_protocol_feature {
	VU_PF_MQ = 0,
	VU_PF_LOG_SHMFD = 1,
	VU_PF_RARP = 2,
	VU_PF_REPLY_ACK = 3,
	VU_PF_NET_MTU = 4,
	VU_PF_BACKEND_REQ = 5,
	VU_PF_CROSS_ENDIAN = 6,
	VU_PF_CRYPTO_SESSION = 7,
	VU_PF_PAGEFAULT = 8,
	VU_PF_CONFIG = 9,
	VU_PF_BACKEND_SEND_FD = 10,
	VU_PF_HOST_NOTIFIER = 11,
	VU_PF_INFLIGHT_SHMFD = 12,
	VU_PF_RESET_DEVICE = 13,
	VU_PF_INBAND_NOTIFICATIONS = 14,
	VU_PF_CONFIGURE_MEM_SLOTS = 15,
	VU_PF_STATUS = 16,
	VU_PF_XEN_MMAP = 17,
	VU_PF_SHARED_OBJECT = 18,
	VU_PF_DEVICE_STATE = 19,
	VU_PF_GET_VRING_BASE_INFLIGHT = 20,
	VU_PF_GPA_ADDRESSES = 21,
	VU_PF_SHMEM = 22,
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

/* ADD_MEM_REG and REM_MEM_REG. */
struct vu_mem_slot {
	uint64_t padding;
	struct vu_mem_region region;
};

/* SET_LOG_BASE: where the bitmap is in the file that comes along; echoed as the reply. */
struct vu_log_base {
	uint64_t size; /* bytes */
	uint64_t offset;
};

/*
 * Addresses are the front-end's user addresses; IOVAs with ACCESS_PLATFORM; guest-physical with
 * GPA_ADDRESSES. `log`: where writes to the used ring are logged, guest-physical.
 */
struct vu_vring_addr {
	uint32_t index;
	uint32_t flags; /* VU_VRING_LOG */
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

#define VU_VRING_LOG 0x1u /* log writes to the ring */

/* IOTLB_MSG, both ways. */
struct vu_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t uaddr;
	uint8_t perm; /* VU_IOTLB_READ | VU_IOTLB_WRITE */
	uint8_t type;
	uint8_t padding[6]; /* as the kernel's structure has it; may be left out */
};

#define VU_IOTLB_READ  1u
#define VU_IOTLB_WRITE 2u

enum vu_iotlb_type {
	VU_IOTLB_MISS = 1,
	VU_IOTLB_UPDATE = 2,
	VU_IOTLB_INVALIDATE = 3,
	VU_IOTLB_ACCESS_FAIL = 4,
};

/* GET_CONFIG and SET_CONFIG. */
#define VU_CONFIG_MAX 256

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VU_CONFIG_MAX]; /* `size` bytes are sent */
};

#define VU_CONFIG_WRITABLE  0u /* flags: the guest writes a field */
#define VU_CONFIG_MIGRATION 1u /* read-only fields, too */

/* GET_INFLIGHT_FD and SET_INFLIGHT_FD. */
struct vu_inflight_desc {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding; /* may be left out */
};

/* SET_DEVICE_STATE_FD. */
struct vu_state_fd {
	uint32_t direction;
	uint32_t phase; /* 0: stopped */
};

#define VU_STATE_SAVE 0u
#define VU_STATE_LOAD 1u

/* Its reply: an error in the low bits, and whether no descriptor comes back. */
#define VU_STATE_ERROR_MASK 0xffu
#define VU_STATE_NOFD       (1u << 8)

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
	struct vu_mem_slot slot;
	struct vu_log_base log;
	struct vu_iotlb iotlb;
	struct vu_config config;
	struct vu_inflight_desc inflight;
	struct vu_state_fd state_fd;
	/* All of it: the longest member, rounded up to the alignment. */
	uint8_t bytes[(sizeof(struct vu_config) + 7) / 8 * 8];
};

#define VU_HEADER_SIZE 12
#define VU_MAX_PAYLOAD ((uint32_t)sizeof(union vu_payload))

static_assert(sizeof(struct vu_header) == VU_HEADER_SIZE, "vhost-user header");
static_assert(sizeof(struct vu_mem_region) == 32, "vhost-user memory region");
static_assert(sizeof(struct vu_mem_table) == 8 + 8 * 32, "vhost-user memory table");
static_assert(sizeof(struct vu_vring_state) == 8, "vhost-user vring state");
static_assert(sizeof(struct vu_vring_addr) == 40, "vhost-user vring address");
static_assert(sizeof(struct vu_mem_slot) == 40, "vhost-user single memory region");
static_assert(sizeof(struct vu_iotlb) == 32, "vhost-user IOTLB message");
static_assert(sizeof(struct vu_config) == 12 + VU_CONFIG_MAX, "vhost-user configuration space");
static_assert(sizeof(union vu_payload) == sizeof((union vu_payload){0}.bytes), "all bytes");
static_assert(sizeof(struct vu_inflight_desc) == 24, "vhost-user in-flight description");
