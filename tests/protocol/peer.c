/* SPDX-License-Identifier: BSD-3-Clause */
/* The guests of a rig, and frames between them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

struct fe_guest_config guest_usual(void)
{
	return (struct fe_guest_config){
		.features = FEATURES_USUAL, .protocol_features = PROTOCOL_USUAL};
}

struct peer *peer_new(struct rig *r, const char *port, const struct fe_guest_config *config)
{
	const struct fe_guest_config usual = guest_usual();
	struct peer *p = calloc(1, sizeof(*p));
	int err;

	assert_non_null(p);
	assert_true(r->npeers < RIG_MAX_PEERS);
	r->peers[r->npeers++] = p;
	snprintf(p->port, sizeof(p->port), "%s", port);
	memcpy(p->mac,
		(uint8_t[]){0x02, 0, 0, (uint8_t)(r->npeers >> 8), (uint8_t)r->npeers,
			(uint8_t)port[0]},
		6);
	err = fe_guest_new(config ? config : &usual, &p->g);
	if (err)
		fail_msg("port %s: no guest: %s", port, strerror(-err));
	p->g->conn.timeout_ms = rig_patience(r);
	return p;
}

/*
 * Whether a front-end is let in. One that comes while another is there is closed; one that comes
 * between the moment when a socket has its file and the one when it listens is refused.
 */
static bool is_let_in(struct rig *r, struct peer *p)
{
	char name[PEER_PORT_MAX + 6];
	uint64_t features;
	int err;

	snprintf(name, sizeof(name), "%s.sock", p->port);
	err = fe_guest_connect(p->g, rig_path(r, name));
	if (err == -EAGAIN || err == -ECONNREFUSED)
		return false;
	assert_int_equal(err, 0);
	err = fe_conn_get(&p->g->conn, VU_GET_FEATURES, &features);
	if (err == -ECONNRESET)
		return false;
	assert_int_equal(err, 0);
	return true;
}

void peer_connect(struct rig *r, struct peer *p)
{
	rig_wait(r, is_let_in(r, p));
}

void peer_sync(struct peer *p)
{
	uint64_t features;

	assert_int_equal(fe_conn_get(&p->g->conn, VU_GET_FEATURES, &features), 0);
}

void peer_start(struct rig *r, struct peer *p)
{
	peer_connect(r, p);
	assert_int_equal(fe_guest_start(p->g), 0);
	peer_sync(p);
}

struct peer *peer_up(struct rig *r, const char *port, const struct fe_guest_config *config)
{
	struct peer *p = peer_new(r, port, config);

	peer_start(r, p);
	return p;
}

void peer_down(struct rig *r, struct peer *p)
{
	fe_guest_disconnect(p->g);
	rig_wait(r, !rig_port_info(r, p->port, "connected"));
}

void frame_make(void *buf, uint32_t len, const uint8_t *dst, const uint8_t *src, uint32_t seed)
{
	uint8_t *f = buf;
	uint32_t x = seed * 2654435761u + 1;
	uint32_t i;

	memcpy(f, dst, 6);
	memcpy(f + 6, src, 6);
	f[12] = ETHERTYPE >> 8;
	f[13] = ETHERTYPE & 0xff;
	for (i = 14; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		f[i] = (uint8_t)(x >> 24);
	}
}

void peer_send(struct rig *r, struct peer *p, uint16_t pair, const struct fe_frame *frame)
{
	int err;

	rig_wait(r, (err = fe_guest_send(p->g, pair, frame)) != -EAGAIN);
	assert_int_equal(err, 0);
}

void peer_send_to(struct rig *r, struct peer *p, const uint8_t *dst, uint32_t len, uint32_t seed)
{
	static uint8_t buf[FRAME_MAX];
	const struct fe_frame frame = {.data = buf, .len = len};

	frame_make(buf, len, dst, p->mac, seed);
	peer_send(r, p, 0, &frame);
}

void peers_service(struct rig *r)
{
	for (uint32_t i = 0; i < r->npeers; i++)
		assert_true(fe_guest_service(r->peers[i]->g) >= 0);
}

/* The sender may have to answer a question before there is something to receive. */
static int try_recv(
	struct rig *r, struct peer *p, uint16_t pair, void *buf, struct fe_received *out)
{
	peers_service(r);
	return fe_guest_recv(p->g, pair, buf, FRAME_MAX, out);
}

void peer_recv(struct rig *r, struct peer *p, uint16_t pair, void *buf, struct fe_received *out)
{
	int err;

	rig_wait(r, (err = try_recv(r, p, pair, buf, out)) != -EAGAIN);
	assert_int_equal(err, 0);
}

void peer_expect(struct rig *r, struct peer *p, const uint8_t *dst, const uint8_t *src,
	uint32_t len, uint32_t seed)
{
	static uint8_t got[FRAME_MAX], want[FRAME_MAX];
	struct fe_received in;

	/* A network interface that is not promiscuous: what was flooded is none of our business. */
	do
		peer_recv(r, p, 0, got, &in);
	while (memcmp(got, dst, 6));
	frame_make(want, len, dst, src, seed);
	if (in.len != len)
		fail_msg("port %s, frame %u: %u bytes, expected %u", p->port, seed, in.len, len);
	if (memcmp(got, want, len)) {
		uint32_t first = 0, n = 0;

		while (got[first] == want[first])
			first++;
		while (first + n < len && got[first + n] != want[first + n])
			n++;
		fail_msg("port %s, frame %u: byte %u and the %u behind it differ: %02x, not %02x",
			p->port, seed, first, n - 1, got[first], want[first]);
	}
}

void stream_check(struct rig *r, struct peer *from, struct peer *to, const struct stream *s)
{
	static uint8_t buf[FRAME_MAX];
	const struct fe_frame frame = {.data = buf, .len = s->len, .hdr = s->hdr, .cut = s->cut};
	uint32_t window = s->window ? s->window : 16;
	uint32_t sent = 0;
	uint32_t got;

	for (got = 0; got < s->n; got++) {
		for (; sent < s->n && sent - got < window; sent++) {
			frame_make(buf, s->len, to->mac, from->mac, s->seed + sent);
			peer_send(r, from, 0, &frame);
		}
		peer_expect(r, to, to->mac, from->mac, s->len, s->seed + got);
	}
}

void duplex_check(struct rig *r, struct peer *a, struct peer *b)
{
	const struct stream s = {.n = 10, .len = 100};

	stream_check(r, a, b, &s);
	stream_check(r, b, a, &s);
}

void peers_meet(struct rig *r, struct peer *a, struct peer *b)
{
	peer_send_to(r, a, b->mac, 60, 0);
	peer_expect(r, b, b->mac, a->mac, 60, 0);
	peer_send_to(r, b, a->mac, 60, 0);
	peer_expect(r, a, a->mac, b->mac, 60, 0);
}

void peers_meet_beside(struct rig *r, struct peer *a, struct peer *b, struct peer *c)
{
	peers_meet(r, a, b);
	/* It comes behind all that came from a. */
	peer_send_to(r, a, mac_broadcast, 60, 1);
	peer_expect(r, b, mac_broadcast, a->mac, 60, 1);
	peer_expect(r, c, mac_broadcast, a->mac, 60, 1);
}
