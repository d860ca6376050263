/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The owner of a session under test: it runs no rings but checks how it is told to, and keeps what
 * it is told for the test to look at. Part of vu_fixture.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "rw_log.h"
#include "vu_session.h"

#define BIT(n)   (1ULL << (n))
#define VERSION1 BIT(32)
#define MRG      BIT(15)
#define PROTOCOL BIT(VU_F_PROTOCOL_FEATURES)
#define PACKED   BIT(VU_F_RING_PACKED)
#define LOG_ALL  BIT(VU_F_LOG_ALL)
#define IOMMU    BIT(VU_F_ACCESS_PLATFORM)
/* What is offered, and what most tests acknowledge of it. */
#define OFFERED  (VERSION1 | MRG | PROTOCOL | PACKED | LOG_ALL | IOMMU)
#define FEATURES (VERSION1 | MRG | PROTOCOL | PACKED)

/* The same for protocol features. GPA_ADDRESSES gives addresses another meaning. */
#define INBAND BIT(VU_PF_INBAND_NOTIFICATIONS)
#define GPA    BIT(VU_PF_GPA_ADDRESSES)
#define ALL_PF (OFFERED_PF & ~(GPA | INBAND))
#define OFFERED_PF                                                                                 \
	(BIT(VU_PF_MQ) | BIT(VU_PF_LOG_SHMFD) | BIT(VU_PF_RARP) | BIT(VU_PF_REPLY_ACK) |           \
		BIT(VU_PF_NET_MTU) | BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CROSS_ENDIAN) |            \
		BIT(VU_PF_PAGEFAULT) | BIT(VU_PF_CONFIG) | BIT(VU_PF_INFLIGHT_SHMFD) |             \
		BIT(VU_PF_RESET_DEVICE) | INBAND | BIT(VU_PF_CONFIGURE_MEM_SLOTS) |                \
		BIT(VU_PF_STATUS) | BIT(VU_PF_DEVICE_STATE) | BIT(VU_PF_GET_VRING_BASE_INFLIGHT) | \
		GPA)

#define MAX_PAIRS     4
#define MAX_RING_SIZE 1024

#define MEM_SIZE 0x100000
#define MEM_UVA  0x10000000ULL
#define NEED     VU_FLAG_NEED_REPLY

/* The owner's configuration space, device state and in-flight regions. */
#define CONFIG_LEN      12
#define STATE_LEN       1000
#define INFLIGHT_STRIDE 128

/* What became of a message. */
enum outcome { SILENCE, ACK_OK, ACK_BAD, REPLY, CLOSED };

/* All that a session shows. */
struct snapshot {
	uint64_t features, protocol_features;
	const struct gm_map *mem;
	const struct gm_iotlb *iotlb;
	const struct dl_log *log;
	uint64_t inflight; /* bytes */
	unsigned nrings;
	enum vu_postcopy postcopy;
	uint32_t mtu, status;
	bool channel, waiting, over;
	struct vu_ring rings[MAX_PAIRS * 2];
};

struct front {
	struct rw_loop *loop;
	int fd;    /* the front-end's end of the socket */
	int memfd; /* the guest's memory */
	struct vu_session *s;
	uint64_t reply; /* payload of the last REPLY or acknowledgement: its first 8 bytes, */
	union vu_payload reply_payload; /* all of it, */
	uint32_t reply_size;
	int reply_fd; /* and what came with it, or -1 */

