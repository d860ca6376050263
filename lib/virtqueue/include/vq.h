/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The device side of a virtqueue (virtio 1.2, 2.7 split and 2.8 packed): fetch chains of guest
 * buffers from the ring, return them used, and signal the driver if it enabled that.
 *
 * The two formats differ in four functions (peek, fetch, complete, flush), in vq_split.h and
 * vq_packed.h; vq_ops.h puts them behind one set of names whose `mode` argument is a constant of
 * the caller, so that each caller is compiled once for each format and branches on neither.
 *
 * Slow-path features are the IOTLB, the dirty log, the in-flight record and a foreign byte order.
 * Few rings have one, and the others pay nothing for them: only functions compiled with VQ_SLOW
 * know of them. vq_mode says which functions a ring needs.
 *
 * Nothing in guest memory is trusted. A field is read once; a chain is bounded by the ring size and
 * an indirect table by its own checked length; every address goes through the memory map. One
 * vq_fetch walks at most vq_max_walk: a chain of as many descriptors as the ring has and an
 * indirect table of as many again. vq->walked counts it, so that the caller can end a burst. A
 * chain that breaks a rule is returned with its status, so that the caller completes and counts it.
 * A ring whose indices are impossible is marked broken: nothing is fetched from it until it is set
 * up again.
 *
 * Thread: the worker that polls the queue, or holds its lock; vq_init and vq_base belong to the
 * control thread while no worker knows the queue.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "dirty_log.h"
#include "gm_iotlb.h"
#include "guest_mem.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rings are little-endian and read as they are: a big-endian host needs conversions here"
#endif

/* virtio 1.2, 2.7 and 2.8: largest queue size. */
#define VQ_MAX_SIZE 32768

/* Segments a chain may have beyond one for each descriptor, for buffers that cross regions. */
#define VQ_EXTRA_SEGS 16

/* Most chains that are taken at a time. */
#define VQ_MAX_BATCH 32

/* Modes: which of its variants a function is. A constant of the caller. */
#define VQ_PACKED 0x1u /* the ring format */
#define VQ_SLOW   0x2u /* with IOTLB, dirty log, in-flight record, foreign byte order where set */

/* What vq_fetch found. */
enum vq_status {
	VQ_EMPTY,    /* no chain is available */
	VQ_CHAIN,    /* a good chain */
	VQ_BAD_ADDR, /* a chain with a buffer outside guest memory: complete it, length 0 */
	/*
	 * a chain that breaks a rule (loop, direction, nesting, no byte to write to): complete it,
	 * length 0
	 */
	VQ_BAD_FORM,
	VQ_BROKEN, /* the ring contradicts itself: nothing more is fetched from it */
	/*
	 * part of the chain is not in the IOTLB, vq->misses lists what: rewind, or complete it,
	 * length 0
	 */
	VQ_MISS,
};

/* A fetched chain. Its segments are in the array that the caller named. */
struct vq_chain {
	uint16_t id;    /* what the used ring returns: head index (split) or buffer id (packed) */
	uint16_t ndesc; /* ring entries it occupies; only packed rings care */
	uint16_t nsegs;
	uint32_t len; /* bytes in all segments, at most UINT32_MAX */
};

/* Position of the next fetch; saved and restored to return chains unused. */
struct vq_cursor {
	uint16_t idx;
	bool wrap;
};

/*
 * How far a packed ring has come, in memory that outlives the process: progress.c says what for.
 * Positions are coded as in SET_VRING_BASE, 16 bits each.
 */
struct vq_progress {
	uint64_t first_word; /* what publishes the batch under way: vq->first_word */
	uint16_t done;       /* what was flushed ends here */
	uint16_t last;       /* and the latest batch of it began here */
	uint16_t end;        /* where the batch ends that is being flushed; `done`: none is */
	uint16_t padding;
	uint16_t ndesc[]; /* by position: entries of the chain that was completed there */
};

/* A range that the IOTLB lacks. */
struct vq_miss {
	uint64_t iova;
	uint8_t perm; /* GM_READ or GM_WRITE */
};

/* Most misses that are noted at a time. */
#define VQ_MAX_MISSES 16

struct rw_helper;
struct vq_inflight; /* the queue's side of the in-flight record: inflight.c */

