/* SPDX-License-Identifier: BSD-3-Clause */
#include "kill.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Frames of a flow that are told apart. */
#define SEEN_MAX (4u << 20)

static uint32_t seed = 1;
static char own[32]; /* the switch's state directory */
static char own_option[64];
static const char *more[] = {own_option, NULL, NULL};

int kill_start(struct rig *r, const char *ports)
{
	return kill_start_with(r, ports, NULL);
}

int kill_start_with(struct rig *r, const char *ports, const char *option)
{
	more[1] = option;
	strcpy(own, "/tmp/ringway-state.XXXXXX");
	if (!mkdtemp(own))
		return -1;
	snprintf(own_option, sizeof(own_option), "--state-dir=%s", own);
	return rig_start(r, ports, more);
}

const char *kill_path(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", own, name);
	return path;
}

struct fe_guest_config guest_unrecorded(void)
{
	struct fe_guest_config c = guest_usual();

	c.tx_size = 64;
	c.rx_size = RX_SIZE;
	return c;
}

struct fe_guest_config guest_recorded(void)
{
	struct fe_guest_config c = guest_unrecorded();

	c.protocol_features |= FE_BIT(VU_PF_INFLIGHT_SHMFD);
	return c;
}

uint32_t draw(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void directory_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

int kill_stop(void **state)
{
	int ret = rig_stop(state);

	directory_remove(own);
	return ret;
}

void switch_is_ended(struct rig *r, int sig, void (*meanwhile)(void))
{
	const struct rig old = *r;
	uint32_t i;

	assert_int_equal(kill(r->pid, sig), 0);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	fe_conn_close(&r->ctl);
	for (i = 0; i < r->npeers; i++)
		fe_guest_disconnect(r->peers[i]->g);
	directory_remove(old.dir);
	if (meanwhile)
		meanwhile();
	assert_int_equal(rig_start(r, old.ports, more), 0);
	memcpy(r->peers, old.peers, sizeof(r->peers));
	r->npeers = old.npeers;
}

static void switch_is_killed(struct rig *r)
{
	switch_is_ended(r, SIGKILL, NULL);
}

int ring_begin(struct fe_guest *g, uint32_t i)
{
	static const enum fe_step order[] = {
		FE_NUM, FE_BASE, FE_ADDR, FE_CALL, FE_ERR, FE_ENABLE, FE_KICK};
	size_t k;
	int err = 0;

	for (k = 0; !err && k < RW_ARRAY_SIZE(order); k++)
		err = fe_guest_ring_step(g, i, order[k]);
	return err;
}

void base_as_qemu(struct fe_queue *q, bool forgotten)
{
	if (q->ring.format == FE_SPLIT)
		q->base = q->ring.used->idx;
	else if (forgotten)
		q->base = 0;
}

void go_on(struct rig *r, struct peer *p)
{
	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
	assert_int_equal(fe_guest_share_memory(p->g), 0);
	if (fe_guest_has_protocol(p->g, VU_PF_INFLIGHT_SHMFD))
		assert_int_equal(fe_guest_set_inflight(p->g), 0);
}

/* Both guests go on; nobody sends before everybody can receive. */
static void both_go_on(struct rig *r, struct peer *a, struct peer *b)
{
	bool forgotten = draw(2);
	uint32_t i;

	go_on(r, a);
	go_on(r, b);
	for (i = 0; i < 2; i++) {
		base_as_qemu(&a->g->queues[i], forgotten);
		base_as_qemu(&b->g->queues[i], forgotten);
		assert_int_equal(ring_begin(a->g, i), 0);
		assert_int_equal(ring_begin(b->g, i), 0);
	}
}

/* One direction. */
struct flow {
	struct peer *from, *to;
	uint32_t sent;
	uint32_t distinct; /* frames that have arrived */
	uint32_t again;    /* ... once more */
	uint8_t *seen;     /* by number */
};

static void flow_send(struct flow *f, uint32_t n)
{
	uint8_t buf[LEN];
	const struct fe_frame frame = {.data = buf, .len = LEN};
	int err = 0;

	for (; n; n--) {
		frame_make(buf, LEN, f->to->mac, f->from->mac, f->sent);
		memcpy(buf + 14, &f->sent, 4);
		err = fe_guest_put(f->from->g, 0, &frame);
		if (err)
			break;
		f->sent++;
	}
	assert_true(!err || err == -EAGAIN);
	fe_guest_flush(f->from->g, 0);
}

/* Take all that has arrived: each is one that was sent, byte for byte. */
static void flow_receive(struct flow *f)
{
	static uint8_t got[FRAME_MAX], want[LEN];
	struct fe_received in;
	uint32_t n;
	int err;

	while (!(err = fe_guest_recv(f->to->g, 0, got, sizeof(got), &in)) || err == -ENODATA) {
		/* Of a batch that was under way: its frames come again. */
		if (err)
			continue;
		memcpy(&n, got + 14, 4);
		assert_true(n < f->sent);
		frame_make(want, LEN, f->to->mac, f->from->mac, n);
		memcpy(want + 14, &n, 4);
		assert_int_equal(in.len, LEN);
		assert_memory_equal(got, want, LEN);
		if (f->seen[n])
			f->again++;
		else
			f->distinct++;
		f->seen[n] = 1;
	}
	assert_int_equal(err, -EAGAIN); /* a buffer used twice would be -EPROTO */
}

static bool all_arrived(struct flow *f)
{
	flow_receive(f);
	return f->distinct == f->sent && fe_guest_reap(f->from->g, 0) >= 0 &&
		f->from->g->queues[1].ring.in_flight == 0;
}

/* As many frames as the ring has buffers arrive though nobody looks: none was lost. */
static void every_buffer_is_there(struct rig *r, struct flow *f)
{
	uint64_t before = rig_counter(r, f->to->port, "tx", "frames");
	uint64_t drops = rig_counter(r, f->to->port, "tx", "drops.no_buffer");
	uint32_t till = f->sent + RX_SIZE;

	while (f->sent < till) {
		flow_send(f, till - f->sent);
		rig_nap();
	}
	rig_wait(r, rig_counter(r, f->to->port, "tx", "frames") == before + RX_SIZE);
	assert_int_equal(rig_counter(r, f->to->port, "tx", "drops.no_buffer"), drops);
	rig_wait(r, all_arrived(f));
}

/* ---- how long guests wait ---- */

#define WAITS_MAX 1000

/* Milliseconds from the new switch's first answer to the first frame of a guest. */
static struct {
	double ms[WAITS_MAX];
	unsigned n;
} waits;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Wait for the first frame of those that are under way. */
static void first_frame(struct rig *r, struct flow *f, double since_ms)
{
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);
	uint32_t before = f->distinct + f->again;

	for (;;) {
		flow_receive(f);
		if (f->distinct + f->again != before)
			break;
		assert_true(rw_now_ms() < until);
	}
	if (waits.n < WAITS_MAX)
		waits.ms[waits.n++] = now_ms() - since_ms;
}

