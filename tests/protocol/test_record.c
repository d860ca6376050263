/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings without a record of the front-end, as those of QEMU's network front-end: the switch is
 * killed or restarted, and the next one goes on, by the ring itself or by the switch's own record.
 */
#include "kill.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return kill_start(&rig, "ab");
}

/* A second or so each; RINGWAY_TEST_KILLS says how many. */
static uint32_t kills_wanted(const struct rig *r)
{
	const char *said = getenv("RINGWAY_TEST_KILLS");

	if (said)
		return (uint32_t)strtoul(said, NULL, 10);
	return rig_is_long() ? 1000 : 8 / (uint32_t)r->slow + 1;
}

static void a_killed_switch_finds_split_rings_by_themselves(void **state)
{
	const struct fe_guest_config c = guest_unrecorded();

	kill_and_go_on(*state, &c, 0, true, kills_wanted(*state));
	kill_and_go_on(*state, &c, FE_BIT(VIRTIO_F_IN_ORDER), false, 3);
}

static void a_killed_switch_finds_packed_rings_by_its_own_record(void **state)
{
	struct fe_guest_config c = guest_unrecorded();

	kill_and_go_on(*state, &c, PACKED, true, kills_wanted(*state));
	kill_and_go_on(*state, &c, PACKED | FE_BIT(VIRTIO_F_IN_ORDER), false, 3);
	/* Frames in several descriptors, of rings whose size is no power of two. */
	c.tx_size = 61;
	c.features &= ~FE_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	c.rx_cut = (struct fe_cut){.hdr_segs = 1, .data_segs = 2};
	c.rx_size = 3 * RX_SIZE + 1;
	kill_and_go_on(*state, &c, PACKED, true, 3);
}

/* What says "needs_reset" or "enabled" of ring `i`. */
static bool ring_is(struct rig *r, const char *port, size_t i, const char *state)
{
	json_t *show = rig_call(r, "port.show", json_pack("{s:s}", "name", port));
	json_t *ring = json_array_get(json_object_get(show, "rings"), i);
	bool is = !strcmp(json_string_value(json_object_get(ring, "state")), state);

	json_decref(show);
	return is;
}

static void both_rings_are(struct rig *r, const char *port, const char *state)
{
	rig_wait(r, ring_is(r, port, 0, state));
	rig_wait(r, ring_is(r, port, 1, state));
}

/* The front-end goes on as it is, with bases from the start of the ring. */
static void resume_as_qemu(struct rig *r, struct peer *p)
{
	peer_connect(r, p);
	for (uint32_t i = 0; i < 2; i++)
		p->g->queues[i].base = 0x80008000;
	assert_int_equal(fe_guest_resume(p->g), 0);
}

/* So many frames each way that packed rings of 64 and 256 entries are in this lap. */
static void laps_go_by(struct rig *r, struct peer *a, struct peer *b, uint32_t laps)
{
	const struct stream s = {.n = 64 * laps + 13, .len = LEN};

	stream_check(r, a, b, &s);
	stream_check(r, b, a, &s);
}

/*
 * The driver starts anew while there is no switch, at the same addresses: the record that was left
 * is of the rings before. Some buffers are there already, or all.
 */
static void a_guest_that_was_rebooted_meanwhile_starts_anew(void **state)
{
	struct fe_guest_config c = guest_unrecorded();
	struct rig *r = *state;
	struct peer *a, *b;

	c.features |= PACKED;
	for (uint32_t laps = 0; laps < 6; laps++) {
		b = peer_up(r, "b", NULL);
		a = peer_up(r, "a", &c);
		peers_meet(r, a, b);
		laps_go_by(r, a, b, laps);
		switch_is_ended(r, laps % 2 ? SIGKILL : SIGTERM, NULL);
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		resume_as_qemu(r, a);
		peer_connect(r, b);
		assert_int_equal(fe_guest_resume(b->g), 0);
		both_rings_are(r, "a", "enabled");
		peers_meet(r, a, b);
		laps_go_by(r, a, b, 3);
		rig_clean((void **)&r);
	}
}

/* Harm done to the file while there is no switch. */
static const char *harm;

static void rings_file_is_harmed(void)
{
	const char *path = kill_path("rings");
	static uint8_t page[4096];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t size;

	assert_true(fd >= 0);
	size = lseek(fd, 0, SEEK_END);
	if (!strcmp(harm, "missing"))
		assert_int_equal(unlink(path), 0);
	else if (!strcmp(harm, "empty"))
		assert_int_equal(ftruncate(fd, 0), 0);
	else if (!strcmp(harm, "cut off"))
		assert_int_equal(ftruncate(fd, size - 1), 0);
	else if (!strcmp(harm, "of another boot"))
		assert_int_equal(pwrite(fd, "x", 1, 24), 1);
	for (off_t at = 0; !strcmp(harm, "scribbled over");) {
		/* What is allocated: heads and progress of rings, and names of ports. */
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0 || pread(fd, page, sizeof(page), at) != sizeof(page))
			break;
		for (uint32_t k = 0; at >= 4096 && k < 64; k++)
			page[draw(k % 2 ? 160 : sizeof(page))] = (uint8_t)draw(256);
		assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
		at += (off_t)sizeof(page);
	}
	close(fd);
}

/*
 * Without a record that can be believed, nobody knows where a packed ring is: it says so, its
 * neighbours live, and it works again once the guest has reset it.
 */
