/* SPDX-License-Identifier: BSD-3-Clause */
/* The searches of ringway-bench against made-up back-ends, whose limits are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"
#include "rw_base.h"
#include "search.h"

/* A back-end that forwards so many frames a second and loses what is above. */
struct back_end {
	double capacity;  /* frames a second */
	double load;      /* that can be sent at most */
	double base_loss; /* fraction that is lost at any rate */
	double worse;     /* seconds: longer trials forward only worse_at */
	double worse_at;  /* frames a second */
	int fail_at;      /* number of the trial that fails; 0: none */
	int stall_at;     /* number of the trial in which the load hardly runs; 0: none */
	int stalls;       /* trials that stall, from that one on */
	int trials;
};

static struct search_outcome found;
static struct bench_result last;

static int trial(void *arg, const struct bench_trial *t, struct bench_result *r)
{
	struct back_end *b = arg;
	double rate = t->rate > 0 ? fmin(t->rate, b->load) : b->load;
	double got = fmin(rate, b->capacity) * (1 - b->base_loss);

	if (++b->trials == b->fail_at)
		return -ECONNRESET;
	if (b->trials == b->stall_at ||
		(b->trials > b->stall_at && b->trials < b->stall_at + b->stalls)) {
		rate /= 100;
		got = rate / 2;
	}
	if (b->worse > 0 && t->seconds > b->worse && rate > b->worse_at)
		got = b->worse_at;
	r->seconds = t->seconds;
	r->offered = rate;
	r->sum.sent = r->sum.expected = (uint64_t)(rate * t->seconds);
	r->sum.received = (uint64_t)(got * t->seconds);
	r->lost = r->sum.expected - r->sum.received;
	return 0;
}

static int search(struct back_end *b, double loss, double precision)
{
	const struct search_config cfg = {
		.seconds = 1, .loss = loss, .precision = precision, .trial = trial, .arg = b};

	memset(&found, 0x5a, sizeof(found));
	return search_run(&cfg, &found, &last);
}

static void the_highest_rate_without_loss_is_found(void **state)
{
	static const double capacities[] = {1000, 54321, 1e6, 7.3e6, 19.9e6};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct back_end b = {.capacity = capacities[i], .load = 20e6};

		assert_int_equal(search(&b, 0, 0.01), 0);
		assert_true(found.verified);
		assert_false(found.load_limited);
		assert_true(found.rate <= b.capacity && found.rate >= b.capacity * 0.985);
		assert_int_equal(last.lost, 0);
		assert_true(last.seconds == SEARCH_LONGER);
		assert_int_equal(b.trials, found.nsteps);
		assert_true(found.nsteps < 20);
	}
}

static void a_finer_search_comes_closer(void **state)
{
	struct back_end b = {.capacity = 1234567, .load = 20e6};

	(void)state;
	assert_int_equal(search(&b, 0, 0.0005), 0);
	assert_true(found.rate <= b.capacity && found.rate >= b.capacity * 0.999);
}

static void a_back_end_that_keeps_up_is_limited_by_the_load(void **state)
{
	struct back_end b = {.capacity = 30e6, .load = 20e6};

	(void)state;
	assert_int_equal(search(&b, 0, 0.01), 0);
	assert_true(found.load_limited && found.verified);
	assert_true(found.rate == 20e6);
	assert_int_equal(found.nsteps, 2);
}

static void the_search_begins_at_the_rate_asked_for(void **state)
{
	struct back_end b = {.capacity = 30e6, .load = 20e6};
	const struct search_config cfg = {
		.highest = 5e6, .seconds = 1, .precision = 0.01, .trial = trial, .arg = &b};

	(void)state;
	assert_int_equal(search_run(&cfg, &found, &last), 0);
	assert_true(found.steps[0].asked == 5e6);
	assert_true(found.rate == 5e6 && found.load_limited);
}

static void what_always_loses_has_no_rate(void **state)
{
	struct back_end b = {.capacity = 10e6, .load = 20e6, .base_loss = 0.02};

	(void)state;
	assert_int_equal(search(&b, 0, 0.01), 0);
	assert_true(found.rate == 0);
	assert_false(found.verified || found.load_limited);
	assert_true(found.nsteps < SEARCH_MAX_STEPS);
}

