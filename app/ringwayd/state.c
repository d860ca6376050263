/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What outlives the process, in files of the state directory that are opened before it gives up its
 * rights: where packed rings are, and the forwarding database.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "rw_log.h"
#include "takeover.h"

/* A predecessor that was killed may not be gone yet, or its helper process. */
#define LOCK_TRIES  100
#define LOCK_NAP_MS 20

#define RINGS_FILE "rings"
#define FDB_FILE   "fdb"
#define BOOT_ID    "/proc/sys/kernel/random/boot_id"

/* Say that there is no state, which is an error if the user named the directory: 0 or -errno. */
static int without(const struct daemon *d, const char *what, int err)
{
	if (d->opt.state_dir_is_default) {
		if (err != ENOENT)
			rw_info("no state outlives this process: %s/%s: %s", d->opt.state_dir, what,
				strerror(err));
		return 0;
	}
	rw_error("--state-dir=%s: %s: %s", d->opt.state_dir, what, strerror(err));
	return -err;
}

/* Lock the file, unless another process that lives owns it. 0 or an error number. */
static int file_lock(int fd)
{
	const struct timespec nap = {.tv_nsec = LOCK_NAP_MS * 1000000L};

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK)
			return errno;
		nanosleep(&nap, NULL);
	}
	return EBUSY;
}

/* A private file in the directory. The descriptor, or -1 and errno. */
static int file_open(const char *dir, const char *name)
{
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, err;
	struct stat st;

	if (at < 0)
		return -1;
	fd = openat(at, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	err = errno;
	close(at);
	if (fd < 0) {
		errno = err;
		return -1;
	}
	if (fstat(fd, &st))
		err = errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink > 1 ||
		st.st_mode & 077)
		err = EPERM; /* somebody else's, or open to others */
	else
		err = file_lock(fd);
	if (!err)
		return fd;
	close(fd);
	errno = err;
	return -1;
}

/* Which boot this is. False: the kernel does not say. */
static bool boot_id(char *out, size_t len)
{
	int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, len - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	out[n] = 0;
	out[strcspn(out, "\n")] = 0;
	return true;
}

/*
 * The running process has the files open, and its rings go on in their records. A file of another
 * version is of no use: it is left alone, and nothing is kept in it until the next start.
 */
static int state_take(struct daemon *d)
{
	int rings = takeover_rings_fd(), fdb = takeover_fdb_fd(), ret = 0;
	bool kept, known;
	char boot[64];

	known = boot_id(boot, sizeof(boot));
	if (rings >= 0 && (!known || !vhost_records_fit(rings, boot))) {
		rw_warning("the records of packed rings are of another version: there are none "
			   "until the next start");
		close(rings);
	} else if (rings >= 0) {
		d->rings_fd = rings;
		ret = vhost_records_new(rings, boot, &kept, &d->records);
	}
	if (ret)
		return without(d, RINGS_FILE, -ret);
	if (fdb >= 0 && state_fdb_take(d, fdb, known ? boot : ""))
		rw_warning("the file of addresses is of another version: they are not kept until "
			   "the next start");
	return 0;
}

static int rings_begin(struct daemon *d, const char *boot)
{
	bool kept;
	int ret;

	d->rings_fd = file_open(d->opt.state_dir, RINGS_FILE);
	if (d->rings_fd < 0)
		return without(d, RINGS_FILE, errno);
	ret = vhost_records_new(d->rings_fd, boot, &kept, &d->records);
	if (!ret)
		return 0;
	close(d->rings_fd);
	d->rings_fd = -1;
	return without(d, RINGS_FILE, -ret);
}

/* A process without the rings' file has none of the directory, and need not complain again. */
static int fdb_begin(struct daemon *d, const char *boot)
{
	int fd, ret;

	if (d->rings_fd < 0)
		return 0;
	fd = file_open(d->opt.state_dir, FDB_FILE);
	if (fd < 0)
		return without(d, FDB_FILE, errno);
	ret = state_fdb_begin(d, fd, boot);
	return ret ? without(d, FDB_FILE, -ret) : 0;
}

int state_begin(struct daemon *d)
{
	char boot[64];

	if (d->opt.takeover[0])
		return state_take(d);
	if (!d->opt.state_dir[0])
		return 0;
	if (!boot_id(boot, sizeof(boot)))
		return without(d, BOOT_ID, errno);
	return rings_begin(d, boot) ? -EINVAL : fdb_begin(d, boot);
}

void state_end(struct daemon *d)
{
	vhost_records_free(d->records);
	if (d->rings_fd >= 0)
		close(d->rings_fd);
	state_fdb_end(d);
}
