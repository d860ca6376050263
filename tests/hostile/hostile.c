/* SPDX-License-Identifier: BSD-3-Clause */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holdings.h"

#define ARGS_MAX    64
#define ATTACKS_MAX 128
#define ROUNDS_MAX  4

static struct rig rig;
static struct canary *canary;
static const char *const *more_args;

/* An attack with one format. */
struct variant {
	const struct attack *attack;
	uint64_t format;
	char name[128];
};

static int start(void **state)
{
	const char *args[ARGS_MAX] = {
		"--port=y,socket=%s/y.sock,vlan=99", "--port=z,socket=%s/z.sock,vlan=99"};
	int n = 2;

	for (const char *const *m = more_args; m && *m && n < ARGS_MAX - 1; m++)
		args[n++] = *m;
	(void)state;
	if (rig_start(&rig, "abcd", args))
		return -1;
	/* What an operator may allow is attacked, too; postcopy has a test of its own. */
	rig_allow(&rig, "device-state");
	rig_allow(&rig, "config-space");
	canary = canary_start(&rig);
	return 0;
}

static int stop(void **state)
{
	const char *wrong = canary_stop(canary);
	void *r = &rig;

	(void)state;
	if (wrong)
		print_error("%s\n", wrong);
	return rig_stop(&r) || wrong ? -1 : 0;
}

static int clean(void **state)
{
	void *r = &rig;

	(void)state;
	return rig_clean(&r);
}

static void once(const struct variant *v)
{
	v->attack->run(&rig, v->format);
	clean(NULL);
}

static void run(void **state)
{
	const struct variant *v = *state;
	struct canary_report report;
	struct holdings before;
	bool grew = true;

	canary_reset(canary);
	once(v);
	/* The allocator may keep what a round needed; a leak grows with each. */
	for (int i = 0; i < ROUNDS_MAX && grew && !v->attack->once; i++) {
		before = holdings(&rig);
		once(v);
		grew = holdings_have_grown(&rig, &before);
	}
	if (grew && !v->attack->once)
		fail_msg("what the daemon holds grows with each round");
	report = canary_check(canary);
	assert_false(rig_is_alarming(&rig));
	print_message("# %s: at most %.1f ms for a frame, %.1f ms for an answer\n", v->name,
		report.frame_ms, report.control_ms);
}

/* The test of an attack. */
static struct CMUnitTest test_make(struct variant *v, const struct attack *a, uint64_t format)
{
	v->attack = a;
	v->format = format;
	snprintf(v->name, sizeof(v->name), "%s%s", a->name,
		!a->both         ? ""
			: format ? "_packed"
				 : "_split");
	return (struct CMUnitTest){
		.name = v->name, .test_func = run, .teardown_func = clean, .initial_state = v};
}

uint64_t port_budget(struct rig *r, const char *port, const char *kind, const char *member)
{
	json_t *answer = rig_call(r, "port.show", json_pack("{s:s}", "name", port));
	json_t *all = json_object_get(answer, "budgets");
	json_t *value = json_object_get(json_object_get(all, kind), member);
	uint64_t n;

	if (!json_is_integer(value))
		fail_msg("port %s: there is no %s.%s", port, kind, member);
	n = (uint64_t)json_integer_value(value);
	json_decref(answer);
	return n;
}

void port_set(struct rig *r, const char *port, const char *key, const char *value)
{
	json_decref(rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", port, key, value)));
}

int hostile_main(
	const char *program, const struct attack *attacks, size_t n, const char *const *more)
{
	static struct variant variants[ATTACKS_MAX];
	static struct CMUnitTest tests[ATTACKS_MAX];
	size_t ntests = 0;

	more_args = more;
	for (size_t i = 0; i < n; i++) {
		const int end = attacks[i].both ? 2 : 1;

		for (int packed = 0; packed < end && ntests < ATTACKS_MAX; packed++) {
			tests[ntests] = test_make(&variants[ntests], &attacks[i],
				packed || attacks[i].packed ? PACKED : 0);
			ntests++;
		}
	}
	if (getenv("RINGWAY_TEST_ONLY"))
		cmocka_set_test_filter(getenv("RINGWAY_TEST_ONLY"));
	return _cmocka_run_group_tests(program, tests, ntests, start, stop);
}
