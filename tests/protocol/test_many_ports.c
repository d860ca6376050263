/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As many ports as the command line takes, each with a guest, and what that costs in memory: all
 * that is resident in ringwayd, program and libraries included, but for the memory of guests.
 */
#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define NPORTS     256
#define RX_SIZE    16
#define FDS_WANTED (NPORTS * 12 + 100)

static struct rig rig;
static char args[NPORTS][40];

static const char *port_name(unsigned i)
{
	static char name[8];

	snprintf(name, sizeof(name), "p%u", i);
	return name;
}

static int start(void **state)
{
	const char *list[NPORTS + 1] = {NULL};
	struct rlimit lim;

	/*
	 * Our guests have descriptors, too. What is inherited as soft limit the daemon has to
	 * raise.
	 */
	if (getrlimit(RLIMIT_NOFILE, &lim))
		return -1;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_max < FDS_WANTED) {
		print_error("the limit of open files is below %d\n", FDS_WANTED);
		return -1;
	}
	for (unsigned i = 0; i < NPORTS; i++) {
		snprintf(args[i], sizeof(args[i]), "--socket-path=%%s/%s.sock", port_name(i));
		list[i] = args[i];
	}
	*state = &rig;
	if (rig_start(&rig, "", list))
		return -1;
	/* Two workers share CPUs with us, and each of the many ports that end waits for both. */
	if (rig.slow > 1)
		rig.slow *= 6;
	return 0;
}

/* Bytes resident in the daemon, guests' memory left out; 0: a sanitizer makes them meaningless. */
static uint64_t resident(const struct rig *r)
{
	char path[40], line[512];
	uint64_t sum = 0, kib;
	bool ours = true;
	FILE *f;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 0;
#endif
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		/* A mapping begins with its range; the guest names its memory so. */
		if (strchr("0123456789abcdef", line[0]))
			ours = !strstr(line, "/memfd:guest ");
		else if (ours && sscanf(line, "Rss: %" SCNu64, &kib) == 1)
			sum += kib << 10;
	}
	fclose(f);
	return sum;
}

static void fits(const struct rig *r, uint64_t limit_mib)
{
	uint64_t bytes = resident(r);

	print_message(
		"# resident: %.1f MiB of %u\n", (double)bytes / (1 << 20), (unsigned)limit_mib);
	assert_true(bytes <= limit_mib << 20);
}

static struct fe_guest_config guest_small(void)
{
	struct fe_guest_config c = guest_usual();

	c.rx_size = RX_SIZE;
	c.tx_size = RX_SIZE;
	c.rx_buf_size = 256;
	c.tx_buf_size = 256;
	return c;
}

static struct peer *guest(unsigned i)
{
	return rig.peers[i % NPORTS];
}

static void send_to(struct peer *from, const uint8_t *dst, uint32_t seed)
{
	uint8_t buf[60];
	const struct fe_frame frame = {.data = buf, .len = sizeof(buf)};
	int err;

	frame_make(buf, sizeof(buf), dst, from->mac, seed);
	rig_wait(&rig, (err = fe_guest_send(from->g, 0, &frame)) != -EAGAIN);
	assert_int_equal(err, 0);
}

/* The next frame that the guest receives is this one. */
static void expect(struct peer *p, const uint8_t *dst, const uint8_t *src, uint32_t seed)
{
	uint8_t got[256], want[60];
	struct fe_received in;
	int err;

	rig_wait(&rig, (err = fe_guest_recv(p->g, 0, got, sizeof(got), &in)) != -EAGAIN);
	assert_int_equal(err, 0);
	frame_make(want, sizeof(want), dst, src, seed);
	if (in.len != sizeof(want) || memcmp(got, want, sizeof(want)))
		fail_msg("port %s: not the frame that was sent to it", p->port);
}

/* Whether guest `i` is there, when every `step`th is not (0: all are). */
static bool is_up(unsigned i, unsigned step)
{
	return !step || i % NPORTS % step;
}

/* Receive the broadcasts of guests [first, first + n), in any order, but for its own; each once. */
static void expect_broadcasts(unsigned i, unsigned first, unsigned n, unsigned step)
{
	uint8_t got[256], want[60];
	struct fe_received in;
	unsigned due = 0;
	int err;

	for (unsigned k = 0; k < n; k++) {
		if (first + k != i && is_up(first + k, step))
			due |= 1u << k;
	}
	while (due) {
		unsigned k = 0;

		rig_wait(&rig,
			(err = fe_guest_recv(guest(i)->g, 0, got, sizeof(got), &in)) != -EAGAIN);
		assert_int_equal(err, 0);
		while (k < n && memcmp(got + 6, guest(first + k)->mac, 6))
			k++;
		if (k == n || !(due & 1u << k))
			fail_msg("port %s: a frame that nobody sent now", guest(i)->port);
		due &= ~(1u << k);
		frame_make(want, sizeof(want), mac_broadcast, guest(first + k)->mac, first + k);
		assert_int_equal(in.len, sizeof(want));
		assert_memory_equal(got, want, sizeof(want));
	}
}

