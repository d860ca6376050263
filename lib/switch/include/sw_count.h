/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What is counted on request, because it costs time for each frame: sizes, VLANs, talkers and
 * latencies. Each kind is a watch (sw_watch.h) with memory of its own for each worker, allocated
 * when it starts and bounded: what finds no room is counted as that. While nothing is counted,
 * workers do nothing for it. Counting that begins again begins with 0.
 *
 * Threads: sw_count_* belong to control. A worker counts in its own part without a lock, but for
 * talkers: there it takes a lock if it is free, and misses the frames of that moment if not.
 */
#include "rw_heavy.h"
#include "rw_histogram.h"
#include "sw_domain.h"

enum sw_count_kind {
	SW_COUNT_SIZES,
	SW_COUNT_VLANS,
	SW_COUNT_TALKERS,
	SW_COUNT_LATENCY,
	SW_NUM_COUNT_KINDS
};

struct sw_count;

/*
 * Count from now on, for these ports, or for all, later ones included (`n` 0). Commits. 0; -ENOSPC:
 * too many watch; -ENOMEM.
 */
int sw_count_start(struct sw *sw, enum sw_count_kind kind, const struct port *const *ports,
	unsigned n, struct sw_count **out);
/* Commits. NULL is fine. */
void sw_count_stop(struct sw_count *c);
/* A port has left the switch, and another one may get its id. NULL is fine. */
void sw_count_forget_port(struct sw_count *c, uint16_t id);
/* Whether the port is one of those. */
bool sw_count_has_port(const struct sw_count *c, const struct port *port);
/* Seconds since it started. */
uint32_t sw_count_age_s(const struct sw_count *c);

/* Frames that are not in what is counted. */
struct sw_count_lost {
	uint64_t others; /* VLANs, latency: there was no room for their VLAN or pair of ports */
	uint64_t late;   /* latency: they had waited in a backlog */
	uint64_t missed; /* talkers: they came while control was reading */
};
void sw_count_lost(const struct sw_count *c, struct sw_count_lost *out);

/*
 * Sizes, of RFC 2819 (etherStatsPkts64Octets and so on): octets of a frame, its frame check
 * sequence included, which frames of guests do not have yet. Beyond the RFC's, jumbo frames are
 * told from larger ones, which are segments to be cut.
 */
#define SW_SIZES 9u
/* The least octets of a bin; it ends where the next one begins. */
extern const uint32_t sw_size_least[SW_SIZES];

struct sw_sizes {
	uint64_t rx[SW_SIZES], tx[SW_SIZES];
};

void sw_sizes_read(const struct sw_count *c, const struct port *port, struct sw_sizes *out);

/* One VLAN. Drops are those of frames; chains that never became frames have no VLAN. */
struct sw_vlan_count {
	struct sw_vlan vlan; /* id SW_VLANS: frames of no VLAN that the port is in */
	uint64_t rx_frames, rx_bytes, rx_drops;
	uint64_t tx_frames, tx_bytes, tx_drops;
};

/* So many VLANs are counted by one worker; frames of others are in `others`. */
#define SW_COUNT_MAX_VLANS 2048u

/* All VLANs, sorted, as an array that the caller frees. Returns how many, or -ENOMEM. */
int sw_vlans_read(const struct sw_count *c, struct sw_vlan_count **out);

/* Frames from one address to another, in one VLAN, as ports sent them. */
struct sw_talker {
	uint8_t src[6], dst[6];
	struct sw_vlan vlan;
	uint64_t bytes; /* at most `error` more than it sent */
	uint64_t error;
	uint64_t frames; /* since it is among those that are kept: at least so many */
};

/*
 * The `max` that sent most, into `out`. Returns how many. `*bytes` is what all sent; the error of a
 * talker is at most a share of 1 / RW_HEAVY_MAX of it.
 */
unsigned sw_talkers_read(
	const struct sw_count *c, struct sw_talker *out, unsigned max, uint64_t *bytes);

/*
 * Latency: from the poll that fetched a frame to the moment at which its receiver could see it.
 * Frames that had to wait in a backlog, for an IOMMU's answer, are not in it.
 */
struct sw_latency_pair {
	uint16_t from, to; /* ports */
};

/* So many pairs of ports are counted by one worker. */
#define SW_COUNT_MAX_PAIRS 64u

/* The pairs, sorted, as an array that the caller frees. Returns how many, or -ENOMEM. */
int sw_latency_pairs(const struct sw_count *c, struct sw_latency_pair **out);
/* Nanoseconds of one pair. */
void sw_latency_read(
	const struct sw_count *c, struct sw_latency_pair pair, struct rw_histogram *out);
