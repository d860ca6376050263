/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The command line of ringway-exporter. Thread: the only one. */
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "rw_sock.h"
#include "sandbox.h"

/* Where it listens unless told otherwise. */
#define OPTIONS_ADDRESS "127.0.0.1"
#define OPTIONS_PORT    9917u

/* Exit status. */
#define EXIT_CANNOT  1
#define EXIT_MISTAKE 2

struct options {
	char control[RW_SOCK_PATH_MAX + 1];   /* the switch's socket */
	char telemetry[RW_SOCK_PATH_MAX + 1]; /* where DPDK's telemetry is served; "": nowhere */
	struct sockaddr_storage address;
	socklen_t address_len;
	bool loopback;    /* only this host reaches `address` */
	const char *user; /* NULL: unsaid */
	enum sandbox_mode seccomp;
};

/* Read the command line. -1: go on; an exit status: `--help` and the like, or a mistake. */
int options_read(int argc, char **argv, struct options *opt);

/* One line on standard error. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
