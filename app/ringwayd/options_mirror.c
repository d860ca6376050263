/* SPDX-License-Identifier: BSD-3-Clause */
/* Mirrors: --mirror, "mirrors" of a document, and mirror.add of a switch that runs. */
#include <stdlib.h>
#include <string.h>

#include "options_internal.h"

/* ---- one mirror ---- */

/* The name of a port, which need not be there yet. */
static int name_read(struct parse *p, const char *what, const char *key, const char *value,
	char out[OPTIONS_NAME_MAX + 1])
{
	if (!options_name_valid(value))
		return options_mistake(p,
			"%s: %s is \"%.64s\", but must name a port (" NAME_RULE ")", what, key,
			value);
	strcpy(out, value);
	return 0;
}

static int set_to(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	return name_read(p, what, "to", value, mirror->to);
}

static bool has_source(const struct options_mirror *mirror, const char *port)
{
	for (unsigned i = 0; i < mirror->nsources; i++) {
		if (!strcmp(mirror->sources[i], port))
			return true;
	}
	return false;
}

/* "vm1+vm2" */
static int set_source(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	char *copy = strdup(value), *rest = copy, *item;
	int ret = copy ? 0 : options_mistake(p, "no memory");

	while (!ret && (item = strsep(&rest, "+"))) {
		if (has_source(mirror, item))
			ret = options_mistake(p, "%s: source %s is given twice", what, item);
		else if (mirror->nsources == OPTIONS_SOURCES_MAX)
			ret = options_mistake(
				p, "%s: there are more than %d sources", what, OPTIONS_SOURCES_MAX);
		else
			ret = name_read(
				p, what, "source", item, mirror->sources[mirror->nsources++]);
	}
	free(copy);
	return ret;
}

static int set_vlan(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	uint32_t vlan = options_vlan_named(p->opt, value, strlen(value));
	const char *nearest = options_vlan_nearest(p->opt, value);

	if (!vlan && !rw_text_number(value, 0, OPTIONS_VLAN_MAX, &vlan))
		return options_mistake(p,
			"%s: vlan is \"%.64s\", but must be a VLAN id from 0 (frames without a "
			"VLAN) to %d%s%s%s",
			what, value, OPTIONS_VLAN_MAX, nearest ? ": did you mean " : "",
			nearest ? nearest : "", nearest ? "?" : "");
	mirror->vlan = (uint16_t)vlan;
	mirror->of_vlan = true;
	return 0;
}

static int set_bridge(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	if (!options_name_valid(value))
		return options_mistake(
			p, "%s: bridge is \"%.64s\", but must be the name of one", what, value);
	strcpy(mirror->bridge, strcmp(value, OPTIONS_BRIDGE_DEFAULT) ? value : "");
	return 0;
}

static int set_tpid(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	return options_tpid_read(p, what, value, &mirror->service);
}

static int set_direction(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	bool both = !strcmp(value, "both");

	mirror->rx = both || !strcmp(value, "in");
	mirror->tx = both || !strcmp(value, "out");
	return mirror->rx || mirror->tx
		? 0
		: options_mistake(p, "%s: direction is \"%.64s\", but must be in, out or both",
			  what, value);
}

static int set_snap(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	return rw_text_number(value, OPTIONS_SNAP_MIN, OPTIONS_SNAP_MAX, &mirror->snap)
		? 0
		: options_mistake(p, "%s: snap is \"%.64s\", but must be %d to %d bytes", what,
			  value, OPTIONS_SNAP_MIN, OPTIONS_SNAP_MAX);
}

static int set_sample(
	struct parse *p, const char *what, struct options_mirror *mirror, const char *value)
{
	return rw_text_number(value, 1, OPTIONS_SAMPLE_MAX, &mirror->sample)
		? 0
		: options_mistake(p,
			  "%s: sample is \"%.64s\", but must be a number from 1 to %d: one of so "
			  "many frames",
			  what, value, OPTIONS_SAMPLE_MAX);
}

