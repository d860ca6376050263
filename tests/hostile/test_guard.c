/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a front-end shared and then took away (R24). The port goes down, says so in one line
 * and takes the next front-end; the canary notices nothing.
 */
#include "hostile.h"

#include "fe_log.h"
#include "postcopy.h"
#include "say.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

/* The guest gets memory of its own in the place of a region. */
static void region_leave(const struct fe_region *reg)
{
	void *at = mmap(reg->host, reg->c.size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(at, reg->host);
}

/* And the back-end has `size` bytes left of the file. */
static void memory_cut(struct peer *p, off_t size)
{
	const struct fe_region *reg = &p->g->mem.regions[0];

	region_leave(reg);
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

	while (rig_port_info(r, a->port, "connected")) {
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

/*
 * What was under way when a went down: all that b sent has gone, so that it does not fill the rings
 * of the next front-end, and all that it received is taken.
 */
static void drain(struct rig *r, struct peer *b)
{
	static uint8_t buf[FRAME_MAX];
	const struct fe_pool *sent = &fe_guest_tx(b->g, 0)->bufs;
	struct fe_received in;

	rig_wait(r, fe_guest_reap(b->g, 0) >= 0 && sent->nfree == sent->n);
	while (!fe_guest_recv(b->g, 0, buf, sizeof(buf), &in))
		;
}

/* Whether port.list says that a port is down, for a reason that begins so. */
static bool is_down(struct rig *r, const char *wanted, const char *why)
{
	json_t *ports = rig_call(r, "port.list", NULL);
	bool found = false;
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		const char *name = json_string_value(json_object_get(port, "name"));
		const char *down = json_string_value(json_object_get(port, "down"));

		found |= name && !strcmp(name, wanted) && down && !strncmp(down, why, strlen(why));
	}
	json_decref(ports);
	return found;
}

static bool down_because(struct rig *r, const char *why)
{
	return is_down(r, "a", why);
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

static void cut_with(struct rig *r, const struct fe_guest_config *c, struct peer *b, off_t size)
{
	static const char line[] =
		"port a: guest memory vanished (the front-end truncated it?); the connection is "
		"closed";

	for (enum busy busy = IDLE; busy <= WRITES; busy++) {
		struct peer *a = peer_up(r, "a", c);

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
		drain(r, b);
		next_front_end_works(r, c->features & PACKED, b);
	}
}

static void cut(struct rig *r, uint64_t format, off_t size)
{
	struct fe_guest_config c = attacker(format);

	cut_with(r, &c, peer_up(r, "b", NULL), size);
}

static void r24_memory_truncated_to_nothing(struct rig *r, uint64_t format)
{
	cut(r, format, 0);
}

static void r24_memory_truncated_to_half(struct rig *r, uint64_t format)
{
	cut(r, format, SIZE / 2);
}

/* Whether `n` huge pages of 2 MiB are free; says so if not. */
static bool huge_pages_are_free(unsigned n)
{
	void *p = mmap(NULL, n * 2 * MIB, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED) {
		print_message("# no %u huge pages of 2 MiB here\n", n);
		return false;
	}
	munmap(p, n * 2 * MIB);
	return true;
}

static void r24_huge_pages_truncated(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format);
	struct peer *b;

	if (!huge_pages_are_free(SIZE / (2 * MIB)))
		return;
	c.hugetlb = true;
	b = peer_up(r, "b", NULL);
	cut_with(r, &c, b, 0);
	cut_with(r, &c, b, SIZE / 2);
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
	drain(r, b);
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

/*
 * A record cannot vanish: the file that the back-end made has a seal against it, and one of the
 * front-end's own gets one, or is refused.
 */
static void r24_inflight_buffer_cannot_be_truncated(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format);
	struct peer *a, *b = peer_up(r, "b", NULL);
	struct fe_inflight *record;
	int back = 0;
	int fds[] = {memfd_create("free", MFD_CLOEXEC),
		memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING)};

	c.protocol_features |= FE_BIT(VU_PF_INFLIGHT_SHMFD);
	c.tx_size = c.rx_size = 256;
	a = peer_new(r, "a", &c);
	record = &a->g->inflight;
	negotiated_anew(r, a);
	assert_int_equal(fe_guest_get_inflight(a->g), 0);
	assert_int_equal(ftruncate(record->fd, 0), -1);
	for (size_t i = 0; i < RW_ARRAY_SIZE(fds); i++)
		assert_int_equal(ftruncate(fds[i], (off_t)record->desc.mmap_size), 0);
	refused(r, a, VU_SET_INFLIGHT_FD, &record->desc, sizeof(record->desc), fds[0]);
	assert_int_equal(dup2(fds[1], record->fd), record->fd);
	assert_int_equal(fe_guest_set_inflight(a->g), 0);
	run_rings(a);
	peers_meet(r, a, b);
	frames_put(a, b->mac, BURST);
	for (size_t i = 0; i < RW_ARRAY_SIZE(fds); i++) {
		assert_int_equal(ftruncate(fds[i], 0), i ? -1 : 0);
		close(fds[i]);
	}
	rig_wait(r, (back += fe_guest_reap(a->g, 0)) >= BURST);
	drain(r, b);
	duplex_check(r, a, b);
	assert_false(down_because(r, ""));
}

/* ---- while something else happens ---- */

/* Port a's front-ends may migrate so; false, after saying why: nobody can here. */
static bool postcopy_begins(struct rig *r)
{
	if (!userfaultfd_is_there()) {
		print_message("# no userfaultfd here\n");
		return false;
	}
	port_set(r, "a", "postcopy", "on");
	return true;
}

/*
 * a migrates to the switch, so a thread of the port touches its memory; d does not, so a worker
 * touches that. Both vanish at once.
 */
static void r24_memory_truncated_in_a_postcopy(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format), moving = attacker(format);
	struct peer *a, *d, *b;

	if (!postcopy_begins(r))
		return;
	moving.protocol_features |= FE_BIT(VU_PF_PAGEFAULT);
	b = peer_up(r, "b", NULL);
	a = peer_up(r, "a", &moving);
	d = peer_up(r, "d", &c);
	peers_meet(r, a, b);
	peers_meet(r, d, b);
	moved_away(r, a);
	moved_here(r, a);
	/* Nobody would supply a page that the thread waits for. */
	assert_int_equal(fe_postcopy_fill(a->g->postcopy), 0);
	duplex_check(r, a, b);
	frames_put(b, a->mac, BURST);
	frames_put(b, d->mac, BURST);
	memory_cut(a, 0);
	memory_cut(d, 0);
	a_goes_down(r, a, b);
	a_goes_down(r, d, b);
	assert_true(is_down(r, "a", "guest memory vanished"));
	assert_true(is_down(r, "d", "guest memory vanished"));
	drain(r, b);
	next_front_end_works(r, format, b);
	port_set(r, "a", "postcopy", "off");
}

