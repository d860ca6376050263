/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "rw_budget.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)

/*
 * The defaults fit QEMU at its largest. Descriptors: 256 rings with kick, call and error, 509
 * regions, a message with 253 more, and some. Mappings: 509 regions, and for each of 256 rings its
 * state and, where its parts lie across regions, a second mapping of up to 8 pieces.
 */
static const struct {
	const char *name;
	uint64_t limit;
	bool bytes;
	const char *pool; /* how the whole process gets more of it */
} kinds[RW_BUDGET_KINDS] = {
	[RW_BUDGET_FDS] = {"fds", 2048, false, "raise LimitNOFILE= or ulimit -Hn"},
	[RW_BUDGET_MAPPINGS] = {"mappings", 4096, false, "raise the sysctl vm.max_map_count"},
	[RW_BUDGET_MAPPED] = {"mapped", 8 * TIB, true, "the address space is not larger"},
	[RW_BUDGET_SLOTS] = {"slots", 509, false, ""},
	[RW_BUDGET_IOTLB] = {"iotlb", 8192, false, ""},
	[RW_BUDGET_SCRATCH] = {"scratch", 512 * MIB, true, ""},
	[RW_BUDGET_ADDRESSES] = {"addresses", RW_BUDGET_NO_LIMIT, false, ""},
};

const char *rw_budget_name(enum rw_budget_kind kind)
{
	return kinds[kind].name;
}

bool rw_budget_is_bytes(enum rw_budget_kind kind)
{
	return kinds[kind].bytes;
}

uint64_t rw_budget_default(enum rw_budget_kind kind)
{
	return kinds[kind].limit;
}

void rw_budgets_init(struct rw_budgets *b, const char *port)
{
	*b = (struct rw_budgets){.port = port};
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		b->of[k].limit = kinds[k].limit;
}

/* What is missing in the member's guarantee. */
static uint64_t owed_to(const struct rw_budget *b)
{
	return b->floor - RW_MIN(b->used, b->floor);
}

/* Share one half of the pool anew. */
static void pool_share(struct rw_budget_pools *pools, unsigned kind)
{
	struct rw_budget_pool *pool = &pools->of[kind];

	pool->used = 0;
	pool->owed = 0;
	for (struct rw_budgets *m = pools->members; m; m = m->next) {
		struct rw_budget *b = &m->of[kind];

		b->floor = RW_MIN(b->limit, pool->size / 2 / pools->nmembers);
		pool->used += b->used;
		pool->owed += owed_to(b);
	}
}

static void pools_share(struct rw_budget_pools *pools)
{
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		pool_share(pools, k);
}

void rw_budgets_join(struct rw_budgets *b, struct rw_budget_pools *pools)
{
	assert(!b->pools);
	b->pools = pools;
	b->next = pools->members;
	pools->members = b;
	pools->nmembers++;
	pools_share(pools);
}

void rw_budgets_leave(struct rw_budgets *b)
{
	struct rw_budgets **at;

	if (!b->pools)
		return;
	at = &b->pools->members;
	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	b->pools->nmembers--;
	pools_share(b->pools);
	b->pools = NULL;
}

void rw_budget_pool_set(struct rw_budget_pools *pools, enum rw_budget_kind kind, uint64_t size)
{
	pools->of[kind].size = size;
	pool_share(pools, kind);
}

/* Whether the pool has `n` more for the member. */
static bool pool_has(const struct rw_budget_pool *pool, const struct rw_budget *b, uint64_t n)
{
	uint64_t left = pool->size - RW_MIN(pool->used, pool->size), mine;

	if (!pool->size)
		return true;
	if (n > left)
		return false;
	/* What the guarantee covers is not missing to others. */
	mine = RW_MIN(n, owed_to(b));
	return n == mine || n - mine <= left - RW_MIN(pool->owed, left);
}

