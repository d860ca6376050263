/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The command line of ringwayd: what a user asked for, checked as far as it can be without
 * starting anything. A mistake is one line that names the option, the value and what to do.
 *
 * The conventions for vhost-user back-end programs (QEMU, docs/interop/vhost-user) hold:
 * --socket-path, --fd, --print-capabilities, --pidfile.
 *
 * Nothing here knows EAL. Thread: the one that starts the program.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rw_budget.h"
#include "rw_log.h"
#include "rw_sock.h"
#include "sandbox.h"
#include "sw_forward.h"
#include "sw_idle.h"
#include "sw_policy.h"
#include "vhost_allowed.h"

#define OPTIONS_PORTS_MAX  1024 /* as many as the switch has */
#define OPTIONS_CPUS_MAX   64   /* workers */
#define OPTIONS_NAME_MAX   32   /* bytes of a port's name */
#define OPTIONS_TEXT_MAX   63   /* bytes of a port's description */
#define OPTIONS_PAIRS_MAX  64   /* KEY=VALUE of a port */
#define OPTIONS_FILE_MAX   4095
#define OPTIONS_AT_MAX     128  /* bytes of the path of a value in a document */
#define OPTIONS_USER_MAX   32   /* bytes of a user's name */
#define OPTIONS_USERS_MAX  65   /* bytes of NAME:GROUP */
#define OPTIONS_DIRS_MAX   16   /* --socket-dir */
#define OPTIONS_DEVICE_MAX 511  /* bytes of an uplink's device and its arguments */
#define OPTIONS_VLAN_MAX   4094 /* the largest VLAN id (IEEE 802.1Q, 9.6) */

/* Bridges besides the default one: as many as the switch has. */
#define OPTIONS_BRIDGES_MAX    1023
#define OPTIONS_BRIDGE_DEFAULT "default"

/* Mirrors: as many as the switch has; most ports that a mirror names as its sources. */
#define OPTIONS_MIRRORS_MAX 8
#define OPTIONS_SOURCES_MAX 64
#define OPTIONS_SNAP_MIN    14           /* an Ethernet header */
#define OPTIONS_SNAP_MAX    (65535 + 18) /* the longest frame */
#define OPTIONS_SAMPLE_MAX  1000000000

/* What options_parse found besides "run" (0) and a mistake (< 0). */
#define OPTIONS_HELP         1
#define OPTIONS_VERSION      2
#define OPTIONS_CAPABILITIES 3
#define OPTIONS_CHECKED      4 /* --check-config found no mistake */
#define OPTIONS_SCHEMA       5
#define OPTIONS_CONTROL      6 /* --control-schema */

struct port_kind;

/*
 * Which VLANs a port is in, and of which bridge. With neither `access` nor `trunk` it is
 * transparent: in all of them, and its frames carry their tags.
 */
struct options_vlans {
	char bridge[OPTIONS_NAME_MAX + 1]; /* "": the default one */
	bool service;    /* its tags are of service VLANs (802.1ad), not of customer VLANs */
	uint16_t access; /* the VLAN of all its frames, which have no tag; 0: no access port */
	bool trunk;
	/* Of a trunk. */
	uint16_t native;                             /* of frames without a tag; 0: dropped */
	uint64_t allowed[OPTIONS_VLAN_MAX / 64 + 1]; /* bit: VLAN of tagged frames */
};

enum options_mode {
	OPTIONS_SERVER, /* listen on `path` */
	OPTIONS_CLIENT, /* connect to `path`, again and again */
	OPTIONS_FD,     /* use the socket `fd` */
};

struct options_vlan_name {
	char name[OPTIONS_NAME_MAX + 1];
	uint16_t vlan;
};

/* What a user said about the access to a socket. */
struct options_access {
	bool mode_given, owner_given, group_given;
	struct rw_sock_access access;
};

/*
 * What the user said about a port. The same whether he said it at the start or to a running switch.
 */
