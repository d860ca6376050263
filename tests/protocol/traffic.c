/* SPDX-License-Identifier: BSD-3-Clause */
#include "traffic.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const struct virtio_net_hdr_mrg_rxbuf traffic_tso = {
	.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1448,
		.hdr_len = 54,
		.csum_start = 34,
		.csum_offset = 16},
};

struct fe_guest_config guest_large(void)
{
	struct fe_guest_config c = guest_usual();

	c.tx_buf_size = FRAME_MAX + 12;
	c.tx_size = 16;
	return c;
}

struct fe_guest_config guest_behind(enum fe_iommu_mode mode, bool large)
{
	struct fe_guest_config c = large ? guest_large() : guest_usual();

	c.features |= FEATURES_IOMMU;
	c.protocol_features |= PROTOCOL_IOMMU;
	c.iommu = (struct fe_iommu_config){.mode = mode, .scatter = true};
	return c;
}

struct peer *peer_up_linked(struct rig *r, const char *port, const struct fe_guest_config *config)
{
	struct peer *p = peer_up(r, port, config);

	rig_wait(r, (peers_service(r), rig_port_info(r, port, "link")));
	return p;
}

static uint64_t sum_of(const json_t *counts)
{
	const json_t *count;
	const char *name;
	uint64_t n = 0;

	json_object_foreach((json_t *)(uintptr_t)counts, name, count)
		n += (uint64_t)json_integer_value(count);
	return n;
}

uint64_t port_drops(struct rig *r, const char *port)
{
	static const char *const directions[] = {"rx", "tx"};
	json_t *rows = rig_call(r, "port.stats", NULL);
	const json_t *row;
	uint64_t n = 0;
	size_t i, d;

	json_array_foreach(rows, i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "name")), port))
			continue;
		for (d = 0; d < RW_ARRAY_SIZE(directions); d++)
			n += sum_of(json_object_get(json_object_get(row, directions[d]), "drops"));
	}
	json_decref(rows);
	return n;
}

/* One direction. */
struct flow {
	struct peer *from, *to;
	uint32_t sent, got;
};

/* Send what the window allows. Whether there was something to do. */
static bool flow_send(struct flow *f, const struct stream *s)
{
	static uint8_t buf[FRAME_MAX];
	const struct fe_frame frame = {.data = buf, .len = s->len, .hdr = s->hdr, .cut = s->cut};
	uint32_t window = s->window ? s->window : 16;
	uint32_t before = f->sent;
	int err;

	for (; f->sent < s->n && f->sent - f->got < window; f->sent++) {
		frame_make(buf, s->len, f->to->mac, f->from->mac, s->seed + f->sent);
		err = fe_guest_put(f->from->g, 0, &frame);
		if (err == -EAGAIN)
			break;
		assert_int_equal(err, 0);
	}
	if (f->sent != before)
		fe_guest_flush(f->from->g, 0);
	return f->sent != before;
}

/* Receive the next frame if there is one. */
static bool flow_recv(struct rig *r, struct flow *f, const struct stream *s)
{
	static uint8_t got[FRAME_MAX], want[FRAME_MAX];
	struct fe_received in;
	int err;

	peers_service(r);
	err = fe_guest_recv(f->to->g, 0, got, sizeof(got), &in);
	if (err == -EAGAIN)
		return false;
	assert_int_equal(err, 0);
	if (memcmp(got, f->to->mac, 6))
		return true; /* flooded, and none of our business */
	frame_make(want, s->len, f->to->mac, f->from->mac, s->seed + f->got);
	if (in.len != s->len || memcmp(got, want, s->len))
		fail_msg("port %s, frame %u: %u bytes, expected %u%s", f->to->port, f->got, in.len,
			s->len, in.len == s->len ? ", other content" : "");
	f->got++;
	return true;
}

void traffic_check(struct rig *r, struct peer *a, struct peer *b, const struct stream *s)
{
	struct flow flows[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
	uint64_t drops = port_drops(r, a->port) + port_drops(r, b->port);
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);
	bool busy;

	while (flows[0].got < s->n || flows[1].got < s->n) {
		busy = false;
		for (size_t i = 0; i < RW_ARRAY_SIZE(flows); i++) {
			busy |= flow_send(&flows[i], s);
			busy |= flow_recv(r, &flows[i], s);
		}
		if (busy)
			until = rw_now_ms() + (uint64_t)rig_patience(r);
		else if (rw_now_ms() > until)
			fail_msg("stuck: %s received %u, %s received %u of %u", b->port,
				flows[0].got, a->port, flows[1].got, s->n);
		else
			rig_nap();
	}
	assert_int_equal(port_drops(r, a->port) + port_drops(r, b->port), drops);
}

/* Whether nothing of the guest's is on its way out. */
static bool is_at_rest(struct rig *r, struct peer *p)
{
	bool rests = true;

	peers_service(r);
	for (uint16_t i = 0; i < p->g->config.pairs; i++) {
		assert_true(fe_guest_reap(p->g, i) >= 0);
		rests &= !fe_guest_tx(p->g, i)->ring.in_flight;
	}
	return rests;
}

void peer_rest(struct rig *r, struct peer *p)
{
	rig_wait(r, is_at_rest(r, p));
}

uint32_t peer_drain(struct rig *r, struct peer *p)
{
	static uint8_t buf[FRAME_MAX];
	struct fe_received in;
	uint32_t n = 0;
	int err;

	peers_service(r);
	while (!(err = fe_guest_recv(p->g, 0, buf, sizeof(buf), &in)))
		n++;
	assert_int_equal(err, -EAGAIN);
	return n;
}

void peer_new_channel(struct peer *p)
{
	int fd;

	assert_int_equal(fe_channel_open(&p->g->channel, &fd), 0);
	assert_int_equal(fe_conn_set_channel(&p->g->conn, fd), 0);
	close(fd);
}