void rw_budget_charge(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t n)
{
	struct rw_budget *mine;

	if (!b)
		return;
	mine = &b->of[kind];
	if (b->pools) {
		b->pools->of[kind].used += n;
		b->pools->of[kind].owed -= RW_MIN(n, owed_to(mine));
	}
	mine->used += n;
	mine->high = RW_MAX(mine->high, mine->used);
}

int rw_budget_take(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t n)
{
	struct rw_budget_pool *pool;
	struct rw_budget *mine;
	bool within;

	if (!b)
		return 0;
	mine = &b->of[kind];
	pool = b->pools ? &b->pools->of[kind] : NULL;
	within = n <= mine->limit - RW_MIN(mine->used, mine->limit);
	if (!within || (pool && !pool_has(pool, mine, n))) {
		mine->refused++;
		b->refused = kind;
		b->wanted = n;
		b->pool_empty = within;
		return -EDQUOT;
	}
	rw_budget_charge(b, kind, n);
	return 0;
}

void rw_budget_give(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t n)
{
	struct rw_budget *mine;
	uint64_t before;

	if (!b)
		return;
	mine = &b->of[kind];
	assert(n <= mine->used);
	before = owed_to(mine);
	mine->used -= n;
	if (b->pools) {
		b->pools->of[kind].used -= n;
		b->pools->of[kind].owed += owed_to(mine) - before;
	}
}

int rw_budget_map(struct rw_budgets *b, uint64_t n, uint64_t bytes)
{
	if (rw_budget_take(b, RW_BUDGET_MAPPINGS, n))
		return -EDQUOT;
	if (!rw_budget_take(b, RW_BUDGET_MAPPED, bytes))
		return 0;
	rw_budget_give(b, RW_BUDGET_MAPPINGS, n);
	return -EDQUOT;
}

void rw_budget_unmap(struct rw_budgets *b, uint64_t n, uint64_t bytes)
{
	rw_budget_give(b, RW_BUDGET_MAPPINGS, n);
	rw_budget_give(b, RW_BUDGET_MAPPED, bytes);
}

void rw_budget_note(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t used)
{
	if (!b)
		return;
	b->of[kind].used = used;
	b->of[kind].high = RW_MAX(b->of[kind].high, used);
}

void rw_budget_limit(struct rw_budgets *b, enum rw_budget_kind kind, uint64_t limit)
{
	b->of[kind].limit = limit;
	if (b->pools)
		pool_share(b->pools, kind);
}

const char *rw_budget_text(enum rw_budget_kind kind, uint64_t n, char out[RW_BUDGET_TEXT])
{
	static const char *const units[] = {"", "K", "M", "G", "T"};
	size_t unit = 0;

	if (n == RW_BUDGET_NO_LIMIT)
		return "none";
	while (kinds[kind].bytes && unit + 1 < RW_ARRAY_SIZE(units) &&
		(n >= 10 * KIB * KIB || (n >= KIB && !(n % KIB)))) {
		n /= KIB;
		unit++;
	}
	snprintf(out, RW_BUDGET_TEXT, "%ju%s", (uintmax_t)n, units[unit]);
	return out;
}

void rw_budget_explain(const struct rw_budgets *b, char *out, size_t len)
{
	const struct rw_budget *mine = &b->of[b->refused];
	char used[RW_BUDGET_TEXT], limit[RW_BUDGET_TEXT], more[RW_BUDGET_TEXT];
	const char *name = kinds[b->refused].name;

	rw_budget_text(b->refused, b->wanted, more);
	if (b->pool_empty) {
		snprintf(out, len,
			"%s more %s, and all ports together have none left beyond what each is "
			"guaranteed: %s",
			more, name, kinds[b->refused].pool);
		return;
	}
	snprintf(out, len, "%s of %s %s used and %s more wanted: ringway port set %s max-%s=N",
		rw_budget_text(b->refused, mine->used, used),
		rw_budget_text(b->refused, mine->limit, limit), name, more, b->port, name);
}
