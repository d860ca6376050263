/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the threads of ringwayd may still ask of the kernel. The process gives up its privileges
 * before EAL starts, so that every thread inherits that; each thread narrows itself further when it
 * knows what it is going to do. Nothing of it can be taken back.
 *
 * Builds with a sanitizer have neither system call filters nor Landlock: its runtime opens files,
 * starts a symbolizer and traces threads. The arm64 emulation of QEMU has none either.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* The kinds of thread. */
enum sandbox_kind {
	SANDBOX_START,   /* everybody, before EAL starts: what any kind needs, and what EAL does */
	SANDBOX_CONTROL, /* the main thread, and threads that it creates */
	SANDBOX_WORKER,  /* EAL's logical cores */
	SANDBOX_SERVICE, /* EAL's interrupt thread */
	SANDBOX_HELPER,  /* the helper process */
	SANDBOX_KINDS,
};

/* What a system call that the filter does not name meets. */
enum sandbox_mode {
	/*
	 * It fails with EPERM, and a line says so the first time; with SIGSYS blocked as in KILL.
	 */
	SANDBOX_ERRNO,
	SANDBOX_KILL, /* the process ends with SIGSYS */
	SANDBOX_OFF,  /* there are no filters */
};

#define SANDBOX_MODE_NAMES "errno, kill or off"

/* enum sandbox_mode, or -EINVAL. */
int sandbox_mode_by_name(const char *name);
const char *sandbox_mode_name(enum sandbox_mode mode);

/* Whether this build and this kernel have filters at all. */
bool sandbox_has_filters(void);

/* A system call, and who makes it. */
struct sandbox_call {
	const char *name;
	unsigned kinds; /* bit: enum sandbox_kind */
	unsigned arg;   /* its first argument; 0: any */
	bool refused;   /* it fails with EPERM, and nobody needs to know */
};

/*
 * sandbox_uplink.c. Note that there is an uplink with that device, before everything else here: 0,
 * or -ENOSPC. Then: whether there is one; the capabilities that the process needs until its threads
 * give them up; file or directory `i` that is written while it starts, or NULL; system call `i`
 * that is made besides, or NULL. Thread: the only one.
 */
int sandbox_uplink_add(const char *device);
bool sandbox_uplink_any(void);
uint64_t sandbox_uplink_capabilities(void);
const char *sandbox_uplink_file(unsigned i);
const struct sandbox_call *sandbox_uplink_call(unsigned i);

/* Make the filters of all kinds. Thread: the only one. 0, or -errno after an error line. */
int sandbox_prepare(enum sandbox_mode mode);
void sandbox_end(void);

/*
 * Allow the calling thread, and threads that it creates, the system calls of `kind` from now on.
 * Each call only ever narrows. Thread: any. 0, or -errno.
 */
int sandbox_filter(enum sandbox_kind kind);

/* The version of Landlock that this build and this kernel have; 0: none. */
int sandbox_landlock_abi(void);
/*
 * From now on the calling thread, and threads that it creates, open no file: SANDBOX_START may
 * still read them, and name threads. Before sandbox_filter(). Thread: any. 0, or -errno.
 */
int sandbox_files(enum sandbox_kind kind);

/* Another user to be. */
struct sandbox_user {
	const char *name; /* its supplementary groups are taken, too */
	uid_t uid;
	gid_t gid;
};

/*
 * No program that the process starts gains privileges, it becomes `user` (NULL: stays who it is),
 * and of its capabilities it keeps those in `keep` (bit: CAP_*); the bounding and ambient sets are
 * emptied as far as that is allowed. Thread: the only one. 0, or -errno.
 */
int sandbox_capabilities(const struct sandbox_user *user, uint64_t keep);
/* The calling thread gives up the capabilities that it kept. Thread: any. 0, or -errno. */
int sandbox_capabilities_end(void);
