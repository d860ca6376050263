/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes along when another ringwayd takes over, thing by thing, and what cannot, so that the
 * one that runs refuses before anything stops.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fe_log.h"
#include "kill.h"
#include "postcopy.h"
#include "rw_sock.h"
#include "state.h"
#include "takeover.h"
#include "traffic.h"
#include "upgrade.h"

#define LINGER_MS 3000 /* what start() says */

static struct rig rig;

static int start(void **state)
{
	static const char *const more[] = {
		"--fdb-linger=3", "--port=k,socket=%s-k.sock,mode=client", NULL};

	*state = &rig;
	if (rig_start(&rig, "abcd", more))
		return -1;
	rig_allow(&rig, "device-state");
	return postcopy_allow(&rig);
}

/* ---- what goes along ---- */

/* How often its link came and went. */
static json_t *links_of(struct rig *r, const char *port)
{
	json_t *all = rig_call(r, "port.stats", json_pack("{s:s}", "name", port));
	const json_t *row = json_array_get(all, 0);
	json_t *links;

	assert_non_null(row);
	links = json_pack(
		"[O, O]", json_object_get(row, "link_ups"), json_object_get(row, "link_downs"));
	assert_true(json_integer_value(json_array_get(links, 0)) > 0);
	json_decref(all);
	return links;
}

/* What port.show says of the port, and of its link, without what changes while frames go. */
static json_t *shown(struct rig *r, const char *port)
{
	static const char *const moving[] = {"avail", "used", "worker"};
	json_t *row = rig_call(r, "port.show", json_pack("{s:s}", "name", port)), *ring;
	size_t i, k;

	json_array_foreach(json_object_get(row, "rings"), i, ring)
	{
		for (k = 0; k < RW_ARRAY_SIZE(moving); k++)
			json_object_del(ring, moving[k]);
	}
	json_object_del(row, "helper");
	json_object_del(row, "budgets");
	json_object_set_new(row, "links", links_of(r, port));
	return row;
}

static void is_shown(struct rig *r, const char *port, json_t *before)
{
	json_t *after = shown(r, port);

	if (!json_equal(before, after))
		fail_msg("%s\n%s", json_dumps(before, JSON_SORT_KEYS),
			json_dumps(after, JSON_SORT_KEYS));
	json_decref(before);
	json_decref(after);
}

/* The log has what is written from now on. */
static void writes_are_logged(struct rig *r, struct peer *a, struct peer *b, struct fe_log *log)
{
	uint8_t *was = calloc(1, log->base.size);

	assert_non_null(was);
	fe_log_fetch(log, was);
	free(was);
	duplex_check(r, a, b);
	assert_true(fe_log_count(log) > 0);
}

static void the_guest_is_called(struct rig *r, struct peer *from, struct peer *to)
{
	struct fe_queue *rx = fe_guest_rx(to->g, 0);

	rig_drain_interrupts(r, rx);
	fe_ring_want_interrupt(&rx->ring, true);
	peer_send_to(r, from, to->mac, 100, 1);
	assert_true(fe_queue_wait_interrupt(rx, rig_patience(r)) > 0);
	peer_expect(r, to, to->mac, from->mac, 100, 1);
}

/* The guest breaks a ring, and its front-end hears of it. */
static void errors_are_told(struct rig *r, struct peer *p)
{
	struct fe_queue *tx = fe_guest_tx(p->g, 0);
	struct vring_avail *avail = tx->ring.avail;

	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 0x8000), __ATOMIC_RELEASE);
	fe_queue_kick(tx);
	rig_wait(r, fe_queue_errors(tx) > 0);
	assert_int_equal(rig_port_info(r, p->port, "broken_rings"), 1);
}

static void descriptors_the_log_and_the_record_go_along(void **state)
{
	struct fe_guest_config c = guest_recorded();
	struct peer *a, *b;
	struct fe_log log;
	json_t *before;

	c.protocol_features |= PROTOCOL_LOG;
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", NULL);
	assert_int_equal(fe_guest_ring_step(a->g, 1, FE_ERR), 0);
	assert_int_equal(fe_log_init(&log, fe_log_size_for(&a->g->mem), 0), 0);
	assert_int_equal(fe_guest_log_start(a->g, &log, FE_LOG_QEMU), 0);
	peers_meet(*state, a, b);
	before = shown(*state, "a");
	upgrade(*state, NULL, NULL);
	is_shown(*state, "a", before);
	writes_are_logged(*state, a, b, &log);
	the_guest_is_called(*state, b, a);
	errors_are_told(*state, a);
	rig_clean(state);
	fe_log_fini(&log);
}

