/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of a running switch, and what the switch answers: the first lines are words, the
 * rest is what comes over the socket.
 */
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "rw_text.h"
#include "text.h"

int complain(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(line, sizeof(line), fmt, ap);
	va_end(ap);
	check_line(line, sizeof(line));
	return -1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	/* What it prints is for people. */
	fuzz_check(freopen("/dev/null", "w", stdout));
	return 0;
}

/* A connection on which the answers wait, and then end. */
static int answers_of(const struct fuzz_text *t)
{
	int sv[2];

	fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	if (t->restlen)
		fuzz_check(send(sv[1], t->rest, t->restlen, MSG_NOSIGNAL) == (ssize_t)t->restlen);
	shutdown(sv[1], SHUT_WR);
	close(sv[1]);
	return sv[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli cli = {.socket = "fuzz", .fd = -1, .interval_s = 0.01, .count = 1};
	const struct command *command;
	struct fuzz_text t;
	uint8_t bits = size ? data[0] : 0;

	text_read(&t, data + !!size, size - !!size);
	cli.params = json_object();
	cli.json = bits & 1;
	cli.queues = bits & 2;
	cli.replace = bits & 4;
	cli.port = bits & 8 ? "vm1" : NULL;
	command = command_find((const char *const *)t.words, t.nwords, &cli);
	if (command && !((command->takes & COMMAND_NEEDS_NAME) && !cli.name) &&
		!((command->takes & COMMAND_NEEDS_PORT) && !cli.port)) {
		cli.fd = answers_of(&t);
		command_run(command, &cli);
		close(cli.fd);
	}
	json_decref(cli.params);
	text_free(&t);
	return 0;
}
