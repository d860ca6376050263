/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksums are completed and large frames are cut, whatever their headers and buffers are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame_convert.h"
#include "gso_packets.h"
#include "rw_virtio_net.h"

#define SEGS   2048
#define PIECES 17

static uint8_t whole[GSO_PACKET_MAX + 1], flat[GSO_PACKET_MAX + 1];
static struct rw_seg shared[SEGS];

/* A frame whose bytes behind the head are in pieces of their own, for the sanitizer to see. */
struct lent {
	struct frame frame;
	struct rw_seg segs[PIECES];
	uint8_t *memory[PIECES];
	unsigned n;
};

/* Bytes of a frame behind its head, in `pieces` of different lengths. */
static void lend(struct lent *l, uint32_t len, unsigned pieces)
{
	struct frame *f = &l->frame;
	uint32_t at;

	memset(f, 0, sizeof(*f));
	frame_init(f, len);
	memcpy(f->head, whole, f->head_len);
	at = f->head_len;
	f->seg = l->segs;
	for (l->n = 0; at < len; l->n++) {
		uint32_t piece = (len - f->head_len) / pieces + l->n % 3;

		if (l->n + 1 == pieces || piece > len - at)
			piece = len - at;
		l->memory[l->n] = malloc(piece ? piece : 1);
		assert_non_null(l->memory[l->n]);
		memcpy(l->memory[l->n], whole + at, piece);
		l->segs[l->n] = (struct rw_seg){.data = l->memory[l->n], .len = piece};
		at += piece;
	}
	f->nsegs = (uint16_t)l->n;
}

static void give_back(struct lent *l)
{
	for (unsigned i = 0; i < l->n; i++)
		free(l->memory[i]);
}

/* The frame's bytes, in one piece. */
static uint32_t flatten(const struct frame *f)
{
	uint32_t n = f->head_len;

	assert_true(f->len <= GSO_PACKET_MAX && n <= FRAME_HEAD_MAX);
	memcpy(flat, f->head, n);
	for (unsigned i = 0; i < f->nsegs; i++) {
		memcpy(flat + n, f->seg[i].data, f->seg[i].len);
		n += f->seg[i].len;
	}
	assert_int_equal(n, f->len);
	return n;
}

static void offload_put(struct frame *f, const struct gso_spec *s, uint16_t gso_size)
{
	f->offload = (struct frame_offload){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)gso_place_of(s).transport,
		.csum_offset = s->udp ? 6 : 16,
		.hdr_len = (uint16_t)gso_place_of(s).payload,
		.gso_size = gso_size,
	};
	if (gso_size)
		f->offload.gso_type = s->udp ? VIRTIO_NET_HDR_GSO_UDP_L4
			: s->ipv6            ? VIRTIO_NET_HDR_GSO_TCPV6
					     : VIRTIO_NET_HDR_GSO_TCPV4;
}

static void no_mistake(const char *bad, const struct gso_spec *s, uint16_t gso_size)
{
	if (bad)
		fail_msg("not so: %s; ipv6 %d udp %d tags %u options %u %u payload %u gso_size %u",
			bad, s->ipv6, s->udp, s->tags, s->ip_options, s->tcp_options, s->payload,
			gso_size);
}

/* Cut it and check all segments. */
static void cut(const struct gso_spec *s, uint16_t gso_size, unsigned pieces, bool leave_csum)
{
	uint32_t len = gso_build(s, whole), done = 0, nth = 0;
	enum frame_fault fault;
	struct frame_cut c;
	struct lent l;

	lend(&l, len, pieces);
	offload_put(&l.frame, s, gso_size);
	assert_int_equal(frame_cut_begin(&c, &l.frame, leave_csum), FRAME_OK);
	for (;; nth++) {
		struct frame_room room = {.segs = shared, .max = SEGS};
		struct frame out;

		fault = frame_cut_next(&c, &room, &out);
		if (fault != FRAME_OK)
			break;
		assert_int_equal(frame_needs(&out), leave_csum ? FRAME_TAKES_CSUM : 0);
		no_mistake(gso_check(s, whole, flat, flatten(&out), nth, &done, leave_csum), s,
			gso_size);
		if (done < s->payload)
			assert_int_equal(out.len, gso_place_of(s).payload + gso_size);
	}
	assert_int_equal(fault, FRAME_END);
	assert_int_equal(done, s->payload);
	assert_int_equal(nth, s->payload ? (s->payload + gso_size - 1) / gso_size : 1);
	give_back(&l);
}