/* What each guest in turn broadcasts reaches every other one, once. */
static void flood_check(unsigned step)
{
	const unsigned batch = RX_SIZE / 2;

	for (unsigned first = 0; first < NPORTS; first += batch) {
		for (unsigned i = first; i < first + batch; i++) {
			if (is_up(i, step))
				send_to(guest(i), mac_broadcast, i);
		}
		for (unsigned i = 0; i < NPORTS; i++) {
			if (is_up(i, step))
				expect_broadcasts(i, first, batch, step);
		}
	}
}

/*
 * Broadcast until `n` hosts are known: a host that met another worker at the table was not learned.
 */
static void meet(unsigned step, unsigned n)
{
	json_int_t known = 0;

	for (int i = 0; i < 20 && known < n; i++) {
		json_t *page;

		flood_check(step);
		page = rig_call(&rig, "fdb.list", json_pack("{s:i}", "limit", 1));
		known = json_integer_value(json_object_get(page, "entries_total"));
		json_decref(page);
	}
	assert_int_equal(known, n);
}

/* Each guest sends to the one `distance` further; nobody else receives anything. */
static void unicast_check(unsigned distance, unsigned step)
{
	for (unsigned i = 0; i < NPORTS; i++) {
		if (is_up(i, step) && is_up(i + distance, step))
			send_to(guest(i), guest(i + distance)->mac, distance + i);
	}
	for (unsigned i = 0; i < NPORTS; i++) {
		if (is_up(i, step) && is_up(i + distance, step))
			expect(guest(i + distance), guest(i + distance)->mac, guest(i)->mac,
				distance + i);
	}
}

static void nothing_is_left(unsigned step)
{
	struct fe_received in;
	uint8_t buf[256];

	for (unsigned i = 0; i < NPORTS; i++) {
		if (is_up(i, step))
			assert_int_equal(
				fe_guest_recv(guest(i)->g, 0, buf, sizeof(buf), &in), -EAGAIN);
	}
}

static unsigned links(void)
{
	json_t *ports = rig_call(&rig, "port.list", NULL), *port;
	unsigned n = 0;
	size_t i;

	json_array_foreach(ports, i, port) n += json_is_true(json_object_get(port, "link"));
	json_decref(ports);
	return n;
}

static void two_ports_are_small(void **state)
{
	struct rig small;
	void *at = &small;
	struct peer *a, *b;

	(void)state;
	assert_int_equal(rig_start(&small, "ab", NULL), 0);
	a = peer_up(&small, "a", NULL);
	b = peer_up(&small, "b", NULL);
	for (int i = 0; i < 100; i++)
		duplex_check(&small, a, b);
	fits(&small, 64);
	assert_int_equal(rig_clean(&at), 0);
	assert_int_equal(rig_stop(&at), 0);
}

/* Every fourth guest leaves and comes back. */
static void churn_check(void)
{
	const unsigned step = 4;

	for (unsigned i = 0; i < NPORTS; i += step)
		fe_guest_disconnect(guest(i)->g);
	rig_wait(&rig, links() == NPORTS - NPORTS / step);
	meet(step, NPORTS - NPORTS / step);
	unicast_check(5, step);
	nothing_is_left(step);
	for (unsigned i = 0; i < NPORTS; i += step)
		peer_start(&rig, guest(i));
	rig_wait(&rig, links() == NPORTS);
	meet(0, NPORTS);
	unicast_check(9, 0);
	nothing_is_left(0);
}

static void all_ports_serve_guests_that_come_and_go(void **state)
{
	const struct fe_guest_config config = guest_small();
	const unsigned distances[] = {1, 2, 7, 64, 127, 200, 255};

	(void)state;
	for (unsigned i = 0; i < NPORTS; i++)
		peer_up(&rig, port_name(i), &config);
	rig_wait(&rig, links() == NPORTS);
	meet(0, NPORTS);
	for (size_t i = 0; i < RW_ARRAY_SIZE(distances); i++)
		unicast_check(distances[i], 0);
	nothing_is_left(0);
	fits(&rig, 256);
	churn_check();
	if (rig.slow == 1)
		churn_check();
	fits(&rig, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_ports_are_small),
		rig_test(all_ports_serve_guests_that_come_and_go),
	};

	return cmocka_run_group_tests_name("many_ports", tests, start, rig_stop);
}
