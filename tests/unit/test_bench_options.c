/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of ringway-bench: what is understood, and which line answers which mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "options.h"

#define WORDS_MAX 300

static struct bench_options got;
static char err[512];
static char words[4096]; /* what `got` points to */

/* Parse the words in `line`, which are separated by blanks. */
static int parse(const char *line)
{
	char *argv[WORDS_MAX + 1] = {"ringway-bench"}, *rest = words;
	int argc = 1;

	assert_true(strlen(line) < sizeof(words));
	strcpy(words, line);
	while (argc < WORDS_MAX && (argv[argc] = strsep(&rest, " ")))
		argc++;
	memset(&got, 0x5a, sizeof(got));
	strcpy(err, "(untouched)");
	return options_parse(argc, argv, &got, err, sizeof(err));
}

static void takes(const char *line)
{
	if (parse(line))
		fail_msg("%s: %s", line, err);
	assert_string_equal(err, "(untouched)");
}

/* `line` is a mistake; the one line about it holds `word`. */
static void refuses(const char *line, const char *word)
{
	static struct bench_options untouched;

	memset(&untouched, 0x5a, sizeof(untouched));
	if (parse(line) >= 0)
		fail_msg("accepted: %s", line);
	if (!strstr(err, word))
		fail_msg("%s\n  says     %s\n  without  %s", line, err, word);
	assert_null(strchr(err, '\n'));
	assert_memory_equal(&got, &untouched, sizeof(got));
}

static void two_sockets_are_enough(void **state)
{
	(void)state;
	takes("/tmp/a /tmp/b");
	assert_int_equal(got.nports, 2);
	assert_string_equal(got.sockets[0], "/tmp/a");
	assert_string_equal(got.sockets[1], "/tmp/b");
	assert_int_equal(got.measure, BENCH_RATE);
	assert_int_equal(got.pattern, BENCH_PAIRS);
	assert_int_equal(got.in_flight, 384);
	assert_int_equal(got.nsizes, 1);
	assert_int_equal(got.sizes[0].len, 64);
	assert_int_equal(got.pairs, 1);
	assert_int_equal(got.macs, 1);
	assert_int_equal(got.flows, 1);
	assert_int_equal(got.ring_size, 1024);
	assert_int_equal(got.tx_ring_size, 1024);
	assert_int_equal(got.cpu, -1);
	assert_true(got.mergeable && got.hugetlb && got.progress);
	assert_false(got.packed || got.in_order || got.tso || got.latency || got.json);
	assert_null(got.plot);
}

static void options_and_sockets_stand_in_any_order(void **state)
{
	(void)state;
	takes("--packed b --size 128 a --cpu=3 --plot x.svg --json --quiet --no-huge --in-order "
	      "--no-mergeable --pairs 4 --ring-size=256 --macs=7 --flows 9 --latency");
	assert_string_equal(got.sockets[0], "b");
	assert_string_equal(got.sockets[1], "a");
	assert_true(got.packed && got.json && got.in_order && got.latency);
	assert_false(got.progress || got.hugetlb || got.mergeable);
	assert_int_equal(got.cpu, 3);
	assert_string_equal(got.plot, "x.svg");
	assert_int_equal(got.sizes[0].len, 128);
	assert_int_equal(got.pairs, 4);
	assert_int_equal(got.ring_size, 256);
	assert_int_equal(got.tx_ring_size, 256);
	assert_int_equal(got.macs, 7);
	assert_int_equal(got.flows, 9);
	takes("-- --a --b");
	assert_string_equal(got.sockets[0], "--a");
}

static void help_and_version_end_it(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), OPTIONS_HELP);
	assert_int_equal(parse("a b -h"), OPTIONS_HELP);
	assert_int_equal(parse("--version"), OPTIONS_VERSION);
	assert_int_equal(parse("--he"), OPTIONS_HELP);
	assert_int_equal(parse("--version --help"), OPTIONS_VERSION);
	/* Whatever else is wrong. */
	assert_int_equal(parse("--bogus --help"), OPTIONS_HELP);
	assert_int_equal(parse("a a --rate=fast --pakced -h"), OPTIONS_HELP);
	assert_int_equal(parse("-x --he"), OPTIONS_HELP);
	refuses("--bogus -- --help", "--bogus");
	refuses("--bogus --version", "--bogus");
	refuses("a b --rate=fast --nonsense", "--rate=fast");
}

