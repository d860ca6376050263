/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of ringwayd: what is understood, and which line answers which mistake. */
#include "options_fixture.h"

#include <sched.h>
#include <unistd.h>

static void one_socket_path_is_enough(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/vm1.sock");
	assert_int_equal(got.nports, 1);
	assert_string_equal(got.ports[0].name, "vm1");
	assert_string_equal(got.ports[0].path, "/tmp/vm1.sock");
	assert_int_equal(got.ports[0].mode, OPTIONS_SERVER);
	assert_int_equal(got.ports[0].fd, -1);
	assert_int_equal(got.ncpus, 1);
	assert_true(got.control_is_default);
	assert_true(strlen(got.control) > 0);
	assert_string_equal(got.pidfile, "");
	assert_false(got.no_huge);
	assert_int_equal(got.log_level, RW_LOG_INFO);
	assert_int_equal(got.fdb_size, 65536);
	assert_int_equal(got.fdb_age_s, 300);
}

static void queues_are_balanced_when_asked(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/vm1.sock");
	assert_int_equal(got.balance_s, 0);
	takes("--socket-path=/tmp/vm1.sock --balance=off");
	assert_int_equal(got.balance_s, 0);
	takes("--socket-path=/tmp/vm1.sock --balance auto");
	assert_int_equal(got.balance_s, 10);
	takes("--socket-path=/tmp/vm1.sock --balance=auto,3");
	assert_int_equal(got.balance_s, 3);
	refuses("--socket-path=/tmp/vm1.sock --balance=auto,0", "--balance=auto,0: choose off");
	refuses("--socket-path=/tmp/vm1.sock --balance=auto,", "--balance=auto,");
	refuses("--socket-path=/tmp/vm1.sock --balance=auto,86401", "1 to 86400");
	refuses("--socket-path=/tmp/vm1.sock --balance=always", "--balance=always");
	refuses("--socket-path=/tmp/vm1.sock --balance=off --balance=off", "twice");
}

static void every_option_is_understood_in_both_spellings(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/a --control=/tmp/c --pidfile=/tmp/p --no-huge "
	      "--log-level=debug --fdb-size=16777216 --fdb-age=0 --port=b,socket=/tmp/b");
	assert_int_equal(got.nports, 2);
	assert_string_equal(got.control, "/tmp/c");
	assert_false(got.control_is_default);
	assert_string_equal(got.pidfile, "/tmp/p");
	assert_true(got.no_huge);
	assert_int_equal(got.log_level, RW_LOG_DEBUG);
	assert_int_equal(got.fdb_size, 1u << 24);
	assert_int_equal(got.fdb_age_s, 0);
	takes("--socket-path /tmp/a --control /tmp/c --pidfile /tmp/p --no-huge "
	      "--log-level error --fdb-size 1 --fdb-age 1000000 --port b,socket=/tmp/b");
	assert_int_equal(got.nports, 2);
	assert_string_equal(got.control, "/tmp/c");
	assert_string_equal(got.pidfile, "/tmp/p");
	assert_int_equal(got.log_level, RW_LOG_ERROR);
	assert_int_equal(got.fdb_size, 1);
	assert_int_equal(got.fdb_age_s, 1000000);
}

static void workers_sleep_unless_they_shall_spin(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/a");
	assert_int_equal(got.idle, SW_IDLE_ADAPTIVE);
	takes("--socket-path=/tmp/a --idle=spin");
	assert_int_equal(got.idle, SW_IDLE_SPIN);
	takes("--socket-path=/tmp/a --idle adaptive");
	assert_int_equal(got.idle, SW_IDLE_ADAPTIVE);
	refuses("--socket-path=/tmp/a --idle=doze", "--idle=doze: choose spin or adaptive");
	refuses("--socket-path=/tmp/a --idle", "--idle wants a value");
}

