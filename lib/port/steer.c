/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_internal.h"

/*
 * A set of 4 entries for each of 1024 hash values: 4096 flows in 16 KiB. Four sets share a cache
 * line. An entry is a tag (the hash bits that do not select the set) and a pair; 0 is empty.
 */
#define SETS      1024
#define WAYS      4
#define TAG_BITS  22 /* 32 - log2(SETS) */
#define PAIR_BITS 8

struct port_steer {
	uint32_t entry[SETS][WAYS];
	uint32_t victim; /* entry to replace next, for all sets; a race only selects another one */
};

struct port_steer *port_steer_new(void)
{
	return rw_zalloc(sizeof(struct port_steer));
}

static uint32_t entry_of(uint32_t hash, uint16_t queue)
{
	return (hash & ((1u << TAG_BITS) - 1)) << PAIR_BITS | (queue + 1u);
}

static bool same_flow(uint32_t a, uint32_t b)
{
	return !((a ^ b) >> PAIR_BITS);
}

void port_steer_learn(struct port_steer *steer, uint32_t hash, uint16_t queue)
{
	uint32_t *set = steer->entry[hash >> TAG_BITS], want = entry_of(hash, queue);
	unsigned free_way = WAYS;

	for (unsigned i = 0; i < WAYS; i++) {
		uint32_t e = __atomic_load_n(&set[i], __ATOMIC_RELAXED);

		if (e == want)
			return;
		if (e && same_flow(e, want)) {
			__atomic_store_n(&set[i], want, __ATOMIC_RELAXED);
			return;
		}
		if (!e && free_way == WAYS)
			free_way = i;
	}
	if (free_way == WAYS)
		free_way = __atomic_fetch_add(&steer->victim, 1, __ATOMIC_RELAXED) % WAYS;
	__atomic_store_n(&set[free_way], want, __ATOMIC_RELAXED);
}

int port_steer_find(const struct port_steer *steer, uint32_t hash)
{
	const uint32_t *set = steer->entry[hash >> TAG_BITS];
	uint32_t want = entry_of(hash, 0);

	for (unsigned i = 0; i < WAYS; i++) {
		uint32_t e = __atomic_load_n(&set[i], __ATOMIC_RELAXED);

		if (e && same_flow(e, want))
			return (int)(e & ((1u << PAIR_BITS) - 1)) - 1;
	}
	return -1;
}
