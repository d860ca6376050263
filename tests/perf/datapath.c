/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch's datapath in one process and one thread, for instructions.py to count what it costs:
 * the first of several guests sends bursts, sw_round forwards each in one call, and what arrives is
 * compared byte by byte. Only what round_counted does is counted; all that the guests do lies
 * outside. With an uplink each round moves a burst there and another one back.
 *
 * A second thread plays the front-ends while the rings start, and is gone before the first frame.
 * Guests poll, as DPDK's virtio drivers do: no kick and no interrupt is on the way of a frame.
 */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "captured.h"
#include "daemon.h"
#include "fe_guest.h"
#include "gso_packets.h"
#include "sw_count.h"
#include "sw_domain.h"
#include "uplink.h"
#include "vhost_port.h"

#define MAX_GUESTS 64
#define STATIONS   4    /* behind each guest, 8 frames of a burst for each */
#define MANY       1024 /* the same for RANDOM, a frame for each */
#define BURST      32
#define LEN_MIN    64
#define LEN_MAX    1518

/* Whole turns of a ring of 256, eight bursts each, and all stations of RANDOM. */
#define QUIET_ROUNDS   300
#define SOON_ROUNDS    16
#define WARM_BURSTS    32
#define COUNTED_BURSTS 64

#define CUT_MAX 65536 /* bytes of a large frame */

#define ETHERTYPE 0x88b5 /* local experimental */

#define FEATURES                                                       \
	(FE_BIT(VIRTIO_F_VERSION_1) | FE_BIT(VIRTIO_NET_F_MRG_RXBUF) | \
		FE_BIT(VU_F_PROTOCOL_FEATURES))
#define PACKED FE_BIT(VIRTIO_F_RING_PACKED)

/* Who hears the first guest. */
#define PATTERNS(X)                                                               \
	X(UNICAST, "unicast", 2) /* the second, on a few stations */              \
	X(RANDOM, "random", 2)   /* the second, each frame on another station */  \
	X(CROWD, "crowd", 64)    /* the second, and 62 others say nothing */      \
	X(POLICY, "policy", 2)   /* as UNICAST, and both ports have policies */   \
	X(FLOOD, "flood", 9)     /* eight others */                               \
	X(SIZES, "sizes", 2)     /* as UNICAST, and sizes are counted */          \
	X(VLANS, "vlans", 2)     /* VLANs are */                                  \
	X(TALKERS, "talkers", 2) /* who talks is */                               \
	X(LATENCY, "latency", 2) /* latency is */                                 \
	X(CSUM, "csum", 2)       /* as UNICAST, checksums are completed for it */ \
	X(CUT, "cut", 2)         /* the second, a burst is one large frame */     \
	X(CAPTURE, "capture", 2) /* as UNICAST, and the first is captured */      \
	X(BESIDE, "beside", 3)   /* as UNICAST, and a third one is captured */    \
	X(THIRD, "third", 3)     /* the same, but its capture has just ended */   \
	X(RECORD, "record", 2)   /* as UNICAST, and packed rings are recorded */  \
	X(NET_RING, "ring", 1)   /* hosts behind an uplink, which answer */       \
	X(NET_NULL, "null", 1)   /* an uplink that takes all and sends; all are zeros */

enum pattern {
#define X(id, name, guests) id,
	PATTERNS(X)
#undef X
		NUM_PATTERNS
};

static const struct {
	const char *name;
	unsigned guests;
} patterns[] = {
#define X(id, name, guests) {name, guests},
	PATTERNS(X)
#undef X
};

/* What is measured. */
struct row {
	bool packed;
	enum pattern pattern;
	uint32_t len; /* of a frame, without FCS */
};

struct rig {
	struct row row;
	struct rw_loop *loop;
	struct sw *sw;
	unsigned n; /* guests */
	struct vhost_port *ports[MAX_GUESTS];
	struct fe_guest *guests[MAX_GUESTS];
	bool started;              /* atomic: the rings of all guests run */
	struct captured *captured; /* NULL: nothing is */
	int records_fd;
	struct vhost_records *records; /* NULL: none */
	struct uplink up;
};

static bool has_uplink(const struct rig *r)
{
	return r->row.pattern == NET_RING || r->row.pattern == NET_NULL;
}

/* Whether what that guest sends is converted for the second one. */
static bool converts(const struct rig *r, unsigned from)
{
	return !from && (r->row.pattern == CSUM || r->row.pattern == CUT);
}