	/* The owner's side. */
	bool paused[VU_MAX_RINGS];
	uint32_t kicks[VU_MAX_RINGS];
	bool running[VU_MAX_RINGS];
	unsigned pauses, resumes, first, n;
	struct snapshot at_pause;  /* the session as the last pause found it */
	struct snapshot at_resume; /* and as the last resume found it */
	uint32_t position;         /* where rings that are paused have got to */
	int resume_ret;
	bool pause_later;            /* rings_pause says "not yet" */
	bool quiesce_later;          /* ... what waits for workers does */
	void (*on_pause)(void *arg); /* rings_pause calls it, if it is there */
	void *pause_arg;
	uint16_t mtu;
	uint8_t mac[6]; /* rarp_wanted */
	unsigned rarps;
	unsigned updates, invalidations, quiesces;
	int stopped;                   /* the ring whose stop was answered last, -1: none */
	uint64_t gone_iova, gone_size; /* the last invalidation, */
	unsigned retired;              /* and how many views waited then */
	unsigned answers;
	uint64_t answer_iova; /* the last answer, */
	bool answer_ok;
	bool answer_known; /* and whether the entry was there then */
	uint8_t config[CONFIG_LEN];
	bool config_migration;
	uint32_t state_len; /* to be saved; what was loaded: */
	uint8_t *loaded;
	uint32_t loaded_len;
	int load_ret;
	bool closed, free_when_closed;
	int reason;
};

static inline unsigned count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned n = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static inline unsigned count_maps(void)
{
	return count_lines("/proc/self/maps");
}

static inline void snapshot_take(struct snapshot *to, const struct vu_session *s)
{
	memset(to, 0, sizeof(*to)); /* padding is compared, too */
	to->features = vu_features(s);
	to->protocol_features = vu_protocol_features(s);
	to->mem = vu_mem(s);
	to->iotlb = vu_iotlb(s);
	to->log = vu_log(s);
	to->inflight = vu_inflight_size(s).bytes;
	to->nrings = vu_nrings(s);
	to->postcopy = vu_postcopy_state(s);
	to->mtu = vu_mtu(s);
	to->status = vu_status(s);
	to->channel = vu_has_channel(s);
	to->waiting = vu_is_waiting(s);
	to->over = vu_is_over(s);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(to->rings); i++)
		memcpy(&to->rings[i], vu_ring(s, i), sizeof(to->rings[i]));
}

static inline bool owner_pause(void *dev, unsigned first, unsigned n)
{
	struct front *f = dev;

	/* `on_pause` waits for a thread that may wait for a page. */
	if (f->pause_later || (f->on_pause && vu_postcopy_state(f->s) == VU_POSTCOPY_LISTENING))
		return false;
	if (f->on_pause)
		f->on_pause(f->pause_arg);
	assert_true(n > 0 && first + n <= MAX_PAIRS * 2);
	f->pauses++;
	f->first = first;
	f->n = n;
	snapshot_take(&f->at_pause, f->s);
	for (unsigned i = first; i < first + n; i++) {
		if (f->running[i])
			vu_ring_rested(f->s, i, f->position);
		f->running[i] = false;
		f->paused[i] = true;
	}
	return true;
}

static inline int owner_resume(void *dev, unsigned first, unsigned n)
{
	struct front *f = dev;

	assert_int_equal(first, f->first);
	assert_int_equal(n, f->n);
	f->resumes++;
	snapshot_take(&f->at_resume, f->s);
	for (unsigned i = first; i < first + n; i++) {
		assert_true(f->paused[i]);
		f->paused[i] = false;
		f->running[i] = !f->resume_ret && vu_ring_ready(f->s, i);
	}
	return f->resume_ret;
}

static inline void owner_mtu_changed(void *dev, uint16_t mtu)
{
	((struct front *)dev)->mtu = mtu;
}

static inline void owner_rarp_wanted(void *dev, const uint8_t mac[6])
{
	struct front *f = dev;

	memcpy(f->mac, mac, sizeof(f->mac));
	f->rarps++;
}

static inline void owner_iotlb_updated(void *dev)
{
	((struct front *)dev)->updates++;
}

/* Whether `iova` is in the IOTLB. */
static inline bool translates(const struct front *f, uint64_t iova)
{
	return vu_iotlb(f->s) && gm_iotlb_find(gm_iotlb_view(vu_iotlb(f->s)), iova);
}

