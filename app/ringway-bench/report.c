/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>
#include <string.h>

#include "options.h"
#include "rw_base.h"
#include "table.h"

/* Ports that the table shows one by one. */
#define PORTS_SHOWN 16

double report_rate(const struct bench_result *r)
{
	return r->seconds > 0 ? (double)r->sum.received / r->seconds : 0;
}

double report_bits(const struct bench_result *r)
{
	return r->seconds > 0 ? 8 * (double)r->sum.received_bytes / r->seconds : 0;
}

bool report_fault(const struct bench_result *r, char *line, size_t size)
{
	const struct bench_port_result *s = &r->sum;
	const struct {
		uint64_t n;
		const char *what;
	} faults[] = {
		{s->wrong, "with content that was not sent"},
		{s->duplicated, "more than once"},
		{s->misplaced, "at a port that they were not sent to"},
		{s->reordered, "after a later one of their flow"},
	};

	for (size_t i = 0; i < RW_ARRAY_SIZE(faults); i++) {
		if (faults[i].n) {
			snprintf(line, size, "the back-end delivered %" PRIu64 " frame(s) %s",
				faults[i].n, faults[i].what);
			return true;
		}
	}
	return false;
}

/* The list of sizes; `more` bytes are added to each. */
static void sizes_print(const struct bench_options *o, uint32_t more, FILE *to)
{
	for (unsigned i = 0; i < o->nsizes; i++) {
		fprintf(to, "%s%" PRIu32, i ? "," : "", o->sizes[i].len + more);
		if (o->sizes[i].weight > 1)
			fprintf(to, ":%" PRIu32, o->sizes[i].weight);
	}
}

/* What was asked for, as one line. */
static void setup_print(const struct bench_options *o, FILE *to)
{
	fprintf(to, "%u ports, ", o->nports);
	if (o->idle)
		fprintf(to, "%u idle ones, ", o->idle);
	fprintf(to, "%u queue pair%s, %s rings of %u", o->pairs, o->pairs > 1 ? "s" : "",
		o->packed ? "packed" : "split", o->ring_size);
	if (o->tx_ring_size != o->ring_size)
		fprintf(to, " (%u to send)", o->tx_ring_size);
	fprintf(to, ", %smergeable%s%s", o->mergeable ? "" : "not ",
		o->in_order ? ", in order" : "", o->tso ? ", TSO" : "");
	if (o->convert)
		fprintf(to, " to be converted");
	if (o->measure == BENCH_RATE || o->measure == BENCH_SEARCH) {
		fprintf(to, "; frames of ");
		sizes_print(o, 0, to);
		fprintf(to, " bytes without FCS (");
		sizes_print(o, BENCH_FCS, to);
		fprintf(to, " with it), %s", options_pattern_name(o->pattern));
		if (o->in_flight)
			fprintf(to, ", %u in flight for each port", o->in_flight);
		else if (o->measure == BENCH_RATE)
			fprintf(to, ", one way");
	}
	fputc('\n', to);
}

static void cell_mega(struct table *t, double n)
{
	table_cell(t, n && n < 1e5 ? "%.6f" : "%.3f", n / 1e6);
}

static void port_row(
	struct table *t, const char *name, const struct bench_port_result *p, double seconds)
{
	double s = seconds > 0 ? seconds : 1;

	table_cell(t, "%s", name);
	cell_mega(t, (double)p->sent / s);
	cell_mega(t, (double)p->received / s);
	table_cell(t, "%.3f", 8 * (double)p->received_bytes / s / 1e9);
}

static void ports_print(const struct bench_options *o, const struct bench_result *r, FILE *to)
{
	static const struct table_column columns[] = {{"PORT", false}, {"SENT Mpps", true},
		{"RECEIVED Mpps", true}, {"RECEIVED Gbit/s", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));

	for (unsigned i = 0; i < r->nports && r->nports <= PORTS_SHOWN; i++)
		port_row(t, o->sockets[i], &r->ports[i], r->seconds);
	port_row(t, "sum", &r->sum, r->seconds);
	table_print(t, to);
	table_free(t);
}

static void latency_print(const struct rw_histogram *h, FILE *to)
{
	static const struct table_column columns[] = {{"LATENCY us", false}, {"MEAN", true},
#define X(p) {#p " %", true},
		REPORT_PERCENTILES(X)
#undef X
			{"MAX", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));

	table_cell(t, "%" PRIu64 " frames", h->count);
	table_cell(t, "%.2f", rw_histogram_mean(h) / 1e3);
#define X(p) table_cell(t, "%.2f", (double)rw_histogram_percentile(h, p) / 1e3);
	REPORT_PERCENTILES(X)
#undef X
	table_cell(t, "%.2f", (double)h->greatest / 1e3);
	table_print(t, to);
	table_free(t);
}

