/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port whose other side is a vhost-user front-end: a QEMU, DPDK's virtio-user, ... This driver
 * glues the protocol (lib/vhost_user), the rings (lib/virtqueue) and the frames (lib/frame): the
 * protocol says where a ring is and whether it runs, the driver runs it.
 *
 * As server the port listens on a socket path, serves one front-end at a time and waits for the next
 * when that one leaves. As client it connects to the front-end's socket, again every 100 ms until
 * somebody listens. In both cases the port, its counters and its static addresses outlive the
 * front-end; what was learned behind it does not.
 *
 * Thread: control.
 */
#include "port.h"
#include "rw_loop.h"
#include "sw.h"

enum vhost_mode {
	VHOST_SERVER, /* listen on `path` */
	VHOST_CLIENT, /* connect to `path` */
	VHOST_FD,     /* `fd`: a connected or listening socket that somebody opened for us */
};

struct vhost_port_config {
	struct sw *sw;
	struct rw_loop *loop;
	const char *name; /* at most PORT_NAME_MAX bytes */
	enum vhost_mode mode;
	const char *path; /* copied; NULL with VHOST_FD */
	int fd;           /* VHOST_FD: taken over on success */
	/* VHOST_FD with a connected socket: the front-end left, there will be no other. May be NULL. */
	void (*gone)(void *arg);
	void *arg;
};

struct vhost_port;

/* 0, or -errno of rw_sock_listen, sw_port_add or memory. A client that finds nobody is no error. */
int vhost_port_new(const struct vhost_port_config *cfg, struct vhost_port **out);
/* Close its connection, remove its socket file, take it out of the switch. NULL is fine. */
void vhost_port_free(struct vhost_port *vp);

/* What an operator may want to know about a port. */
struct vhost_port_info {
	const char *name;
	const char *path; /* NULL with VHOST_FD */
	uint16_t id;
	enum vhost_mode mode;
	bool connected;    /* a front-end is there */
	bool link;         /* frames can reach the guest */
	bool packed;       /* valid while connected */
	unsigned pairs;    /* running queue pairs, either direction */
	uint64_t features; /* negotiated */
	uint16_t mtu;      /* 0: not said */
	unsigned broken;   /* rings that lied about their indices and wait for a reset */
};
void vhost_port_describe(const struct vhost_port *vp, struct vhost_port_info *out);
