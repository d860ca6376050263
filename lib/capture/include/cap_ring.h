/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The memory in which captured frames go from workers to whoever captures: a memfd of the reader's,
 * which both sides map. It has one part for each worker, so each part has one writer and one
 * reader. A part is a ring of bytes; a full one loses records and counts them, and nobody waits.
 *
 * Neither side believes the other: all that a writer reads from the memory is the reader's
 * position, and an impossible one means that the ring is full; what the reader gets is checked
 * against what there can be. Positions are free-running counts of bytes.
 *
 * Threads: each writer is one worker's; the readers are those of the process that captures.
 */
#include "rw_base.h"

#define CAP_ALIGN      8u           /* bytes; records begin at multiples of it */
#define CAP_DATA_MIN   (128u << 10) /* bytes of a part's ring: more than the longest record */
#define CAP_DATA_MAX   (64u << 20)
#define CAP_BYTES_MAX  (1u << 30) /* of all parts together */
#define CAP_PARTS_MAX  64
#define CAP_PORTS_MAX  1024
#define CAP_PORT_NONE  UINT16_MAX
#define CAP_SNAP_MAX   65553 /* bytes: the longest frame */
#define CAP_PAGE_BYTES 4096

/* The size of what fills the end of a ring, where no whole record fits, has this bit. */
#define CAP_FILL (1u << 31)

/* What happened to a frame. */
enum cap_what {
	CAP_RX,      /* the port sent it */
	CAP_TX,      /* the port received it */
	CAP_RX_DROP, /* the port sent it, and it is not delivered */
	CAP_TX_DROP, /* the port did not receive it */
	CAP_NUM_WHATS,
};

/* A captured frame; its bytes follow. */
struct cap_record {
	uint32_t size;    /* bytes from here to the next record, a multiple of CAP_ALIGN */
	uint32_t len;     /* bytes of the frame */
	uint32_t caplen;  /* bytes of it that follow */
	uint16_t port;    /* its number in the switch */
	uint16_t other;   /* where it goes to or comes from; CAP_PORT_NONE: not known */
	uint64_t time_ns; /* since 1970 */
	uint16_t queue;   /* of the port */
	uint16_t vlan;    /* of frames without a tag at that port; 0: none */
	uint8_t what;     /* enum cap_what */
	uint8_t why;      /* enum port_drop */
	uint8_t csum;     /* 1: its checksum is left to whoever comes next */
	uint8_t gso;      /* VIRTIO_NET_HDR_GSO_*: it is large, and left to be cut; 0: it is not */
};

/* A port's records in a part. */
struct cap_count {
	uint64_t taken; /* written, or lost */
	uint64_t lost;  /* that found no room */
};

/* The head of a part. */
struct cap_part {
	uint64_t head RW_CACHE_ALIGNED; /* the writer's position */
	uint32_t ended;                 /* of part 0, by control: nothing comes any more */
	uint64_t tail RW_CACHE_ALIGNED; /* the reader's position */
	struct cap_count ports[] RW_CACHE_ALIGNED;
};

/* Where things are. */
struct cap_layout {
	unsigned nparts, nports;
	uint32_t data; /* bytes of a part's ring, a power of two */
	uint32_t head; /* bytes before it */
};

/*
 * 0 with `layout` filled in; -EINVAL: nothing of that size can be laid out. `data` is a power of
 * two from CAP_DATA_MIN to CAP_DATA_MAX.
 */
int cap_layout(unsigned nparts, unsigned nports, uint32_t data, struct cap_layout *layout);
/* All bytes of it. */
uint64_t cap_layout_bytes(const struct cap_layout *layout);

/* ---- writing ---- */

/* Owner: the worker. Nothing of it is in the shared memory. */
struct cap_writer {
	struct cap_part *part; /* in the memory that is shared, as `data` */
	uint8_t *data;
	uint64_t head;
	uint32_t size; /* of data, bytes */
	uint32_t nports;
	uint64_t room;        /* bytes that are free, as far as is known */
	uint64_t taken, lost; /* records of all ports, as struct cap_count; control reads them */
};

/* `base` is the memory of `layout`, which nobody has written to yet; `part` is the writer's. */
void cap_writer_init(
	struct cap_writer *w, uint8_t *base, const struct cap_layout *layout, unsigned part);
/* See how far the reader is. */
void cap_writer_look(struct cap_writer *w);
/*
 * Add a record of `need` bytes, a multiple of CAP_ALIGN, which the caller fills in. NULL: there is
 * no room. Either way cap_writer_publish counts it.
 */
static inline uint8_t *cap_writer_add(struct cap_writer *w, uint32_t need)
{
	uint32_t at = (uint32_t)(w->head & (w->size - 1)), rest = w->size - at;

	if (rw_unlikely(rest < need)) {
		/* What is left at the end is filled, if the record has room at the beginning. */
		if (w->room < (uint64_t)need + rest)
			return NULL;
		rest |= CAP_FILL;
		__builtin_memcpy(w->data + at, &rest, sizeof(rest));
		rest &= ~CAP_FILL;
		w->head += rest;
		w->room -= rest;
		at = 0;
	}
	if (rw_unlikely(w->room < need))
		return NULL;
	w->head += need;
	w->room -= need;
	return w->data + at;
}
/*
 * Let the reader see what was added: `taken` records of a port below the layout's number of ports,
 * lost ones among them.
 */
void cap_writer_publish(struct cap_writer *w, uint16_t port, unsigned taken, unsigned lost);

/* ---- reading ---- */

struct cap_reader {
	struct cap_part *part;
	const uint8_t *data;
	uint64_t head, tail;
	uint32_t size;
};

void cap_reader_init(
	struct cap_reader *r, uint8_t *base, const struct cap_layout *layout, unsigned part);
/* See how far the writer is. 0; -EPROTO: the ring contradicts itself. */
int cap_reader_look(struct cap_reader *r);
/*
 * The next record, copied to `out`, and its bytes, which stay until cap_reader_release. 1; 0: there
 * is none; -EPROTO: the ring contradicts itself.
 */
int cap_reader_next(struct cap_reader *r, struct cap_record *out, const uint8_t **bytes);
/* Go on behind the record of cap_reader_next. */
void cap_reader_skip(struct cap_reader *r, const struct cap_record *record);
/* The writer may have the room of all that was skipped. */
void cap_reader_release(struct cap_reader *r);
