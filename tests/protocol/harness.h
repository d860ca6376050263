/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A running ringwayd and the guests that a protocol test attaches to it.
 *
 * Each test program starts one daemon (rig_start in its group setup) with server ports of
 * one-letter names and ends it in the group teardown, where it must exit cleanly and leave no file
 * and no sanitizer report behind. Guests belong to the rig and are disconnected after each test, so
 * every test finds an empty switch. Counters live on: tests look at differences.
 *
 * Helpers fail the running test by themselves; none relies on timing, all wait with a limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control.h"
#include "fe_guest.h"

/* Ethertype "local experimental", and the longest frame there is: tagged IP of 65535 bytes. */
#define ETHERTYPE 0x88b5
#define FRAME_MAX (65535 + 18)

#define RIG_MAX_PEERS 256
#define PEER_PORT_MAX 7 /* bytes of a port's name */

/* What most guests negotiate; tests add and remove bits. */
#define FEATURES_BASE                                                  \
	(FE_BIT(VIRTIO_F_VERSION_1) | FE_BIT(VU_F_PROTOCOL_FEATURES) | \
		FE_BIT(VIRTIO_RING_F_INDIRECT_DESC) | FE_BIT(VIRTIO_RING_F_EVENT_IDX))
#define FEATURES_OFFLOAD                                                          \
	(FE_BIT(VIRTIO_NET_F_CSUM) | FE_BIT(VIRTIO_NET_F_GUEST_CSUM) |            \
		FE_BIT(VIRTIO_NET_F_HOST_TSO4) | FE_BIT(VIRTIO_NET_F_HOST_TSO6) | \
		FE_BIT(VIRTIO_NET_F_GUEST_TSO4) | FE_BIT(VIRTIO_NET_F_GUEST_TSO6))
#define FEATURES_USUAL (FEATURES_BASE | FEATURES_OFFLOAD | FE_BIT(VIRTIO_NET_F_MRG_RXBUF))
#define PACKED         FE_BIT(VIRTIO_F_RING_PACKED)
#define PROTOCOL_USUAL                                                        \
	(FE_BIT(VU_PF_MQ) | FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_NET_MTU) | \
		FE_BIT(VU_PF_RESET_DEVICE) | FE_BIT(VU_PF_STATUS))

/* A guest on a port, with an address of its own. */
struct peer {
	struct fe_guest *g;
	char port[PEER_PORT_MAX + 1];
	uint8_t mac[6];
};

struct rig {
	char dir[32];
	pid_t pid;
	int slow; /* factor for waits: under a sanitizer or emulator all takes longer */
	struct fe_conn ctl;
	const char *ports; /* letters of the server ports */
	bool huge;         /* the daemon uses huge pages, if there are any */
	struct peer *peers[RIG_MAX_PEERS];
	uint32_t npeers;
	uint64_t repeated[256]; /* by a port's letter: what rig_interrupted has put up with */
};

/*
 * Start the daemon named by $RINGWAYD with a server port for each letter of `ports` and up to 280
 * more arguments, in which "%s" stands for the rig's directory; NULL ends them. 0 for cmocka.
 */
int rig_start(struct rig *r, const char *ports, const char *const *more);
/* The same with huge pages, if there are any. */
int rig_start_huge(struct rig *r, const char *ports, const char *const *more);

/* Group teardown: SIGTERM, and all that must then be true. `*state` is the rig. */
int rig_stop(void **state);

/* After each test: free its guests, and wait until the switch noticed. `*state` is the rig. */
int rig_clean(void **state);

#define rig_test(f) cmocka_unit_test_teardown(f, rig_clean)

/* Path of a file in the rig's directory; a static buffer. */
const char *rig_path(const struct rig *r, const char *name);

/* Whether the daemon wrote what a sanitizer or an assertion would. */
bool rig_is_alarming(const struct rig *r);

/* Whether the run may take as long as it takes (./scripts/test --long). */
bool rig_is_long(void);

/* Milliseconds to wait at most for what should happen at once. */
int rig_patience(const struct rig *r);
/*
 * Take what was signalled on `q`. Where the kernel has no AIO, as under an emulator, a thread of
 * the port signals after the worker's turn: it gets some time.
 */
void rig_drain_interrupts(struct rig *r, struct fe_queue *q);