static void a_path_holds_107_bytes(void **state)
{
	char path[160], line[512];

	(void)state;
	memset(path, 'x', sizeof(path));
	memcpy(path, "/tmp/", 5);
	path[107] = 0;
	snprintf(line, sizeof(line), "--port a,socket=%s --port b,socket=%s2,mode=client", path,
		path + 1);
	takes(line);
	assert_string_equal(got.ports[0].path, path);
	snprintf(line, sizeof(line), "--socket-path=/tmp/ok --control=%s", path);
	takes(line);
	path[107] = 'x';
	path[108] = 0;
	snprintf(line, sizeof(line), "--socket-path=%s", path);
	refuses(line, "at most 107 bytes, this one has 108");
	snprintf(line, sizeof(line), "--port a,socket=%s", path);
	refuses(line, "--port a,socket=: a socket's path has at most 107 bytes");
	snprintf(line, sizeof(line), "--port a,socket=%s,mode=client", path);
	refuses(line, "at most 107 bytes");
	snprintf(line, sizeof(line), "--socket-path=/tmp/ok --control=%s", path);
	refuses(line, "--control: a socket's path has at most 107 bytes");
}

static void files_need_a_directory(void **state)
{
	(void)state;
	refuses("--socket-path=/nowhere/vm1.sock", "there is no directory /nowhere");
	refuses("--socket-path=/dev/null/vm1.sock", "there is no directory /dev/null");
	refuses("--socket-path=/tmp/", "names a directory");
	refuses("--socket-path=/tmp/a --control=/nowhere/c", "--control: cannot create /nowhere/c");
	refuses("--socket-path=/tmp/a --pidfile=/nowhere/p", "--pidfile: cannot create /nowhere/p");
	takes("--socket-path=/rootfile --socket-path=here");
}

static void a_control_socket_may_be_done_without(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/a --control=none");
	assert_true(got.no_control);
	assert_false(got.control_is_default);
	assert_string_equal(got.control, "");
	takes("--socket-path=/tmp/none --control=none --pidfile=none");
	takes("--socket-path=/tmp/a --control=./none");
	assert_false(got.no_control);
	assert_string_equal(got.control, "./none");
}

static void no_two_things_share_a_file(void **state)
{
	(void)state;
	refuses("--socket-path=/tmp/a --port b,socket=/tmp/a",
		"ports a and b have the same socket");
	refuses("--socket-path=/tmp/a --port b,socket=/tmp/../tmp/./a,mode=client",
		"ports a and b have the same socket");
	refuses("--port a,socket=/nowhere/x,mode=client --port b,socket=/nowhere/x,mode=client",
		"ports a and b have the same socket");
	refuses("--socket-path=/tmp/a --control=/tmp/a", "port a and --control have the same file");
	refuses("--socket-path=/tmp/a --pidfile=/tmp//a",
		"port a and --pidfile have the same file");
	refuses("--socket-path=/tmp/a --control=/tmp/x --pidfile=/tmp/x",
		"--control and --pidfile have the same file");
	takes("--port a,socket=/nowhere/x,mode=client --port b,socket=/nowhere2/x,mode=client");
}

static void contradictions_are_refused(void **state)
{
	(void)state;
	refuses("--fd=0 --socket-path=/tmp/a", "--fd and --socket-path exclude each other");
	refuses("--socket-path=/nowhere/a --fd=0", "--fd and --socket-path exclude each other");
	refuses("--fd=0 --port a,socket=/tmp/a", "--fd and --port exclude each other");
	refuses("--fd=3 --fd=3", "--fd is given twice");
	refuses("--socket-path=/tmp/a --control=/tmp/c --control=/tmp/d",
		"--control is given twice");
	refuses("--socket-path=/tmp/a --cpus 0 --cpus 0", "--cpus is given twice");
	refuses("--socket-path=/tmp/a --log-level=info --log-level=debug",
		"--log-level is given twice");
}

static void words_that_mean_nothing_are_named(void **state)
{
	(void)state;
	refuses("--frobnicate", "unknown option --frobnicate");
	refuses("--frobnicate=3", "unknown option --frobnicate=3");
	refuses("--socket-pat=/tmp/a", "unknown option --socket-pat=/tmp/a");
	refuses("--socket-pat", "unknown option --socket-pat: did you mean --socket-path?");
	refuses("--cpu=1", "unknown option --cpu=1: did you mean --cpus?");
	refuses("--bogus=1", "unknown option --bogus=1 (see --help)");
	refuses("--no-hug", "unknown option --no-hug");
	refuses("--no-hug=1", "unknown option --no-hug=1");
	refuses("-xh", "unknown option -xh");
	refuses("-", "unexpected word \"-\"");
	refuses("-x", "unknown option -x");
	refuses("--", "unknown option --");
	refuses("vm1.sock", "unexpected word \"vm1.sock\"");
	refuses("--socket-path=/tmp/a x", "unexpected word \"x\"");
	refuses("x --socket-path=/tmp/a", "unexpected word \"x\"");
	refuses("--socket-path=/tmp/a -- x", "unknown option --");
	refuses("--socket-path=/tmp/a\nb", "?b");
	refuses("--no-huge=yes", "--no-huge takes no value");
	refuses("--socket-path=", "--socket-path wants a value");
	refuses("--socket-path", "--socket-path wants a value");
	refuses("--socket-path --no-huge", "--socket-path wants a value");
	refuses("--port", "--port wants a value: --port NAME,socket=PATH");
	refuses("--socket-path=/tmp/a --log-level=loud", "--log-level=loud: choose error");
}