/* Complete its checksum and check it. */
static void fill(const struct gso_spec *s, unsigned pieces)
{
	struct frame_room room = {.segs = shared, .max = SEGS};
	uint32_t len = gso_build(s, whole), done = 0;
	struct frame out;
	struct lent l;

	lend(&l, len, pieces);
	offload_put(&l.frame, s, 0);
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_OK);
	assert_int_equal(frame_needs(&out), 0);
	no_mistake(gso_check(s, whole, flat, flatten(&out), 0, &done, false), s, 0);
	assert_int_equal(done, s->payload);
	give_back(&l);
}

/* Both, with the payload's length around what matters. */
static void sizes(struct gso_spec *s, unsigned turn)
{
	static const uint16_t gso_sizes[] = {1, 2, 7, 64, 536, 1448, 9000};
	const uint16_t gso = gso_sizes[turn % RW_ARRAY_SIZE(gso_sizes)];
	const uint32_t most = GSO_PACKET_MAX - 4 - gso_place_of(s).payload;
	const uint32_t payloads[] = {0, 1, gso - 1u, gso, gso + 1u, 2u * gso - 1, 2u * gso,
		2u * gso + 1, 17u * gso, FRAME_SEGMENTS_MAX * (uint32_t)gso};

	for (unsigned i = 0; i < RW_ARRAY_SIZE(payloads); i++) {
		s->payload = RW_MIN(payloads[i], most - s->tags * 4u);
		cut(s, gso, 1 + (turn + i) % PIECES, (turn + i) & 1);
		fill(s, 1 + (turn + i) % PIECES);
	}
}

static void every_combination(void **state)
{
	static const uint8_t flags[] = {0x10, 0x19, 0x98, 0xd9};
	unsigned turn = 0;

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		for (unsigned tags = 0; tags < 3; tags++) {
			for (unsigned options = 0; options < 4; options++) {
				struct gso_spec s = {.ipv6 = kind & 1,
					.udp = kind & 2,
					.tags = (uint8_t)tags,
					.ip_options =
						(uint8_t)(kind & 1 ? options * 40 : options * 12),
					.tcp_options = (uint8_t)(12 * (turn % 4)),
					.tcp_flags = flags[turn % 4],
					.id = (uint16_t)(65530 + turn),
					.seq = UINT32_MAX - 1000};

				sizes(&s, turn++);
			}
		}
	}
}

/* A sum that comes to zero is sent as 0xffff in UDP, where zero says that there is none. */
static void a_sum_of_zero(void **state)
{
	struct gso_spec s = {.udp = true, .payload = 2};
	struct frame_room room = {.segs = shared, .max = SEGS};
	struct gso_place at = gso_place_of(&s);
	uint32_t len = gso_build(&s, whole);
	struct frame out;
	struct lent l;

	(void)state;
	memset(whole + at.payload, 0, 2);
	gso_put16(whole + at.payload,
		(uint16_t)~gso_sum(whole + at.transport, len - at.transport, 0));
	lend(&l, len, 1);
	offload_put(&l.frame, &s, 0);
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_OK);
	assert_int_equal(gso_get16(out.head + at.transport + 6), 0xffff);
	give_back(&l);
}

