/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Documents that are applied to a switch which forwards (config.apply). Ports y and z are in every
 * document as they are: they exchange frames all the while, and not one is lost.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rw_sock.h"

#define ROUNDS 40
#define BURST  32
#define LEN    200

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abyz", NULL);
}

/* ---- documents ---- */

static json_t *ports_of(json_t *document)
{
	return json_object_get(document, "ports");
}

/* The entry of a server port whose socket is `file` in the rig's directory. */
static json_t *entry(const struct rig *r, const char *file)
{
	return json_pack("{s:s}", "socket", rig_path(r, file));
}

/* Apply it; the parameters are freed. The answer, or NULL and the reason. */
static json_t *apply(struct rig *r, int ctl, json_t *params, struct ctl_failure *fail)
{
	json_t *answer = ctl_call(ctl, "config.apply", params, rig_patience(r), fail);

	json_decref(params);
	return answer;
}

static size_t changes_of(struct rig *r, json_t *document)
{
	json_t *answer = rig_call(r, "config.apply", json_pack("{s:O}", "config", document));
	size_t n = json_array_size(json_object_get(answer, "changes"));

	assert_true(json_is_true(json_object_get(answer, "applied")));
	json_decref(answer);
	return n;
}

static json_t *shown(struct rig *r)
{
	return rig_call(r, "config.get", NULL);
}

/* The switch is what the document says. */
static void is(struct rig *r, json_t *document)
{
	json_t *now = shown(r);

	if (!json_equal(now, document))
		fail_msg("%s", json_dumps(now, 0));
	json_decref(now);
	assert_int_equal(changes_of(r, document), 0);
}

/* ---- under traffic ---- */

/* What the thread needs that applies documents. It makes no assertion. */
struct applier {
	struct rig *r;
	int ctl;          /* a control connection of its own */
	json_t *texts[3]; /* documents, in turn; the last one cannot be applied */
	char why[640];    /* what went wrong, or "" */
	uint32_t done;
};

