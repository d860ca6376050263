/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwarding database of the process before, and snapshots for the next one. A snapshot is made
 * in pieces, so that a large table delays nobody, and again and again: a process that is killed
 * leaves one that is a few seconds old.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "rw_log.h"
#include "sw_bridge.h"

#define REST_MS  2000 /* from one snapshot to the next */
#define PIECE_MS 10   /* from one piece of it to the next */
#define PIECE    32   /* pages that a piece reads */
#define PAGE     64u  /* entries */

/* ---- restore ---- */

/* Say once why nothing is restored. */
static void complain(const struct daemon *d, enum fdb_file_state state)
{
	const char *dir = d->opt.state_dir;

	if (state == FDB_FILE_BOOT)
		rw_info("%s/fdb is of another boot of this host: addresses are learned anew", dir);
	else if (state == FDB_FILE_ALIEN)
		rw_warning("%s/fdb is of another version, or no such file: it is ignored and made "
			   "anew; addresses are learned anew",
			dir);
	else if (state == FDB_FILE_WRONG)
		rw_warning("%s/fdb is damaged: it is ignored and made anew; addresses are learned "
			   "anew",
			dir);
}

int state_fdb_begin(struct daemon *d, int fd, const char *boot)
{
	enum fdb_file_state state;
	struct fdb_file_view kept;
	int ret = fdb_file_new(fd, boot, d->opt.fdb_size, &d->fdb.file, &state, &kept);

	if (ret) {
		close(fd);
		return ret;
	}
	d->fdb.fd = fd;
	complain(d, state);
	if (state == FDB_FILE_GOOD)
		d->fdb.kept = malloc(sizeof(kept));
	if (d->fdb.kept)
		*d->fdb.kept = kept;
	return 0;
}

int state_fdb_take(struct daemon *d, int fd, const char *boot)
{
	int ret = fdb_file_take(fd, boot, d->opt.fdb_size, &d->fdb.file);

	if (ret)
		close(fd);
	else
		d->fdb.fd = fd;
	return ret;
}

/* Whether frames of the VLAN `id` may still come from the port; 0: frames without a tag. */
static bool vlan_fits(const struct options_vlans *v, unsigned id)
{
	if (!v->access && !v->trunk)
		return true;
	if (id && id == (v->access ? v->access : v->native))
		return true;
	return id && v->trunk && options_vlan_has(v, id);
}

static bool mac_fits(const struct sw_policy *policy, const uint8_t mac[6])
{
	for (unsigned i = 0; i < policy->nmacs; i++) {
		if (!memcmp(policy->macs[i], mac, 6))
			return true;
	}
	return !policy->nmacs;
}

/* Whether the entry still makes sense behind the port of that name; its index then, else -1. */
static int port_for(
	const struct daemon *d, const struct fdb_file_view *kept, const struct fdb_file_entry *e)
{
	const struct fdb_file_port *named = &kept->ports[e->port];
	int i = daemon_port_find(d, named->name);
	const struct options_port *port = &d->opt.ports[RW_MAX(i, 0)];

	if (i < 0 || strcmp(options_bridge_of(port), named->bridge) ||
		!vlan_fits(&port->vlans, e->vlan) || (e->vlan && port->vlans.service != e->service))
		return -1;
	return e->fixed || mac_fits(&port->policy, e->mac) ? i : -1;
}

/* False: it is none of this switch any more. */
static bool entry_restore(struct daemon *d, const struct fdb_file_entry *e, uint64_t since_s)
{
	int i = port_for(d, d->fdb.kept, e);
	const struct port *port = i < 0 ? NULL : d->ports[i].port;
	uint64_t age_s = e->age_s + since_s;
	struct sw_vlan vlan;
	uint16_t domain;
	fdb_key key;

	if (!port || (!e->fixed && d->opt.fdb_age_s && age_s > d->opt.fdb_age_s))
		return false;
	vlan = sw_bridge_vlan(d->sw, port, e->vlan);
	domain = e->fixed ? sw_domain_keep(d->sw, vlan) : sw_domain_of(d->sw, vlan);
	if (!domain)
		return false;
	key = fdb_key_make(e->mac, domain);
	if (e->fixed)
		return !fdb_add_static(sw_fdb(d->sw), key, port->id, false);
	/* Seconds are compared by their difference, of 31 bits. */
	age_s = RW_MIN(age_s, (uint64_t)INT32_MAX / 2);
	return fdb_learn_by(sw_fdb(d->sw), key, port->id, sw_now_s(d->sw) - (uint32_t)age_s,
		       FDB_BY_FILE) == FDB_NEW;
}

/*
 * A guest that has not come back by now is gone, as after its front-end left. Frames for its hosts
 * are flooded again.
 */
static void settle(void *arg)
{
	struct daemon *d = arg;

	for (unsigned i = 0; i < d->nports; i++) {
		if (!sw_port_is_up(d->sw, d->ports[i].port))
			sw_port_flush(d->sw, d->ports[i].port);
	}
}

