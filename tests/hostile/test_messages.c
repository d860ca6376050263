/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that break the rules of the protocol: what they say, and what comes with them. */
#include "say.h"

#include <fcntl.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

static bool names_ring_by_fd(const struct request *q)
{
	return q->request >= VU_SET_VRING_KICK && q->request <= VU_SET_VRING_ERR;
}

/* Also rust-vmm #212 and QEMU #4403. */
static void cve_2020_10723_ring_indices_that_do_not_exist_are_refused(
	struct rig *r, uint64_t format)
{
	/* The first is the number of rings that there may be. */
	static const uint32_t indices[] = {256, 0x1ff, 0x10000, 0x10001, 0x80000000, 0xffffffff};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	assert_true(2 * a->g->max_pairs <= indices[0]);
	for (size_t m = 0; m < nrequests; m++) {
		const struct request *q = &requests[m];
		union vu_payload payload = q->payload;
		bool by_fd = names_ring_by_fd(q);

		for (size_t i = 0; (q->names_ring || by_fd) && i < RW_ARRAY_SIZE(indices); i++) {
			int fd = by_fd ? fd_of(FD_EVENT) : -1;

			/* Bit 8 of the other kind says that there is no descriptor. */
			if (by_fd)
				payload.u64 = (uint64_t)indices[i] << (indices[i] < 0x10000);
			else
				payload.state.index = indices[i];
			if (refused(r, a, q->request, &payload, q->len, fd))
				run_rings(a);
			if (fd >= 0)
				close(fd);
		}
	}
	duplex_check(r, a, b);
}

static void cve_2019_14818_a_ring_sizes_in_a_loop_cost_nothing(struct rig *r, uint64_t format)
{
	const struct vu_vring_state state = {.num = 128};
	const struct vu_header h = {.request = VU_SET_VRING_NUM, .flags = VU_VERSION, .size = 8};
	const struct fe_guest_config c = guest_of_all(format);
	uint32_t n = (rig_is_long() ? 1000000 : 20000) / (uint32_t)r->slow;
	uint8_t bytes[VU_HEADER_SIZE + sizeof(state)];
	struct peer *a = negotiated(r, &c);

	memcpy(bytes, &h, VU_HEADER_SIZE);
	memcpy(bytes + VU_HEADER_SIZE, &state, sizeof(state));
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(fe_conn_send_bytes(&a->g->conn, bytes, sizeof(bytes), NULL, 0), 0);
	peer_sync(a);
}

static void cve_2019_14818_b_descriptors_of_any_message_are_closed(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);

	for (size_t m = 0; m < nrequests; m++) {
		const struct request *q = &requests[m];
		const uint32_t counts[] = {0, q->nfds, q->nfds + 1, 2, 8, 9, 253};
		const uint32_t sizes[] = {q->len, q->len + 1, q->len ? q->len - 1 : 0, 300, 1000};
		int fd = fd_of(q->kind);

		for (size_t i = 0; i < RW_ARRAY_SIZE(counts) * RW_ARRAY_SIZE(sizes); i++) {
			uint8_t payload[1000] = {0};
			enum outcome out;

			memcpy(payload, &q->payload, RW_MIN(q->len, sizeof(q->payload)));
			out = say_with(a, q->request, payload, sizes[i % RW_ARRAY_SIZE(sizes)], fd,
				counts[i / RW_ARRAY_SIZE(sizes)]);
			/* Without what was negotiated most are refused for that reason. */
			if (out == CLOSED || q->request == VU_SET_PROTOCOL_FEATURES)
				negotiated_anew(r, a);
		}
		close(fd);
	}
}

static void cve_2022_0669_descriptors_beside_inflight_messages_are_closed(
	struct rig *r, uint64_t format)
{
	const struct vu_inflight_desc d = {.num_queues = 2, .queue_size = 256};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (uint32_t n = 1; n <= 8; n++) {
		assert_int_not_equal(
			say_with(a, VU_GET_INFLIGHT_FD, &d, sizeof(d), fd, n), SAID_YES);
		assert_int_not_equal(
			say_with(a, VU_SET_INFLIGHT_FD, &d, sizeof(d), fd, n), SAID_YES);
	}
	close(fd);
}