static void trial_print(const struct bench_options *o, const struct bench_result *r, FILE *to)
{
	ports_print(o, r, to);
	fprintf(to, "lost %" PRIu64 " of %" PRIu64 " frames (%.4g %%) in %.2f s", r->lost,
		r->sum.expected, 100 * search_loss(r), r->seconds);
	if (!o->in_flight)
		fprintf(to, ", sent %.3f M frames/s", r->offered / 1e6);
	if (r->asked > 0)
		fprintf(to, " of the %.3f M asked for", r->asked / 1e6);
	fprintf(to, "; the load needed %.0f cycles for a frame\n", r->own_cycles);
	if (search_fell_short(r->asked, r->offered, r->seconds))
		fprintf(to,
			"the load fell short of the rate: this is not what the back-end does "
			"with %.3f M frames/s\n",
			r->asked / 1e6);
	if (r->latency.count)
		latency_print(&r->latency, to);
}

/* What is to be thought of the rate that was found. */
static const char *search_verdict(const struct search_outcome *s)
{
	if (!s->verified && s->nsteps && s->steps[s->nsteps - 1].fell_short)
		return "not confirmed: in the longer trial the load fell short";
	if (!s->verified)
		return "not confirmed by a longer trial";
	if (s->load_limited)
		return "confirmed; the load cannot send faster";
	return "confirmed by a longer trial";
}

static void search_print(const struct report *r, FILE *to)
{
	static const struct table_column columns[] = {{"TRIAL", true}, {"ASKED Mpps", true},
		{"SENT Mpps", true}, {"RECEIVED Mpps", true}, {"SECONDS", true}, {"LOSS", true}};
	const struct search_outcome *s = r->search;
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));

	for (unsigned i = 0; i < s->nsteps; i++) {
		const struct search_step *step = &s->steps[i];

		table_cell(t, "%u", i + 1);
		if (step->asked > 0)
			cell_mega(t, step->asked);
		else
			table_cell(t, "max");
		cell_mega(t, step->offered);
		cell_mega(t, step->received);
		table_cell(t, "%.2f", step->seconds);
		table_cell(t, "%.4g %%", 100 * step->loss);
	}
	table_print(t, to);
	table_free(t);
	fprintf(to, "highest rate ");
	if (r->opt->loss > 0)
		fprintf(to, "with at most %.4g %% lost", 100 * r->opt->loss);
	else
		fprintf(to, "without loss");
	if (s->rate > 0)
		fprintf(to, ": %.6f Mpps, %s\n", s->rate / 1e6, search_verdict(s));
	else
		fprintf(to, ": none was found\n");
	if (s->fell_short)
		fprintf(to, "the load fell short of the rate asked for in %u of %u trials\n",
			s->fell_short, s->nsteps);
}

static void hosts_print(const struct report *r, FILE *to)
{
	static const struct table_column columns[] = {
		{"TRIAL", true}, {"TAUGHT", true}, {"KNOWN", true}, {"HOSTS/S", true}};
	const struct hosts_outcome *s = r->hosts;
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));

	for (unsigned i = 0; i < s->nsteps; i++) {
		table_cell(t, "%u", i + 1);
		table_cell(t, "%" PRIu32, s->steps[i].taught);
		table_cell(t, "%" PRIu32, s->steps[i].known);
		table_cell(t, "%.0f", s->steps[i].rate);
	}
	table_print(t, to);
	table_free(t);
	if (r->opt->measure == BENCH_CAPACITY)
		fprintf(to, "addresses remembered: %s%" PRIu32 "\n", s->at_least ? "at least " : "",
			s->capacity);
	else
		fprintf(to, "addresses learned a second: %s%.0f\n", s->at_least ? "at least " : "",
			s->rate);
}

void report_print(const struct report *r, FILE *to)
{
	setup_print(r->opt, to);
	if (r->search)
		search_print(r, to);
	if (r->hosts)
		hosts_print(r, to);
	if (r->trial)
		trial_print(r->opt, r->trial, to);
	if (r->interrupted)
		fprintf(to, "interrupted: the measurement is not complete\n");
}