/* The port's thread waits for a page of the memory that vanishes; then the front-end leaves. */
static void r24_memory_truncated_under_a_late_page(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format);
	struct peer *a, *b;

	if (!postcopy_begins(r))
		return;
	c.protocol_features |= FE_BIT(VU_PF_PAGEFAULT);
	b = peer_up(r, "b", NULL);
	a = peer_up(r, "a", &c);
	peers_meet(r, a, b);
	moved_away(r, a);
	for (uint64_t page = 0; page < 8; page++)
		assert_int_equal(
			fe_postcopy_hold(a->g->postcopy, c.rx_bufs_at + page * FE_PAGE), 0);
	moved_here(r, a);
	frames_put(b, a->mac, BURST);
	rig_wait(r, fe_postcopy_stats(a->g->postcopy).backend_held > 0);
	memory_cut(a, 0);
	fe_guest_disconnect(a->g);
	rig_wait(r, !rig_port_info(r, "a", "connected"));
	drain(r, b);
	next_front_end_works(r, format, b);
	port_set(r, "a", "postcopy", "off");
}

/* Rings and tables in one region, buffers in the next. */
static const struct fe_region_config two_regions[] = {
	{.gpa = BASE, .size = 2 * MIB, .uva = 0x7f0000000000},
	{.gpa = BASE + 2 * MIB, .size = 4 * MIB, .uva = 0x7f1000000000},
};

static struct fe_guest_config guest_of_two_regions(uint64_t format)
{
	struct fe_guest_config c = attacker(format);

	c.regions = two_regions;
	c.nregions = RW_ARRAY_SIZE(two_regions);
	c.rx_bufs_at = two_regions[1].gpa;
	c.tx_bufs_at = two_regions[1].gpa + 2 * MIB;
	return c;
}

struct truncation {
	pthread_barrier_t barrier;
	int fd;
	unsigned delay; /* calls of sched_yield */
};

static void *truncate_soon(void *arg)
{
	struct truncation *t = arg;
	int ret;

	pthread_barrier_wait(&t->barrier);
	for (unsigned i = 0; i < t->delay; i++)
		sched_yield();
	ret = ftruncate(t->fd, 0);
	return ret ? arg : NULL;
}

/* A message that changes the memory table; what becomes of it depends on who is first. */
typedef int change_fn(struct peer *a);

