/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames through a vhost port's queues: the input is a guest that sends frames, in chains with
 * headers of its choice, and posts buffers for others. What the rx queue lends is pulled, edited
 * and handed to the tx queue. The frames that arrive are compared with what was lent, the guest's
 * other memory with what it was.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "queue.h"
#include "record.h"
#include "vu_export.h"

#define F(bit) (1ull << (bit))

/* Ring 0 (tx) and 1 (rx): 0x1800 bytes each; buffers of the guest behind them. */
#define RING_AT(ring) ((ring)*0x1800u)
#define DRIVER_OFF    0x800u
#define DEVICE_OFF    0x1000u
#define RX_AT         0x3000u
#define TX_AT         0x8000u
#define MEM_BYTES     0x20000u
#define MEM_UVA       0x10000000ull
#define NUM           64u
#define MAX_STEPS     32

static struct rw_loop *loop;
static struct vu_export export;
static uint8_t *guest;
static int wake_fd;
static uint8_t before[MEM_BYTES];

struct fuzz_port {
	struct port port;
	struct vu_session *s;
	struct vhost_queue *rx, *tx;
	uint64_t features;
	bool packed;
	bool lies; /* the guest wrote where it should not: nothing is compared */
	struct {
		uint16_t idx;
		bool wrap;
	} avail[2], used[2]; /* the driver's positions */
	uint32_t room[2];    /* entries that it may use */
	uint32_t at[2];      /* where its next buffer is */
	struct {
		uint32_t at, len;
	} posted[NUM * 2]; /* buffers of the tx ring, by position modulo their number */
	unsigned nposted, nback;
	uint8_t sent[NUM]; /* descriptors of the chains in the rx ring, by position modulo NUM */
	unsigned nsent, ntaken;
};

/* ---- a session whose owner is this program ---- */

static bool owner_pause(void *dev, unsigned first, unsigned n)
{
	(void)dev, (void)first, (void)n;
	return true;
}

static int owner_resume(void *dev, unsigned first, unsigned n)
{
	(void)dev, (void)first, (void)n;
	return 0;
}

static void owner_closed(void *dev, int reason)
{
	(void)dev, (void)reason;
}

static uint64_t owner_inflight(void *dev, uint16_t num)
{
	(void)dev;
	return vq_inflight_bytes(0, num);
}

static const struct vu_ops ops = {
	.rings_pause = owner_pause,
	.rings_resume = owner_resume,
	.closed = owner_closed,
	.inflight_bytes = owner_inflight,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int sv[2], fd = memfd_create("guest", MFD_CLOEXEC);

	(void)argc, (void)argv;
	loop = rw_loop_new();
	fuzz_check(loop && fd >= 0 && !ftruncate(fd, MEM_BYTES));
	guest = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	wake_fd = eventfd(0, EFD_NONBLOCK);
	fuzz_check(guest != MAP_FAILED && wake_fd >= 0);
	fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	export.version = VU_EXPORT_VERSION;
	export.fd = sv[1];
	export.log.fd = export.log.event_fd = export.inflight.fd = export.channel.fd = -1;
	export.nregions = 2;
	export.nrings = 2;
	export.features_set = true;
	/* Buffers that cross this border are in two pieces. */
	export.regions[0] = (struct vu_export_region){{0, TX_AT + 0x1000, MEM_UVA, 0}, 0, fd};
	export.regions[1] = (struct vu_export_region){
		{TX_AT + 0x1000, MEM_BYTES - TX_AT - 0x1000, MEM_UVA + 0x1000000, TX_AT + 0x1000},
		0, fd};
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		struct vu_export_ring *r = &export.rings[i];

		r->kick_fd = r->call_fd = r->err_fd = -1;
		if (i > 1)
			continue;
		r->num = NUM;
		r->kick_polled = r->addr_set = r->base_set = r->started = r->enabled = true;
		r->addr = (struct vu_vring_addr){.index = i,
			.desc = MEM_UVA + RING_AT(i),
			.avail = MEM_UVA + RING_AT(i) + DRIVER_OFF,
			.used = MEM_UVA + RING_AT(i) + DEVICE_OFF};
	}
	return 0;
}

