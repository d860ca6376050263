/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the switch would do with a frame, and what it does with it: ten thousand random frames, and
 * a configuration that changes all the time.
 */
#include "switch_fixture.h"

#include <rte_cycles.h>

#include "group_packets.h"
#include "sw_explain.h"
#include "sw_snoop.h"

#define FRAMES 10000
#define EVERY  25 /* frames of one configuration */

/* Deliveries and drops of one frame. */
struct fate {
	unsigned n[NPORTS];
	uint32_t len[NPORTS];
	uint8_t bytes[NPORTS][MAX_LEN];
	uint64_t drops[NPORTS][2][PORT_NUM_DROPS];
};

struct explainer {
	struct sw_watch watch;
	struct fate fate;
	unsigned received, stages;
};

static uint64_t seed = 88172645463325252;

static unsigned any(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 32) % n;
}

static void see(struct sw_watch *watch, const struct sw_sight *s)
{
	struct explainer *e = rw_container_of(watch, struct explainer, watch);
	struct fate *fate = &e->fate;

	assert_int_equal(s->n, 1);
	assert_int_equal(s->worker, SW_MAX_WORKERS);
	e->received += s->what == SW_SEE_RX;
	e->stages += s->what == SW_SEE_STAGES;
	if (s->what == SW_SEE_DROP)
		fate->drops[s->port][s->rx][s->why]++;
	if (s->what == SW_SEE_TX) {
		const struct frame *f = s->frames[0];
		uint8_t *to = fate->bytes[s->port];

		fate->n[s->port]++;
		fate->len[s->port] = f->len;
		memcpy(to, f->head, f->head_len);
		if (f->nsegs)
			memcpy(to + f->head_len, f->seg->data, f->seg->len);
	}
}

static void drops_read(uint64_t drops[NPORTS][2][PORT_NUM_DROPS])
{
	for (unsigned i = 0; i < NPORTS; i++) {
		const struct fake *p = ports[i];

		for (unsigned why = 0; why < PORT_NUM_DROPS; why++) {
			drops[i][0][why] = p->txq.counters->drops[why] +
				p->port.unqueued[0].drops[why];
			drops[i][1][why] = p->rxq.counters->drops[why];
		}
	}
}

/* ---- configurations ---- */

static void policy_choose(struct sw_policy *p)
{
	static const uint16_t mtus[] = {0, 0, 0, LEN - 16, LEN};

	*p = (struct sw_policy){.down = !any(24),
		.isolated = !any(8),
		.promiscuous = !any(6),
		.mtu = mtus[any(5)],
		.no_learning = !any(10),
		.drop_excess = !any(4),
		.no_dhcp_server = !any(4),
		.link_local = any(3) ? 0 : 8,
		.mrouter = (enum sw_mrouter)any(3)};
	if (!any(4)) {
		p->nmacs = 6;
		for (uint8_t i = 0; i < p->nmacs; i++)
			memcpy(p->macs[i], (uint8_t[]){2, 0, 0, 0, 0, i}, 6);
	}
	if (!any(5)) {
		p->naddresses = 1;
		p->addresses[0] = (struct sw_prefix){.bytes = {10, 0, 0}, .len = 30};
	}
	for (unsigned i = 0; i < SW_STORMS; i++) {
		if (!any(10))
			p->storm[i] = (struct sw_rate){.per_s = 1, .burst = 4, .frames = true};
	}
	if (!any(6))
		p->rx = (struct sw_rate){.per_s = 1, .burst = 40, .frames = true};
	if (!any(6))
		p->tx = (struct sw_rate){.per_s = 1, .burst = 4000};
}

/* Leave all VLANs, and perhaps join some. */
static void vlans_choose(struct fake *p)
{
	for (uint16_t vlan = 1; vlan < 4; vlan++)
		sw_domain_leave(sw, &p->port, vlan);
	if (any(4)) {
		(void)sw_bridge_enter(sw, &p->port, any(8) ? SW_BRIDGE_DEFAULT : "other", !any(4));
		return;
	}
	for (uint16_t vlan = 1; vlan < 4; vlan++) {
		if (any(2))
			(void)sw_domain_join(
				sw, &p->port, vlan, any(3) ? SW_FORM_TAGGED : SW_FORM_UNTAGGED);
	}
}

static void configure(void)
{
	struct fake *p = ports[any(NPORTS)];
	struct sw_policy policy;

	policy_choose(&policy);
	assert_int_equal(sw_policy_set(sw, &p->port, &policy), 0);
	p = ports[any(NPORTS)];
	vlans_choose(p);
	p = ports[any(NPORTS)];
	sw_txq_set(sw, &p->port, 0, any(6) ? &p->txq : NULL);
	sw_port_limit_addresses(sw, &ports[any(NPORTS)]->port, any(3) ? 0 : 2);
	sw_commit(sw);
	if (!any(8))
		sw_snooping_set(sw, !sw_snooping(sw));
	if (!any(20))
		fdb_flush(sw_fdb(sw), FDB_HOP_NONE);
}

/* ---- frames ---- */

static void packet_put(struct fake *p, const struct packet *packet)
{
	memcpy(p->pending[0], packet->bytes, packet->len);
	p->len[0] = packet->len;
}

