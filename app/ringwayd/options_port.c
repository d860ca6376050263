/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"

bool options_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= OPTIONS_NAME_MAX &&
		strspn(name, OPTIONS_LETTERS "0123456789._:-") == len;
}

/* Whether a port of that name may be added. 0 or a mistake. */
static int name_check(struct parse *p, const char *name)
{
	for (unsigned i = 0; i < p->opt->nports; i++) {
		if (!strcmp(p->opt->ports[i].name, name)) {
			return options_mistake(p,
				"two ports are named %s: give one of them another name%s", name,
				p->running ? "" : " with --port NAME,socket=PATH");
		}
	}
	if (p->opt->nports == OPTIONS_PORTS_MAX)
		return options_mistake(p, "there are more than %d ports", OPTIONS_PORTS_MAX);
	return 0;
}

void options_port_init(struct options_port *port, const struct port_kind *kind)
{
	memset(port, 0, sizeof(*port));
	port->kind = kind;
	port->fd = -1;
	options_limits_init(port->limits);
}

/* Add a port whose other members the caller fills in; NULL with the mistake noted. */
static struct options_port *port_add(struct parse *p, const char *name)
{
	struct options_port *port;

	if (name_check(p, name))
		return NULL;
	port = &p->opt->ports[p->opt->nports++];
	options_port_init(port, kind_default);
	port->of_words = !p->running && !p->source;
	strcpy(port->name, name); /* fits: checked by name_valid */
	return port;
}

/* ---- KEY=VALUE ---- */

/* Any port has this one besides those of its kind; it is read before all others. */
static const char kind_key[] = "kind";

static int set_description(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	size_t len = strlen(value);

	if (len > OPTIONS_TEXT_MAX)
		return options_mistake(p, "%s: the description has at most %d bytes, not %zu", what,
			OPTIONS_TEXT_MAX, len);
	for (const char *c = value; *c; c++) {
		if (*c < ' ' || *c > '~')
			return options_mistake(
				p, "%s: the description is not printable ASCII", what);
	}
	memcpy(port->description, value, len + 1);
	return 0;
}

static json_t *get_description(const struct options_port *port)
{
	return port->description[0] ? json_string(port->description) : NULL;
}

/* What every kind of port has. */
static const struct port_option common[] = {
	{"description", "TEXT", false, true, set_description, get_description},
	{"bridge", "NAME", false, true, options_set_port_bridge, options_get_port_bridge},
	{"tpid", "8021q|8021ad", false, true, options_set_tpid, options_get_tpid},
	{"vlan", "VID", false, true, options_set_vlan, options_get_vlan},
	{"trunk", "VIDS", false, true, options_set_trunk, options_get_trunk},
	{"native", "VID", false, true, options_set_native, options_get_native},
};

const struct port_option *options_port_option(const struct port_kind *kind, unsigned i)
{
	if (i < kind->noptions)
		return &kind->options[i];
	i -= kind->noptions;
	if (i < RW_ARRAY_SIZE(common))
		return &common[i];
	return options_policy_at(i - (unsigned)RW_ARRAY_SIZE(common));
}

/* There is no such key. */
static int key_refuse(
	struct parse *p, const char *what, const struct port_kind *kind, const char *key)
{
	const struct port_option *option;
	char list[768];
	size_t len = 0;

