/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forwarding without switching: ports in pairs, takers and makers of frames, stopping and going on.
 */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "hosts.h"
#include "postcopy.h"

/* In order: a is paired with b, c with d, e with itself. Their ids are 0 to 4. */
#define PORTS "abcde"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, PORTS, NULL) || postcopy_allow(&rig);
}

static void forward_set(struct rig *r, const char *mode)
{
	json_t *answer = rig_call(r, "forward.set", json_pack("{s:s}", "mode", mode));

	assert_string_equal(json_string_value(json_object_get(answer, "mode")), mode);
	json_decref(answer);
}

static void forward_run(struct rig *r, bool run)
{
	json_t *answer = rig_call(r, run ? "forward.start" : "forward.stop", NULL);

	assert_int_equal(json_is_true(json_object_get(answer, "running")), run);
	json_decref(answer);
}

/* After each test: a running switch, as in the beginning. */
static int clean(void **state)
{
	forward_run(*state, true);
	forward_set(*state, "switch");
	return rig_clean(state);
}

#define forward_test(f) cmocka_unit_test_teardown(f, clean)

static const uint64_t formats[] = {0, PACKED};

static struct fe_guest_config guest_with(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features |= features;
	return c;
}

static struct peer *up(struct rig *r, const char *port, uint64_t features)
{
	const struct fe_guest_config c = guest_with(features);

	return peer_up(r, port, &c);
}

/* Frames that a port's guest sent or was offered. */
static uint64_t seen_by(struct rig *r, const char *port, const char *direction)
{
	return rig_counter(r, port, direction, "frames");
}

/* The very next frame that reaches `p` is `want`. */
static void next_is(struct rig *r, struct peer *p, const void *want, uint32_t len)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	peer_recv(r, p, 0, got, &in);
	if (in.len != len || memcmp(got, want, len))
		fail_msg("port %s: %u bytes to ..:%02x:%02x from ..:%02x:%02x", p->port, in.len,
			got[4], got[5], got[10], got[11]);
}

static void io_passes_a_frame_unchanged_to_the_partner_and_to_nobody_else(void **state)
{
	static const uint8_t bridge[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
	const struct stream large = {.n = 50, .len = 1514};
	uint64_t c_got, d_got, e_got;
	uint8_t frame[100];

	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a = up(*state, "a", formats[f]), *b = up(*state, "b", 0);
		struct peer *c = up(*state, "c", 0);
		const uint8_t *const to[] = {c->mac, mac_broadcast, bridge, a->mac, b->mac};

		up(*state, "d", 0);
		up(*state, "e", 0);
		forward_set(*state, "io");
		c_got = seen_by(*state, "c", "tx");
		d_got = seen_by(*state, "d", "tx");
		e_got = seen_by(*state, "e", "tx");
		for (uint32_t i = 0; i < RW_ARRAY_SIZE(to); i++) {
			frame_make(frame, sizeof(frame), to[i], a->mac, i);
			peer_send_to(*state, a, to[i], sizeof(frame), i);
			next_is(*state, b, frame, sizeof(frame));
		}
		stream_check(*state, a, b, &large);
		stream_check(*state, b, a, &large);
		assert_int_equal(seen_by(*state, "c", "tx"), c_got);
		assert_int_equal(seen_by(*state, "d", "tx"), d_got);
		assert_int_equal(seen_by(*state, "e", "tx"), e_got);
		assert_int_equal(hosts_behind(*state, "a"), 0); /* nothing is learned */
		clean(state);
	}
}

static void a_last_odd_port_is_its_own_partner(void **state)
{
	uint8_t frame[60];

	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *e = up(*state, "e", formats[f]), *d = up(*state, "d", 0);

		forward_set(*state, "io");
		for (uint32_t i = 0; i < 100; i++)
			peer_send_to(*state, e, d->mac, sizeof(frame), i);
		for (uint32_t i = 0; i < 100; i++) {
			frame_make(frame, sizeof(frame), d->mac, e->mac, i);
			next_is(*state, e, frame, sizeof(frame));
		}
		clean(state);
	}
}

/*
 * In `mode`, a frame of a reaches b, and one of b reaches a, with these addresses and nothing else
 * new.
 */