/* Lengths inside payloads: of the configuration space, and of sessions for crypto. */
static void cve_2020_10724_lengths_inside_a_payload_are_checked(struct rig *r, uint64_t format)
{
	static const uint32_t lens[] = {0, 1, 3, 5, 255, 256, 257, 0x10000, 0xfffffff4, 0xffffffff};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);

	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		union vu_payload payload = {.config = {.offset = 8, .size = lens[i]}};

		refused(r, a, VU_GET_CONFIG, &payload, 16, -1);
		refused(r, a, VU_SET_CONFIG, &payload, 16, -1);
		payload.config.offset = lens[i] < 200 ? 300 : lens[i];
		payload.config.size = 4;
		refused(r, a, VU_GET_CONFIG, &payload, 16, -1);
		memset(&payload, 0xff, sizeof(payload));
		refused(r, a, VU_CREATE_CRYPTO_SESSION, &payload, RW_MIN(lens[i], 256u), -1);
	}
}

/* A header, or a part of it, then the end; messages byte by byte. */
static void r01_a_message_in_pieces_is_awaited_and_its_end_is_noticed(
	struct rig *r, uint64_t format)
{
	const struct vu_header h = {.request = VU_SET_FEATURES, .flags = VU_VERSION, .size = 8};
	const struct vu_header get = {.request = VU_GET_FEATURES, .flags = VU_VERSION};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_new(r, "a", &c);
	struct fe_msg reply;

	for (size_t n = 1; n <= VU_HEADER_SIZE; n++) {
		peer_connect(r, a);
		assert_int_equal(fe_conn_send_bytes(&a->g->conn, &h, n, NULL, 0), 0);
		fe_guest_disconnect(a->g);
	}
	peer_connect(r, a);
	for (size_t n = 0; n < 5 * VU_HEADER_SIZE; n++) {
		const uint8_t *byte = (const uint8_t *)&get + n % VU_HEADER_SIZE;

		assert_int_equal(fe_conn_send_bytes(&a->g->conn, byte, 1, NULL, 0), 0);
		rig_nap();
	}
	for (int n = 0; n < 5; n++)
		assert_int_equal(fe_conn_recv(&a->g->conn, &reply), 0);
}

/* All ports but the canary's stall in the middle of a message, with descriptors and without. */
static void g05_a_front_end_that_stalls_in_mid_message_delays_nobody(struct rig *r, uint64_t format)
{
	static const char *const ports[] = {"a", "b", "c", "d"};
	const struct vu_header h = {.request = VU_SET_VRING_KICK, .flags = VU_VERSION, .size = 8};
	const struct fe_guest_config c = guest_of_all(format);
	int fd = fd_of(FD_EVENT);

	for (uint32_t i = 0; i < RW_ARRAY_SIZE(ports); i++) {
		struct peer *p = peer_new(r, ports[i], &c);

		peer_connect(r, p);
		assert_int_equal(fe_conn_send_bytes(&p->g->conn, &h, sizeof(h), &fd, i & 1), 0);
	}
	/* Meanwhile the switch answers. */
	for (int i = 0; i < 100; i++)
		json_decref(rig_call(r, "port.list", NULL));
	close(fd);
}

static void g06_a_message_that_lost_descriptors_is_refused(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	struct vu_mem_table t = {.nregions = 8};
	int fd = fd_of(FD_MEMORY);

	for (uint64_t i = 0; i < 8; i++) {
		t.regions[i] = (struct vu_mem_region){
			.gpa = i << 20, .size = 4096, .uva = i << 20, .mmap_offset = i << 12};
	}
	assert_int_equal(say_with(a, VU_SET_MEM_TABLE, &t, sizeof(t), fd, 8), SAID_YES);
	/* More than eight cannot be taken: the kernel cuts them off. */
	for (uint32_t n = 9; n < 16; n++) {
		assert_int_not_equal(say_with(a, VU_SET_MEM_TABLE, &t, sizeof(t), fd, n), SAID_YES);
		negotiated_anew(r, a);
	}
	close(fd);
}

