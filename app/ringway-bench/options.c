/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "frames.h"
#include "options_internal.h"
#include "rw_sock.h"

#define RING_LEAST   64
#define RING_LARGEST 32768
#define PAIRS_MOST   64
#define IDLE_MOST    (BENCH_MAX_PORTS - 2) /* two are to say something */
#define MACS_MOST    (1u << 24)            /* hosts of a port are told apart by three bytes */
#define FLOWS_MOST   32768
#define SECONDS_MIN  0.01
#define SECONDS_MAX  86400.0
#define WARM_UP_MAX  3600.0
#define CPUS_MOST    1024

#define FIRST_LONG 256 /* what getopt_long returns for the first row */

#define DEFAULT_RING      1024
#define DEFAULT_IN_FLIGHT 384
#define DEFAULT_CAPACITY  (1u << 20) /* hosts tried at most */
#define DEFAULT_LEARNING  1000       /* hosts taught in one trial */

#define MERGED_BYTES 2000 /* of a frame in one of its receive buffers, or a little more */

#define FRAME_MOST 1518 /* without segmentation and without FCS, with a VLAN tag */

/* The measures that an option belongs to, as bits. */
#define RATES (1u << BENCH_RATE | 1u << BENCH_SEARCH)
#define HOSTS (1u << BENCH_CAPACITY | 1u << BENCH_LEARNING)
#define ALL   (RATES | HOSTS)

static const char *const patterns[] = {
#define X(id, name) name,
	BENCH_PATTERNS(X)
#undef X
};

const char *options_pattern_name(enum bench_pattern pattern)
{
	return patterns[pattern];
}

int options_mistake(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(p->err, p->errlen, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int set_pairs(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, PAIRS_MOST, &p->opt.pairs))
		return options_mistake(
			p, "--pairs=%s: give 1 to %d queue pairs", value, PAIRS_MOST);
	return 0;
}

static int set_idle(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, IDLE_MOST, &p->opt.idle))
		return options_mistake(
			p, "--idle=%s: give 1 to %d guests that are silent", value, IDLE_MOST);
	return 0;
}

static int ring_size(struct parse *p, const char *name, const char *value, unsigned *out)
{
	if (!rw_text_number(value, RING_LEAST, RING_LARGEST, out) || !rw_is_power_of_2(*out))
		return options_mistake(p, "--%s=%s: give a power of two from %d to %d", name, value,
			RING_LEAST, RING_LARGEST);
	return 0;
}

static int set_ring_size(struct parse *p, const char *value)
{
	return ring_size(p, "ring-size", value, &p->opt.ring_size);
}

static int set_tx_ring_size(struct parse *p, const char *value)
{
	return ring_size(p, "tx-ring-size", value, &p->opt.tx_ring_size);
}

static int set_macs(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, MACS_MOST, &p->opt.macs))
		return options_mistake(
			p, "--macs=%s: give 1 to %u hosts behind each port", value, MACS_MOST);
	return 0;
}

static int set_flows(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, FLOWS_MOST, &p->opt.flows))
		return options_mistake(
			p, "--flows=%s: give 1 to %d flows between two hosts", value, FLOWS_MOST);
	return 0;
}

static int set_size(struct parse *p, const char *value)
{
	return options_sizes(p, "size", value, 0);
}

static int set_size_with_fcs(struct parse *p, const char *value)
{
	return options_sizes(p, "size-with-fcs", value, BENCH_FCS);
}

static int set_pattern(struct parse *p, const char *value)
{
	for (unsigned i = 0; i < RW_ARRAY_SIZE(patterns); i++) {
		if (!strcmp(value, patterns[i])) {
			p->opt.pattern = (enum bench_pattern)i;
			return 0;
		}
	}
	return options_mistake(
		p, "--pattern=%s: choose pairs, all-to-one, one-to-all, random or flood", value);
}

static int set_in_flight(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, RING_LARGEST, &p->opt.in_flight))
		return options_mistake(p, "--in-flight=%s: give 1 to %d frames for each port",
			value, RING_LARGEST);
	return 0;
}

