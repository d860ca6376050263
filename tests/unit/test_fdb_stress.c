/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwarding database under load: compared with a plain array over random operations, and used
 * by all threads at once.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fdb_fixture.h"

/* xorshift64*: the same numbers in every run. */
static uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(2685821657736338717) >> 32;
}

/*
 * The model: what is known of each station that there is. A few more than the table holds.
 */
#define MODEL_STATIONS 96
#define MODEL_LIMIT    64
#define MODEL_PORTS    6
#define MODEL_AGE_S    5
#define MODEL_STEPS    100000
#define MODEL_CORNER   40 /* buckets */

struct known {
	bool present;
	bool is_static;
	uint32_t port;
	uint32_t seen_s;
};

struct model {
	struct fdb *fdb;
	fdb_key key[MODEL_STATIONS]; /* in so few buckets that entries have to make room */
	struct known known[MODEL_STATIONS];
	uint64_t random;
	uint32_t now_s;
	uint32_t evicted;
};

static uint32_t model_count(const struct model *m, uint32_t port, bool with_static)
{
	uint32_t count = 0;

	for (uint32_t n = 0; n < MODEL_STATIONS; n++)
		count += m->known[n].present && m->known[n].port == port &&
			(with_static || !m->known[n].is_static);
	return count;
}

static uint32_t model_entries(const struct model *m)
{
	uint32_t count = 0;

	for (uint32_t n = 0; n < MODEL_STATIONS; n++)
		count += m->known[n].present;
	return count;
}

/*
 * The table was full and had to make room for station `wanted`: find out which one it dropped,
 * and check that it was one of a port with most learned entries.
 */
static void model_evict(struct model *m, uint32_t wanted)
{
	uint32_t dropped = MODEL_STATIONS, most = 0;

	for (uint32_t p = 0; p < MODEL_PORTS; p++)
		most = RW_MAX(most, model_count(m, p, false));
	for (uint32_t n = 0; n < MODEL_STATIONS; n++) {
		if (n == wanted || !m->known[n].present ||
			fdb_lookup(m->fdb, m->key[n]) != FDB_HOP_NONE)
			continue;
		assert_int_equal(dropped, MODEL_STATIONS);
		dropped = n;
	}
	assert_in_range(dropped, 0, MODEL_STATIONS - 1);
	assert_false(m->known[dropped].is_static);
	assert_int_equal(model_count(m, m->known[dropped].port, false), most);
	m->known[dropped].present = false;
	m->evicted++;
}

static bool model_has_learned(const struct model *m)
{
	for (uint32_t p = 0; p < MODEL_PORTS; p++)
		if (model_count(m, p, false))
			return true;
	return false;
}

static void model_learn(struct model *m, uint32_t n, uint32_t port)
{
	/* Now and then by a worker whose clock is late. */
	uint32_t now_s = m->now_s - (next_random(&m->random) % 8 == 0);
	enum fdb_learned what = fdb_learn(m->fdb, m->key[n], port, now_s);
	struct known *k = &m->known[n];

	if (k->present && (k->is_static || k->port == port)) {
		assert_int_equal(what, k->port == port ? FDB_KNOWN : FDB_REFUSED);
		if (!k->is_static)
			k->seen_s = RW_MAX(k->seen_s, now_s);
		return;
	}
	if (k->present) {
		assert_int_equal(what, FDB_MOVED);
	} else if (model_entries(m) < MODEL_LIMIT) {
		assert_int_equal(what, FDB_NEW);
	} else if (model_has_learned(m)) {
		assert_int_equal(what, FDB_EVICTED);
		model_evict(m, n);
	} else {
		assert_int_equal(what, FDB_REFUSED);
		return;
	}
	*k = (struct known){.present = true, .port = port, .seen_s = now_s};
}

static void model_add_static(struct model *m, uint32_t n, uint32_t port)
{
	struct known *k = &m->known[n];
	int err = fdb_add_static(m->fdb, m->key[n], port, true);

	if (!k->present && model_entries(m) == MODEL_LIMIT) {
		if (!model_has_learned(m)) {
			assert_int_equal(err, -ENOSPC);
			return;
		}
		model_evict(m, n);
	}
	assert_int_equal(err, 0);
	*k = (struct known){.present = true, .is_static = true, .port = port};
}