static bool port_begin(struct fuzz_port *p, struct fuzz_in *in)
{
	static const unsigned bits[] = {VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF,
		VIRTIO_F_RING_PACKED, VIRTIO_RING_F_EVENT_IDX, VIRTIO_NET_F_CSUM,
		VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4,
		VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_ECN,
		VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO4,
		VIRTIO_NET_F_GUEST_USO6, VIRTIO_RING_F_INDIRECT_DESC};
	struct vu_offer offer = {.features = UINT64_MAX,
		.protocol_features = UINT64_MAX,
		.max_pairs = 4,
		.max_ring_size = 1024};
	struct vhost_queue *kept = NULL;
	static struct vhost_record none;
	struct vhost_queue_config cfg = {
		.port = &p->port, .wake_fd = wake_fd, .kept = &kept, .record = &none};
	uint16_t chosen = fuzz_u16(in);
	uint64_t missing;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(bits); i++)
		p->features |= chosen >> i & 1 ? F(bits[i]) : 0;
	p->packed = p->features & F(VIRTIO_F_RING_PACKED);
	export.features = p->features;
	for (int i = 0; i < 2; i++) {
		export.rings[i].base = p->packed ? 0x80008000 : 0;
		p->avail[i].wrap = p->used[i].wrap = true;
		p->room[i] = NUM;
	}
	p->at[0] = TX_AT;
	p->at[1] = RX_AT;
	fuzz_check(!port_init(&p->port, "fuzz", 1));
	p->s = vu_session_adopt(loop, &export, &offer, &ops, p, "fuzz");
	fuzz_check(p->s);
	cfg.session = p->s;
	fuzz_check(!vhost_queue_new(&cfg, &p->tx, &missing));
	cfg.ring = 1;
	fuzz_check(!vhost_queue_new(&cfg, &p->rx, &missing));
	return true;
}

static void port_end(struct fuzz_port *p)
{
	vhost_queue_free(p->rx);
	vhost_queue_free(p->tx);
	vu_session_free(p->s);
	port_fini(&p->port);
}

/* ---- the driver ---- */

/* Make the `n` pieces at `at` available in `ring`, as one chain. */
static void post(struct fuzz_port *p, int ring, const uint32_t (*pieces)[2], unsigned n)
{
	uint16_t flags = ring ? 0 : VRING_DESC_F_WRITE, first = p->avail[ring].idx;
	struct vring_avail *avail = (struct vring_avail *)(guest + RING_AT(ring) + DRIVER_OFF);

	for (unsigned i = 0; i < n; i++) {
		uint16_t pos = p->avail[ring].idx % NUM, more = i + 1 < n ? VRING_DESC_F_NEXT : 0;

		if (p->packed) {
			struct vring_packed_desc *d =
				(struct vring_packed_desc *)(guest + RING_AT(ring)) + pos;

			*d = (struct vring_packed_desc){pieces[i][0], pieces[i][1], first,
				(uint16_t)(flags | more |
					(p->avail[ring].wrap ? 1u << VRING_PACKED_DESC_F_AVAIL
							     : 1u << VRING_PACKED_DESC_F_USED))};
			p->avail[ring].wrap ^= pos == NUM - 1;
		} else {
			struct vring_desc *d = (struct vring_desc *)(guest + RING_AT(ring)) + pos;

			*d = (struct vring_desc){pieces[i][0], pieces[i][1], flags | more,
				(uint16_t)((pos + 1) % NUM)};
		}
		p->avail[ring].idx = (uint16_t)(p->avail[ring].idx + 1);
	}
	if (p->packed) {
		p->avail[ring].idx %= NUM;
	} else {
		/* As many entries as descriptors keep descriptors and positions in step. */
		avail->ring[avail->idx % NUM] = first % NUM;
		avail->idx++;
	}
	p->room[ring] -= n;
}

