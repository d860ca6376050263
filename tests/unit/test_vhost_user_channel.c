/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end channel: questions about the IOTLB, changes of the configuration. */
#include "vu_channel.h"

#define IOVA 0x7f0000000ull

/* A front-end with an IOMMU and a channel. */
static int begin(struct front *f)
{
	negotiate(f, PROTOCOL | VERSION1 | IOMMU);
	return give_channel(f);
}

/* Ask, with a cookie that tells the address. */
static int miss(struct front *f, uint64_t iova, uint8_t perm)
{
	return vu_iotlb_miss(f->s, iova, perm, iova);
}

static void assert_miss(int ch, uint64_t iova, uint8_t perm, uint32_t flags)
{
	struct notice n;

	assert_true(next(ch, &n));
	assert_int_equal(n.hdr.request, VU_BACKEND_IOTLB_MSG);
	assert_int_equal(n.hdr.flags, VU_VERSION | flags);
	assert_int_equal(n.hdr.size, 32);
	assert_int_equal(n.payload.iotlb.iova, iova);
	assert_int_equal(n.payload.iotlb.perm, perm);
	assert_int_equal(n.payload.iotlb.type, VU_IOTLB_MISS);
}

struct answer {
	struct vu_header hdr;
	uint32_t payload[2];
};

static struct answer answer_of(uint32_t value)
{
	return (struct answer){{VU_BACKEND_IOTLB_MSG, VU_VERSION | VU_FLAG_REPLY, 8}, {value, 0}};
}

static void answer(int ch, uint32_t value)
{
	struct answer a = answer_of(value);

	assert_int_equal(write(ch, &a, sizeof(a)), sizeof(a));
}

/* An IOTLB update, without waiting for its reply. */
static void send_update(struct front *f, uint64_t iova)
{
	union vu_payload p = {.iotlb = {.iova = iova,
				      .size = 0x1000,
				      .uaddr = MEM_UVA,
				      .perm = 3,
				      .type = VU_IOTLB_UPDATE}};
	uint8_t buf[64];

	assert_true(send_raw(f, buf, put_message(buf, VU_IOTLB_MSG, VU_VERSION, &p, 32), NULL, 0));
}

/* Questions. */

static void a_miss_asks_for_an_answer_if_there_can_be_one(void **state)
{
	struct front *f = front_of(state);
	int ch;

	set_protocol_features(f, ALL_PF);
	assert_int_equal(miss(f, IOVA, GM_READ), -ENOTCONN);
	ch = begin(f);
	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	assert_miss(ch, IOVA, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
	set_protocol_features(f, ALL_PF & ~BIT(VU_PF_REPLY_ACK));
	assert_int_equal(miss(f, IOVA + 0x1000, GM_WRITE), 0);
	assert_miss(ch, IOVA + 0x1000, VU_IOTLB_WRITE, 0);
	close(ch);
}

static void answers_belong_to_questions_in_their_order(void **state)
{
	struct front *f = front_of(state);
	int ch = begin(f);

	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(miss(f, IOVA + i * 0x1000, GM_READ), 0);
	for (uint32_t i = 0; i < 5; i++) {
		answer(ch, i % 2);
		pump(f);
		assert_int_equal(f->answers, i + 1);
		assert_int_equal(f->answer_iova, IOVA + i * 0x1000);
		assert_int_equal(f->answer_ok, i % 2 == 0);
	}
	close(ch);
}

static void an_answer_may_arrive_byte_by_byte(void **state)
{
	struct front *f = front_of(state);
	struct answer a = answer_of(0);
	int ch = begin(f);

	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	for (size_t i = 0; i < sizeof(a); i++) {
		assert_int_equal(f->answers, 0);
		assert_int_equal(write(ch, (const uint8_t *)&a + i, 1), 1);
		pump(f);
	}
	assert_int_equal(f->answers, 1);
	assert_true(f->answer_ok);
	close(ch);
}

/*
 * The update goes before its answer, on another socket: whichever is seen first, it is carried out
 * first, also behind many other messages.
 */
static void an_answer_comes_after_the_update_that_was_sent_before_it(void **state)
{
	static const unsigned others[] = {0, 1, 14, 15, 16, 17, 31, 32, 100};
	struct front *f = front_of(state);
	struct vu_header hdr = {VU_SET_OWNER, VU_VERSION, 0};
	int ch = begin(f);

	for (unsigned i = 0; i < 2 * RW_ARRAY_SIZE(others); i++) {
		uint64_t iova = IOVA + i * 0x1000;

		assert_int_equal(miss(f, iova, GM_READ), 0);
		/* In the wrong order, so that the loop sees the channel first. */
		if (i & 1)
			answer(ch, 0);
		for (unsigned k = 0; k < others[i / 2]; k++)
			assert_true(send_raw(f, &hdr, sizeof(hdr), NULL, 0));
		send_update(f, iova);
		if (!(i & 1))
			answer(ch, 0);
		pump(f);
		assert_int_equal(f->answers, i + 1);
		assert_int_equal(f->answer_iova, iova);
		assert_true(f->answer_known);
		assert_int_equal(receive(f, VU_IOTLB_MSG), REPLY);
		assert_int_equal(f->reply, 0);
	}
	close(ch);
}

static void an_answer_waits_while_the_connection_does(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);
	int ch = begin(f);

	describe_ring(f, 0);
	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	/* The same table again would pause no ring. */
	r.payload.mem.regions[0].size -= 0x1000;
	f->pause_later = true;
	assert_int_equal(exchange(f, &r), SILENCE);
	send_update(f, IOVA);
	answer(ch, 0);
	pump(f);
	assert_int_equal(f->answers, 0);
	f->pause_later = false;
	vu_session_retry(f->s);
	assert_int_equal(f->answers, 1);
	assert_true(f->answer_known);
	close(ch);
}

