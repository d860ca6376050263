/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session that ends in one owner and goes on in another one, in another loop: the front-end,
 * which may be anywhere in a message, notices nothing.
 */
#include "vu_channel.h"
#include "vu_export.h"
#include "vu_scenarios.h"

static const struct vu_offer offer = {
	OFFERED, OFFERED_PF, MAX_PAIRS, MAX_RING_SIZE, false, NULL, NULL};

static struct vu_export *export_of(struct front *f)
{
	struct vu_export *e = malloc(sizeof(*e));

	assert_non_null(e);
	assert_int_equal(vu_session_export(f->s, e), 0);
	assert_false(f->closed);
	vu_session_free(f->s);
	f->s = NULL;
	return e;
}

static void adopt(struct front *f, struct vu_export *e, struct rw_loop *loop)
{
	f->loop = loop;
	f->s = vu_session_adopt(loop, e, &offer, &owner_ops, f, "adopted");
	assert_non_null(f->s);
	vu_export_free(e);
	free(e);
	assert_int_equal(vu_session_resume(f->s), 0);
}

/* Give the session a second owner. The first one's loop is the caller's. */
static void move(struct front *f, struct rw_loop *loop)
{
	adopt(f, export_of(f), loop);
}

/* The unit's front-end in a loop of its own from now on. */
static void unit_move(struct unit *u)
{
	struct rw_loop *old = u->loop;

	u->loop = rw_loop_new();
	assert_non_null(u->loop);
	move(&u->front, u->loop);
	rw_loop_free(old);
}

static bool in_postcopy(const struct front *f)
{
	return vu_postcopy_state(f->s) != VU_POSTCOPY_NONE;
}

/* Send the scenario's message in two parts with the move between them. What came of it. */
static enum outcome move_within(
	struct front *f, const struct scenario *sc, uint32_t split, struct rw_loop *to)
{
	uint8_t buf[VU_HEADER_SIZE + 8192];
	size_t len = put_message(buf, sc->r.request, VU_VERSION | NEED, &sc->r.payload, sc->r.size);
	int fd = sc->fds == NO_FDS ? -1 : fd_for(f, sc);

	if (split)
		send_raw(f, buf, split, &fd, fd >= 0);
	pump(f);
	assert_int_equal(receive(f, sc->r.request), SILENCE);
	move(f, to);
	send_raw(f, buf + split, len - split, &fd, !split && fd >= 0);
	pump(f);
	if (fd >= 0)
		close(fd);
	return receive(f, sc->r.request);
}

static void a_message_may_be_anywhere_on_its_way(void **state)
{
	static const uint32_t splits[] = {0, 1, 11, 12, 13, 19};
	struct unit *u = *state;
	struct rw_loop *next = rw_loop_new();

	FOR_EACH_SCENARIO(sc)
	{
		for (unsigned i = 0; i < RW_ARRAY_SIZE(splits); i++) {
			struct front f;

			if (splits[i] >= VU_HEADER_SIZE + sc->r.size)
				continue;
			prepare(&f, u->loop, sc);
			if (!in_postcopy(&f)) {
				assert_int_equal(move_within(&f, sc, splits[i], next), REPLY);
				assert_false(f.closed);
				if (sc->answer == ACKED || sc->answer == REPORT)
					assert_int_equal(f.reply, 0);
			}
			front_close(&f);
		}
	}
	rw_loop_free(next);
}

/* What two snapshots have in common when one session goes on where the other one ends. */
static void assert_same(const struct snapshot *a, const struct snapshot *b)
{
	assert_int_equal(a->features, b->features);
	assert_int_equal(a->protocol_features, b->protocol_features);
	assert_int_equal(a->inflight, b->inflight);
	assert_int_equal(a->nrings, b->nrings);
	assert_int_equal(a->mtu, b->mtu);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->channel, b->channel);
	assert_int_equal(!a->mem, !b->mem);
	assert_int_equal(!a->iotlb, !b->iotlb);
	assert_int_equal(!a->log, !b->log);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(a->rings); i++) {
		struct vu_ring x = a->rings[i], y = b->rings[i];

		assert_int_equal(x.kick_fd < 0, y.kick_fd < 0);
		assert_int_equal(x.call_fd < 0, y.call_fd < 0);
		assert_int_equal(x.err_fd < 0, y.err_fd < 0);
		assert_int_equal(!x.call, !y.call);
		x.kick_fd = y.kick_fd = x.call_fd = y.call_fd = x.err_fd = y.err_fd = -1;
		x.call = y.call = NULL;
		assert_memory_equal(&x, &y, sizeof(x));
	}
}