/* A buffer for a frame to come. */
static void op_post(struct fuzz_port *p, struct fuzz_in *in)
{
	static const uint32_t sizes[] = {2048, 1526, 64, 74, 76, 128, 1, 12, 11, 300, 9000, 66000};
	uint8_t kind = fuzz_u8(in), count = kind >> 5;
	uint32_t len = sizes[(kind & 31) % RW_ARRAY_SIZE(sizes)];

	for (unsigned i = 0; i <= count && p->room[0]; i++) {
		uint32_t piece[1][2];

		/* No two buffers share a byte. */
		if (p->at[0] + len > MEM_BYTES && p->nposted != p->nback)
			return;
		if (p->at[0] + len > MEM_BYTES)
			p->at[0] = TX_AT;
		if (p->nposted - p->nback == RW_ARRAY_SIZE(p->posted))
			return;
		piece[0][0] = p->at[0];
		piece[0][1] = len;
		p->posted[p->nposted % RW_ARRAY_SIZE(p->posted)].at = p->at[0];
		p->posted[p->nposted++ % RW_ARRAY_SIZE(p->posted)].len = len;
		post(p, 0, piece, 1);
		p->at[0] += len;
	}
}

/* A frame that looks like one. Its length. */
static uint32_t frame_write(struct fuzz_in *in, uint8_t *to, uint32_t room)
{
	static const uint8_t start[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	static const uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8100};
	static const uint16_t lens[] = {60, 14, 64, 65, 1514, 42, 13, 78, 256, 300, 18, 4000};
	uint8_t kind = fuzz_u8(in), *at = to + sizeof(start), n;
	uint32_t len = kind & 0x80 ? fuzz_u16(in) % 5000 : lens[(kind & 15) % RW_ARRAY_SIZE(lens)];

	len = RW_MIN(len, room);
	for (uint32_t i = 0; i < len; i++)
		to[i] = (uint8_t)(i * 7 + i / 256);
	if (len < 64)
		return len;
	memcpy(to, start, sizeof(start));
	if (kind & 0x40) {
		at[0] = 0x81;
		at[1] = 0;
		at += 4;
	}
	at[0] = (uint8_t)(types[kind >> 4 & 3] >> 8);
	at[1] = (uint8_t)types[kind >> 4 & 3];
	at[2] = types[kind >> 4 & 3] == 0x86dd ? 0x60 : 0x45;
	at[11] = 6 + 11 * (kind & 1);
	/* Then anything anywhere. */
	n = fuzz_u8(in) & 15;
	for (uint8_t i = 0; i < n; i++)
		to[fuzz_u8(in) % len] = fuzz_u8(in);
	return len;
}

static void header_write(struct fuzz_in *in, uint8_t *to)
{
	struct virtio_net_hdr hdr = {0};
	uint8_t kind = fuzz_u8(in);

	if (kind & 0x80) {
		static const uint8_t types[] = {VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4,
			VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP_L4,
			VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_ECN,
			VIRTIO_NET_HDR_GSO_UDP, 0xff};

		hdr.flags = kind & 0x40 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : kind & 3;
		hdr.gso_type = types[kind & 7];
		hdr.gso_size = kind & 0x20 ? fuzz_u8(in) : 1448;
		hdr.hdr_len = kind & 0x10 ? fuzz_u16(in) : 54;
		hdr.csum_start = kind & 0x08 ? fuzz_u16(in) : 34;
		hdr.csum_offset = kind & 0x08 ? fuzz_u16(in) : 16;
	}
	memcpy(to, &hdr, sizeof(hdr));
	memset(to + sizeof(hdr), 0, NET_HDR_LONG - sizeof(hdr));
}

