/* SPDX-License-Identifier: BSD-3-Clause */
/* The sockets of ports: where they may be, and who may connect to them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control.h"
#include "options_internal.h"

int options_set_socket_dir(struct parse *p, const char *value)
{
	struct stat st;

	if (p->opt->nsocket_dirs == OPTIONS_DIRS_MAX)
		return options_mistake(p, "--socket-dir: there are more than %d", OPTIONS_DIRS_MAX);
	if (strlen(value) > RW_SOCK_PATH_MAX || stat(value, &st) || !S_ISDIR(st.st_mode))
		return options_mistake(p, "--socket-dir=%s: there is no such directory", value);
	strcpy(p->opt->socket_dirs[p->opt->nsocket_dirs++], value);
	return 0;
}

json_t *options_get_socket_dirs(const struct options *opt)
{
	json_t *list = opt->nsocket_dirs ? json_array() : NULL;

	for (unsigned i = 0; i < opt->nsocket_dirs; i++)
		json_array_append_new(list, json_string(opt->socket_dirs[i]));
	return list;
}

/* ---- values ---- */

/* A text: a number would be read as a decimal one. */
static json_t *mode_json(uint32_t mode)
{
	return json_sprintf("%04o", mode);
}

static json_t *number_json(uint32_t n)
{
	return n == RW_SOCK_SAME ? NULL : json_integer(n);
}

/* `what` names the setting to the user. 0 or a mistake. */
static int mode_read(struct parse *p, const char *what, const char *value, uint32_t *out)
{
	unsigned long mode;

	/* Whoever connects needs to write; execution means nothing. The owner is always let in. */
	mode = strtoul(value, NULL, 8);
	if (!*value || strlen(value) > 4 || value[strspn(value, "01234567")] || mode & ~0666ul ||
		(mode & 0600) != 0600)
		return options_mistake(p,
			"%s=%s: the mode is an octal number such as 0660, with 06 for the owner "
			"and 0, 2, 4 or 6 for the group and for others",
			what, value);
	*out = (uint32_t)mode;
	return 0;
}

/* A name or a number. 0 or a mistake. */
static int number_read(
	struct parse *p, const char *what, enum rw_sock_who who, const char *value, uint32_t *out)
{
	int ret;

	if (rw_text_number(value, 0, RW_SOCK_SAME - 1, out))
		return 0;
	ret = *value ? rw_sock_number(who, value, out) : -ENOENT;
	if (ret == -ENOENT)
		return options_mistake(p, "%s=%s: there is no such %s", what, value,
			who == RW_SOCK_USER ? "user" : "group");
	if (ret)
		return options_mistake(p, "%s=%s: %s", what, value, rw_sock_strerror(ret));
	return 0;
}

/* ---- of all ports ---- */

int options_set_socket_mode(struct parse *p, const char *value)
{
	return mode_read(p, "--socket-mode", value, &p->opt->access.mode);
}

int options_set_socket_owner(struct parse *p, const char *value)
{
	return number_read(p, "--socket-owner", RW_SOCK_USER, value, &p->opt->access.owner);
}

int options_set_socket_group(struct parse *p, const char *value)
{
	return number_read(p, "--socket-group", RW_SOCK_GROUP, value, &p->opt->access.group);
}

json_t *options_get_socket_mode(const struct options *opt)
{
	return mode_json(opt->access.mode);
}

json_t *options_get_socket_owner(const struct options *opt)
{
	return number_json(opt->access.owner);
}

json_t *options_get_socket_group(const struct options *opt)
{
	return number_json(opt->access.group);
}

/* ---- of one ---- */

/* The setting as the user wrote it. */
static const char *named(const char *what, const char *key)
{
	static char text[OPTIONS_NAME_MAX + 40];

	snprintf(text, sizeof(text), "%s: %s", what, key);
	return text;
}

int options_set_port_mode(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	port->access.mode_given = true;
	return mode_read(p, named(what, "socket-mode"), value, &port->access.access.mode);
}

int options_set_port_owner(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	port->access.owner_given = true;
	return number_read(
		p, named(what, "socket-owner"), RW_SOCK_USER, value, &port->access.access.owner);
}

int options_set_port_group(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	port->access.group_given = true;
	return number_read(
		p, named(what, "socket-group"), RW_SOCK_GROUP, value, &port->access.access.group);
}

json_t *options_get_port_mode(const struct options_port *port)
{
	return port->access.mode_given ? mode_json(port->access.access.mode) : NULL;
}

json_t *options_get_port_owner(const struct options_port *port)
{
	return port->access.owner_given ? number_json(port->access.access.owner) : NULL;
}

json_t *options_get_port_group(const struct options_port *port)
{
	return port->access.group_given ? number_json(port->access.access.group) : NULL;
}

int options_access_refuse(struct parse *p, const char *what, const struct options_port *port)
{
	const struct options_access *a = &port->access;

	if (!a->mode_given && !a->owner_given && !a->group_given)
		return 0;
	return options_mistake(p,
		"%s: socket-%s is for a port with mode=server: who makes the socket decides who "
		"may connect to it",
		what,
		a->mode_given            ? "mode"
			: a->owner_given ? "owner"
					 : "group");
}

struct rw_sock_access options_access(
	const struct options_port *port, const struct rw_sock_access *rest)
{
	const struct options_access *a = &port->access;

	return (struct rw_sock_access){
		.mode = a->mode_given ? a->access.mode : rest->mode,
		.owner = a->owner_given ? a->access.owner : rest->owner,
		.group = a->group_given ? a->access.group : rest->group,
	};
}

/* ---- files ---- */

int options_port_files_check(struct parse *p, const struct options_port *port)
{
	const struct options *opt = p->opt;
	const char *path = port->path;

	if (*path && options_same_file(path, opt->control))
		return options_mistake(
			p, "port %s and --control have the same file %s", port->name, path);
	if (*path && options_same_file(path, opt->pidfile))
		return options_mistake(
			p, "port %s and --pidfile have the same file %s", port->name, path);
	return 0;
}

int options_files_check(struct parse *p)
{
	struct options *opt = p->opt;
	bool control_given = !opt->control_is_default;
	int ret = 0;

	if (!control_given && ctl_default_path(opt->control, sizeof(opt->control))) {
		return options_mistake(
			p, "XDG_RUNTIME_DIR is too long for a control socket: give --control=PATH");
	}
	for (unsigned i = 0; !ret && i < opt->nports; i++)
		ret = options_port_files_check(p, &opt->ports[i]);
	if (ret)
		return ret;
	if (opt->pidfile[0] && options_same_file(opt->pidfile, opt->control))
		return options_mistake(
			p, "--control and --pidfile have the same file %s", opt->pidfile);
	if (opt->control[0] && control_given)
		ret = options_dir_check(p, "--control", opt->control);
	if (!ret && opt->pidfile[0])
		ret = options_dir_check(p, "--pidfile", opt->pidfile);
	return ret;
}
