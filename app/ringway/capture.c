/* SPDX-License-Identifier: BSD-3-Clause */
/* capture: frames as ports sent and received them, into a file or as lines. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "capture_run.h"
#include "rw_loop.h"

#define IDLE_MS      5    /* between two looks at rings that were empty */
#define BATCH        4096 /* frames that are handled before the rest is looked at */
#define LAST_BATCHES 64   /* at most, after an interrupt */
#define NAMES_MS     1000 /* between two questions for the names of ports */
#define LINE_BYTES   512

/* ---- one frame ---- */

/* Ports that came since have names, too. */
static const char *name_of(struct capture_run *run, uint16_t port, char fallback[16])
{
	uint64_t now = rw_now_ms();
	struct ctl_failure fail;
	json_t *ports;

	if (!run->names[port][0] && now - run->names_ms > NAMES_MS) {
		run->names_ms = now;
		ports = ctl_call(run->cli->fd, "port.list", NULL, CAPTURE_TIMEOUT_MS, &fail);
		capture_names_read(run, ports);
		json_decref(ports);
	}
	if (run->names[port][0])
		return run->names[port];
	snprintf(fallback, 16, "#%u", port);
	return fallback;
}

static int frame_print(struct capture_run *run, const struct cap_record *record,
	const uint8_t *bytes, const struct capture_names *names)
{
	char line[LINE_BYTES];
	json_t *object;

	if (run->cli->json) {
		object = capture_json(record, bytes, names);
		json_dumpf(object, stdout, JSON_COMPACT);
		json_decref(object);
		putchar('\n');
		return 0;
	}
	capture_line(record, bytes, names, line, sizeof(line));
	puts(line);
	return 0;
}

static int frame_take(
	struct capture_run *run, const struct cap_record *record, const uint8_t *bytes)
{
	char port[16], other[16];
	struct capture_names names = {
		.why = json_string_value(json_array_get(run->reasons, record->why))};

	if (record->port >= CAP_PORTS_MAX)
		return complain("the switch sent a frame of port %u", record->port);
	names.port = name_of(run, record->port, port);
	if (record->other < CAP_PORTS_MAX)
		names.other = name_of(run, record->other, other);
	run->frames++;
	return run->cli->capture.write ? capture_files_add(run, record, bytes, &names)
				       : frame_print(run, record, bytes, &names);
}

/* ---- all of them ---- */

static bool has_enough(const struct capture_run *run)
{
	return run->cli->count_given && run->cli->count && run->frames >= run->cli->count;
}

/* The reader whose next record is the oldest, and the record. NULL: there is none, or `*ret`. */
static struct cap_reader *oldest(
	struct capture_run *run, struct cap_record *record, const uint8_t **bytes, int *ret)
{
	struct cap_reader *first = NULL;
	struct cap_record here;
	const uint8_t *at;

	for (unsigned i = 0; i < run->layout.nparts; i++) {
		int n = cap_reader_next(&run->readers[i], &here, &at);

		if (n < 0)
			*ret = complain("the memory of the capture contradicts itself");
		if (n <= 0 || (first && here.time_ns >= record->time_ns))
			continue;
		first = &run->readers[i];
		*record = here;
		*bytes = at;
	}
	return *ret ? NULL : first;
}

/* Handle what has come, a batch at most. How many frames, or -1 with a complaint. */
static int batch_take(struct capture_run *run)
{
	struct cap_record record;
	struct cap_reader *reader;
	const uint8_t *bytes = NULL;
	int n = 0, ret = 0;

	for (unsigned i = 0; i < run->layout.nparts; i++) {
		if (cap_reader_look(&run->readers[i]))
			return complain("the memory of the capture contradicts itself");
	}
	while (n < BATCH && !has_enough(run) &&
		(reader = oldest(run, &record, &bytes, &ret)) != NULL) {
		ret = frame_take(run, &record, bytes);
		cap_reader_skip(reader, &record);
		if (ret)
			break;
		n++;
	}
	for (unsigned i = 0; i < run->layout.nparts; i++)
		cap_reader_release(&run->readers[i]);
	if (!ret && n)
		ret = run->cli->capture.write ? capture_files_flush(run)
					      : (fflush(stdout) ? -1 : 0);
	return ret ? -1 : n;
}

/* Wait for `ms`, unless the switch ends. 0; 1: it has ended. */
static int switch_wait(const struct capture_run *run, int ms)
{
	struct pollfd pfd = {.fd = run->cli->fd, .events = POLLIN};
	char byte;

	if (poll(&pfd, 1, ms) <= 0)
		return 0;
	return recv(run->cli->fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

static int frames_take(struct capture_run *run)
{
	const struct cap_part *first = run->readers[0].part;
	int n = 0;

	while (!has_enough(run) && !interrupts_came()) {
		bool ended = __atomic_load_n(&first->ended, __ATOMIC_RELAXED);

		n = batch_take(run);
		if (n < 0)
			return -1;
		if (!n && ended)
			return complain("the ports that were captured are gone");
		if (switch_wait(run, n ? 0 : IDLE_MS))
			return complain("the switch at %s has gone away", run->cli->socket);
	}
	/* What had come before the user wanted an end is his. */
	for (unsigned i = 0; i < LAST_BATCHES && !has_enough(run); i++) {
		n = batch_take(run);
		if (n <= 0)
			return n;
	}
	return 0;
}

/* What came of it, where it does not mix with frames. */
static void summary_print(const struct capture_run *run)
{
	struct cap_count sum = {0};

	for (unsigned id = 0; id < CAP_PORTS_MAX; id++) {
		struct cap_count c = capture_counts(run, (uint16_t)id);

		sum.taken += c.taken;
		sum.lost += c.lost;
	}
	fprintf(stderr, "%llu frames captured, %llu lost because this program was too slow\n",
		(unsigned long long)run->frames, (unsigned long long)sum.lost);
}

static int capture_all(struct capture_run *run)
{
	int ret = capture_words_sort(run->cli, run);

	if (!ret && run->cli->capture.write)
		ret = capture_files_begin(run);
	if (!ret)
		ret = capture_memory_begin(run);
	if (ret)
		return ret;
	ret = frames_take(run);
	summary_print(run);
	return ret;
}

int capture(struct cli *cli)
{
	struct capture_run *run = calloc(1, sizeof(*run));
	int ret;

	if (!run)
		return complain("no memory");
	run->cli = cli;
	run->fd = -1;
	run->ports = json_array();
	if (cli->capture.write && cli->json)
		ret = complain("--json prints frames, and -w writes them: give one of the two");
	else if (cli->capture.ring_files &&
		(!cli->capture.write || !strcmp(cli->capture.write, "-")))
		ret = complain("--ring-files wants -w FILE");
	else if (cli->capture.file_size && !cli->capture.ring_files)
		ret = complain("--file-size is that of the files of --ring-files");
	else if (interrupts_begin(), cli->fd < 0 && cli_connect(cli))
		ret = -1;
	else
		ret = capture_all(run);
	if (capture_files_end(run))
		ret = -1;
	capture_memory_end(run);
	json_decref(run->program);
	json_decref(run->ports);
	free(run);
	cli->count = cli->done + 1; /* no more of it */
	return ret;
}
