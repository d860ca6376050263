/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that break the rules of the protocol. */
#include "say.h"

#include <string.h>
#include <unistd.h>

/* A guest on port a that exchanged frames with one on port b. */
static struct peer *attacker_up(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_up(r, "a", &c), *b = peer_up(r, "b", &c);

	peers_meet(r, a, b);
	return a;
}

/* Again after a connection was closed. */
static void again(struct rig *r, struct peer *a)
{
	fe_guest_disconnect(a->g);
	peer_start(r, a);
}

static void cve_2020_10723_ring_indices_that_do_not_exist_are_refused(
	struct rig *r, uint64_t format)
{
	/* The first is the number of rings that there may be. */
	static const uint32_t indices[] = {256, 0x1ff, 0x10000, 0x10001, 0x80000000, 0xffffffff};
	struct peer *a = attacker_up(r, format);
	uint64_t max;

	assert_int_equal(fe_conn_get(&a->g->conn, VU_GET_QUEUE_NUM, &max), 0);
	assert_true(2 * max <= indices[0]);
	for (size_t m = 0; m < nrequests; m++) {
		const struct request *q = &requests[m];
		union vu_payload payload = q->payload;
		bool is_fd = q->request >= VU_SET_VRING_KICK && q->request <= VU_SET_VRING_ERR;

		if (!q->names_ring && !is_fd)
			continue;
		for (size_t i = 0; i < RW_ARRAY_SIZE(indices); i++) {
			int fd = is_fd ? fd_of(FD_EVENT) : -1;

			/* Bit 8 of the other kind says that there is no descriptor. */
			if (is_fd && indices[i] < 0x10000)
				payload.u64 = (uint64_t)indices[i] << 1;
			else if (is_fd)
				payload.u64 = indices[i];
			else
				payload.state.index = indices[i];
			refused(r, a, q->request, &payload, q->len, fd);
			if (fd >= 0)
				close(fd);
			if (!a->g->conn.protocol_features)
				again(r, a);
		}
	}
	duplex_check(r, a, r->peers[1]);
}

static void cve_2019_14818_a_ring_sizes_in_a_loop_cost_nothing(struct rig *r, uint64_t format)
{
	const struct vu_vring_state state = {.num = 128};
	struct vu_header h = {.request = VU_SET_VRING_NUM, .flags = VU_VERSION, .size = 8};
	uint32_t n = rig_is_long() ? 1000000 : 20000;
	uint8_t bytes[VU_HEADER_SIZE + sizeof(state)];
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_new(r, "a", &c);

	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	memcpy(bytes, &h, VU_HEADER_SIZE);
	memcpy(bytes + VU_HEADER_SIZE, &state, sizeof(state));
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(fe_conn_send_bytes(&a->g->conn, bytes, sizeof(bytes), NULL, 0), 0);
	peer_sync(a);
}

/* Every request with any number of descriptors and a payload of any size. */
static void cve_2019_14818_b_descriptors_of_any_message_are_closed(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_new(r, "a", &c);

	for (size_t m = 0; m < nrequests; m++) {
		const struct request *q = &requests[m];
		const uint32_t counts[] = {0, q->nfds, q->nfds + 1, 2, 8, 9, 253};
		const uint32_t sizes[] = {q->len, q->len + 1, q->len ? q->len - 1 : 0, 300, 1000};
		int fd = fd_of(q->kind);

		for (size_t i = 0; i < RW_ARRAY_SIZE(counts); i++) {
			for (size_t k = 0; k < RW_ARRAY_SIZE(sizes); k++) {
				uint8_t payload[1000] = {0};

				if (!a->g->conn.protocol_features) {
					fe_guest_disconnect(a->g);
					peer_connect(r, a);
					assert_int_equal(fe_guest_negotiate(a->g), 0);
				}
				memcpy(payload, &q->payload, RW_MIN(q->len, sizeof(q->payload)));
				if (say_with(a, q->request, payload, sizes[k], fd, counts[i]) ==
					CLOSED)
					fe_guest_disconnect(a->g);
			}
		}
		close(fd);
	}
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK(cve_2020_10723_ring_indices_that_do_not_exist_are_refused),
		ATTACK(cve_2019_14818_a_ring_sizes_in_a_loop_cost_nothing),
		ATTACK(cve_2019_14818_b_descriptors_of_any_message_are_closed),
	};

	return hostile_main("hostile_messages", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