struct vq {
	/* Constant while the queue runs. */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *packed;
	};
	union {
		struct vring_avail *avail;              /* driver area */
		struct vring_packed_desc_event *driver; /* the signals that the driver enabled */
	};
	union {
		struct vring_used *used;                /* device area */
		struct vring_packed_desc_event *device; /* the kicks that we enabled */
	};
	const struct gm_map *mem;
	uint16_t num;
	bool event_idx;
	bool notify_on_empty;
	bool indirect;
	int call_fd; /* -1: the driver polls */

	/* Changing. */
	struct vq_progress *progress; /* packed: of no use unless the owner gave it */
	uint16_t progress_mask;       /* of the positions that it has room for */
	struct vq_cursor next;        /* split: free-running; packed: position and wrap counter */
	struct vq_cursor done;        /* position of the next used entry; the same two forms */
	uint16_t avail_seen;          /* split: the driver's index when last read */
	uint16_t npending;            /* used entries written since the last flush */
	/* packed: ring entries flushed since the driver's events were last read */
	uint16_t nsignal;
	uint16_t last_signal; /* split: used index when used_event was last read */
	uint16_t first_pos;   /* packed: position of the first pending entry */
	/* packed: that entry, written last because it publishes the others */
	uint64_t first_word;
	bool signal_valid; /* false: signal once, whatever the event index says */
	bool broken;
	/*
	 * What vq_fetch has walked since the caller set it to 0: descriptors, in the ring and in
	 * indirect tables, and look-ups of further pieces of a buffer. Without slow-path features a
	 * single-descriptor chain in the region used last adds nothing.
	 */
	uint32_t walked;
	struct gm_cache cache;

	/* Slow-path features. */
	const struct gm_iotlb *tlb;            /* NULL: descriptors are guest-physical */
	const struct gm_iotlb_view *view;      /* as of the last vq_fetch */
	struct gm_iotlb_cache tlb_cache;       /* for buffers */
	struct gm_iotlb_cache tlb_table_cache; /* for indirect tables */
	struct dl_batch *log;                  /* NULL: nothing is logged */
	const struct gm_piece *log_pieces;     /* the parts of the ring that are logged */
	unsigned nlog_pieces;                  /* 0: the ring is not logged */
	struct vq_inflight *inflight;          /* NULL: not recorded; ours */
	bool swap;                             /* split ring and header fields are big-endian */
	/* How call_fd is signalled: rw_helper.h. */
	unsigned call_slot;
	struct rw_helper *helper;
	uint64_t misses_at; /* generation of the view that lacked the first of `misses` */
	uint8_t nmisses;
	struct vq_miss misses[VQ_MAX_MISSES];
	/* A progress that nobody reads. */
	uint64_t nowhere[(sizeof(struct vq_progress) + sizeof(uint64_t)) / sizeof(uint64_t)];
};

struct vq_config {
	const struct gm_map *mem;     /* outlives the queue's use */
	void *desc, *driver, *device; /* the three areas, in our address space */
	uint64_t features;            /* negotiated virtio features */
	uint32_t base;                /* as in vhost-user SET_VRING_BASE */
	uint16_t num;
	int call_fd; /* stays the caller's; -1: none */
	/* With which, and in which slot, call_fd is signalled; NULL: call_fd is our own. */
	struct rw_helper *helper;
	unsigned call_slot;

	/*
	 * Packed ring: where its progress is recorded, vq_progress_bytes long; the caller's, and
	 * outlives the queue's use. What vq_progress_judge said of it is in `base`. NULL: nowhere.
	 */
	struct vq_progress *progress;

	/* Slow-path features; all zero: none. All are the caller's and outlive the queue's use. */
	const struct gm_iotlb *tlb; /* ACCESS_PLATFORM: descriptors hold IOVAs */
	bool swap;                  /* SET_VRING_ENDIAN said big-endian; legacy split rings only */
	struct dl_batch *log;       /* the queue's batch; the caller may mark buffers in it */
	/* What we write of the ring (split: device area; packed: descriptors and device area). */
	const struct gm_piece *log_pieces;
	unsigned nlog_pieces;
	/*
	 * The queue's region in the in-flight buffer, vq_inflight_bytes long or more, 8-byte
	 * aligned; all zero: nothing is recorded yet. A record decides where the queue continues:
	 * behind the used index (packed: the recorded one, whatever `base` says), with the chains
	 * in flight.
	 */
	void *inflight;
};

/*
 * Bytes of one queue's region in the in-flight buffer (vhost-user, "Inflight I/O tracking"), a
 * multiple of 64.
 */
