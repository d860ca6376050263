/* SPDX-License-Identifier: BSD-3-Clause */
/* What ringway-bench prints and writes as JSON, for results whose numbers are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live.h"
#include "report.h"

static struct bench_options opt;
static struct bench_result result;
static struct search_outcome search;
static struct hosts_outcome hosts;

/* Two ports that sent 2 and 1 million frames of 100 bytes in a second; 1 % of all was lost. */
static int known(void **state)
{
	(void)state;
	opt = (struct bench_options){.sockets = {"/tmp/one", "/tmp/two"},
		.nports = 2,
		.pairs = 1,
		.ring_size = 256,
		.tx_ring_size = 128,
		.packed = true,
		.mergeable = true,
		.sizes = {{100, 1}},
		.nsizes = 1,
		.macs = 1,
		.flows = 1};
	memset(&result, 0, sizeof(result));
	result.seconds = 1;
	result.nports = 2;
	result.offered = 3e6;
	result.own_cycles = 55;
	result.lost = 30000;
	result.ports[0].sent = result.ports[1].expected = 2000000;
	result.ports[1].sent = result.ports[0].expected = 1000000;
	result.ports[0].received = 990000;
	result.ports[1].received = 1980000;
	for (int i = 0; i < 2; i++) {
		struct bench_port_result *p = &result.ports[i];

		p->sent_bytes = 100 * p->sent;
		p->received_bytes = 100 * p->received;
		result.sum.sent += p->sent;
		result.sum.sent_bytes += p->sent_bytes;
		result.sum.received += p->received;
		result.sum.received_bytes += p->received_bytes;
		result.sum.expected += p->expected;
	}
	search = (struct search_outcome){.rate = 2.5e6,
		.verified = true,
		.steps = {{0, 3e6, 2.97e6, 1, 0.01, false, false},
			{2.5e6, 2.5e6, 2.5e6, 1, 0, true, false}},
		.nsteps = 2};
	hosts = (struct hosts_outcome){
		.capacity = 1000, .steps = {{1000, 1000, 5e5}, {2000, 1500, 5e5}}, .nsteps = 2};
	return 0;
}

/* What a report writes; the caller frees it. */
static char *text_of(int (*write)(const struct report *, FILE *), const struct report *r)
{
	size_t size;
	char *text = NULL;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	assert_int_equal(write(r, to), 0);
	fclose(to);
	assert_non_null(text);
	return text;
}

static int print(const struct report *r, FILE *to)
{
	report_print(r, to);
	return 0;
}

static void holds(const char *text, const char *word)
{
	if (!text || !strstr(text, word))
		fail_msg("no \"%s\" in:\n%s", word, text ? text : "nothing");
}

static void the_table_has_each_port_and_the_sum(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	char *text = text_of(print, &r);

	(void)state;
	holds(text, "/tmp/one      2.000          0.990            0.792\n");
	holds(text, "/tmp/two      1.000          1.980            1.584\n");
	holds(text, "sum           3.000          2.970            2.376\n");
	holds(text, "lost 30000 of 3000000 frames (1 %)");
	holds(text, "55 cycles");
	holds(text, "packed rings of 256 (128 to send), mergeable");
	holds(text, "frames of 100 bytes without FCS (104 with it), pairs");
	assert_null(strstr(text, "LATENCY"));
	free(text);
}

static void idle_guests_are_named_beside_the_ports(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	char *text;

	(void)state;
	opt.idle = 62;
	text = text_of(print, &r);
	holds(text, "2 ports, 62 idle ones, 1 queue pair, packed");
	free(text);
}

static void latency_is_shown_when_there_is_some(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	char *text;

	(void)state;
	for (int i = 0; i < 1000; i++)
		rw_histogram_add(&result.latency, 2000);
	rw_histogram_add(&result.latency, 50000);
	text = text_of(print, &r);
	holds(text, "LATENCY us");
	holds(text, "1001 frames");
	holds(text, "50.00\n");
	free(text);
}