static void a_loss_that_is_allowed_counts_as_none(void **state)
{
	struct back_end b = {.capacity = 10e6, .load = 20e6, .base_loss = 0.02};

	(void)state;
	assert_int_equal(search(&b, 0.03, 0.01), 0);
	assert_true(found.verified);
	assert_true(found.rate > 9.9e6 && found.rate < 10.2e6);
}

static void a_rate_that_fails_the_longer_trial_is_lowered(void **state)
{
	struct back_end b = {.capacity = 10e6, .load = 20e6, .worse = 2, .worse_at = 8e6};

	(void)state;
	assert_int_equal(search(&b, 0, 0.01), 0);
	assert_true(found.verified);
	assert_true(found.rate <= 8e6 && found.rate > 7e6);
	assert_false(found.load_limited);
	assert_true(last.offered == found.rate);
}

static void the_number_of_trials_is_bounded(void **state)
{
	/* No longer trial ever succeeds. */
	struct back_end b = {.capacity = 10e6, .load = 20e6, .worse = 2, .worse_at = 0};

	(void)state;
	assert_int_equal(search(&b, 0, 0.0001), 0);
	assert_false(found.verified);
	assert_true(found.nsteps <= SEARCH_MAX_STEPS);
}

static void a_noisy_back_end_does_not_keep_it_busy(void **state)
{
	(void)state;
	srand(4711);
	for (int i = 0; i < 200; i++) {
		struct back_end b = {.capacity = 1e6 + rand() % 10000000,
			.load = 20e6,
			.worse = rand() % 2 ? 2 : 0,
			.worse_at = 1e3 + rand() % 10000000};

		assert_int_equal(search(&b, 0, 0.01), 0);
		assert_true(found.nsteps <= SEARCH_MAX_STEPS);
		assert_true(found.rate <= b.capacity);
		if (found.verified && b.worse > 0 && b.worse_at < b.capacity)
			assert_true(found.rate <= b.worse_at);
	}
}

static void a_trial_in_which_the_load_stalled_is_repeated(void **state)
{
	(void)state;
	for (int i = 2; i < 6; i++) {
		struct back_end b = {.capacity = 7.3e6, .load = 20e6, .stall_at = i};

		assert_int_equal(search(&b, 0, 0.01), 0);
		assert_true(found.verified);
		assert_true(found.rate <= 7.3e6 && found.rate >= 7.3e6 * 0.985);
	}
}

static void a_longer_trial_in_which_the_load_stalled_confirms_nothing(void **state)
{
	/* The first trial is the short one, both longer ones stall. */
	struct back_end b = {.capacity = 30e6, .load = 20e6, .stall_at = 2, .stalls = 2};

	(void)state;
	assert_int_equal(search(&b, 0.6, 0.01), 0);
	assert_int_equal(found.nsteps, 3);
	assert_true(found.rate == 20e6);
	assert_false(found.verified);
	assert_int_equal(found.fell_short, 2);
	assert_true(found.steps[1].fell_short && found.steps[1].good);
	assert_true(last.offered == 20e6 && last.seconds == 1);
}

/* What the load can send fades from trial to trial; the back-end forwards half of the first. */
static int fading_trial(void *arg, const struct bench_trial *t, struct bench_result *r)
{
	static const double loads[] = {20e6, 9e6, 2e6};
	struct back_end b = {.capacity = 10e6};
	unsigned *trials = arg;

	b.load = loads[RW_MIN(*trials, 2u)];
	++*trials;
	return trial(&b, t, r);
}

static void of_two_trials_the_one_that_came_closer_to_the_rate_counts(void **state)
{
	unsigned trials = 0;
	const struct search_config cfg = {
		.seconds = 1, .precision = 0.01, .trial = fading_trial, .arg = &trials};

	(void)state;
	assert_int_equal(search_run(&cfg, &found, &last), 0);
	assert_true(found.steps[0].loss > 0 && found.steps[1].fell_short);
	assert_true(found.rate == 9e6 && last.offered == 9e6);
	assert_false(found.verified);
}

static void a_load_falls_short_by_a_burst_and_five_percent(void **state)
{
	(void)state;
	assert_false(search_fell_short(0, 1, 1));
	assert_false(search_fell_short(1e6, 0.96e6, 1));
	assert_true(search_fell_short(1e6, 0.94e6, 1));
	assert_false(search_fell_short(100, 70, 1)); /* 30 frames are missing */
	assert_true(search_fell_short(100, 60, 1));
	assert_true(search_fell_short(100, 70, 2));
}