static void hosts_that_wait_are_announced_by_the_successor(void **state)
{
	static uint8_t data[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");

	assert_int_equal(state_load(b, data, state_make(data, 1, 3)), 0);
	upgrade(*state, NULL, NULL);
	state_guest_go(b);
	state_is_announced(*state, c, 1, 3);
}

/* How often the front-end was asked for a translation. */
static uint64_t misses(const struct peer *p)
{
	return p->g->channel.misses;
}

static void translations_and_the_channel_go_along(void **state)
{
	const struct stream s = {.n = 100, .len = 500};

	for (unsigned packed = 0; packed < 2; packed++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STATIC, false);
		struct peer *a, *b;
		uint64_t before;

		c.features |= packed ? PACKED : 0;
		a = peer_up_linked(*state, "a", &c);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		for (unsigned i = 0; i < 6; i++)
			traffic_check(*state, a, b, &s);
		before = misses(a) + misses(b);
		upgrade(*state, NULL, NULL);
		traffic_check(*state, a, b, &s);
		assert_int_equal(misses(a) + misses(b), before);
		/* And what is forgotten is asked for. */
		assert_int_equal(fe_guest_invalidate(b->g, b->g->iommu.base, b->g->iommu.n), 0);
		rig_wait(*state, (peers_service(*state), rig_port_info(*state, "b", "link")));
		traffic_check(*state, b, a, &s);
		assert_true(misses(b) > before - misses(a));
		rig_clean(state);
	}
}

/* They go when their time has come: the successor knows how long they have stayed. */
static void addresses_linger_no_longer(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t until;

	peers_meet(*state, a, b);
	/* A front-end that was away a moment ago gets no less. */
	peer_down(*state, b);
	until = rw_now_ms() + LINGER_MS / 2;
	b = peer_up(*state, "b", NULL);
	peers_meet(*state, a, b);
	while (rw_now_ms() < until)
		rig_nap();
	until = rw_now_ms() + LINGER_MS;
	peer_down(*state, b);
	upgrade(*state, NULL, NULL);
	/* Not before their time, as far as that has not come on a slow machine. */
	if (!host_port(*state, b->mac, 0))
		assert_true(rw_now_ms() >= until);
	rig_wait(*state, !host_port(*state, b->mac, 0));
	assert_int_equal(host_port(*state, a->mac, 0), 'a');
}

/* Let the daemon in on `fd`, where the front-end listens. */
static struct peer *peer_that_listens(struct rig *r, int fd)
{
	struct peer *k = peer_new(r, "k", NULL);

	assert_int_equal(fe_conn_accept(&k->g->conn, fd, rig_patience(r)), 0);
	assert_int_equal(fe_guest_start(k->g), 0);
	peer_sync(k);
	return k;
}

static void a_port_that_connects_goes_along(void **state)
{
	struct rig *r = *state;
	struct peer *a = peer_up(r, "a", NULL), *k;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s-k.sock", r->dir);
	fd = fe_conn_listen(path);
	assert_true(fd >= 0);
	k = peer_that_listens(r, fd);
	duplex_check(r, a, k);
	upgrade(r, NULL, NULL);
	/* The same connection; and the successor connects when that is gone. */
	duplex_check(r, a, k);
	fe_guest_disconnect(k->g);
	k = peer_that_listens(r, fd);
	duplex_check(r, a, k);
	close(fd);
	unlink(path);
}

static void sockets_that_are_lost_are_made_again_by_the_successor(void **state)
{
	struct rig *r = *state;

	assert_int_equal(unlink(rig_path(r, "c.sock")), 0);
	upgrade(r, NULL, NULL);
	rig_wait(r, !access(rig_path(r, "c.sock"), F_OK));
	peer_up(r, "c", NULL);
	assert_int_equal(unlink(rig_path(r, "d.sock")), 0);
	assert_int_equal(unlink(rig_path(r, "ctl")), 0);
	rig_wait(r, !access(rig_path(r, "d.sock"), F_OK) && !access(rig_path(r, "ctl"), F_OK));
	peer_up(r, "d", NULL);
}

/* ---- what is refused ---- */