uint64_t vq_inflight_bytes(uint64_t features, uint16_t num);

/* Bytes of the record of a packed ring's progress. */
static inline size_t vq_progress_bytes(uint16_t num)
{
	return sizeof(struct vq_progress) + num * sizeof(uint16_t);
}

/* Where a packed ring can start. */
enum vq_verdict {
	VQ_START_BASE,   /* at the base that the front-end named */
	VQ_START_RECORD, /* where the record says */
	VQ_START_UNSURE, /* nowhere before the driver has reset it */
};

/* What is known of a ring before it starts. */
enum vq_known {
	VQ_KNOWN_NOTHING, /* but the base */
	VQ_KNOWN_BASE,    /* a back-end stopped the ring there in good order, or it is new */
	VQ_KNOWN_RECORD,  /* the progress is that of this ring */
	/*
	 * The driver's process ran the ring, or one in its place, when a back-end was killed, and
	 * its progress is lost: the front-end names the base of an earlier start.
	 */
	VQ_KNOWN_LOST,
};

/*
 * Judge where the packed ring of `cfg` starts: by cfg->progress, by cfg->base and by what stands in
 * the ring. The driver may run. For VQ_START_RECORD, `*base` is where, and a batch that was being
 * flushed has been. A wrong answer would make the ring silent for ever, so what is not sure is
 * VQ_START_UNSURE. Other members of `cfg` than desc, base, num and progress are not read.
 */
enum vq_verdict vq_progress_judge(const struct vq_config *cfg, enum vq_known known, uint32_t *base);
/* The record of a ring that starts at `base`: vq_init does it. */
void vq_progress_begin(struct vq_progress *p, uint32_t base);
/* What is there is of another ring, and fits none. */
void vq_progress_forget(struct vq_progress *p, uint16_t num);

/* Bytes of the three areas of a ring of `num` entries. */
struct vq_areas {
	uint64_t desc, driver, device;
};
struct vq_areas vq_area_bytes(uint64_t features, uint16_t num);

/*
 * Set up a queue that continues at cfg->base, with kicks disabled. 0; -EINVAL when the
 * size, the base or an area's alignment is impossible for the format (virtio 1.2, 2.7 and 2.8.10),
 * or the in-flight record contradicts itself or the ring; -ENOMEM. On failure nothing is left to
 * release and neither the ring nor the record has changed.
 *
 * Chains that the record has in flight come out of vq_fetch first, in the order in which they were
 * fetched before. The driver is interrupted once: the predecessor may have had no time for it.
 */
int vq_init(struct vq *vq, const struct vq_config *cfg);
/* Release what vq_init allocated (the in-flight record's private part). Harmless on a zeroed vq. */
void vq_fini(struct vq *vq);

/* Whether the queue, which is stopped, keeps a record and no chain is in flight. */
bool vq_inflight_idle(const struct vq *vq);
/*
 * Mark the record at `region` as empty: its queue was idle when it stopped, and the front-end has
 * got its vq_base. Otherwise a ring that the driver resets meanwhile would continue at the recorded
 * position. Not when the connection just broke: then only the record knows the position.
 */
void vq_inflight_forget(void *region);

/*
 * The mode of the functions that the queue needs: its format, and VQ_SLOW if it has such a feature.
 */
unsigned vq_mode(const struct vq_config *cfg);

/*
 * Enable kicks: the driver kicks when it adds a chain from now on. Then peek again. False: a chain
 * is available already, or this peek found the ring broken.
 */
bool vq_enable_notify(struct vq *vq, bool packed);
/* Disable kicks, as vq_init does. Thread: also control, as with vq_base. */
void vq_disable_notify(struct vq *vq, bool packed);

/* The position at which a stopped queue continues, coded as in SET_VRING_BASE. */
uint32_t vq_base(const struct vq *vq, bool packed);

/* Segments that one chain of a queue of this size may need. */
static inline uint32_t vq_max_segs(uint16_t num)
{
	return (uint32_t)num + VQ_EXTRA_SEGS;
}

/*
 * The most that one vq_fetch of a queue of this size adds to vq->walked: the descriptors of the
 * ring and of a table, and a look-up for each segment. Behind an IOMMU, what is missing costs a
 * look-up for each descriptor, and as many to note it as the chain may have segments.
 */
static inline uint32_t vq_max_walk(uint16_t num)
{
	return 4u * num + 2 * vq_max_segs(num);
}