/* A checksum behind the head is completed in a longer one, up to what a head can be. */
static void a_checksum_far_behind(void **state)
{
	struct gso_spec s = {.payload = 500};
	struct frame_room room = {.segs = shared, .max = SEGS};
	uint32_t len = gso_build(&s, whole);
	uint16_t sum;
	struct frame out;
	struct lent l;

	(void)state;
	lend(&l, len, 5);
	l.frame.offload = (struct frame_offload){.flags = 1, .csum_start = 100, .csum_offset = 154};
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_OK);
	flatten(&out);
	sum = (uint16_t)~gso_sum(whole + 100, len - 100, 0);
	assert_int_equal(gso_get16(flat + 254), sum);
	assert_memory_equal(flat, whole, 254);
	assert_memory_equal(flat + 256, whole + 256, len - 256);
	room.n = SEGS - 1;
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_NO_ROOM);
	l.frame.offload.csum_offset++;
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_BAD_CSUM);
	l.frame.offload = (struct frame_offload){.flags = 1, .csum_start = 13};
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_BAD_CSUM);
	l.frame.offload = (struct frame_offload){.flags = 1, .csum_start = (uint16_t)(len - 1)};
	assert_int_equal(frame_csum_fill(&l.frame, &room, &out), FRAME_BAD_CSUM);
	give_back(&l);
}

/* Change one byte of a good packet's headers, or its offload fields: what frame_cut_begin says. */
static enum frame_fault begin(
	const struct gso_spec *s, int at, uint8_t value, void (*change)(struct frame_offload *o))
{
	uint32_t len = gso_build(s, whole);
	enum frame_fault fault;
	struct frame_cut c;
	struct lent l;

	if (at >= 0)
		whole[at] = value;
	lend(&l, len, 3);
	offload_put(&l.frame, s, 1000);
	if (change)
		change(&l.frame.offload);
	fault = frame_cut_begin(&c, &l.frame, false);
	give_back(&l);
	return fault;
}

static void no_size(struct frame_offload *o)
{
	o->gso_size = 0;
}

static void small(struct frame_offload *o)
{
	o->gso_size = 9;
}

static void start_off(struct frame_offload *o)
{
	o->csum_start += 2;
}

static void offset_off(struct frame_offload *o)
{
	o->csum_offset -= 2;
}

static void no_csum(struct frame_offload *o)
{
	o->flags = 0;
}

static void malformed_requests(void **state)
{
	static void (*const changes[])(struct frame_offload *) = {
		no_size, start_off, offset_off, no_csum};
	const struct gso_spec v4 = {.payload = 5000}, v6 = {.ipv6 = true, .payload = 5000};
	struct gso_spec far = {.ipv6 = true, .ip_options = 208, .payload = 5000};
	struct gso_spec s = v6;

	(void)state;
	assert_int_equal(begin(&v4, -1, 0, NULL), FRAME_OK);
	assert_int_equal(begin(&v6, -1, 0, NULL), FRAME_OK);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(changes); i++)
		assert_int_equal(begin(&v4, -1, 0, changes[i]), FRAME_BAD_GSO);
	assert_int_equal(begin(&v4, -1, 0, small), FRAME_MANY_SEGMENTS);
	assert_int_equal(begin(&v4, 12, 0x86, NULL), FRAME_BAD_GSO);      /* another EtherType */
	assert_int_equal(begin(&v4, 14, 0x44, NULL), FRAME_BAD_GSO);      /* IPv4: too short */
	assert_int_equal(begin(&v4, 14, 0x46, NULL), FRAME_BAD_GSO);      /* TCP elsewhere */
	assert_int_equal(begin(&v4, 20, 0x20, NULL), FRAME_BAD_GSO);      /* more fragments */
	assert_int_equal(begin(&v4, 21, 0x01, NULL), FRAME_BAD_GSO);      /* a later one */
	assert_int_equal(begin(&v4, 23, 17, NULL), FRAME_BAD_GSO);        /* UDP */
	assert_int_equal(begin(&v4, 34 + 12, 0x40, NULL), FRAME_BAD_GSO); /* TCP: too short */
	assert_int_equal(begin(&v6, 20, 44, NULL), FRAME_BAD_GSO);        /* a fragment */
	s.ip_options = 16;
	assert_int_equal(begin(&s, 20, 44, NULL), FRAME_BAD_GSO);
	assert_int_equal(begin(&s, 54, 44, NULL), FRAME_BAD_GSO);
	/* Extension headers, each followed by one more of the kind, to the end of the head. */
	assert_int_equal(begin(&s, 62, 60, NULL), FRAME_BAD_GSO);
	assert_int_equal(begin(&far, -1, 0, NULL), FRAME_BAD_GSO);
	far.ip_options = 176;
	assert_int_equal(begin(&far, -1, 0, NULL), FRAME_OK);
	s = v4;
	s.payload = 0;
	assert_int_equal(begin(&s, 46, 0x60, NULL), FRAME_BAD_GSO); /* headers behind the end */
}

