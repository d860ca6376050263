/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose second CPU rewrites everything that the switch reads, while it is read: descriptors
 * and indirect tables, indices and flags of rings, headers, addresses and tags of frames.
 *
 * Port a is in the VLANs 10 and 11, and so are b and c, whose addresses are known and differ in one
 * byte; d is in VLAN 12, and the canary in 99. Whatever a does, what arrives at b has a tag of 10
 * or 11 and not the address of c, and the other way round; d hears nothing. A switch that looks
 * twice at what it decided on would break that; one that trusts an index or a length leaves its
 * memory, which AddressSanitizer and the canary see.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"

#define HDR      12
#define LEN      200 /* bytes of a frame */
#define DST_BYTE (HDR + 5)
#define VID_BYTE (HDR + 15)

enum { MAC_B = 0xb0, MAC_C = 0xc0 };

static const uint8_t mac_b[6] = {0x02, 0xf1, 0, 0, 0, MAC_B};
static const uint8_t mac_c[6] = {0x02, 0xf1, 0, 0, 0, MAC_C};

/* What the thread rewrites; all of it is the guest's own memory. */
struct flipper {
	struct fe_guest *g;
	struct fe_ring
		rings[2]; /* copies: where the rings lie does not change when they begin anew */
	bool contents;    /* of frames alone: the rings are those of an honest guest */
	uint32_t stop;
	uint64_t random;
};

static uint32_t draw(struct flipper *f, uint32_t n)
{
	f->random = f->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(f->random >> 33) % n;
}

#define POKE(p, v) __atomic_store_n((p), (__typeof__(*(p)))(v), __ATOMIC_RELAXED)

/* The destination is b or c, the VLAN one that a is in, or is not in. */
static void flip_contents(struct flipper *f)
{
	static const uint8_t vids[] = {10, 11, 12, 99};
	struct fe_pool *p = &fe_guest_tx(f->g, 0)->bufs;
	uint8_t *frame = p->host + (size_t)draw(f, p->n) * p->stride;

	if (draw(f, 2))
		POKE(&frame[DST_BYTE], draw(f, 2) ? MAC_B : MAC_C);
	else
		POKE(&frame[VID_BYTE], vids[draw(f, RW_ARRAY_SIZE(vids))]);
}

static void flip_header(struct flipper *f)
{
	struct fe_pool *p = &fe_guest_tx(f->g, 0)->bufs;
	uint8_t *hdr = p->host + (size_t)draw(f, p->n) * p->stride;

	POKE(&hdr[draw(f, HDR)], draw(f, 2) * draw(f, 256));
}

static uint64_t some_address(struct flipper *f)
{
	const struct fe_region *r = &f->g->mem.regions[0];
	const uint64_t end = r->c.gpa + r->c.size;

	switch (draw(f, 6)) {
	case 0:
		return end - draw(f, 300);
	case 1:
		return UINT64_MAX - draw(f, 300);
	case 2:
		return fe_guest_tx(f->g, 0)->gpa; /* the ring itself */
	default:
		return r->c.gpa + draw(f, (uint32_t)r->c.size);
	}
}

static uint32_t some_length(struct flipper *f)
{
	static const uint32_t lens[] = {
		0, 1, 11, 12, 26, 212, 1500, 16, 16 * 256, 0x10000, 0xfffffff0, 0xffffffff};

	return lens[draw(f, RW_ARRAY_SIZE(lens))];
}

/* Entries of both formats are of 16 bytes: address, length, and two fields that differ. */
static void flip_entry(struct flipper *f, uint64_t *addr, uint32_t *len, uint16_t *a, uint16_t *b)
{
	switch (draw(f, 4)) {
	case 0:
		POKE(addr, some_address(f));
		break;
	case 1:
		POKE(len, some_length(f));
		break;
	case 2:
		POKE(a,
			draw(f, 3) ? draw(f, 8) | draw(f, 2) << 7 | draw(f, 2) << 15
				   : draw(f, 0x10000));
		break;
	default:
		POKE(b, draw(f, 2) ? draw(f, 34) : draw(f, 0x10000));
	}
}

static void flip_desc(struct flipper *f, struct fe_ring *r)
{
	uint16_t i = (uint16_t)draw(f, r->num);

	flip_entry(f, desc_addr(r, i), desc_len(r, i), desc_flags(r, i),
		r->format == FE_SPLIT ? (uint16_t *)&r->desc[i].next : (uint16_t *)&r->pdesc[i].id);
}