static void r02_a_payload_beyond_any_message_is_refused_with_its_descriptors(
	struct rig *r, uint64_t format)
{
	static const uint32_t sizes[] = {269, 4096, 0x7fffffff, 0x80000000, 0xffffffff};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		const struct vu_header h = {.request = VU_SET_MEM_TABLE,
			.flags = VU_VERSION | VU_FLAG_NEED_REPLY,
			.size = sizes[i]};
		uint8_t bytes[VU_HEADER_SIZE + 4096] = {0};
		uint32_t len = VU_HEADER_SIZE + RW_MIN(sizes[i], 4096u);
		struct fe_msg reply;
		int err;

		memcpy(bytes, &h, sizeof(h));
		assert_int_equal(
			fe_conn_send_bytes(&a->g->conn, bytes, len, (int[]){fd, fd}, 2), 0);
		err = fe_conn_recv(&a->g->conn, &reply);
		assert_true(err == -ECONNRESET || (!err && reply.payload.u64));
		negotiated_anew(r, a);
	}
	close(fd);
}

static void r03_a_payload_of_another_size_than_the_structure_is_refused(
	struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);

	for (size_t m = 0; m < nrequests; m++) {
		const struct request *q = &requests[m];
		const uint32_t sizes[] = {0, 1, q->len / 2, q->len ? q->len - 1 : 1, q->len + 1,
			q->len + 2, sizeof(union vu_payload)};
		int fd = q->nfds ? fd_of(q->kind) : -1;

		for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
			union vu_payload payload = q->payload;
			bool has_tail = q->len == 24 && sizes[i] >= 20 && sizes[i] < 24;
			bool is_table = q->request == VU_SET_MEM_TABLE && sizes[i] > 40;

			if (sizes[i] != q->len && !has_tail && !is_table)
				refused(r, a, q->request, &payload, sizes[i], fd);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void r04_wrong_versions_replies_and_unknown_requests_are_refused(
	struct rig *r, uint64_t format)
{
	static const struct {
		uint32_t request, flags;
	} odd[] = {
		{VU_SET_OWNER, VU_FLAG_NEED_REPLY},
		{VU_SET_OWNER, VU_FLAG_NEED_REPLY | 2},
		{VU_SET_OWNER, VU_FLAG_NEED_REPLY | 3},
		{VU_SET_OWNER, VU_VERSION | VU_FLAG_NEED_REPLY | VU_FLAG_REPLY},
		{0, VU_VERSION | VU_FLAG_NEED_REPLY},
		{45, VU_VERSION | VU_FLAG_NEED_REPLY},
		{0x10001, VU_VERSION | VU_FLAG_NEED_REPLY},
		{0xffffffff, VU_VERSION | VU_FLAG_NEED_REPLY},
	};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	struct fe_msg reply;
	int err;

	for (size_t i = 0; i < RW_ARRAY_SIZE(odd); i++) {
		const struct vu_header h = {.request = odd[i].request, .flags = odd[i].flags};

		assert_int_equal(fe_conn_send_bytes(&a->g->conn, &h, sizeof(h), NULL, 0), 0);
		err = fe_conn_recv(&a->g->conn, &reply);
		if (err == -ECONNRESET) {
			negotiated_anew(r, a);
			continue;
		}
		assert_int_equal(err, 0);
		assert_int_equal(reply.header.size, 8);
		assert_true(reply.payload.u64);
		peer_sync(a);
	}
}

static void r05_every_request_is_answered_once(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);

	for (size_t m = 0; m < nrequests; m++) {
		const struct request *q = &requests[m];
		int fd = q->nfds ? fd_of(q->kind) : -1;

		/* say_with takes one reply; what peer_sync gets must be that of its own request. */
		if (say_with(a, q->request, &q->payload, q->len, fd, q->nfds) == CLOSED ||
			q->request == VU_SET_PROTOCOL_FEATURES)
			negotiated_anew(r, a);
		else
			peer_sync(a);
		if (fd >= 0)
			close(fd);
	}
}