static inline bool owner_iotlb_invalidated(void *dev, uint64_t iova, uint64_t size)
{
	struct front *f = dev;

	f->invalidations++;
	f->gone_iova = iova;
	f->gone_size = size;
	assert_false(translates(f, iova));
	f->retired = gm_iotlb_retired(vu_iotlb(f->s));
	return !f->quiesce_later;
}

static inline void owner_iotlb_answered(void *dev, uint64_t iova, bool ok)
{
	struct front *f = dev;

	f->answers++;
	f->answer_iova = iova;
	f->answer_ok = ok;
	f->answer_known = translates(f, iova);
}

static inline bool owner_quiesce(void *dev)
{
	struct front *f = dev;

	f->quiesces++;
	return !f->quiesce_later;
}

static inline void owner_stopped(void *dev, unsigned ring)
{
	struct front *f = dev;

	f->stopped = (int)ring;
}

static inline uint64_t owner_inflight_bytes(void *dev, uint16_t num)
{
	const struct front *f = dev;

	return INFLIGHT_STRIDE * num * (vu_features(f->s) & PACKED ? 2u : 1u);
}

static inline uint32_t owner_config_read(void *dev, void *out)
{
	const struct front *f = dev;

	memcpy(out, f->config, sizeof(f->config));
	return sizeof(f->config);
}

/* The first half is read-only. */
static inline int owner_config_write(
	void *dev, uint32_t offset, const void *data, uint32_t len, bool migration)
{
	struct front *f = dev;

	assert_true(offset + len <= sizeof(f->config));
	if (offset < sizeof(f->config) / 2 && !migration)
		return -EPERM;
	memcpy(f->config + offset, data, len);
	f->config_migration = migration;
	return 0;
}

/* Byte `i` of the state that owners save. */
static inline uint8_t state_byte(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

static inline int owner_state_save(void *dev, void **out)
{
	const struct front *f = dev;
	uint8_t *data = malloc(f->state_len);

	assert_non_null(data);
	for (uint32_t i = 0; i < f->state_len; i++)
		data[i] = state_byte(i);
	*out = data;
	return (int)f->state_len;
}

static inline int owner_state_load(void *dev, const void *data, uint32_t len)
{
	struct front *f = dev;

	free(f->loaded);
	f->loaded = malloc(len + 1);
	assert_non_null(f->loaded);
	memcpy(f->loaded, data, len);
	f->loaded_len = len;
	return f->load_ret;
}

static inline void owner_ring_kicked(void *dev, unsigned ring)
{
	struct front *f = dev;

	f->kicks[ring]++;
}

static inline void owner_closed(void *dev, int reason)
{
	struct front *f = dev;

	assert_false(f->closed);
	f->closed = true;
	f->reason = reason;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		assert_false(f->running[i]);
		assert_int_equal(vu_ring(f->s, i)->kick_fd, -1);
	}
	assert_null(vu_mem(f->s));
	assert_null(vu_iotlb(f->s));
	assert_null(vu_log(f->s));
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_NONE);
	if (f->free_when_closed) {
		vu_session_free(f->s);
		f->s = NULL;
	}
}

static const struct vu_ops owner_ops = {
	.rings_pause = owner_pause,
	.rings_resume = owner_resume,
	.ring_stopped = owner_stopped,
	.mtu_changed = owner_mtu_changed,
	.rarp_wanted = owner_rarp_wanted,
	.iotlb_updated = owner_iotlb_updated,
	.iotlb_invalidated = owner_iotlb_invalidated,
	.iotlb_answered = owner_iotlb_answered,
	.quiesce = owner_quiesce,
	.inflight_bytes = owner_inflight_bytes,
	.config_read = owner_config_read,
	.config_write = owner_config_write,
	.state_save = owner_state_save,
	.state_load = owner_state_load,
	.ring_kicked = owner_ring_kicked,
	.closed = owner_closed,
};
