/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Filters: each matches exactly the frames that libpcap's own interpreter lets pass, whose programs
 * they are, however little of a frame is at hand at first; and what is no program is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "cap_filter.h"

#define FRAMES  1000
#define LEN_MAX 400

static const char *const filters[] = {"ip", "arp", "ip6", "tcp", "udp", "icmp", "icmp6",
	"ether host 02:00:00:00:00:03", "ether src 02:00:00:00:00:01",
	"ether dst 02:00:00:00:00:02", "ether broadcast", "ether multicast", "broadcast",
	"host 10.0.0.1", "src host 10.0.0.2", "dst net 10.0.0.0/30", "net 10.0.0.0/29",
	"not host 10.0.0.1", "port 53", "src port 1", "dst port 80", "portrange 10-60",
	"tcp port 80", "udp port 53", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
	"tcp[13] & 2 != 0 and ip", "ip[8] < 64", "ip[6:2] & 0x1fff != 0", "ip[0] & 0xf != 5",
	"greater 200", "less 70", "len >= 64 and len <= 128", "vlan", "vlan 10", "vlan 10 and ip",
	"vlan and tcp port 80", "vlan and vlan 10", "not vlan", "ip proto 47", "ip6 and udp",
	"ip6 host fd00::1", "ip6[6] = 17", "arp and host 10.0.0.1", "ether proto 0x88b5",
	"ether[0] & 1 = 0 and ether[16] >= 0xfe", "ether[100:4] > 0x80000000",
	"ether[len - 20] < 100", "udp[8:2] = 0x4142 or tcp port 1",
	"(ip and udp and not port 53) or (ip6 and not tcp) or arp",
	"ip[2:2] / 10 = 5 or ip[4:2] * 3 > 9000", "ether[14:4] % 7 = 2", "ip[8] ^ 3 = 67",
	"ip[2:2] << 3 > 800", "ether[20] >> 4 = ether[21] & 15", "ip[12:4] - 1 = 0x0a000000"};

/* ---- frames ---- */

static uint64_t seed = 88172645463325252u;

static uint32_t any(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

struct frame {
	uint8_t bytes[LEN_MAX];
	uint32_t len;
};

static void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void ports_make(uint8_t *at)
{
	static const uint16_t ports[] = {1, 53, 80, 1024, 55, 60000};

	put16(at, ports[any(RW_ARRAY_SIZE(ports))]);
	put16(at + 2, ports[any(RW_ARRAY_SIZE(ports))]);
	if (!any(4))
		put16(at + 8, 0x4142);
}

static void ip_make(uint8_t *at)
{
	static const uint8_t protocols[] = {6, 17, 1, 47};
	unsigned head = any(4) ? 5 : 5 + any(11);

	at[0] = (uint8_t)(0x40 | head);
	put16(at + 6, any(4) ? 0 : any(0x3fff));
	at[8] = (uint8_t)(any(2) ? 64 : any(256));
	at[9] = protocols[any(RW_ARRAY_SIZE(protocols))];
	memcpy(at + 12, (uint8_t[]){10, 0, 0, (uint8_t)any(12)}, 4);
	memcpy(at + 16, (uint8_t[]){10, 0, 0, (uint8_t)any(12)}, 4);
	ports_make(at + (size_t)head * 4);
}

static void ip6_make(uint8_t *at)
{
	static const uint8_t protocols[] = {6, 17, 58, 44, 0};

	at[0] = 0x60;
	at[6] = protocols[any(RW_ARRAY_SIZE(protocols))];
	memset(at + 8, 0, 32);
	at[8] = at[24] = 0xfd;
	at[23] = (uint8_t)any(3);
	at[39] = (uint8_t)any(3);
	ports_make(at + 40);
}

static void arp_make(uint8_t *at)
{
	memcpy(at, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
	memcpy(at + 14, (uint8_t[]){10, 0, 0, (uint8_t)any(4)}, 4);
	memcpy(at + 24, (uint8_t[]){10, 0, 0, (uint8_t)any(4)}, 4);
}

static void address_make(uint8_t *at)
{
	memcpy(at, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)any(5)}, 6);
	if (!any(6))
		memset(at, 0xff, 6);
	else if (!any(6))
		at[0] = 1;
}