static void flip_table(struct flipper *f)
{
	struct fe_queue *q = fe_guest_tx(f->g, 0);
	union fe_indirect_desc *t = &q->tables[draw(f, q->bufs.n * FE_MAX_SEGS)];

	flip_entry(f, (uint64_t *)&t->split.addr, (uint32_t *)&t->split.len,
		(uint16_t *)&t->split.flags, (uint16_t *)&t->split.next);
}

/* Indices and flags that say how far the guest is, and when it wants to be told. */
static void flip_indices(struct flipper *f, struct fe_ring *r)
{
	if (r->format == FE_PACKED) {
		POKE(&r->driver_event->off_wrap, draw(f, 0x10000));
		POKE(&r->driver_event->flags, draw(f, 4));
		POKE(&r->device_event->flags, draw(f, 4));
		return;
	}
	switch (draw(f, 5)) {
	case 0:
		POKE(&r->avail->idx, r->avail->idx + 1 + draw(f, 3));
		break;
	case 1:
		POKE(&r->avail->idx, draw(f, 64) ? (uint32_t)r->avail->idx - 1 : draw(f, 0x10000));
		break;
	case 2:
		POKE(&r->avail->ring[draw(f, r->num + 1u)],
			draw(f, 16) ? draw(f, r->num) : draw(f, 0x10000));
		break;
	case 3:
		POKE(&r->avail->flags, draw(f, 4));
		break;
	default:
		POKE(&r->used->idx, draw(f, 0x10000));
	}
}

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		struct fe_ring *r = &f->rings[draw(f, 2)];

		flip_contents(f);
		if (f->contents)
			continue;
		switch (draw(f, 4)) {
		case 0:
			flip_header(f);
			break;
		case 1:
			flip_desc(f, r);
			break;
		case 2:
			flip_table(f);
			break;
		default:
			flip_indices(f, r);
		}
	}
	return NULL;
}

/* ---- who listens ---- */

static void address_set(
	struct rig *r, const char *method, const char *mac, int vlan, const char *to)
{
	json_t *params = json_pack("{s:s, s:i}", "mac", mac, "vlan", vlan);

	if (to)
		json_object_set_new(params, "port", json_string(to));
	json_decref(rig_call(r, method, params));
}

static void vlans_set(struct rig *r, bool on)
{
	static const char *const members[][2] = {
		{"a", "10+11"}, {"b", "10+11"}, {"c", "10+11"}, {"d", "12"}};
	static const char *const macs[][2] = {
		{"02:f1:00:00:00:b0", "b"}, {"02:f1:00:00:00:c0", "c"}};

	for (size_t i = 0; i < RW_ARRAY_SIZE(members); i++)
		port_set(r, members[i][0], "trunk", on ? members[i][1] : "none");
	for (int vlan = 10; vlan <= 11; vlan++) {
		for (size_t i = 0; i < RW_ARRAY_SIZE(macs); i++)
			address_set(r, on ? "fdb.add" : "fdb.del", macs[i][0], vlan,
				on ? macs[i][1] : NULL);
	}
}

/* All that has arrived at `p` may have, whose address is not `other`. How many frames. */
static uint32_t judge(struct peer *p, const uint8_t *other)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint32_t n = 0;
	int err;

	for (; !(err = fe_guest_recv(p->g, 0, got, sizeof(got), &in)); n++) {
		if (!other)
			fail_msg("a frame of another VLAN reached port %s", p->port);
		if (memcmp(got + 12, "\x81\x00", 2) || (got[14] & 0x0f) ||
			(got[15] != 10 && got[15] != 11))
			fail_msg("port %s: %02x%02x %02x%02x behind the addresses", p->port,
				got[12], got[13], got[14], got[15]);
		if (other && !memcmp(got, other, 6))
			fail_msg("port %s: a frame for somebody else", p->port);
	}
	assert_int_equal(err, -EAGAIN);
	return n;
}

/* ---- the attack ---- */

static void frame_tagged(uint8_t *data, const uint8_t *dst, const uint8_t *src, uint32_t seed)
{
	frame_make(data, LEN, dst, src, seed);
	memcpy(data + 12, (uint8_t[]){0x81, 0, 0, (uint8_t)(10 + (seed & 1))}, 4);
}

/* Honest rings: frames by the dozen. */
static void send_honestly(struct peer *a, uint32_t round)
{
	uint8_t data[LEN];
	const struct fe_frame f = {
		.data = data, .len = LEN, .cut = {.indirect = round & 1, .hdr_segs = round & 2}};

	for (uint32_t i = 0; i < 8; i++) {
		frame_tagged(data, i & 1 ? mac_b : mac_c, a->mac, round + i);
		if (fe_guest_put(a->g, 0, &f))
			break;
	}
	fe_guest_flush(a->g, 0);
}

