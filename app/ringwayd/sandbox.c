/* SPDX-License-Identifier: BSD-3-Clause */
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rw_base.h"

static const char *const mode_names[] = {
	[SANDBOX_ERRNO] = "errno", [SANDBOX_KILL] = "kill", [SANDBOX_OFF] = "off"};

const char *sandbox_mode_name(enum sandbox_mode mode)
{
	return mode_names[mode];
}

int sandbox_mode_by_name(const char *name)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(mode_names); i++) {
		if (!strcmp(name, mode_names[i]))
			return (int)i;
	}
	return -EINVAL;
}

/* Only CAP_SETPCAP can empty the bounding set; without it, the set stays and gives nothing. */
static int bounding_set_empty(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EPERM)
			return -errno;
	}
	return 0;
}

static int user_become(const struct sandbox_user *user)
{
	if (initgroups(user->name, user->gid) || setresgid(user->gid, user->gid, user->gid) ||
		setresuid(user->uid, user->uid, user->uid))
		return -errno;
	/*
	 * As if that user had started the program: its files in /proc are its own, and the core of
	 * a crash is written.
	 */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) ? -errno : 0;
}

/* Of the thread's capabilities, keep those in `keep`. */
static int capabilities_keep(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &head, data))
		return -errno;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

int sandbox_capabilities(const struct sandbox_user *user, uint64_t keep)
{
	int ret;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Kernels before 4.3 have no ambient set. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return -errno;
	ret = bounding_set_empty();
	if (!ret && user && keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
		ret = -errno;
	if (!ret && user)
		ret = user_become(user);
	return ret ? ret : capabilities_keep(keep);
}

int sandbox_capabilities_end(void)
{
	return capabilities_keep(0);
}