/* Poll until an expression is true; fails the test after the rig's patience. */
#define rig_wait(r, expr)                                                  \
	do {                                                               \
		uint64_t until_ = rw_now_ms() + (uint64_t)rig_patience(r); \
		while (!(expr)) {                                          \
			if (rw_now_ms() > until_)                          \
				fail_msg("not true in time: %s", #expr);   \
			rig_nap();                                         \
		}                                                          \
	} while (0)

/* In a child that becomes a daemon: run where this process might before it kept to one CPU. */
void rig_unpin(void);

/* Let others run for a moment. */
void rig_nap(void);

/* Call a method of the control socket: a new reference. */
json_t *rig_call(struct rig *r, const char *method, json_t *params);

/* A counter of a port: "frames", ..., or "drops.NAME". Direction "rx" or "tx". */
uint64_t rig_counter(struct rig *r, const char *port, const char *direction, const char *name);

/*
 * That a port interrupted its guest `want` times where a test counted `got`. A signal that took the
 * worker long is repeated by the port's helper (rw_helper.h): there may be more by as many as that
 * has signalled and no call before this one has put up with.
 */
void rig_interrupted(struct rig *r, const char *port, uint64_t got, uint64_t want);

/* Wait until the port's helper has let go of all, and signals no descriptor that it had before. */
void rig_helper_rests(struct rig *r, const char *port);

/* An integer or boolean of a port's row in port.list. */
uint64_t rig_port_info(struct rig *r, const char *port, const char *key);

/* port.set: `pairs` is a JSON object, {"vlan": "10"}. */
void rig_port_set(struct rig *r, const char *port, const char *pairs);

/* port.set KEY=on, for all server ports: their next front-ends are offered it. */
void rig_allow(struct rig *r, const char *key);

/* The ordinary guest: what FEATURES_USUAL and PROTOCOL_USUAL say. */
struct fe_guest_config guest_usual(void);

/* A guest for `port`, not connected; `config` NULL: the ordinary one. The rig owns it. */
struct peer *peer_new(struct rig *r, const char *port, const struct fe_guest_config *config);

/* Connect, again while the port still has the front-end of before. */
void peer_connect(struct rig *r, struct peer *p);

/* Wait until the back-end has dealt with all that was sent. */
void peer_sync(struct peer *p);

/* Connect and start. */
void peer_start(struct rig *r, struct peer *p);

/* peer_new and peer_start. */
struct peer *peer_up(struct rig *r, const char *port, const struct fe_guest_config *config);

/* Disconnect and wait until the switch noticed. */
void peer_down(struct rig *r, struct peer *p);

/* A frame of `len` >= 14 bytes whose content follows from its addresses and `seed`. */
void frame_make(void *buf, uint32_t len, const uint8_t *dst, const uint8_t *src, uint32_t seed);

extern const uint8_t mac_broadcast[6];

/* Answer what the back-end asks any guest over its channel. */
void peers_service(struct rig *r);

/* Send on a pair, waiting for room. */
void peer_send(struct rig *r, struct peer *p, uint16_t pair, const struct fe_frame *frame);

/* Make and send a plain frame from pair 0. */
void peer_send_to(struct rig *r, struct peer *p, const uint8_t *dst, uint32_t len, uint32_t seed);

/* Wait for a frame on a pair. `buf` has room for FRAME_MAX. */
void peer_recv(struct rig *r, struct peer *p, uint16_t pair, void *buf, struct fe_received *out);

/* The next frame to `dst` on pair 0 is that of frame_make, bytes and length. */
void peer_expect(struct rig *r, struct peer *p, const uint8_t *dst, const uint8_t *src,
	uint32_t len, uint32_t seed);

/* What a stream of frames looks like. */
struct stream {
	uint32_t n;      /* frames */
	uint32_t len;    /* bytes of each */
	uint32_t window; /* sent before the first of them is awaited; 0: 16 */
	struct fe_cut cut;
	const struct virtio_net_hdr_mrg_rxbuf *hdr; /* NULL: no offloads */
	uint32_t seed;                              /* of the first */
};

/* Send a stream from one guest to the other; each frame arrives, in order and unchanged. */
void stream_check(struct rig *r, struct peer *from, struct peer *to, const struct stream *s);

/* Ten frames of 100 bytes each way. */
void duplex_check(struct rig *r, struct peer *a, struct peer *b);

/* Make both known to the switch, so that unicast between them reaches nobody else. */
void peers_meet(struct rig *r, struct peer *a, struct peer *b);

/* The same; and what was flooded meanwhile has come to `c`, too, and is gone. */
void peers_meet_beside(struct rig *r, struct peer *a, struct peer *b, struct peer *c);
