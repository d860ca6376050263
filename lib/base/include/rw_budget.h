/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Budgets: how much of what all ports share one port's front-end may take, and how much of it is
 * kept for the others.
 *
 * Whoever takes something on behalf of a front-end (a descriptor, a mapping) calls rw_budget_take
 * first and rw_budget_give when it is back. A refusal is -EDQUOT, concerns that port alone, and is
 * counted.
 *
 * Of some kinds the whole process has only so much (RLIMIT_NOFILE, vm.max_map_count, the address
 * space): a pool. Each member of a pool is guaranteed an equal share of one half of it, or its
 * limit if that is less. Beyond its guarantee a member takes what nobody else is guaranteed. So
 * whatever some members do, another one gets its guarantee.
 *
 * Thread: control.
 */
#include "rw_base.h"

enum rw_budget_kind {
	RW_BUDGET_FDS,       /* open descriptors */
	RW_BUDGET_MAPPINGS,  /* mappings of this process */
	RW_BUDGET_MAPPED,    /* bytes of address space */
	RW_BUDGET_SLOTS,     /* regions of guest memory */
	RW_BUDGET_IOTLB,     /* IOTLB entries; beyond it the oldest is forgotten */
	RW_BUDGET_SCRATCH,   /* bytes of our memory for the state of rings */
	RW_BUDGET_ADDRESSES, /* learned addresses; beyond it the port's oldest is forgotten */
	RW_BUDGET_KINDS
};

/* As a limit: there is none. */
#define RW_BUDGET_NO_LIMIT UINT64_MAX

struct rw_budget {
	uint64_t limit;
	uint64_t used;
	uint64_t high;    /* the most that was ever used */
	uint64_t refused; /* how often something was refused */
	uint64_t floor;   /* guaranteed by the pool; 0: there is no pool */
};

struct rw_budget_pools;

/* The budgets of one port. */
struct rw_budgets {
	const char *port; /* its name, for messages */
	struct rw_budget of[RW_BUDGET_KINDS];
	/* The latest refusal. */
	enum rw_budget_kind refused;
	uint64_t wanted; /* so much more */
	bool pool_empty; /* the limit would have allowed it */
	/* Private. */
	struct rw_budget_pools *pools; /* NULL: a member of none */
	struct rw_budgets *next;       /* another member */
};

struct rw_budget_pool {
	uint64_t size; /* of all members together; 0: there is no such pool */
	uint64_t used;
	uint64_t owed; /* what is missing in the members' guarantees */
};

struct rw_budget_pools {
	struct rw_budget_pool of[RW_BUDGET_KINDS];
	struct rw_budgets *members;
	unsigned nmembers;
};

/* Every limit as it is by default, and a member of no pool. `port` outlives the budgets. */
void rw_budgets_init(struct rw_budgets *b, const char *port);
/* The limit that a port has unless its operator says otherwise. */
uint64_t rw_budget_default(enum rw_budget_kind kind);

/* Become a member, with nothing used; and leave again, which gives back what is still used. */
void rw_budgets_join(struct rw_budgets *b, struct rw_budget_pools *pools);
void rw_budgets_leave(struct rw_budgets *b);
/* How large a pool is. Members that use more already keep it. */
void rw_budget_pool_set(struct rw_budget_pools *pools, enum rw_budget_kind kind, uint64_t size);

/*
 * Take `n`. 0; or -EDQUOT: the limit or the pool does not allow it, nothing is taken. Without
 * budgets (NULL) everything is allowed.
 */
int rw_budget_take(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t n);
/* Take `n` that is held already, whatever the limits are. NULL is fine. */
void rw_budget_charge(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t n);
/* Give back `n` of what was taken. NULL is fine. */
void rw_budget_give(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t n);
/* The same for `n` mappings of `bytes` together. */
int rw_budget_map(struct rw_budgets *b, uint64_t n, uint64_t bytes);
void rw_budget_unmap(struct rw_budgets *b, uint64_t n, uint64_t bytes);
/* For what limits itself: how much of it there is now. No pool. NULL is fine. */
void rw_budget_note(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t used);
/* From now on. What is used already stays. */
void rw_budget_limit(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t limit);

/* "fds" and so on. */
const char *rw_budget_name(enum rw_budget_kind kind);
/* Whether it is counted in bytes. */
bool rw_budget_is_bytes(enum rw_budget_kind kind);

/* `n` bytes as text, in the largest unit that leaves at least 10 of it: "512", "10K", "4096G". */
#define RW_BUDGET_TEXT 24
const char *rw_budget_text(enum rw_budget_kind kind, uint64_t n, char out[RW_BUDGET_TEXT]);

/* What was refused last, and how to raise the limit: a part of one line. */
void rw_budget_explain(const struct rw_budgets *b, char *out, size_t len);
