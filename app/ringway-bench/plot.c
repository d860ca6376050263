/* SPDX-License-Identifier: BSD-3-Clause */
/* The picture of a measurement. Names of sockets are left out: there is nothing to be quoted. */
#include <errno.h>
#include <math.h>

#include "report.h"
#include "rw_base.h"

#define WIDTH  720
#define HEIGHT 360
#define LEFT   80 /* the frame of the diagram */
#define RIGHT  700
#define TOP    50
#define BOTTOM 310
#define TICKS  5

#define BLUE  "#2b6cb0"
#define GREY  "#a0aec0"
#define GREEN "#2f855a"
#define RED   "#c53030"

#define PORTS_MOST 64
/* The latency curve: from 0 % to all but one frame in 10^5. */
#define NINES       5
#define CURVE_STEPS 100

/* Where a value of an axis from 0 to `top` stands. */
static double place_y(double value, double top)
{
	return BOTTOM - (BOTTOM - TOP) * value / top;
}

/* The next number above `v` of 1, 2, 2.5 and 5 times a power of ten: its fifths are round. */
static double round_up(double v)
{
	static const double steps[] = {1, 2, 2.5, 5, 10};
	double unit;

	if (v <= 0)
		return 1;
	unit = pow(10, floor(log10(v)));
	for (size_t i = 0; i < RW_ARRAY_SIZE(steps); i++) {
		if (v <= steps[i] * unit)
			return steps[i] * unit;
	}
	return 10 * unit;
}

static void text(FILE *to, double x, double y, const char *anchor, const char *words)
{
	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
		words);
}

static void begin(FILE *to, const char *title)
{
	fprintf(to,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
	text(to, LEFT, 24, "start", title);
}

/* Lines across with their values, 0 to `top`. */
static void axis_y(FILE *to, double top, const char *unit)
{
	char label[64];

	for (int i = 0; i <= TICKS; i++) {
		double y = place_y(i, TICKS);

		fprintf(to, "<path d=\"M%d %.1fH%d\" stroke=\"%s\"/>\n", LEFT, y, RIGHT,
			i ? "#e2e8f0" : "black");
		snprintf(label, sizeof(label), "%.4g", top * i / TICKS);
		text(to, LEFT - 8, y + 4, "end", label);
	}
	text(to, LEFT - 8, TOP - 14, "end", unit);
}

static void axis_x(FILE *to, double top, const char *unit)
{
	char label[64];

	for (int i = 0; i <= TICKS; i++) {
		snprintf(label, sizeof(label), "%.4g", top * i / TICKS);
		text(to, LEFT + (RIGHT - LEFT) * i / (double)TICKS, BOTTOM + 18, "middle", label);
	}
	text(to, RIGHT, BOTTOM + 38, "end", unit);
}

/* Each nine of the percentage has the same width. */
static void latency_plot(const struct histogram *h, FILE *to)
{
	static const char *const marks[] = {"0", "90", "99", "99.9", "99.99", "99.999"};
	double top = round_up((double)h->greatest / 1e3);

	begin(to, "Latency that so many percent of the frames did not exceed");
	axis_y(to, top, "us");
	for (int i = 0; i <= NINES; i++)
		text(to, LEFT + (RIGHT - LEFT) * i / (double)NINES, BOTTOM + 18, "middle",
			marks[i]);
	text(to, RIGHT, BOTTOM + 38, "end", "%");
	fprintf(to, "<polyline fill=\"none\" stroke=\"" BLUE "\" stroke-width=\"2\" points=\"");
	for (int i = 0; i <= CURVE_STEPS; i++) {
		double nines = (double)NINES * i / CURVE_STEPS;
		double percent = 100 * (1 - pow(10, -nines));
		double us = (double)histogram_percentile(h, percent) / 1e3;

		fprintf(to, "%.1f,%.1f ", LEFT + (RIGHT - LEFT) * nines / NINES, place_y(us, top));
	}
	fprintf(to, "\"/>\n");
}

static double step_rate(const struct search_step *s)
{
	return s->offered / 1e6;
}

/* What was lost at which rate; the line is what was found. */
static void search_plot(const struct search_outcome *s, FILE *to)
{
	double top_rate = 0, top_loss = 0, x;
	char title[128];

	for (unsigned i = 0; i < s->nsteps; i++) {
		top_rate = RW_MAX(top_rate, step_rate(&s->steps[i]));
		top_loss = RW_MAX(top_loss, 100 * s->steps[i].loss);
	}
	top_rate = round_up(top_rate);
	top_loss = round_up(top_loss);
	snprintf(title, sizeof(title), "Frames lost at each rate; highest rate without: %.3f Mpps",
		s->rate / 1e6);
	begin(to, title);
	axis_y(to, top_loss, "lost %");
	axis_x(to, top_rate, "sent Mpps");
	x = LEFT + (RIGHT - LEFT) * s->rate / 1e6 / top_rate;
	fprintf(to, "<path d=\"M%.1f %dV%d\" stroke=\"" GREEN "\" stroke-dasharray=\"4\"/>\n", x,
		TOP, BOTTOM);
	for (unsigned i = 0; i < s->nsteps; i++) {
		x = LEFT + (RIGHT - LEFT) * step_rate(&s->steps[i]) / top_rate;
		fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x,
			place_y(100 * s->steps[i].loss, top_loss), s->steps[i].good ? GREEN : RED);
	}
}

static void bar(FILE *to, double x, double width, double share, const char *colour)
{
	fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x,
		place_y(share, 1), width, BOTTOM - place_y(share, 1), colour);
}

/* Two bars for each port: sent and received. */
static void rate_plot(const struct bench_result *r, FILE *to)
{
	unsigned n = RW_MIN(r->nports, (unsigned)PORTS_MOST);
	double s = r->seconds > 0 ? r->seconds * 1e6 : 1e6, top = 0, width;
	char label[128];

	for (unsigned i = 0; i < n; i++)
		top = RW_MAX(top, (double)RW_MAX(r->ports[i].sent, r->ports[i].received) / s);
	top = round_up(top);
	snprintf(label, sizeof(label),
		"Mpps of each port, sent (grey) and received (blue); "
		"received in all: %.3f",
		report_rate(r) / 1e6);
	begin(to, label);
	axis_y(to, top, "Mpps");
	width = (double)(RIGHT - LEFT) / RW_MAX(n, 1u);
	for (unsigned i = 0; i < n; i++) {
		double x = LEFT + width * i + width * 0.1;

		bar(to, x, width * 0.38, (double)r->ports[i].sent / s / top, GREY);
		bar(to, x + width * 0.4, width * 0.38, (double)r->ports[i].received / s / top,
			BLUE);
		snprintf(label, sizeof(label), "%u", i);
		if (n <= 16 || i % 8 == 0)
			text(to, x + width * 0.4, BOTTOM + 18, "middle", label);
	}
	text(to, RIGHT, BOTTOM + 38, "end", "port");
}

int report_plot(const struct report *r, FILE *to)
{
	if (r->search)
		search_plot(r->search, to);
	else if (r->run && r->run->latency.count)
		latency_plot(&r->run->latency, to);
	else if (r->run)
		rate_plot(r->run, to);
	fputs("</svg>\n", to);
	return ferror(to) ? -EIO : 0;
}