static void a_failed_trial_ends_it_with_the_steps_so_far(void **state)
{
	struct back_end b = {.capacity = 10e6, .load = 20e6, .fail_at = 3};

	(void)state;
	assert_int_equal(search(&b, 0, 0.01), -ECONNRESET);
	assert_int_equal(found.nsteps, 2);
	assert_false(found.verified);
}

static void a_load_that_sends_nothing_finds_nothing(void **state)
{
	struct back_end b = {.capacity = 10e6, .load = 0};

	(void)state;
	assert_int_equal(search(&b, 0, 0.01), 0);
	assert_true(found.rate == 0);
	assert_false(found.verified || found.load_limited);
}

/* A table: what it holds is hosts [first, first + n), as they come. */
struct table {
	uint32_t room;
	double fastest; /* hosts a second that it learns */
	double load;    /* that can be taught at most */
	uint32_t flaky; /* one trial of so many misses a host */
	uint32_t trials;
	uint32_t highest; /* host ever taught */
	int fail_at;
};

static int table_trial(void *arg, uint32_t first, uint32_t n, double *rate, uint32_t *known)
{
	struct table *t = arg;

	if ((int)++t->trials == t->fail_at)
		return -EINTR;
	*rate = *rate > 0 ? fmin(*rate, t->load) : t->load;
	*known = *rate > t->fastest ? (uint32_t)(n * t->fastest / *rate) : n;
	if (first + *known > t->room)
		*known = first > t->room ? 0 : t->room - first;
	if (t->flaky && t->trials % t->flaky == 0 && *known)
		--*known;
	t->highest = first + n;
	return 0;
}

static struct hosts_outcome learned;

static void the_room_of_a_table_is_found(void **state)
{
	static const uint32_t rooms[] = {1, 63, 64, 65, 1000, 65536, 1000000};

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		struct table t = {.room = rooms[i], .fastest = 1e9, .load = 1e6};
		const struct hosts_config cfg = {.most = 2000000, .trial = table_trial, .arg = &t};

		assert_int_equal(hosts_capacity(&cfg, &learned), 0);
		assert_int_equal(learned.capacity, rooms[i]);
		assert_false(learned.at_least);
	}
}

static void less_precision_needs_fewer_trials(void **state)
{
	struct table exact = {.room = 60000, .fastest = 1e9, .load = 1e6}, rough = exact;
	struct hosts_config cfg = {.most = 2000000, .trial = table_trial, .arg = &exact};

	(void)state;
	assert_int_equal(hosts_capacity(&cfg, &learned), 0);
	cfg.precision = 0.05;
	cfg.arg = &rough;
	assert_int_equal(hosts_capacity(&cfg, &learned), 0);
	assert_in_range(learned.capacity, 57000, 60000);
	assert_true(rough.trials < exact.trials);
}

static void a_table_with_more_room_than_was_tried_is_said_so(void **state)
{
	struct table t = {.room = 1000, .fastest = 1e9, .load = 1e6};
	const struct hosts_config cfg = {.most = 700, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_capacity(&cfg, &learned), 0);
	assert_int_equal(learned.capacity, 700);
	assert_true(learned.at_least);
	assert_int_equal(t.highest, 700);
}

static void a_frame_lost_once_is_not_a_full_table(void **state)
{
	struct table t = {.room = 5000, .fastest = 1e9, .load = 1e6, .flaky = 3};
	const struct hosts_config cfg = {.most = 100000, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_capacity(&cfg, &learned), 0);
	assert_int_equal(learned.capacity, 5000);
}

/* Once too many were taught, it gives up one of them for each that it takes back. */
static int evicting_trial(void *arg, uint32_t first, uint32_t n, double *rate, uint32_t *known)
{
	struct table *t = arg;

	t->highest = RW_MAX(t->highest, first + n);
	*rate = t->load;
	*known = n > t->room ? t->room : n;
	if (t->highest > t->room && *known == n)
		--*known;
	return 0;
}

static void what_a_table_knew_of_too_many_counts(void **state)
{
	struct table t = {.room = 65535, .load = 1e6};
	const struct hosts_config cfg = {.most = 131072, .trial = evicting_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_capacity(&cfg, &learned), 0);
	assert_int_equal(learned.capacity, 65535);
	assert_false(learned.at_least);
}

