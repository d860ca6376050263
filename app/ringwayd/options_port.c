/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "options_internal.h"

#define NAME_RULE "1 to 32 characters of A-Z a-z 0-9 . _ : -"

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= OPTIONS_NAME_MAX &&
		strspn(name,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") ==
		len;
}

/* Add a port whose other members the caller fills in; NULL with the mistake noted. */
static struct options_port *port_add(struct parse *p, const char *name)
{
	struct options_port *port;

	for (unsigned i = 0; i < p->opt.nports; i++) {
		if (!strcmp(p->opt.ports[i].name, name)) {
			options_mistake(p,
				"two ports are named %s: give one of them another name with "
				"--port NAME,socket=PATH",
				name);
			return NULL;
		}
	}
	if (p->opt.nports == OPTIONS_PORTS_MAX) {
		options_mistake(p, "there are more than %d ports", OPTIONS_PORTS_MAX);
		return NULL;
	}
	port = &p->opt.ports[p->opt.nports++];
	*port = (struct options_port){.fd = -1};
	strcpy(port->name, name); /* fits: checked by name_valid */
	return port;
}

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
	if (!name_valid(name)) {
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

/* One KEY=VALUE of --port. */
static int port_key(struct parse *p, struct options_port *port, char *item, unsigned *seen)
{
	char *value = strchr(item, '=');
	char option[sizeof("--port ,socket=") + OPTIONS_NAME_MAX];
	unsigned bit;

	if (!value)
		return options_mistake(p, "--port %s: \"%s\" is not KEY=VALUE", port->name, item);
	*value++ = 0;
	if (strcmp(item, "socket") && strcmp(item, "mode")) {
		return options_mistake(p,
			"--port %s: unknown key \"%s\" (there are socket and mode)", port->name,
			item);
	}
	bit = *item == 's' ? 1 : 2;
	if (*seen & bit)
		return options_mistake(p, "--port %s: %s is given twice", port->name, item);
	*seen |= bit;
	if (*item == 's') {
		snprintf(option, sizeof(option), "--port %s,socket=", port->name);
		return options_path(p, option, value, port->path);
	}
	if (!strcmp(value, "client"))
		port->mode = OPTIONS_CLIENT;
	else if (strcmp(value, "server"))
		return options_mistake(p, "--port %s: mode is \"%s\", but must be server or client",
			port->name, value);
	return 0;
}

int options_set_port(struct parse *p, const char *value)
{
	char *copy = strdup(value), *rest = copy, *item;
	struct options_port *port;
	unsigned seen = 0;
	int ret = -EINVAL;

	if (!copy)
		return options_mistake(p, "no memory");
	item = strsep(&rest, ",");
	if (!name_valid(item)) {
		options_mistake(p,
			"--port %s: \"%s\" cannot name a port (" NAME_RULE
			"): write --port NAME,socket=PATH",
			value, item);
		goto out;
	}
	port = port_add(p, item);
	if (!port)
		goto out;
	ret = 0;
	while (!ret && (item = strsep(&rest, ",")))
		ret = port_key(p, port, item, &seen);
	if (!ret && !(seen & 1))
		ret = options_mistake(p,
			"--port %s: the socket is missing: write --port %s,socket=PATH", port->name,
			port->name);
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

/* Whether `fd` is a Unix stream socket that listens or is connected. */
static int fd_check(struct parse *p, int fd, bool *listening)
{
	int domain = 0, type = 0, accepts = 0;
	socklen_t len = sizeof(int);
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	struct stat st;

	if (fstat(fd, &st)) {
		return options_mistake(p, "--fd=%d: this file descriptor is not open: %s", fd,
			"the program that starts ringwayd must pass it on");
	}
	if (!S_ISSOCK(st.st_mode))
		return options_mistake(p, "--fd=%d: this file descriptor is not a socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || domain != AF_UNIX)
		return options_mistake(p, "--fd=%d: this socket is not a Unix socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
		return options_mistake(p, "--fd=%d: this Unix socket is not a stream socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len))
		accepts = 0;
	if (!accepts && getpeername(fd, (struct sockaddr *)&peer, &peer_len))
		return options_mistake(
			p, "--fd=%d: this socket neither listens nor is connected", fd);
	*listening = accepts;
	return 0;
}

/* One port against the rest of the world and those before it. */
static int port_check(struct parse *p, struct options_port *port)
{
	char what[sizeof("port ") + OPTIONS_NAME_MAX];

	if (port->mode == OPTIONS_FD)
		return fd_check(p, port->fd, &port->listening);
	for (const struct options_port *other = p->opt.ports; other < port; other++) {
		if (options_same_file(port->path, other->path)) {
			return options_mistake(p, "ports %s and %s have the same socket %s",
				other->name, port->name, port->path);
		}
	}
	snprintf(what, sizeof(what), "port %s", port->name);
	return port->mode == OPTIONS_SERVER ? options_dir_check(p, what, port->path) : 0;
}

int options_ports_check(struct parse *p)
{
	int ret = 0;

	if (!p->opt.nports) {
		return options_mistake(p,
			"there is no port: give --socket-path=PATH, "
			"--port NAME,socket=PATH or --fd=FDNUM");
	}
	if (p->fd_given && p->port_given) {
		return options_mistake(
			p, "--fd and %s exclude each other: give ports one way", p->port_given);
	}
	for (unsigned i = 0; !ret && i < p->opt.nports; i++)
		ret = port_check(p, &p->opt.ports[i]);
	return ret;
}
