/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "capture.h"
#include "rw_base.h"
#include "version.h"

/* Types of blocks. */
#define SECTION   0x0a0d0d0au
#define INTERFACE 1u
#define COUNTS    5u
#define PACKET    6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINK_ETHERNET    1u
#define NANOSECONDS      9 /* times are in units of 10^-9 s */

/* Options: of any block, */
#define OPT_END     0
#define OPT_COMMENT 1
/* of a section, */
#define OPT_APPLICATION 4
/* of an interface, */
#define OPT_NAME        2
#define OPT_DESCRIPTION 3
#define OPT_RESOLUTION  9
#define OPT_FILTER      11
/* of a packet, */
#define OPT_FLAGS 2
#define OPT_QUEUE 6
/* of counts. */
#define OPT_START    2
#define OPT_STOP     3
#define OPT_RECEIVED 4
#define OPT_LOST     5

#define FLAG_INBOUND  1u
#define FLAG_OUTBOUND 2u

/* All that stands in a block around the bytes of a frame. */
#define BLOCK_MAX 2048

/* A block that is being made, up to the frame's bytes or the end. */
struct block {
	uint8_t bytes[BLOCK_MAX];
	uint32_t n;
};

static void put(struct block *b, const void *bytes, uint32_t n)
{
	static const uint8_t zeros[4];
	uint32_t pad = -n & 3;

	if (n > BLOCK_MAX - 3 || b->n + n + pad > BLOCK_MAX)
		return;
	if (n)
		memcpy(b->bytes + b->n, bytes, n);
	memcpy(b->bytes + b->n + n, zeros, pad);
	b->n += n + pad;
}

static void put32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

/* Times and counts have their upper half first, in any byte order; 64-bit options do not. */
static void put_time(struct block *b, uint64_t ns)
{
	put32(b, (uint32_t)(ns >> 32));
	put32(b, (uint32_t)ns);
}

static void option(struct block *b, uint16_t code, const void *value, size_t n)
{
	const uint16_t head[2] = {code, (uint16_t)RW_MIN(n, (size_t)BLOCK_MAX / 4)};

	put(b, head, sizeof(head));
	put(b, value, head[1]);
}

static void option_text(struct block *b, uint16_t code, const char *text)
{
	option(b, code, text, strlen(text));
}

static void option_time(struct block *b, uint16_t code, uint64_t ns)
{
	const uint32_t halves[2] = {(uint32_t)(ns >> 32), (uint32_t)ns};

	option(b, code, halves, sizeof(halves));
}

static void out(struct pcapng *p, const void *bytes, size_t n)
{
	if (n)
		p->bytes += fwrite(bytes, 1, n, p->file);
}

/* Write a block: `head` without its type and lengths, `n` bytes of `body`, `tail`. */
static void block_write(struct pcapng *p, uint32_t type, const struct block *head,
	const uint8_t *body, uint32_t n, const struct block *tail)
{
	static const uint8_t zeros[4];
	uint32_t pad = -n & 3, tail_n = tail ? tail->n : 0;
	uint32_t whole = 12 + head->n + n + pad + tail_n;
	const uint32_t begin[2] = {type, whole};

	out(p, begin, sizeof(begin));
	out(p, head->bytes, head->n);
	out(p, body, n);
	out(p, zeros, pad);
	if (tail)
		out(p, tail->bytes, tail_n);
	out(p, &whole, sizeof(whole));
}

void pcapng_begin(struct pcapng *p, FILE *file, uint32_t snap, const char *filter)
{
	const uint16_t version[2] = {1, 0};
	const uint32_t unknown[2] = {UINT32_MAX, UINT32_MAX}; /* length of the section */
	struct block b = {.n = 0};

	*p = (struct pcapng){.file = file, .snap = snap, .filter = filter};
	put32(&b, BYTE_ORDER_MAGIC);
	put(&b, version, sizeof(version));
	put(&b, unknown, sizeof(unknown));
	option_text(&b, OPT_APPLICATION, "ringway " RINGWAY_VERSION);
	option(&b, OPT_END, NULL, 0);
	block_write(p, SECTION, &b, NULL, 0, NULL);
}

bool pcapng_has_port(const struct pcapng *p, uint16_t port)
{
	return p->iface_of[port];
}

void pcapng_add_port(struct pcapng *p, uint16_t port, const char *name)
{
	const uint16_t link[2] = {LINK_ETHERNET, 0};
	const uint8_t resolution = NANOSECONDS;
	struct block b = {.n = 0};
	char filter[BLOCK_MAX / 4];

	put(&b, link, sizeof(link));
	put32(&b, p->snap);
	option_text(&b, OPT_NAME, name);
	option_text(&b, OPT_DESCRIPTION, "port of a ringway switch; in: what its guest sent");
	option(&b, OPT_RESOLUTION, &resolution, 1);
	if (*p->filter) {
		/* Behind a zero stands the text of a filter of libpcap. */
		filter[0] = 0;
		snprintf(filter + 1, sizeof(filter) - 1, "%s", p->filter);
		option(&b, OPT_FILTER, filter, 1 + strlen(filter + 1));
	}
	option(&b, OPT_END, NULL, 0);
	block_write(p, INTERFACE, &b, NULL, 0, NULL);
	p->port_of[p->nifaces++] = port;
	p->iface_of[port] = (uint16_t)p->nifaces;
}

void pcapng_add(struct pcapng *p, const struct cap_record *record, const uint8_t *bytes,
	const char *comment)
{
	bool in = record->what == CAP_RX || record->what == CAP_RX_DROP;
	const uint32_t flags = in ? FLAG_INBOUND : FLAG_OUTBOUND, queue = record->queue;
	struct block head = {.n = 0}, tail = {.n = 0};

	if (!p->first_ns)
		p->first_ns = record->time_ns;
	put32(&head, p->iface_of[record->port] - 1u);
	put_time(&head, record->time_ns);
	put32(&head, record->caplen);
	put32(&head, record->len);
	option_text(&tail, OPT_COMMENT, comment);
	option(&tail, OPT_FLAGS, &flags, sizeof(flags));
	option(&tail, OPT_QUEUE, &queue, sizeof(queue));
	option(&tail, OPT_END, NULL, 0);
	block_write(p, PACKET, &head, bytes, record->caplen, &tail);
}

void pcapng_counts(struct pcapng *p, uint32_t iface, const struct cap_count *count, uint64_t now_ns)
{
	struct block b = {.n = 0};

	put32(&b, iface);
	put_time(&b, now_ns);
	if (p->first_ns)
		option_time(&b, OPT_START, p->first_ns);
	option_time(&b, OPT_STOP, now_ns);
	option(&b, OPT_RECEIVED, &count->taken, sizeof(count->taken));
	option(&b, OPT_LOST, &count->lost, sizeof(count->lost));
	option(&b, OPT_END, NULL, 0);
	block_write(p, COUNTS, &b, NULL, 0, NULL);
}
