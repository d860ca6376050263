/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * ringway-bench plays guests against the sockets of any vhost-user back-end and measures it. This
 * header holds what its parts share: what the user asked for (options.c), one trial (the engine)
 * and its result. Measurements of many trials (search.c, hosts.c) and the output (report.c, json.c)
 * know the engine only by this header.
 *
 * Thread: one, pinned to the CPU of the load.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "rw_histogram.h"

#define BENCH_MAX_PORTS 256
#define BENCH_MAX_SIZES 16
/* Bytes of a frame check sequence, which RFC 2544 counts and virtio-net does not carry. */
#define BENCH_FCS 4

/* Who sends to whom. */
#define BENCH_PATTERNS(X)                                                            \
	X(PAIRS, "pairs")           /* port 0 and port 1 each other, 2 and 3, ... */ \
	X(ALL_TO_ONE, "all-to-one") /* all others to port 0 */                       \
	X(ONE_TO_ALL, "one-to-all") /* port 0 to each of the others in turn */       \
	X(RANDOM, "random")         /* each to any other, frame by frame */          \
	X(FLOOD, "flood")           /* port 0 to the broadcast address */

enum bench_pattern {
#define X(id, name) BENCH_##id,
	BENCH_PATTERNS(X)
#undef X
		BENCH_NUM_PATTERNS
};

/* One size of a mix. */
struct bench_size {
	uint32_t len;    /* of the frame, without FCS */
	uint32_t weight; /* frames of this size for each sum of weights */
};

enum bench_measure {
	BENCH_RATE,     /* one trial at the asked rate */
	BENCH_SEARCH,   /* RFC 2544, 26.1: the highest rate without loss */
	BENCH_CAPACITY, /* RFC 2889, 5.7: addresses that the table holds */
	BENCH_LEARNING, /* RFC 2889, 5.8: addresses a second it can learn */
};

struct bench_options {
	const char *sockets[BENCH_MAX_PORTS]; /* nports, then those of `idle` */
	unsigned nports;
	unsigned idle;      /* guests beside them whose rings are started, and who send nothing */
	unsigned pairs;     /* queue pairs of each port */
	unsigned ring_size; /* entries of each ring that receives */
	unsigned tx_ring_size; /* entries of each ring that frames are sent from */
	bool packed;
	bool mergeable;
	bool in_order;
	bool tso;     /* negotiate and use TSO: frames over 1518 carry a segmentation header */
	bool convert; /* receivers take plain frames alone; what is cut is counted as segments */
	struct bench_size sizes[BENCH_MAX_SIZES];
	unsigned nsizes;
	unsigned macs;  /* hosts behind each port */
	unsigned flows; /* UDP ports used between two hosts */
	enum bench_pattern pattern;
	enum bench_measure measure;
	unsigned in_flight; /* closed loop: frames that circulate for each port; 0: one way */
	double rate;      /* one way: frames a second, all ports together; 0: as fast as possible */
	double seconds;   /* the time that counts of each trial */
	double warm_up;   /* seconds before it, which do not count */
	double loss;      /* SEARCH: the fraction that counts as none */
	double precision; /* SEARCH: stop when the bounds are that close, as a fraction */
	bool latency;     /* record the time each frame takes */
	bool hugetlb;
	bool listen;      /* back-ends connect to the sockets */
	bool progress;    /* a live line on stderr */
	int cpu;          /* of the load; -1: where the program runs */
	bool json;        /* on stdout, instead of the table */
	const char *plot; /* a file for the picture; NULL: none */
};

/* How one trial is to be measured. */
struct bench_trial {
	double rate;    /* frames a second, all ports together; 0: as fast as possible */
	double seconds; /* the time that counts */
	double warm_up; /* seconds before it, which do not count */
};

/* The slowest and the fastest tenth of a second; both are 0 when the time was shorter than one. */
struct bench_spread {
	double lowest, highest; /* frames a second received */
};

/* Of one port, counted from the end of the warm-up. */
struct bench_port_result {
	uint64_t sent, sent_bytes;
	uint64_t received, received_bytes;
	uint64_t expected;   /* what was sent to it, floods included */
	uint64_t wrong;      /* content is not what was sent */
	uint64_t misplaced;  /* for another port (floods by a switch that does not know it yet) */
	uint64_t reordered;  /* overtaken by a later one of its flow */
	uint64_t duplicated; /* seen before */
	struct bench_spread spread;
};

struct bench_result {
	double seconds; /* measured */
	double asked;   /* frames a second that the load was told to send; 0: as many as possible */
	unsigned nports;
	struct bench_port_result ports[BENCH_MAX_PORTS];
	struct bench_port_result sum;
	uint64_t lost;     /* of expected, after all rings were quiet */
	double offered;    /* frames a second that the engine could send */
	double own_cycles; /* TSC cycles the load spent on a frame it moved (sent or received) */
	struct rw_histogram latency; /* nanoseconds; empty unless asked for */
};

/* The user asked to end (SIGINT, SIGTERM); main.c sets it. */
extern volatile sig_atomic_t bench_interrupted;

/*
 * For the live line: the engine calls it a few times a second during a trial, with the result so
 * far (`seconds` is 0 during the warm-up). It costs little when nothing is shown.
 */
void bench_tick(const struct bench_result *so_far);

/* One front-end for each socket: connected, its rings started, its addresses learned. */
struct engine;

/* 0 or -errno, after a message on stderr. */
int engine_new(const struct bench_options *o, struct engine **out);
void engine_free(struct engine *e);

/*
 * Measure one trial: warm up, send and count, then wait until the frames under way have arrived.
 * 0; -ECONNRESET: a back-end closed its socket; -EPROTO: it wrote to a ring what no device may
 * write; -EINTR: the user asked to end, and *out holds the shorter trial. The first two are
 * explained on stderr.
 */
int engine_run(struct engine *e, const struct bench_trial *t, struct bench_result *out);

/*
 * For RFC 2889. Send one frame to the broadcast address from each of `n` hosts behind port `port`,
 * from number `first` on, `rate` frames a second (0: as fast as possible). Wait until they have
 * arrived.
 */
int engine_teach(struct engine *e, unsigned port, uint32_t first, uint32_t n, double rate);
/*
 * Send one frame to each of those hosts from port `from`, slowly. *known: how many of them reached
 * `port` and no other port.
 */
int engine_probe(struct engine *e, unsigned from, unsigned port, uint32_t first, uint32_t n,
	uint32_t *known);
/* Frames a second at which the last engine_teach sent. */
double engine_teach_rate(const struct engine *e);
