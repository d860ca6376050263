/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake guest: its memory, how it lays frames out, and its connection. The back-end is played by
 * hand, over guest-physical addresses as a real one must.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fe_guest.h"

#define PAGE 4096u

static void regions_adjacent_for_the_guest_are_one_stretch(void **state)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0x10000, .size = PAGE, .uva = 0x7000000},
		{.gpa = 0x10000 + PAGE, .size = 2 * PAGE, .uva = 0x9000000, .mmap_offset = PAGE},
		{.gpa = 0x80000, .size = PAGE, .uva = 0x3000, .same_file = true},
	};
	struct fe_mem m;

	(void)state;
	assert_int_equal(fe_mem_init(&m, regions, 3, false), 0);
	assert_non_null(fe_mem_at(&m, 0x10000, 3 * PAGE));
	assert_null(fe_mem_at(&m, 0x10000, 3 * PAGE + 1));
	assert_null(fe_mem_at(&m, 0xffff, 1));
	assert_non_null(fe_mem_at(&m, 0x80000 + PAGE - 1, 1));
	assert_int_equal(fe_mem_uva(&m, 0x10000 + PAGE - 1), 0x7000fff);
	assert_int_equal(fe_mem_uva(&m, 0x10000 + PAGE), 0x9000000);
	assert_int_equal(fe_mem_uva(&m, 0x20000), UINT64_MAX);
	/* The third region is the first page of the second one's file. */
	strcpy(fe_mem_at(&m, 0x80000, 6), "hello");
	assert_int_equal(pwrite(m.regions[1].fd, "j", 1, 0), 1);
	assert_string_equal(fe_mem_at(&m, 0x80000, 6), "jello");
	fe_mem_fini(&m);
}

static void allocations_straddle_borders_but_not_gaps(void **state)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0x10000, .size = PAGE, .uva = 0x7000000},
		{.gpa = 0x10000 + PAGE, .size = PAGE, .uva = 0x9000000},
		{.gpa = 0x80000, .size = 2 * PAGE, .uva = 0x3000},
	};
	struct fe_mem m;

	(void)state;
	assert_int_equal(fe_mem_init(&m, regions, 3, false), 0);
	assert_int_equal(fe_mem_alloc(&m, 100, 64), 0x10000);
	assert_int_equal(fe_mem_alloc(&m, PAGE, 64), 0x10080);
	assert_int_equal(fe_mem_alloc(&m, PAGE, 64), 0x80000); /* no room before the gap */
	assert_int_equal(fe_mem_alloc(&m, PAGE, 16), 0x80000 + PAGE);
	assert_int_equal(fe_mem_alloc(&m, 1, 1), UINT64_MAX);
	fe_mem_fini(&m);
}

static void impossible_memory_is_refused(void **state)
{
	struct fe_region_config region = {.gpa = 0, .size = 100};
	struct fe_mem m;

	(void)state;
	assert_int_equal(fe_mem_init(&m, &region, 0, false), -EINVAL);
	assert_int_equal(fe_mem_init(&m, &region, 1, false), -EINVAL);
	region.size = PAGE;
	region.mmap_offset = 1;
	assert_int_equal(fe_mem_init(&m, &region, 1, false), -EINVAL);
	region.mmap_offset = 0;
	assert_int_equal(fe_mem_init(&m, &region, 1, true), -EINVAL); /* no huge page's multiple */
}

/* A guest with these features that is connected to nobody. */
static struct fe_guest *guest(struct fe_guest_config c)
{
	struct fe_guest *g;

	c.rx_size = 8;
	c.tx_size = 64;
	assert_int_equal(fe_guest_new(&c, &g), 0);
	g->features = c.features;
	assert_int_equal(fe_guest_reset_rings(g), 0);
	return g;
}

/* Gather what the split descriptor chain at `d` describes. The number of pieces. */
static int gather(const struct fe_guest *g, const struct vring_desc *table, uint16_t d, void *out,
	size_t *len)
{
	int n = 1;

	*len = 0;
	for (;; n++) {
		memcpy((char *)out + *len, fe_mem_at(&g->mem, table[d].addr, table[d].len),
			table[d].len);
		*len += table[d].len;
		if (!(table[d].flags & VRING_DESC_F_NEXT))
			return n;
		d = table[d].next;
	}
}