static void all_that_was_negotiated_stays(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	struct snapshot before, after;
	const char *mark = "the guest's memory";

	negotiate(f, FEATURES | IOMMU);
	for (uint32_t i = 0; i < 4; i++)
		start_ring(f, i);
	assert_int_equal(ask_fd(f, VU_SET_VRING_ERR, 1), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 1, 1), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_VRING_KICK, 2 | VU_VRING_NOFD), ACK_OK);
	assert_int_equal(ask_u64(f, VU_NET_SET_MTU, 9000), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xf), ACK_OK);
	assert_int_equal(pwrite(f->memfd, mark, strlen(mark), 0x5000), strlen(mark));
	f->position = 0x80318031;
	stop_ring(f, 3);
	snapshot_take(&before, f->s);
	unit_move(u);
	snapshot_take(&after, f->s);
	for (unsigned i = 0; i < 3; i++) {
		before.rings[i].base = 0x80318031; /* paused by the export */
		assert_true(f->running[i]);
	}
	assert_same(&before, &after);
	assert_false(f->running[3]);
	assert_int_equal(after.mem->nregions, 1);
	assert_int_equal(after.mem->regions[0].uva, MEM_UVA);
	assert_memory_equal(after.mem->regions[0].host + 0x5000, mark, strlen(mark));
	assert_int_equal(stop_ring(f, 0), 0x80318031);
}

static void rings_keep_their_eventfds(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct request r = with_fds(msg_u64(VU_SET_VRING_CALL, 0), &fd, 1);
	uint64_t n = 5;

	negotiate(f, FEATURES);
	start_ring(f, 0);
	assert_int_equal(ask(f, r), ACK_OK);
	unit_move(u);
	assert_int_equal(write(vu_ring(f->s, 0)->call_fd, &n, sizeof(n)), sizeof(n));
	n = 0;
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 5);
	close(fd);
}

static void memory_keeps_its_slots(void **state)
{
	struct request add = {.request = VU_ADD_MEM_REG, S_SLOT(ANOTHER_SLOT)};
	struct request rem = {.request = VU_REM_MEM_REG, S_SLOT(ANOTHER_SLOT)};
	struct unit *u = *state;
	struct front *f = &u->front;

	negotiate(f, FEATURES);
	add.fds = &f->memfd;
	add.n = 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(f, add), ACK_OK);
	unit_move(u);
	/* Added three times, a region goes with the third removal. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vu_mem(f->s)->nregions, 2);
		assert_int_equal(ask(f, rem), ACK_OK);
	}
	assert_int_equal(vu_mem(f->s)->nregions, 1);
	assert_int_equal(ask(f, rem), ACK_BAD);
}

static void the_log_and_the_inflight_buffer_stay(void **state)
{
	struct request log = {.request = VU_SET_LOG_BASE, S_LOG};
	struct request buffer = {.request = VU_GET_INFLIGHT_FD, S_INFLIGHT};
	struct unit *u = *state;
	struct front *f = &u->front;
	struct dl_batch batch;
	uint8_t byte;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), mem = memfd_create("log", MFD_CLOEXEC);
	struct request signal_fd = with_fds(msg(VU_SET_LOG_FD), &fd, 1);
	uint64_t n;

	assert_int_equal(ftruncate(mem, 0x10000), 0);
	log.fds = &mem;
	log.n = 1;
	negotiate(f, PROTOCOL | VERSION1 | LOG_ALL);
	assert_int_equal(exchange(f, &log), REPLY);
	assert_int_equal(ask(f, signal_fd), ACK_OK);
	assert_int_equal(exchange(f, &buffer), REPLY);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 1, 64), ACK_OK);
	*(uint8_t *)vu_ring_inflight(f->s, 1) = 0x5a;
	unit_move(u);
	assert_int_equal(*(uint8_t *)vu_ring_inflight(f->s, 1), 0x5a);
	assert_int_equal(dl_size(vu_log(f->s)), 0x1000);
	dl_batch_init(&batch, vu_log(f->s));
	dl_mark(&batch, DL_PAGE * 3, 1);
	dl_flush(&batch);
	assert_int_equal(pread(mem, &byte, 1, 0x1008), 1);
	assert_int_equal(byte, 8);
	vu_log_signal(f->s);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	close(fd);
	close(mem);
}

#define IOVA 0x40000000ULL

static void answer(int ch, uint64_t result)
{
	struct vu_header hdr = {VU_BACKEND_IOTLB_MSG, VU_VERSION | VU_FLAG_REPLY, sizeof(result)};

	assert_int_equal(send(ch, &hdr, sizeof(hdr), 0), sizeof(hdr));
	assert_int_equal(send(ch, &result, sizeof(result), 0), sizeof(result));
}

static void open_questions_are_answered_to_nobody(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	struct notice n;
	int ch;

	negotiate(f, FEATURES | IOMMU);
	ch = give_channel(f);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(vu_iotlb_miss(f->s, IOVA * i, GM_READ, i), 0);
	answer(ch, 0);
	pump(f);
	assert_int_equal(f->answers, 1);
	unit_move(u);
	assert_int_equal(vu_iotlb_miss(f->s, IOVA * 4, GM_WRITE, 44), 0);
	for (uint64_t i = 1; i <= 4; i++) {
		assert_true(next(ch, &n));
		assert_int_equal(n.payload.iotlb.iova, IOVA * i);
	}
	answer(ch, 0);
	answer(ch, 1);
	pump(f);
	assert_int_equal(f->answers, 1);
	answer(ch, 1);
	pump(f);
	assert_int_equal(f->answers, 2);
	assert_int_equal(f->answer_iova, 44);
	assert_false(f->answer_ok);
	close(ch);
}

static void half_an_answer_is_completed(void **state)
{
	struct vu_header hdr = {VU_BACKEND_IOTLB_MSG, VU_VERSION | VU_FLAG_REPLY, 8};
	struct unit *u = *state;
	struct front *f = &u->front;
	uint64_t zero = 0;
	int ch;

	negotiate(f, FEATURES | IOMMU);
	ch = give_channel(f);
	assert_int_equal(vu_iotlb_miss(f->s, IOVA, GM_READ, 1), 0);
	assert_int_equal(send(ch, &hdr, sizeof(hdr), 0), sizeof(hdr));
	pump(f);
	unit_move(u);
	assert_int_equal(vu_iotlb_miss(f->s, IOVA, GM_READ, 2), 0);
	assert_int_equal(send(ch, &zero, sizeof(zero), 0), sizeof(zero));
	answer(ch, 0);
	pump(f);
	assert_int_equal(f->answers, 1);
	assert_int_equal(f->answer_iova, 2);
	close(ch);
}

/* A channel whose socket is full, so that messages wait in the session. */
static unsigned fill(struct front *f)
{
	unsigned n = 0;

	while (!vu_config_changed(f->s))
		n++;
	return n;
}