/* Rings that nobody keeps count of: chains are there, and there are always more. */
static void send_blindly(struct peer *a, uint32_t round)
{
	struct fe_queue *q = fe_guest_tx(a->g, 0);
	struct fe_ring *r = &q->ring;
	uint16_t i = (uint16_t)(round % r->num);

	frame_tagged(q->bufs.host + (size_t)(i % q->bufs.n) * q->bufs.stride + HDR,
		round & 1 ? mac_b : mac_c, a->mac, round);
	if (round % 4 == 0) {
		*desc_addr(r, i) = q->bufs.gpa + (uint64_t)(i % q->bufs.n) * q->bufs.stride;
		*desc_len(r, i) = HDR + LEN;
	}
	if (r->format == FE_SPLIT) {
		if (round % 4 == 0)
			POKE(&r->desc[i].flags, 0);
		__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + 1), __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&r->pdesc[i].flags,
			round / r->num & 1 ? FE_PACKED_USED : FE_PACKED_AVAIL, __ATOMIC_RELEASE);
	}
	fe_queue_kick(q);
	fe_queue_kick(fe_guest_rx(a->g, 0));
}

/* Bursts for a, whose receive ring is in motion, too. */
static void send_to(struct peer *b, const uint8_t *dst, uint32_t round)
{
	uint8_t data[LEN];
	const struct fe_frame f = {.data = data, .len = LEN};

	for (uint32_t i = 0; i < 32; i++) {
		frame_tagged(data, dst, b->mac, round);
		if (fe_guest_put(b->g, 0, &f))
			break;
	}
	fe_guest_flush(b->g, 0);
}

/* One ring size, with honest rings or with none of that. Frames that arrived. */
static uint32_t flip_with(
	struct rig *r, struct peer *const p[4], struct flipper *f, uint32_t rounds)
{
	struct peer *a = p[0];
	pthread_t thread;
	uint32_t n = 0;

	f->g = a->g;
	for (uint32_t i = 0; i < 2; i++)
		f->rings[i] = a->g->queues[i].ring;
	assert_int_equal(pthread_create(&thread, NULL, flip, f), 0);
	for (uint32_t i = 0; i < rounds; i++) {
		if (f->contents)
			send_honestly(a, i);
		else
			send_blindly(a, i);
		if (i % 8 == 0)
			send_to(p[1], i & 8 ? mac_broadcast : a->mac, i);
		n += judge(p[1], mac_c);
		n += judge(p[2], mac_b);
		judge(p[3], NULL);
		if (i % 64 == 63) {
			/* A ring that broke begins afresh, in mid-flight. */
			for (uint32_t k = 0; !f->contents && k < 2; k++)
				assert_int_equal(fe_guest_stop_ring(a->g, k, NULL), 0);
			if (!f->contents)
				run_rings(a);
			assert_true(rig_port_info(r, "a", "connected"));
		}
		rig_nap();
	}
	__atomic_store_n(&f->stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return n;
}

static void flipper(struct rig *r, uint64_t format, bool contents)
{
	static const uint16_t sizes[] = {1, 2, 3, 4, 7, 8, 16, 31, 32, 256};
	const struct fe_guest_config plain = guest_usual();
	uint32_t rounds = rig_is_long() ? 5000 : 150, n = 0;

	vlans_set(r, true);
	for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		struct flipper f = {.contents = contents, .random = format + i};
		struct fe_guest_config c = guest_usual();
		struct peer *p[4];

		if (!format && (sizes[i] & (sizes[i] - 1)))
			continue;
		c.features |= format;
		c.tx_size = c.rx_size = sizes[i];
		c.rx_buf_size = 100; /* shorter than a frame: several buffers for each */
		p[0] = peer_up(r, "a", &c);
		p[1] = peer_up(r, "b", &plain);
		p[2] = peer_up(r, "c", &plain);
		p[3] = peer_up(r, "d", &plain);
		n += flip_with(r, p, &f, rounds);
		rig_clean((void **)&r);
	}
	vlans_set(r, false);
	assert_true(n > 0);
}

static void r45_contents_change_between_check_and_copy(struct rig *r, uint64_t format)
{
	flipper(r, format, true);
}

/*
 * Also CVE-2020-14375, CVE-2026-86562 and CVE-2026-93683: fields that are read twice;
 * CVE-2024-11614 and DPDK 285e6b8b18: headers; R58: flags.
 */
static void r45_everything_changes_while_it_is_read(struct rig *r, uint64_t format)
{
	flipper(r, format, false);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(r45_contents_change_between_check_and_copy),
		ATTACK_BOTH(r45_everything_changes_while_it_is_read),
	};

	return hostile_main("hostile_flipper", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