/* One round that counts: callgrind collects while it is in this function. */
void round_counted(struct sw *sw);

RW_NOINLINE void round_counted(struct sw *sw)
{
	sw_round(sw, 0);
	__asm__ volatile("" ::: "memory"); /* no tail call, or callgrind would not see the end */
}

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

/* Thread: front-ends. */
static void *guests_start(void *arg)
{
	struct rig *r = arg;

	for (unsigned i = 0; i < r->n; i++) {
		struct fe_guest *g = r->guests[i];

		must(fe_guest_start(g), "a guest does not start");
		fe_ring_want_interrupt(&fe_guest_rx(g, 0)->ring, false);
		fe_ring_want_interrupt(&fe_guest_tx(g, 0)->ring, false);
	}
	__atomic_store_n(&r->started, true, __ATOMIC_RELEASE);
	return NULL;
}

static void guest_attach(struct rig *r, unsigned i)
{
	struct fe_guest_config guest = {
		.features = FEATURES | (r->row.packed ? PACKED : 0),
		.tx_buf_size = r->row.pattern == CUT ? CUT_MAX : 0,
		.protocol_features = FE_BIT(VU_PF_REPLY_ACK),
	};
	char name[16];
	struct vhost_port_config port = {.sw = r->sw,
		.loop = r->loop,
		.name = name,
		.mode = VHOST_FD,
		.records = r->records};
	int fds[2];

	if (converts(r, i))
		guest.features |= FE_BIT(VIRTIO_NET_F_CSUM) | FE_BIT(VIRTIO_NET_F_HOST_TSO4);
	snprintf(name, sizeof(name), "p%u", i);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds))
		err(1, "socketpair");
	port.fd = fds[0];
	must(vhost_port_new(&port, &r->ports[i]), "vhost_port_new");
	must(fe_guest_new(&guest, &r->guests[i]), "fe_guest_new");
	fe_conn_init(&r->guests[i]->conn, fds[1]);
	r->guests[i]->conn.timeout_ms = 60000; /* callgrind is slow */
}

/* As with a state directory. */
static void records_begin(struct rig *r)
{
	bool kept;

	r->records_fd = memfd_create("rings", MFD_CLOEXEC);
	if (r->records_fd < 0)
		err(1, "memfd_create");
	must(vhost_records_new(r->records_fd, "boot", &kept, &r->records), "vhost_records_new");
}

static void records_end(struct rig *r)
{
	if (!r->records)
		return;
	vhost_records_free(r->records);
	close(r->records_fd);
}

static void rig_begin(struct rig *r)
{
	static const struct options opt = {.no_huge = true};
	const struct sw_worker_config worker = {0};
	const struct sw_config cfg = {.workers = &worker, .nworkers = 1, .fdb_entries = 4096};
	struct sw_worker_stats stats;
	pthread_t thread;
	bool huge;

	must(eal_begin(&opt, &huge), "EAL");
	r->loop = rw_loop_new();
	if (!r->loop)
		err(1, "rw_loop_new");
	must(sw_new(&cfg, &r->sw), "sw_new");
	/* First, so that a round takes what it has before more is sent to it. */
	if (has_uplink(r))
		uplink_begin(&r->up, r->sw, r->loop, r->row.pattern == NET_RING, r->row.len);
	if (r->row.pattern == RECORD)
		records_begin(r);
	for (unsigned i = 0; i < r->n; i++)
		guest_attach(r, i);
	must(-pthread_create(&thread, NULL, guests_start, r), "pthread_create");
	while (!__atomic_load_n(&r->started, __ATOMIC_ACQUIRE))
		must(rw_loop_once(r->loop, 10), "rw_loop_once");
	pthread_join(thread, NULL);
	/* Each ring's start was acknowledged, so the plan has them all. */
	sw_worker_read(r->sw, 0, &stats);
	if (stats.queues != r->n + has_uplink(r))
		errx(1, "%u of %u queues are polled", stats.queues, r->n + has_uplink(r));
}

static void rig_end(struct rig *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		vhost_port_free(r->ports[i]);
		fe_guest_free(r->guests[i]);
	}
	records_end(r);
	if (has_uplink(r))
		uplink_end(&r->up);
	sw_free(r->sw);
	rw_loop_free(r->loop);
	eal_end();
}

