/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ringway-bench: reads its options, attaches to the sockets, measures and reports. Exit status: 0;
 * 1 when a back-end cannot be reached, goes away or delivers what was not sent; 2 for a mistake on
 * the command line. Lost frames are a result, not a failure.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "live.h"
#include "options.h"
#include "plotter.h"
#include "report.h"
#include "rw_text.h"
#include "version.h"

#define FAILED 1
#define MISUSE 2

/* The ports of RFC 2889: one asks for hosts behind another; the last one hears floods. */
#define PORT_ASKING 0
#define PORT_TAUGHT 1

volatile sig_atomic_t bench_interrupted;

struct bench {
	struct bench_options opt;
	struct engine *engine;
	unsigned trials;
	struct bench_result result;
	struct search_outcome search;
	struct hosts_outcome hosts;
};

RW_PRINTF(1, 2) static int complain(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(line, sizeof(line), fmt, ap);
	va_end(ap);
	live_end();
	fprintf(stderr, "ringway-bench: %s\n", line);
	return -1;
}

static void interrupt(int sig)
{
	(void)sig;
	bench_interrupted = 1;
}

static void signals_begin(void)
{
	struct sigaction sa = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};

	/* The second one ends a program that does not heed the first. */
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Each queue pair takes four descriptors: allow what the system allows. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* 0, or -1 with a complaint about the user's words. */
static int begin(const struct bench *b)
{
	const struct bench_options *o = &b->opt;
	char err[512];
	cpu_set_t set;

	if (o->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((unsigned)o->cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			return complain(
				"--cpu=%d: cannot use that CPU: %s", o->cpu, strerror(errno));
	}
	if (o->plot && plotter_check(o->plot, err, sizeof(err)))
		return complain("--plot=%s: %s", o->plot, err);
	signals_begin();
	raise_fd_limit();
	live_begin(o->progress, LIVE_AUTO);
	return 0;
}

/* One trial: engine_run, and what arrived must have been sent. -EBADMSG after a complaint. */
static int trial_measure(void *arg, const struct bench_trial *t, struct bench_result *out)
{
	struct bench *b = arg;
	char line[256];
	int ret;

	b->trials++;
	if (b->opt.measure != BENCH_SEARCH)
		live_trial("%s", "");
	else if (t->rate > 0)
		live_trial("trial %u, %.3f Mpps", b->trials, t->rate / 1e6);
	else
		live_trial("trial %u, max", b->trials);
	ret = engine_run(b->engine, t, out);
	live_end();
	if (ret && ret != -EINTR)
		return ret; /* the engine said why */
	if (report_fault(out, line, sizeof(line))) {
		complain("%s", line);
		return -EBADMSG;
	}
	/* That is no rate. A search may find one further down. */
	if (!ret && b->opt.measure == BENCH_RATE && out->sum.sent && !out->sum.received) {
		complain("the back-end delivered none of %" PRIu64 " frame(s)", out->sum.sent);
		return -EBADMSG;
	}
	return ret;
}

static int hosts_trial(void *arg, uint32_t first, uint32_t n, double *rate, uint32_t *known)
{
	struct bench *b = arg;
	int ret;

	ret = engine_teach(b->engine, PORT_TAUGHT, first, n, *rate);
	if (ret)
		return ret;
	*rate = engine_teach_rate(b->engine);
	ret = engine_probe(b->engine, PORT_ASKING, PORT_TAUGHT, first, n, known);
	if (ret)
		return ret;
	if (b->opt.progress)
		fprintf(stderr, "trial %u: %u of %u hosts known\n", ++b->trials, *known, n);
	return 0;
}

/* Measure; *r is what is to be reported. 0, or what a trial returned: its reason was said. */
static int measure(struct bench *b, struct report *r)
{
	const struct bench_options *o = &b->opt;
	const struct bench_trial trial = {
		.rate = o->rate, .seconds = o->seconds, .warm_up = o->warm_up};
	const struct search_config search = {.highest = o->rate,
		.seconds = o->seconds,
		.warm_up = o->warm_up,
		.loss = o->loss,
		.precision = o->precision,
		.trial = trial_measure,
		.arg = b};
	const struct hosts_config hosts = {.most = o->macs,
		.rate = o->rate,
		.precision = o->precision,
		.trial = hosts_trial,
		.arg = b};
	int ret;

	switch (o->measure) {
	case BENCH_RATE:
		r->trial = &b->result;
		return trial_measure(b, &trial, &b->result);
	case BENCH_SEARCH:
		r->search = &b->search;
		ret = search_run(&search, &b->search, &b->result);
		r->trial = b->result.seconds > 0 ? &b->result : NULL;
		return ret;
	case BENCH_CAPACITY:
		r->hosts = &b->hosts;
		return hosts_capacity(&hosts, &b->hosts);
	default:
		r->hosts = &b->hosts;
		return hosts_learning(&hosts, &b->hosts);
	}
}

/* Print and draw. 0, or -1 with a complaint. */
static int publish(const struct bench *b, const struct report *r)
{
	char err[512];
	int ret;

	if (b->opt.json) {
		ret = report_json(r, stdout);
		if (ret)
			return complain("cannot write the result: %s", strerror(-ret));
	} else {
		report_print(r, stdout);
	}
	if (b->opt.plot && (r->trial || r->search) &&
		plotter_draw(r, b->opt.plot, err, sizeof(err)))
		return complain("--plot=%s: %s", b->opt.plot, err);
	return 0;
}

/* Everything after the command line. The exit status. */
static int bench_run(struct bench *b)
{
	struct report r = {.opt = &b->opt};
	int ret, status = 0;

	if (engine_new(&b->opt, &b->engine))
		return FAILED;
	ret = measure(b, &r);
	r.interrupted = ret == -EINTR;
	/* What is wrong is no result, but a trial that was cut short is one of a shorter trial. */
	if (ret && !r.interrupted)
		status = FAILED;
	else if (publish(b, &r) || (ret && b->opt.measure != BENCH_RATE))
		status = FAILED;
	engine_free(b->engine);
	return status;
}

/* The status, unless the output did not arrive where it should. */
static int finish(int status)
{
	if (rw_stdout_close())
		return status;
	complain("cannot write the output: %s", strerror(errno));
	return FAILED;
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	char err[512];
	int ret, status = 0;

	if (!b)
		return FAILED;
	ret = options_parse(argc, argv, &b->opt, err, sizeof(err));
	if (ret < 0) {
		complain("%s", err);
		status = MISUSE;
	} else if (ret == OPTIONS_HELP) {
		options_print_help(stdout);
	} else if (ret == OPTIONS_VERSION) {
		printf("ringway-bench %s\n", RINGWAY_VERSION);
	} else if (begin(b)) {
		status = MISUSE;
	} else {
		status = bench_run(b);
	}
	free(b);
	return finish(status);
}