static void numbers_out_of_range_are_refused(void **state)
{
	static const char *const sizes[] = {"0", "16777217", "-1", "1k", "99999999999999999999"};
	static const char *const ages[] = {"-1", "1000001", "5s", "18446744073709551616"};
	char line[128];

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		snprintf(line, sizeof(line), "--socket-path=/tmp/a --fdb-size=%s", sizes[i]);
		refuses(line, "--fdb-size=");
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(ages); i++) {
		snprintf(line, sizeof(line), "--socket-path=/tmp/a --fdb-age=%s", ages[i]);
		refuses(line, "--fdb-age=");
	}
}

static void print_capabilities_beats_everything(void **state)
{
	(void)state;
	assert_int_equal(parse("--print-capabilities"), OPTIONS_CAPABILITIES);
	assert_int_equal(
		parse("--nonsense --fd=x stray --print-capabilities --help"), OPTIONS_CAPABILITIES);
	assert_int_equal(parse("--help --print-capabilities"), OPTIONS_CAPABILITIES);
	assert_int_equal(parse("--socket-path --print-capabilities"), OPTIONS_CAPABILITIES);
	assert_int_equal(parse("--help"), OPTIONS_HELP);
	assert_int_equal(parse("-h --nonsense"), OPTIONS_HELP);
	assert_int_equal(parse("--nonsense --help"), OPTIONS_HELP);
	assert_int_equal(parse("--socket-path -h"), OPTIONS_HELP);
	assert_int_equal(parse("--fd=x stray --help --version"), OPTIONS_HELP);
	assert_int_equal(parse("--version"), OPTIONS_VERSION);
	refuses("--nonsense --version", "unknown option");
}

/* The CPUs allowed to this test, at the start. */
static cpu_set_t allowed;

static int first_cpu(void)
{
	int cpu = 0;

	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	return cpu;
}

static int last_cpu(void)
{
	int cpu = CPU_SETSIZE - 1;

	while (!CPU_ISSET(cpu, &allowed))
		cpu--;
	return cpu;
}

static int remember_cpus(void **state)
{
	(void)state;
	return sched_getaffinity(0, sizeof(allowed), &allowed);
}

static int restore_cpus(void **state)
{
	(void)state;
	return sched_setaffinity(0, sizeof(allowed), &allowed);
}

static void the_default_worker_runs_on_the_highest_allowed_cpu(void **state)
{
	cpu_set_t one;

	(void)state;
	takes("--socket-path=/tmp/a");
	assert_int_equal(got.ncpus, 1);
	assert_int_equal(got.cpus[0], last_cpu());
	CPU_ZERO(&one);
	CPU_SET(first_cpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	takes("--socket-path=/tmp/a");
	assert_int_equal(got.ncpus, 1);
	assert_int_equal(got.cpus[0], first_cpu());
}

static void cpus_are_a_list_of_numbers_and_ranges(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus %d", first_cpu());
	takes(line);
	assert_int_equal(got.ncpus, 1);
	assert_int_equal(got.cpus[0], first_cpu());
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%d-%d", last_cpu(), last_cpu());
	takes(line);
	assert_int_equal(got.ncpus, 1);
	if (!CPU_ISSET(first_cpu() + 1, &allowed))
		skip();
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%d,%d", first_cpu() + 1,
		first_cpu());
	takes(line);
	assert_int_equal(got.ncpus, 2);
	assert_int_equal(got.cpus[0], first_cpu() + 1);
	assert_int_equal(got.cpus[1], first_cpu());
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%d-%d", first_cpu(),
		first_cpu() + 1);
	takes(line);
	assert_int_equal(got.ncpus, 2);
	assert_int_equal(got.cpus[0], first_cpu());
	assert_int_equal(got.cpus[1], first_cpu() + 1);
}