static void sizes_are_one_some_or_a_mix(void **state)
{
	(void)state;
	takes("a b --size=64,512,1518");
	assert_int_equal(got.nsizes, 3);
	assert_int_equal(got.sizes[1].len, 512);
	assert_int_equal(got.sizes[1].weight, 1);
	takes("a b --size=64:7,1518:3");
	assert_int_equal(got.nsizes, 2);
	assert_int_equal(got.sizes[0].weight, 7);
	assert_int_equal(got.sizes[1].weight, 3);
	takes("a b --size=imix");
	assert_int_equal(got.nsizes, 3);
	assert_int_equal(got.sizes[0].len, 64);
	assert_int_equal(got.sizes[0].weight, 7);
	assert_int_equal(got.sizes[1].len, 594);
	assert_int_equal(got.sizes[1].weight, 4);
	assert_int_equal(got.sizes[2].len, 1518);
	assert_int_equal(got.sizes[2].weight, 1);
	takes("a b --tso --size=65549");
	assert_true(got.tso && !got.convert);
	takes("a b --tso --convert --size=64,1518 --latency");
	assert_true(got.tso && got.convert);
}

static void wrong_sizes_are_named(void **state)
{
	(void)state;
	refuses("a b --size=59", "--size=59");
	refuses("a b --size=65550 --tso", "--size=65550");
	refuses("a b --size=4294967360", "--size=4294967360");
	refuses("a b --size=", "--size wants a value");
	refuses("a b --size=64,", "--size=64,");
	refuses("a b --size=64:0", "weight");
	refuses("a b --size=64:x", "weight");
	refuses("a b --size=64x", "\"x\"");
	refuses("a b --size=-64", "--size=-64");
	refuses("a b --size=64,64,64,64,64,64,64,64,64,64,64,64,64,64,64,64,64", "more than 16");
	refuses("a b --size=1519", "--tso");
	refuses("a b --size=64,9000", "9000");
	refuses("a b --tso --no-mergeable", "mergeable");
	refuses("a b --convert", "--tso");
	refuses("a b --tso --convert --size=64,9000", "one size");
	refuses("a b --tso --convert --size=9000 --latency", "time stamp");
}

static void sizes_may_count_the_fcs(void **state)
{
	(void)state;
	takes("a b --size-with-fcs=64,1518:3");
	assert_int_equal(got.nsizes, 2);
	assert_int_equal(got.sizes[0].len, 60);
	assert_int_equal(got.sizes[1].len, 1514);
	assert_int_equal(got.sizes[1].weight, 3);
	takes("a b --size-with-fcs=imix");
	assert_int_equal(got.sizes[1].len, 590);
	takes("a b --size-with-fcs=1522");
	refuses("a b --size-with-fcs=63",
		"--size-with-fcs=63: give sizes from 64 to 65553 bytes (with FCS)");
	refuses("a b --size=59", "give sizes from 60 to 65549 bytes (without FCS)");
	refuses("a b --size-with-fcs=64:0", "--size-with-fcs=64:0: a weight");
	refuses("a b --size-with-fcs=1523", "--tso");
	refuses("a b --size=64 --size-with-fcs=64", "--size and --size-with-fcs");
	refuses("a b c --capacity --size-with-fcs=64", "--size-with-fcs says nothing about");
}

static void rates_have_suffixes(void **state)
{
	(void)state;
	takes("a b --rate=250000");
	assert_true(got.rate == 250000);
	assert_int_equal(got.in_flight, 0);
	takes("a b --rate=250k");
	assert_true(got.rate == 250000);
	takes("a b --rate=2.5M");
	assert_true(got.rate == 2500000);
	takes("a b --rate=max");
	assert_true(got.rate == 0);
	assert_int_equal(got.in_flight, 0);
	refuses("a b --rate=0", "--rate=0");
	takes("a b --rate=1e6");
	assert_true(got.rate == 1e6);
	takes("a b --rate=1.5E+3k");
	assert_true(got.rate == 1.5e6);
	refuses("a b --rate=1e", "--rate=1e");
	refuses("a b --rate=e6", "--rate=e6");
	refuses("a b --rate=1e-6", "--rate=1e-6");
	refuses("a b --rate=1e400", "--rate=1e400");
	refuses("a b --rate=1e6x", "--rate=1e6x");
	refuses("a b --rate=0x10", "--rate=0x10");
	refuses("a b --rate=5G", "--rate=5G");
	refuses("a b --rate=-5", "--rate=-5");
	refuses("a b --rate=inf", "--rate=inf");
	refuses("a b --rate=1.2.3", "--rate=1.2.3");
	refuses("a b --rate=2000M", "--rate=2000M");
}

