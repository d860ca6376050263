/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_signal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/aio_abi.h>

/*
 * What the kernel maps at the address that io_setup returns (fs/aio.c, "struct aio_ring"): finished
 * requests, which user space may take from the ring itself.
 */
struct ring {
	uint32_t id;
	uint32_t nr;
	uint32_t head;
	uint32_t tail;
	uint32_t magic;
	uint32_t compat_features;
	uint32_t incompat_features;
	uint32_t header_length;
};

#define RING_MAGIC 0xa10a10a1u

enum state { UNKNOWN, READY, MISSING };

/* One for each thread. */
static _Thread_local struct {
	enum state state;
	aio_context_t context;
	struct ring *ring; /* NULL: this kernel's ring is another one */
} self;

/* One for the process: an empty file to read from, and what ends a thread's context. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int empty_fd = -1;
static pthread_key_t thread_end;

static void context_end(void *context)
{
	syscall(SYS_io_destroy, (aio_context_t)(uintptr_t)context);
	self.state = UNKNOWN;
}

static void process_begin(void)
{
	int fd = memfd_create("ringway-signal", MFD_CLOEXEC);

	if (fd >= 0 && pthread_key_create(&thread_end, context_end)) {
		close(fd);
		fd = -1;
	}
	empty_fd = fd;
}

int rw_foreign_signal_prepare(void)
{
	if (self.state != UNKNOWN)
		return self.state == READY ? 0 : -ENOSYS;
	self.state = MISSING;
	pthread_once(&once, process_begin);
	if (empty_fd < 0)
		return -ENOSYS;
	self.context = 0;
	if (syscall(SYS_io_setup, 1, &self.context))
		return -ENOSYS;
	if (pthread_setspecific(thread_end, (void *)(uintptr_t)self.context)) {
		syscall(SYS_io_destroy, self.context);
		return -ENOSYS;
	}
	self.ring = (struct ring *)(uintptr_t)self.context;
	if (self.ring->magic != RING_MAGIC || self.ring->incompat_features)
		self.ring = NULL;
	self.state = READY;
	return 0;
}

/*
 * Take the request that is over from the ring, so that there is room for the next one. The kernel
 * reads `head` only when it has no room left, which orders the two.
 */
static void reap(void)
{
	struct timespec now = {0};
	struct io_event event;

	if (self.ring)
		__atomic_store_n(&self.ring->head,
			__atomic_load_n(&self.ring->tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	else
		syscall(SYS_io_getevents, self.context, 0, 1, &event, &now);
}

/* Submit an empty read, which is over before io_submit returns, with `fd` as its eventfd. */
static int submit(int fd, int rw_flags)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)empty_fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
		.aio_rw_flags = rw_flags,
	};
	struct iocb *list = &request;

	return syscall(SYS_io_submit, self.context, 1, &list) == 1 ? 0 : -errno;
}

int rw_foreign_signal(int fd)
{
	int ret = self.state == READY ? 0 : rw_foreign_signal_prepare();

	if (rw_unlikely(ret))
		return ret;
	ret = submit(fd, 0);
	reap();
	return ret;
}

static bool proc_says_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], what[sizeof(want) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, what, sizeof(what));
	return n == (ssize_t)strlen(want) && !memcmp(what, want, strlen(want));
}

bool rw_is_eventfd(int fd)
{
	/*
	 * No file knows such flags. The kernel takes the eventfd first, and does not signal it
	 * then.
	 */
	const int no_such_flags = 1 << 30;

	if (rw_foreign_signal_prepare())
		return proc_says_eventfd(fd);
	return submit(fd, no_such_flags) == -EOPNOTSUPP;
}
