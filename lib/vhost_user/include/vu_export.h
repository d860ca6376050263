/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A session without its process: everything that another process, or another owner in this one,
 * needs to go on with a front-end that notices nothing. The structure has no pointers, so it can be
 * sent as it is, with its descriptors beside it.
 *
 * Three things stay behind. The IOTLB starts empty, and vu_session_translate fills it; what is not
 * there, the front-end is asked for again. Questions on the
 * back-end channel are carried, but only so that their answers are recognised; whoever waited for
 * them rests. The owner's own state is the owner's to carry.
 *
 * Memory: the caller's. Whoever holds an export owns the descriptors in it. Thread: control.
 */
#include "vu_session.h"

/* Another version of this structure is not understood. */
#define VU_EXPORT_VERSION 1

/* Messages of the back-end channel that wait, and questions that are open, at most. */
#define VU_EXPORT_MAX_QUEUE 64

/* The message that has arrived in part. */
struct vu_export_message {
	uint32_t have; /* bytes, header included */
	uint32_t nfds;
	bool fds_lost; /* more descriptors came than could be kept */
	int fds[VU_MAX_FDS];
	struct vu_header hdr;
	union vu_payload payload;
};

struct vu_export_region {
	struct gm_region_desc desc;
	uint32_t again; /* times that ADD_MEM_REG added it again */
	int fd;
};

/* As struct vu_ring. A call descriptor of our own is not carried: the new session makes one. */
struct vu_export_ring {
	uint32_t num;
	uint32_t base;
	struct vu_vring_addr addr;
	int kick_fd;
	int call_fd;
	int err_fd;
	bool kick_polled;
	bool call_given;
	bool addr_set;
	bool base_set;
	bool started;
	bool enabled;
	bool swap;
};

/* SET_LOG_BASE and SET_LOG_FD. */
struct vu_export_log {
	int fd; /* -1: there is no log */
	int event_fd;
	uint64_t size; /* bytes */
	uint64_t offset;
	uint64_t marked; /* dl_marked */
};

struct vu_export_inflight {
	int fd; /* -1: there is no buffer */
	uint64_t offset;
	uint64_t size;
	uint64_t stride;
	uint16_t nrings;
	uint16_t num;
};

/* A message to the front-end. */
struct vu_export_notice {
	uint32_t len;
	uint8_t bytes[VU_HEADER_SIZE + sizeof(struct vu_iotlb)];
};

struct vu_export_channel {
	bool present; /* SET_BACKEND_REQ_FD was seen */
	int fd;       /* -1: it is broken */
	uint32_t nnotices;
	uint32_t sent; /* bytes of the first notice that are written */
	uint32_t nasked;
	uint32_t have; /* bytes of `answer` that have arrived */
	uint8_t answer[VU_HEADER_SIZE + sizeof(uint64_t)];
	struct vu_export_notice notices[VU_EXPORT_MAX_QUEUE];
	struct vu_iotlb asked[VU_EXPORT_MAX_QUEUE]; /* the oldest first */
	bool call_due[VU_MAX_RINGS];
	bool error_due[VU_MAX_RINGS];
};

struct vu_export {
	uint32_t version; /* VU_EXPORT_VERSION */
	int fd;           /* the connected socket */
	uint64_t features;
	uint64_t protocol_features;
	bool features_set;
	bool features_refused;
	bool state_transferred; /* a transfer of device state has ended, as state_result says: */
	int32_t state_result;   /* 0 or -errno */
	uint16_t mtu;
	uint8_t status;
	uint32_t nrings;
	uint32_t nregions;
	struct vu_export_message message;
	struct vu_export_log log;
	struct vu_export_inflight inflight;
	struct vu_export_channel channel;
	struct vu_export_ring rings[VU_MAX_RINGS];
	struct vu_export_region regions[GM_MAX_REGIONS];
};

/* The most descriptors that an export carries. */
#define VU_EXPORT_MAX_FDS (GM_MAX_REGIONS + 3 * VU_MAX_RINGS + VU_MAX_FDS + 5)

/* An export of this version that carries nothing: no member is taken for a descriptor. */
void vu_export_init(struct vu_export *e);

/*
 * Why the session cannot be exported now, as the end of a line; NULL: it can, as far as one can see
 * without touching it.
 */
const char *vu_export_hindrance(const struct vu_session *s);

/*
 * Bring the rings to rest and move the session into `out`. 0: the session is over without
 * vu_ops.closed having been called, and all that is left to do with it is vu_session_free; the
 * front-end's connection is open and belongs to `out`.
 *
 * -EBUSY: a postcopy migration or a transfer of device state is under way, both of which are bound
 * to this process; or what dup or memory said. The session then goes on, and `out` carries nothing.
 */
int vu_session_export(struct vu_session *s, struct vu_export *out);

/*
 * A session that goes on where `e` ends. `e` stays as it is and keeps its descriptors, so that a
 * second attempt is possible. Rings rest and no message is read until vu_session_resume.
 *
 * NULL with errno set: EPROTONOSUPPORT, another version; ENOTSUP, the session uses what `offer` has
 * not; EINVAL, `e` contradicts itself; or what mapping its memory said.
 */
struct vu_session *vu_session_adopt(struct rw_loop *loop, const struct vu_export *e,
	const struct vu_offer *offer, const struct vu_ops *ops, void *dev, const char *name);

/*
 * vu_session_adopt in parts. What takes time, memory, may be mapped ahead of the export: what the
 * session has then (vu_session_regions; descriptors and regions stay the session's) is not mapped
 * again if the export still has it. NULL: no memory.
 */
uint32_t vu_session_regions(
	const struct vu_session *s, struct vu_export_region out[GM_MAX_REGIONS]);
struct vu_session *vu_session_prepare(struct rw_loop *loop, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name);
/* Descriptors stay the caller's. 0; or -errno, and nothing has changed. */
int vu_session_map(struct vu_session *s, const struct vu_export_region *regions, uint32_t n);
/* The rest. 0; or -errno as of vu_session_adopt, and the session is to be freed. */
int vu_session_fill(struct vu_session *s, const struct vu_export *e, const struct vu_offer *offer);
/* Before vu_session_resume: the IOTLB has these (gm_iotlb_fill). 0 or -errno, and it has not. */
int vu_session_translate(struct vu_session *s, const struct gm_iotlb_entry *entries, uint32_t n);

/*
 * Start an adopted session: its rings run (vu_ops.rings_resume), and what the front-end sent is
 * carried out. The owner knows the session by now. 0, or what rings_resume said: the session goes
 * on all the same. As any message, the one that waits may end the session (vu_ops.closed).
 */
int vu_session_resume(struct vu_session *s);

/*
 * Where the export keeps its descriptors, for whoever sends them to another process or has received
 * them there: into `fds`, which has room for VU_EXPORT_MAX_FDS. How many.
 */
unsigned vu_export_fds(struct vu_export *e, int *fds[]);

/* Close the descriptors; the export is empty then. Harmless on an empty one. */
void vu_export_free(struct vu_export *e);
