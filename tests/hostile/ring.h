/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A guest that breaks the rules of its rings: a on port a. Its frames, as far as there are any, are
 * for b, which is an ordinary guest.
 */
#include "say.h"
#include "traffic.h"

struct scene {
	struct rig *r;
	struct peer *a, *b;
	uint64_t format;
};

/* Guests whose rings have `size` entries, with and without `features` that are usual. */
struct scene scene_up(struct rig *r, uint64_t format, uint16_t size);
struct scene scene_with(struct rig *r, uint64_t format, const struct fe_guest_config *c);

struct fe_ring *tx_ring(const struct scene *s);
struct fe_ring *rx_ring(const struct scene *s);

/* Guest-physical address of a's first transmit buffer, and the end of its memory. */
uint64_t good_gpa(const struct scene *s);
uint64_t end_of_memory(const struct scene *s);

/* Take back what the back-end has used of a's transmit ring, until all is there. */
void tx_settle(const struct scene *s);

/* Publish what was added to a's transmit ring, and kick. */
void tx_go(const struct scene *s);

/* All drops of a's rx, whatever for. */
uint64_t rx_drops(const struct scene *s);

/* Send a chain as it is: it comes back empty, and one more is counted for `why`. */
void chain_drops(const struct scene *s, const struct fe_chain *c, const char *why);

/* The next used chain of a's transmit ring, which is empty. */
void comes_back(const struct scene *s);

/* Fields of a ring's descriptor `i`. */
uint64_t *desc_addr(struct fe_ring *r, uint16_t i);
uint32_t *desc_len(struct fe_ring *r, uint16_t i);
uint16_t *desc_flags(struct fe_ring *r, uint16_t i);

/* The descriptor of the chain that was added last. */
uint16_t last_head(const struct fe_ring *r);

/*
 * The ring of a that index `i` names is broken: it says so, and only a reset repairs it. Or, with
 * `may_live`, it works.
 */
void ring_breaks(const struct scene *s, uint32_t i);

/* Make both rings of a anew, as a driver does. */
void rings_reset(const struct scene *s);

/* Frames both ways. */
void works(const struct scene *s);