static void frame_make(struct frame *f)
{
	static const uint16_t tags[] = {0x8100, 0x88a8, 0x9100};
	static const uint16_t types[] = {0x0800, 0x0806, 0x86dd, 0x88b5};
	uint8_t *at = f->bytes + 12;
	uint16_t type = types[any(RW_ARRAY_SIZE(types))];

	for (unsigned i = 0; i < LEN_MAX; i++)
		f->bytes[i] = (uint8_t)any(256);
	f->len = any(3) ? 64 + any(LEN_MAX - 64) : 14 + any(100);
	address_make(f->bytes);
	address_make(f->bytes + 6);
	for (unsigned n = any(3) ? 0 : 1 + any(2); n; n--) {
		put16(at, tags[any(RW_ARRAY_SIZE(tags))]);
		put16(at + 2, any(2) ? 10 : any(4096));
		at += 4;
	}
	put16(at, type);
	if (type == 0x0800)
		ip_make(at + 2);
	else if (type == 0x0806)
		arp_make(at + 2);
	else if (type == 0x86dd)
		ip6_make(at + 2);
}

/* ---- the judge ---- */

/* Ours, on an allocation of exactly the bytes at hand: a read behind them is seen by ASan. */
static enum cap_verdict verdict_of(
	const struct cap_filter *filter, const struct frame *f, uint32_t have)
{
	uint8_t *bytes = malloc(have + !have);
	enum cap_verdict verdict;

	assert_non_null(bytes);
	memcpy(bytes, f->bytes, have);
	verdict = cap_filter_run(filter, bytes, have, f->len);
	free(bytes);
	return verdict;
}

static struct cap_insn *program_make(const char *text, unsigned *n, struct bpf_program *program)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65553);
	struct cap_insn *insns;

	assert_non_null(pcap);
	if (pcap_compile(pcap, program, text, 1, PCAP_NETMASK_UNKNOWN))
		fail_msg("%s: %s", text, pcap_geterr(pcap));
	pcap_close(pcap);
	*n = program->bf_len;
	insns = calloc(*n, sizeof(*insns));
	assert_non_null(insns);
	for (unsigned i = 0; i < *n; i++) {
		const struct bpf_insn *in = &program->bf_insns[i];

		insns[i] = (struct cap_insn){in->code, in->jt, in->jf, in->k};
	}
	return insns;
}

static void a_filter_matches_what_tcpdumps_own_does(void **state)
{
	static struct frame frames[FRAMES];
	unsigned matched = 0, more = 0;

	(void)state;
	for (unsigned i = 0; i < FRAMES; i++)
		frame_make(&frames[i]);
	for (unsigned f = 0; f < RW_ARRAY_SIZE(filters); f++) {
		struct bpf_program program;
		struct cap_filter filter;
		struct cap_insn *insns = program_make(filters[f], &filter.n, &program);
		unsigned at, here = 0;

		filter.insns = insns;
		assert_null(cap_filter_check(&filter, &at));
		for (unsigned i = 0; i < FRAMES; i++) {
			const struct frame *fr = &frames[i];
			const struct pcap_pkthdr head = {.caplen = fr->len, .len = fr->len};
			bool wanted = pcap_offline_filter(&program, &head, fr->bytes);
			enum cap_verdict all = verdict_of(&filter, fr, fr->len);
			enum cap_verdict part = verdict_of(&filter, fr, any(fr->len + 1));

			if (all != (wanted ? CAP_YES : CAP_NO))
				fail_msg("\"%s\" on frame %u: %d", filters[f], i, all);
			if (part != CAP_MORE && part != all)
				fail_msg("\"%s\" on a part of frame %u: %d", filters[f], i, part);
			more += part == CAP_MORE;
			here += wanted;
		}
		if (!here || here == FRAMES)
			fail_msg("\"%s\" matches %u frames", filters[f], here);
		matched += here;
		pcap_freecode(&program);
		free(insns);
	}
	/* The frames are such that both happens often. */
	assert_true(matched > RW_ARRAY_SIZE(filters) * FRAMES / 20);
	assert_true(more > RW_ARRAY_SIZE(filters) * FRAMES / 20);
}

/* ---- programs that nobody compiled ---- */

static const char *check(const struct cap_insn *insns, unsigned n, unsigned *at)
{
	return cap_filter_check(&(struct cap_filter){insns, n}, at);
}

