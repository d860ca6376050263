/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages out of the input: most are what a front-end may send, some are anything. */
#include "messages.h"

uint64_t any_u64(struct fuzz_in *in)
{
	static const uint64_t values[] = {0, 1, 2, MEM_SIZE, MEM_UVA, 4096, 8, 64, 0x100, 0x1000,
		UINT64_MAX, MEM_UVA + MEM_SIZE, MEM_UVA + 0x10000, 1u << 20, 1500, 0x8000};
	uint8_t kind = fuzz_u8(in);

	if (kind >= 0xf0)
		return fuzz_u64(in);
	if (kind & 0x80)
		return MEM_UVA + fuzz_u8(in) * 0x1000ull;
	if (kind & 0x40)
		return (uint64_t)fuzz_u8(in) << (kind & 0x3f);
	return values[kind % RW_ARRAY_SIZE(values)];
}

static uint32_t any_ring(struct fuzz_in *in)
{
	uint8_t i = fuzz_u8(in);

	return i >= 0xf0 ? fuzz_u32(in) : i % (2 * MAX_PAIRS + 1);
}

static struct vu_mem_region any_region(struct fuzz_in *in)
{
	uint8_t k = fuzz_u8(in);

	/* Disjoint parts of the guest's memory; or anything. */
	if (k < 0xc0)
		return (struct vu_mem_region){.gpa = (k & 15) * 0x10000ull,
			.size = 0x10000,
			.uva = MEM_UVA + (k & 15) * 0x10000ull,
			.mmap_offset = (k & 15) * 0x10000ull};
	if (k < 0xe0)
		return (struct vu_mem_region){.size = MEM_SIZE, .uva = MEM_UVA};
	return (struct vu_mem_region){any_u64(in), any_u64(in), any_u64(in), any_u64(in)};
}

static uint32_t read_state(struct fuzz_in *in, union vu_payload *p)
{
	static const uint32_t nums[] = {256, 0, 1, 2, 1024, 64, 65536, 3};
	uint8_t k;

	p->state.index = any_ring(in);
	k = fuzz_u8(in);
	p->state.num = k >= 0xc0 ? fuzz_u32(in) : nums[k % RW_ARRAY_SIZE(nums)];
	return sizeof(p->state);
}

static uint32_t read_addr(struct fuzz_in *in, union vu_payload *p)
{
	uint8_t bits;

	p->addr = addr_at(any_ring(in), 0);
	bits = fuzz_u8(in);
	p->addr.flags = bits & 1;
	if (bits & 2)
		p->addr.flags = fuzz_u32(in);
	if (bits & 4)
		p->addr.desc = any_u64(in);
	if (bits & 8)
		p->addr.used = any_u64(in);
	if (bits & 16)
		p->addr.avail = any_u64(in);
	if (bits & 32)
		p->addr.log = any_u64(in);
	return sizeof(p->addr);
}

static uint32_t read_table(struct fuzz_in *in, union vu_payload *p)
{
	unsigned n = 1 + fuzz_below(in, VU_MAX_TABLE_REGIONS);

	p->mem.nregions = n;
	for (unsigned i = 0; i < n; i++)
		p->mem.regions[i] = any_region(in);
	return (uint32_t)(offsetof(struct vu_mem_table, regions) + n * sizeof(p->mem.regions[0]));
}

static uint32_t read_iotlb(struct fuzz_in *in, union vu_payload *p)
{
	uint8_t bits = fuzz_u8(in);

	p->iotlb.iova = any_u64(in);
	p->iotlb.size = any_u64(in);
	p->iotlb.uaddr = any_u64(in);
	p->iotlb.perm = bits & 7;
	p->iotlb.type = bits & 8 ? fuzz_u8(in) : (uint8_t)(VU_IOTLB_UPDATE + (bits >> 4 & 1));
	return bits & 32 ? sizeof(p->iotlb) : offsetof(struct vu_iotlb, padding);
}

static uint32_t read_config(struct fuzz_in *in, union vu_payload *p)
{
	p->config.offset = fuzz_u8(in);
	p->config.size = fuzz_u8(in);
	p->config.flags = fuzz_below(in, 3);
	fuzz_bytes(in, p->config.data, 16);
	return (uint32_t)(offsetof(struct vu_config, data) + p->config.size);
}