static void frame_choose(struct fake *p)
{
	static const int tags[] = {UNTAGGED, UNTAGGED, 0, 1, 2, 3, 4, 9, 4095, SERVICE | 1,
		SERVICE | 2, CARRIES | 1, SERVICE | CARRIES | 3};
	const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)any(8)};
	static const char *const groups[] = {"239.1.1.1", "239.1.1.2", "224.0.0.5"};
	uint8_t *to = p->pending[0];
	struct packet packet;

	p->len[0] = frame_make(to, tags[any(RW_ARRAY_SIZE(tags))],
		any(5) ? (uint8_t)any(10) : BROADCAST, (uint8_t)any(8), (uint8_t)any(256));
	switch (any(12)) {
	case 0:
		memcpy(to, (uint8_t[]){1, 0x80, 0xc2, 0, 0, (uint8_t)any(5)}, 6);
		break;
	case 1:
		to[6] |= 1; /* no host has such an address */
		break;
	case 2:
		group_mac(groups[any(3)], to);
		break;
	case 3:
		packet = packet_igmp2(mac, "10.0.0.1", any(2) ? 0x11 : 0x16, 1, groups[any(2)]);
		packet_put(p, &packet);
		break;
	case 4:
		packet = packet_igmp2(mac, "10.0.0.7", 0x11, 1, NULL);
		packet_put(p, &packet);
		break;
	case 5:
		memcpy(to + 12,
			(uint8_t[]){8, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0,
				(uint8_t)any(8), 10, 0, 0, 8, 0, any(2) ? 67 : 68, 0, 67},
			26);
		break;
	default:
		break;
	}
}

/* Frame `i`, on both ways. Returns whether it got anywhere. */
static bool compare(unsigned i)
{
	static uint64_t before[NPORTS][2][PORT_NUM_DROPS], after[NPORTS][2][PORT_NUM_DROPS];
	static struct explainer e;
	struct fake *p = ports[any(NPORTS)];
	bool delivered = false;

	e = (struct explainer){
		.watch = {.see = see,
			.all = true,
			.wants = SW_SEE_RX | SW_SEE_TX | SW_SEE_DROP | SW_SEE_STAGES}};
	frame_choose(p);
	drops_read(before);
	assert_int_equal(sw_explain(sw, &p->port, p->pending[0], p->len[0], &e.watch), 0);
	drops_read(after);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(e.received, 1);
	p->npending = 1;
	sw_round(sw, 0);
	drops_read(after);
	for (unsigned k = 0; k < NPORTS; k++) {
		struct fake *to = ports[k];

		if (e.fate.n[k] != to->ngot)
			fail_msg("frame %u: explained as %u frames to port %u, which got %u", i,
				e.fate.n[k], k, to->ngot);
		assert_in_range(to->ngot, 0, 1);
		if (to->ngot) {
			assert_int_equal(to->got_len[0], e.fate.len[k]);
			assert_memory_equal(to->got[0], e.fate.bytes[k], to->got_len[0]);
		}
		delivered |= to->ngot;
		to->ngot = 0;
		for (unsigned way = 0; way < 2; way++)
			for (unsigned why = 0; why < PORT_NUM_DROPS; why++)
				if (before[k][way][why] + e.fate.drops[k][way][why] !=
					after[k][way][why])
					fail_msg("frame %u, port %u: %s differs", i, k,
						port_drop_name(why));
	}
	return delivered;
}

/* Time stands still while a frame is compared, and limits that are used up stay so. */
static void clock_set(uint32_t now_s)
{
	sw->tsc_hz = UINT64_C(1) << 50;
	sw->tsc_start = rte_rdtsc() - now_s * sw->tsc_hz;
	sw->workers[0]->now_s = now_s;
	sw->workers[0]->next_s_at = UINT64_MAX;
}

static void explained_is_what_happens(void **state)
{
	unsigned delivered = 0, reasons = 0;
	uint64_t drops[NPORTS][2][PORT_NUM_DROPS];

	(void)state;
	for (unsigned i = 0; i < FRAMES; i++) {
		if (i % EVERY == 0) {
			clock_set(i / EVERY * 4);
			configure();
		}
		delivered += compare(i);
	}
	/* They were not all the same. */
	drops_read(drops);
	for (unsigned why = 0; why < PORT_NUM_DROPS; why++) {
		uint64_t n = 0;

		for (unsigned k = 0; k < NPORTS; k++)
			n += drops[k][0][why] + drops[k][1][why];
		if (n)
			print_message("%s: %ju\n", port_drop_name(why), (uintmax_t)n);
		reasons += n != 0;
	}
	print_message("%u delivered\n", delivered);
	assert_true(delivered > FRAMES / 10);
	assert_true(reasons >= 12);
}

static void nothing_is_explained_but_switching(void **state)
{
	struct explainer e = {.watch = {.see = see, .all = true, .wants = SW_SEE_RX}};
	uint8_t frame[MAX_LEN];
	uint32_t len = frame_make(frame, UNTAGGED, 1, 0, 0);

	(void)state;
	sw_forward_set(sw, SW_FORWARD_IO, true);
	assert_int_equal(sw_explain(sw, &ports[0]->port, frame, len, &e.watch), -EOPNOTSUPP);
	assert_int_equal(e.received, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(explained_is_what_happens, begin, end),
		cmocka_unit_test_setup_teardown(nothing_is_explained_but_switching, begin, end),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "switch_explain");
}