static void model_del(struct model *m, uint32_t n)
{
	assert_int_equal(fdb_del(m->fdb, m->key[n]), m->known[n].present ? 0 : -ENOENT);
	m->known[n].present = false;
}

/* Of `port` or, with FDB_HOP_NONE, of all. How many went. */
static uint32_t model_drop(struct model *m, uint32_t port, bool with_static)
{
	uint32_t gone = 0;

	for (uint32_t n = 0; n < MODEL_STATIONS; n++) {
		struct known *k = &m->known[n];

		if (!k->present || (k->is_static && !with_static) ||
			(port != FDB_HOP_NONE && k->port != port))
			continue;
		k->present = false;
		gone++;
	}
	return gone;
}

static void model_age(struct model *m)
{
	uint32_t gone = 0;

	for (uint32_t n = 0; n < MODEL_STATIONS; n++) {
		struct known *k = &m->known[n];

		if (!k->present || k->is_static || k->seen_s + MODEL_AGE_S >= m->now_s)
			continue;
		k->present = false;
		gone++;
	}
	assert_int_equal(age_all(m->fdb, m->now_s), gone);
}

static void model_step(struct model *m)
{
	uint32_t n = next_random(&m->random) % MODEL_STATIONS;
	uint32_t port = next_random(&m->random) % MODEL_PORTS;
	uint32_t dice = next_random(&m->random) % 1000;

	if (dice < 800)
		model_learn(m, n, port);
	else if (dice < 850)
		model_del(m, n);
	else if (dice < 880)
		model_add_static(m, n, port);
	else if (dice < 960)
		m->now_s++;
	else if (dice < 990)
		model_age(m);
	else if (dice < 994)
		assert_int_equal(fdb_flush(m->fdb, port), model_drop(m, port, false));
	else if (dice < 999)
		assert_int_equal(fdb_forget_port(m->fdb, port), model_drop(m, port, true));
	else
		assert_int_equal(
			fdb_flush(m->fdb, FDB_HOP_NONE), model_drop(m, FDB_HOP_NONE, false));
}

static void model_compare(const struct model *m)
{
	uint32_t found[MODEL_STATIONS];

	lookup_burst(m->fdb, m->key, found, MODEL_STATIONS);
	for (uint32_t n = 0; n < MODEL_STATIONS; n++)
		assert_int_equal(found[n], m->known[n].present ? m->known[n].port : FDB_HOP_NONE);
	for (uint32_t p = 0; p < MODEL_PORTS; p++)
		assert_int_equal(fdb_count(m->fdb, p), model_count(m, p, true));
	assert_int_equal(entries(m->fdb), model_entries(m));
}

static void model_compare_list(const struct model *m)
{
	uint32_t cursor = 0, listed = 0;
	struct fdb_entry e;

	while (cursor != FDB_CURSOR_END) {
		const struct known *k = NULL;

		if (!fdb_list(m->fdb, &cursor, &e, 1))
			continue;
		for (uint32_t n = 0; n < MODEL_STATIONS; n++)
			if (m->key[n] == e.key)
				k = &m->known[n];
		assert_non_null(k);
		assert_true(k->present);
		assert_int_equal(e.hop, k->port);
		assert_int_equal(e.kind, k->is_static ? FDB_STATIC : FDB_LEARNED);
		assert_int_equal(e.last_seen_s, k->seen_s);
		listed++;
	}
	assert_int_equal(listed, model_entries(m));
}