static void a_frame_is_cut_as_told(void **state)
{
	static const struct {
		struct fe_cut cut;
		int pieces;
	} cases[] = {{{0, 0, false}, 1}, {{0, 4, false}, 4}, {{1, 1, false}, 2}, {{3, 2, false}, 5},
		{{12, 9, false}, 21}, {{12, 1, true}, 13}, {{200, 1, false}, -EMSGSIZE},
		{{0, 0, true}, 1}};
	static const struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = {.flags = 1, .gso_size = 99}};
	char data[100], got[200];
	size_t i, k, len;

	(void)state;
	for (k = 0; k < sizeof(data); k++)
		data[k] = (char)(k + 1);
	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		struct fe_guest *g = guest(
			(struct fe_guest_config){.features = FE_BIT(VIRTIO_F_VERSION_1)});
		const struct fe_frame f = {data, sizeof(data), &hdr, cases[i].cut};
		const struct vring_desc *d = fe_guest_tx(g, 0)->ring.desc;
		int err = fe_guest_send(g, 0, &f);

		if (cases[i].pieces < 0) {
			assert_int_equal(err, cases[i].pieces);
			fe_guest_free(g);
			continue;
		}
		assert_int_equal(err, 0);
		if (cases[i].cut.indirect) {
			assert_int_equal(d->flags, VRING_DESC_F_INDIRECT);
			assert_int_equal(d->len, 16 * cases[i].pieces);
			d = fe_mem_at(&g->mem, d->addr, d->len);
		}
		assert_int_equal(gather(g, d, 0, got, &len), cases[i].pieces);
		assert_int_equal(len, 12 + sizeof(data));
		assert_memory_equal(got, &hdr, 12);
		assert_memory_equal(got + 12, data, sizeof(data));
		fe_guest_free(g);
	}
}

static void transmit_buffers_are_free_again_when_used(void **state)
{
	struct fe_guest *g = guest((struct fe_guest_config){0});
	struct fe_ring *r = &fe_guest_tx(g, 0)->ring;
	const struct fe_frame f = {"frame", 5, NULL, {0}};
	int i;

	(void)state;
	for (i = 0; i < 64; i++)
		assert_int_equal(fe_guest_send(g, 0, &f), 0);
	assert_int_equal(fe_guest_send(g, 0, &f), -EAGAIN);
	r->used->ring[0] = (struct vring_used_elem){7, 0};
	r->used->idx = 1;
	assert_int_equal(fe_guest_send(g, 0, &f), 0);
	assert_int_equal(r->avail->ring[0], 7);
	r->used->ring[1] = (struct vring_used_elem){8, 1};
	r->used->idx = 2;
	assert_int_equal(fe_guest_reap(g, 0), -EPROTO); /* it "wrote" to what it may only read */
	fe_guest_free(g);
}

/* The back-end writes `len` bytes to receive buffer `head` and uses it. */
static void deliver(struct fe_guest *g, uint16_t head, const char *bytes, uint32_t len)
{
	struct fe_ring *r = &fe_guest_rx(g, 0)->ring;
	uint32_t off = 0, n;
	uint16_t d = head;

	for (; off < len; d = r->desc[d].next, off += n) {
		n = RW_MIN(r->desc[d].len, len - off);
		memcpy(fe_mem_at(&g->mem, r->desc[d].addr, n), bytes + off, n);
	}
	r->used->ring[r->used->idx % r->num] = (struct vring_used_elem){head, len};
	r->used->idx++;
}

static void a_frame_over_several_buffers_is_put_together(void **state)
{
	struct fe_guest *g = guest((struct fe_guest_config){
		.features = FE_BIT(VIRTIO_NET_F_MRG_RXBUF), .rx_buf_size = 32});
	struct fe_received in;
	char bytes[72] = {[10] = 3};
	char got[100];
	size_t i;

	(void)state;
	for (i = 12; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), -EAGAIN);
	deliver(g, 5, bytes, 32);
	deliver(g, 1, bytes + 32, 32);
	deliver(g, 3, bytes + 64, 8);
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), 0);
	assert_int_equal(in.len, 60);
	assert_int_equal(in.nbufs, 3);
	assert_memory_equal(got, bytes + 12, 60);
	assert_int_equal(fe_guest_rx(g, 0)->ring.in_flight, 8); /* given back */
	/* One that does not fit is taken out of the ring all the same. */
	deliver(g, 0, bytes, 32);
	deliver(g, 2, bytes + 32, 32);
	deliver(g, 4, bytes + 64, 8);
	assert_int_equal(fe_guest_recv(g, 0, got, 59, &in), -EMSGSIZE);
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), -EAGAIN);
	/* Two of three buffers: a lie. */
	deliver(g, 6, bytes, 32);
	deliver(g, 7, bytes + 32, 32);
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), -EPROTO);
	fe_guest_free(g);
}