static void a_hangup_behind_an_answer_does_not_lose_it(void **state)
{
	struct front *f = front_of(state);
	int ch = begin(f);

	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	answer(ch, 1);
	close(ch);
	pump(f);
	assert_int_equal(f->answers, 1);
	assert_false(f->answer_ok);
}

static void questions_are_limited(void **state)
{
	struct front *f = front_of(state);
	int ch = begin(f);

	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(miss(f, i * 0x1000, GM_READ), 0);
	assert_int_equal(miss(f, IOVA, GM_READ), -EAGAIN);
	for (uint64_t i = 0; i < 64; i++)
		assert_miss(ch, i * 0x1000, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
	for (unsigned i = 0; i < 64; i++)
		answer(ch, 0);
	pump(f);
	assert_int_equal(f->answers, 64);
	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	assert_miss(ch, IOVA, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
	close(ch);
}

/* A front-end that does not read: what the socket does not take waits, and comes out whole. */
static void a_full_socket_delays_and_loses_nothing(void **state)
{
	struct front *f = front_of(state);
	uint64_t asked = 0;
	int ch = begin(f), ret;

	set_protocol_features(f, ALL_PF & ~BIT(VU_PF_REPLY_ACK));
	while (!(ret = miss(f, asked * 0x1000, GM_WRITE)))
		asked++;
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(vu_config_changed(f->s), -EAGAIN);
	assert_true(asked > 64);
	for (uint64_t i = 0; i < asked; i++) {
		assert_miss(ch, i * 0x1000, VU_IOTLB_WRITE, 0);
		if (i % 16 == 0)
			pump(f);
	}
	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	assert_miss(ch, IOVA, VU_IOTLB_READ, 0);
	close(ch);
}

static void a_channel_that_breaks_leaves_the_session_and_its_questions(void **state)
{
	struct front *f = front_of(state);
	int ch = begin(f);

	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(miss(f, IOVA + i * 0x1000, (uint8_t)(1 + i % 2)), 0);
	answer(ch, 0);
	pump(f);
	close(ch);
	pump(f);
	assert_false(f->closed);
	assert_int_equal(miss(f, IOVA, GM_READ), -ENOTCONN);
	f->updates = 0;
	ch = give_channel(f);
	/* Who could not ask may do so now. */
	assert_int_equal(f->updates, 1);
	assert_miss(ch, IOVA + 0x1000, VU_IOTLB_WRITE, VU_FLAG_NEED_REPLY);
	assert_miss(ch, IOVA + 0x2000, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
	answer(ch, 0);
	answer(ch, 1);
	pump(f);
	assert_int_equal(f->answers, 3);
	assert_int_equal(f->answer_iova, IOVA + 0x2000);
	close(ch);
}

/* The one before is closed, half a message and all. */
static void a_channel_may_be_replaced(void **state)
{
	struct front *f = front_of(state);
	struct answer a = answer_of(0);
	int first = begin(f), second;
	struct notice n;

	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	assert_int_equal(write(first, &a, 7), 7);
	pump(f);
	second = give_channel(f);
	assert_true(next(first, &n));
	assert_false(next(first, &n));
	assert_miss(second, IOVA, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
	answer(second, 0);
	pump(f);
	assert_int_equal(f->answers, 1);
	close(first);
	close(second);
}

static void a_front_end_that_babbles_loses_its_channel(void **state)
{
	struct front *f = front_of(state);
	struct answer wrong[7];

	negotiate(f, PROTOCOL | VERSION1 | IOMMU);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		wrong[i] = answer_of(0);
	wrong[0].hdr.request = VU_BACKEND_CONFIG_CHANGE_MSG;
	wrong[1].hdr.request = 0;
	wrong[2].hdr.flags = VU_VERSION;
	wrong[3].hdr.flags = VU_FLAG_REPLY;
	wrong[4].hdr.size = 0;
	wrong[5].hdr.size = 4096;
	/* The last one is right, but answers nothing. */
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++) {
		int ch = give_channel(f);

		/* Open since the first round: it is asked again every time. */
		if (!i)
			assert_int_equal(miss(f, IOVA, GM_READ), 0);
		assert_miss(ch, IOVA, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
		if (i == RW_ARRAY_SIZE(wrong) - 1) {
			answer(ch, 0);
			pump(f);
			assert_int_equal(f->answers, 1);
		}
		assert_int_equal(write(ch, &wrong[i], sizeof(wrong[i])), sizeof(wrong[i]));
		pump(f);
		assert_int_equal(miss(f, IOVA, GM_READ), -ENOTCONN);
		assert_int_equal(f->answers, i == RW_ARRAY_SIZE(wrong) - 1);
		assert_false(f->closed);
		close(ch);
	}
}

static void nobody_hears_answers_to_a_device_that_was_reset(void **state)
{
	struct front *f = front_of(state);
	int ch = begin(f);
	struct notice n;

	assert_int_equal(miss(f, IOVA, GM_READ), 0);
	assert_true(next(ch, &n));
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | IOMMU), ACK_OK);
	assert_int_equal(miss(f, IOVA + 0x1000, GM_READ), 0);
	assert_miss(ch, IOVA + 0x1000, VU_IOTLB_READ, VU_FLAG_NEED_REPLY);
	answer(ch, 1);
	pump(f);
	assert_int_equal(f->answers, 0);
	answer(ch, 0);
	pump(f);
	assert_int_equal(f->answers, 1);
	assert_int_equal(f->answer_iova, IOVA + 0x1000);
	assert_true(f->answer_ok);
	close(ch);
}

static void a_channel_is_a_stream_socket(void **state)
{
	struct front *f = front_of(state);
	struct request r = {.request = VU_SET_BACKEND_REQ_FD, .n = 1};
	int fds[4], dgram[2];
	unsigned before;

	negotiate(f, FEATURES);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fds[2] = eventfd(0, EFD_CLOEXEC);
	fds[3] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, dgram), 0);
	before = count_fds();
	for (unsigned i = 0; i < 5; i++) {
		r.fds = i < 4 ? &fds[i] : &dgram[0];
		assert_int_equal(ask(f, r), ACK_BAD);
		close(*r.fds);
	}
	r.fds = &f->memfd;
	assert_int_equal(ask(f, r), ACK_BAD);
	close(dgram[1]);
	assert_int_equal(count_fds(), before - 6);
	assert_false(vu_has_channel(f->s));
}