static void the_table_does_what_a_plain_array_would(void **state)
{
	struct model m = {
		.fdb = new_table(MODEL_LIMIT, MODEL_AGE_S),
		.random = UINT64_C(88172645463325252),
		.now_s = 1,
	};
	struct fdb_stats stats;
	uint32_t from = 0;

	(void)state;
	corner_keys(m.fdb, MODEL_CORNER, m.key, MODEL_STATIONS, &from);
	for (unsigned step = 0; step < MODEL_STEPS; step++) {
		model_step(&m);
		model_compare(&m);
		if (step % 64 == 0)
			model_compare_list(&m);
	}
	/* The walk has come by the limit often enough to mean something. */
	fdb_get_stats(m.fdb, &stats);
	assert_int_equal(stats.evicted, m.evicted);
	assert_in_range(m.evicted, MODEL_STEPS / 100, MODEL_STEPS);
	fdb_free(m.fdb);
}

/*
 * All threads at once, with more stations than the table holds, all of them in one corner of it, so
 * that slots change hands and entries change slots all the time. Station n is only ever learned at
 * two ports, which depend on n: whoever sees it at another one has seen what is said of another
 * key. The first few are static and must never be missed.
 */
#define CROWD         3072
#define CROWD_LIMIT   1792
#define CROWD_STATIC  256
#define CROWD_FLIPS   64  /* that follow, learned and static in turn */
#define CROWD_CORNER  682 /* buckets */
#define CROWD_LEARNS  150000
#define CROWD_MAX_NOW 1000000

struct crowd {
	struct fdb *fdb;
	fdb_key key[CROWD];
	_Atomic uint32_t now_s;
	atomic_bool done;
	_Atomic uint32_t wrong; /* what no thread may ever see */
	_Atomic uint32_t found;
};

static bool port_fits(uint32_t n, uint32_t port)
{
	if (n < CROWD_STATIC)
		return port == n % PORTS;
	return port == n % PORTS || port == (n + 1) % PORTS;
}

static void *learner(void *arg)
{
	static _Atomic uint64_t seeds = 1;
	uint64_t random = atomic_fetch_add(&seeds, 1) * UINT64_C(0x9e3779b97f4a7c15);
	struct crowd *c = arg;

	for (unsigned i = 0; i < CROWD_LEARNS; i++) {
		uint32_t n = next_random(&random) % CROWD;
		uint32_t port = (n + next_random(&random) % 2) % PORTS;
		uint32_t now_s = atomic_load(&c->now_s) - next_random(&random) % 2;
		enum fdb_learned what = fdb_learn(c->fdb, c->key[n], port, now_s);

		if (what == FDB_REFUSED && (n >= CROWD_STATIC + CROWD_FLIPS || port == n % PORTS))
			atomic_fetch_add(&c->wrong, 1);
		if (n < CROWD_STATIC && what != FDB_KNOWN && what != FDB_REFUSED &&
			what != FDB_BUSY)
			atomic_fetch_add(&c->wrong, 1);
	}
	return NULL;
}

/* As a worker: a burst at a time, all at one port. */
static void *burst_learner(void *arg)
{
	struct crowd *c = arg;
	uint64_t random = 55;
	fdb_key keys[32];

	for (unsigned i = 0; i < CROWD_LEARNS / 32; i++) {
		uint32_t port = next_random(&random) % PORTS;
		uint32_t now_s = atomic_load(&c->now_s) - next_random(&random) % 2;

		for (unsigned k = 0; k < 32; k++) {
			uint32_t n = next_random(&random) % (CROWD / PORTS) * PORTS + port;

			/* One whose first port it is, or the one before, whose second it is. */
			keys[k] = c->key[(n + CROWD - k % 2) % CROWD];
		}
		learn_burst(c->fdb, keys, 32, port, now_s);
	}
	return NULL;
}

static void check_found(struct crowd *c, uint32_t n, uint32_t port)
{
	if (port != FDB_HOP_NONE)
		atomic_fetch_add_explicit(&c->found, 1, memory_order_relaxed);
	else if (n >= CROWD_STATIC)
		return;
	if (!port_fits(n, port))
		atomic_fetch_add(&c->wrong, 1);
}

