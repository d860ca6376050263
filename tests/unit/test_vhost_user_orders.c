/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole conversations, in the order in which front-ends were seen to lead them. */
#include "vu_fixture.h"

#define GUEST (VERSION1 | MRG | PROTOCOL)

/* QEMU asks for an acknowledgement of few messages only. */
static void say(struct front *f, struct request r)
{
	assert_int_equal(exchange(f, &r), SILENCE);
}

static void say_u64(struct front *f, uint32_t request, uint64_t value)
{
	say(f, msg_u64(request, value));
}

static void say_state(struct front *f, uint32_t request, uint32_t ring, uint32_t num)
{
	say(f, msg_state(request, ring, num));
}

static void say_fd(struct front *f, uint32_t request, uint64_t value)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	say(f, with_fds(msg_u64(request, value), &fd, 1));
	close(fd);
}

static uint64_t get_u64(struct front *f, uint32_t request)
{
	return get(f, msg(request));
}

/* A netdev's chardev is connected. */
static void qemu_connects(struct front *f, uint64_t protocol_features)
{
	struct request channel = {.request = VU_SET_BACKEND_REQ_FD, .n = 1};
	int sv[2];

	assert_int_equal(get_u64(f, VU_GET_FEATURES), OFFERED);
	assert_int_equal(get_u64(f, VU_GET_PROTOCOL_FEATURES), OFFERED_PF);
	say_u64(f, VU_SET_PROTOCOL_FEATURES, protocol_features);
	assert_int_equal(get_u64(f, VU_GET_QUEUE_NUM), MAX_PAIRS);
	assert_int_equal(get_u64(f, VU_GET_MAX_MEM_SLOTS), GM_MAX_REGIONS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	channel.fds = &sv[1];
	assert_int_equal(ask(f, channel), ACK_OK);
	close(sv[0]);
	close(sv[1]);
	say(f, msg(VU_SET_OWNER));
	assert_int_equal(get_u64(f, VU_GET_FEATURES), OFFERED);
	for (uint32_t i = 0; i < 2; i++)
		say_fd(f, VU_SET_VRING_CALL, i);
	for (uint32_t i = 0; i < 2; i++)
		say_state(f, VU_SET_VRING_ENABLE, i, 1);
}

/* The guest's driver is ready: memory as a table or by slots, then ring by ring. */
static void qemu_starts(struct front *f, bool slots, uint32_t base, uint64_t space)
{
	struct request mem = one_region(f);

	say_u64(f, VU_SET_FEATURES, GUEST);
	if (slots) {
		mem.request = VU_ADD_MEM_REG;
		mem.size = 40;
		mem.payload = (union vu_payload){.slot.region = {0, MEM_SIZE, MEM_UVA, 0}};
	}
	if (!slots || !vu_mem(f->s))
		assert_int_equal(ask(f, mem), ACK_OK);
	for (uint32_t i = 0; i < 2; i++) {
		struct vu_vring_addr a = addr_at(i, 0x10000 * i - MEM_UVA + space);

		say_state(f, VU_SET_VRING_NUM, i, 256);
		say_state(f, VU_SET_VRING_BASE, i, base);
		say(f, msg_addr(a));
		say_fd(f, VU_SET_VRING_KICK, i);
		say_fd(f, VU_SET_VRING_CALL, i);
	}
	for (uint32_t i = 0; i < 2; i++)
		say_state(f, VU_SET_VRING_ENABLE, i, 1);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(f->running[i] && vu_ring(f->s, i)->enabled);
}

static void qemu_stops(struct front *f, uint32_t position)
{
	f->position = position;
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(stop_ring(f, i), position);
		assert_false(f->running[i]);
	}
}

static void the_order_of_qemu(void **state)
{
	struct unit *u = *state;

	for (int slots = 0; slots < 2; slots++) {
		uint64_t bits = ALL_PF & ~(slots ? 0 : BIT(VU_PF_CONFIGURE_MEM_SLOTS));
		struct front f;

		front_open(&f, u->loop);
		qemu_connects(&f, ALL_PF);
		say_u64(&f, VU_SET_PROTOCOL_FEATURES, bits);
		/* A guest that boots, reboots and goes on: firmware first, which uses it too. */
		qemu_starts(&f, slots, 0, MEM_UVA);
		qemu_stops(&f, 7);
		qemu_starts(&f, slots, 0, MEM_UVA);
		qemu_stops(&f, 100);
		/* Stopped and continued: where it was. */
		qemu_starts(&f, slots, 100, MEM_UVA);
		front_close(&f);
		assert_int_equal(f.reason, 0);
	}
}

