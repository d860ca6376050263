/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the parts of the engine share: guests, their queue pairs ("lanes"), and the trial that runs.
 *
 * A lane sends and receives for itself. In a closed loop, a lane may send another frame when one of
 * its frames has arrived. A frame that does not arrive is written off after a while, so that a loss
 * does not stall the loop.
 *
 * Thread: one.
 */
#include "bench.h"
#include "fe_session.h"
#include "frames.h"
#include "tsc.h"

/* What the transmit buffers of a lane hold. */
enum lane_fill {
	LANE_EMPTY,
	LANE_TRIAL, /* frames of the sizes that were asked for */
	LANE_SMALL, /* FRAME_SMALL bytes, to teach and to probe */
};

#define FRAME_SMALL 64

struct lane {
	struct fe_burst *tx, *rx;
	uint32_t mine; /* how an address of this port begins: its first three bytes */
	uint16_t port;
	uint8_t queue;
	bool sends;
	enum lane_fill fill;

	/* What goes into the next frame. */
	uint32_t *seq; /* by receiver: its number in the stream */
	uint32_t src_host, dst_host;
	uint32_t flow;
	uint32_t to; /* ONE_TO_ALL: receiver */

	/* Copies: a flooded frame counts for each receiver. Since the trial began. */
	uint64_t out;        /* sent */
	uint64_t back;       /* arrived, or written off */
	uint64_t out_before; /* `out` at the last write-off */

	double paced; /* frames that the rate has allowed so far */

	/* In the time that counts. */
	uint64_t sent, sent_bytes;
};

struct engine_port {
	struct fe_session *session;
	struct bench_port_result count;
	uint64_t slice_received; /* `count.received` when the slice began */
};

/* How far a trial is. */
enum engine_phase { ENGINE_WARM, ENGINE_COUNT, ENGINE_DRAIN };

struct engine {
	struct bench_options o;
	const struct frame_format *format;
	struct frame_format cut_format; /* `format`, where frames are to be cut */
	uint16_t pieces;                /* that are received of a frame; all counts are of them */
	struct engine_port *ports;      /* o.nports, then o.idle that have no lanes */
	unsigned nguests;               /* all of them */
	struct lane *lanes;             /* those of a port follow each other */
	unsigned nlanes;
	unsigned nsenders;
	uint32_t *seqs;         /* lane by receiver */
	uint64_t *expected;     /* by receiver, in the time that counts */
	uint64_t *unexpected;   /* by receiver, at other times; nobody reads it */
	struct stream *streams; /* lane by receiver */
	uint32_t *newest;       /* several pairs: number by lane, receiver and its queue */
	struct rw_histogram *latency;
	uint64_t random;

	double hz;           /* of the TSC */
	uint8_t stamp_shift; /* a time stamp is the TSC shifted right by that */
	uint64_t stamp_ns;   /* nanoseconds of a stamp's unit, times 2^20 */

	/* The trial. */
	uint8_t warm_id, count_id; /* tags of frames sent before and in the time that counts */
	enum engine_phase phase;
	bool closed;      /* frames circulate in a closed loop */
	uint32_t worth;   /* a round that moves fewer frames is followed by a wait */
	double lane_rate; /* frames a TSC tick for each sender; 0: as fast as possible */
	uint32_t batch;   /* fewest frames that are worth sending */
	uint64_t began;   /* TSC */
	uint64_t checked; /* TSC of the last check of sockets and losses */
	uint64_t busy;    /* ticks in rounds that moved frames */
	uint64_t moved;   /* frames that those rounds sent and received */
	double teach_rate;

	/* The time that counts is cut into slices, whose rates show the spread. */
	uint64_t slice_began;       /* TSC */
	uint32_t slices;            /* that have ended */
	struct bench_spread spread; /* of all ports together */
};

/* engine.c */

/* Print a message on stderr. */
void engine_say(const char *fmt, ...) RW_PRINTF(1, 2);

/* engine_send.c */

/* Send the frames that are due. Their number (what is cut: of segments), or -EPROTO. */
int lane_send(struct engine *e, struct lane *l, uint64_t now);
/*
 * Take back what was sent, then let the buffers hold what `fill` says. 0; -ETIMEDOUT: the back-end
 * keeps them; or as engine_watch.
 */
int lane_prepare(struct engine *e, struct lane *l, enum lane_fill fill);

/* engine_receive.c */

/* Receive a burst of the trial, and check it. Its length, or -EPROTO. */
int lane_receive(struct engine *e, struct lane *l);
/* Receive a burst and ignore it. The number of frames, or -EPROTO. */
int lane_discard(struct lane *l);

/* engine_run.c */

/*
 * Check the sockets, from time to time, and whether the user asked to end. 0; -ECONNRESET: a
 * back-end closed its socket; -EINTR.
 */
int engine_watch(struct engine *e);
/* Receive and discard until nothing has come for a while and all was sent. 0 or -errno. */
int engine_quiet(struct engine *e);
/* Choose tags that no frame under way carries. */
void engine_next_id(struct engine *e);
