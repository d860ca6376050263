/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of ringwayd and, with OPTIONS_BENCH, of ringway-bench; and what a running switch
 * is asked about ports. An argument is a line of the input.
 */
#include "options.h"
#include "text.h"

#ifdef OPTIONS_BENCH
static struct bench_options got;
#else
static struct options got;
#endif

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_check(freopen("/dev/null", "r", stdin));
	return 0;
}

#ifndef OPTIONS_BENCH
/* Words "KEY=VALUE" as a request has them. */
static unsigned pairs_of(struct fuzz_text *t, struct options_pair *pairs)
{
	unsigned n = 0;

	for (unsigned i = 2; i < t->nwords && n < OPTIONS_PAIRS_MAX; i++) {
		char *equals = strchr(t->words[i], '=');

		if (!equals)
			continue;
		*equals = 0;
		pairs[n++] = (struct options_pair){t->words[i], equals + 1};
	}
	return n;
}

static void request(struct fuzz_text *t)
{
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	unsigned n = pairs_of(t, pairs), before;
	char err[512];

	if (t->nwords < 2)
		return;
	got.nports = RW_MIN(got.nports, 4u);
	before = got.nports;
	err[0] = 0;
	if (options_port_add(&got, t->words[1], pairs, n, err, sizeof(err))) {
		check_line(err, sizeof(err));
		fuzz_check(got.nports == before);
		return;
	}
	fuzz_check(got.nports == before + 1 && got.ports[before].name[0]);
	err[0] = 0;
	if (options_port_set(&got, before, pairs, n, err, sizeof(err)))
		check_line(err, sizeof(err));
	options_port_del(&got, before);
	fuzz_check(got.nports == before);
}

/* Another file would be read. */
static bool reads_files(const struct fuzz_text *t)
{
	for (unsigned i = 0; i < t->nwords; i++) {
		if (strstr(t->words[i], "config"))
			return true;
	}
	return false;
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[TEXT_WORDS + 2] = {"program"}, err[512] = "";
	struct fuzz_text t;
	int ret;

	text_read(&t, data, size);
	memcpy(argv + 1, t.words, t.nwords * sizeof(argv[0]));
#ifndef OPTIONS_BENCH
	if (reads_files(&t)) {
		text_free(&t);
		return 0;
	}
	if (t.nwords && !strcmp(t.words[0], "port")) {
		request(&t);
		text_free(&t);
		return 0;
	}
#endif
	ret = options_parse((int)t.nwords + 1, argv, &got, err, sizeof(err));
	if (ret < 0)
		check_line(err, sizeof(err));
#ifndef OPTIONS_BENCH
	if (!ret)
		fuzz_check(got.nports <= OPTIONS_PORTS_MAX && got.ncpus &&
			got.ncpus <= OPTIONS_CPUS_MAX);
#endif
	text_free(&t);
	return 0;
}
