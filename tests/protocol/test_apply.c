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
#include <sys/resource.h>
#include <unistd.h>

#include "rw_sock.h"

#define ROUNDS 40
#define BURST  32
#define LEN    200

static struct rig rig;

static int start(void **state)
{
	struct rlimit lim;

	/* The daemon raises what it inherits as soft limit; many ports take many descriptors. */
	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
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

/* ---- large ones ---- */

#define MANY 1020 /* with those of the rig, as many ports as there can be */

/* The document with MANY ports more. */
static json_t *many(const struct rig *r, const json_t *first)
{
	json_t *all = json_deep_copy(first);
	char name[16], file[24];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		snprintf(file, sizeof(file), "%s.sock", name);
		json_object_set_new(ports_of(all), name, entry(r, file));
	}
	return all;
}

/* One document is applied, in a thread of its own. */
struct one {
	struct rig *r;
	int ctl;
	json_t *document;
	size_t changes;
	struct ctl_failure fail;
	uint32_t done;
	pthread_t thread;
};

static void *one_applies(void *arg)
{
	struct one *o = arg;
	json_t *answer = apply(o->r, o->ctl, json_pack("{s:O}", "config", o->document), &o->fail);

	o->changes = json_array_size(json_object_get(answer, "changes"));
	json_decref(answer);
	__atomic_store_n(&o->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void one_begin(struct one *o, struct rig *r, json_t *document)
{
	*o = (struct one){.r = r, .document = document, .ctl = rw_sock_connect(rig_path(r, "ctl"))};
	assert_true(o->ctl >= 0);
	assert_int_equal(pthread_create(&o->thread, NULL, one_applies, o), 0);
}

static bool one_runs(const struct one *o)
{
	return !__atomic_load_n(&o->done, __ATOMIC_ACQUIRE);
}

static void one_end(struct one *o, size_t changes)
{
	assert_int_equal(pthread_join(o->thread, NULL), 0);
	close(o->ctl);
	if (!o->changes)
		fail_msg("%s", o->fail.message);
	assert_int_equal(o->changes, changes);
}

/*
 * While a document is applied: frames arrive, and a front-end and another client are answered, so
 * often that it cannot be between two documents.
 */
static void others_are_served(struct rig *r, json_t *document, struct peer *y, struct peer *z)
{
	unsigned answers = 0;
	struct one o;

	one_begin(&o, r, document);
	while (one_runs(&o)) {
		uint64_t features;

		assert_int_equal(fe_conn_get(&y->g->conn, VU_GET_FEATURES, &features), 0);
		json_decref(rig_call(r, "version", NULL));
		burst_check(r, y, z, answers * BURST);
		answers += one_runs(&o);
	}
	one_end(&o, MANY);
	print_message("# served %u times\n", answers);
	assert_true(answers >= 3);
}

static void others_are_served_while_a_large_document_is_applied(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *all = many(r, first);
	struct peer *y = peer_up(r, "y", NULL), *z = peer_up(r, "z", NULL);

	peers_meet(r, y, z);
	others_are_served(r, all, y, z);
	is(r, all);
	others_are_served(r, first, y, z);
	is(r, first);
	duplex_check(r, y, z);
	json_decref(all);
	json_decref(first);
}

/* The last port of a large document cannot be made, and all others go again. */
static void a_large_document_is_applied_as_a_whole(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *bad = many(r, first);
	struct peer *y = peer_up(r, "y", NULL), *a = peer_up(r, "a", NULL);
	struct one o;

	peers_meet(r, y, a);
	/* Not one of the daemon's folders: it takes a try to find that out. */
	json_object_set_new(ports_of(bad), "p1019", json_pack("{s:s}", "socket", "/p.sock"));
	json_object_set_new(json_object_get(ports_of(bad), "y"), "vlan", json_integer(3));
	one_begin(&o, r, bad);
	assert_int_equal(pthread_join(o.thread, NULL), 0);
	close(o.ctl);
	assert_int_equal(o.changes, 0);
	if (!strstr(o.fail.message, "cannot listen on"))
		fail_msg("%s", o.fail.message);
	is(r, first);
	duplex_check(r, y, a);
	json_decref(bad);
	json_decref(first);
}

/* Whoever else would change the configuration waits: neither sees half of the other's work. */
static void two_changes_come_one_after_the_other(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *all = many(r, first);
	struct one o, back;

	one_begin(&o, r, all);
	one_begin(&back, r, first);
	json_decref(rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", "y", "vlan", "9")));
	/* In whatever order they come. */
	assert_int_equal(pthread_join(o.thread, NULL), 0);
	assert_int_equal(pthread_join(back.thread, NULL), 0);
	close(o.ctl);
	close(back.ctl);
	assert_in_range(o.changes, MANY, MANY + 1);
	assert_true(changes_of(r, first) <= MANY + 1);
	is(r, first);
	json_decref(all);
	json_decref(first);
}

static uint64_t apply_us(struct rig *r, json_t *document, size_t changes)
{
	uint64_t begun = rw_now_us();

	assert_int_equal(changes_of(r, document), changes);
	return rw_now_us() - begun;
}

/* What is the same costs little: one change of 1,024 ports is far from making them. */
static void one_change_of_many_ports_takes_a_fraction(void **state)
{
	struct rig *r = *state;
	json_t *first = shown(r), *all = many(r, first);
	uint64_t made_us = apply_us(r, all, MANY), one_us = UINT64_MAX;

	for (int i = 0; i < 10; i++) {
		uint64_t us;

		json_object_set_new(
			json_object_get(ports_of(all), "p7"), "vlan", json_integer(10 + i));
		us = apply_us(r, all, 1);
		one_us = RW_MIN(one_us, us);
	}
	is(r, all);
	print_message("# %d ports made in %ju us, one of them changed in %ju us\n", MANY,
		(uintmax_t)made_us, (uintmax_t)one_us);
	assert_true(one_us < made_us / 2);
	print_message("# all removed in %ju us\n", (uintmax_t)apply_us(r, first, MANY));
	json_decref(all);
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
		rig_test(others_are_served_while_a_large_document_is_applied),
		rig_test(a_large_document_is_applied_as_a_whole),
		rig_test(two_changes_come_one_after_the_other),
		rig_test(one_change_of_many_ports_takes_a_fraction),
	};

	return cmocka_run_group_tests_name("apply", tests, start, rig_stop);
}