static void station_address(uint8_t mac[6], unsigned guest, unsigned station)
{
	memcpy(mac, (uint8_t[]){2, 0, 0, (uint8_t)guest, (uint8_t)(station >> 8), (uint8_t)station},
		6);
}

/* Frame `seq` of a guest: content that follows from its number. */
static void frame_make(
	uint8_t *buf, const struct row *row, unsigned from, unsigned to, uint32_t seq)
{
	bool random = row->pattern == RANDOM;

	/* net_null sends what its mbufs held before: what it was sent, or zeros. */
	if (row->pattern == NET_NULL) {
		memset(buf, 0, row->len);
		return;
	}
	if (row->pattern == FLOOD)
		memset(buf, 0xff, 6);
	else
		station_address(buf, to, random ? seq * 613 % MANY : seq / 8 % STATIONS);
	station_address(buf + 6, from, random ? seq % MANY : seq / 8 % STATIONS);
	buf[12] = ETHERTYPE >> 8;
	buf[13] = ETHERTYPE & 0xff;
	for (uint32_t i = 14; i < row->len; i++)
		buf[i] = (uint8_t)(seq * 31 + i * 7 + (i >> 8));
	/* IPv4 and UDP, whose addresses and ports are judged; a flow for each station. */
	if (row->pattern == POLICY)
		memcpy(buf + 12,
			(uint8_t[]){8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0,
				(uint8_t)from, 10, 0, 0, (uint8_t)to, 0x80,
				(uint8_t)(seq / 8 % STATIONS), 0x80, 1},
			26);
}

/*
 * What a tenant's port has: a VLAN, its addresses, and limits that are not reached. The limits are
 * beyond what callgrind lets pass, however fast the clock is for it.
 */
static void policy_set(struct rig *r, unsigned guest)
{
	char name[16];
	struct port *port;
	struct sw_policy policy = {
		.nmacs = STATIONS,
		.naddresses = 1,
		.addresses = {{.bytes = {10, 0, 0, (uint8_t)guest}, .len = 32}},
		.no_dhcp_server = true,
		.no_router = true,
		.storm = {{.per_s = 1000000, .frames = true}, {.per_s = 1000000, .frames = true},
			{.per_s = 1000000, .frames = true}},
		.rx = {.per_s = 12500000000},
		.tx = {.per_s = 12500000000},
	};

	for (unsigned i = 0; i < STATIONS; i++)
		station_address(policy.macs[i], guest, i);
	snprintf(name, sizeof(name), "p%u", guest);
	port = sw_port_by_name(r->sw, name);
	must(sw_domain_join(r->sw, port, 10, SW_FORM_UNTAGGED), "sw_domain_join");
	must(sw_policy_set(r->sw, port, &policy), "sw_policy_set");
	sw_commit(r->sw);
}

/* What is converted: TCP over IPv4, of which all is one burst, or a frame is. */
static struct gso_spec converted(const struct row *row, uint32_t seq)
{
	struct gso_spec s = {.id = (uint16_t)seq, .tcp_flags = 0x10};

	s.payload = (row->len - gso_place_of(&s).payload) * (row->pattern == CUT ? BURST : 1);
	return s;
}

/* Write it to `buf`. Returns its length. */
static uint32_t converted_make(uint8_t *buf, const struct gso_spec *s, unsigned to)
{
	uint32_t len = gso_build(s, buf);

	station_address(buf, to, 0);
	station_address(buf + 6, 0, 0);
	return len;
}

static void converted_send(struct rig *r, unsigned to, uint32_t seq)
{
	const bool cut = r->row.pattern == CUT;
	const struct virtio_net_hdr_mrg_rxbuf hdr = {
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = cut ? VIRTIO_NET_HDR_GSO_TCPV4 : 0,
			.gso_size = cut ? (uint16_t)(r->row.len - 54) : 0,
			.csum_start = 34,
			.csum_offset = 16}};
	static uint8_t buf[CUT_MAX];
	struct fe_frame frame = {.data = buf, .hdr = &hdr};

	must(fe_guest_reap(r->guests[0], 0), "fe_guest_reap");
	for (unsigned i = 0; i < (cut ? 1 : BURST); i++) {
		struct gso_spec s = converted(&r->row, seq + i);

		frame.len = converted_make(buf, &s, to);
		must(fe_guest_put(r->guests[0], 0, &frame), "fe_guest_put");
	}
	fe_guest_flush(r->guests[0], 0);
}