/* What a long run is for. All has arrived: no frame is lost. */
static void tell(const struct flow *ab, const struct flow *ba, uint32_t kills)
{
	unsigned n = waits.n;

	qsort(waits.ms, n, sizeof(waits.ms[0]), by_size);
	print_message("# %u kills, %s rings: %u frames, none lost, %u seen twice; first frame "
		      "after %.2f ms (p50), %.2f ms (p99), %.2f ms (most) of %u\n",
		kills, ab->to->g->queues[0].ring.format == FE_SPLIT ? "split" : "packed",
		ab->sent + ba->sent, ab->again + ba->again, waits.ms[n / 2],
		waits.ms[n - 1 - n / 100], waits.ms[n - 1], n);
}

void kill_and_go_on(struct rig *r, const struct fe_guest_config *config, uint64_t features,
	bool scatter, uint32_t times)
{
	struct fe_guest_config c = *config;
	struct flow ab = {0}, ba = {0};
	uint32_t kills, rounds, i;
	double started_ms;

	waits.n = 0;
	c.features |= features;
	c.scatter = scatter;
	ab.from = ba.to = peer_up(r, "a", &c);
	ab.to = ba.from = peer_up(r, "b", &c);
	ab.seen = calloc(1, SEEN_MAX);
	ba.seen = calloc(1, SEEN_MAX);
	assert_true(ab.seen && ba.seen);
	for (kills = 0; kills < times; kills++) {
		rounds = draw(times > 5 ? 20 : 200);
		for (i = 0; i < rounds; i++) {
			flow_send(&ab, draw(20));
			flow_send(&ba, draw(20));
			flow_receive(&ab);
			flow_receive(&ba);
			rig_nap();
		}
		/* Something is under way, and more comes when nobody is there. */
		flow_send(&ab, 16);
		flow_send(&ba, 16);
		switch_is_killed(r);
		started_ms = now_ms();
		flow_send(&ab, 16);
		both_go_on(r, ab.from, ab.to);
		/* Now and then the next kill comes before the first frame. */
		if (draw(8))
			first_frame(r, &ab, started_ms);
	}
	rig_wait(r, all_arrived(&ab));
	rig_wait(r, all_arrived(&ba));
	if (times > 10 && waits.n)
		tell(&ab, &ba, times);
	every_buffer_is_there(r, &ab);
	every_buffer_is_there(r, &ba);
	for (i = 0; i < 1000; i++) {
		flow_send(&ab, 8);
		rig_wait(r, all_arrived(&ab));
	}
	free(ab.seen);
	free(ba.seen);
	rig_clean((void **)&r);
}