static void op_send(struct fuzz_port *p, struct fuzz_in *in)
{
	uint32_t hdr_len = p->rx->hdr_len, pieces[4][2], len, left, cut;
	uint8_t *to, cuts = fuzz_u8(in);
	unsigned n = 0;

	if (p->room[1] < RW_ARRAY_SIZE(pieces))
		return;
	if (p->at[1] + 5100 > TX_AT && p->nsent != p->ntaken)
		return;
	if (p->at[1] + 5100 > TX_AT)
		p->at[1] = RX_AT + (cuts & 63);
	to = guest + p->at[1];
	header_write(in, to);
	len = hdr_len + frame_write(in, to + hdr_len, 5000);
	left = len;
	while (n < 3 && cuts >> (6 + n) & 1 && n < 2) {
		cut = fuzz_u8(in) % (left + 1);
		pieces[n][0] = p->at[1] + len - left;
		pieces[n++][1] = cut;
		left -= cut;
	}
	pieces[n][0] = p->at[1] + len - left;
	pieces[n++][1] = left;
	post(p, 1, pieces, n);
	p->sent[p->nsent++ % NUM] = (uint8_t)n;
	p->at[1] += len + (cuts & 31);
}

/* The guest writes anything into its rings. */
static void op_poke(struct fuzz_port *p, struct fuzz_in *in)
{
	uint8_t bytes[16], n = (uint8_t)(1 + fuzz_below(in, sizeof(bytes)));
	uint32_t at = fuzz_u16(in) % RX_AT;

	fuzz_bytes(in, bytes, n);
	memcpy(guest + at, bytes, n);
	p->lies = true;
}

/* ---- frames ---- */

/* What of a frame should arrive. */
struct wanted {
	uint8_t bytes[6000];
	uint32_t len;
};

static void flatten(const struct frame *f, struct wanted *w)
{
	w->len = f->head_len;
	memcpy(w->bytes, f->head, f->head_len);
	for (unsigned i = 0; i < f->nsegs && w->len + f->seg[i].len <= sizeof(w->bytes); i++) {
		memcpy(w->bytes + w->len, f->seg[i].data, f->seg[i].len);
		w->len += f->seg[i].len;
	}
}

static void check_frame(const struct fuzz_port *p, const struct frame *f)
{
	const struct gm_map *map = vu_mem(p->s);
	uint64_t len = f->head_len;

	fuzz_check(f->len >= FRAME_MIN_LEN && f->len <= FRAME_MAX_LEN);
	fuzz_check(f->head_len == RW_MIN(f->len, (uint32_t)FRAME_HEAD));
	for (unsigned i = 0; i < f->nsegs; i++) {
		bool inside = false;

		for (unsigned k = 0; k < map->nregions; k++) {
			const struct gm_region *r = &map->regions[k];
			uint64_t off = (uint64_t)(f->seg[i].data - r->host);

			inside = inside || (off < r->size && f->seg[i].len <= r->size - off);
		}
		fuzz_check(inside);
		len += f->seg[i].len;
	}
	fuzz_check(len == f->len);
	if (f->offload.flags)
		fuzz_check((uint32_t)f->offload.csum_start + f->offload.csum_offset + 2 <= f->len &&
			p->rx->csum);
	fuzz_check(f->offload.flags || !f->offload.gso_type);
	fuzz_check(f->offload.hdr_len <= f->len);
	fuzz_check(!frame_is_broadcast(f) || frame_is_group(f));
	fuzz_check(frame_is_plain(f) == (!f->offload.flags && !f->offload.gso_type));
}