static void fractions_may_be_percentages(void **state)
{
	(void)state;
	takes("a b --search --loss=0.1% --precision=0.05");
	assert_int_equal(got.measure, BENCH_SEARCH);
	assert_int_equal(got.in_flight, 0);
	assert_true(got.loss > 0.00099 && got.loss < 0.00101);
	assert_true(got.precision == 0.05);
	takes("a b --search --loss=1e-3 --precision=.5%");
	assert_true(got.loss == 0.001);
	assert_true(got.precision == 0.005);
	refuses("a b --search --loss=1", "--loss=1");
	refuses("a b --search --loss=100%", "--loss=100%");
	refuses("a b --search --loss=nan", "--loss=nan");
	refuses("a b --search --precision=0", "--precision=0");
}

static void numbers_have_bounds(void **state)
{
	(void)state;
	refuses("a b --pairs=0", "--pairs=0");
	refuses("a b --pairs=1000", "--pairs=1000");
	refuses("a b --ring-size=100", "power of two");
	refuses("a b --ring-size=32", "--ring-size=32");
	refuses("a b --ring-size=65536", "--ring-size=65536");
	refuses("a b --tx-ring-size=96", "--tx-ring-size=96");
	refuses("a b --in-flight=200 --tx-ring-size=128", "--tx-ring-size");
	refuses("a b --in-flight=200 --ring-size=128 --tx-ring-size=256", "larger --ring-size");
	refuses("a b --macs=0", "--macs=0");
	refuses("a b --flows=many", "--flows=many");
	refuses("a b --seconds=0", "--seconds=0");
	refuses("a b --warm-up=-1", "--warm-up=-1");
	refuses("a b --cpu=first", "--cpu=first");
	refuses("a b --in-flight=0", "--in-flight=0");
	refuses("a b --in-flight=2000 --ring-size=1024", "ring");
	takes("a b --seconds=0.05 --warm-up=0");
	assert_true(got.seconds == 0.05);
	assert_true(got.warm_up == 0);
	takes("a b --seconds=.2 --warm-up=1.");
	assert_true(got.seconds == 0.2);
	assert_true(got.warm_up == 1);
	refuses("a b --seconds=.", "--seconds=.");
	refuses("a b --seconds=+1", "--seconds=+1");
	refuses("a b --seconds=1e9", "--seconds=1e9");
}

static void words_that_are_no_options_are_named(void **state)
{
	(void)state;
	refuses("a b --nonsense", "--nonsense");
	refuses("--nonsense a b", "--nonsense");
	refuses("a -x b", "-x");
	refuses("a b --packed=1", "--packed takes no value");
	refuses("a b --rate", "--rate wants a value: --rate=PPS");
	refuses("a b --size=64 --size=128", "--size is given twice");
	refuses("a b --pattern=ring", "--pattern=ring");
	refuses("a b --size=6\n4", "--size=6?4");
}

static void near_misses_are_suggested(void **state)
{
	(void)state;
	refuses("a b --pakced", "unknown option --pakced: did you mean --packed?");
	refuses("a b --sizes=64", "unknown option --sizes=64: did you mean --size?");
	refuses("a b --capcity", "did you mean --capacity?");
	refuses("a b --nonsense", "unknown option --nonsense (see --help)");
	refuses("a b ---", "unknown option ---");
}

static void beginnings_of_options_are_enough_unless_several_begin_so(void **state)
{
	(void)state;
	takes("a b --pack --in-o --sec=1 --tx=128");
	assert_true(got.packed && got.in_order);
	assert_true(got.seconds == 1);
	assert_int_equal(got.tx_ring_size, 128);
	takes("a b --size=128");
	assert_int_equal(got.sizes[0].len, 128);
	refuses("a b --pa=2", "--pa is ambiguous: --packed, --pairs, --pattern");
	refuses("a b --in", "--in is ambiguous: --in-order, --in-flight");
}

