/* SPDX-License-Identifier: BSD-3-Clause */
/* What a user said about a port's VLANs becomes its memberships in the switch. */
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "sw_bridge.h"

static enum sw_form form_of(const struct options_vlans *v, unsigned vlan)
{
	if (vlan == v->access || (v->trunk && vlan == v->native))
		return SW_FORM_UNTAGGED;
	return v->trunk && options_vlan_has(v, vlan) ? SW_FORM_TAGGED : SW_FORM_NONE;
}

/*
 * Leave first: a port has one untagged membership at a time, and none while it changes its bridge.
 * 0 or -errno.
 */
static int memberships_change(struct sw *sw, struct port *port, const struct options_vlans *from,
	const struct options_vlans *to)
{
	bool moves = strcmp(from->bridge, to->bridge) || from->service != to->service;
	int ret = 0;

	for (uint16_t vlan = 1; vlan <= OPTIONS_VLAN_MAX; vlan++) {
		if (moves || form_of(from, vlan) != form_of(to, vlan))
			sw_domain_leave(sw, port, vlan);
	}
	if (moves)
		ret = sw_bridge_enter(
			sw, port, to->bridge[0] ? to->bridge : SW_BRIDGE_DEFAULT, to->service);
	for (uint16_t vlan = 1; vlan <= OPTIONS_VLAN_MAX && !ret; vlan++) {
		enum sw_form form = form_of(to, vlan);

		if (form != SW_FORM_NONE && (moves || form != form_of(from, vlan)))
			ret = sw_domain_join(sw, port, vlan, form);
	}
	return ret;
}

int daemon_vlans_set(struct daemon *d, struct port *port, const struct options_vlans *from,
	const struct options_vlans *to)
{
	int ret = memberships_change(d->sw, port, from, to);

	/* What it had it gets again: those domains and their tables are still there. */
	if (ret)
		memberships_change(d->sw, port, to, from);
	sw_commit_soon(d->sw);
	return ret;
}

/* The names of the VLANs that the port is in; NULL: none has one. */
static json_t *names_json(const struct options *opt, const struct options_vlans *v)
{
	json_t *names = NULL;

	for (unsigned i = 0; i < opt->nvlan_names; i++) {
		const struct options_vlan_name *n = &opt->vlan_names[i];

		if (form_of(v, n->vlan) == SW_FORM_NONE)
			continue;
		if (!names)
			names = json_object();
		json_object_set_new(names, n->name, json_integer(n->vlan));
	}
	return names;
}

json_t *daemon_vlans_json(const struct options *opt, const struct options_vlans *v)
{
	char text[OPTIONS_VLANS_TEXT];

	if (v->access)
		return json_pack("{s:i, s:o*}", "access", v->access, "names", names_json(opt, v));
	if (!v->trunk)
		return json_null();
	options_vlans_text(v, text, sizeof(text));
	return json_pack("{s:s, s:o, s:o*}", "trunk", text, "native",
		v->native ? json_integer(v->native) : json_null(), "names", names_json(opt, v));
}
