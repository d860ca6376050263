/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a front-end shared and then took away (R24). The port goes down, says so in one line
 * and takes the next front-end; the canary notices nothing.
 */
#include "hostile.h"

#include "fe_log.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAME_LEN 1500
#define BURST     64
#define MIB       (1ull << 20)

/* Rings in one half of the memory, buffers in the other. */
#define BASE 0x40000000ull
#define SIZE (16 * MIB)

static const struct fe_region_config memory = {.gpa = BASE, .size = SIZE, .uva = 0x7f0000000000};

static struct fe_guest_config attacker(uint64_t format)
{
	struct fe_guest_config c = guest_usual();

	c.features |= format;
	c.regions = &memory;
	c.nregions = 1;
	c.rings_at = BASE;
	c.tables_at = BASE + 1 * MIB;
	c.rx_bufs_at = BASE + SIZE / 2;
	c.tx_bufs_at = BASE + SIZE / 2 + 4 * MIB;
	return c;
}

/* The guest gets memory of its own at the place; the back-end has `size` bytes left of the file. */
static void memory_cut(struct peer *p, off_t size)
{
	const struct fe_region *reg = &p->g->mem.regions[0];
	void *at = mmap(reg->host, reg->c.size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(at, reg->host);
	assert_int_equal(ftruncate(reg->fd, size), 0);
}

/* As many of `n` frames as there is room for. */
static void frames_put(struct peer *from, const uint8_t *to, unsigned n)
{
	static uint8_t buf[FRAME_LEN];
	const struct fe_frame f = {.data = buf, .len = sizeof(buf)};

	frame_make(buf, sizeof(buf), to, from->mac, 1);
	fe_guest_reap(from->g, 0);
	while (n-- && !fe_guest_put(from->g, 0, &f))
		;
	fe_guest_flush(from->g, 0);
}

/* Make the back-end touch what a has lost, until it has noticed. */
static void a_goes_down(struct rig *r, struct peer *a, struct peer *b)
{
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);

	while (rig_port_info(r, "a", "connected")) {
		assert_true(rw_now_ms() < until);
		frames_put(b, a->mac, BURST);
		fe_queue_kick(fe_guest_tx(a->g, 0));
		rig_nap();
	}
}

/* How many lines of the daemon's log have `text`. */
static unsigned log_count(struct rig *r, const char *text)
{
	FILE *f = fopen(rig_path(r, "log"), "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

/* What was under way when a went down. */
static void drain(struct peer *b)
{
	static uint8_t buf[FRAME_MAX];
	struct fe_received in;

	while (!fe_guest_recv(b->g, 0, buf, sizeof(buf), &in))
		;
}

/* Whether port.list says that a is down, for a reason that begins so. */
static bool down_because(struct rig *r, const char *why)
{
	json_t *ports = rig_call(r, "port.list", NULL);
	bool found = false;
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		const char *name = json_string_value(json_object_get(port, "name"));
		const char *down = json_string_value(json_object_get(port, "down"));

		found |= name && !strcmp(name, "a") && down && !strncmp(down, why, strlen(why));
	}
	json_decref(ports);
	return found;
}

static void next_front_end_works(struct rig *r, uint64_t format, struct peer *b)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a;

	c.features |= format;
	a = peer_up(r, "a", &c);
	peers_meet(r, a, b);
	assert_false(down_because(r, ""));
	duplex_check(r, a, b);
	peer_down(r, a);
}

/* What the back-end is about to read or write when the memory goes. */
enum busy { IDLE, READS, WRITES };

static void cut(struct rig *r, uint64_t format, off_t size)
{
	static const char line[] =
		"port a: guest memory vanished (the front-end truncated it?); the connection is "
		"closed";
	struct fe_guest_config c = attacker(format);
	struct peer *b = peer_up(r, "b", NULL);

	for (enum busy busy = IDLE; busy <= WRITES; busy++) {
		struct peer *a = peer_up(r, "a", &c);

		peers_meet(r, a, b);
		if (busy == READS)
			frames_put(a, b->mac, BURST);
		else if (busy == WRITES)
			frames_put(b, a->mac, BURST);
		memory_cut(a, size);
		a_goes_down(r, a, b);
		/* Later ones may be suppressed. */
		assert_true(log_count(r, line) > 0);
		assert_true(down_because(r, "guest memory vanished"));
		drain(b);
		next_front_end_works(r, format, b);
	}
}

static void r24_memory_truncated_to_nothing(struct rig *r, uint64_t format)
{
	cut(r, format, 0);
}

static void r24_memory_truncated_to_half(struct rig *r, uint64_t format)
{
	cut(r, format, SIZE / 2);
}

static void r24_dirty_log_truncated(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format);
	struct peer *a, *b = peer_up(r, "b", NULL);
	struct fe_log log;

	c.protocol_features |= FE_BIT(VU_PF_LOG_SHMFD);
	c.features |= FE_BIT(VU_F_LOG_ALL);
	a = peer_up(r, "a", &c);
	peers_meet(r, a, b);
	assert_int_equal(fe_log_init(&log, fe_log_size_for(&a->g->mem), 0), 0);
	assert_int_equal(fe_guest_log_start(a->g, &log, FE_LOG_QEMU), 0);
	assert_int_equal(ftruncate(log.fd, 0), 0);
	a_goes_down(r, a, b);
	assert_true(down_because(r, "the dirty log vanished"));
	drain(b);
	fe_guest_disconnect(a->g);
	fe_log_fini(&log);
	next_front_end_works(r, format, b);
}

/* Control reads the used index of a split ring, and writes the event suppression of both kinds. */
static void r24_memory_gone_before_a_ring_starts(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format);
	struct peer *a = peer_new(r, "a", &c), *b = peer_up(r, "b", NULL);

	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	memory_cut(a, 0);
	/* The back-end closes the connection in the middle of it. */
	if (!fe_guest_start_ring(a->g, 0))
		fe_guest_start_ring(a->g, 1);
	rig_wait(r, !rig_port_info(r, "a", "connected"));
	assert_true(down_because(r, "guest memory vanished"));
	next_front_end_works(r, format, b);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(r24_memory_truncated_to_nothing),
		ATTACK_BOTH(r24_memory_truncated_to_half),
		ATTACK_BOTH(r24_dirty_log_truncated),
		ATTACK_BOTH(r24_memory_gone_before_a_ring_starts),
	};

	return hostile_main("hostile_guard", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