static int buffers_removed(struct peer *a)
{
	const struct vu_mem_region wire = fe_mem_wire(&a->g->mem, 1);

	return fe_conn_rem_mem(&a->g->conn, &wire, -1);
}

static int table_set(struct peer *a)
{
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS];

	fe_mem_table(&a->g->mem, &table, fds);
	table.regions[1].mmap_offset = FE_PAGE;
	table.regions[1].size -= FE_PAGE;
	return fe_conn_set_mem(&a->g->conn, &table, fds);
}

/* One truncation beside one message, under traffic both ways. */
static void change_races(
	struct rig *r, struct peer *a, struct peer *b, change_fn *change, unsigned delay)
{
	struct truncation t = {.fd = a->g->mem.regions[1].fd, .delay = delay};
	pthread_t thread;
	void *failed;
	int ret;

	pthread_barrier_init(&t.barrier, NULL, 2);
	region_leave(&a->g->mem.regions[1]);
	assert_int_equal(pthread_create(&thread, NULL, truncate_soon, &t), 0);
	frames_put(a, b->mac, BURST);
	frames_put(b, a->mac, BURST);
	pthread_barrier_wait(&t.barrier);
	ret = change(a);
	pthread_join(thread, &failed);
	pthread_barrier_destroy(&t.barrier);
	assert_null(failed);
	if (ret && ret != -EREMOTEIO && ret != -ECONNRESET && ret != -EPIPE)
		fail_msg("the back-end answers %d", ret);
	frames_put(b, a->mac, BURST);
	peer_down(r, a);
	drain(r, b);
}

static void race(struct rig *r, uint64_t format, bool slots, change_fn *change)
{
	const unsigned rounds = rig_is_long() ? 200 : 10;
	struct fe_guest_config c = guest_of_two_regions(format);
	struct peer *b = peer_up(r, "b", NULL);

	if (slots)
		c.protocol_features |= FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
	for (unsigned round = 0; round < rounds; round++) {
		struct peer *a = peer_up(r, "a", &c);

		peers_meet(r, a, b);
		change_races(r, a, b, change, round % 10 * 3);
	}
	next_front_end_works(r, format, b);
}

static void r24_memory_truncated_while_its_region_goes(struct rig *r, uint64_t format)
{
	race(r, format, true, buffers_removed);
}

static void r24_memory_truncated_while_the_table_changes(struct rig *r, uint64_t format)
{
	race(r, format, false, table_set);
}

/* ---- the handler ---- */

/* Whether the daemon has a handler for a signal. */
static bool daemon_catches(const struct rig *r, int sig)
{
	char path[64], line[128];
	uint64_t caught = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "SigCgt:", 7))
			caught = strtoull(line + 7, NULL, 16);
	}
	fclose(f);
	return caught >> (sig - 1) & 1;
}

/* Ports that come and go, with and without memory that vanishes, take no handler with them. */
static void r24_the_handler_outlives_ports(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = attacker(format);
	struct peer *b = peer_up(r, "b", NULL);
	char path[128];

	snprintf(path, sizeof(path), "%s", rig_path(r, "v.sock"));
	for (unsigned round = 0; round < 3; round++) {
		struct peer *v;

		json_decref(rig_call(
			r, "port.add", json_pack("{s:s, s:s}", "name", "v", "socket", path)));
		v = peer_up(r, "v", &c);
		peers_meet(r, v, b);
		memory_cut(v, 0);
		if (round)
			a_goes_down(r, v, b);
		json_decref(rig_call(r, "port.del", json_pack("{s:s}", "name", "v")));
		fe_guest_disconnect(v->g);
		assert_true(daemon_catches(r, SIGBUS));
		drain(r, b);
	}
	cut_with(r, &c, b, 0);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(r24_memory_truncated_to_nothing),
		ATTACK_BOTH(r24_memory_truncated_to_half),
		ATTACK_BOTH(r24_dirty_log_truncated),
		ATTACK_BOTH(r24_memory_gone_before_a_ring_starts),
		ATTACK_BOTH(r24_huge_pages_truncated),
		ATTACK_BOTH(r24_inflight_buffer_cannot_be_truncated),
		ATTACK_BOTH(r24_memory_truncated_in_a_postcopy),
		ATTACK_BOTH(r24_memory_truncated_under_a_late_page),
		ATTACK_BOTH(r24_memory_truncated_while_its_region_goes),
		ATTACK_BOTH(r24_memory_truncated_while_the_table_changes),
		ATTACK_BOTH(r24_the_handler_outlives_ports),
	};

	return hostile_main("hostile_guard", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