static const struct {
	const char *key;
	int (*set)(struct parse *p, const char *what, struct options_mirror *mirror,
		const char *value);
} keys[] = {
	{"to", set_to},
	{"source", set_source},
	{"vlan", set_vlan},
	{"bridge", set_bridge},
	{"tpid", set_tpid},
	{"direction", set_direction},
	{"snap", set_snap},
	{"sample", set_sample},
};

static int pair_read(struct parse *p, const char *what, struct options_mirror *mirror,
	const struct options_pair *pair, unsigned *seen)
{
	const char *names[RW_ARRAY_SIZE(keys)], *nearest;

	if (p->key_at)
		p->key_at(p, pair->key);
	for (size_t i = 0; i < RW_ARRAY_SIZE(keys); i++) {
		names[i] = keys[i].key;
		if (strcmp(keys[i].key, pair->key))
			continue;
		if (*seen >> i & 1)
			return options_mistake(p, "%s: %s is given twice", what, pair->key);
		*seen |= 1u << i;
		return keys[i].set(p, what, mirror, pair->value);
	}
	nearest = rw_text_nearest(pair->key, names, RW_ARRAY_SIZE(names));
	return options_mistake(p,
		"%s: there is no key \"%.64s\"%s%s%s: to, source, vlan, bridge, tpid, direction, "
		"snap, sample",
		what, pair->key, nearest ? ": did you mean " : "", nearest ? nearest : "",
		nearest ? "?" : "");
}

static int bridge_check(struct parse *p, const struct options_mirror *mirror)
{
	if (!mirror->bridge[0] || options_bridge_exists(p->opt, mirror->bridge))
		return 0;
	return options_mistake(p, "mirror %s: there is no bridge %s", mirror->name, mirror->bridge);
}

/* That its keys agree with each other. 0 or a mistake. */
static int keys_check(struct parse *p, const char *what, const struct options_mirror *mirror)
{
	if (!mirror->to[0])
		return options_mistake(p,
			"%s: the destination is missing: give to=PORT, the port that gets the "
			"copies",
			what);
	if (!mirror->nsources && !mirror->of_vlan)
		return options_mistake(
			p, "%s: what is mirrored is missing: give source=PORT or vlan=VID", what);
	if (mirror->nsources && mirror->of_vlan)
		return options_mistake(p,
			"%s: give either source= or vlan=: a mirror is of ports or of a VLAN",
			what);
	if (!mirror->of_vlan && (mirror->bridge[0] || mirror->service))
		return options_mistake(p,
			"%s: bridge= and tpid= say of which bridge and kind the VLAN is: give "
			"vlan=, too",
			what);
	/* On the command line, a bridge may be named behind the mirror. */
	return p->source || p->running ? bridge_check(p, mirror) : 0;
}

/* That no destination of one mirror is a source of another, or of itself: copies are final. */
static int others_check(struct parse *p, const char *what, const struct options_mirror *mirror)
{
	const struct options *opt = p->opt;

	if (has_source(mirror, mirror->to))
		return options_mistake(
			p, "%s: port %s cannot get copies of its own frames", what, mirror->to);
	for (unsigned i = 0; i < opt->nmirrors; i++) {
		const struct options_mirror *other = &opt->mirrors[i];

		if (has_source(mirror, other->to))
			return options_mistake(p,
				"%s: port %s gets the copies of mirror %s, and is no source of "
				"another one",
				what, other->to, other->name);
		if (has_source(other, mirror->to))
			return options_mistake(p,
				"%s: port %s is a source of mirror %s, and cannot get copies", what,
				mirror->to, other->name);
	}
	return 0;
}

int options_mirror_read(
	struct parse *p, const char *name, const struct options_pair *pairs, unsigned npairs)
{
	struct options_mirror mirror = {.rx = true, .tx = true, .sample = 1};
	char what[sizeof("mirror ") + OPTIONS_NAME_MAX];
	struct options *opt = p->opt;
	unsigned seen = 0;
	int ret = 0;