	for (unsigned i = 0; (option = options_port_option(kind, i)) && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s, ", option->key);
	return options_mistake(
		p, "%s: unknown key \"%s\" (there are %s%s)", what, key, list, kind_key);
}

/*
 * Read "kind" if it is among the pairs; else the port is of the kind that needs one of the keys. 0
 * or a mistake.
 */
static int kind_read(struct parse *p, const char *what, struct options_port *port,
	const struct options_pair *pairs, unsigned npairs)
{
	bool given = false;

	for (unsigned i = 0; i < npairs; i++) {
		const struct port_kind *kind = kind_by_key(pairs[i].key);

		/* A key of the usual kind may be an argument of another kind's port. */
		if (kind && kind != kind_default && !given)
			port->kind = kind;
		if (strcmp(pairs[i].key, kind_key))
			continue;
		if (given)
			return options_mistake(p, "%s: %s is given twice", what, kind_key);
		given = true;
		port->kind = kind_by_name(pairs[i].value);
		if (!port->kind)
			return options_mistake(p, "%s: unknown kind \"%s\" (there are %s)", what,
				pairs[i].value, kind_names());
	}
	return 0;
}

/* Read one pair; `*seen` has a bit for each option that was given. 0 or a mistake. */
static int pair_read(struct parse *p, const char *what, struct options_port *port,
	const struct options_pair *pair, uint64_t *seen)
{
	const struct port_option *option;
	unsigned i = 0;

	if (p->key_at)
		p->key_at(p, pair->key);
	while ((option = options_port_option(port->kind, i)) && strcmp(option->key, pair->key))
		i++;
	if (!option && port->kind->other)
		return port->kind->other(p, what, port, pair->key, pair->value);
	if (!option)
		return key_refuse(p, what, port->kind, pair->key);
	if (*seen >> i & 1)
		return options_mistake(p, "%s: %s is given twice", what, option->key);
	*seen |= 1ull << i;
	return option->set(p, what, port, pair->value);
}

/* That the settings of every kind of port agree with each other. 0 or a mistake. */
static int settings_check(struct parse *p, const char *what, const struct options_port *port)
{
	int ret = options_vlans_check(p, what, &port->vlans);

	return ret ? ret : options_policy_check(p, what, port);
}

/* Read all that is said about a new port. 0 or a mistake. */
static int pairs_read(struct parse *p, const char *what, struct options_port *port,
	const struct options_pair *pairs, unsigned npairs)
{
	const struct port_option *option;
	uint64_t seen = 0;
	int ret;

	ret = kind_read(p, what, port, pairs, npairs);
	for (unsigned i = 0; !ret && i < npairs; i++) {
		if (strcmp(pairs[i].key, kind_key))
			ret = pair_read(p, what, port, &pairs[i], &seen);
	}
	if (!ret && p->key_at)
		p->key_at(p, NULL);
	for (unsigned i = 0; !ret && (option = options_port_option(port->kind, i)); i++) {
		if (option->needed && !(seen >> i & 1))
			ret = options_mistake(p, "%s: the %s is missing: give %s=%s", what,
				option->key, option->key, option->value);
	}
	return ret ? ret : settings_check(p, what, port);
}

/* ---- the command line ---- */

int options_set_socket_path(struct parse *p, const char *value)
{
	char path[RW_SOCK_PATH_MAX + 1], name[RW_SOCK_PATH_MAX + 1];
	struct options_port *port;
	const char *slash;
	size_t len;
	int ret;

	ret = options_path(p, "--socket-path", value, path);
	if (ret)
		return ret;
	slash = strrchr(path, '/');
	strcpy(name, slash ? slash + 1 : path);
	len = strlen(name);
	if (len >= 5 && !strcmp(name + len - 5, ".sock"))
		name[len - 5] = 0;
	if (!options_name_valid(name)) {
		return options_mistake(p,
			"--socket-path=%s: \"%s\" cannot name a port (" NAME_RULE
			"): use --port NAME,socket=PATH",
			path, name);
	}
	port = port_add(p, name);
	if (!port)
		return -EINVAL;
	strcpy(port->path, path);
	p->port_given = "--socket-path";
	return 0;
}

int options_pairs_split(
	struct parse *p, const char *what, char *text, struct options_pair pairs[OPTIONS_PAIRS_MAX])
{
	char *item, *value;
	int n = 0;