static void messages_that_wait_are_sent(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	unsigned sent, received = 0;
	struct notice n;
	int ch;

	set_protocol_features(f, ALL_PF | INBAND);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, FEATURES), ACK_OK);
	assert_int_equal(ask_mem(f), ACK_OK);
	ch = give_channel(f);
	sent = fill(f);
	assert_true(sent > VU_EXPORT_MAX_QUEUE);
	vu_ring_error(f->s, 2);
	unit_move(u);
	for (int quiet = 0; quiet < 2; quiet++) {
		for (; next(ch, &n) && n.hdr.request == VU_BACKEND_CONFIG_CHANGE_MSG; quiet = 0)
			received++;
		pump(f);
	}
	assert_int_equal(received, sent);
	assert_int_equal(n.hdr.request, VU_BACKEND_VRING_ERR);
	assert_int_equal(n.payload.state.index, 2);
	close(ch);
}

static void an_inband_call_is_not_lost(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	uint64_t one = 1;
	struct notice n;
	int ch;

	set_protocol_features(f, ALL_PF | INBAND);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, FEATURES), ACK_OK);
	assert_int_equal(ask_mem(f), ACK_OK);
	ch = give_channel(f);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 1, 256), ACK_OK);
	assert_int_equal(ask_addr(f, addr_at(1, 0)), ACK_OK);
	assert_int_equal(ask_state(f, VU_VRING_KICK, 1, 0), ACK_OK);
	assert_true(f->running[1]);
	/* Two calls: before the export, and after it. */
	assert_int_equal(write(vu_ring(f->s, 1)->call_fd, &one, sizeof(one)), sizeof(one));
	unit_move(u);
	for (int i = 0; i < 2; i++) {
		assert_true(next(ch, &n));
		assert_int_equal(n.hdr.request, VU_BACKEND_VRING_CALL);
		assert_int_equal(n.payload.state.index, 1);
		assert_false(next(ch, &n));
		assert_non_null(vu_ring(f->s, 1)->call);
		assert_int_equal(write(vu_ring(f->s, 1)->call_fd, &one, sizeof(one)), sizeof(one));
		pump(f);
	}
	close(ch);
}

static void a_migration_under_way_stays_where_it_is(void **state)
{
	struct request advise = msg(VU_POSTCOPY_ADVISE), end = {.request = VU_POSTCOPY_END};
	struct request check = msg(VU_CHECK_DEVICE_STATE);
	struct unit *u = *state;
	struct front *f = &u->front;
	struct vu_export *e = malloc(sizeof(*e));
	unsigned fds;
	int fd;

	assert_non_null(e);
	prepare_rings(f);
	assert_int_equal(exchange(f, &advise), REPLY);
	fds = count_fds();
	assert_int_equal(vu_session_export(f->s, e), -EBUSY);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(exchange(f, &end), REPLY);
	fd = give_pipe(f, VU_STATE_LOAD, 0);
	assert_int_equal(vu_session_export(f->s, e), -EBUSY);
	vu_export_free(e);
	free(e);
	/* And all goes on. */
	assert_int_equal(write(fd, "state", 5), 5);
	close(fd);
	pump(f);
	unit_move(u);
	assert_int_equal(get(f, check), 0);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
	assert_true(f->running[0]);
}