/* QEMU 11: no address of its own leaves it. */
static void the_order_of_qemu_with_guest_physical_addresses(void **state)
{
	struct front *f = front_of(state);

	qemu_connects(f, ALL_PF | GPA);
	qemu_starts(f, true, 0, 0);
	qemu_stops(f, 5);
}

/* Memory is plugged in while the guest runs: nothing stops. */
static void the_order_of_qemu_that_plugs_memory(void **state)
{
	struct front *f = front_of(state);
	struct request r = {.request = VU_ADD_MEM_REG, .size = 40, .fds = &f->memfd, .n = 1};

	qemu_connects(f, ALL_PF);
	qemu_starts(f, true, 0, MEM_UVA);
	r.payload.slot.region = (struct vu_mem_region){
		0x100000000, MEM_SIZE, MEM_UVA + 2 * MEM_SIZE, 0};
	for (int i = 0; i < 3; i++) {
		r.request = VU_ADD_MEM_REG;
		r.n = 1;
		assert_int_equal(ask(f, r), ACK_OK);
		r.request = VU_REM_MEM_REG;
		r.n = 0;
		assert_int_equal(ask(f, r), ACK_OK);
		assert_true(f->running[0] && f->running[1]);
	}
}

/* DPDK's virtio-user: status first and last, queues disabled while the table changes. */
static void the_order_of_virtio_user(void **state)
{
	const uint64_t bits = BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_STATUS);
	struct front *f = front_of(state);

	say(f, msg(VU_SET_OWNER));
	assert_int_equal(get_u64(f, VU_GET_FEATURES), OFFERED);
	assert_int_equal(get_u64(f, VU_GET_PROTOCOL_FEATURES), OFFERED_PF);
	say_u64(f, VU_SET_PROTOCOL_FEATURES, bits);
	assert_int_equal(get_u64(f, VU_GET_QUEUE_NUM), MAX_PAIRS);
	for (int run = 0; run < 2; run++) {
		assert_int_equal(ask_u64(f, VU_SET_STATUS, 0), ACK_OK);
		assert_int_equal(ask_u64(f, VU_SET_STATUS, 1), ACK_OK);
		assert_int_equal(ask_u64(f, VU_SET_STATUS, 3), ACK_OK);
		for (uint32_t i = 0; i < 2; i++)
			say_fd(f, VU_SET_VRING_CALL, i);
		assert_int_equal(ask_u64(f, VU_SET_FEATURES, GUEST), ACK_OK);
		assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xb), ACK_OK);
		assert_int_equal(get_u64(f, VU_GET_STATUS), 0xb);
		assert_int_equal(ask_mem(f), ACK_OK);
		for (uint32_t i = 0; i < 2; i++) {
			say_state(f, VU_SET_VRING_NUM, i, 256);
			say_state(f, VU_SET_VRING_BASE, i, 0);
			assert_int_equal(ask_addr(f, addr_at(i, 0x10000 * i)), ACK_OK);
			say_fd(f, VU_SET_VRING_KICK, i);
		}
		for (uint32_t i = 0; i < 2; i++)
			say_state(f, VU_SET_VRING_ENABLE, i, 1);
		assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xf), ACK_OK);
		assert_true(f->running[0] && f->running[1]);
		/* A heap grows. */
		for (uint32_t i = 0; i < 2; i++)
			say_state(f, VU_SET_VRING_ENABLE, i, 0);
		assert_int_equal(ask_mem(f), ACK_OK);
		for (uint32_t i = 0; i < 2; i++)
			say_state(f, VU_SET_VRING_ENABLE, i, 1);
		assert_true(f->running[0] && f->running[1]);
		for (uint32_t i = 0; i < 2; i++)
			say_state(f, VU_SET_VRING_ENABLE, i, 0);
		qemu_stops(f, 9);
		assert_int_equal(ask_u64(f, VU_SET_STATUS, 0), ACK_OK);
	}
}