static int set_rate(struct parse *p, const char *value)
{
	if (!options_rate(value, &p->opt.rate))
		return options_mistake(p,
			"--rate=%s: give frames a second, such as 250000, 250k, 2.5M or 1e6, or "
			"max",
			value);
	return 0;
}

static int set_seconds(struct parse *p, const char *value)
{
	if (!options_decimal(value, SECONDS_MIN, SECONDS_MAX, &p->opt.seconds))
		return options_mistake(p, "--seconds=%s: give %g to %.0f seconds", value,
			SECONDS_MIN, SECONDS_MAX);
	return 0;
}

static int set_warm_up(struct parse *p, const char *value)
{
	if (!options_decimal(value, 0, WARM_UP_MAX, &p->opt.warm_up))
		return options_mistake(
			p, "--warm-up=%s: give 0 to %.0f seconds", value, WARM_UP_MAX);
	return 0;
}

static int set_measure(struct parse *p, enum bench_measure measure, const char *name)
{
	if (p->measure && strcmp(p->measure, name))
		return options_mistake(
			p, "%s and %s are different measurements: choose one", p->measure, name);
	p->measure = name;
	p->opt.measure = measure;
	return 0;
}

static int set_search(struct parse *p, const char *value)
{
	(void)value;
	return set_measure(p, BENCH_SEARCH, "--search");
}

static int set_capacity(struct parse *p, const char *value)
{
	(void)value;
	return set_measure(p, BENCH_CAPACITY, "--capacity");
}

static int set_learning(struct parse *p, const char *value)
{
	(void)value;
	return set_measure(p, BENCH_LEARNING, "--learning");
}

static int set_loss(struct parse *p, const char *value)
{
	if (!options_fraction(value, &p->opt.loss))
		return options_mistake(
			p, "--loss=%s: give a fraction below 1, such as 0.001 or 0.1%%", value);
	return 0;
}

static int set_precision(struct parse *p, const char *value)
{
	if (!options_fraction(value, &p->opt.precision) || p->opt.precision < 1e-4)
		return options_mistake(p,
			"--precision=%s: give a fraction from 0.0001 to below 1, such as 0.01 or "
			"1%%",
			value);
	return 0;
}

static int set_cpu(struct parse *p, const char *value)
{
	uint32_t cpu;

	if (!rw_text_number(value, 0, CPUS_MOST - 1, &cpu))
		return options_mistake(p, "--cpu=%s: give the number of one CPU", value);
	p->opt.cpu = (int)cpu;
	return 0;
}

static int set_plot(struct parse *p, const char *value)
{
	p->opt.plot = value;
	return 0;
}

static int set_help(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_HELP;
}

static int set_version(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_VERSION;
}

/* The member of struct bench_options that a switch sets. */
#define SWITCH(member) offsetof(struct bench_options, member)

