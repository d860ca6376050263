/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Watches: internal to lib/switch. Threads: workers, but for what control fills in. */
#include "policy.h"
#include "port_observer.h"
#include "sw_watch.h"

struct sw_plan;

/* Watches, in the order in which they were added. */
struct sw_watchers {
	unsigned n;
	uint32_t wants; /* of any of them */
	struct sw_watch *list[SW_MAX_WATCHES];
};

/* What a worker knows for its watches. */
struct sw_seen {
	const struct sw_watchers *by;  /* NULL: nobody watches this round */
	struct port_observer observer; /* of the worker's thread while somebody does */
	const struct frame_edit *edit; /* of the list that is sent; NULL: none */
	/* Valid if somebody watches. */
	const struct sw_plan *plan;
	uint64_t polled;            /* TSC when the burst had been fetched; 0: there is none */
	uint16_t from;              /* the port that it came from, or SW_NO_PORT */
	bool dry;                   /* nothing is sent, learned or counted: sw_explain */
	struct fdb_outlook outlook; /* dry: of the source */
};

/*
 * As sw_txq_send (plan.h), and watches see what is delivered, if they want to. Dry: all frames
 * count as delivered.
 */
unsigned sw_txq_send_seen(struct sw_worker *w, struct port_txq *q, struct frame **frames,
	unsigned n, const struct port_tally *all);

/* watch.c: the observer that tells who watches. */
struct port_observer sw_observer(void);
/* explain.c. Dry: what would be learned of run `r`; and what a look-up would find then. */
enum fdb_learned sw_explain_learn(struct sw_worker *w, const struct port_rxq *from, unsigned r);
void sw_explain_lookup(struct sw_worker *w, unsigned nruns);
/* watch.c: tell of the first `n` of the worker's frames, which came from a queue. */
void sw_see_received(struct sw_worker *w, const struct port_rxq *q, unsigned n);

/* Tell of frames that are dropped, as sw_drop_rx and sw_drop_tx (plan.h). */
void sw_see_drop_rx(struct sw_worker *w, const struct port_rxq *from, struct frame *frames,
	uint32_t which, uint16_t to, enum port_drop why);
void sw_see_drop_tx(struct sw_worker *w, const struct sw_target *t, struct frame *frames,
	uint32_t which, enum port_drop why);
/* The same for a mirror's copies. */
void sw_see_copies_lost(struct sw_worker *w, const struct sw_target *t, struct frame *const *frames,
	unsigned n, enum port_drop why);

/* Whether somebody wants the stages of frames from ports that are watched. */
static inline bool sw_sees_stages(const struct sw_seen *seen)
{
	return seen->by->wants & SW_SEE_STAGES;
}

/* Tell of a stage of the first `n` of the worker's frames; `result` is by frame, or NULL. */
void sw_see_stage(struct sw_worker *w, const struct port_rxq *from, unsigned n, enum sw_stage stage,
	const uint32_t *result);
/* The same, where there is a result for each run. */
void sw_see_runs(struct sw_worker *w, const struct port_rxq *from, unsigned nruns,
	enum sw_stage stage, const uint32_t *of_run);
/* Tell that a lot is flooded. */
void sw_see_flood(struct sw_worker *w, const struct sw_lot *lot, const struct port *from,
	enum sw_flood_to to);
