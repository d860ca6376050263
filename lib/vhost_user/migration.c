/* SPDX-License-Identifier: BSD-3-Clause */
/* Live migration: the dirty log, the announcement of the guest's move, postcopy. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "internal.h"
#include "rw_log.h"

/* Linux 5.11; older headers lack it. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

void vu_log_release(struct vu_session *s)
{
	dl_close(s->log);
	s->log = NULL;
	vu_close(s, s->log_mem_fd);
	s->log_mem_fd = -1;
	vu_close(s, s->log_fd);
	s->log_fd = -1;
}

/*
 * Back-ends reply in four different ways. QEMU accepts any of them, current rust-vmm only an echo
 * of the request.
 */
int vu_on_set_log_base(struct vu_session *s, struct vu_msg *m)
{
	struct dl_log *log;
	int ret = dl_open(&s->owner, m->fds[0], m->payload.log.size, m->payload.log.offset, &log);

	if (ret)
		return vu_refuse_file(m, ret);
	/* One that replaces another in the midst of a migration, for it became too small. */
	if (s->log && vu_logs_buffers(s))
		dl_marked_set(log, dl_marked(s->log));
	dl_close(s->log);
	s->log = log;
	vu_close(s, s->log_mem_fd);
	s->log_mem_fd = vu_msg_take_fd(m, 0);
	s->log_offset = m->payload.log.offset;
	vu_answer(m, sizeof(m->payload.log), -1);
	return 0;
}

int vu_on_set_log_fd(struct vu_session *s, struct vu_msg *m)
{
	int fd, ret = vu_msg_take_eventfd(m, &fd);

	if (ret)
		return ret;
	vu_close(s, s->log_fd);
	s->log_fd = fd;
	return 0;
}

void vu_log_signal(const struct vu_session *s)
{
	int ret;

	if (!s->log || s->log_fd < 0)
		return;
	ret = rw_helper_signal(s->offer.helper, VU_SLOT_LOG, s->log_fd);
	if (ret)
		rw_debug("%s: log eventfd: %s", s->name, strerror(-ret));
}

int vu_log_export(const struct vu_session *s, struct vu_export_log *out)
{
	int ret = vu_fd_copy(s->log_mem_fd, &out->fd);

	out->size = s->log ? dl_size(s->log) : 0;
	out->offset = s->log_offset;
	out->marked = s->log ? dl_marked(s->log) : 0;
	return ret ? ret : vu_fd_copy(s->log_fd, &out->event_fd);
}

int vu_log_adopt(struct vu_session *s, const struct vu_export_log *from)
{
	int ret = from->fd >= 0 ? dl_open(&s->owner, from->fd, from->size, from->offset, &s->log)
				: 0;

	if (!ret)
		ret = vu_fd_copy(from->fd, &s->log_mem_fd);
	if (!ret)
		ret = vu_fd_copy(from->event_fd, &s->log_fd);
	s->log_offset = from->offset;
	if (s->log)
		dl_marked_set(s->log, from->marked);
	return ret;
}

int vu_on_send_rarp(struct vu_session *s, struct vu_msg *m)
{
	s->ops->rarp_wanted(s->dev, m->payload.bytes);
	return 0;
}

void vu_postcopy_release(struct vu_session *s)
{
	if (s->postcopy == VU_POSTCOPY_LISTENING && s->mem && s->over)
		gm_map_detach(s->mem, s->ufd);
	else if (s->postcopy == VU_POSTCOPY_LISTENING && s->mem)
		gm_map_unwatch(s->mem, s->ufd);
	vu_close(s, s->ufd);
	s->ufd = -1;
	s->postcopy = VU_POSTCOPY_NONE;
	s->mem_unacked = false;
}

/* A userfaultfd, or -errno. */
static int ufd_open(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int flags = O_CLOEXEC | O_NONBLOCK;
	long fd = syscall(SYS_userfaultfd, flags);
	int err;

	/*
	 * Without privilege there are no faults of the kernel's own accesses. We copy in user mode.
	 */
	if (fd < 0 && errno == EPERM)
		fd = syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return -errno;
	if (!ioctl((int)fd, UFFDIO_API, &api))
		return (int)fd;
	err = errno;
	close((int)fd);
	return -err;
}

/* The descriptor is the whole reply: QEMU accepts no payload. */
int vu_on_postcopy_advise(struct vu_session *s, struct vu_msg *m)
{
	int fd;

	if (s->postcopy == VU_POSTCOPY_LISTENING)
		return vu_refuse(m, -EBUSY, "a postcopy migration is under way");
	fd = vu_budget_fd(s);
	if (fd)
		return fd;
	fd = ufd_open();
	if (fd < 0)
		return fd;
	vu_postcopy_release(s);
	s->ufd = fd;
	s->postcopy = VU_POSTCOPY_ADVISED;
	vu_answer(m, 0, fd);
	return 0;
}

/*
 * Memory that is mapped before this cannot be waited for, because the front-end does not know our
 * address of it. QEMU sends the table afterwards. It advises, listens and ends once for each queue
 * pair, and the userfaultfd of the last advice is the one that it serves.
 */
int vu_on_postcopy_listen(struct vu_session *s, struct vu_msg *m)
{
	if (s->postcopy == VU_POSTCOPY_NONE)
		return vu_refuse(m, -EINVAL, "not after POSTCOPY_ADVISE");
	if (s->mem && s->mem->nregions)
		return vu_refuse(m, -EBUSY, "memory is mapped already");
	s->postcopy = VU_POSTCOPY_LISTENING;
	return 0;
}

int vu_on_postcopy_end(struct vu_session *s, struct vu_msg *m)
{
	vu_postcopy_release(s);
	m->payload.u64 = 0;
	return 0;
}