static void addresses_become(struct rig *r, const char *mode, struct peer *a, struct peer *b,
	const uint8_t at_b[12], const uint8_t at_a[12])
{
	static const uint8_t dst[6] = {0x02, 9, 8, 7, 6, 5};
	uint8_t frame[300];

	forward_set(r, mode);
	frame_make(frame, sizeof(frame), dst, a->mac, 1);
	memcpy(frame, at_b, 12);
	peer_send_to(r, a, dst, sizeof(frame), 1);
	next_is(r, b, frame, sizeof(frame));
	frame_make(frame, sizeof(frame), dst, b->mac, 2);
	memcpy(frame, at_a, 12);
	peer_send_to(r, b, dst, sizeof(frame), 2);
	next_is(r, a, frame, sizeof(frame));
}

static void mac_sets_both_addresses(void **state)
{
	static const uint8_t at_b[12] = {2, 0, 0, 0, 0, 1, 2, 0x52, 0x57, 0, 0, 1};
	static const uint8_t at_a[12] = {2, 0, 0, 0, 0, 0, 2, 0x52, 0x57, 0, 0, 0};

	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a = up(*state, "a", formats[f]), *b = up(*state, "b", formats[f]);

		addresses_become(*state, "mac", a, b, at_b, at_a);
		clean(state);
	}
}

static void macswap_exchanges_the_addresses(void **state)
{
	uint8_t at_b[12], at_a[12];

	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a = up(*state, "a", formats[f]), *b = up(*state, "b", formats[f]);

		memcpy(at_b, a->mac, 6);
		memcpy(at_a, b->mac, 6);
		memcpy(at_b + 6, (uint8_t[]){0x02, 9, 8, 7, 6, 5}, 6);
		memcpy(at_a + 6, at_b + 6, 6);
		addresses_become(*state, "macswap", a, b, at_b, at_a);
		clean(state);
	}
}

static void a_frame_for_a_partner_without_a_guest_is_a_counted_drop(void **state)
{
	uint64_t before = rig_counter(*state, "d", "tx", "drops.link_down");
	struct peer *c = up(*state, "c", 0);

	forward_set(*state, "io");
	for (uint32_t i = 0; i < 300; i++)
		peer_send_to(*state, c, mac_broadcast, 60, i);
	rig_wait(*state, rig_counter(*state, "d", "tx", "drops.link_down") == before + 300);
}

static void what_is_no_frame_is_dropped_in_every_mode(void **state)
{
	static const char *const modes[] = {"switch", "io", "mac", "macswap", "rxonly"};
	static const uint8_t bytes[13];
	const struct fe_frame stub = {.data = bytes, .len = sizeof(bytes)};
	struct peer *a = up(*state, "a", 0), *b = up(*state, "b", PACKED);
	uint64_t before;

	for (size_t i = 0; i < RW_ARRAY_SIZE(modes); i++) {
		forward_set(*state, modes[i]);
		before = rig_counter(*state, "a", "rx", "drops.too_short");
		peer_send(*state, a, 0, &stub);
		rig_wait(*state, rig_counter(*state, "a", "rx", "drops.too_short") == before + 1);
	}
	forward_set(*state, "io");
	peer_send_to(*state, a, b->mac, 60, 7);
	peer_expect(*state, b, b->mac, a->mac, 60, 7);
}

static void queue_k_goes_to_queue_k_modulo_those_that_run(void **state)
{
	struct fe_guest_config four = guest_with(FE_BIT(VIRTIO_NET_F_MQ)), two = four;
	static uint8_t got[FRAME_MAX], want[100];
	struct fe_received in;

	four.pairs = 4;
	two.pairs = 2;
	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a, *b;

		four.features |= formats[f];
		a = peer_up(*state, "a", &four);
		b = peer_up(*state, "b", &two);
		forward_set(*state, "io");
		for (uint16_t k = 0; k < 4; k++) {
			const struct fe_frame frame = {.data = want, .len = sizeof(want)};

			frame_make(want, sizeof(want), b->mac, a->mac, k);
			peer_send(*state, a, k, &frame);
			peer_recv(*state, b, k % 2, got, &in);
			assert_int_equal(in.len, sizeof(want));
			assert_memory_equal(got, want, sizeof(want));
			peer_send(*state, b, k % 2, &frame);
			peer_recv(*state, a, k % 2, got, &in);
			assert_memory_equal(got, want, sizeof(want));
		}
		clean(state);
	}
}

/* Take back what was used: whether nothing of pair 0 is on its way any more. */
static bool all_taken(struct peer *p)
{
	assert_true(fe_guest_reap(p->g, 0) >= 0);
	return !fe_guest_tx(p->g, 0)->ring.in_flight;
}