static const struct row {
	const char *name;
	const char *value; /* what it wants; NULL: nothing */
	unsigned fits;     /* the measures it says something about */
	/* Returns 0, OPTIONS_HELP, OPTIONS_VERSION or a mistake. NULL: the option is a switch. */
	int (*set)(struct parse *p, const char *value);
	size_t at; /* of a switch: the offset of its bool */
	bool on;   /* of a switch: the value that it sets */
} rows[] = {
	{"packed", NULL, ALL, NULL, SWITCH(packed), true},
	{"no-mergeable", NULL, ALL, NULL, SWITCH(mergeable), false},
	{"in-order", NULL, ALL, NULL, SWITCH(in_order), true},
	{"tso", NULL, RATES, NULL, SWITCH(tso), true},
	{"convert", NULL, RATES, NULL, SWITCH(convert), true},
	{"pairs", "N", ALL, set_pairs, 0, false},
	{"idle", "N", ALL, set_idle, 0, false},
	{"ring-size", "N", ALL, set_ring_size, 0, false},
	{"tx-ring-size", "N", ALL, set_tx_ring_size, 0, false},
	{"size", "LIST", RATES, set_size, 0, false},
	{"size-with-fcs", "LIST", RATES, set_size_with_fcs, 0, false},
	{"macs", "N", ALL, set_macs, 0, false},
	{"flows", "N", RATES, set_flows, 0, false},
	{"pattern", "PATTERN", RATES, set_pattern, 0, false},
	{"in-flight", "N", 1u << BENCH_RATE, set_in_flight, 0, false},
	{"rate", "PPS", ALL, set_rate, 0, false},
	{"seconds", "S", RATES, set_seconds, 0, false},
	{"warm-up", "S", RATES, set_warm_up, 0, false},
	{"search", NULL, ALL, set_search, 0, false},
	{"capacity", NULL, ALL, set_capacity, 0, false},
	{"learning", NULL, ALL, set_learning, 0, false},
	{"loss", "F", 1u << BENCH_SEARCH, set_loss, 0, false},
	{"precision", "F", 1u << BENCH_SEARCH | HOSTS, set_precision, 0, false},
	{"latency", NULL, RATES, NULL, SWITCH(latency), true},
	{"cpu", "CPU", ALL, set_cpu, 0, false},
	{"listen", NULL, ALL, NULL, SWITCH(listen), true},
	{"no-huge", NULL, ALL, NULL, SWITCH(hugetlb), false},
	{"json", NULL, ALL, NULL, SWITCH(json), true},
	{"plot", "FILE", RATES, set_plot, 0, false},
	{"quiet", NULL, ALL, NULL, SWITCH(progress), false},
	{"help", NULL, ALL, set_help, 0, false},
	{"version", NULL, ALL, set_version, 0, false},
};

static bool was_seen(const struct parse *p, const char *name)
{
	for (unsigned i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		if (!strcmp(rows[i].name, name))
			return p->seen >> i & 1;
	}
	return false;
}

static int socket_add(struct parse *p, const char *path)
{
	struct bench_options *o = &p->opt;
	size_t len = strlen(path);

	if (o->nports == BENCH_MAX_PORTS)
		return options_mistake(p, "there are more than %d sockets", BENCH_MAX_PORTS);
	if (!len)
		return options_mistake(p, "the path of a socket is empty");
	if (len > RW_SOCK_PATH_MAX) {
		return options_mistake(p,
			"a socket's path has at most %d bytes, this one has %zu: %s",
			RW_SOCK_PATH_MAX, len, path);
	}
	for (unsigned i = 0; i < o->nports; i++) {
		if (!strcmp(path, o->sockets[i]))
			return options_mistake(p, "%s is given twice", path);
	}
	o->sockets[o->nports++] = path;
	return 0;
}

/* Whether there are as many ports as the measurement needs; the last sockets are of idle guests. */
static int ports_check(struct parse *p)
{
	struct bench_options *o = &p->opt;

	if (o->idle && o->idle + 2 > o->nports)
		return options_mistake(p,
			"--idle=%u: of %u socket(s) fewer than two are left: give more", o->idle,
			o->nports);
	o->nports -= o->idle;
	if (o->nports < 2)
		return options_mistake(p, "%s: give the paths of two or more (see --help)",
			o->nports ? "one socket is not enough" : "there is no socket");
	if ((1u << o->measure & HOSTS) && o->nports < 3) {
		return options_mistake(p,
			"%s needs three ports: one to teach, one to ask and one that hears what is "
			"flooded",
			p->measure);
	}
	if ((1u << o->measure & RATES) && o->pattern == BENCH_PAIRS && o->nports % 2)
		return options_mistake(p,
			"--pattern=pairs needs an even number of ports, not %u: add one or choose "
			"--pattern=random",
			o->nports);
	return 0;
}

/* What is cut is known by its size, and has no room for a time stamp. */
static int convert_check(struct parse *p)
{
	struct bench_options *o = &p->opt;

	if (o->convert && !o->tso)
		return options_mistake(
			p, "--convert needs frames to convert: add --tso or leave it out");
	for (unsigned i = 0; o->convert && i < o->nsizes; i++) {
		if (o->sizes[i].len <= FRAME_MOST)
			continue;
		if (o->nsizes > 1)
			return options_mistake(p,
				"--size: with --convert, frames to be cut (over %d bytes) are of "
				"one size",
				FRAME_MOST);
		if (o->latency)
			return options_mistake(p,
				"--latency: segments carry no time stamp: leave it out, or "
				"--convert");
	}
	return 0;
}