static void what_is_no_list_of_cpus_is_refused(void **state)
{
	static const char *const lists[] = {
		"a", ",", "1,", ",1", "1-", "-1", "1--2", "0x1", "1 ", "0-0-0", "99999999999"};
	char *argv[] = {"ringwayd", "--socket-path=/tmp/a", "--cpus", NULL, NULL};
	int cpu = first_cpu();
	char line[128];

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(lists); i++) {
		argv[3] = (char *)lists[i];
		if (options_parse(4, argv, &got, err, sizeof(err)) >= 0)
			fail_msg("accepted: %s", lists[i]);
		assert_non_null(strstr(err, "--cpus"));
	}
	refuses("--socket-path=/tmp/a --cpus=3-1", "write the range upwards, 1-3");
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%d,%d", cpu, cpu);
	refuses(line, "is named twice");
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%d-%d,%d", cpu, cpu, cpu);
	refuses(line, "is named twice");
}

static void a_cpu_that_does_not_exist_and_one_not_allowed_are_told_apart(void **state)
{
	char line[128], word[128];
	cpu_set_t one;

	(void)state;
	refuses("--socket-path=/tmp/a --cpus=100000", "there is no CPU 100000");
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%ld",
		sysconf(_SC_NPROCESSORS_CONF));
	refuses(line, "there is no CPU");
	if (first_cpu() == last_cpu())
		skip();
	CPU_ZERO(&one);
	CPU_SET(first_cpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	snprintf(line, sizeof(line), "--socket-path=/tmp/a --cpus=%d", last_cpu());
	snprintf(word, sizeof(word),
		"CPU %d exists, but ringwayd is not allowed to run on it: "
		"allowed is %d",
		last_cpu(), first_cpu());
	refuses(line, word);
}

static void the_help_fits_80_columns_and_names_every_option(void **state)
{
	static const char *const names[] = {"--socket-path=PATH", "--port NAME,", "--fd=FDNUM",
		"--cpus LIST", "--control=PATH", "--pidfile=PATH", "--state-dir=DIR|none",
		"--no-huge", "--seccomp=MODE", "--user=NAME[:GROUP]", "--socket-dir=DIR",
		"--log-level=LEVEL", "--fdb-size=N", "--fdb-age=SECONDS", "--print-capabilities",
		"--version", "--help"};
	char *text = NULL, *rest, *line;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	options_print_help(f);
	fclose(f);
	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++)
		assert_non_null(strstr(text, names[i]));
	rest = text;
	while ((line = strsep(&rest, "\n")))
		assert_in_range(strlen(line), 0, 80);
	free(text);
}

static void the_capabilities_are_those_of_a_net_device(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	options_print_capabilities(f);
	fclose(f);
	assert_string_equal(text, "{\"type\": \"net\"}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_socket_path_is_enough),
		cmocka_unit_test(queues_are_balanced_when_asked),
		cmocka_unit_test(every_option_is_understood_in_both_spellings),
		cmocka_unit_test(workers_sleep_unless_they_shall_spin),
		cmocka_unit_test(a_path_holds_107_bytes),
		cmocka_unit_test(files_need_a_directory),
		cmocka_unit_test(a_control_socket_may_be_done_without),
		cmocka_unit_test(no_two_things_share_a_file),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(words_that_mean_nothing_are_named),
		cmocka_unit_test(numbers_out_of_range_are_refused),
		cmocka_unit_test(print_capabilities_beats_everything),
		cmocka_unit_test_teardown(
			the_default_worker_runs_on_the_highest_allowed_cpu, restore_cpus),
		cmocka_unit_test(cpus_are_a_list_of_numbers_and_ranges),
		cmocka_unit_test(what_is_no_list_of_cpus_is_refused),
		cmocka_unit_test_teardown(
			a_cpu_that_does_not_exist_and_one_not_allowed_are_told_apart, restore_cpus),
		cmocka_unit_test(the_help_fits_80_columns_and_names_every_option),
		cmocka_unit_test(the_capabilities_are_those_of_a_net_device),
	};

	return cmocka_run_group_tests(tests, remember_cpus, NULL);
}