static void r06_a_log_is_answered_once(struct rig *r, uint64_t format)
{
	static const enum fe_log_style styles[] = {FE_LOG_ECHO, FE_LOG_QEMU};
	const struct vu_log_base log = {.size = 4096};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(fe_conn_set_log(&a->g->conn, &log, fd, styles[i % 2]), 0);
		peer_sync(a);
	}
	close(fd);
}

/* Also SPDK 71c1bbeeb5. */
static void r07_a_ring_without_a_descriptor_says_so(struct rig *r, uint64_t format)
{
	static const uint32_t which[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	const uint64_t plain = 1, nofd = 1 | VU_VRING_NOFD;
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_EVENT);

	for (size_t i = 0; i < RW_ARRAY_SIZE(which); i++) {
		assert_int_equal(say_with(a, which[i], &nofd, 8, -1, 0), SAID_YES);
		assert_int_equal(say_with(a, which[i], &nofd, 8, fd, 1), SAID_YES);
		refused(r, a, which[i], &plain, 8, -1);
	}
	close(fd);
}

static void r08_only_eventfds_notify(struct rig *r, uint64_t format)
{
	static const uint32_t which[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	const int fds[] = {fd_of(FD_MEMORY), fd_of(FD_SOCKET), fd_of(FD_PIPE),
		open("/dev/full", O_RDWR | O_CLOEXEC), open("/", O_PATH | O_CLOEXEC),
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	const uint64_t ring = 0;

	for (size_t i = 0; i < RW_ARRAY_SIZE(fds); i++) {
		assert_true(fds[i] >= 0);
		for (size_t k = 0; k < RW_ARRAY_SIZE(which); k++)
			refused(r, a, which[k], &ring, 8, fds[i]);
		refused(r, a, VU_SET_LOG_FD, NULL, 0, fds[i]);
		close(fds[i]);
	}
}

/* Also QEMU 640601c7cb: a kick before there are addresses. */
static void r09_a_ring_starts_whatever_the_order_of_its_parts(struct rig *r, uint64_t format)
{
	static const enum fe_step orders[][FE_NUM_STEPS] = {
		{FE_CALL, FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_ERR, FE_ENABLE, FE_ENDIAN},
		{FE_KICK, FE_CALL, FE_NUM, FE_BASE, FE_ADDR, FE_ERR, FE_ENABLE, FE_ENDIAN},
		{FE_ENABLE, FE_KICK, FE_ADDR, FE_NUM, FE_BASE, FE_CALL, FE_ERR, FE_ENDIAN},
		{FE_ENABLE, FE_ADDR, FE_NUM, FE_BASE, FE_CALL, FE_ERR, FE_ENDIAN, FE_KICK},
	};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c), *b = peer_up(r, "b", &c);

	for (size_t i = 0; i < RW_ARRAY_SIZE(orders); i++) {
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (size_t k = 0; k < FE_NUM_STEPS; k++) {
			assert_int_equal(fe_guest_ring_step(a->g, 0, orders[i][k]), 0);
			assert_int_equal(fe_guest_ring_step(a->g, 1, orders[i][k]), 0);
		}
		peer_sync(a);
		peers_meet(r, a, b);
		duplex_check(r, a, b);
		negotiated_anew(r, a);
	}
}

static void r12_after_a_message_that_failed_the_rings_go_on(struct rig *r, uint64_t format)
{
	const struct vu_vring_addr addr = {.desc = 16, .avail = 32, .used = 64};
	const struct vu_vring_state num = {.num = 0};
	const uint64_t features = UINT64_MAX;
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	struct fe_msg close_it = {.header = {VU_SET_VRING_NUM, VU_VERSION, 8}};

	for (int i = 0; i < 20; i++) {
		assert_int_equal(
			say_with(a, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1, 0), SAID_NO);
		assert_int_equal(say_with(a, VU_SET_VRING_NUM, &num, 8, -1, 0), SAID_NO);
		assert_int_equal(say_with(a, VU_SET_FEATURES, &features, 8, -1, 0), SAID_NO);
		duplex_check(r, a, b);
	}
	/* One that nobody asked to acknowledge: the port takes the next front-end. */
	assert_int_equal(fe_conn_send(&a->g->conn, &close_it), 0);
	assert_int_equal(fe_conn_wait_closed(&a->g->conn), 0);
	negotiated_anew(r, a);
	run_rings(a);
	duplex_check(r, a, b);
}

static void fd40901c82_nothing_of_a_refused_message_is_kept(struct rig *r, uint64_t format)
{
	const struct vu_mem_table bad = {.nregions = 1, .regions = {{.size = UINT64_MAX}}};
	const struct vu_vring_state num = {.num = 3 << 16};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	int fd = fd_of(FD_MEMORY);

	for (int i = 0; i < 20; i++) {
		refused(r, a, VU_SET_MEM_TABLE, &bad, 40, fd);
		refused(r, a, VU_SET_VRING_NUM, &num, 8, -1);
		duplex_check(r, a, b);
	}
	close(fd);
}

/* Replies hold nothing but what was asked for. */
static void cve_2021_3545_replies_have_no_bytes_of_ours(struct rig *r, uint64_t format)
{
	struct vu_inflight_desc d = {.num_queues = 2, .queue_size = 128, .padding = 0x5a5a5a5a};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	uint8_t config[12];
	int fd;

	assert_int_equal(fe_conn_get_inflight(&a->g->conn, &d, &fd), 0);
	assert_true(!d.padding || d.padding == 0x5a5a5a5a);
	assert_int_equal(d.mmap_offset, 0);
	close(fd);
	memset(config, 0x5a, sizeof(config));
	assert_int_equal(fe_conn_get_config(&a->g->conn, 0, sizeof(config), config), 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_not_equal(config[i], 0x5a); /* it never knew what was there */
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK(cve_2020_10723_ring_indices_that_do_not_exist_are_refused),
		ATTACK(cve_2019_14818_a_ring_sizes_in_a_loop_cost_nothing),
		ATTACK(cve_2019_14818_b_descriptors_of_any_message_are_closed),
		ATTACK(cve_2022_0669_descriptors_beside_inflight_messages_are_closed),
		ATTACK(cve_2020_10724_lengths_inside_a_payload_are_checked),
		ATTACK(r01_a_message_in_pieces_is_awaited_and_its_end_is_noticed),
		ATTACK(g05_a_front_end_that_stalls_in_mid_message_delays_nobody),
		ATTACK(g06_a_message_that_lost_descriptors_is_refused),
		ATTACK(r02_a_payload_beyond_any_message_is_refused_with_its_descriptors),
		ATTACK(r03_a_payload_of_another_size_than_the_structure_is_refused),
		ATTACK(r04_wrong_versions_replies_and_unknown_requests_are_refused),
		ATTACK(r05_every_request_is_answered_once),
		ATTACK(r06_a_log_is_answered_once),
		ATTACK(r07_a_ring_without_a_descriptor_says_so),
		ATTACK(r08_only_eventfds_notify),
		ATTACK_BOTH(r09_a_ring_starts_whatever_the_order_of_its_parts),
		ATTACK_BOTH(r12_after_a_message_that_failed_the_rings_go_on),
		ATTACK_BOTH(fd40901c82_nothing_of_a_refused_message_is_kept),
		ATTACK(cve_2021_3545_replies_have_no_bytes_of_ours),
	};

	return hostile_main("hostile_messages", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
