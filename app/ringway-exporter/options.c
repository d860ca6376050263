/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "metrics.h"
#include "rw_text.h"
#include "version.h"

void complain(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "ringway-exporter: %s\n", line);
}

static void print_help(void)
{
	printf("Usage: ringway-exporter [-s PATH] [--listen=ADDRESS:PORT]\n"
	       "Serve what a running ringwayd says of itself over HTTP: a page for people, and\n"
	       "/metrics for Prometheus.\n"
	       "It only reads: nothing that it serves changes the switch.\n"
	       "\n"
	       "Options:\n"
	       "  -s, --socket=PATH  control socket of the switch (default: for root\n"
	       "                     /run/ringway.sock, for others\n"
	       "                     $XDG_RUNTIME_DIR/ringway.sock or /tmp/ringway-UID.sock)\n"
	       "      --listen=ADDRESS:PORT\n"
	       "                     where to serve (default: %s:%u); ADDRESS is\n"
	       "                     a number, IPv6 in brackets: [::1]:%u. There is no\n"
	       "                     password: other hosts reach it only if told so\n"
	       "      --user=NAME    whom to be when root starts it (default: ringway-exporter,\n"
	       "                     if there is such a user)\n"
	       "      --seccomp=errno|kill|off\n"
	       "                     what meets a system call that it has no use for\n"
	       "                     (default: errno)\n"
	       "      --telemetry=PATH\n"
	       "                     also serve what dpdk-telemetry.py reads, at this socket; for\n"
	       "                     `dpdk-telemetry.py -f ringway` as root it is\n"
	       "                     /run/dpdk/ringway/dpdk_telemetry.v2\n"
	       "      --list-metrics print the metrics, their labels and meaning, and exit\n"
	       "  -V, --version      print the version and exit\n"
	       "  -h, --help         print this and exit\n"
	       "\n"
	       "It ends on SIGTERM and SIGINT. Exit status: 0; 1 when it cannot run here; 2 when\n"
	       "the command line is wrong.\n",
		OPTIONS_ADDRESS, OPTIONS_PORT, OPTIONS_PORT);
}

/* Split "ADDRESS:PORT" or "[ADDRESS]:PORT". False: it is neither. */
static bool address_split(const char *text, char *host, size_t len, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	uint32_t number;

	if (!n || !rw_text_number(colon + 1, 0, UINT16_MAX, &number))
		return false;
	if (text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= len)
		return false;
	memcpy(host, text, n);
	host[n] = 0;
	*port = (uint16_t)number;
	return true;
}

static bool address_read(struct options *opt, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&opt->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&opt->address;
	char host[INET6_ADDRSTRLEN];
	uint16_t port;

	if (!address_split(text, host, sizeof(host), &port))
		return false;
	memset(&opt->address, 0, sizeof(opt->address));
	if (text[0] != '[' && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		opt->address_len = sizeof(*in);
		opt->loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
		return true;
	}
	if (text[0] != '[' || inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return false;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	opt->address_len = sizeof(*in6);
	opt->loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	return true;
}

static bool path_read(char out[RW_SOCK_PATH_MAX + 1], const char *text)
{
	if (!*text || strlen(text) > RW_SOCK_PATH_MAX)
		return false;
	strcpy(out, text);
	return true;
}

enum option_id { ID_LISTEN = 256, ID_TELEMETRY, ID_USER, ID_SECCOMP, ID_LIST };

static const struct option longs[] = {
	{"socket", required_argument, NULL, 's'},
	{"listen", required_argument, NULL, ID_LISTEN},
	{"telemetry", required_argument, NULL, ID_TELEMETRY},
	{"user", required_argument, NULL, ID_USER},
	{"seccomp", required_argument, NULL, ID_SECCOMP},
	{"list-metrics", no_argument, NULL, ID_LIST},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static int option_unknown(const char *word)
{
	const char *names[RW_ARRAY_SIZE(longs) - 1], *nearest;

	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++)
		names[i] = longs[i].name;
	nearest = rw_text_nearest_option(word, names, RW_ARRAY_SIZE(names));
	if (nearest)
		complain("unknown option %s: did you mean --%s? (see --help)", word, nearest);
	else
		complain("unknown option %s (see --help)", word);
	return EXIT_MISTAKE;
}

/* An option with a value, optarg. -1: fine. */
static int option_value(int id, struct options *opt)
{
	int mode;

	switch (id) {
	case 's':
		if (path_read(opt->control, optarg))
			return -1;
		complain("--socket=%s: a path has 1 to %d bytes", optarg, RW_SOCK_PATH_MAX);
		return EXIT_MISTAKE;
	case ID_LISTEN:
		if (address_read(opt, optarg))
			return -1;
		complain("--listen wants an address and a port, like %s:%u or [::1]:%u, not "
			 "\"%s\"",
			OPTIONS_ADDRESS, OPTIONS_PORT, OPTIONS_PORT, optarg);
		return EXIT_MISTAKE;
	case ID_TELEMETRY:
		if (path_read(opt->telemetry, optarg))
			return -1;
		complain("--telemetry=%s: a path has 1 to %d bytes", optarg, RW_SOCK_PATH_MAX);
		return EXIT_MISTAKE;
	case ID_USER:
		opt->user = optarg;
		return -1;
	default:
		mode = sandbox_mode_by_name(optarg);
		if (mode >= 0) {
			opt->seccomp = (enum sandbox_mode)mode;
			return -1;
		}
		complain("--seccomp wants " SANDBOX_MODE_NAMES ", not \"%s\"", optarg);
		return EXIT_MISTAKE;
	}
}

/* What prints and exits. */
static int inform(int id)
{
	if (id == 'h')
		print_help();
	else if (id == 'V')
		printf("ringway-exporter %s\n", RINGWAY_VERSION);
	else
		metrics_list(stdout);
	return rw_stdout_close() ? 0 : EXIT_CANNOT;
}

int options_read(int argc, char **argv, struct options *opt)
{
	int id, at, ret;

	*opt = (struct options){.seccomp = SANDBOX_ERRNO};
	if (ctl_default_path(opt->control, sizeof(opt->control)))
		opt->control[0] = 0;
	address_read(opt, "127.0.0.1:9917");
	opterr = 0;
	while (at = optind, (id = getopt_long(argc, argv, ":s:hV", longs, NULL)) != -1) {
		if (id == 'h' || id == 'V' || id == ID_LIST)
			return inform(id);
		if (id == '?')
			return option_unknown(argv[at]);
		if (id == ':') {
			complain("%s wants a value (see --help)", argv[at]);
			return EXIT_MISTAKE;
		}
		ret = option_value(id, opt);
		if (ret >= 0)
			return ret;
	}
	if (optind < argc) {
		complain("unexpected word \"%s\" (see --help)", argv[optind]);
		return EXIT_MISTAKE;
	}
	return -1;
}
