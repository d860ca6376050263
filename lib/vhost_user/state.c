/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device state: what travels with a migrated guest besides its rings. It goes through a pipe that
 * the front-end gave us, at the pace of whoever is at the other end, while the session goes on. The
 * port's helper reads and writes the pipe, control only waits until there is something to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* What is read or written at a time, bytes: as much as a pipe holds. */
#define CHUNK 65536

/* A read or a write that the helper makes: whoever has the other end can make it wait. */
struct step {
	struct rw_helper_job job;
	struct vu_state *st; /* NULL: the transfer is over */
	int fd;
	bool load;
	uint32_t len; /* save: bytes to write */
	ssize_t n;    /* bytes that were read or written, or -errno */
	uint8_t bytes[CHUNK];
};

struct vu_state {
	struct vu_session *s;
	struct rw_watch watch; /* while no step is under way */
	struct step *step;     /* NULL: none */
	int fd;                /* -1: the transfer is over */
	bool load;
	bool asked;    /* a message waits until the pipe was looked at after it */
	bool again;    /* the step under way began before that */
	bool looked;   /* it was: the message can be carried out */
	int result;    /* -EINPROGRESS; 0: success; or why it failed */
	uint8_t *data; /* malloc'd; load: VU_STATE_MAX bytes, once there are any */
	uint32_t len;  /* of the state; load: read so far */
	uint32_t done; /* save: written so far */
};

/* Close the pipe, which the other end sees as the end, and keep the result. */
static void finish(struct vu_state *st, int result)
{
	rw_loop_del(st->s->loop, &st->watch);
	vu_close(st->s, st->fd);
	st->fd = -1;
	st->result = result;
	free(st->data);
	st->data = NULL;
}

static void step_run(struct rw_helper_job *job)
{
	struct step *step = (struct step *)job;
	int flags = fcntl(step->fd, F_GETFL);

	/* The front-end's flags, too: it may clear this one again, and then its port waits. */
	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(step->fd, F_SETFL, flags | O_NONBLOCK);
	do
		step->n = step->load ? read(step->fd, step->bytes, CHUNK)
				     : write(step->fd, step->bytes, step->len);
	while (step->n < 0 && errno == EINTR);
	if (step->n < 0)
		step->n = -errno;
}

/* The pipe has nothing more, or takes nothing more, for now. */
static void settle(struct vu_state *st)
{
	int ret = rw_loop_add(st->s->loop, &st->watch, st->fd, st->load ? EPOLLIN : EPOLLOUT);

	if (ret)
		finish(st, ret);
}

static int loaded(struct vu_state *st, const struct step *step)
{
	if (!st->data)
		st->data = malloc(VU_STATE_MAX);
	if (!st->data)
		return -ENOMEM;
	if ((uint32_t)step->n > VU_STATE_MAX - st->len)
		return -EFBIG;
	memcpy(st->data + st->len, step->bytes, (size_t)step->n);
	st->len += (uint32_t)step->n;
	return 0;
}

/* A step has read or written something. Whether the transfer goes on. */
static bool progress(struct vu_state *st, const struct step *step)
{
	int ret = 0;

	if (st->load && step->n) {
		ret = loaded(st, step);
		if (!ret)
			return true;
	} else if (st->load) {
		ret = loaded(st, step);
		if (!ret)
			ret = st->s->ops->state_load(st->s->dev, st->data, st->len);
	} else {
		st->done += (uint32_t)step->n;
		if (st->done < st->len)
			return true;
	}
	finish(st, ret);
	return false;
}

static void begin_step(struct vu_state *st);

static void step_done(struct rw_helper_job *job)
{
	struct step *step = (struct step *)job;
	struct vu_state *st = step->st;
	ssize_t n = step->n;
	bool more = false;

	if (st) {
		st->step = NULL;
		if (n == -EAGAIN)
			more = st->again;
		else if (n < 0)
			finish(st, (int)n);
		else
			more = progress(st, step);
	}
	free(step);
	if (!st)
		return;
	if (more) {
		begin_step(st);
		return;
	}
	if (st->fd >= 0)
		settle(st);
	if (!st->asked)
		return;
	st->asked = false;
	st->looked = true;
	vu_session_retry(st->s); /* st may be gone after it */
}

/* Have the helper read or write. */
static void begin_step(struct vu_state *st)
{
	struct step *step = malloc(sizeof(*step));

	if (!step) {
		finish(st, -ENOMEM);
		return;
	}
	rw_loop_del(st->s->loop, &st->watch);
	step->job = (struct rw_helper_job){.run = step_run, .done = step_done};
	step->st = st;
	step->fd = st->fd;
	step->load = st->load;
	step->len = st->load ? 0 : RW_MIN(st->len - st->done, CHUNK);
	if (step->len)
		memcpy(step->bytes, st->data + st->done, step->len);
	st->step = step;
	st->again = false;
	rw_helper_run(st->s->offer.helper, &step->job);
}

static void on_event(void *arg, uint32_t events)
{
	(void)events; /* reading or writing shows a hang-up, too */
	begin_step(arg);
}

/*
 * A message wants to know how far the transfer is. The front-end has read its pipe to the end, or
 * has closed it, so the pipe must be looked at after the message came. False: not yet, the message
 * is carried out again.
 */
static bool state_look(struct vu_state *st)
{
	if (!st || st->fd < 0)
		return true;
	if (!st->looked) {
		st->asked = true;
		if (st->step)
			st->again = true;
		else
			begin_step(st);
	}
	if (st->fd >= 0 && !st->looked)
		return false;
	st->looked = false;
	return true;
}

unsigned vu_state_fds(const struct vu_session *s)
{
	return s->state && s->state->fd >= 0;
}

void vu_state_release(struct vu_session *s)
{
	struct vu_state *st = s->state;

	if (st && st->step)
		st->step->st = NULL; /* closed behind it */
	if (st && st->fd >= 0)
		finish(st, -ECANCELED);
	free(st);
	s->state = NULL;
}

int vu_state_export(struct vu_session *s, struct vu_export *out)
{
	/* The front-end may have given up the transfer, which shows only now. */
	if (!state_look(s->state) || (s->state && s->state->fd >= 0))
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

/*
 * Check that `fd` is a pipe or a Unix socket open in the right direction. No file system is asked,
 * and epoll_ctl does not wait for these two kinds.
 */
static int pipe_check(struct vu_msg *m, int fd, bool for_load)
{
	int flags = fcntl(fd, F_GETFL), wrong = for_load ? O_WRONLY : O_RDONLY;
	struct statx st;

	if (flags < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st))
		return -errno;
	if (!S_ISFIFO(st.stx_mode) && !(S_ISSOCK(st.stx_mode) && vu_is_unix_stream(fd)))
		return vu_refuse(m, -EINVAL, "neither pipe nor Unix socket");
	if ((flags & O_ACCMODE) == wrong)
		return vu_refuse(m, -EINVAL, "the wrong end of a pipe");
	return 0;
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
	if (!state_look(s->state))
		return VU_LATER;
	if (s->state && s->state->fd >= 0)
		return vu_refuse(m, -EBUSY, "another transfer is under way");
	ret = pipe_check(m, m->fds[0], for_load);
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

/* The result stays until another transfer begins. */
int vu_on_check_device_state(struct vu_session *s, struct vu_msg *m)
{
	if (!s->state)
		return vu_refuse(m, -EINVAL, "nothing was transferred");
	if (!state_look(s->state))
		return VU_LATER;
	if (s->state->result)
		return vu_refuse(m, s->state->result, "the transfer failed or is not over");
	m->payload.u64 = 0;
	return 0;
}