static void rxonly_takes_all_and_sends_none(void **state)
{
	static const char *const others[] = {"a", "b", "c", "d", "e"};
	uint64_t sent, got[RW_ARRAY_SIZE(others)];

	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a = up(*state, "a", formats[f]);

		up(*state, "b", 0);
		up(*state, "c", 0);
		forward_set(*state, "rxonly");
		sent = seen_by(*state, "a", "rx");
		for (size_t i = 0; i < RW_ARRAY_SIZE(others); i++)
			got[i] = seen_by(*state, others[i], "tx");
		for (uint32_t i = 0; i < 1000; i++)
			peer_send_to(*state, a, i % 2 ? mac_broadcast : a->mac, 60, i);
		rig_wait(*state, all_taken(a));
		rig_wait(*state, seen_by(*state, "a", "rx") == sent + 1000);
		for (size_t i = 0; i < RW_ARRAY_SIZE(others); i++)
			assert_int_equal(seen_by(*state, others[i], "tx"), got[i]);
		clean(state);
	}
}

static uint64_t get_be(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *at++;
	return v;
}

/*
 * The next frame on a pair of `p`, whose port has that id, is one that the switch made: its number.
 */
static uint64_t made_frame(struct rig *r, struct peer *p, uint16_t pair, uint8_t id)
{
	const uint8_t head[18] = {
		2, 0, 0, 0, 0, id, 2, 0x52, 0x57, 0, 0, id, 0x88, 0xb5, 0, id, 0, (uint8_t)pair};
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	peer_recv(r, p, pair, got, &in);
	assert_int_equal(in.len, 64);
	assert_memory_equal(got, head, sizeof(head));
	return get_be(got + 18, 8);
}

static void txonly_fills_every_ring_with_numbered_frames(void **state)
{
	struct fe_guest_config c = guest_with(FE_BIT(VIRTIO_NET_F_MQ));

	c.pairs = 2;
	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a, *d;
		uint64_t last[3], n;

		c.features |= formats[f];
		a = peer_up(*state, "a", &c);
		d = up(*state, "d", formats[f]);
		forward_set(*state, "txonly");
		/* More than the rings hold: what is taken out makes room. */
		for (uint32_t i = 0; i < 1000; i++) {
			for (uint16_t k = 0; k < 3; k++) {
				n = k < 2 ? made_frame(*state, a, k, 0)
					  : made_frame(*state, d, 0, 3);
				if (i && n <= last[k])
					fail_msg("%llu after %llu", (unsigned long long)n,
						(unsigned long long)last[k]);
				last[k] = n;
			}
		}
		assert_true(last[0] != last[1] && last[1] != last[2] && last[0] != last[2]);
		clean(state);
	}
}

static void txonly_takes_nothing_from_guests(void **state)
{
	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a = up(*state, "a", formats[f]);
		uint64_t before;

		forward_set(*state, "txonly");
		before = seen_by(*state, "a", "rx");
		for (uint32_t i = 0; i < 10; i++)
			peer_send_to(*state, a, mac_broadcast, 60, i);
		for (uint32_t i = 0; i < 1000; i++)
			made_frame(*state, a, 0, 0);
		assert_int_equal(fe_guest_reap(a->g, 0), 0);
		assert_int_equal(seen_by(*state, "a", "rx"), before);
		clean(state);
	}
}

static void stop_takes_nothing_and_start_goes_on_without_a_loss(void **state)
{
	static const char *const modes[] = {"switch", "io"};

	for (size_t round = 0; round < 4; round++) {
		struct peer *a = up(*state, "a", formats[round / 2]), *b = up(*state, "b", 0);
		const struct stream s = {.n = 500, .len = 100};
		uint64_t before;

		peers_meet(*state, a, b);
		forward_set(*state, modes[round % 2]);
		forward_run(*state, false);
		before = seen_by(*state, "a", "rx");
		for (uint32_t i = 0; i < 200; i++)
			peer_send_to(*state, a, b->mac, 60, i);
		/* Ten answers of control are some thousand rounds of a worker. */
		for (uint32_t i = 0; i < 10; i++) {
			rig_nap();
			assert_int_equal(fe_guest_reap(a->g, 0), 0);
			assert_int_equal(seen_by(*state, "a", "rx"), before);
		}
		forward_run(*state, true);
		for (uint32_t i = 0; i < 200; i++)
			peer_expect(*state, b, b->mac, a->mac, 60, i);
		stream_check(*state, a, b, &s);
		clean(state);
	}
}