static void a_rate_that_is_small_is_not_rounded_away(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	char *text;

	(void)state;
	result.sum.sent = result.sum.received = 123;
	text = text_of(print, &r);
	holds(text, "0.000123");
	free(text);
}

static void a_search_shows_its_steps_and_what_it_found(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result, .search = &search};
	char *text;

	(void)state;
	opt.measure = BENCH_SEARCH;
	text = text_of(print, &r);
	holds(text, "max");
	holds(text, "1 %");
	holds(text, "highest rate without loss: 2.500000 Mpps, confirmed by a longer trial");
	free(text);
	search.verified = false;
	text = text_of(print, &r);
	holds(text, "not confirmed");
	assert_null(strstr(text, "fell short"));
	free(text);
	search.steps[1].fell_short = true;
	search.fell_short = 1;
	text = text_of(print, &r);
	holds(text, "2.500000 Mpps, not confirmed: in the longer trial the load fell short\n");
	holds(text, "the load fell short of the rate asked for in 1 of 2 trials\n");
	free(text);
	search.rate = 0;
	text = text_of(print, &r);
	holds(text, "none was found");
	free(text);
}

static void a_load_that_falls_short_of_its_rate_says_so(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	char *text;

	(void)state;
	result.asked = 3.1e6;
	text = text_of(print, &r);
	holds(text, "sent 3.000 M frames/s of the 3.100 M asked for");
	assert_null(strstr(text, "fell short"));
	free(text);
	result.asked = 5e6;
	text = text_of(print, &r);
	holds(text, "sent 3.000 M frames/s of the 5.000 M asked for");
	holds(text, "\nthe load fell short of the rate: ");
	free(text);
}

static void hosts_are_shown(void **state)
{
	const struct report r = {.opt = &opt, .hosts = &hosts};
	char *text;

	(void)state;
	opt.measure = BENCH_CAPACITY;
	text = text_of(print, &r);
	holds(text, "addresses remembered: 1000\n");
	free(text);
	hosts.at_least = true;
	text = text_of(print, &r);
	holds(text, "addresses remembered: at least 1000\n");
	free(text);
	opt.measure = BENCH_LEARNING;
	hosts.rate = 123456;
	text = text_of(print, &r);
	holds(text, "addresses learned a second: at least 123456\n");
	free(text);
}

static void what_is_wrong_is_one_line_and_losses_are_not(void **state)
{
	char line[256] = "untouched";

	(void)state;
	assert_false(report_fault(&result, line, sizeof(line)));
	assert_string_equal(line, "untouched");
	result.sum.reordered = 4;
	assert_true(report_fault(&result, line, sizeof(line)));
	holds(line, "4 frame(s) after a later one");
	result.sum.misplaced = 3;
	assert_true(report_fault(&result, line, sizeof(line)));
	holds(line, "3 frame(s) at a port");
	result.sum.duplicated = 2;
	assert_true(report_fault(&result, line, sizeof(line)));
	holds(line, "2 frame(s) more than once");
	result.sum.wrong = 1;
	assert_true(report_fault(&result, line, sizeof(line)));
	holds(line, "1 frame(s) with content");
	result.sum = (struct bench_port_result){.sent = 7};
	assert_false(report_fault(&result, line, sizeof(line)));
}

static json_t *json_of(const struct report *r)
{
	char *text = text_of(report_json, r);
	json_error_t err;
	json_t *root = json_loads(text, 0, &err);

	if (!root)
		fail_msg("no JSON (%s): %s", err.text, text);
	free(text);
	return root;
}