static int by_value(const void *a, const void *b)
{
	const fdb_key *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Whether what is listed was once so. */
static bool listing_fits(const struct crowd *c, const struct fdb_entry *e)
{
	const fdb_key *key = bsearch(&e->key, c->key, CROWD, sizeof(*c->key), by_value);
	uint32_t n = key ? (uint32_t)(key - c->key) : CROWD;

	if (!key || !port_fits(n, e->hop))
		return false;
	if (e->kind == FDB_STATIC)
		return n < CROWD_STATIC + CROWD_FLIPS && !e->last_seen_s;
	return n >= CROWD_STATIC && e->last_seen_s && e->last_seen_s <= CROWD_MAX_NOW;
}

static void check_list(struct crowd *c)
{
	struct fdb_entry e[16];
	uint32_t cursor = 0;

	while (cursor != FDB_CURSOR_END) {
		uint32_t got = fdb_list(c->fdb, &cursor, e, 16);

		for (uint32_t i = 0; i < got; i++)
			if (!listing_fits(c, &e[i]))
				atomic_fetch_add(&c->wrong, 1);
	}
}

static void *looker(void *arg)
{
	uint64_t random = 77;
	unsigned rounds = 0;
	struct crowd *c = arg;
	uint32_t who[32];
	fdb_key keys[32];
	uint32_t out[32];

	/* At least once: on a busy machine the learners may be done before this thread begins. */
	do {
		for (unsigned i = 0; i < 32; i++) {
			who[i] = next_random(&random) % (i % 2 ? CROWD : CROWD_STATIC);
			keys[i] = c->key[who[i]];
		}
		lookup_burst(c->fdb, keys, out, 32);
		for (unsigned i = 0; i < 32; i++)
			check_found(c, who[i], out[i]);
		for (unsigned i = 0; i < 32; i++)
			check_found(c, who[i], fdb_lookup(c->fdb, keys[i]));
		if (rounds++ % 4096 == 0)
			check_list(c);
	} while (!atomic_load(&c->done));
	return NULL;
}

static void flip(struct crowd *c, uint32_t n)
{
	if (fdb_add_static(c->fdb, c->key[n], n % PORTS, true))
		atomic_fetch_add(&c->wrong, 1);
}

static void *controller(void *arg)
{
	struct crowd *c = arg;
	uint64_t random = 99;

	while (!atomic_load(&c->done)) {
		uint32_t dice = next_random(&random) % 1024;
		uint32_t now_s = atomic_load(&c->now_s);

		check_list(c);
		if (dice == 0)
			fdb_flush(c->fdb, FDB_HOP_NONE);
		else if (dice < 8)
			fdb_flush(c->fdb, dice);
		else if (dice < 64)
			fdb_del(c->fdb, c->key[CROWD_STATIC + dice]);
		else if (dice < 128)
			flip(c, CROWD_STATIC + dice % CROWD_FLIPS);
		else if (now_s < CROWD_MAX_NOW)
			atomic_store(&c->now_s, now_s + 1);
		fdb_age(c->fdb, now_s);
	}
	return NULL;
}

static void no_thread_ever_sees_a_station_where_it_never_was(void **state)
{
	static struct crowd c;
	void *(*const run[])(void *) = {learner, learner, burst_learner, looker, controller};
	pthread_t thread[RW_ARRAY_SIZE(run)];
	uint32_t from = 0, in_all = 0;

	(void)state;
	c.fdb = new_table(CROWD_LIMIT, 100);
	c.now_s = 2;
	corner_keys(c.fdb, CROWD_CORNER, c.key, CROWD, &from);
	qsort(c.key, CROWD, sizeof(*c.key), by_value);
	for (uint32_t n = 0; n < CROWD_STATIC; n++)
		assert_int_equal(fdb_add_static(c.fdb, c.key[n], n % PORTS, true), 0);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(run); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run[i], &c), 0);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	pthread_join(thread[2], NULL);
	atomic_store(&c.done, true);
	pthread_join(thread[3], NULL);
	pthread_join(thread[4], NULL);
	for (uint32_t n = 0; n < CROWD_FLIPS; n++)
		fdb_del(c.fdb, c.key[CROWD_STATIC + n]);

	assert_int_equal(atomic_load(&c.wrong), 0);
	assert_true(atomic_load(&c.found) > 0);
	assert_int_equal(count_listed(c.fdb), entries(c.fdb));
	for (uint32_t p = 0; p < PORTS; p++)
		in_all += fdb_count(c.fdb, p);
	assert_int_equal(in_all, entries(c.fdb));
	assert_int_equal(fdb_flush(c.fdb, FDB_HOP_NONE), in_all - CROWD_STATIC);
	assert_int_equal(entries(c.fdb), CROWD_STATIC);
	fdb_free(c.fdb);
}