static void what_is_no_program_is_refused(void **state)
{
	static const struct {
		struct cap_insn insns[3];
		unsigned n, at;
	} bad[] = {
		{{{0x28, 0, 0, 12}}, 1, 0},                          /* no return at the end */
		{{{0x05, 0, 0, 1}, {0x06, 0, 0, 1}}, 2, 0},          /* ja behind it */
		{{{0x05, 0, 0, 0xffffffff}, {0x06, 0, 0, 1}}, 2, 0}, /* ja backwards */
		{{{0x15, 1, 0, 0}, {0x06, 0, 0, 1}}, 2, 0},          /* jeq behind it */
		{{{0x15, 0, 1, 0}, {0x06, 0, 0, 1}}, 2, 0},
		{{{0x60, 0, 0, 16}, {0x06, 0, 0, 1}}, 2, 0}, /* ld M[16] */
		{{{0x61, 0, 0, 16}, {0x06, 0, 0, 1}}, 2, 0}, /* ldx M[16] */
		{{{0x02, 0, 0, 16}, {0x06, 0, 0, 1}}, 2, 0}, /* st M[16] */
		{{{0x03, 0, 0, 0x80000000}, {0x06, 0, 0, 1}}, 2, 0},
		{{{0x34, 0, 0, 0}, {0x06, 0, 0, 1}}, 2, 0},                   /* div #0 */
		{{{0x94, 0, 0, 0}, {0x06, 0, 0, 1}}, 2, 0},                   /* mod #0 */
		{{{0x28, 0, 0, 12}, {0xb4, 0, 0, 1}, {0x06, 0, 0, 1}}, 3, 1}, /* no such alu */
		{{{0x55, 0, 0, 12}, {0x06, 0, 0, 1}}, 2, 0},                  /* no such jump */
		{{{0xffff, 0, 0, 12}, {0x06, 0, 0, 1}}, 2, 0},
		{{{0x0028 | 0x100, 0, 0, 12}, {0x06, 0, 0, 1}}, 2, 0},
	};
	static struct cap_insn longest[CAP_FILTER_MAX + 1];
	unsigned at;

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		if (!check(bad[i].insns, bad[i].n, &at))
			fail_msg("program %u passes", i);
		assert_int_equal(at, bad[i].at);
	}
	for (unsigned i = 0; i <= CAP_FILTER_MAX; i++)
		longest[i] = (struct cap_insn){0x06, 0, 0, 1};
	assert_null(check(longest, CAP_FILTER_MAX, &at));
	assert_non_null(check(longest, CAP_FILTER_MAX + 1, &at));
	/* No program at all lets everything pass. */
	assert_null(check(NULL, 0, &at));
	assert_int_equal(cap_filter_run(&(struct cap_filter){NULL, 0}, NULL, 0, 14), CAP_YES);
}

#define PROGRAMS 20000

/* Any program that passes the check ends, and reads only what it may: ASan and UBSan watch. */
static void any_program_that_passes_can_run(void **state)
{
	static const uint16_t codes[] = {0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x80, 0x81, 0x00, 0x01,
		0x60, 0x61, 0xb1, 0x02, 0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44,
		0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15,
		0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07, 0x87};
	static const uint32_t constants[] = {
		0, 1, 2, 12, 14, 15, 16, 31, 32, 60, 100, 0x7fffffff, 0xffffffff, 0xfffffffc};
	unsigned passed = 0, at;
	struct frame f = {.len = 0};

	(void)state;
	for (unsigned p = 0; p < PROGRAMS; p++) {
		struct cap_insn insns[12];
		unsigned n = 1 + any(RW_ARRAY_SIZE(insns));
		const struct cap_filter filter = {insns, n};

		for (unsigned i = 0; i < n; i++)
			insns[i] = (struct cap_insn){codes[any(RW_ARRAY_SIZE(codes))],
				(uint8_t)any(n - i), (uint8_t)any(n - i),
				constants[any(RW_ARRAY_SIZE(constants))]};
		insns[n - 1].code = any(2) ? 0x06 : 0x16;
		if (cap_filter_check(&filter, &at))
			continue;
		passed++;
		frame_make(&f);
		verdict_of(&filter, &f, any(f.len + 1));
	}
	assert_true(passed > PROGRAMS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filter_matches_what_tcpdumps_own_does),
		cmocka_unit_test(what_is_no_program_is_refused),
		cmocka_unit_test(any_program_that_passes_can_run),
	};

	return cmocka_run_group_tests_name("capture_filter", tests, NULL, NULL);
}