static void a_ring_that_does_not_rest_keeps_the_session(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	struct vu_export *e = malloc(sizeof(*e));

	assert_non_null(e);
	negotiate(f, FEATURES);
	start_ring(f, 0);
	f->pause_later = true;
	assert_int_equal(vu_session_export(f->s, e), -EBUSY);
	assert_true(f->running[0]);
	f->pause_later = false;
	assert_int_equal(ask_u64(f, VU_NET_SET_MTU, 1500), ACK_OK);
	free(e);
}

/* Adopt with something about the export or the offer wrong: as errno says. */
static void assert_no_adoption(
	struct front *f, const struct vu_export *e, const struct vu_offer *o, int err)
{
	unsigned fds = count_fds();

	errno = 0;
	assert_null(vu_session_adopt(f->loop, e, o, &owner_ops, f, "adopted"));
	assert_int_equal(errno, err);
	assert_int_equal(count_fds(), fds);
}

static void what_cannot_be_adopted_is_still_there(void **state)
{
	struct vu_offer less = offer, few = offer, small = offer, old = offer;
	struct unit *u = *state;
	struct front *f = &u->front;
	int *fds[VU_EXPORT_MAX_FDS];
	struct vu_export *e;

	negotiate(f, FEATURES);
	start_ring(f, 3);
	e = export_of(f);
	/* Socket, memory, kick and call. */
	assert_int_equal(vu_export_fds(e, fds), 4);
	less.features &= ~PACKED;
	assert_no_adoption(f, e, &less, ENOTSUP);
	old.protocol_features &= ~BIT(VU_PF_STATUS);
	assert_no_adoption(f, e, &old, ENOTSUP);
	few.max_pairs = 1;
	assert_no_adoption(f, e, &few, ENOTSUP);
	small.max_ring_size = 128;
	assert_no_adoption(f, e, &small, ENOTSUP);
	e->version++;
	assert_no_adoption(f, e, &offer, EPROTONOSUPPORT);
	e->version--;
	e->message.have = VU_HEADER_SIZE + 1;
	assert_no_adoption(f, e, &offer, EINVAL);
	e->message.have = 0;
	e->regions[0].desc.mmap_offset = MEM_SIZE;
	assert_no_adoption(f, e, &offer, ENXIO);
	e->regions[0].desc.mmap_offset = 0;
	adopt(f, e, u->loop);
	assert_true(f->running[3]);
	assert_int_equal(ask_u64(f, VU_NET_SET_MTU, 1500), ACK_OK);
}

static void a_thousand_owners_one_after_the_other(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	unsigned fds, maps;

	negotiate(f, FEATURES);
	start_ring(f, 0);
	unit_move(u);
	fds = count_fds();
	maps = count_maps();
	for (int i = 0; i < 1000; i++)
		move(f, u->loop);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_maps(), maps);
	assert_true(f->running[0]);
	assert_int_equal(ask_u64(f, VU_NET_SET_MTU, 1500), ACK_OK);
}

static void a_front_end_that_leaves_meanwhile_is_noticed(void **state)
{
	struct unit *u = *state;
	struct front *f = &u->front;
	struct vu_export *e;

	negotiate(f, FEATURES);
	e = export_of(f);
	close(f->fd);
	f->fd = -1;
	f->s = vu_session_adopt(u->loop, e, &offer, &owner_ops, f, "adopted");
	assert_non_null(f->s);
	vu_export_free(e);
	free(e);
	vu_session_resume(f->s);
	assert_true(f->closed);
	assert_int_equal(f->reason, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_message_may_be_anywhere_on_its_way),
		spec(all_that_was_negotiated_stays),
		spec(rings_keep_their_eventfds),
		spec(memory_keeps_its_slots),
		spec(the_log_and_the_inflight_buffer_stay),
		spec(open_questions_are_answered_to_nobody),
		spec(half_an_answer_is_completed),
		spec(messages_that_wait_are_sent),
		spec(an_inband_call_is_not_lost),
		spec(a_migration_under_way_stays_where_it_is),
		spec(a_ring_that_does_not_rest_keeps_the_session),
		spec(what_cannot_be_adopted_is_still_there),
		spec(a_thousand_owners_one_after_the_other),
		spec(a_front_end_that_leaves_meanwhile_is_noticed),
	};

	return cmocka_run_group_tests_name("vhost_user export", tests, NULL, NULL);
}
