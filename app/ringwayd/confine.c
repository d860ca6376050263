/* SPDX-License-Identifier: BSD-3-Clause */
/* When the process and its threads give up what they do not need; sandbox.h has how. */
#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "daemon.h"
#include "helper.h"
#include "rw_log.h"
#include "sandbox.h"

/* Whom root's daemon runs as, if there is such a user. */
#define DEFAULT_USER "ringway"

static bool stays_root;

/* Allow the helper what the options name, and start it. 0 or -errno. */
static int helper_start(const struct options *opt)
{
	static struct helper_dirs dirs;
	int ret = 0;

	for (unsigned i = 0; !ret && i < opt->nports; i++) {
		if (opt->ports[i].path[0])
			ret = helper_allow_beside(
				&dirs, opt->ports[i].path, opt->ports[i].mode == OPTIONS_CLIENT);
	}
	for (unsigned i = 0; !ret && i < opt->nsocket_dirs; i++)
		ret = helper_allow_dir(&dirs, opt->socket_dirs[i]);
	if (!ret && opt->control[0])
		ret = helper_allow_socket(&dirs, opt->control);
	if (!ret && opt->pidfile[0])
		ret = helper_allow_pidfile(&dirs, opt->pidfile);
	if (!ret && options_config_is_file(opt))
		ret = helper_allow_file(&dirs, opt->config);
	if (!ret)
		ret = helper_begin(&dirs);
	helper_dirs_free(&dirs);
	return ret;
}

/* Whom to be. NULL: who we are. */
static const struct sandbox_user *user_choose(const struct options *opt, struct sandbox_user *user)
{
	const struct passwd *pw;

	if (opt->user_name[0]) {
		*user = opt->user;
		user->name = opt->user_name;
		return geteuid() ? NULL : user;
	}
	pw = geteuid() ? NULL : getpwnam(DEFAULT_USER);
	stays_root = !geteuid() && !pw;
	if (!pw)
		return NULL;
	*user = (struct sandbox_user){DEFAULT_USER, pw->pw_uid, pw->pw_gid};
	return user;
}

int confine_begin(const struct options *opt)
{
	struct sandbox_user user;
	int ret = 0;

	for (unsigned i = 0; !ret && i < opt->nports; i++) {
		if (opt->ports[i].device[0])
			ret = sandbox_uplink_add(opt->ports[i].device);
	}
	if (ret) {
		rw_error("the devices of uplinks write more files than can be allowed");
		return ret;
	}
	ret = sandbox_prepare(opt->seccomp);
	if (ret)
		return ret;
	ret = helper_start(opt);
	if (ret) {
		rw_error("cannot start the helper process: %s", strerror(-ret));
		return ret;
	}
	if (!sandbox_landlock_abi())
		rw_warning("this %s has no Landlock: files are not out of reach",
			SANDBOX_SANITIZED ? "build, which has a sanitizer," : "kernel");
	ret = sandbox_capabilities(user_choose(opt, &user), sandbox_uplink_capabilities());
	if (!ret)
		ret = sandbox_files(SANDBOX_START);
	if (!ret)
		ret = sandbox_filter(SANDBOX_START);
	if (ret)
		rw_error("cannot give up privileges: %s", strerror(-ret));
	return ret;
}

/* What the calling thread needs from now on. */
static int thread_confine(enum sandbox_kind kind)
{
	int ret = sandbox_uplink_any() ? sandbox_capabilities_end() : 0;

	if (!ret)
		ret = sandbox_files(kind);
	return ret ? ret : sandbox_filter(kind);
}

/* The result of a thread that gave up what it does not need. */
struct confined {
	sem_t done;
	int ret;
};

static int worker_confine(void *arg)
{
	(void)arg;
	return thread_confine(SANDBOX_WORKER);
}

static void service_confine(void *arg)
{
	struct confined *service = arg;

	service->ret = thread_confine(SANDBOX_SERVICE);
	sem_post(&service->done);
}

/* EAL's threads. 0 or -errno. */
static int eal_confine(void)
{
	struct confined service = {.ret = 0};
	unsigned lcore;
	int ret;

	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		ret = rte_eal_remote_launch(worker_confine, NULL, lcore);
		if (!ret)
			ret = rte_eal_wait_lcore(lcore);
		if (ret)
			return ret;
	}
	/* An alarm is a way to run something on the interrupt thread. */
	sem_init(&service.done, 0, 0);
	ret = rte_eal_alarm_set(1, service_confine, &service);
	if (!ret) {
		while (sem_wait(&service.done) && errno == EINTR)
			continue;
		ret = service.ret;
	}
	sem_destroy(&service.done);
	return ret;
}

int confine_threads(void)
{
	int ret;

	json_object_seed(0); /* else the first object that is made opens /dev/urandom */
	ret = eal_confine();
	if (!ret)
		ret = thread_confine(SANDBOX_CONTROL);
	if (ret)
		rw_error("cannot confine the threads: %s", strerror(-ret));
	else if (stays_root)
		rw_warning("there is no user " DEFAULT_USER
			   ": ringwayd stays root, without capabilities; --user=NAME chooses one");
	return ret;
}

void confine_end(void)
{
	helper_end();
	sandbox_end();
}