static void a_record_that_was_lost_is_not_guessed(void **state)
{
	static const char *const harms[] = {
		"missing", "empty", "cut off", "of another boot", "scribbled over"};
	struct fe_guest_config c = guest_unrecorded();
	struct rig *r = *state;
	struct peer *a, *b;

	c.features |= PACKED;
	for (size_t i = 0; i < RW_ARRAY_SIZE(harms); i++) {
		b = peer_up(r, "b", NULL);
		a = peer_up(r, "a", &c);
		peers_meet(r, a, b);
		laps_go_by(r, a, b, (uint32_t)i % 3);
		harm = harms[i];
		switch_is_ended(r, SIGKILL, rings_file_is_harmed);
		resume_as_qemu(r, a);
		both_rings_are(r, "a", "needs_reset");
		assert_int_equal(rig_port_info(r, "a", "needs_reset"), 2);
		/* Stopped and started without a reset, it is not guessed either. */
		assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
		assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
		both_rings_are(r, "a", "needs_reset");
		peer_down(r, a);
		peer_start(r, a);
		both_rings_are(r, "a", "enabled");
		peer_connect(r, b);
		assert_int_equal(fe_guest_resume(b->g), 0);
		peers_meet(r, a, b);
		laps_go_by(r, a, b, 3);
		rig_clean((void **)&r);
	}
}

/* A front-end that leaves and comes again finds its rings as after a kill. */
static void a_front_end_may_reconnect(void **state)
{
	struct fe_guest_config c = guest_unrecorded();
	struct peer *a, *b = peer_up(*state, "b", NULL);

	for (int round = 0; round < 8; round++) {
		c.features ^= PACKED;
		a = peer_up(*state, "a", &c);
		peers_meet(*state, a, b);
		for (int times = 0; times < 3; times++) {
			laps_go_by(*state, a, b, 1);
			fe_guest_disconnect(a->g);
			resume_as_qemu(*state, a);
			both_rings_are(*state, "a", "enabled");
		}
		laps_go_by(*state, a, b, 1);
		peer_down(*state, a);
	}
}

/* A process that has just been started connects for the front-end, and lives until `stop`. */
static pid_t young_process_connects(struct rig *r, struct peer *p, int *stop)
{
	int said[2], told[2], fd = -1;
	char name[PEER_PORT_MAX + 6];
	pid_t pid;

	usleep(20000); /* two ticks: the kernel rounds the start of a process down */
	assert_int_equal(pipe(said), 0);
	assert_int_equal(pipe(told), 0);
	snprintf(name, sizeof(name), "%s.sock", p->port);
	fe_guest_disconnect(p->g);
	/* A fork whose descriptors are the same. */
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		if (!fe_guest_connect(p->g, rig_path(r, name)) &&
			write(said[1], &p->g->conn.fd, sizeof(fd)) == sizeof(fd))
			(void)!read(told[0], &fd, sizeof(fd));
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(read(said[0], &fd, sizeof(fd)), sizeof(fd));
	p->g->conn.fd = fd;
	close(said[0]);
	close(said[1]);
	close(told[0]);
	*stop = told[1];
	return pid;
}

/* The ring from the guest stops where a new one starts, after laps. */
static void ring_stops_at_its_first_entry(struct rig *r, struct peer *a, struct peer *b)
{
	const struct stream one = {.n = 1, .len = LEN};
	uint32_t base = 0;

	laps_go_by(r, a, b, 2);
	for (int i = 0; i < 4 * 64; i++) {
		stream_check(r, a, b, &one);
		assert_int_equal(fe_guest_stop_ring(a->g, 1, &base), 0);
		if (base == 0x80008000)
			break;
		assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	}
	assert_int_equal(base, 0x80008000);
	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
}

/*
 * A guest that comes by migration names where its rings were stopped elsewhere, and that may be
 * where new ones start. Its process is younger than the switch, so none that was killed had it.
 */
static void rings_that_come_by_migration_go_on(void **state)
{
	struct fe_guest_config c = guest_unrecorded();
	struct rig *r = *state;
	struct peer *a, *b = peer_up(r, "b", NULL);
	pid_t pid;
	int stop;

	c.features |= PACKED;
	a = peer_up(r, "a", &c);
	peers_meet(r, a, b);
	ring_stops_at_its_first_entry(r, a, b);
	peer_down(r, a);
	harm = "missing";
	switch_is_ended(r, SIGTERM, rings_file_is_harmed);
	peer_connect(r, b);
	assert_int_equal(fe_guest_resume(b->g), 0);
	rig_wait(r, !rig_port_info(r, "a", "connected"));
	pid = young_process_connects(r, a, &stop);
	assert_int_equal(fe_guest_resume(a->g), 0);
	both_rings_are(r, "a", "enabled");
	peers_meet(r, a, b);
	laps_go_by(r, a, b, 3);
	close(stop);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A ring that was stopped in good order is known by its closed record, whoever else forgot it. */
static void a_stopped_ring_goes_on_with_the_next_connection(void **state)
{
	struct fe_guest_config c = guest_unrecorded();
	struct rig *r = *state;
	struct peer *a, *b = peer_up(r, "b", NULL);

	c.features |= PACKED;
	a = peer_up(r, "a", &c);
	peers_meet(r, a, b);
	ring_stops_at_its_first_entry(r, a, b);
	peer_down(r, a);
	peer_connect(r, a);
	assert_int_equal(fe_guest_resume(a->g), 0);
	both_rings_are(r, "a", "enabled");
	peers_meet(r, a, b);
	laps_go_by(r, a, b, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_killed_switch_finds_split_rings_by_themselves),
		rig_test(a_killed_switch_finds_packed_rings_by_its_own_record),
		rig_test(a_guest_that_was_rebooted_meanwhile_starts_anew),
		rig_test(a_record_that_was_lost_is_not_guessed),
		rig_test(a_front_end_may_reconnect),
		rig_test(rings_that_come_by_migration_go_on),
		rig_test(a_stopped_ring_goes_on_with_the_next_connection),
	};

	return cmocka_run_group_tests_name("record", tests, start, kill_stop);
}