	if (!options_name_valid(name))
		return options_mistake(p, "\"%.64s\" cannot name a mirror (" NAME_RULE ")", name);
	snprintf(what, sizeof(what), "mirror %s", name);
	strcpy(mirror.name, name);
	for (unsigned i = 0; i < opt->nmirrors; i++) {
		if (!strcmp(opt->mirrors[i].name, name))
			return options_mistake(p, "%s: there is one already", what);
	}
	if (opt->nmirrors == OPTIONS_MIRRORS_MAX)
		return options_mistake(
			p, "%s: there are %d mirrors already", what, OPTIONS_MIRRORS_MAX);
	for (unsigned i = 0; !ret && i < npairs; i++)
		ret = pair_read(p, what, &mirror, &pairs[i], &seen);
	if (!ret && p->key_at)
		p->key_at(p, NULL);
	if (!ret)
		ret = keys_check(p, what, &mirror);
	if (!ret)
		ret = others_check(p, what, &mirror);
	if (!ret)
		opt->mirrors[opt->nmirrors++] = mirror;
	return ret;
}

/* ---- the command line ---- */

/* NAME,KEY=VALUE,... */
int options_set_mirror(struct parse *p, const char *value)
{
	char *copy = strdup(value), *rest = copy, *name;
	char what[sizeof("--mirror ") + OPTIONS_NAME_MAX];
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	int ret;

	if (!copy)
		return options_mistake(p, "no memory");
	name = strsep(&rest, ",");
	snprintf(what, sizeof(what), "--mirror %s", name);
	ret = options_pairs_split(p, what, rest, pairs);
	if (ret >= 0)
		ret = options_mirror_read(p, name, pairs, (unsigned)ret);
	free(copy);
	return ret;
}

/* ---- a document ---- */

static json_t *mirror_document(const struct options_mirror *m)
{
	json_t *entry = json_object(), *list;

	if (m->of_vlan) {
		json_object_set_new(entry, "vlan", json_integer(m->vlan));
		if (m->bridge[0])
			json_object_set_new(entry, "bridge", json_string(m->bridge));
		if (m->service)
			json_object_set_new(entry, "tpid", json_string("8021ad"));
	} else {
		json_object_set_new(entry, "source", list = json_array());
		for (unsigned i = 0; i < m->nsources; i++)
			json_array_append_new(list, json_string(m->sources[i]));
	}
	json_object_set_new(entry, "to", json_string(m->to));
	if (!m->rx || !m->tx)
		json_object_set_new(entry, "direction", json_string(m->rx ? "in" : "out"));
	if (m->snap)
		json_object_set_new(entry, "snap", json_integer(m->snap));
	if (m->sample > 1)
		json_object_set_new(entry, "sample", json_integer(m->sample));
	return entry;
}

json_t *options_get_mirrors(const struct options *opt)
{
	json_t *all = opt->nmirrors ? json_object() : NULL;

	for (unsigned i = 0; i < opt->nmirrors; i++)
		json_object_set_new(all, opt->mirrors[i].name, mirror_document(&opt->mirrors[i]));
	return all;
}

int options_mirrors_check(struct parse *p)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < p->opt->nmirrors; i++)
		ret = bridge_check(p, &p->opt->mirrors[i]);
	return ret;
}

/* ---- a switch that runs ---- */

int options_mirror_add(struct options *opt, const char *name, const struct options_pair *pairs,
	unsigned npairs, char *err, size_t errlen)
{
	struct parse p = {.opt = opt, .err = err, .errlen = errlen, .running = true};

	return options_mirror_read(&p, name, pairs, npairs);
}

void options_mirror_del(struct options *opt, unsigned index)
{
	opt->nmirrors--;
	memmove(&opt->mirrors[index], &opt->mirrors[index + 1],
		(opt->nmirrors - index) * sizeof(opt->mirrors[0]));
}