/* The edit that the input names, made by hand. */
static void edit_by_hand(const struct frame_edit *edit, struct wanted *w)
{
	bool tagged = w->len >= 18 && !memcmp(w->bytes + 12, &edit->tpid, 2);
	uint8_t tag[4] = {0, 0, (uint8_t)(edit->vlan >> 8 & 15), (uint8_t)edit->vlan};
	uint32_t cut = 0, add = 0;

	memcpy(tag, &edit->tpid, 2);
	if (edit->tag == FRAME_TAG_POP && tagged)
		cut = 4;
	if (edit->tag == FRAME_TAG_PUSH || edit->tag == FRAME_TAG_REWRITE)
		add = 4;
	if (edit->tag == FRAME_TAG_REWRITE && tagged) {
		tag[2] |= w->bytes[14] & 0xf0;
		cut = 4;
	}
	memmove(w->bytes + 12 + add, w->bytes + 12 + cut, w->len - 12 - cut);
	memcpy(w->bytes + 12, tag, add);
	w->len = w->len - cut + add;
	memmove(w->bytes + edit->front_len, w->bytes, w->len);
	if (edit->front_len)
		memcpy(w->bytes, edit->front, edit->front_len);
	w->len += edit->front_len;
}

/* Pull, hash and edit `f` into `out`, and note what should arrive. */
static void frame_change(struct fuzz_in *in, struct frame *f, struct frame *out, struct wanted *w)
{
	static const uint8_t front[FRAME_FRONT_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t bits = fuzz_u8(in);
	struct frame_edit edit = {.tag = bits & 3,
		.vlan = fuzz_u8(in) * 17u & 0xfff,
		.tpid = bits & 8 ? FRAME_TPID_SERVICE : FRAME_TPID_CUSTOMER,
		.front = front};
	struct wanted pulled;

	flatten(f, w);
	edit.front_len = bits & 4 ? bits >> 3 : 0;
	if (bits & 0x80) {
		uint32_t want = fuzz_u8(in) + (bits & 0x40 ? 1 : 0);

		fuzz_check(frame_pull(f, want) >= RW_MIN(want, f->len));
		flatten(f, &pulled);
		fuzz_check(pulled.len == w->len && !memcmp(pulled.bytes, w->bytes, w->len));
	}
	frame_flow_hash(f);
	f->vlan = frame_vlan(f, edit.tpid);
	fuzz_check(frame_edit_same(edit, edit));
	if (!frame_edit_any(&edit)) {
		*out = *f;
		return;
	}
	frame_edit(f, &edit, out);
	edit_by_hand(&edit, w);
	flatten(out, &pulled);
	fuzz_check(out->len == w->len && pulled.len == w->len);
	fuzz_check(!memcmp(pulled.bytes, w->bytes, w->len));
}

/* ---- what arrives ---- */

/* The next used buffer of the tx ring. False: there is none. */
static bool used_next(struct fuzz_port *p, uint32_t *len)
{
	if (p->packed) {
		struct vring_packed_desc *d = (struct vring_packed_desc *)(guest + RING_AT(0)) +
			p->used[0].idx;
		bool avail = d->flags >> VRING_PACKED_DESC_F_AVAIL & 1;

		if (avail != (d->flags >> VRING_PACKED_DESC_F_USED & 1) || avail != p->used[0].wrap)
			return false;
		*len = d->len;
		if (++p->used[0].idx == NUM) {
			p->used[0].idx = 0;
			p->used[0].wrap = !p->used[0].wrap;
		}
	} else {
		struct vring_used *used = (struct vring_used *)(guest + RING_AT(0) + DEVICE_OFF);

		if (used->idx == p->used[0].idx)
			return false;
		*len = used->ring[p->used[0].idx++ % NUM].len;
	}
	p->room[0]++;
	return true;
}

/* Gather one frame from the buffers that came back; those returned unused are skipped. */
static bool frame_arrives(struct fuzz_port *p, struct wanted *got)
{
	bool counted = p->tx->hdr_len == NET_HDR_LONG; /* by the header, once it is there */
	unsigned buffers = 0, more = 1;

	got->len = 0;
	while (buffers < more || (counted && got->len < NET_HDR_LONG)) {
		uint32_t len, at;

		if (!used_next(p, &len))
			return false;
		fuzz_check(p->nback < p->nposted);
		at = p->posted[p->nback % RW_ARRAY_SIZE(p->posted)].at;
		fuzz_check(len <= p->posted[p->nback++ % RW_ARRAY_SIZE(p->posted)].len);
		if (!len && !buffers)
			continue;
		fuzz_check(got->len + len <= sizeof(got->bytes));
		memcpy(got->bytes + got->len, guest + at, len);
		memcpy(before + at, guest + at, len); /* it may be written */
		got->len += len;
		buffers++;
		if (counted && got->len >= NET_HDR_LONG)
			more = got->bytes[10] | (unsigned)got->bytes[11] << 8;
	}
	return true;
}

/* The rest of the guest's memory is what it was, but for the rings. */
static void check_arrival(struct fuzz_port *p, const struct wanted *wanted, unsigned n)
{
	static struct wanted got;
	uint32_t hdr_len = p->tx->hdr_len;

	for (unsigned i = 0; i < n; i++) {
		fuzz_check(frame_arrives(p, &got));
		fuzz_check(got.len == hdr_len + wanted[i].len);
		fuzz_check(!memcmp(got.bytes + hdr_len, wanted[i].bytes, wanted[i].len));
	}
	fuzz_check(!frame_arrives(p, &got));
	fuzz_check(!memcmp(guest + RX_AT, before + RX_AT, MEM_BYTES - RX_AT));
}

/* Descriptors of the rx ring that came back. */
static void room_count(struct fuzz_port *p)
{
	const struct vq *vq = &p->rx->vq;

	while (!p->lies && p->ntaken != p->nsent &&
		(p->packed ? p->used[1].idx != vq->done.idx || p->used[1].wrap != vq->done.wrap
			   : p->used[1].idx != vq->done.idx)) {
		unsigned n = p->sent[p->ntaken++ % NUM],
			 idx = p->used[1].idx + (p->packed ? n : 1u);

		p->room[1] += n;
		if (p->packed && idx >= NUM) {
			idx -= NUM;
			p->used[1].wrap = !p->used[1].wrap;
		}
		p->used[1].idx = (uint16_t)idx;
	}
}

static void op_round(struct fuzz_port *p, struct fuzz_in *in)
{
	static struct frame frames[FRAME_BURST], changed[FRAME_BURST];
	static struct wanted wanted[FRAME_BURST];
	struct frame *list[FRAME_BURST];
	unsigned n, took;

	memcpy(before, guest, MEM_BYTES);
	n = p->rx->rxq.burst(&p->rx->rxq, frames, 1 + fuzz_below(in, FRAME_BURST));
	for (unsigned i = 0; i < n; i++) {
		check_frame(p, &frames[i]);
		if (frames[i].len + FRAME_FRONT_MAX > sizeof(wanted[i].bytes)) {
			/* Pieced together by a guest that lies. */
			fuzz_check(p->lies);
			p->rx->rxq.done(&p->rx->rxq);
			return;
		}
		frame_change(in, &frames[i], &changed[i], &wanted[i]);
		list[i] = &changed[i];
	}
	took = n ? p->tx->txq.burst(&p->tx->txq, list, n) : 0;
	fuzz_check(took <= n);
	/* Those that were taken are the first now, in their order. */
	for (unsigned i = 0; i < took; i++)
		memmove(&wanted[i], &wanted[list[i] - changed], sizeof(wanted[i]));
	if (!p->lies)
		check_arrival(p, wanted, took);
	if (n)
		p->rx->rxq.done(&p->rx->rxq);
	room_count(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct fuzz_port p;

	memset(&p, 0, sizeof(p));
	memset(guest, 0, MEM_BYTES);
	if (!port_begin(&p, &in))
		return 0;
	for (unsigned i = 0; i < MAX_STEPS && in.left; i++) {
		uint8_t op = fuzz_u8(&in);

		if (op < 0x50)
			op_post(&p, &in);
		else if (op < 0xb0)
			op_send(&p, &in);
		else if (op < 0xf8)
			op_round(&p, &in);
		else
			op_poke(&p, &in);
	}
	port_end(&p);
	return 0;
}
