/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: guests connected and running. */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "live.h"

/* A receive buffer that most guests use, and one for any frame. */
#define RX_BUF_MERGEABLE 2048u
#define RX_BUF_ANY       (FRAME_MAX + FE_BURST_FRAME_AT)

#define TSO_SENDS (FE_BIT(VIRTIO_NET_F_CSUM) | FE_BIT(VIRTIO_NET_F_HOST_TSO4))
#define TSO_TAKES (FE_BIT(VIRTIO_NET_F_GUEST_CSUM) | FE_BIT(VIRTIO_NET_F_GUEST_TSO4))

void engine_say(const char *fmt, ...)
{
	va_list ap;

	live_end();
	fputs("ringway-bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint64_t features_wanted(const struct bench_options *o)
{
	uint64_t f = FE_BIT(VU_F_PROTOCOL_FEATURES) | FE_BIT(VIRTIO_F_VERSION_1);

	if (o->packed)
		f |= FE_BIT(VIRTIO_F_RING_PACKED);
	if (o->mergeable)
		f |= FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (o->in_order)
		f |= FE_BIT(VIRTIO_F_IN_ORDER);
	if (o->tso)
		f |= o->convert ? TSO_SENDS : TSO_SENDS | TSO_TAKES;
	if (o->pairs > 1)
		f |= FE_BIT(VIRTIO_NET_F_MQ) | FE_BIT(VIRTIO_NET_F_CTRL_VQ);
	return f;
}

/* What the measurement is not itself without, in the user's words. */
static const struct {
	uint8_t bit;
	const char *name;
} needed[] = {
	{VIRTIO_F_RING_PACKED, "packed rings (VIRTIO_F_RING_PACKED)"},
	{VIRTIO_NET_F_MRG_RXBUF, "mergeable buffers (VIRTIO_NET_F_MRG_RXBUF): try --no-mergeable"},
	{VIRTIO_F_IN_ORDER, "in-order rings (VIRTIO_F_IN_ORDER)"},
	{VIRTIO_NET_F_CSUM, "checksum offload (VIRTIO_NET_F_CSUM)"},
	{VIRTIO_NET_F_GUEST_CSUM, "checksum offload (VIRTIO_NET_F_GUEST_CSUM)"},
	{VIRTIO_NET_F_HOST_TSO4, "segmentation offload (VIRTIO_NET_F_HOST_TSO4)"},
	{VIRTIO_NET_F_GUEST_TSO4, "segmentation offload (VIRTIO_NET_F_GUEST_TSO4)"},
	{VIRTIO_NET_F_MQ, "several queue pairs (VIRTIO_NET_F_MQ)"},
};

static int features_check(
	const struct bench_options *o, const struct fe_session *s, const char *path)
{
	uint64_t lacking = features_wanted(o) & ~s->features;

	for (size_t i = 0; i < RW_ARRAY_SIZE(needed); i++) {
		if (lacking >> needed[i].bit & 1) {
			engine_say("%s: the back-end offers no %s", path, needed[i].name);
			return -ENOTSUP;
		}
	}
	if (o->pairs > 1 && fe_session_has_protocol(s, VU_PF_MQ) && s->max_pairs < o->pairs) {
		engine_say("%s: the back-end has %llu queue pairs", path,
			(unsigned long long)s->max_pairs);
		return -ENOTSUP;
	}
	return 0;
}

static uint32_t longest(const struct bench_options *o)
{
	uint32_t len = FRAME_SMALL;

	for (unsigned i = 0; i < o->nsizes; i++)
		len = RW_MAX(len, o->sizes[i].len);
	return len;
}

/* A back-end that is not there tries again, Open vSwitch after up to eight seconds. */
#define LISTEN_MS 30000

/* Listen at a socket until a back-end has connected. */
static int listen_at(struct fe_session *s, const char *path)
{
	int fd = fe_conn_listen(path), err;

	if (fd < 0)
		return fd;
	err = fe_conn_accept(&s->conn, fd, LISTEN_MS);
	close(fd);
	unlink(path);
	if (err == -ETIMEDOUT)
		engine_say("%s: no back-end has connected in %d s: is it in client mode?", path,
			LISTEN_MS / 1000);
	return err;
}

/* The other end of a socket, whoever connects. Says what went wrong. */
static int attach(const struct bench_options *o, struct fe_session *s, const char *path)
{
	int err = 0;

	if (o->listen) {
		err = listen_at(s, path);
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
	if (!err)
		err = o->listen ? fe_session_negotiate(s) : fe_session_connect(s, path);
	if (err)
		engine_say("%s: %s", path, strerror(-err));
	return err ? err : features_check(o, s, path);
}

static int port_start(struct engine *e, unsigned port)
{
	const struct bench_options *o = &e->o;
	struct engine_port *p = &e->ports[port];
	uint32_t room = longest(o) + FE_BURST_FRAME_AT;
	const struct fe_session_config c = {
		.hugetlb = o->hugetlb,
		.features = features_wanted(o),
		.protocol_features = FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_MQ),
		.pairs = (uint16_t)o->pairs,
		.rx_size = (uint16_t)o->ring_size,
		.tx_size = (uint16_t)o->tx_ring_size,
		.rx_buf_size = o->tso && !o->mergeable ? RX_BUF_ANY : RX_BUF_MERGEABLE,
		.tx_buf_size = (uint32_t)rw_align_up(room, 2 * RW_CACHE_LINE),
	};
	const char *path = o->sockets[port];
	int err;

	err = fe_session_new(&c, &p->session);
	if (err) {
		engine_say("%s: cannot have the guest's memory: %s%s", path, strerror(-err),
			o->hugetlb ? " (huge pages: see /proc/sys/vm/nr_hugepages, or --no-huge)"
				   : "");
		return err;
	}
	err = attach(o, p->session, path);
	if (err)
		return err;
	err = fe_session_start(p->session);
	if (err)
		engine_say("%s: the rings do not start: %s", path, strerror(-err));
	return err;
}

/* Whether a port sends in the pattern. */
static bool port_sends(const struct bench_options *o, unsigned port)
{
	switch (o->pattern) {
	case BENCH_PAIRS:
		return (port ^ 1) < o->nports;
	case BENCH_ALL_TO_ONE:
		return port != 0;
	case BENCH_ONE_TO_ALL:
	case BENCH_FLOOD:
		return port == 0;
	default:
		return true;
	}
}

static void lane_set(struct engine *e, unsigned port, unsigned queue)
{
	unsigned i = port * e->o.pairs + queue;
	struct lane *l = &e->lanes[i];

	l->port = (uint16_t)port;
	l->queue = (uint8_t)queue;
	l->rx = &e->ports[port].session->queues[2 * queue];
	l->tx = l->rx + 1;
	l->mine = (uint32_t)frame_mac(port, 0);
	l->seq = e->seqs + (size_t)i * e->o.nports;
	l->sends = port_sends(&e->o, port);
	e->nsenders += l->sends;
}

static void lanes_set(struct engine *e)
{
	for (unsigned port = 0; port < e->o.nports; port++) {
		for (unsigned queue = 0; queue < e->o.pairs; queue++)
			lane_set(e, port, queue);
	}
}

static int tables_new(struct engine *e)
{
	size_t pairs = e->o.pairs, nports = e->o.nports;
	size_t n;

	e->nlanes = (unsigned)(nports * pairs);
	n = e->nlanes * nports;
	e->nguests = e->o.nports + e->o.idle;
	e->ports = calloc(e->nguests, sizeof(*e->ports));
	e->lanes = rw_zalloc(e->nlanes * sizeof(*e->lanes));
	e->seqs = calloc(n, sizeof(*e->seqs));
	e->streams = rw_zalloc(n * sizeof(*e->streams));
	e->newest = calloc(pairs > 1 ? n * pairs : 1, sizeof(*e->newest));
	e->expected = calloc(nports, sizeof(*e->expected));
	e->unexpected = calloc(nports, sizeof(*e->unexpected));
	e->latency = calloc(1, sizeof(*e->latency));
	if (!e->ports || !e->lanes || !e->seqs || !e->streams || !e->newest || !e->expected ||
		!e->unexpected || !e->latency)
		return -ENOMEM;
	return 0;
}

static void clock_set(struct engine *e)
{
	e->hz = tsc_measure();
	/* 32 bits are to last for seconds. */
	e->stamp_shift = e->hz > 1e9 ? 2 : 0;
	e->stamp_ns = (uint64_t)(1e9 * (double)(1 << e->stamp_shift) * (1 << 20) / e->hz);
}

static int cpu_pin(int cpu)
{
	cpu_set_t set;
	int err;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return 0;
	err = -errno;
	engine_say("CPU %d: %s", cpu, strerror(-err));
	return err;
}

/* All hosts speak once, so that the back-end knows where they are. */
static int hosts_announce(struct engine *e)
{
	int err = 0;

	for (unsigned port = 0; !err && port < e->o.nports; port++)
		err = engine_teach(e, port, 0, e->o.macs, 0);
	return err;
}

int engine_new(const struct bench_options *o, struct engine **out)
{
	struct engine *e;
	int err;

	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->o = *o;
	e->format = o->tso ? &frame_tcp : &frame_udp;
	e->pieces = 1;
	if (o->convert && frame_pieces(longest(o)) > 1) {
		e->pieces = frame_pieces(longest(o));
		e->cut_format = frame_cut_format(e->pieces);
		e->format = &e->cut_format;
	}
	e->random = 0x9e3779b97f4a7c15ull;
	err = tables_new(e);
	if (err)
		engine_say("%s", strerror(-err));
	else
		err = cpu_pin(o->cpu);
	for (unsigned i = 0; !err && i < e->nguests; i++)
		err = port_start(e, i);
	if (!err) {
		clock_set(e);
		lanes_set(e);
		if (o->measure == BENCH_RATE || o->measure == BENCH_SEARCH)
			err = hosts_announce(e);
	}
	if (err) {
		engine_free(e);
		return err;
	}
	*out = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (unsigned i = 0; e->ports && i < e->nguests; i++)
		fe_session_free(e->ports[i].session);
	free(e->ports);
	rw_free(e->lanes);
	free(e->seqs);
	rw_free(e->streams);
	free(e->newest);
	free(e->expected);
	free(e->unexpected);
	free(e->latency);
	free(e);
}

double engine_teach_rate(const struct engine *e)
{
	return e->teach_rate;
}