static void a_table_that_learns_nothing_has_no_room(void **state)
{
	struct table t = {.room = 0, .fastest = 1e9, .load = 1e6};
	const struct hosts_config cfg = {.most = 1000, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_capacity(&cfg, &learned), 0);
	assert_int_equal(learned.capacity, 0);
	assert_false(learned.at_least);
}

static void the_rate_of_learning_is_found_with_new_hosts_each_time(void **state)
{
	struct table t = {.room = 1000000, .fastest = 123456, .load = 5e6};
	const struct hosts_config cfg = {
		.most = 500, .precision = 0.01, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_learning(&cfg, &learned), 0);
	assert_true(learned.rate <= 123456 && learned.rate > 123456 * 0.98);
	assert_false(learned.at_least);
	assert_int_equal(t.highest, 500 * learned.nsteps);
}

static void a_table_that_learns_faster_than_it_is_taught_is_said_so(void **state)
{
	struct table t = {.room = 1000000, .fastest = 1e9, .load = 5e6};
	const struct hosts_config cfg = {
		.most = 500, .precision = 0.01, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_learning(&cfg, &learned), 0);
	assert_true(learned.rate == 5e6 && learned.at_least);
	assert_int_equal(learned.nsteps, 1);
}

static void a_table_that_learns_at_no_rate_ends_it(void **state)
{
	struct table t = {.room = 0, .fastest = 1e9, .load = 5e6};
	const struct hosts_config cfg = {
		.most = 500, .precision = 0.01, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_learning(&cfg, &learned), 0);
	assert_true(learned.rate == 0);
	assert_true(learned.nsteps < HOSTS_MAX_STEPS);
}

static void a_failure_ends_the_search_for_hosts(void **state)
{
	struct table t = {.room = 1000, .fastest = 1e9, .load = 5e6, .fail_at = 3};
	const struct hosts_config cfg = {.most = 5000, .trial = table_trial, .arg = &t};

	(void)state;
	assert_int_equal(hosts_capacity(&cfg, &learned), -EINTR);
	assert_int_equal(learned.nsteps, 2);
	assert_int_equal(learned.capacity, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_rate_without_loss_is_found),
		cmocka_unit_test(a_finer_search_comes_closer),
		cmocka_unit_test(a_back_end_that_keeps_up_is_limited_by_the_load),
		cmocka_unit_test(the_search_begins_at_the_rate_asked_for),
		cmocka_unit_test(what_always_loses_has_no_rate),
		cmocka_unit_test(a_loss_that_is_allowed_counts_as_none),
		cmocka_unit_test(a_rate_that_fails_the_longer_trial_is_lowered),
		cmocka_unit_test(the_number_of_trials_is_bounded),
		cmocka_unit_test(a_noisy_back_end_does_not_keep_it_busy),
		cmocka_unit_test(a_trial_in_which_the_load_stalled_is_repeated),
		cmocka_unit_test(a_longer_trial_in_which_the_load_stalled_confirms_nothing),
		cmocka_unit_test(of_two_trials_the_one_that_came_closer_to_the_rate_counts),
		cmocka_unit_test(a_load_falls_short_by_a_burst_and_five_percent),
		cmocka_unit_test(a_failed_trial_ends_it_with_the_steps_so_far),
		cmocka_unit_test(a_load_that_sends_nothing_finds_nothing),
		cmocka_unit_test(the_room_of_a_table_is_found),
		cmocka_unit_test(less_precision_needs_fewer_trials),
		cmocka_unit_test(a_table_with_more_room_than_was_tried_is_said_so),
		cmocka_unit_test(a_frame_lost_once_is_not_a_full_table),
		cmocka_unit_test(a_table_that_learns_nothing_has_no_room),
		cmocka_unit_test(what_a_table_knew_of_too_many_counts),
		cmocka_unit_test(the_rate_of_learning_is_found_with_new_hosts_each_time),
		cmocka_unit_test(a_table_that_learns_faster_than_it_is_taught_is_said_so),
		cmocka_unit_test(a_table_that_learns_at_no_rate_ends_it),
		cmocka_unit_test(a_failure_ends_the_search_for_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