static uint32_t read_inflight(struct fuzz_in *in, union vu_payload *p)
{
	uint8_t bits = fuzz_u8(in);

	p->inflight.mmap_size = bits & 1 ? any_u64(in) : MEM_SIZE;
	p->inflight.mmap_offset = bits & 2 ? any_u64(in) : 0;
	p->inflight.num_queues = bits & 4 ? fuzz_u16(in) : 2;
	p->inflight.queue_size = bits & 8 ? fuzz_u16(in) : 256;
	return bits & 16 ? sizeof(p->inflight) : offsetof(struct vu_inflight_desc, padding);
}

static uint32_t read_ring_fd(struct fuzz_in *in, union vu_payload *p)
{
	p->u64 = any_ring(in);
	if (fuzz_u8(in) & 0x80)
		p->u64 |= VU_VRING_NOFD;
	return sizeof(p->u64);
}

static uint32_t read_u64(struct fuzz_in *in, union vu_payload *p)
{
	p->u64 = any_u64(in);
	return sizeof(p->u64);
}

/* Feature words: all that was offered but some bits. */
static uint32_t read_features(struct fuzz_in *in, union vu_payload *p, uint64_t usual)
{
	uint8_t bits = fuzz_u8(in);

	p->u64 = bits & 1 ? usual & ~(1ull << (fuzz_u8(in) & 63)) : usual;
	if (bits & 2)
		p->u64 ^= fuzz_u64(in);
	return sizeof(p->u64);
}

static uint32_t read_slot(struct fuzz_in *in, union vu_payload *p)
{
	p->slot.region = any_region(in);
	return sizeof(p->slot);
}

static uint32_t read_log(struct fuzz_in *in, union vu_payload *p)
{
	p->log.size = any_u64(in);
	p->log.offset = any_u64(in);
	return sizeof(p->log);
}

static uint32_t read_state_fd(struct fuzz_in *in, union vu_payload *p)
{
	uint8_t bits = fuzz_u8(in);

	p->state_fd.direction = bits & 3;
	p->state_fd.phase = bits >> 4 & 1;
	return sizeof(p->state_fd);
}

/* The usual payload of a request. Its size. */
static uint32_t payload_read(struct fuzz_in *in, uint32_t request, union vu_payload *p)
{
	switch (request) {
	case VU_SET_FEATURES:
		return read_features(in, p, fuzz_u8(in) & 1 ? OFFERED : FEATURES);
	case VU_SET_PROTOCOL_FEATURES:
		return read_features(in, p, ALL_PF);
	case VU_SET_MEM_TABLE:
		return read_table(in, p);
	case VU_SET_LOG_BASE:
		return read_log(in, p);
	case VU_SET_VRING_ADDR:
		return read_addr(in, p);
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
	case VU_SET_VRING_ENDIAN:
	case VU_VRING_KICK:
		return read_state(in, p);
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		return read_ring_fd(in, p);
	case VU_SEND_RARP:
	case VU_NET_SET_MTU:
	case VU_SET_STATUS:
		return read_u64(in, p);
	case VU_IOTLB_MSG:
		return read_iotlb(in, p);
	case VU_GET_CONFIG:
	case VU_SET_CONFIG:
		return read_config(in, p);
	case VU_GET_INFLIGHT_FD:
	case VU_SET_INFLIGHT_FD:
		return read_inflight(in, p);
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		return read_slot(in, p);
	case VU_SET_DEVICE_STATE_FD:
		return read_state_fd(in, p);
	default:
		return 0;
	}
}

/* The descriptors that usually go with it. */
static unsigned fds_usual(const struct message *m, const union vu_payload *p, enum fd_kind *kind)
{
	switch (m->hdr.request) {
	case VU_SET_MEM_TABLE:
		*kind = FD_MEM;
		return RW_MIN(p->mem.nregions, (uint32_t)VU_MAX_FDS);
	case VU_ADD_MEM_REG:
	case VU_SET_INFLIGHT_FD:
	case VU_SET_LOG_BASE:
		*kind = FD_MEM;
		return 1;
	case VU_SET_LOG_FD:
		*kind = FD_EVENT;
		return 1;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		*kind = FD_EVENT;
		return !(p->u64 & VU_VRING_NOFD);
	case VU_SET_BACKEND_REQ_FD:
		*kind = FD_SOCKET;
		return 1;
	case VU_SET_DEVICE_STATE_FD:
		*kind = p->state_fd.direction ? FD_PIPE_READ : FD_PIPE_WRITE;
		return 1;
	default:
		return 0;
	}
}

