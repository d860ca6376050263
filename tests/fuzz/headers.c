/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The headers of a frame, which the input is: where the parser finds them, what rules of ports make
 * of them, and what IGMP and MLD messages say. A head that is extended already must not change
 * anything, nor may bytes that no head reaches, and each rule refuses under its own reasons alone.
 */
#include "frame_group.h"
#include "frame_parse.h"
#include "fuzz.h"
#include "sw_rules.h"

#define LEN_MAX 400

/* A frame in up to three pieces. */
struct lent {
	uint8_t bytes[LEN_MAX];
	struct rw_seg segs[2];
	struct frame f;
};

static void lend(struct lent *l, const uint8_t *bytes, uint32_t len, uint32_t cut)
{
	uint32_t rest;

	memcpy(l->bytes, bytes, len);
	frame_init(&l->f, len);
	memset(l->f.head, 0, sizeof(l->f.head));
	memcpy(l->f.head, bytes, l->f.head_len);
	rest = len - l->f.head_len;
	cut = rest ? cut % rest : 0;
	l->segs[0] = (struct rw_seg){l->bytes + l->f.head_len, cut};
	l->segs[1] = (struct rw_seg){l->bytes + l->f.head_len + cut, rest - cut};
	l->f.seg = cut ? l->segs : l->segs + 1;
	l->f.nsegs = (uint16_t)(cut ? 2 : rest ? 1 : 0);
}

/* A policy of one kind of rule for each bit. */
static struct sw_policy policy_of(uint8_t bits)
{
	struct sw_policy policy = {.no_dhcp_server = bits & 1, .no_router = bits & 2};

	if (bits & 4) {
		policy.nmacs = 1;
		memcpy(policy.macs[0], (uint8_t[6]){2, 0, 0, 0, 0, 1}, 6);
	}
	if (bits & 8) {
		policy.naddresses = 2;
		policy.addresses[0] = (struct sw_prefix){.bytes = {10}, .len = 8};
		policy.addresses[1] = (struct sw_prefix){.bytes = {0xfd}, .len = 8, .ipv6 = true};
	}
	return policy;
}

static void reason_check(uint8_t bits, enum port_drop why)
{
	fuzz_check(why == PORT_NUM_DROPS || (bits & 1 && why == PORT_DROP_DHCP_SERVER) ||
		(bits & 2 && why == PORT_DROP_ROUTER) ||
		(bits & 4 && why == PORT_DROP_SPOOFED_MAC) ||
		(bits & 8 && why == PORT_DROP_SPOOFED_IP));
}

static void headers_check(const struct frame *f, const struct frame_headers *h)
{
	fuzz_check(h->net <= FRAME_NET_CUT);
	fuzz_check(h->net_at <= FRAME_PULL_MAX);
	if (h->net == FRAME_NET_IPV4 || h->net == FRAME_NET_IPV6) {
		fuzz_check(h->net_at + 20 <= f->head_len);
		fuzz_check(!h->transport_at || h->transport_at > h->net_at);
		fuzz_check(h->transport_at <= f->head_len);
		fuzz_check(h->cut || h->later || h->transport_at);
	}
}

/* What is read of groups is the same from a head that is extended already. */
static void groups_check(const uint8_t *data, uint32_t len, uint32_t cut)
{
	static struct lent a, b;
	struct frame_group first, again;

	lend(&a, data, len, cut);
	frame_group_read(&a.f, &first);
	lend(&b, data, len, 0);
	frame_pull(&b.f, FRAME_PULL_MAX);
	if (len > FRAME_PULL_MAX)
		memset(b.bytes + FRAME_PULL_MAX, 0xa5, len - FRAME_PULL_MAX);
	frame_group_read(&b.f, &again);
	fuzz_check(first.what == again.what && first.what <= FRAME_GROUP_REPORT);
	fuzz_check(a.f.len == len && !memcmp(a.f.head, data, a.f.head_len));
	if (first.what == FRAME_GROUP_NONE)
		return;
	fuzz_check(first.version == again.version && first.cut == again.cut &&
		first.nrecords == again.nrecords && first.response_s == again.response_s &&
		first.interval_s == again.interval_s && first.robustness == again.robustness);
	fuzz_check(first.nrecords <= FRAME_GROUPS_MAX);
	fuzz_check(first.what != FRAME_GROUP_QUERY ||
		(first.version && first.version <= 3 && first.interval_s && first.robustness &&
			first.robustness <= 7));
	for (unsigned i = 0; i < first.nrecords; i++)
		fuzz_check(!memcmp(first.records[i].address, again.records[i].address, 16) &&
			first.records[i].leaves == again.records[i].leaves);
	for (unsigned i = 0; i < first.nrecords; i++)
		fuzz_check(first.ipv6 ? first.records[i].address[0] == 0xff
				      : first.records[i].address[0] >> 4 == 0xe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lent a, b;
	struct frame_headers first, again;
	struct sw_policy policy;
	struct sw_rules *rules;
	enum port_drop why;
	uint32_t len;

	if (size < 2 + FRAME_MIN_LEN || !(data[0] & 15))
		return 0;
	len = (uint32_t)RW_MIN(size - 2, (size_t)LEN_MAX);
	groups_check(data + 2, len, data[1]);
	policy = policy_of(data[0]);
	rules = sw_rules_new(&policy);
	fuzz_check(rules);
	lend(&a, data + 2, len, data[1]);
	frame_parse(&a.f, &first);
	headers_check(&a.f, &first);
	fuzz_check(a.f.len == len && !memcmp(a.f.head, data + 2, a.f.head_len));

	lend(&b, data + 2, len, 0);
	frame_pull(&b.f, FRAME_PULL_MAX);
	frame_parse(&b.f, &again);
	fuzz_check(!memcmp(&first, &again, sizeof(first)));

	lend(&a, data + 2, len, data[1]);
	why = sw_spoof_check(rules, &a.f);
	reason_check(data[0], why);
	lend(&b, data + 2, len, 0);
	if (len > FRAME_PULL_MAX)
		memset(b.bytes + FRAME_PULL_MAX, 0xa5, len - FRAME_PULL_MAX);
	fuzz_check(sw_spoof_check(rules, &b.f) == why);
	rw_free(rules);
	return 0;
}