static void the_mode_changes_while_frames_flow_and_none_is_lost(void **state)
{
	static const char *const modes[] = {"io", "switch"};
	const uint32_t n = 6000 / (uint32_t)rig.slow, window = 96;

	for (size_t f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		struct peer *a = up(*state, "a", formats[f]), *b = up(*state, "b", 0);
		uint64_t before;

		peers_meet(*state, a, b);
		before = seen_by(*state, "b", "tx");
		for (uint32_t sent = 0, got = 0; got < n; got++) {
			for (; sent < n && sent - got < window; sent++) {
				peer_send_to(*state, a, b->mac, 60, sent);
				if (sent % 37 == 0)
					forward_set(*state, modes[sent % 2]);
			}
			peer_expect(*state, b, b->mac, a->mac, 60, got);
		}
		rig_wait(*state, seen_by(*state, "b", "tx") == before + n);
		clean(state);
	}
}

static void a_host_is_announced_by_a_switch_alone(void **state)
{
	struct fe_guest_config c = guest_usual();
	uint8_t mac[6];
	struct peer *a, *b;

	c.protocol_features |= FE_BIT(VU_PF_RARP);
	a = peer_up(*state, "a", &c);
	b = up(*state, "b", 0);
	forward_set(*state, "io");
	for (uint32_t i = 0; i < 100; i++) { /* more than a round sends */
		host_make(mac, i);
		assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
	}
	peer_sync(a);
	peer_send_to(*state, a, b->mac, 60, 1);
	peer_expect(*state, b, b->mac, a->mac, 60, 1);
	/* Each change takes the worker a round, in which it drops the next 32 of them. */
	for (uint32_t i = 0; i < 12; i++)
		forward_set(*state, i % 2 ? "io" : "macswap");
	forward_set(*state, "switch");
	host_make(mac, 1000);
	assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
	peer_expect_rarp(*state, b, mac, 0);
	assert_int_equal(hosts_behind(*state, "a"), 1);
}

static void a_guest_may_migrate_here_while_nothing_is_forwarded(void **state)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct fe_guest_config c = guest_moving();
	struct peer *a, *b;

	if (fd < 0)
		skip();
	close(fd);
	a = peer_up(*state, "a", &c);
	b = up(*state, "b", 0);
	peers_meet(*state, a, b);
	forward_run(*state, false);
	moved_away(*state, a);
	moved_here(*state, a);
	for (uint32_t i = 0; i < 20; i++)
		peer_send_to(*state, a, b->mac, 60, i);
	/* The thread takes them on behalf of a worker that does not want them now. */
	rig_wait(*state, all_taken(a));
	assert_int_equal(fe_postcopy_end(a->g->postcopy), 0);
	forward_run(*state, true);
	duplex_check(*state, a, b);
}

static void an_unknown_mode_is_refused_and_nothing_changes(void **state)
{
	json_t *bad[] = {json_pack("{s:s}", "mode", "ioo"), json_pack("{s:i}", "mode", 1), NULL};
	struct rig *r = *state;
	struct ctl_failure why;
	json_t *answer;

	forward_set(r, "macswap");
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		assert_null(ctl_call(r->ctl.fd, "forward.set", bad[i], rig_patience(r), &why));
		assert_non_null(strstr(why.message, i ? "\"mode\"" : "choose switch, io, mac"));
		json_decref(bad[i]);
	}
	answer = rig_call(r, "forward.show", NULL);
	assert_string_equal(json_string_value(json_object_get(answer, "mode")), "macswap");
	json_decref(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		forward_test(io_passes_a_frame_unchanged_to_the_partner_and_to_nobody_else),
		forward_test(a_last_odd_port_is_its_own_partner),
		forward_test(mac_sets_both_addresses),
		forward_test(macswap_exchanges_the_addresses),
		forward_test(a_frame_for_a_partner_without_a_guest_is_a_counted_drop),
		forward_test(what_is_no_frame_is_dropped_in_every_mode),
		forward_test(queue_k_goes_to_queue_k_modulo_those_that_run),
		forward_test(rxonly_takes_all_and_sends_none),
		forward_test(txonly_fills_every_ring_with_numbered_frames),
		forward_test(txonly_takes_nothing_from_guests),
		forward_test(stop_takes_nothing_and_start_goes_on_without_a_loss),
		forward_test(the_mode_changes_while_frames_flow_and_none_is_lost),
		forward_test(a_host_is_announced_by_a_switch_alone),
		forward_test(a_guest_may_migrate_here_while_nothing_is_forwarded),
		forward_test(an_unknown_mode_is_refused_and_nothing_changes),
	};

	return cmocka_run_group_tests_name("forward", tests, start, rig_stop);
}