static int sizes_check(struct parse *p)
{
	struct bench_options *o = &p->opt;

	if (was_seen(p, "size") && was_seen(p, "size-with-fcs"))
		return options_mistake(
			p, "--size and --size-with-fcs name the same sizes: choose one");
	if (!o->nsizes)
		o->sizes[o->nsizes++] = (struct bench_size){.len = 64, .weight = 1};
	for (unsigned i = 0; i < o->nsizes; i++) {
		if (o->sizes[i].len > FRAME_MOST && !o->tso)
			return options_mistake(p,
				"--size: frames of %u bytes without FCS need --tso (without it at "
				"most %d)",
				o->sizes[i].len, FRAME_MOST);
	}
	if (o->tso && !o->mergeable)
		return options_mistake(p,
			"--tso needs mergeable buffers: leave out --no-mergeable "
			"or --tso");
	return convert_check(p);
}

/* As many as find room in the receiver's ring, whatever their sizes. */
static unsigned in_flight_default(const struct bench_options *o)
{
	uint32_t longest = 0, buffers;

	for (unsigned i = 0; i < o->nsizes; i++)
		longest = RW_MAX(longest, o->sizes[i].len);
	buffers = o->mergeable ? longest / MERGED_BYTES + 1 : 1;
	if (o->convert)
		buffers = 2u * frame_pieces(longest); /* they are posted again in lots */
	buffers = RW_MIN(o->tx_ring_size, o->ring_size / RW_MAX(buffers, 2u));
	return RW_MAX(RW_MIN(DEFAULT_IN_FLIGHT, buffers), 1u);
}

/* How frames are sent: round and round, or one way. */
static int load_check(struct parse *p)
{
	struct bench_options *o = &p->opt;
	bool one_way = was_seen(p, "rate") || o->measure != BENCH_RATE;

	if (o->in_flight && one_way)
		return options_mistake(p,
			"--in-flight and --rate contradict each other: frames circulate or are "
			"sent at a rate");
	if (!o->tx_ring_size)
		o->tx_ring_size = o->ring_size;
	if (o->in_flight > RW_MIN(o->ring_size, o->tx_ring_size))
		return options_mistake(p,
			"--in-flight=%u: there is room for %u frames in a ring: "
			"give less, or a larger --%sring-size",
			o->in_flight, RW_MIN(o->ring_size, o->tx_ring_size),
			o->tx_ring_size < o->ring_size ? "tx-" : "");
	if (!one_way && !o->in_flight)
		o->in_flight = in_flight_default(o);
	if (!o->macs)
		o->macs = o->measure == BENCH_CAPACITY ? DEFAULT_CAPACITY
			: o->measure == BENCH_LEARNING ? DEFAULT_LEARNING
						       : 1;
	return 0;
}

/* What only the whole command line shows. */
static int whole_check(struct parse *p)
{
	int ret = 0;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		if (!(p->seen >> i & 1) || (rows[i].fits >> p->opt.measure & 1))
			continue;
		if (!p->measure)
			return options_mistake(p,
				"--%s goes with --search: add that or leave it out", rows[i].name);
		return options_mistake(p, "--%s says nothing about %s: leave out one of them",
			rows[i].name, p->measure);
	}
	ret = ports_check(p);
	if (!ret)
		ret = sizes_check(p);
	if (!ret)
		ret = load_check(p);
	return ret;
}

/* `word` begins like several options: name them. */
static int refuse_ambiguous(struct parse *p, const char *word, size_t len)
{
	char names[256] = "";
	size_t used = 0;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		if (!strncmp(rows[i].name, word + 2, len - 2) && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s--%s",
				used ? ", " : "", rows[i].name);
	}
	return options_mistake(p, "%.*s is ambiguous: %s", (int)len, word, names);
}