static void *applies(void *arg)
{
	struct applier *a = arg;

	for (unsigned i = 0; i < ROUNDS && !a->why[0]; i++) {
		struct ctl_failure fail;
		json_t *answer = apply(a->r, a->ctl,
			json_pack("{s:O}", "config", a->texts[i % RW_ARRAY_SIZE(a->texts)]), &fail);

		if (!answer == (i % 3 < 2))
			snprintf(a->why, sizeof(a->why), "round %u: %.500s", i,
				answer ? "applied" : fail.message);
		json_decref(answer);
	}
	__atomic_store_n(&a->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* A burst from one canary to the other arrives whole. */
static void burst_check(struct rig *r, struct peer *from, struct peer *to, uint32_t seed)
{
	for (uint32_t i = 0; i < BURST; i++)
		peer_send_to(r, from, to->mac, LEN, seed + i);
	for (uint32_t i = 0; i < BURST; i++)
		peer_expect(r, to, to->mac, from->mac, LEN, seed + i);
}

static void ports_that_stay_lose_no_frame(void **state)
{
	struct rig *r = *state;
	struct applier a = {.r = r};
	json_t *first = shown(r);
	struct peer *y, *z;
	uint32_t seed = 0;
	pthread_t thread;

	/* a changes, b is replaced, c and d take turns; then one that fails when b is gone. */
	for (size_t i = 0; i < RW_ARRAY_SIZE(a.texts); i++)
		a.texts[i] = json_deep_copy(first);
	json_object_set_new(json_object_get(ports_of(a.texts[0]), "a"), "vlan", json_integer(10));
	json_object_set_new(ports_of(a.texts[0]), "b", entry(r, "b2.sock"));
	json_object_set_new(ports_of(a.texts[0]), "c", entry(r, "c.sock"));
	json_object_set_new(a.texts[0], "fdb-age", json_integer(77));
	json_object_del(ports_of(a.texts[1]), "b");
	json_object_set_new(ports_of(a.texts[1]), "d", entry(r, "c.sock"));
	json_object_set_new(ports_of(a.texts[2]), "b", json_pack("{s:s}", "socket", "/b.sock"));
	json_object_del(ports_of(a.texts[2]), "a");
	y = peer_up(r, "y", NULL);
	z = peer_up(r, "z", NULL);
	peers_meet(r, y, z);
	a.ctl = rw_sock_connect(rig_path(r, "ctl"));
	assert_true(a.ctl >= 0);
	assert_int_equal(pthread_create(&thread, NULL, applies, &a), 0);
	do {
		burst_check(r, y, z, seed);
		burst_check(r, z, y, seed);
		seed += BURST;
		rig_nap(); /* the other thread wants the CPU, too */
	} while (!__atomic_load_n(&a.done, __ATOMIC_ACQUIRE));
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(a.ctl);
	if (a.why[0])
		fail_msg("%s", a.why);
	assert_int_equal(changes_of(r, first) > 0, 1);
	is(r, first);
	duplex_check(r, y, z);
	for (size_t i = 0; i < RW_ARRAY_SIZE(a.texts); i++)
		json_decref(a.texts[i]);
	json_decref(first);
}

/* ---- once, step by step ---- */

static void a_port_that_changes_keeps_its_front_end(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *vlans = json_deep_copy(first);
	struct peer *a = peer_up(r, "a", NULL), *y = peer_up(r, "y", NULL);

	peers_meet(r, a, y);
	for (const char *name = "a"; name; name = *name == 'a' ? "y" : NULL)
		json_object_set_new(
			json_object_get(ports_of(vlans), name), "vlan", json_integer(30));
	assert_int_equal(changes_of(r, vlans), 2);
	is(r, vlans);
	duplex_check(r, a, y);
	assert_int_equal(changes_of(r, first), 2);
	duplex_check(r, a, y);
	json_decref(vlans);
	json_decref(first);
}

static void a_port_that_is_replaced_waits_for_a_new_front_end(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *other = json_deep_copy(first);
	struct peer *y = peer_up(r, "y", NULL), *b = peer_up(r, "b", NULL);

	json_object_set_new(ports_of(other), "b", entry(r, "b2.sock"));
	assert_int_equal(changes_of(r, other), 1);
	is(r, other);
	assert_int_equal(rig_port_info(r, "b", "connected"), 0);
	assert_int_equal(fe_guest_connect(b->g, rig_path(r, "b.sock")), -ENOENT);
	assert_int_equal(changes_of(r, first), 1);
	b = peer_up(r, "b", NULL);
	peers_meet(r, y, b);
	duplex_check(r, y, b);
	json_decref(other);
	json_decref(first);
}

static void what_cannot_be_applied_changes_nothing(void **state)
{
	static const struct {
		const char *key, *value, *at, *why;
	} faults[] = {
		{"vlan", "4095", "config/ports/a/vlan", "must be a VLAN id"},
		{"colour", "red", "config/ports/a/colour", "unknown key"},
		{"socket", "/nowhere/x", "config/ports/a", "there is no directory /nowhere"},
		{"socket", "/a.sock", "config/ports/a", "cannot listen on /a.sock"},
	};
	struct rig *r = *state;
	json_t *first = shown(r);
	struct peer *y = peer_up(r, "y", NULL), *a = peer_up(r, "a", NULL);
	struct ctl_failure fail;

	peers_meet(r, y, a);
	for (size_t i = 0; i < RW_ARRAY_SIZE(faults); i++) {
		json_t *bad = json_deep_copy(first);

		json_object_set_new(json_object_get(ports_of(bad), "y"), "vlan", json_integer(3));
		json_object_set_new(bad, "fdb-age", json_integer(9));
		json_object_set_new(ports_of(bad), "c", entry(r, "c.sock"));
		json_object_del(ports_of(bad), "b");
		json_object_set_new(json_object_get(ports_of(bad), "a"), faults[i].key,
			json_string(faults[i].value));
		assert_null(apply(r, r->ctl.fd, json_pack("{s:o}", "config", bad), &fail));
		assert_string_equal(fail.at, faults[i].at);
		if (!strstr(fail.message, faults[i].why))
			fail_msg("%s", fail.message);
		is(r, first);
		assert_int_not_equal(access(rig_path(r, "c.sock"), F_OK), 0);
	}
	/* The last one had ended the port: its front-end comes again. */
	assert_int_equal(rig_port_info(r, "a", "connected"), 0);
	a = peer_up(r, "a", NULL);
	peers_meet(r, y, a);
	duplex_check(r, y, a);
	json_decref(first);
}

static void a_dry_run_changes_nothing(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *other = json_deep_copy(first), *answer;

	json_object_del(ports_of(other), "b");
	json_object_set_new(ports_of(other), "c", entry(r, "b.sock"));
	answer = rig_call(
		r, "config.apply", json_pack("{s:O, s:b}", "config", other, "dry_run", 1));
	assert_int_equal(json_array_size(json_object_get(answer, "changes")), 2);
	assert_false(json_is_true(json_object_get(answer, "applied")));
	json_decref(answer);
	is(r, first);
	/* The new port's place is the old one's. */
	assert_int_equal(changes_of(r, other), 2);
	is(r, other);
	assert_int_equal(changes_of(r, first), 2);
	json_decref(other);
	json_decref(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_port_that_changes_keeps_its_front_end),
		rig_test(a_port_that_is_replaced_waits_for_a_new_front_end),
		rig_test(what_cannot_be_applied_changes_nothing),
		rig_test(a_dry_run_changes_nothing),
		rig_test(ports_that_stay_lose_no_frame),
	};

	return cmocka_run_group_tests_name("apply", tests, start, rig_stop);
}