struct options_port {
	char name[OPTIONS_NAME_MAX + 1];
	const struct port_kind *kind;
	bool of_words;                          /* given on the command line */
	char description[OPTIONS_TEXT_MAX + 1]; /* "": none */
	struct options_vlans vlans;
	struct sw_policy policy;

	/* Kind vhost. */
	enum options_mode mode;
	char path[RW_SOCK_PATH_MAX + 1];  /* "" for OPTIONS_FD */
	struct options_access access;     /* OPTIONS_SERVER: to the socket */
	int fd;                           /* -1 but for OPTIONS_FD */
	bool listening;                   /* `fd` is a listening socket, not a connection */
	struct vhost_allowed allowed;     /* what front-ends may do beyond the usual */
	uint64_t limits[RW_BUDGET_KINDS]; /* what they may take */

	/* Kind ethdev. */
	char device[OPTIONS_DEVICE_MAX + 1]; /* DRIVER or a PCI address, then ,KEY=VALUE... */
	uint16_t mtu;                        /* bytes; 0: the usual one */
	uint16_t queues;                     /* pairs; 0: as many as there are workers */
	void *prepared;                      /* the device, until there is a port of it */
};

/* What the user said about a mirror. The ports that it names may come and go. */
struct options_mirror {
	char name[OPTIONS_NAME_MAX + 1];
	char to[OPTIONS_NAME_MAX + 1]; /* the port that gets the copies */
	/* Either ports, or a VLAN of a bridge. */
	char sources[OPTIONS_SOURCES_MAX][OPTIONS_NAME_MAX + 1];
	unsigned nsources;
	bool of_vlan;
	bool service;                      /* a service VLAN (802.1ad) */
	uint16_t vlan;                     /* 0: frames without a VLAN */
	char bridge[OPTIONS_NAME_MAX + 1]; /* "": the default one */
	bool rx, tx;                       /* what sources sent, what they received */
	uint32_t snap;                     /* bytes of each frame; 0: all */
	uint32_t sample;                   /* one of so many frames; from 1 on */
};

struct options {
	struct options_port ports[OPTIONS_PORTS_MAX]; /* in the order given, names unique */
	unsigned nports;                              /* at least one at the start, or a `config` */
	char bridges[OPTIONS_BRIDGES_MAX][OPTIONS_NAME_MAX + 1]; /* besides the default one */
	unsigned nbridges;
	struct options_vlan_name vlan_names[OPTIONS_VLAN_MAX]; /* names and VLANs are unique */
	unsigned nvlan_names;
	struct options_mirror mirrors[OPTIONS_MIRRORS_MAX]; /* names are unique */
	unsigned nmirrors;
	uint64_t words; /* bit: row of the table of options, given on the command line */
	unsigned cpus[OPTIONS_CPUS_MAX];      /* worker CPUs in the order given */
	unsigned ncpus;                       /* at least one */
	bool cpus_are_default;                /* the user did not say */
	char control[RW_SOCK_PATH_MAX + 1];   /* control socket; "": none */
	char takeover[RW_SOCK_PATH_MAX + 1];  /* control socket of whom to take over; "": nobody */
	bool no_control;                      /* the user wants none */
	bool control_is_default;              /* the user did not say */
	char pidfile[OPTIONS_FILE_MAX + 1];   /* "": none */
	char state_dir[OPTIONS_FILE_MAX + 1]; /* of what outlives the process; "": none */
	bool state_dir_is_default;            /* the user did not say */
	char config[OPTIONS_FILE_MAX + 1];    /* the configuration; "": none */
	bool no_huge;                         /* no huge pages */
	char socket_dirs[OPTIONS_DIRS_MAX][RW_SOCK_PATH_MAX + 1]; /* for ports to come */
	unsigned nsocket_dirs;
	struct rw_sock_access access;          /* to sockets of ports that say nothing */
	struct sandbox_user user;              /* to be, if one was given */
	char user_name[OPTIONS_USER_MAX + 1];  /* "": none was given */
	char user_said[OPTIONS_USERS_MAX + 1]; /* with the group, as it was given */
	enum sandbox_mode seccomp;             /* what meets a call that no filter names */
	enum rw_log_level log_level;
	uint32_t fdb_size;     /* entries */
	uint32_t fdb_age_s;    /* seconds; 0: entries never age */
	uint32_t fdb_linger_s; /* seconds that entries outlive their front-end; 0: none */
	enum sw_forward forward;
	enum sw_idle_mode idle;
	bool snooping;      /* of IGMP and MLD */
	uint32_t balance_s; /* seconds from one balancing to the next; 0: never */
};