static void converted_expect(struct rig *r, unsigned to, uint32_t seq)
{
	const bool cut = r->row.pattern == CUT;
	static uint8_t want[CUT_MAX], got[LEN_MAX];
	struct fe_received in;
	uint32_t done = 0;

	for (unsigned i = 0; i < BURST; i++) {
		struct gso_spec s = converted(&r->row, cut ? seq : seq + i);
		const char *bad;

		must(fe_guest_recv(r->guests[to], 0, got, sizeof(got), &in),
			"a frame did not arrive");
		converted_make(want, &s, to);
		if (!cut)
			done = 0;
		bad = gso_check(&s, want, got, in.len, cut ? i : 0, &done, false);
		if (bad)
			errx(1, "guest %u, frame %u: not so: %s", to, seq + i, bad);
	}
}

static void burst_send(struct rig *r, unsigned from, unsigned to, uint32_t seq)
{
	struct fe_guest *g = r->guests[from];
	uint8_t buf[LEN_MAX];
	const struct fe_frame frame = {.data = buf, .len = r->row.len};

	if (converts(r, from)) {
		converted_send(r, to, seq);
		return;
	}
	must(fe_guest_reap(g, 0), "fe_guest_reap");
	for (unsigned i = 0; i < BURST; i++) {
		frame_make(buf, &r->row, from, to, seq + i);
		must(fe_guest_put(g, 0, &frame), "fe_guest_put");
	}
	fe_guest_flush(g, 0);
}

/* What guest `at` received is the burst that was sent to guest `to`, and nothing else. */
static void burst_expect(struct rig *r, unsigned from, unsigned to, unsigned at, uint32_t seq)
{
	uint8_t want[LEN_MAX], got[LEN_MAX];
	struct fe_received in;

	if (converts(r, from)) {
		converted_expect(r, at, seq);
		return;
	}
	for (unsigned i = 0; i < BURST; i++) {
		must(fe_guest_recv(r->guests[at], 0, got, sizeof(got), &in),
			"a frame did not arrive");
		frame_make(want, &r->row, from, to, seq + i);
		if (in.len != r->row.len || memcmp(got, want, r->row.len))
			errx(1, "guest %u, frame %u: not what was sent", at, seq + i);
	}
	if (fe_guest_recv(r->guests[at], 0, got, sizeof(got), &in) != -EAGAIN)
		errx(1, "guest %u: more than was sent to it", at);
}

static void round_warm(struct sw *sw)
{
	sw_round(sw, 0);
}

/* Hosts behind the uplink answer to the burst that was sent to them, or are the first to speak. */
static void hosts_answer(struct rig *r, uint32_t seq, bool first)
{
	uint8_t want[LEN_MAX], got[LEN_MAX];

	for (unsigned i = 0; i < BURST; i++) {
		int len = first ? (int)r->row.len : uplink_recv(&r->up, got, sizeof(got));

		frame_make(want, &r->row, 0, 1, seq + i);
		if (len != (int)r->row.len || (!first && memcmp(got, want, r->row.len)))
			errx(1, "uplink, frame %u: not what was sent", seq + i);
		frame_make(want, &r->row, 1, 0, seq + i);
		uplink_send(&r->up, want, r->row.len);
	}
}

/* One round moves one burst there, and the answers to the burst before. */
static void bursts_exchange(struct rig *r, uint32_t first, uint32_t n, void (*run)(struct sw *sw))
{
	for (uint32_t burst = first; burst < first + n; burst++) {
		burst_send(r, 0, 1, burst * BURST);
		run(r->sw);
		if (r->row.pattern == NET_NULL) {
			burst_expect(r, 1, 0, 0, 0);
			if (uplink_sent(&r->up) != (burst + 1) * BURST)
				errx(1, "net_null did not get all of burst %u", burst);
			continue;
		}
		hosts_answer(r, burst * BURST, false);
		if (burst)
			burst_expect(r, 1, 0, 0, (burst - 1) * BURST);
	}
}

/* What is counted, with an uplink. Its hosts speak first. */
static void measure_uplink(struct rig *r)
{
	if (r->row.pattern == NET_RING) {
		hosts_answer(r, 0, true);
		sw_round(r->sw, 0);
		burst_expect(r, 1, 0, 0, 0);
	}
	bursts_exchange(r, 0, WARM_BURSTS, round_warm);
	bursts_exchange(r, WARM_BURSTS, COUNTED_BURSTS, round_counted);
}

