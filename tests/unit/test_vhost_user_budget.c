/* SPDX-License-Identifier: BSD-3-Clause */
/* What a front-end may take: descriptors, memory slots, IOTLB entries. */
#include "vu_fixture.h"

static struct rw_budgets budgets;

static const struct rw_budget *fds = &budgets.of[RW_BUDGET_FDS];

/* Setup: a front-end whose session has `budgets`. */
static int begin(void **state)
{
	const struct vu_offer offer = {.features = OFFERED,
		.protocol_features = OFFERED_PF,
		.max_pairs = MAX_PAIRS,
		.max_ring_size = MAX_RING_SIZE,
		.budgets = &budgets};
	struct unit *u = calloc(1, sizeof(*u));

	rw_log_set_level(RW_LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	rw_budgets_init(&budgets, "front");
	rw_foreign_signal_prepare(); /* opens a descriptor once */
	u->fds_before = count_fds();
	u->loop = rw_loop_new();
	front_open_with(&u->front, u->loop, &offer);
	*state = u;
	return 0;
}

/* Teardown: all is given back to the last one. */
static int end(void **state)
{
	unit_end(state);
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		assert_int_equal(budgets.of[k].used, 0);
	return 0;
}

#define within(test) cmocka_unit_test_setup_teardown(test, begin, end)

/* What the session holds besides the front-end's own three: its socket, memory and the loop's. */
static unsigned held(void)
{
	static const unsigned of_the_test = 3; /* the socket's other end, the memory, the loop */

	return count_fds() - of_the_test;
}

static void every_descriptor_is_counted(void **state)
{
	struct front *f = front_of(state);
	unsigned others = held() - 1;

	assert_int_equal(fds->used, 1);
	negotiate(f, FEATURES);
	for (uint32_t i = 0; i < 4; i++)
		start_ring(f, i);
	assert_int_equal(ask_fd(f, VU_SET_VRING_ERR, 2), ACK_OK);
	pump(f);
	/* The connection, the memory, four kicks and calls, an error eventfd. */
	assert_int_equal(fds->used, 11);
	assert_int_equal(held() - others, fds->used);
	/* One that is replaced is not counted twice, one that is taken back not at all. */
	assert_int_equal(ask_fd(f, VU_SET_VRING_ERR, 2), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_VRING_ERR, 2 | VU_VRING_NOFD), ACK_OK);
	stop_ring(f, 1);
	pump(f);
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_int_equal(fds->used, 9);
	assert_int_equal(held() - others, fds->used);
	assert_int_equal(fds->refused, 0);
}

static void a_message_beyond_the_budget_is_refused(void **state)
{
	struct front *f = front_of(state);
	unsigned before;

	negotiate(f, FEATURES);
	rw_budget_limit(&budgets, RW_BUDGET_FDS, 4);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 1), ACK_OK);
	before = count_fds();
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, i % 8), ACK_BAD);
	assert_int_equal(count_fds(), before);
	assert_int_equal(fds->used, 4);
	assert_int_equal(fds->high, 4);
	assert_int_equal(fds->refused, 20);
	/* What is there goes on, and what is given back can be had again. */
	assert_true(vu_ring(f->s, 1)->call_fd >= 0);
	assert_int_equal(ask_u64(f, VU_SET_VRING_CALL, 1 | VU_VRING_NOFD), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 7), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 6), ACK_BAD);
	rw_budget_limit(&budgets, RW_BUDGET_FDS, 5);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 6), ACK_OK);
}

/* Descriptors that came with a part of a message are open, too. */
static void descriptors_on_their_way_count(void **state)
{
	struct front *f = front_of(state);
	uint8_t buf[VU_HEADER_SIZE + 8];
	union vu_payload payload = {.u64 = 3};
	int many[8];

	negotiate(f, FEATURES);
	assert_int_equal(fds->used, 2);
	put_message(buf, VU_SET_VRING_CALL, NEED ^ VU_VERSION, &payload, 8);
	assert_true(send_raw(f, buf, 4, &f->memfd, 1));
	pump(f);
	assert_int_equal(fds->used, 3);
	rw_budget_limit(&budgets, RW_BUDGET_FDS, 5);
	for (size_t i = 0; i < RW_ARRAY_SIZE(many); i++)
		many[i] = f->memfd;
	assert_true(send_raw(f, buf + 4, 4, many, RW_ARRAY_SIZE(many)));
	pump(f);
	/* Those that came before are gone as well: the message cannot be carried out. */
	assert_int_equal(fds->refused, 1);
	assert_true(send_raw(f, buf + 8, sizeof(buf) - 8, NULL, 0));
	pump(f);
	assert_int_equal(receive(f, VU_SET_VRING_CALL), REPLY);
	assert_true(f->reply != 0);
	assert_int_equal(fds->used, 2);
	assert_int_equal(vu_ring(f->s, 3)->call_fd, -1);
}