/* QEMU with vIOMMU: rings start before their translation is there, which it sends on its own. */
static void the_order_of_qemu_with_an_iommu(void **state)
{
	struct front *f = front_of(state);
	const uint64_t iova = 0xffff0000;
	struct request update = {.request = VU_IOTLB_MSG, .flags = NEED, .size = 32};

	qemu_connects(f, ALL_PF);
	say_u64(f, VU_SET_FEATURES, GUEST | IOMMU);
	assert_int_equal(ask_mem(f), ACK_OK);
	for (uint32_t i = 0; i < 2; i++) {
		struct vu_vring_addr a = {i, 0, iova, iova + 0x2000, iova + 0x1000, 0};

		say_state(f, VU_SET_VRING_NUM, i, 256);
		say_state(f, VU_SET_VRING_BASE, i, 0);
		say(f, msg_addr(a));
		say_fd(f, VU_SET_VRING_KICK, i);
		say_fd(f, VU_SET_VRING_CALL, i);
	}
	update.payload.iotlb = (struct vu_iotlb){
		.iova = iova + 0x2000, .size = 0x1000, .uaddr = MEM_UVA, .perm = 3, .type = 2};
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(get(f, update), 0);
	assert_int_equal(f->updates, 2);
	assert_true(translates(f, iova + 0x2000));
	/* The guest's IOMMU is flushed: a size of 0 means everything. */
	update.payload.iotlb.type = VU_IOTLB_INVALIDATE;
	update.payload.iotlb.iova = 0;
	update.payload.iotlb.size = 0;
	assert_int_equal(get(f, update), 0);
	assert_false(translates(f, iova + 0x2000));
}

/* A legacy guest of the other byte order: once for each ring, before it starts. */
static void the_order_of_a_big_endian_legacy_guest(void **state)
{
	struct front *f = front_of(state);

	qemu_connects(f, ALL_PF);
	say_u64(f, VU_SET_FEATURES, PROTOCOL | MRG);
	assert_int_equal(ask_mem(f), ACK_OK);
	for (uint32_t i = 0; i < 2; i++)
		say_state(f, VU_SET_VRING_ENDIAN, i, 1);
	start_ring(f, 0);
	assert_true(vu_ring(f->s, 0)->swap);
	/* It stays so while the ring runs. */
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 0, 1), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 0, 0), ACK_BAD);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 1, 2), ACK_BAD);
	stop_ring(f, 0);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 0, 0), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 0, 1), ACK_OK);
	/* The next guest is a modern one, for which there is no such choice. */
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 1, 1), ACK_BAD);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_BAD);
	assert_false(f->running[0]);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 0, 0), ACK_OK);
	assert_true(f->running[0]);
}

/* In-flight first, as a front-end does that survives its back-end's death. */
static void the_order_of_cloud_hypervisor_that_reconnects(void **state)
{
	struct unit *u = *state;
	struct vu_inflight_desc desc = {.num_queues = 2, .queue_size = 256};
	int fd = -1;

	for (int life = 0; life < 3; life++) {
		struct request r = {.request = life ? VU_SET_INFLIGHT_FD : VU_GET_INFLIGHT_FD,
			.size = 20,
			.payload.inflight = desc};
		struct front f;

		front_open(&f, u->loop);
		say(&f, msg(VU_SET_OWNER));
		assert_int_equal(get_u64(&f, VU_GET_FEATURES), OFFERED);
		assert_int_equal(get_u64(&f, VU_GET_PROTOCOL_FEATURES), OFFERED_PF);
		say_u64(&f, VU_SET_PROTOCOL_FEATURES, ALL_PF);
		assert_int_equal(ask_u64(&f, VU_SET_FEATURES, GUEST), ACK_OK);
		assert_int_equal(ask_mem(&f), ACK_OK);
		if (life) {
			r.fds = &fd;
			r.n = 1;
			assert_int_equal(ask(&f, r), ACK_OK);
		} else {
			assert_int_equal(exchange(&f, &r), REPLY);
			assert_int_equal(f.reply_size, 20);
			desc = f.reply_payload.inflight;
			fd = f.reply_fd;
			f.reply_fd = -1;
		}
		for (uint32_t i = 0; i < 2; i++) {
			start_ring(&f, i);
			assert_int_equal(ask_state(&f, VU_SET_VRING_ENABLE, i, 1), ACK_OK);
			assert_int_equal(*(uint8_t *)vu_ring_inflight(f.s, i), life);
			*(uint8_t *)vu_ring_inflight(f.s, i) = (uint8_t)(life + 1);
		}
		front_close(&f);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(the_order_of_qemu),
		spec(the_order_of_qemu_with_guest_physical_addresses),
		spec(the_order_of_qemu_that_plugs_memory),
		spec(the_order_of_virtio_user),
		spec(the_order_of_qemu_with_an_iommu),
		spec(the_order_of_a_big_endian_legacy_guest),
		spec(the_order_of_cloud_hypervisor_that_reconnects),
	};

	return cmocka_run_group_tests_name("vhost_user orders", tests, NULL, NULL);
}
