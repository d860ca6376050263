/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of ports: the same at the start, for a request, and at the end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"

/* An inherited connection ended. Without another port there is nothing left to do. */
static void inherited_gone(void *arg)
{
	struct daemon *d = arg;

	if (d->nports == 1)
		rw_loop_quit(d->loop);
}

int daemon_port_begin(struct daemon *d, char *err, size_t errlen)
{
	const struct port_context ctx = {.sw = d->sw,
		.loop = d->loop,
		.pools = &d->pools,
		.records = d->records,
		.linger_s = d->opt.fdb_linger_s,
		.access = &d->opt.access,
		.waits = d->waits,
		.gone = inherited_gone,
		.arg = d};
	static const struct options_vlans transparent;
	struct options_port *spec = &d->opt.ports[d->nports];
	struct daemon_port *port = &d->ports[d->nports];
	char why[256];
	int ret = spec->kind->new (&ctx, spec, &port->handle, why, sizeof(why));

	if (ret) {
		snprintf(err, errlen, "port %s: %s", spec->name, why);
		return ret;
	}
	spec->prepared = NULL;
	port->port = sw_port_by_name(d->sw, spec->name);
	ret = daemon_vlans_set(d, port->port, &transparent, &spec->vlans);
	if (!ret)
		ret = sw_policy_set(d->sw, port->port, &spec->policy);
	if (ret) {
		snprintf(err, errlen, "port %s: its VLANs and its policy: %s", spec->name,
			strerror(-ret));
		spec->kind->free(port->handle);
		return ret;
	}
	d->nports++;
	d->ports_serial++;
	mirrors_bridges(d);
	mirrors_port(d, port->port);
	events_port(d, spec->name, "added");
	return 0;
}

int daemon_port_change(
	struct daemon *d, unsigned index, const struct options_port *to, char *note, size_t notelen)
{
	struct options_port *from = &d->opt.ports[index];
	int ret = daemon_vlans_set(d, d->ports[index].port, &from->vlans, &to->vlans);

	if (ret) {
		snprintf(note, notelen, "port %s: its VLANs: %s", from->name, strerror(-ret));
		return ret;
	}
	ret = sw_policy_set(d->sw, d->ports[index].port, &to->policy);
	if (ret) {
		snprintf(note, notelen, "port %s: its policy: %s", from->name, strerror(-ret));
		daemon_vlans_set(d, d->ports[index].port, &to->vlans, &from->vlans);
		return ret;
	}
	*from = *to;
	d->ports_serial++;
	mirrors_bridges(d);
	from->kind->change(d->ports[index].handle, from, note, notelen);
	events_port(d, from->name, "changed");
	return 0;
}

/* It loses its entry, and is in the switch still. */
static void leaver_take(struct daemon *d, unsigned index, struct daemon_leaver *out)
{
	const struct options_port *spec = &d->opt.ports[index];

	*out = (struct daemon_leaver){
		.kind = spec->kind, .handle = d->ports[index].handle, .port = d->ports[index].port};
	memcpy(out->name, spec->name, sizeof(out->name));
	options_port_del(&d->opt, index);
	d->nports--;
	d->ports_serial++;
	memmove(&d->ports[index], &d->ports[index + 1], (d->nports - index) * sizeof(d->ports[0]));
}

void daemon_port_leave(struct daemon *d, unsigned index, struct daemon_leaver *out)
{
	leaver_take(d, index, out);
	sw_port_leave(d->sw, out->port);
}

void daemon_leaver_free(struct daemon *d, struct daemon_leaver *leaver)
{
	uint16_t id = leaver->port->id;

	leaver->kind->free(leaver->handle);
	mirrors_bridges(d);
	counts_forget_port(d, id);
	marks_forget_port(&d->marks, id);
	events_port(d, leaver->name, "removed");
}

void daemon_port_end(struct daemon *d, unsigned index)
{
	struct daemon_leaver leaver;

	/* What its guest has sent is forwarded while it ends: then it leaves. */
	leaver_take(d, index, &leaver);
	daemon_leaver_free(d, &leaver);
}

int daemon_port_find(const struct daemon *d, const char *name)
{
	for (unsigned i = 0; i < d->nports; i++) {
		if (!strcmp(d->opt.ports[i].name, name))
			return (int)i;
	}
	return -1;
}
