/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A switch for targets: one worker, which does not run, or whose rounds the target makes. No socket
 * is opened: those that listen hear nobody, and nobody listens.
 */
#include <errno.h>
#include <sanitizer/lsan_interface.h>
#include <sys/eventfd.h>

#include "apply.h"
#include "daemon.h"
#include "fuzz.h"
#include "rw_log.h"
#include "rw_sock.h"

/* main.c has it: here no timer runs. */
void daemon_balance_every(struct daemon *d, uint32_t seconds)
{
	(void)d, (void)seconds;
}

/* apply_file.c has these: here no signal asks for the file. */
void apply_config_file(struct daemon *d)
{
	(void)d;
}

void apply_file_done(struct daemon *d, const struct applied *a, const struct wanted_fault *fault)
{
	(void)d, (void)a, (void)fault;
}

/* notify.c and state_fdb.c have these: here nobody takes over. */
int notify_fd(uint64_t *watchdog_us)
{
	*watchdog_us = 0;
	return -1;
}

void notify_main(pid_t pid)
{
	(void)pid;
}

void state_fdb_leave(struct daemon *d)
{
	(void)d;
}

uint64_t state_fdb_settles_in(const struct daemon *d)
{
	(void)d;
	return 0;
}

static inline int switch_listen(
	const char *path, const struct rw_sock_access *access, struct rw_sock_id *id)
{
	(void)access;
	*id = (struct rw_sock_id){0};
	return strlen(path) > RW_SOCK_PATH_MAX ? -ENAMETOOLONG
					       : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline int switch_connect(const char *path)
{
	(void)path;
	return -ECONNREFUSED;
}

static inline void switch_unlink(const char *path, const struct rw_sock_id *id)
{
	(void)path, (void)id;
}

static inline bool switch_is_there(const char *path, const struct rw_sock_id *id)
{
	(void)path, (void)id;
	return true;
}

static inline bool switch_any_lost(void)
{
	return false;
}

/* Of this machine's names there is one alone: what an input does depends on nothing else. */
static inline int switch_number(enum rw_sock_who who, const char *name, uint32_t *out)
{
	(void)who;
	*out = 0;
	return strcmp(name, "root") ? -ENOENT : 0;
}

static inline int switch_started(pid_t pid, uint64_t *ms)
{
	(void)pid;
	(void)ms;
	return -ESRCH;
}

/* For LLVMFuzzerInitialize: `d` is zeroed, and static. */
static inline void switch_begin(struct daemon *d)
{
	static const struct rw_sock_ops ops = {
		.listen = switch_listen,
		.connect = switch_connect,
		.unlink = switch_unlink,
		.is_there = switch_is_there,
		.any_lost = switch_any_lost,
		.number = switch_number,
		.started = switch_started,
	};
	static const struct sw_worker_config worker = {0};
	static const struct sw_config cfg = {
		.workers = &worker, .nworkers = 1, .fdb_entries = 1024};
	char *argv[] = {"fuzz", "--no-huge", "--socket-path=/tmp/first.sock", NULL};
	char err[512] = "";
	bool huge;

	if (options_parse(RW_ARRAY_SIZE(argv) - 1, argv, &d->opt, err, sizeof(err)))
		fprintf(stderr, "%s\n", err);
	fuzz_check(!err[0]);
	options_port_del(&d->opt, 0);
	d->opt.ncpus = 0; /* EAL needs no thread for a worker that does not run */
	rw_log_set_level(RW_LOG_ERROR);
	rw_sock_use(&ops);
	fuzz_check(!eal_begin(&d->opt, &huge));
	d->loop = rw_loop_new();
	fuzz_check(d->loop);
	/* Some of it is held from EAL's heap alone, where nobody looks for leaks. */
	__lsan_disable();
	fuzz_check(!sw_new(&cfg, &d->sw));
	__lsan_enable();
	daemon_pools_begin(d);
}
