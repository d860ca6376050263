/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The parts of a running ringwayd, for main.c and rpc.c. Thread: control. */
#include <signal.h>

#include "control.h"
#include "options.h"
#include "sw.h"
#include "vhost_port.h"

struct daemon {
	struct options opt;
	struct rw_loop *loop;
	struct sw *sw;
	struct vhost_port *ports[OPTIONS_PORTS_MAX];
	struct ctl_server *control; /* NULL: without one */
	struct rw_watch signals;    /* a signalfd */
	struct rw_timer ageing;
	struct rw_timer balancing;
	bool pidfile_written;
};

/*
 * Bring up EAL for the workers of `opt`; `huge` says whether it got huge pages. 0, or -errno after an
 * error line.
 */
int eal_begin(const struct options *opt, bool *huge);
void eal_end(void);

/* What `ringway` can ask. The context is the struct daemon. */
extern const struct ctl_method rpc_methods[];
extern const size_t rpc_nmethods;
