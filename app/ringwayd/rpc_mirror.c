/* SPDX-License-Identifier: BSD-3-Clause */
/* mirror.*: which mirrors there are, and their coming and going. */
#include <stdio.h>
#include <string.h>

#include "apply.h"
#include "rpc.h"
#include "rw_log.h"

/* Room for a value as text; the sources are the longest. */
#define SOURCES_TEXT (OPTIONS_SOURCES_MAX * (OPTIONS_NAME_MAX + 1))
#define NUMBER_TEXT  24

static json_t *counts_json(const struct sw_mirror *m, json_t *row)
{
	struct sw_mirror_counts n = {0};
	json_t *lost = json_object();

	if (m)
		sw_mirror_read(m, &n);
	for (unsigned why = 0; why < SW_MIRROR_LOSSES; why++) {
		if (n.lost[why])
			json_object_set_new(lost, sw_mirror_loss_name(why),
				json_integer((json_int_t)n.lost[why]));
	}
	json_object_set_new(row, "frames", json_integer((json_int_t)n.frames));
	json_object_set_new(row, "bytes", json_integer((json_int_t)n.bytes));
	json_object_set_new(row, "lost", lost);
	return row;
}

/* Add a name to the list of those that no port has. */
static void absent_add(const struct daemon *d, json_t *absent, const char *name)
{
	if (daemon_port_find(d, name) < 0)
		json_array_append_new(absent, json_string(name));
}

static json_t *mirror_json(const struct daemon *d, unsigned index)
{
	const struct options_mirror *m = &d->opt.mirrors[index];
	json_t *source = m->of_vlan ? json_null() : json_array(), *absent = json_array();
	const char *bridge = NULL;

	if (m->of_vlan)
		bridge = m->bridge[0] ? m->bridge : OPTIONS_BRIDGE_DEFAULT;
	for (unsigned i = 0; i < m->nsources; i++) {
		json_array_append_new(source, json_string(m->sources[i]));
		absent_add(d, absent, m->sources[i]);
	}
	absent_add(d, absent, m->to);
	return counts_json(d->mirrors[index],
		json_pack("{s:s, s:o, s:o, s:s?, s:s?, s:s, s:s, s:o, s:I, s:o}", "name", m->name,
			"source", source, "vlan", m->of_vlan ? json_integer(m->vlan) : json_null(),
			"bridge", bridge, "tpid",
			!m->of_vlan          ? NULL
				: m->service ? "8021ad"
					     : "8021q",
			"direction",
			m->rx && m->tx  ? "both"
				: m->rx ? "in"
					: "out",
			"to", m->to, "snap", m->snap ? json_integer(m->snap) : json_null(),
			"sample", (json_int_t)m->sample, "absent", absent));
}

json_t *rpc_mirror_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params, (void)fail;
	return *cursor < d->opt.nmirrors ? mirror_json(d, (unsigned)(*cursor)++) : NULL;
}

json_t *rpc_mirrors_to(const struct daemon *d, const char *port)
{
	json_t *names = NULL;

	for (unsigned i = 0; i < d->opt.nmirrors; i++) {
		if (strcmp(d->opt.mirrors[i].to, port))
			continue;
		if (!names)
			names = json_array();
		json_array_append_new(names, json_string(d->opt.mirrors[i].name));
	}
	return names;
}

/* What `params` say, as KEY=VALUE. */
struct words {
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	unsigned n;
	char sources[SOURCES_TEXT];
	char numbers[OPTIONS_PAIRS_MAX][NUMBER_TEXT];
};

/* "vm1+vm2". False: it is no list of names, or too long. */
static bool sources_join(const json_t *list, struct words *w)
{
	const json_t *item;
	size_t at = 0;

	for (size_t i = 0; (item = json_array_get(list, i)); i++) {
		const char *name = json_string_value(item);
		int n = name && !strchr(name, '+')
			? snprintf(w->sources + at, sizeof(w->sources) - at, "%s%s", i ? "+" : "",
				  name)
			: -1;

		if (n < 0 || (size_t)n >= sizeof(w->sources) - at)
			return false;
		at += (size_t)n;
	}
	return at > 0;
}

static bool word_read(const char *key, const json_t *value, struct words *w)
{
	struct options_pair *pair = &w->pairs[w->n];

	pair->key = key;
	pair->value = json_string_value(value);
	if (json_is_array(value)) {
		pair->value = w->sources;
		if (!sources_join(value, w))
			return false;
	} else if (json_is_integer(value)) {
		pair->value = w->numbers[w->n];
		snprintf(w->numbers[w->n], NUMBER_TEXT, "%" JSON_INTEGER_FORMAT,
			json_integer_value(value));
	}
	w->n++;
	return true;
}

static bool words_read(const json_t *params, struct words *w, struct ctl_failure *fail)
{
	const char *key;
	json_t *value;

	w->n = 0;
	/* There are as many as the method has parameters, of the types that they have. */
	json_object_foreach((json_t *)(uintptr_t)params, key, value)
	{
		if (!strcmp(key, "name") || word_read(key, value, w))
			continue;
		ctl_fail(fail, CTL_ERR_PARAMS,
			"\"%s\" must be a list of the names of ports, at most %d", key,
			OPTIONS_SOURCES_MAX);
		return false;
	}
	return true;
}

json_t *rpc_mirror_add(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct daemon *d = ctx;
	struct words words;
	char err[512];
	int ret;

	if (apply_runs(d))
		return ctl_later(fail);
	if (!name)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"name\" must be the name of a mirror");
	if (!words_read(params, &words, fail))
		return NULL;
	if (options_mirror_add(&d->opt, name, words.pairs, words.n, err, sizeof(err)))
		return ctl_fail(fail, CTL_ERR_PARAMS, "%s", err);
	ret = mirror_begin(d, d->opt.nmirrors - 1);
	if (ret) {
		options_mirror_del(&d->opt, d->opt.nmirrors - 1);
		return ctl_fail(fail, CTL_ERR_FAILED, "mirror %s: %s", name, strerror(-ret));
	}
	rw_info("mirror %s: added", name);
	return mirror_json(d, d->opt.nmirrors - 1);
}

json_t *rpc_mirror_del(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct daemon *d = ctx;

	if (apply_runs(d))
		return ctl_later(fail);
	for (unsigned i = 0; name && i < d->opt.nmirrors; i++) {
		if (strcmp(d->opt.mirrors[i].name, name))
			continue;
		mirror_end(d, i);
		rw_info("mirror %s: deleted", name);
		return json_object();
	}
	if (!name)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"name\" must be the name of a mirror");
	return ctl_fail(fail, CTL_ERR_FAILED, "there is no mirror \"%s\"", name);
}