/*
 * A storm of writers over a few slots: each key has a next hop of its own, so a reader that takes
 * the value of another key sees a wrong one. Keys come, go, move to a port and back, and make room
 * for each other all the time.
 */
#define STORM_KEYS   64
#define STORM_CORNER 16 /* buckets, 48 slots */
#define STORM_WRITES 200000
#define STORM_HOP    1000

struct storm {
	struct fdb *fdb;
	fdb_key key[STORM_KEYS];
	atomic_bool done;
	_Atomic uint32_t wrong;
	_Atomic uint32_t hits;
};

static void *storm_adds(void *arg)
{
	uint64_t random = 11;
	struct storm *s = arg;

	for (unsigned i = 0; i < STORM_WRITES; i++) {
		uint32_t n = next_random(&random) % STORM_KEYS;

		if (next_random(&random) % 2)
			fdb_add_external(s->fdb, s->key[n], STORM_HOP + n, true);
		else
			fdb_del(s->fdb, s->key[n]);
	}
	atomic_store(&s->done, true);
	return NULL;
}

static void *storm_learns(void *arg)
{
	uint64_t random = 22;
	struct storm *s = arg;
	uint32_t now_s = 1;

	while (!atomic_load(&s->done)) {
		uint32_t port = next_random(&random) % PORTS;
		uint32_t n = next_random(&random) % (STORM_KEYS / PORTS) * PORTS + port;

		/* A new second each time, so that known entries are refreshed. */
		learn_burst(s->fdb, &s->key[n], 1, port, now_s++);
	}
	return NULL;
}

static void *storm_reads(void *arg)
{
	struct storm *s = arg;
	uint32_t hop[STORM_KEYS];
	uint32_t hits = 0;

	do {
		lookup_burst(s->fdb, s->key, hop, STORM_KEYS);
		for (uint32_t n = 0; n < STORM_KEYS; n++) {
			if (hop[n] == FDB_HOP_NONE)
				continue;
			hits++;
			if (hop[n] != STORM_HOP + n && hop[n] != n % PORTS)
				atomic_fetch_add(&s->wrong, 1);
		}
	} while (!atomic_load(&s->done));
	atomic_fetch_add(&s->hits, hits);
	return NULL;
}

static void a_reader_in_a_storm_of_writers_never_sees_half_an_entry(void **state)
{
	static struct storm s;
	void *(*const run[])(void *) = {storm_adds, storm_learns, storm_reads, storm_reads};
	pthread_t thread[RW_ARRAY_SIZE(run)];
	uint32_t from = 0;

	(void)state;
	s.fdb = new_table(STORM_KEYS, 300);
	corner_keys(s.fdb, STORM_CORNER, s.key, STORM_KEYS, &from);
	for (uint32_t n = 0; n < STORM_KEYS; n++)
		fdb_add_external(s.fdb, s.key[n], STORM_HOP + n, true);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(run); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run[i], &s), 0);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(run); i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&s.wrong), 0);
	assert_true(atomic_load(&s.hits) > 0);
	assert_int_equal(count_listed(s.fdb), entries(s.fdb));
	fdb_free(s.fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_does_what_a_plain_array_would),
		cmocka_unit_test(no_thread_ever_sees_a_station_where_it_never_was),
		cmocka_unit_test(a_reader_in_a_storm_of_writers_never_sees_half_an_entry),
	};

	return cmocka_run_group_tests_name("fdb under load", tests, NULL, NULL);
}