static void a_receive_buffer_in_pieces_is_read_through_its_gaps(void **state)
{
	struct fe_guest *g = guest((struct fe_guest_config){
		.rx_buf_size = 40, .rx_cut = {.hdr_segs = 2, .data_segs = 2}});
	struct fe_received in;
	char bytes[40] = {1, 2, 3};
	char got[100];
	size_t i;

	(void)state;
	assert_int_equal(fe_guest_rx(g, 0)->bufs.n, 2); /* four descriptors each, of eight */
	for (i = 10; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	deliver(g, 0, bytes, 40);
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), 0);
	assert_int_equal(in.len, 30); /* an old header has 10 bytes */
	assert_memory_equal(&in.hdr, bytes, 10);
	assert_memory_equal(got, bytes + 10, 30);
	deliver(g, 4, bytes, 9); /* not even a header */
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), -EPROTO);
	fe_guest_free(g);
}

/* A connection to ourselves: the other end is ours to read and write. */
static int pair_up(struct fe_conn *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fe_conn_init(c, fds[0]);
	c->timeout_ms = 2000;
	return fds[1];
}

/* The back-end's reply, put into the socket before it is asked for. */
static void reply(int fd, uint32_t request, uint32_t flags, uint32_t size, uint64_t value)
{
	struct {
		struct vu_header h;
		uint8_t payload[8];
	} m = {{request, flags, size}, {0}};

	memcpy(m.payload, &value, sizeof(value));
	assert_int_equal(write(fd, &m, 12 + size), 12 + size);
}

static void an_answer_must_be_one_to_the_question(void **state)
{
	static const struct {
		uint32_t request, flags, size;
		int err;
	} cases[] = {{VU_GET_FEATURES, 5, 8, 0}, {VU_GET_FEATURES, 1, 8, -EPROTO},
		{VU_GET_FEATURES, 5, 4, -EPROTO}, {VU_GET_FEATURES, 6, 8, -EPROTO},
		{VU_GET_QUEUE_NUM, 5, 8, -EPROTO}};
	struct fe_conn c;
	uint64_t value;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		fd = pair_up(&c);
		reply(fd, cases[i].request, cases[i].flags, cases[i].size, 0x1234567890);
		value = 7;
		assert_int_equal(fe_conn_get(&c, VU_GET_FEATURES, &value), cases[i].err);
		assert_int_equal(value, cases[i].err ? 7 : 0x1234567890);
		fe_conn_close(&c);
		close(fd);
	}
}

static void an_acknowledgement_is_awaited_once_negotiated(void **state)
{
	struct vu_header h;
	struct fe_conn c;
	int fd = pair_up(&c);

	(void)state;
	assert_int_equal(fe_conn_order(&c, VU_SET_OWNER), 0);
	assert_int_equal(read(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(h.flags, VU_VERSION);
	c.protocol_features = FE_BIT(VU_PF_REPLY_ACK);
	reply(fd, VU_SET_OWNER, 5, 8, 0);
	assert_int_equal(fe_conn_order(&c, VU_SET_OWNER), 0);
	assert_int_equal(read(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(h.flags, VU_VERSION | VU_FLAG_NEED_REPLY);
	reply(fd, VU_SET_OWNER, 5, 8, 1);
	assert_int_equal(fe_conn_order(&c, VU_SET_OWNER), -EREMOTEIO);
	c.timeout_ms = 1;
	assert_int_equal(fe_conn_order(&c, VU_SET_OWNER), -ETIMEDOUT);
	fe_conn_close(&c);
	close(fd);
}

static void a_closed_connection_is_noticed(void **state)
{
	struct fe_conn c;
	uint64_t value;
	int fd = pair_up(&c);

	(void)state;
	c.timeout_ms = 1;
	assert_int_equal(fe_conn_wait_closed(&c), -ETIMEDOUT);
	reply(fd, 1, 5, 0, 0);
	assert_int_equal(fe_conn_wait_closed(&c), -EPROTO);
	close(fd);
	fe_conn_close(&c);
	fd = pair_up(&c);
	close(fd);
	assert_int_equal(fe_conn_wait_closed(&c), 0);
	assert_int_equal(fe_conn_get(&c, VU_GET_FEATURES, &value), -ECONNRESET);
	fe_conn_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_adjacent_for_the_guest_are_one_stretch),
		cmocka_unit_test(allocations_straddle_borders_but_not_gaps),
		cmocka_unit_test(impossible_memory_is_refused),
		cmocka_unit_test(a_frame_is_cut_as_told),
		cmocka_unit_test(transmit_buffers_are_free_again_when_used),
		cmocka_unit_test(a_frame_over_several_buffers_is_put_together),
		cmocka_unit_test(a_receive_buffer_in_pieces_is_read_through_its_gaps),
		cmocka_unit_test(an_answer_must_be_one_to_the_question),
		cmocka_unit_test(an_acknowledgement_is_awaited_once_negotiated),
		cmocka_unit_test(a_closed_connection_is_noticed),
	};

	return cmocka_run_group_tests_name("guest_frames", tests, NULL, NULL);
}