static void a_change_of_the_configuration_is_told(void **state)
{
	struct front *f = front_of(state);
	struct notice n;
	int ch;

	set_protocol_features(f, ALL_PF & ~BIT(VU_PF_CONFIG));
	assert_int_equal(vu_config_changed(f->s), -EOPNOTSUPP);
	set_protocol_features(f, ALL_PF);
	assert_int_equal(vu_config_changed(f->s), -ENOTCONN);
	ch = give_channel(f);
	assert_int_equal(vu_config_changed(f->s), 0);
	assert_true(next(ch, &n));
	assert_int_equal(n.hdr.request, VU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(n.hdr.flags, VU_VERSION);
	assert_int_equal(n.hdr.size, 0);
	assert_false(next(ch, &n));
	close(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_miss_asks_for_an_answer_if_there_can_be_one),
		spec(answers_belong_to_questions_in_their_order),
		spec(an_answer_may_arrive_byte_by_byte),
		spec(an_answer_comes_after_the_update_that_was_sent_before_it),
		spec(an_answer_waits_while_the_connection_does),
		spec(a_hangup_behind_an_answer_does_not_lose_it),
		spec(questions_are_limited),
		spec(a_full_socket_delays_and_loses_nothing),
		spec(a_channel_that_breaks_leaves_the_session_and_its_questions),
		spec(a_channel_may_be_replaced),
		spec(a_front_end_that_babbles_loses_its_channel),
		spec(nobody_hears_answers_to_a_device_that_was_reset),
		spec(a_channel_is_a_stream_socket),
		spec(a_change_of_the_configuration_is_told),
	};

	return cmocka_run_group_tests_name("vhost_user channel", tests, NULL, NULL);
}