/* A list without room is said, and the segment can be made again. */
static void a_list_without_room(void **state)
{
	struct gso_spec s = {.payload = 5000};
	struct frame_room room = {.segs = shared, .max = 1};
	uint32_t len = gso_build(&s, whole), done = 0;
	struct frame_cut c;
	struct frame out;
	struct lent l;

	(void)state;
	lend(&l, len, 10);
	offload_put(&l.frame, &s, 1000);
	assert_int_equal(frame_cut_begin(&c, &l.frame, false), FRAME_OK);
	assert_int_equal(frame_cut_next(&c, &room, &out), FRAME_NO_ROOM);
	assert_int_equal(room.n, 0);
	room.max = SEGS;
	assert_int_equal(frame_cut_next(&c, &room, &out), FRAME_OK);
	assert_null(gso_check(&s, whole, flat, flatten(&out), 0, &done, false));
	give_back(&l);
}

/* Whoever does not take a word for a checksum gets the frame without it. */
static void a_good_checksum(void **state)
{
	const struct gso_spec s = {.payload = 500};
	struct frame f = {.len = gso_build(&s, whole), .head_len = 64}, out;
	struct rw_seg seg = {.data = whole + 64, .len = f.len - 64};
	struct frame_room room = {0};

	(void)state;
	memcpy(f.head, whole, 64);
	f.seg = &seg;
	f.nsegs = 1;
	f.offload.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	assert_int_equal(frame_needs(&f), FRAME_TAKES_CSUM);
	assert_false(frame_csum_is_partial(&f));
	assert_int_equal(frame_csum_fill(&f, &room, &out), FRAME_OK);
	assert_true(frame_is_plain(&out));
	assert_int_equal(out.len, f.len);
	assert_memory_equal(out.head, f.head, 64);
	assert_ptr_equal(out.seg, &seg);
	assert_int_equal(out.nsegs, 1);
}

static void what_a_frame_needs(void **state)
{
	struct gso_spec s = {.payload = 5000};
	struct frame f = {0};

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		static const uint8_t needs[4] = {
			FRAME_TAKES_TSO4, FRAME_TAKES_TSO6, FRAME_TAKES_USO4, FRAME_TAKES_USO6};

		s = (struct gso_spec){.ipv6 = i & 1, .udp = i & 2, .tags = (uint8_t)(i / 4)};
		f.len = gso_build(&s, whole);
		f.head_len = 64;
		memcpy(f.head, whole, 64);
		offload_put(&f, &s, 0);
		assert_int_equal(frame_needs(&f), FRAME_TAKES_CSUM);
		offload_put(&f, &s, 1000);
		assert_int_equal(frame_needs(&f), FRAME_TAKES_CSUM | needs[i % 4]);
		if (s.udp)
			continue;
		if (s.ipv6) {
			f.head[gso_place_of(&s).net + 6] = 0; /* hop by hop */
			assert_int_equal(frame_needs(&f),
				FRAME_TAKES_CSUM | FRAME_TAKES_TSO6 | FRAME_TAKES_EXT6);
			f.head[gso_place_of(&s).net + 6] = 6;
		}
		f.offload.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		assert_int_equal(
			frame_needs(&f), FRAME_TAKES_CSUM | FRAME_TAKES_ECN | needs[i % 4]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_combination),
		cmocka_unit_test(a_sum_of_zero),
		cmocka_unit_test(a_checksum_far_behind),
		cmocka_unit_test(malformed_requests),
		cmocka_unit_test(a_list_without_room),
		cmocka_unit_test(a_good_checksum),
		cmocka_unit_test(what_a_frame_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
