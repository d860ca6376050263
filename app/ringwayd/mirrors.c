/* SPDX-License-Identifier: BSD-3-Clause */
/* What a user said about mirrors becomes mirrors of the switch. The ports that they name come and
 * go: a mirror goes on with those that are there. */
#include <string.h>

#include "daemon.h"
#include "rw_log.h"
#include "sw_bridge.h"

_Static_assert(OPTIONS_MIRRORS_MAX == SW_MIRRORS_MAX, "as many as the switch has");

static uint16_t bridge_number(const struct daemon *d, const struct options_mirror *spec)
{
	int at = sw_bridge_find(d->sw, spec->bridge[0] ? spec->bridge : OPTIONS_BRIDGE_DEFAULT);

	return at < 0 ? SW_MIRROR_NO_BRIDGE : (uint16_t)at;
}

/* Tell a mirror of a port, if it names it. */
static void port_take(struct daemon *d, unsigned index, const struct port *port)
{
	const struct options_mirror *spec = &d->opt.mirrors[index];
	struct sw_mirror *m = d->mirrors[index];

	for (unsigned i = 0; m && i < spec->nsources; i++) {
		if (!strcmp(spec->sources[i], port->name))
			sw_mirror_source(d->sw, m, port);
	}
	if (m && !strcmp(spec->to, port->name))
		sw_mirror_to(d->sw, m, port);
}

int mirror_begin(struct daemon *d, unsigned index)
{
	const struct options_mirror *spec = &d->opt.mirrors[index];
	const struct sw_mirror_config cfg = {.rx = spec->rx,
		.tx = spec->tx,
		.of_vlan = spec->of_vlan,
		.vlan = {.bridge = bridge_number(d, spec),
			.id = spec->vlan,
			.service = spec->service},
		.snap = spec->snap,
		.sample = spec->sample};
	const struct port *port;
	int ret;

	d->mirrors[index] = NULL;
	ret = sw_mirror_new(d->sw, &cfg, &d->mirrors[index]);
	if (ret)
		return ret;
	/* First the destination, which is no source of what there is. */
	for (unsigned i = 0; i <= spec->nsources; i++) {
		port = sw_port_by_name(d->sw, i ? spec->sources[i - 1] : spec->to);
		if (port)
			port_take(d, index, port);
	}
	events_mirror(d, spec->name, "added");
	return 0;
}

void mirror_end(struct daemon *d, unsigned index)
{
	const struct options_mirror spec = d->opt.mirrors[index];

	if (d->mirrors[index])
		sw_mirror_free(d->sw, d->mirrors[index]);
	options_mirror_del(&d->opt, index);
	for (unsigned i = index; i < d->opt.nmirrors; i++)
		d->mirrors[i] = d->mirrors[i + 1];
	events_mirror(d, spec.name, "removed");
}

/* Begin one, and log it if that fails. */
static void begin_or_tell(struct daemon *d, unsigned index)
{
	int ret = mirror_begin(d, index);

	if (ret)
		rw_error("mirror %s: %s", d->opt.mirrors[index].name, strerror(-ret));
}

void mirrors_begin(struct daemon *d)
{
	for (unsigned i = 0; i < d->opt.nmirrors; i++)
		begin_or_tell(d, i);
}

void mirrors_end(struct daemon *d)
{
	while (d->opt.nmirrors)
		mirror_end(d, d->opt.nmirrors - 1);
}

/* The index of the mirror that is the same; -1: none is. */
static int find(const struct options *opt, const struct options_mirror *spec)
{
	const void *wanted = spec;

	/* Bytes that differ may mean the same: then it begins anew. */
	for (unsigned i = 0; i < opt->nmirrors; i++) {
		const void *bytes = &opt->mirrors[i];

		if (!memcmp(bytes, wanted, sizeof(*spec)))
			return (int)i;
	}
	return -1;
}

void mirrors_change(struct daemon *d, const struct options *to)
{
	struct sw_mirror *kept[OPTIONS_MIRRORS_MAX] = {NULL};
	bool stays[OPTIONS_MIRRORS_MAX] = {false};

	/* What is a destination now may become a source: those that go, go first. */
	for (unsigned i = d->opt.nmirrors; i--;) {
		if (find(to, &d->opt.mirrors[i]) < 0)
			mirror_end(d, i);
	}
	for (unsigned i = 0; i < to->nmirrors; i++) {
		int at = find(&d->opt, &to->mirrors[i]);

		stays[i] = at >= 0;
		kept[i] = stays[i] ? d->mirrors[at] : NULL;
	}
	memcpy(d->opt.mirrors, to->mirrors, sizeof(d->opt.mirrors));
	d->opt.nmirrors = to->nmirrors;
	memcpy(d->mirrors, kept, sizeof(d->mirrors));
	for (unsigned i = 0; i < to->nmirrors; i++) {
		if (!stays[i])
			begin_or_tell(d, i);
	}
}

void mirrors_port(struct daemon *d, const struct port *port)
{
	for (unsigned i = 0; i < d->opt.nmirrors; i++)
		port_take(d, i, port);
}

void mirrors_bridges(struct daemon *d)
{
	for (unsigned i = 0; i < d->opt.nmirrors; i++) {
		if (d->mirrors[i] && d->opt.mirrors[i].of_vlan)
			sw_mirror_bridge(d->mirrors[i], bridge_number(d, &d->opt.mirrors[i]));
	}
}