/* One round moves one burst. */
static void bursts_forward(struct rig *r, uint32_t first, uint32_t n, void (*run)(struct sw *sw))
{
	for (uint32_t burst = first; burst < first + n; burst++) {
		burst_send(r, 0, 1, burst * BURST);
		run(r->sw);
		for (unsigned to = 1; to < (r->row.pattern == FLOOD ? r->n : 2); to++)
			burst_expect(r, 0, to, to, burst * BURST);
		if (r->captured &&
			captured_read(r->captured) != (r->row.pattern == CAPTURE ? BURST : 0))
			errx(1, "burst %u: not what was to be captured", burst);
	}
}

/* The second guest speaks first: its stations are known from then on. */
static void stations_teach(struct rig *r)
{
	unsigned bursts = r->row.pattern == RANDOM ? MANY / BURST : 1;

	for (unsigned burst = 0; burst < bursts; burst++) {
		burst_send(r, 1, 0, burst * BURST);
		sw_round(r->sw, 0);
		/* The first is not known yet: all others get it, too. */
		for (unsigned at = 0; at < r->n; at++) {
			if (at != 1)
				burst_expect(r, 1, 0, at, burst * BURST);
		}
	}
}

/* One that said nothing for long is heard soon, however busy the worker is with others. */
static void silent_guest_speaks(struct rig *r)
{
	burst_send(r, r->n - 1, 0, 0);
	bursts_forward(r, WARM_BURSTS + COUNTED_BURSTS, SOON_ROUNDS, round_warm);
	burst_expect(r, r->n - 1, 0, 0, 0);
}

/* Count what the row counts on request; NULL: nothing. */
static struct sw_count *count_begin(struct rig *r)
{
	struct sw_count *count = NULL;

	if (r->row.pattern < SIZES || r->row.pattern > LATENCY)
		return NULL;
	must(sw_count_start(r->sw, (enum sw_count_kind)(r->row.pattern - SIZES), NULL, 0, &count),
		"sw_count_start");
	return count;
}

static void capture_stop(struct rig *r)
{
	if (r->captured)
		captured_end(r->captured);
	r->captured = NULL;
}

static void measure_guests(struct rig *r)
{
	struct sw_count *count = count_begin(r);

	for (unsigned i = 0; r->row.pattern == POLICY && i < r->n; i++)
		policy_set(r, i);
	stations_teach(r);
	/* Until the worker has seen who says nothing. */
	for (unsigned i = 0; i < QUIET_ROUNDS; i++)
		sw_round(r->sw, 0);
	if (r->row.pattern >= CAPTURE && r->row.pattern <= THIRD)
		r->captured = captured_begin(r->sw, r->row.pattern == CAPTURE ? "p0" : "p2");
	if (r->row.pattern == THIRD)
		capture_stop(r);
	bursts_forward(r, 0, WARM_BURSTS, round_warm);
	bursts_forward(r, WARM_BURSTS, COUNTED_BURSTS, round_counted);
	capture_stop(r);
	if (r->row.pattern == CROWD)
		silent_guest_speaks(r);
	sw_count_stop(count);
}

static bool row_parse(int argc, char **argv, struct row *row)
{
	if (argc != 4)
		return false;
	row->packed = !strcmp(argv[1], "packed");
	row->len = (uint32_t)strtoul(argv[2], NULL, 10);
	while (row->pattern < NUM_PATTERNS && strcmp(argv[3], patterns[row->pattern].name))
		row->pattern++;
	return (row->packed || !strcmp(argv[1], "split")) && row->len >= LEN_MIN &&
		row->len <= LEN_MAX && row->pattern < NUM_PATTERNS;
}

int main(int argc, char **argv)
{
	static struct rig r;

	if (argc == 2 && !strcmp(argv[1], "--build")) {
		puts(PERF_BUILD);
		return 0;
	}
	if (!row_parse(argc, argv, &r.row))
		errx(2,
			"usage: datapath split|packed LENGTH "
			"unicast|random|crowd|policy|flood|sizes|vlans|talkers|latency|csum|"
			"cut|capture|beside|third|ring|null, or "
			"--build");
	r.n = patterns[r.row.pattern].guests;
	rig_begin(&r);
	if (has_uplink(&r))
		measure_uplink(&r);
	else
		measure_guests(&r);
	printf("frames %d\n", COUNTED_BURSTS * BURST);
	rig_end(&r);
	return 0;
}
