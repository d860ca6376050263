/* SPDX-License-Identifier: BSD-3-Clause */
/* A captured frame in words. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "capture.h"
#include "rw_text.h"

#define ETHERNET   14
#define IPV4_LEAST 20
#define IPV6_BYTES 40
#define ARP_BYTES  28

#define TYPE_IPV4 0x0800
#define TYPE_ARP  0x0806
#define TYPE_VLAN 0x8100
#define TYPE_QINQ 0x88a8
#define TYPE_IPV6 0x86dd

/* A line that grows. */
struct line {
	char *out;
	size_t n, len;
};

static void say(struct line *l, const char *fmt, ...) RW_PRINTF(2, 3);

static void say(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (l->n + 1 >= l->len)
		return;
	va_start(ap, fmt);
	n = vsnprintf(l->out + l->n, l->len - l->n, fmt, ap);
	va_end(ap);
	l->n += n > 0 ? (size_t)n : 0;
}

/* What is left of a frame. */
struct rest {
	const uint8_t *at;
	uint32_t n;
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void address_say(struct line *l, int family, const uint8_t *at, int port)
{
	char text[INET6_ADDRSTRLEN];

	say(l, "%s", inet_ntop(family, at, text, sizeof(text)) ? text : "?");
	if (port >= 0)
		say(l, ".%d", port);
}

/* Addresses and what is behind them; `ports` if that begins with two ports. */
static void ip_say(struct line *l, int family, const uint8_t *src, uint8_t protocol,
	const struct rest *payload)
{
	bool has_ports = (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && payload->n >= 4;
	const uint8_t *dst = src + (family == AF_INET ? 4 : 16);

	say(l, " %s ", family == AF_INET ? "IPv4" : "IPv6");
	address_say(l, family, src, has_ports ? be16(payload->at) : -1);
	say(l, " > ");
	address_say(l, family, dst, has_ports ? be16(payload->at + 2) : -1);
	if (protocol == IPPROTO_TCP)
		say(l, " TCP");
	else if (protocol == IPPROTO_UDP)
		say(l, " UDP");
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		say(l, " ICMP");
	else
		say(l, " protocol %u", protocol);
}

static void ipv4_say(struct line *l, struct rest r)
{
	uint32_t head = r.n ? (r.at[0] & 15u) * 4 : 0;
	struct rest payload = {r.at, 0};

	if (r.n < IPV4_LEAST) {
		say(l, " IPv4");
		return;
	}
	/* A later fragment has no ports. */
	if (head >= IPV4_LEAST && head <= r.n && !(be16(r.at + 6) & 0x1fff))
		payload = (struct rest){r.at + head, r.n - head};
	ip_say(l, AF_INET, r.at + 12, r.at[9], &payload);
}

static void ipv6_say(struct line *l, struct rest r)
{
	if (r.n < IPV6_BYTES) {
		say(l, " IPv6");
		return;
	}
	ip_say(l, AF_INET6, r.at + 8, r.at[6], &(struct rest){r.at + IPV6_BYTES, r.n - IPV6_BYTES});
}

static void arp_say(struct line *l, struct rest r)
{
	if (r.n < ARP_BYTES || be16(r.at + 2) != TYPE_IPV4) {
		say(l, " ARP");
		return;
	}
	say(l, " ARP %s ", be16(r.at + 6) == 1 ? "who has" : "reply to");
	address_say(l, AF_INET, r.at + 24, -1);
	say(l, ", from ");
	address_say(l, AF_INET, r.at + 14, -1);
}

static void ethernet_say(struct line *l, struct rest r)
{
	char src[RW_MAC_TEXT], dst[RW_MAC_TEXT];
	uint16_t type;

	if (r.n < ETHERNET)
		return;
	say(l, " %s > %s", rw_mac_text(r.at + 6, src), rw_mac_text(r.at, dst));
	type = be16(r.at + 12);
	r = (struct rest){r.at + ETHERNET, r.n - ETHERNET};
	while ((type == TYPE_VLAN || type == TYPE_QINQ) && r.n >= 4) {
		say(l, " tag %s%u", type == TYPE_QINQ ? "s" : "", be16(r.at) & 0xfff);
		type = be16(r.at + 2);
		r = (struct rest){r.at + 4, r.n - 4};
	}
	if (type == TYPE_IPV4)
		ipv4_say(l, r);
	else if (type == TYPE_IPV6)
		ipv6_say(l, r);
	else if (type == TYPE_ARP)
		arp_say(l, r);
	else
		say(l, " type 0x%04x", type);
}

/* The VLAN of a frame: that of its tag, or else its port's. */
static unsigned vlan_of(const struct cap_record *record, const uint8_t *bytes)
{
	uint16_t type = record->caplen >= ETHERNET + 2 ? be16(bytes + 12) : 0;
	unsigned tag = type == TYPE_VLAN || type == TYPE_QINQ ? be16(bytes + 14) & 0xfff : 0;

	return tag ? tag : record->vlan;
}

static const char *direction(const struct cap_record *record)
{
	return record->what == CAP_RX || record->what == CAP_RX_DROP ? "rx" : "tx";
}

static bool is_drop(const struct cap_record *record)
{
	return record->what == CAP_RX_DROP || record->what == CAP_TX_DROP;
}

static void time_say(struct line *l, uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	char text[16];

	if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%H:%M:%S", &tm))
		say(l, "%s.%09u", text, (unsigned)(ns % 1000000000));
	else
		say(l, "-");
}

void capture_line(const struct cap_record *record, const uint8_t *bytes,
	const struct capture_names *names, char *out, size_t len)
{
	struct line l = {.out = out, .len = len};

	out[0] = 0;
	time_say(&l, record->time_ns);
	say(&l, " %s %s", names->port, direction(record));
	if (names->other)
		say(&l, " %s %s", direction(record)[0] == 't' ? "from" : "to", names->other);
	if (vlan_of(record, bytes))
		say(&l, " vlan %u", vlan_of(record, bytes));
	ethernet_say(&l, (struct rest){bytes, record->caplen});
	if (record->len)
		say(&l, ", %u bytes", record->len);
	if (is_drop(record))
		say(&l, ", dropped: %s", names->why ? names->why : "?");
	rw_printable(out);
}

void capture_comment(const struct cap_record *record, const uint8_t *bytes,
	const struct capture_names *names, char *out, size_t len)
{
	struct line l = {.out = out, .len = len};

	out[0] = 0;
	say(&l, "port %s %s queue %u", names->port, direction(record), record->queue);
	if (names->other)
		say(&l, " %s %s", direction(record)[0] == 't' ? "from" : "to", names->other);
	if (vlan_of(record, bytes))
		say(&l, " vlan %u", vlan_of(record, bytes));
	if (record->csum)
		say(&l, ", checksum not complete");
	if (record->gso)
		say(&l, ", large, not cut yet");
	if (is_drop(record))
		say(&l, ", dropped: %s", names->why ? names->why : "?");
}

json_t *capture_json(
	const struct cap_record *record, const uint8_t *bytes, const struct capture_names *names)
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * CAP_SNAP_MAX];

	for (uint32_t i = 0; i < record->caplen && i < CAP_SNAP_MAX; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	return json_pack("{s:f, s:s, s:s, s:i, s:s*, s:i, s:I, s:s*, s:o}", "time",
		(double)record->time_ns / 1e9, "port", names->port, "direction", direction(record),
		"queue", record->queue, "other", names->other, "vlan", (int)vlan_of(record, bytes),
		"len", (json_int_t)record->len, "dropped", is_drop(record) ? names->why : NULL,
		"bytes",
		json_stringn(hex, 2 * (size_t)RW_MIN(record->caplen, (uint32_t)CAP_SNAP_MAX)));
}