/*
 * Read the command line into `out`. 0: run; > 0: print what OPTIONS_HELP, OPTIONS_VERSION or
 * OPTIONS_CAPABILITIES names and exit 0; < 0: a mistake, and `err` holds one line for "ringwayd: ".
 * `out` is written for 0 only. `argv` may be reordered.
 */
int options_parse(int argc, char **argv, struct options *out, char *err, size_t errlen);

/*
 * For a takeover (takeover.h). What a running switch says of its options: the names of those that
 * its command line gave, and of ports that it gave. New references.
 */
json_t *options_words(const struct options *opt);
json_t *options_ports_of_words(const struct options *opt);

/* What the running switch said. All borrowed. */
struct options_running {
	const json_t *document; /* options_document */
	const json_t *words, *ports_of_words;
	const char *config; /* its path; NULL: none */
	bool control_is_default;
};
/* Complete options that options_parse left unread because of `takeover`. As options_parse. */
int options_take(struct options *opt, const struct options_running *from, char *err, size_t errlen);

/* Whether there is a configuration that can be read again: standard input cannot. */
bool options_config_is_file(const struct options *opt);

/* KEY=VALUE of a port. */
struct options_pair {
	const char *key, *value;
};

/*
 * What --port does, for a switch that runs: add a port behind those of `opt`, change what may
 * change of the port at `index`, or forget that port. 0; or < 0, nothing is changed and `err` holds
 * one line.
 */
int options_port_add(struct options *opt, const char *name, const struct options_pair *pairs,
	unsigned npairs, char *err, size_t errlen);
int options_port_set(struct options *opt, unsigned index, const struct options_pair *pairs,
	unsigned npairs, char *err, size_t errlen);
void options_port_del(struct options *opt, unsigned index);

/*
 * What --bridge does, for a switch that runs, and the opposite. 0; or < 0, nothing is changed and
 * `err` holds one line.
 */
int options_bridge_add(struct options *opt, const char *name, char *err, size_t errlen);
int options_bridge_del(struct options *opt, const char *name, char *err, size_t errlen);
/* The same with --mirror; `index` is that of a mirror that there is. */
int options_mirror_add(struct options *opt, const char *name, const struct options_pair *pairs,
	unsigned npairs, char *err, size_t errlen);
void options_mirror_del(struct options *opt, unsigned index);
/* Whether a bridge has that name; OPTIONS_BRIDGE_DEFAULT always is there. */
bool options_bridge_exists(const struct options *opt, const char *name);
/* The name of the port's bridge. */
const char *options_bridge_of(const struct options_port *port);

/* The name of a VLAN; NULL: it has none. */
const char *options_vlan_name(const struct options *opt, unsigned vlan);
/* The VLAN that the first `len` bytes of `name` are the name of; 0: none. */
uint16_t options_vlan_named(const struct options *opt, const char *name, size_t len);

bool options_vlan_has(const struct options_vlans *v, unsigned vlan);
/* The VLANs that a trunk allows, as "10+20-30". */
#define OPTIONS_VLANS_TEXT 12288
void options_vlans_text(const struct options_vlans *v, char *out, size_t len);

/*
 * A document from which these options can be read again; ports that no document can describe
 * (--fd) are left out. A new reference.
 */
json_t *options_document(const struct options *opt);
/* The entry of one port; NULL: no document can describe it. */
json_t *options_port_document(const struct options_port *port);

/* The JSON Schema of such a document. A new reference. */
json_t *options_schema(void);

void options_print_help(FILE *to);
/* As @VHostUserBackendCapabilities of QEMU's vhost-user.json. */
void options_print_capabilities(FILE *to);
