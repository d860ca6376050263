/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight buffer: memory that outlives this process, in which rings record what they have
 * taken and not returned. The front-end keeps its file for us. lib/virtqueue knows what is in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "internal.h"

/* Alignment of the first region, bytes. The others follow in multiples of 64. */
#define REGION_ALIGN 8

void vu_inflight_release(struct vu_session *s)
{
	struct vu_inflight *b = &s->inflight;

	gm_file_unmap(&b->file);
	vu_close(s, b->fd);
	*b = (struct vu_inflight){.fd = -1};
}

/* A buffer with a region for each ring that the message asks for. */
static int layout(struct vu_session *s, struct vu_msg *m, struct vu_inflight *out)
{
	const struct vu_inflight_desc *d = &m->payload.inflight;

	if (!d->num_queues || d->num_queues > s->offer.max_pairs * 2u)
		return vu_refuse(m, -EINVAL, "number of rings out of range");
	if (!d->queue_size || d->queue_size > s->offer.max_ring_size)
		return vu_refuse(m, -EINVAL, "ring size out of range");
	*out = (struct vu_inflight){
		.fd = -1,
		.stride = s->ops->inflight_bytes(s->dev, d->queue_size),
		.nrings = d->num_queues,
		.num = d->queue_size,
	};
	out->size = out->stride * d->num_queues;
	return 0;
}

/* Map the buffer from `offset` of `fd`, which becomes the buffer's. */
static int buffer_map(struct vu_session *s, struct vu_inflight *b, int fd, uint64_t offset)
{
	int ret = gm_file_map(&s->owner, GM_LOSS_INFLIGHT, fd, offset, b->size, &b->file);

	if (ret)
		return ret;
	b->base = b->file.host;
	b->offset = offset;
	b->fd = fd;
	return 0;
}

static int file_new(uint64_t size)
{
	int fd = memfd_create("vhost-user-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	/* Sealed: a front-end that could truncate the file would lose its port (gm_guard.h). */
	if (!ftruncate(fd, (off_t)size) &&
		!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int vu_on_get_inflight_fd(struct vu_session *s, struct vu_msg *m)
{
	struct vu_inflight b;
	int fd, ret = layout(s, m, &b);

	if (ret)
		return ret;
	ret = vu_budget_fd(s);
	if (ret)
		return ret;
	fd = file_new(b.size);
	if (fd < 0)
		return fd;
	ret = buffer_map(s, &b, fd, 0);
	if (ret) {
		close(fd);
		return ret;
	}
	vu_inflight_release(s);
	s->inflight = b;
	m->payload.inflight.mmap_size = b.size;
	m->payload.inflight.mmap_offset = 0;
	vu_answer(m, m->hdr.size, fd);
	return 0;
}

/* 0 if [offset, offset + size) of `fd` exists and cannot go away. */
static int file_check(struct vu_msg *m, int fd, uint64_t offset, uint64_t size)
{
	/* Any other file system may not answer the questions below. */
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0)
		return vu_refuse(m, -EINVAL, "the descriptor is no plain memfd");
	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	/* A page of hugetlbfs may be missing although the file is long enough. */
	if (fs.f_type != TMPFS_MAGIC)
		return vu_refuse(m, -EINVAL, "the descriptor is no plain memfd");
	if (offset % REGION_ALIGN || size > INT64_MAX || offset > INT64_MAX - size)
		return vu_refuse(m, -EINVAL, "offset out of range");
	if (st.st_size < 0 || offset + size > (uint64_t)st.st_size)
		return vu_refuse(m, -ENXIO, "past the end of the file");
	/* A back-end's memfd is sealed already, or can be sealed now. */
	if (!(seals & F_SEAL_SHRINK) && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return vu_refuse(m, -EPERM, "a file that may shrink");
	return 0;
}

int vu_on_set_inflight_fd(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_inflight_desc *d = &m->payload.inflight;
	struct vu_inflight b;
	int ret = layout(s, m, &b);

	if (ret)
		return ret;
	if (d->mmap_size < b.size)
		return vu_refuse(m, -EINVAL, "too small for its rings");
	ret = file_check(m, m->fds[0], d->mmap_offset, d->mmap_size);
	if (!ret)
		ret = buffer_map(s, &b, m->fds[0], d->mmap_offset);
	if (ret)
		return ret;
	vu_msg_take_fd(m, 0);
	vu_inflight_release(s);
	s->inflight = b;
	return 0;
}

void *vu_ring_inflight(const struct vu_session *s, unsigned i)
{
	const struct vu_inflight *b = &s->inflight;

	/* Since the buffer was made, the ring may have grown or changed its format. */
	if (!b->base || i >= b->nrings || s->rings[i].num > b->num ||
		s->ops->inflight_bytes(s->dev, b->num) > b->stride)
		return NULL;
	return b->base + i * b->stride;
}

int vu_inflight_export(const struct vu_session *s, struct vu_export_inflight *out)
{
	const struct vu_inflight *b = &s->inflight;

	out->offset = b->offset;
	out->size = b->size;
	out->stride = b->stride;
	out->nrings = b->nrings;
	out->num = b->num;
	return vu_fd_copy(b->fd, &out->fd);
}

int vu_inflight_adopt(struct vu_session *s, const struct vu_export_inflight *from)
{
	struct vu_inflight b = {
		.fd = -1,
		.size = from->size,
		.stride = from->stride,
		.nrings = from->nrings,
		.num = from->num,
	};
	int fd, ret;

	if (from->fd < 0)
		return 0;
	if (!from->size || from->stride * from->nrings > from->size)
		return -EINVAL;
	ret = vu_fd_copy(from->fd, &fd);
	if (ret)
		return ret;
	ret = buffer_map(s, &b, fd, from->offset);
	if (ret) {
		vu_close(s, fd);
		return ret;
	}
	s->inflight = b;
	return 0;
}

struct vu_inflight_size vu_inflight_size(const struct vu_session *s)
{
	return (struct vu_inflight_size){
		.bytes = s->inflight.size,
		.nrings = s->inflight.nrings,
		.num = s->inflight.num,
	};
}
