/* SPDX-License-Identifier: BSD-3-Clause */
/* top: what happens in a second, again and again on the terminal, or once as plain text. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "answer.h"
#include "commands.h"

#define SCREEN_BEGIN "\033[?1049h\033[?25l" /* the other screen, without a cursor */
#define SCREEN_END   "\033[?25h\033[?1049l"
#define SCREEN_HOME  "\033[H"
#define LINE_CLEAR   "\033[K"
#define REST_CLEAR   "\033[J"

static volatile sig_atomic_t interrupted;
static struct termios before; /* as the terminal was */
static bool on_screen;

void (*before_complaint)(void);

static void interrupt(int sig)
{
	/* SIGWINCH only ends the wait: the size is asked for anyway. */
	if (sig != SIGWINCH)
		interrupted = 1;
}

static void screen_end(void)
{
	if (!on_screen)
		return;
	on_screen = false;
	fputs(SCREEN_END, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void screen_begin(void)
{
	const struct sigaction sa = {.sa_handler = interrupt};
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before))
		return;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGWINCH, &sa, NULL);
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	on_screen = true;
	before_complaint = screen_end;
	fputs(SCREEN_BEGIN, stdout);
}

/* ---- tables ---- */

/* Where the text goes, and how many characters a line may have. */
struct page {
	FILE *to;
	size_t width;
};

/* The table is printed with names as long as the page has room for, and freed. */
static void named_print(struct table *t, const struct page *page)
{
	table_narrow(t, 0, page->width);
	table_print(t, page->to);
	table_free(t);
}

/* Titles are as wide as the longest rate: columns stay where they are from one page to the next. */
#define FRAMES " FRAMES/S"
#define BITS   "   BITS/S"
#define DROPS  "  DROPS/S"

/* A line for each port. */
static struct table *ports_table(const json_t *ports)
{
	static const struct table_column columns[] = {{"PORT", false}, {"RX FRAMES/S", true},
		{"RX BITS/S", true}, {"TX FRAMES/S", true}, {"TX BITS/S", true}, {DROPS, true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		const json_t *rx = json_object_get(port, "rx"), *tx = json_object_get(port, "tx");

		table_cell(t, "%s", text_of(port, "name"));
		cell_rate_of(t, rx, "frames_per_s");
		cell_rate_of(t, rx, "bits_per_s");
		cell_rate_of(t, tx, "frames_per_s");
		cell_rate_of(t, tx, "bits_per_s");
		cell_rate(t,
			json_number_value(json_object_get(rx, "drops_per_s")) +
				json_number_value(json_object_get(tx, "drops_per_s")));
	}
	return t;
}

/* A line for each direction of a port. */
static struct table *directions_table(const json_t *ports)
{
	static const struct table_column columns[] = {
		{"PORT", false}, {"DIRECTION", false}, {FRAMES, true}, {BITS, true}, {DROPS, true}};
	static const char *const directions[] = {"rx", "tx"};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		for (size_t d = 0; d < RW_ARRAY_SIZE(directions); d++) {
			const json_t *rates = json_object_get(port, directions[d]);

			table_cell(t, "%s", d ? "" : text_of(port, "name"));
			table_cell(t, "%s", directions[d]);
			cell_rate_of(t, rates, "frames_per_s");
			cell_rate_of(t, rates, "bits_per_s");
			cell_rate_of(t, rates, "drops_per_s");
		}
	}
	return t;
}

static void ports_print(const json_t *ports, const struct page *page)
{
	struct table *t = ports_table(ports);

	if (table_width(t) > page->width) {
		table_free(t);
		t = directions_table(ports);
	}
	named_print(t, page);
}