static void json_has_numbers_not_words(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	const char *measure, *pattern;
	double rate, bits, loss, cycles;
	json_t *root, *latency;
	int lost, sent, packed, ring, tx_ring;

	(void)state;
	root = json_of(&r);
	assert_int_equal(
		json_unpack(root,
			"{s:s, s:{s:b, s:i, s:i, s:s}, s:{s:F, s:F, s:F, s:i, s:F, s:{s:i}, s:o}}",
			"measure", &measure, "setup", "packed", &packed, "ring_size", &ring,
			"tx_ring_size", &tx_ring, "pattern", &pattern, "result", "frames_per_s",
			&rate, "bits_per_s", &bits, "loss", &loss, "lost", &lost,
			"own_cycles_per_frame", &cycles, "sum", "sent", &sent, "latency_ns",
			&latency),
		0);
	assert_string_equal(measure, "rate");
	assert_string_equal(pattern, "pairs");
	assert_true(packed && ring == 256 && tx_ring == 128);
	assert_true(rate == 2.97e6 && bits == 2.376e9 && loss == 0.01 && cycles == 55);
	assert_int_equal(lost, 30000);
	assert_int_equal(sent, 3000000);
	assert_true(json_is_null(latency));
	json_decref(root);
}

static void json_says_whether_the_load_fell_short(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	json_t *root, *asked;
	double rate;
	int fell_short;

	(void)state;
	root = json_of(&r);
	assert_int_equal(json_unpack(root, "{s:{s:o, s:b}}", "result", "asked_per_s", &asked,
				 "fell_short", &fell_short),
		0);
	assert_true(json_is_null(asked) && !fell_short);
	json_decref(root);
	result.asked = 5e6;
	root = json_of(&r);
	assert_int_equal(json_unpack(root, "{s:{s:F, s:b}}", "result", "asked_per_s", &rate,
				 "fell_short", &fell_short),
		0);
	assert_true(rate == 5e6 && fell_short);
	json_decref(root);
}

static void json_has_the_percentiles(void **state)
{
	const struct report r = {.opt = &opt, .trial = &result};
	int frames, p50, most, rare;
	json_t *root;

	(void)state;
	for (int i = 0; i < 998; i++)
		rw_histogram_add(&result.latency, 100);
	rw_histogram_add(&result.latency, 7000);
	rw_histogram_add(&result.latency, 9000);
	root = json_of(&r);
	assert_int_equal(json_unpack(root, "{s:{s:{s:i, s:i, s:i, s:i}}}", "result", "latency_ns",
				 "frames", &frames, "p50", &p50, "p99.9", &rare, "max", &most),
		0);
	assert_int_equal(frames, 1000);
	assert_int_equal(p50, 100);
	assert_in_range(rare, 7000, 7000 + 7000 / 64);
	assert_int_equal(most, 9000);
	json_decref(root);
}

static void json_has_the_steps_of_a_search(void **state)
{
	const struct report r = {.opt = &opt, .search = &search, .interrupted = true};
	int verified, limited, good, interrupted;
	json_t *root, *asked;
	double rate, loss;

	(void)state;
	opt.measure = BENCH_SEARCH;
	root = json_of(&r);
	assert_int_equal(json_unpack(root, "{s:b, s:{s:F, s:b, s:b, s:[{s:o, s:F, s:b}, {}]}}",
				 "interrupted", &interrupted, "search", "frames_per_s", &rate,
				 "verified", &verified, "load_limited", &limited, "steps",
				 "asked_per_s", &asked, "loss", &loss, "good", &good),
		0);
	assert_true(rate == 2.5e6 && loss == 0.01);
	assert_true(verified && !limited && !good && interrupted);
	assert_true(json_is_null(asked));
	assert_null(json_object_get(root, "result"));
	json_decref(root);
}