	while ((item = strsep(&text, ","))) {
		value = strchr(item, '=');
		if (!value)
			return options_mistake(p, "%s: \"%s\" is not KEY=VALUE", what, item);
		if (n == OPTIONS_PAIRS_MAX)
			return options_mistake(p, "%s: there are more than %d KEY=VALUE", what, n);
		*value++ = 0;
		pairs[n++] = (struct options_pair){item, value};
	}
	return n;
}

int options_set_port(struct parse *p, const char *value)
{
	char *copy = strdup(value), *rest = copy, *name;
	char what[sizeof("--port ") + OPTIONS_NAME_MAX];
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	struct options_port *port;
	int ret = -EINVAL;

	if (!copy)
		return options_mistake(p, "no memory");
	name = strsep(&rest, ",");
	if (!options_name_valid(name)) {
		options_mistake(p,
			"--port %s: \"%s\" cannot name a port (" NAME_RULE
			"): write --port NAME,socket=PATH",
			value, name);
		goto out;
	}
	port = port_add(p, name);
	if (!port)
		goto out;
	snprintf(what, sizeof(what), "--port %s", name);
	ret = options_pairs_split(p, what, rest, pairs);
	if (ret >= 0)
		ret = pairs_read(p, what, port, pairs, (unsigned)ret);
	p->port_given = "--port";
out:
	free(copy);
	return ret;
}

int options_set_fd(struct parse *p, const char *value)
{
	char name[OPTIONS_NAME_MAX + 1];
	struct options_port *port;
	uint32_t fd;

	if (!rw_text_number(value, 0, INT_MAX, &fd))
		return options_mistake(p, "--fd=%s: give the number of a file descriptor", value);
	snprintf(name, sizeof(name), "fd%u", fd);
	port = port_add(p, name);
	if (!port)
		return -EINVAL;
	port->mode = OPTIONS_FD;
	port->fd = (int)fd;
	p->fd_given = true;
	return 0;
}

int options_ports_check(struct parse *p)
{
	int ret = 0;

	if (!p->opt->nports && !p->opt->config[0]) {
		return options_mistake(p,
			"there is no port: give --socket-path=PATH, "
			"--port NAME,socket=PATH or --fd=FDNUM");
	}
	if (p->fd_given && p->port_given) {
		return options_mistake(
			p, "--fd and %s exclude each other: give ports one way", p->port_given);
	}
	for (unsigned i = 0; !ret && i < p->opt->nports; i++) {
		struct options_port *port = &p->opt->ports[i];

		ret = options_port_bridge_check(p, port->name, port);
		if (!ret)
			ret = port->kind->check(p, port);
	}
	return ret ? ret : options_mirrors_check(p);
}

int options_port_read(
	struct parse *p, const char *name, const struct options_pair *pairs, unsigned npairs)
{
	char what[sizeof("port ") + OPTIONS_NAME_MAX];
	struct options_port *port;

	if (!options_name_valid(name))
		return options_mistake(p, "\"%s\" cannot name a port (" NAME_RULE ")", name);
	port = port_add(p, name);
	if (!port)
		return -EINVAL;
	snprintf(what, sizeof(what), "port %s", name);
	p->port_given = "--config";
	return pairs_read(p, what, port, pairs, npairs);
}

/* ---- a switch that runs ---- */

int options_port_add(struct options *opt, const char *name, const struct options_pair *pairs,
	unsigned npairs, char *err, size_t errlen)
{
	struct parse p = {.opt = opt, .err = err, .errlen = errlen, .running = true};
	unsigned before = opt->nports;
	struct options_port *port = &opt->ports[before];
	int ret = options_port_read(&p, name, pairs, npairs);

	if (!ret)
		ret = port->kind->check(&p, port);
	if (!ret)
		ret = options_port_files_check(&p, port);
	if (ret)
		opt->nports = before;
	return ret;
}

int options_port_set(struct options *opt, unsigned index, const struct options_pair *pairs,
	unsigned npairs, char *err, size_t errlen)
{
	struct parse p = {.opt = opt, .err = err, .errlen = errlen, .running = true};
	struct options_port port = opt->ports[index];
	char what[sizeof("port ") + OPTIONS_NAME_MAX];
	const struct port_option *option;
	uint64_t seen = 0;
	int ret = 0;

	snprintf(what, sizeof(what), "port %s", port.name);
	if (!npairs)
		return options_mistake(&p, "%s: nothing to set: give KEY=VALUE", what);
	for (unsigned i = 0; !ret && i < npairs; i++) {
		unsigned k = 0;

		while ((option = options_port_option(port.kind, k)) &&
			strcmp(option->key, pairs[i].key))
			k++;
		if (option ? !option->changeable
			   : port.kind->other || !strcmp(pairs[i].key, kind_key))
			return options_mistake(&p,
				"%s: %s cannot be changed while the port exists: delete the port "
				"and add it again",
				what, pairs[i].key);
		ret = pair_read(&p, what, &port, &pairs[i], &seen);
	}
	if (!ret)
		ret = settings_check(&p, what, &port);
	if (!ret)
		opt->ports[index] = port;
	return ret;
}

void options_port_del(struct options *opt, unsigned index)
{
	opt->nports--;
	memmove(&opt->ports[index], &opt->ports[index + 1],
		(opt->nports - index) * sizeof(opt->ports[0]));
}
