/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device state: what travels with a migrated guest besides its rings. It goes through a pipe that
 * the front-end gave us, at the pace of whoever is at the other end, while the session goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* The first size of a load's buffer, bytes. */
#define LOAD_CHUNK 4096

struct vu_state {
	struct vu_session *s;
	struct rw_watch watch;
	int fd; /* -1: the transfer is over */
	bool load;
	int result;    /* -EINPROGRESS; 0: success; or why it failed */
	uint8_t *data; /* malloc'd */
	uint32_t room; /* load: bytes at `data` */
	uint32_t len;  /* of the state; load: read so far */
	uint32_t done; /* save: written so far */
};

/* Close the pipe, which the other end sees as the end, and keep the result. */
static void finish(struct vu_state *st, int result)
{
	rw_loop_del(st->s->loop, &st->watch);
	close(st->fd);
	st->fd = -1;
	st->result = result;
	free(st->data);
	st->data = NULL;
}

static void save(struct vu_state *st)
{
	while (st->done < st->len) {
		ssize_t n = write(st->fd, st->data + st->done, st->len - st->done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			finish(st, -errno);
			return;
		}
		st->done += (uint32_t)n;
	}
	finish(st, 0);
}

/*
 * Make room for at least one more byte. The buffer may hold one byte more than a state, so that one
 * that is too long shows.
 */
static int room_make(struct vu_state *st)
{
	uint32_t room = RW_MIN(RW_MAX(st->room * 2, LOAD_CHUNK), VU_STATE_MAX + 1);
	uint8_t *data;

	if (st->len < st->room)
		return 0;
	if (st->len > VU_STATE_MAX)
		return -EFBIG;
	data = realloc(st->data, room);
	if (!data)
		return -ENOMEM;
	st->data = data;
	st->room = room;
	return 0;
}

static void load(struct vu_state *st)
{
	for (;;) {
		int ret = room_make(st);
		ssize_t n;

		if (ret) {
			finish(st, ret);
			return;
		}
		n = read(st->fd, st->data + st->len, st->room - st->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			finish(st, -errno);
			return;
		}
		if (!n)
			break;
		st->len += (uint32_t)n;
	}
	finish(st, st->s->ops->state_load(st->s->dev, st->data, st->len));
}

static void step(struct vu_state *st)
{
	if (st->fd < 0)
		return;
	if (st->load)
		load(st);
	else
		save(st);
}

static void on_event(void *arg, uint32_t events)
{
	(void)events; /* reading or writing shows a hang-up, too */
	step(arg);
}

unsigned vu_state_fds(const struct vu_session *s)
{
	return s->state && s->state->fd >= 0;
}

void vu_state_release(struct vu_session *s)
{
	struct vu_state *st = s->state;

	if (st && st->fd >= 0)
		finish(st, -ECANCELED);
	free(st);
	s->state = NULL;
}

int vu_state_export(struct vu_session *s, struct vu_export *out)
{
	/* The front-end may have given up the transfer, which shows only now. */
	if (s->state)
		step(s->state);
	if (s->state && s->state->fd >= 0)
		return -EBUSY;
	out->state_transferred = s->state;
	out->state_result = s->state ? s->state->result : 0;
	return 0;
}

int vu_state_adopt(struct vu_session *s, const struct vu_export *from)
{
	if (!from->state_transferred)
		return 0;
	s->state = calloc(1, sizeof(*s->state));
	if (!s->state)
		return -ENOMEM;
	s->state->s = s;
	s->state->fd = -1;
	s->state->result = from->state_result;
	return 0;
}

/* Check that `fd` is a pipe or a socket open in the right direction, and make it non-blocking. */
static int pipe_prepare(struct vu_msg *m, int fd, bool for_load)
{
	int flags = fcntl(fd, F_GETFL), wrong = for_load ? O_WRONLY : O_RDONLY;
	struct stat st;

	if (flags < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return vu_refuse(m, -EINVAL, "neither pipe nor socket");
	if ((flags & O_ACCMODE) == wrong)
		return vu_refuse(m, -EINVAL, "the wrong end of a pipe");
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

static int state_begin(struct vu_session *s, int fd, bool for_load, struct vu_state **out)
{
	struct vu_state *st = calloc(1, sizeof(*st));
	void *data = NULL;
	int ret;

	if (!st)
		return -ENOMEM;
	st->s = s;
	st->fd = -1;
	st->load = for_load;
	st->result = -EINPROGRESS;
	st->watch.fn = on_event;
	st->watch.arg = st;
	ret = for_load ? 0 : s->ops->state_save(s->dev, &data);
	if (ret < 0)
		goto err_free;
	st->data = data;
	st->len = for_load ? 0 : (uint32_t)ret;
	ret = rw_loop_add(s->loop, &st->watch, fd, for_load ? EPOLLIN : EPOLLOUT);
	if (ret)
		goto err_free;
	*out = st;
	return 0;
err_free:
	free(data);
	free(st);
	return ret;
}

int vu_on_set_device_state_fd(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_state_fd *want = &m->payload.state_fd;
	bool for_load = want->direction == VU_STATE_LOAD;
	struct vu_state *st;
	int ret;

	if (want->direction > VU_STATE_LOAD || want->phase)
		return vu_refuse(m, -EINVAL, "unknown direction or phase");
	/* The front-end may have given up the transfer before, which shows only now. */
	if (s->state)
		step(s->state);
	if (s->state && s->state->fd >= 0)
		return vu_refuse(m, -EBUSY, "another transfer is under way");
	ret = pipe_prepare(m, m->fds[0], for_load);
	if (!ret)
		ret = state_begin(s, m->fds[0], for_load, &st);
	if (ret)
		return ret;
	vu_state_release(s);
	st->fd = vu_msg_take_fd(m, 0);
	s->state = st;
	m->payload.u64 = VU_STATE_NOFD;
	return 0;
}

/*
 * The front-end has read its pipe to the end, or has closed it: what is left in it is read here.
 * The result stays until another transfer begins.
 */
int vu_on_check_device_state(struct vu_session *s, struct vu_msg *m)
{
	if (!s->state)
		return vu_refuse(m, -EINVAL, "nothing was transferred");
	step(s->state);
	if (s->state->result)
		return vu_refuse(m, s->state->result, "the transfer failed or is not over");
	m->payload.u64 = 0;
	return 0;
}