static void fds_read(struct fuzz_in *in, struct message *m, const union vu_payload *p)
{
	enum fd_kind kind = FD_MEM;

	m->nfds = fds_usual(m, p, &kind);
	for (unsigned i = 0; i < m->nfds; i++)
		m->fds[i] = kind;
	if (!(fuzz_u8(in) & 0x80))
		return;
	m->nfds = fuzz_below(in, RW_ARRAY_SIZE(m->fds) + 1);
	for (unsigned i = 0; i < m->nfds; i++)
		m->fds[i] = (enum fd_kind)fuzz_below(in, FD_NKINDS);
}

void message_read(struct fuzz_in *in, struct message *m)
{
	uint8_t request = fuzz_u8(in), bits = fuzz_u8(in);
	union vu_payload p = {.bytes = {0}};
	uint32_t size;

	memset(m, 0, sizeof(*m));
	m->hdr.request = request >= 0xf8 ? fuzz_u32(in) : request % 48;
	m->hdr.flags = VU_VERSION | (bits & 1 ? VU_FLAG_NEED_REPLY : 0);
	if ((bits & 0x06) == 0x06)
		m->hdr.flags ^= fuzz_u8(in);
	size = payload_read(in, m->hdr.request, &p);
	fds_read(in, m, &p);
	m->hdr.size = size;
	/* Another size, or bytes that are none of the usual. */
	if ((bits & 0x18) == 0x18)
		m->hdr.size = fuzz_u16(in);
	if ((bits & 0x30) == 0x30)
		fuzz_bytes(in, p.bytes + fuzz_u8(in) % sizeof(p.bytes) / 2, 8);
	m->len = VU_HEADER_SIZE + RW_MIN(m->hdr.size, sizeof(m->bytes) - VU_HEADER_SIZE);
	memcpy(m->bytes, &m->hdr, sizeof(m->hdr));
	memcpy(m->bytes + sizeof(m->hdr), &p, RW_MIN(m->hdr.size, sizeof(p)));
	if (bits & 0x40)
		m->split = (uint16_t)(fuzz_u8(in) % m->len);
	m->fds_late = bits & 0x80;
}

bool message_asks(uint32_t request)
{
	switch (request) {
	case VU_GET_FEATURES:
	case VU_SET_LOG_BASE:
	case VU_GET_VRING_BASE:
	case VU_GET_PROTOCOL_FEATURES:
	case VU_GET_QUEUE_NUM:
	case VU_IOTLB_MSG:
	case VU_GET_CONFIG:
	case VU_POSTCOPY_ADVISE:
	case VU_POSTCOPY_END:
	case VU_GET_INFLIGHT_FD:
	case VU_GET_MAX_MEM_SLOTS:
	case VU_GET_STATUS:
	case VU_SET_DEVICE_STATE_FD:
	case VU_CHECK_DEVICE_STATE:
		return true;
	default:
		return false;
	}
}

bool message_is_request(const struct message *m)
{
	return (m->hdr.flags & VU_VERSION_MASK) == VU_VERSION && !(m->hdr.flags & VU_FLAG_REPLY);
}

bool message_answer_fits(const struct message *m, uint32_t size)
{
	switch (m->hdr.request) {
	case VU_SET_LOG_BASE:
		return size == sizeof(struct vu_log_base) || size == sizeof(uint64_t);
	case VU_GET_CONFIG:
		return !size || size == m->hdr.size;
	case VU_POSTCOPY_ADVISE:
		return !size;
	case VU_GET_INFLIGHT_FD:
		return size == sizeof(struct vu_inflight_desc) ||
			size == offsetof(struct vu_inflight_desc, padding);
	default:
		return size == sizeof(uint64_t);
	}
}