static struct request slot(struct front *f, uint64_t i)
{
	struct vu_mem_region region = {
		0x100000000 + i * 0x2000, 0x1000, MEM_UVA * 2 + i * 0x3000, i % 256 * 0x1000};

	return (struct request){VU_ADD_MEM_REG, 0, 40, {.slot = {0, region}}, &f->memfd, 1};
}

static void memory_has_so_many_slots(void **state)
{
	const struct rw_budget *slots = &budgets.of[RW_BUDGET_SLOTS];
	struct front *f = front_of(state);
	struct request two = one_region(f);
	int both[2] = {f->memfd, f->memfd};

	rw_budget_limit(&budgets, RW_BUDGET_SLOTS, 3);
	negotiate(f, FEATURES);
	assert_int_equal(get(f, msg(VU_GET_MAX_MEM_SLOTS)), 3);
	assert_int_equal(ask(f, slot(f, 0)), ACK_OK);
	assert_int_equal(ask(f, slot(f, 1)), ACK_OK);
	assert_int_equal(ask(f, slot(f, 2)), ACK_BAD);
	assert_int_equal(slots->used, 3);
	assert_int_equal(slots->refused, 1);
	/* The same one again is no other one. */
	assert_int_equal(ask(f, slot(f, 1)), ACK_OK);
	/* A smaller table is welcome at any time, a larger one not. */
	rw_budget_limit(&budgets, RW_BUDGET_SLOTS, 1);
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_int_equal(slots->used, 1);
	two.size = 8 + 2 * 32;
	two.payload.mem.nregions = 2;
	two.payload.mem.regions[0].size = 0x1000;
	two.payload.mem.regions[1] = (struct vu_mem_region){
		0x100000, 0x1000, MEM_UVA + 0x100000, 0x1000};
	assert_int_equal(ask(f, with_fds(two, both, 2)), ACK_BAD);
	assert_int_equal(slots->refused, 2);
	assert_int_equal(slots->used, 1);
	assert_int_equal(slots->high, 3);
}

static void the_iotlb_has_so_many_entries(void **state)
{
	const struct rw_budget *entries = &budgets.of[RW_BUDGET_IOTLB];
	struct front *f = front_of(state);
	struct request r = msg_of(VU_IOTLB_MSG, 32);

	rw_budget_limit(&budgets, RW_BUDGET_IOTLB, 4);
	negotiate(f, FEATURES | 1ull << VU_F_ACCESS_PLATFORM);
	for (uint64_t i = 0; i < 10; i++) {
		r.payload.iotlb = (struct vu_iotlb){.iova = 0x2000 * i,
			.size = 0x1000,
			.uaddr = MEM_UVA + 0x1000 * i,
			.perm = GM_READ | GM_WRITE,
			.type = VU_IOTLB_UPDATE};
		assert_int_equal(get(f, r), 0);
		assert_int_equal(entries->used, RW_MIN(i + 1, 4));
	}
	assert_int_equal(entries->refused, 6);
	assert_non_null(gm_iotlb_find(gm_iotlb_view(vu_iotlb(f->s)), 0x2000 * 9));
	assert_null(gm_iotlb_find(gm_iotlb_view(vu_iotlb(f->s)), 0x2000 * 5));
	/* A lower limit holds from the next change on. */
	rw_budget_limit(&budgets, RW_BUDGET_IOTLB, 2);
	assert_int_equal(get(f, r), 0);
	assert_int_equal(entries->used, 2);
	assert_int_equal(entries->high, 4);
}

static void a_connection_beyond_the_budget_is_closed(void **state)
{
	const struct vu_offer offer = {.features = OFFERED,
		.protocol_features = OFFERED_PF,
		.max_pairs = MAX_PAIRS,
		.max_ring_size = MAX_RING_SIZE,
		.budgets = &budgets};
	struct front *f = front_of(state);
	unsigned before = count_fds();
	int sv[2];
	char byte;

	rw_budget_limit(&budgets, RW_BUDGET_FDS, 0);
	rw_budget_give(&budgets, RW_BUDGET_FDS, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_null(vu_session_new(f->loop, sv[1], &offer, &owner_ops, f, "second"));
	assert_int_equal(errno, EDQUOT);
	assert_int_equal(recv(sv[0], &byte, 1, 0), 0);
	close(sv[0]);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		within(every_descriptor_is_counted),
		within(a_message_beyond_the_budget_is_refused),
		within(descriptors_on_their_way_count),
		within(memory_has_so_many_slots),
		within(the_iotlb_has_so_many_entries),
		within(a_connection_beyond_the_budget_is_closed),
	};

	return cmocka_run_group_tests_name("vhost_user budget", tests, NULL, NULL);
}