static void settle_in(struct daemon *d, uint64_t ms)
{
	d->fdb.settle = (struct rw_timer){.fn = settle, .arg = d};
	rw_timer_start(d->loop, &d->fdb.settle, ms, 0);
}

static void restore(struct daemon *d)
{
	const struct fdb_file_view *kept = d->fdb.kept;
	uint64_t now_ms = rw_now_ms();
	uint64_t since_s = now_ms > kept->made_ms ? (now_ms - kept->made_ms) / 1000 : 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < kept->nentries; i++)
		n += entry_restore(d, &kept->entries[i], since_s);
	rw_info("%u of %u addresses are known from before", n, kept->nentries);
	settle_in(d, d->opt.fdb_linger_s * 1000ull);
}

/* ---- snapshots ---- */

static void snapshot_begin(struct daemon *d)
{
	struct daemon_fdb *s = &d->fdb;

	fdb_file_begin(s->file);
	for (unsigned i = 0; i < SW_MAX_PORTS; i++)
		s->index_of[i] = -1;
	for (unsigned i = 0; i < d->nports; i++)
		s->index_of[d->ports[i].port->id] = (int16_t)fdb_file_port(
			s->file, d->opt.ports[i].name, options_bridge_of(&d->opt.ports[i]));
	s->ports_serial = d->ports_serial;
	s->cursor = 0;
	s->begun = true;
}

static void entry_save(struct daemon *d, const struct fdb_entry *e, uint32_t now_s)
{
	struct sw_vlan vlan = sw_domain_vlan(d->sw, fdb_key_domain(e->key));
	struct fdb_file_entry out = {.vlan = vlan.id,
		.fixed = e->kind == FDB_STATIC,
		.service = vlan.service,
		.age_s = (uint32_t)RW_MAX((int32_t)(now_s - e->last_seen_s), 0)};

	if (e->kind == FDB_EXTERNAL || d->fdb.index_of[e->hop] < 0)
		return;
	fdb_key_mac(e->key, out.mac);
	out.port = (uint16_t)d->fdb.index_of[e->hop];
	if (out.fixed)
		out.age_s = 0;
	fdb_file_add(d->fdb.file, &out);
}

/* Save a piece of the table. True: that was the last one. */
static bool snapshot_go_on(struct daemon *d)
{
	struct daemon_fdb *s = &d->fdb;
	uint32_t now_s = sw_now_s(d->sw), n = PAGE;
	struct fdb_entry page[PAGE];

	/* What was saved of a port that went says nothing about the next one of that id. */
	if (!s->begun || s->ports_serial != d->ports_serial)
		snapshot_begin(d);
	for (unsigned i = 0; i < PIECE && n == PAGE && s->cursor != FDB_CURSOR_END; i++) {
		n = fdb_list(sw_fdb(d->sw), &s->cursor, page, PAGE);
		for (uint32_t k = 0; k < n; k++)
			entry_save(d, &page[k], now_s);
	}
	if (s->cursor != FDB_CURSOR_END)
		return false;
	fdb_file_commit(s->file);
	s->begun = false;
	return true;
}

static void snapshot_due(void *arg)
{
	struct daemon *d = arg;

	rw_timer_start(d->loop, &d->fdb.timer, snapshot_go_on(d) ? REST_MS : PIECE_MS, 0);
}

static void snapshots_begin(struct daemon *d)
{
	d->fdb.runs = true;
	d->fdb.timer = (struct rw_timer){.fn = snapshot_due, .arg = d};
	rw_timer_start(d->loop, &d->fdb.timer, REST_MS, 0);
}

void state_fdb_restore(struct daemon *d)
{
	struct daemon_fdb *s = &d->fdb;

	if (!s->file)
		return;
	if (s->kept)
		restore(d);
	free(s->kept);
	s->kept = NULL;
	fdb_file_forget(s->file);
	snapshots_begin(d);
}

void state_fdb_go_on(struct daemon *d, uint64_t settle_ms)
{
	if (d->fdb.file)
		snapshots_begin(d);
	if (settle_ms)
		settle_in(d, settle_ms);
}

void state_fdb_leave(struct daemon *d)
{
	rw_timer_stop(d->loop, &d->fdb.timer);
	rw_timer_stop(d->loop, &d->fdb.settle);
	d->fdb.begun = false;
	d->fdb.runs = false;
}

uint64_t state_fdb_settles_in(const struct daemon *d)
{
	const struct rw_timer *settle = &d->fdb.settle;
	uint64_t now_ms = rw_now_ms();

	if (!settle->active)
		return 0;
	return settle->expires_ms > now_ms ? settle->expires_ms - now_ms : 1;
}

void state_fdb_save(struct daemon *d)
{
	if (!d->fdb.runs)
		return;
	state_fdb_leave(d);
	while (!snapshot_go_on(d))
		;
}

void state_fdb_end(struct daemon *d)
{
	fdb_file_free(d->fdb.file);
	free(d->fdb.kept);
	if (d->fdb.fd >= 0)
		close(d->fdb.fd);
}
