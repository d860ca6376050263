/* SPDX-License-Identifier: BSD-3-Clause */
/* explain and trace: what is decided of a frame, a line for each step. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "commands.h"
#include "rw_text.h"

#define READ_MS 100 /* from one reading of a trace to the next */

/* ---- words ---- */

/* How the value of a key is given to the switch. */
enum kind { TEXT, MAC, VLAN, NUMBER };

struct key {
	const char *name;
	enum kind kind;
	bool filter; /* trace takes it, too */
};

static const struct key keys[] = {
	{"dst", MAC, true},
	{"src", MAC, true},
	{"vlan", VLAN, true},
	{"type", NUMBER, true},
	{"len", NUMBER, false},
	{"ip_src", TEXT, false},
	{"ip_dst", TEXT, false},
	{"udp_src", NUMBER, false},
	{"udp_dst", NUMBER, false},
};

/* A number, also a hexadecimal one. NULL: it is none. */
static json_t *number_json(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	return *text >= '0' && *text <= '9' && !*end && n <= UINT32_MAX
		? json_integer((json_int_t)n)
		: NULL;
}

static json_t *value_json(enum kind kind, const char *text)
{
	uint8_t mac[RW_MAC_LEN];

	switch (kind) {
	case MAC:
		return rw_mac_parse(text, mac) ? json_string(text) : NULL;
	case VLAN:
		return !strcmp(text, "4095") ? json_integer(4095) : vlan_json(text);
	case NUMBER:
		return number_json(text);
	default:
		return json_string(text);
	}
}

static const struct key *key_of(const char *word, bool filter)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(keys); i++) {
		size_t len = strlen(keys[i].name);

		if (!strncmp(word, keys[i].name, len) && word[len] == '=' &&
			(keys[i].filter || !filter))
			return &keys[i];
	}
	return NULL;
}

static int words_read(struct cli *cli, const char *const *words, unsigned n, bool filter)
{
	for (unsigned i = 0; i < n; i++) {
		const struct key *key = key_of(words[i], filter);
		json_t *value;

		if (!key)
			return complain("unexpected word \"%s\": there are dst=MAC, src=MAC, "
					"vlan=ID, type=NUMBER%s",
				words[i],
				filter ? "" : ", len=BYTES, ip_src=, ip_dst=, udp_src=, udp_dst=");
		value = value_json(key->kind, words[i] + strlen(key->name) + 1);
		if (!value)
			return complain("%s: %s", words[i],
				key->kind == MAC ? "an address is like 52:54:00:00:00:01"
					: key->kind == VLAN
					? "give a number from 0 to 4094, or the "
					  "name of a VLAN"
					: key->kind == TEXT ? "it is not UTF-8 text"
							    : "give a number, such as 0x0806");
		json_object_set_new(cli->params, key->name, value);
	}
	return 0;
}

int explain_read(struct cli *cli, const char *const *words, unsigned n)
{
	if (words_read(cli, words, n, false))
		return -1;
	if (!json_object_get(cli->params, "dst"))
		return complain("to which address is the frame? Give dst=MAC");
	return 0;
}

int trace_read(struct cli *cli, const char *const *words, unsigned n)
{
	return words_read(cli, words, n, true);
}

/* ---- printing ---- */

/* "VLAN 7 (office) of bridge default", "no VLAN" */
static void vlan_print(const json_t *from)
{
	json_int_t vlan = number_of(from, "vlan");

	if (vlan)
		printf("%sVLAN %lld", json_object_get(from, "tpid") ? "service " : "",
			(long long)vlan);
	else
		fputs("no VLAN", stdout);
	if (json_object_get(from, "vlan_name"))
		printf(" (%s)", text_of(from, "vlan_name"));
	if (json_object_get(from, "bridge"))
		printf(", bridge %s", text_of(from, "bridge"));
}

static void flood_print(const json_t *step)
{
	const char *to = text_of(step, "to");

	printf("flood      to %s\n",
		!strcmp(to, "all")             ? "all others of the VLAN that it may reach"
			: !strcmp(to, "group") ? "those that have joined the group, and to "
						 "multicast routers"
					       : "multicast routers: it is a membership report");
}

static void deliver_print(const json_t *step)
{
	const char *tag = text_of(step, "tag");

	printf("deliver    to %s, queue %lld, %lld bytes", text_of(step, "port"),
		(long long)number_of(step, "queue"), (long long)number_of(step, "len"));
	if (json_object_get(step, "tag"))
		printf(", its VLAN tag %s", !strcmp(tag, "pop") ? "removed" : "written");
	if (json_object_get(step, "vlan"))
		printf(": %lld", (long long)number_of(step, "vlan"));
	putchar('\n');
}