/* `word`, as the user wrote it, is no option. */
static int refuse_unknown(struct parse *p, const char *word)
{
	const char *names[RW_ARRAY_SIZE(rows)], *nearest;
	bool named = !strncmp(word, "--", 2);
	size_t len = strcspn(word, "=");
	unsigned begin = 0;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		names[i] = rows[i].name;
		begin += named && !strncmp(names[i], word + 2, len - 2);
	}
	if (begin > 1)
		return refuse_ambiguous(p, word, len);
	nearest = rw_text_nearest_option(word, names, RW_ARRAY_SIZE(names));
	if (nearest)
		return options_mistake(
			p, "unknown option %s: did you mean --%s? (see --help)", word, nearest);
	return options_mistake(p, "unknown option %s (see --help)", word);
}

/* What getopt_long does not take: `word` as the user wrote it, `opt` and `row` from it. */
static int refuse(struct parse *p, int opt, unsigned row, const char *word)
{
	if (row >= RW_ARRAY_SIZE(rows))
		return refuse_unknown(p, word);
	if (opt == ':')
		return options_mistake(p, "--%s wants a value: --%s=%s", rows[row].name,
			rows[row].name, rows[row].value);
	return options_mistake(p, "--%s takes no value", rows[row].name);
}

/* One that getopt_long has found. 0, > 0 or a mistake, as the row says. */
static int option_take(struct parse *p, unsigned i, const char *value)
{
	const struct row *row = &rows[i];

	if (row->value && !*value)
		return refuse(p, ':', i, row->name);
	if (row->value && (p->seen >> i & 1))
		return options_mistake(p, "--%s is given twice", row->name);
	p->seen |= UINT64_C(1) << i;
	if (row->set)
		return row->set(p, value);
	*(bool *)((char *)&p->opt + row->at) = row->on;
	return 0;
}

/* Take one answer of getopt_long for the word at argv[at]. 0, > 0 or a mistake. */
static int answer_take(struct parse *p, int opt, const char *word)
{
	if (opt == 1)
		return socket_add(p, optarg);
	if (opt == 'h')
		return OPTIONS_HELP;
	if (opt == '?' || opt == ':')
		return refuse(p, opt, (unsigned)optopt - FIRST_LONG, word);
	return option_take(p, (unsigned)opt - FIRST_LONG, optarg);
}

static bool is_help(int opt)
{
	return opt == 'h' || (opt >= FIRST_LONG && rows[opt - FIRST_LONG].set == set_help);
}

/* Read options and sockets, in any order. Help is given whatever else is wrong. */
static int words_read(struct parse *p, int argc, char **argv)
{
	struct option longs[RW_ARRAY_SIZE(rows) + 1] = {0};
	int opt, at, ret = 0;

	for (int i = 0; i < (int)RW_ARRAY_SIZE(rows); i++) {
		longs[i] = (struct option){.name = rows[i].name,
			.has_arg = rows[i].value ? required_argument : no_argument,
			.val = FIRST_LONG + i};
	}
	opterr = 0;
	optind = 0; /* glibc: forget what was read before */
	do {
		at = RW_MAX(optind, 1);
		/* "-": words come as option 1, wherever they stand. */
		opt = getopt_long(argc, argv, "-:h", longs, NULL);
		if (!ret && opt != -1)
			ret = answer_take(p, opt, argv[at]);
		else if (is_help(opt))
			ret = OPTIONS_HELP;
	} while (opt != -1 && ret <= 0);
	for (; !ret && optind < argc; optind++)
		ret = socket_add(p, argv[optind]);
	return ret;
}

int options_parse(int argc, char **argv, struct bench_options *out, char *err, size_t errlen)
{
	struct parse p = {
		.opt = {.pairs = 1,
			.ring_size = DEFAULT_RING,
			.mergeable = true,
			.flows = 1,
			.seconds = 5,
			.warm_up = 1,
			.precision = 0.01,
			.hugetlb = true,
			.progress = true,
			.cpu = -1},
		.err = err,
		.errlen = errlen,
	};
	int ret = words_read(&p, argc, argv);

	if (!ret)
		ret = whole_check(&p);
	if (!ret)
		*out = p.opt;
	return ret;
}