static void workers_print(const json_t *workers, const struct page *page)
{
	static const struct table_column columns[] = {{"CPU", true}, {"   BUSY", true},
		{" ASLEEP", true}, {FRAMES, true}, {"QUEUES", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *worker;

	for (size_t i = 0; (worker = json_array_get(workers, i)); i++) {
		cell_number(t, worker, "cpu");
		table_cell(t, "%.1f %%", 100 * json_number_value(json_object_get(worker, "busy")));
		table_cell(
			t, "%.1f %%", 100 * json_number_value(json_object_get(worker, "asleep")));
		cell_rate_of(t, worker, "frames_per_s");
		cell_number(t, worker, "queues");
	}
	table_print(t, page->to);
	table_free(t);
}

/* Nothing if nothing was dropped. */
static void drops_print(const json_t *ports, const struct page *page)
{
	static const struct table_column columns[] = {
		{"PORT", false}, {"DIRECTION", false}, {DROPS, true}, {"REASON", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port, *drop;
	bool any = false;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		const json_t *drops = json_object_get(port, "drop_reasons");

		for (size_t k = 0; (drop = json_array_get(drops, k)); k++) {
			table_cell(t, "%s", text_of(port, "name"));
			table_cell(t, "%s", text_of(drop, "direction"));
			cell_rate_of(t, drop, "per_s");
			table_cell(t, "%s", text_of(drop, "reason"));
			any = true;
		}
	}
	if (!any) {
		table_free(t);
		return;
	}
	fputc('\n', page->to);
	named_print(t, page);
}

static void page_print(const json_t *rates, const struct page *page)
{
	workers_print(json_object_get(rates, "workers"), page);
	fputc('\n', page->to);
	ports_print(json_object_get(rates, "ports"), page);
	drops_print(json_object_get(rates, "ports"), page);
}

/* ---- the terminal ---- */

/* As many lines of the text as the terminal has room for, and how many there are more. */
static void page_show(const char *text, struct winsize size)
{
	const char *line = text;
	unsigned row, more = 0;
	char last[64];

	fputs(SCREEN_HOME, stdout);
	for (row = 0; *line && row + 1 < size.ws_row; row++) {
		size_t len = strcspn(line, "\n");

		printf("%.*s" LINE_CLEAR "\r\n", (int)RW_MIN(len, (size_t)size.ws_col), line);
		line += len + (line[len] == '\n');
	}
	for (; *line; line++)
		more += *line == '\n';
	fputs(REST_CLEAR "\r", stdout);
	snprintf(last, sizeof(last), more ? "q: the end; %u more lines" : "q: the end", more);
	printf("%.*s", size.ws_col, last);
	fflush(stdout);
}

static int show(const json_t *rates)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct page page;
	char *text = NULL;
	size_t len;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	page = (struct page){open_memstream(&text, &len), size.ws_col};
	if (!page.to)
		return complain("no memory");
	page_print(rates, &page);
	fclose(page.to);
	page_show(text, size);
	free(text);
	return 0;
}

/* Wait for the next reading. Whether the user wants no other one. */
static bool wait_or_quit(double seconds)
{
	struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	if (interrupted)
		return true;
	if (poll(&pfd, 1, (int)(seconds * 1000)) > 0) {
		if (read(STDIN_FILENO, &key, 1) <= 0)
			return true;
		return key == 'q' || key == 'Q';
	}
	return interrupted;
}

static int watch(struct cli *cli)
{
	json_t *old = rate_reading(cli);
	int ret = old ? 0 : -1;

	if (!ret)
		screen_begin();
	while (!ret && !wait_or_quit(cli->interval_s)) {
		json_t *now = rate_reading(cli), *rates;

		if (!now) {
			ret = -1;
			break;
		}
		rates = rate_between(old, now);
		ret = show(rates);
		json_decref(rates);
		json_decref(old);
		old = now;
	}
	screen_end();
	json_decref(old);
	return ret;
}

int top(struct cli *cli)
{
	json_t *rates;

	if (!cli->once && !cli->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return watch(cli);
	rates = rate(cli);
	if (!rates)
		return -1;
	if (cli->json) {
		json_dumpf(rates, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		page_print(rates, &(struct page){stdout, SIZE_MAX});
	}
	json_decref(rates);
	return 0;
}