static void drop_print(const json_t *step)
{
	bool rx = !strcmp(text_of(step, "direction"), "rx");

	printf("DROP       %s, counted at %s, %s", text_of(step, "reason"), text_of(step, "port"),
		rx ? "rx (what it sent)" : "tx (what it was to receive)");
	if (json_object_get(step, "to"))
		printf("; it was for %s", text_of(step, "to"));
	putchar('\n');
}

static void step_print(const json_t *step, json_int_t *before)
{
	const char *what = text_of(step, "step");

	if (json_object_get(step, "cycles")) {
		json_int_t cycles = number_of(step, "cycles");

		printf("%8lld  ", (long long)(cycles - *before));
		*before = cycles;
	} else {
		fputs("  ", stdout);
	}
	if (!strcmp(what, "policy")) {
		puts("policy     the rules of the port let it pass");
	} else if (!strcmp(what, "domain")) {
		fputs("domain     ", stdout);
		if (json_object_get(step, "vlan"))
			vlan_print(step);
		else
			fputs("none: the port is not in the frame's VLAN", stdout);
		putchar('\n');
	} else if (!strcmp(what, "learn")) {
		printf("learn      source: %s\n", text_of(step, "result"));
	} else if (!strcmp(what, "lookup")) {
		if (json_is_string(json_object_get(step, "port")))
			printf("look up    destination: behind %s\n", text_of(step, "port"));
		else
			puts("look up    destination: not known, or a group");
	} else if (!strcmp(what, "flood")) {
		flood_print(step);
	} else if (!strcmp(what, "deliver")) {
		deliver_print(step);
	} else {
		drop_print(step);
	}
}

static void frame_print(const json_t *frame)
{
	const json_t *steps = json_object_get(frame, "steps"), *step;
	json_int_t before = 0;

	if (json_object_get(frame, "chains")) {
		printf("%lld buffers from %s that are no frames\n",
			(long long)number_of(frame, "chains"), text_of(frame, "port"));
	} else {
		printf("%s > %s, type %s, %lld bytes, from %s, queue %lld", text_of(frame, "src"),
			text_of(frame, "dst"), text_of(frame, "type"),
			(long long)number_of(frame, "len"), text_of(frame, "port"),
			(long long)number_of(frame, "queue"));
		if (number_of(frame, "vlan"))
			printf(", VLAN %lld", (long long)number_of(frame, "vlan"));
		putchar('\n');
	}
	for (size_t i = 0; (step = json_array_get(steps, i)); i++)
		step_print(step, &before);
}

/* ---- explain ---- */

json_t *explain(struct cli *cli)
{
	json_object_set_new(cli->params, "port", json_string(cli->name));
	return call(cli, "explain", json_incref(cli->params));
}

void explain_print(const struct cli *cli, const json_t *frame)
{
	(void)cli;
	frame_print(frame);
}

/* ---- trace ---- */

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* Signals wait for the next pause. */
static void signals_begin(void)
{
	const struct sigaction sa = {.sa_handler = interrupt};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

static void pause_a_while(void)
{
	const struct timespec pause = {.tv_nsec = READ_MS * 1000000L};
	sigset_t none;

	sigemptyset(&none);
	ppoll(NULL, 0, &pause, &none);
}

static void frames_print(struct cli *cli, const json_t *answer)
{
	const json_t *frames = json_object_get(answer, "frames"), *frame;

	for (size_t i = 0; (frame = json_array_get(frames, i)); i++) {
		if (cli->json) {
			json_dumpf(frame, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			frame_print(frame);
		}
	}
	if (number_of(answer, "lost"))
		fprintf(stderr, "ringway: %lld steps or frames found no room and are missing\n",
			(long long)number_of(answer, "lost"));
}

/* Print what comes until it has ended. 0, or -1 with a complaint. */
static int trace_follow(struct cli *cli, json_int_t id)
{
	bool ended = false;

	while (!ended && !interrupted) {
		json_t *answer = call(cli, "trace.read", json_pack("{s:I}", "trace", id));

		if (!answer)
			return -1;
		frames_print(cli, answer);
		ended = is_true(answer, "ended");
		json_decref(answer);
		if (fflush(stdout))
			return -1;
		if (!ended)
			pause_a_while();
	}
	return 0;
}

int trace(struct cli *cli)
{
	json_t *answer;
	json_int_t id;
	int ret;

	json_object_set_new(cli->params, "port", json_string(cli->name));
	if (cli->count_given)
		json_object_set_new(cli->params, "count", json_integer(cli->count));
	answer = call(cli, "trace.start", json_incref(cli->params));
	if (!answer)
		return -1;
	id = number_of(answer, "trace");
	json_decref(answer);
	signals_begin();
	ret = trace_follow(cli, id);
	if (!ret)
		json_decref(call(cli, "trace.stop", json_pack("{s:I}", "trace", id)));
	cli->count = cli->done + 1; /* no more of it */
	return ret;
}