static void sockets_are_checked(void **state)
{
	char line[400];

	(void)state;
	refuses("--packed", "no socket");
	refuses("a", "two or more");
	refuses("a b a", "a is given twice");
	snprintf(line, sizeof(line), "a /%0200d", 0);
	refuses(line, "at most 107 bytes");
	refuses("a b c", "even number");
	takes("a b c --pattern=random");
	assert_int_equal(got.nports, 3);
	assert_int_equal(got.pattern, BENCH_RANDOM);
}

static void at_most_256_sockets(void **state)
{
	char line[4096];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < 256; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%d", i ? " " : "", i);
	takes(line);
	assert_int_equal(got.nports, 256);
	strcpy(line + len, " x y");
	refuses(line, "more than 256");
}

static void the_last_sockets_are_of_idle_guests(void **state)
{
	(void)state;
	takes("a b c d e --idle=3");
	assert_int_equal(got.nports, 2);
	assert_int_equal(got.idle, 3);
	assert_string_equal(got.sockets[4], "e");
	takes("a b");
	assert_int_equal(got.idle, 0);
	refuses("a b --idle=0", "--idle=0");
	refuses("a b --idle=255", "--idle=255");
	refuses("a b c --idle=2", "--idle=2");
	refuses("a --idle=254", "--idle=254");
	refuses("a b c d --idle=1", "even number of ports, not 3");
	refuses("a b c --capacity --idle=1", "three ports");
}

static void what_circulates_has_room_in_a_ring(void **state)
{
	(void)state;
	takes("a b --ring-size=128");
	assert_int_equal(got.in_flight, 64);
	takes("a b --tso --size=64,65549");
	assert_in_range(got.in_flight, 8, 31); /* of 33 buffers each, in 1024 */
	takes("a b --tso --convert --size=65549");
	assert_int_equal(got.in_flight, 11); /* of 46 segments each */
	takes("a b --tx-ring-size=128");
	assert_int_equal(got.ring_size, 1024);
	assert_int_equal(got.in_flight, 128);
	takes("a b --tso --size=65549 --ring-size=64");
	assert_int_equal(got.in_flight, 1);
	takes("a b --in-flight=7 --ring-size=64");
	assert_int_equal(got.in_flight, 7);
}

static void contradictions_are_refused(void **state)
{
	(void)state;
	refuses("a b --in-flight=5 --rate=max", "--in-flight and --rate");
	refuses("a b --search --in-flight=5", "--in-flight says nothing about --search");
	refuses("a b c --search --capacity", "--search and --capacity");
	refuses("a b --loss=0.1", "--loss goes with --search");
	refuses("a b --capacity", "three ports");
	refuses("a b --learning", "three ports");
	refuses("a b c --capacity --latency", "--latency says nothing about --capacity");
	refuses("a b c --learning --size=64", "--size says nothing about --learning");
}

static void hosts_have_numbers_of_their_own(void **state)
{
	(void)state;
	takes("a b c --capacity");
	assert_int_equal(got.measure, BENCH_CAPACITY);
	assert_int_equal(got.macs, 1 << 20);
	takes("a b c --learning");
	assert_int_equal(got.measure, BENCH_LEARNING);
	assert_int_equal(got.macs, 1000);
	takes("a b c --learning --macs=50 --rate=1k");
	assert_int_equal(got.macs, 50);
	assert_true(got.rate == 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sockets_are_enough),
		cmocka_unit_test(options_and_sockets_stand_in_any_order),
		cmocka_unit_test(help_and_version_end_it),
		cmocka_unit_test(sizes_are_one_some_or_a_mix),
		cmocka_unit_test(wrong_sizes_are_named),
		cmocka_unit_test(sizes_may_count_the_fcs),
		cmocka_unit_test(rates_have_suffixes),
		cmocka_unit_test(fractions_may_be_percentages),
		cmocka_unit_test(numbers_have_bounds),
		cmocka_unit_test(words_that_are_no_options_are_named),
		cmocka_unit_test(near_misses_are_suggested),
		cmocka_unit_test(beginnings_of_options_are_enough_unless_several_begin_so),
		cmocka_unit_test(sockets_are_checked),
		cmocka_unit_test(at_most_256_sockets),
		cmocka_unit_test(the_last_sockets_are_of_idle_guests),
		cmocka_unit_test(what_circulates_has_room_in_a_ring),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(hosts_have_numbers_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