static void json_has_hosts(void **state)
{
	const struct report r = {.opt = &opt, .hosts = &hosts};
	int n, taught, known_ones;
	double rate;
	json_t *root;

	(void)state;
	opt.measure = BENCH_CAPACITY;
	root = json_of(&r);
	assert_int_equal(json_unpack(root, "{s:{s:i, s:[{s:i}, {s:i}]}}", "capacity", "stations",
				 &n, "steps", "taught", &taught, "known", &known_ones),
		0);
	assert_int_equal(n, 1000);
	assert_int_equal(taught, 1000);
	assert_int_equal(known_ones, 1500);
	json_decref(root);
	opt.measure = BENCH_LEARNING;
	hosts.rate = 5;
	root = json_of(&r);
	assert_int_equal(json_unpack(root, "{s:{s:F}}", "learning", "stations_per_s", &rate), 0);
	assert_true(rate == 5);
	json_decref(root);
}

static void the_live_line_has_the_rates_since_the_last_one(void **state)
{
	struct live_seen before = {0};
	char line[128];

	(void)state;
	live_line(line, sizeof(line), &before, &result);
	holds(line, "1.0 s  sent    3.000  received    2.970 Mpps    2.376 Gbit/s");
	before = (struct live_seen){.sum = result.sum, .seconds = result.seconds};
	result.seconds = 3;
	result.sum.sent += 4000000;
	result.sum.received += 2000000;
	result.sum.received_bytes += 200000000;
	live_line(line, sizeof(line), &before, &result);
	holds(line, "3.0 s  sent    2.000  received    1.000 Mpps    0.800 Gbit/s");
	result.sum.wrong = 5;
	live_line(line, sizeof(line), &before, &result);
	holds(line, "WRONG 5");
	result.seconds = 0;
	live_line(line, sizeof(line), &(struct live_seen){0}, &result);
	assert_string_equal(line, "warming up");
}

/* What `show` writes to standard error. The caller frees it. */
static char *stderr_of(void (*show)(void))
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	char *text = calloc(1, 4096);

	assert_non_null(file);
	assert_non_null(text);
	dup2(fileno(file), STDERR_FILENO);
	show();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	assert_true(fread(text, 1, 4095, file) > 0);
	fclose(file);
	return text;
}

static void show_two_trials(void)
{
	struct bench_result now = result;

	live_begin(true, 0);
	live_trial("trial %d", 1);
	bench_tick(&now);
	live_end();
	/* The second trial has come further, and fewer frames did. */
	now.seconds = 1.5;
	now.sum.sent = now.sum.received = 1500000;
	now.sum.received_bytes = 150000000;
	live_trial("trial %d", 2);
	bench_tick(&now);
	live_end();
}

static void the_live_line_of_a_trial_knows_nothing_of_the_one_before(void **state)
{
	char *text = stderr_of(show_two_trials);

	(void)state;
	assert_string_equal(text,
		"trial 1     1.0 s  sent    3.000  received    2.970 Mpps    2.376 Gbit/s\n"
		"trial 2     1.5 s  sent    1.000  received    1.000 Mpps    0.800 Gbit/s\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_table_has_each_port_and_the_sum, known),
		cmocka_unit_test_setup(idle_guests_are_named_beside_the_ports, known),
		cmocka_unit_test_setup(latency_is_shown_when_there_is_some, known),
		cmocka_unit_test_setup(a_rate_that_is_small_is_not_rounded_away, known),
		cmocka_unit_test_setup(a_search_shows_its_steps_and_what_it_found, known),
		cmocka_unit_test_setup(a_load_that_falls_short_of_its_rate_says_so, known),
		cmocka_unit_test_setup(hosts_are_shown, known),
		cmocka_unit_test_setup(what_is_wrong_is_one_line_and_losses_are_not, known),
		cmocka_unit_test_setup(json_has_numbers_not_words, known),
		cmocka_unit_test_setup(json_says_whether_the_load_fell_short, known),
		cmocka_unit_test_setup(json_has_the_percentiles, known),
		cmocka_unit_test_setup(json_has_the_steps_of_a_search, known),
		cmocka_unit_test_setup(json_has_hosts, known),
		cmocka_unit_test_setup(the_live_line_has_the_rates_since_the_last_one, known),
		cmocka_unit_test_setup(
			the_live_line_of_a_trial_knows_nothing_of_the_one_before, known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