static void is_refused(struct rig *r, const char *why)
{
	struct ctl_failure fail;

	assert_int_equal(upgrade_call(r, TAKEOVER_VERSION, TAKEOVER_READS, &fail), -1);
	if (strncmp(fail.message, "busy: ", 6) || !strstr(fail.message, why))
		fail_msg("%s", fail.message);
}

/* It is over: none of that hinders any more. */
static void is_not_refused(struct rig *r)
{
	struct ctl_failure fail;
	int fd = upgrade_call(r, TAKEOVER_VERSION, TAKEOVER_READS, &fail);

	if (fd < 0)
		fail_msg("%s", fail.message);
	close(fd);
}

static void a_port_in_a_post_copy_migration_stays(void **state)
{
	const struct fe_guest_config c = guest_moving();
	struct peer *a = peer_new(*state, "a", &c);
	int ufd;

	if (!userfaultfd_is_there())
		return;
	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &ufd), 0);
	is_refused(*state, "port a: a post-copy migration is under way");
	close(ufd);
	peer_down(*state, a);
	is_not_refused(*state);
}

static void a_port_whose_state_is_transferred_stays(void **state)
{
	struct peer *b = state_guest_incoming(*state, "b");
	int fd = state_begin(b, VU_STATE_LOAD);

	assert_true(fd >= 0);
	is_refused(*state, "port b: device state is being transferred");
	close(fd);
	fe_conn_check_state(&b->g->conn);
	is_not_refused(*state);
}

/* The text that asks to apply the present document with `n` ports more. Is to be freed. */
static char *apply_text(struct rig *r, const json_t *first, unsigned n)
{
	json_t *all = json_deep_copy(first), *call;
	char name[16], file[24], *text;

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		snprintf(file, sizeof(file), "%s.sock", name);
		json_object_set_new(json_object_get(all, "ports"), name,
			json_pack("{s:s}", "socket", rig_path(r, file)));
	}
	call = json_pack("{s:s, s:i, s:s, s:{s:o}}", "jsonrpc", "2.0", "id", 1, "method",
		"config.apply", "params", "config", all);
	text = json_dumps(call, JSON_COMPACT);
	json_decref(call);
	assert_non_null(text);
	return text;
}

/* Apply, and try to take over meanwhile. Whether that was refused. */
static bool refused_while_applied(struct rig *r, const char *text)
{
	int fd = rw_sock_connect(rig_path(r, "ctl")), other;
	struct ctl_failure fail = {.message = ""};
	size_t len = strlen(text), at = 0;
	bool refused;
	char got;

	assert_true(fd >= 0);
	while (at <= len) {
		ssize_t n = at < len ? write(fd, text + at, len - at) : write(fd, "\n", 1);

		assert_true(n > 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
	}
	other = upgrade_call(r, TAKEOVER_VERSION, TAKEOVER_READS, &fail);
	refused = other < 0;
	if (refused)
		assert_non_null(strstr(fail.message, "busy: a configuration is being applied"));
	else
		close(other);
	/* The answer is one line. */
	do {
		while (read(fd, &got, 1) != 1)
			rig_nap();
	} while (got != '\n');
	close(fd);
	return refused;
}

static void nothing_is_handed_over_while_a_document_is_applied(void **state)
{
	struct rig *r = *state;
	json_t *first = rig_call(r, "config.get", NULL);
	char *more = apply_text(r, first, 300), *less = apply_text(r, first, 0);
	bool refused = false;

	/* Another one may be too late to meet it. */
	for (unsigned i = 0; i < 20 && !refused; i++) {
		refused = refused_while_applied(r, more);
		refused_while_applied(r, less);
	}
	assert_true(refused);
	is_not_refused(r);
	json_decref(first);
	free(more);
	free(less);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(descriptors_the_log_and_the_record_go_along),
		rig_test(hosts_that_wait_are_announced_by_the_successor),
		rig_test(translations_and_the_channel_go_along),
		rig_test(addresses_linger_no_longer),
		rig_test(a_port_that_connects_goes_along),
		rig_test(sockets_that_are_lost_are_made_again_by_the_successor),
		rig_test(a_port_in_a_post_copy_migration_stays),
		rig_test(a_port_whose_state_is_transferred_stays),
		rig_test(nothing_is_handed_over_while_a_document_is_applied),
	};

	return cmocka_run_group_tests_name("takeover_state", tests, start, rig_stop);
}
