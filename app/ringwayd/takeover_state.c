/* SPDX-License-Identifier: BSD-3-Clause */
/* A vhost port's state. The tables name all members but lists, which are written by hand. */
#include "takeover_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rw_base.h"
#include "takeover_fields.h"

#define PORT(member, type)     NEEDED(vhost_port_state, member, type)
#define PORT_MAY(member, type) OPTIONAL(vhost_port_state, member, type)

static const struct field port_fields[] = {
	PORT(listen_fd, FD),
	PORT(file.dev, UINT),
	PORT(file.ino, UINT),
	PORT(connected, BOOL),
	PORT(any_file, BOOL),
	PORT(mac, HEX),
	PORT(mac_set, BOOL),
	PORT(link_off, BOOL),
	PORT(announce_due, BOOL),
	PORT_MAY(unlogged, UINT),
	PORT_MAY(announced, UINT),
	PORT(linger_ms, UINT),
	PORT(down, TEXT),
	PORT(again.session, UINT),
	PORT(again.ran, BOOL),
	PORT(again.fruitless, UINT),
	PORT(again.ended_ms, UINT),
	PORT(again.complained_in, UINT),
	PORT(again.complaint, TEXT),
	PORT(again.refused, UINT),
	PORT(again.pid, UINT),
	PORT(again.process, UINT),
};

#define RAN(member, type) NEEDED(vhost_ran, member, type)

static const struct field ran_fields[] = {
	RAN(session, UINT),
	RAN(pid, UINT),
	RAN(num, UINT),
	RAN(stopped, BOOL),
	RAN(process, UINT),
	RAN(desc, UINT),
	RAN(features, UINT),
};

#define SESSION(member, type) NEEDED(vu_export, member, type)

static const struct field session_fields[] = {
	SESSION(fd, FD),
	SESSION(features, UINT),
	SESSION(protocol_features, UINT),
	SESSION(features_set, BOOL),
	SESSION(features_refused, BOOL),
	SESSION(state_transferred, BOOL),
	SESSION(state_result, INT),
	SESSION(mtu, UINT),
	SESSION(status, UINT),
	SESSION(log.fd, FD),
	SESSION(log.event_fd, FD),
	SESSION(log.size, UINT),
	SESSION(log.offset, UINT),
	OPTIONAL(vu_export, log.marked, UINT),
	SESSION(inflight.fd, FD),
	SESSION(inflight.offset, UINT),
	SESSION(inflight.size, UINT),
	SESSION(inflight.stride, UINT),
	SESSION(inflight.nrings, UINT),
	SESSION(inflight.num, UINT),
	SESSION(message.have, UINT),
	SESSION(message.fds_lost, BOOL),
	SESSION(message.hdr.request, UINT),
	SESSION(message.hdr.flags, UINT),
	SESSION(message.hdr.size, UINT),
	SESSION(message.payload, HEX),
	SESSION(channel.present, BOOL),
	SESSION(channel.fd, FD),
	SESSION(channel.sent, UINT),
	SESSION(channel.have, UINT),
	SESSION(channel.answer, HEX),
};

#define RING(member, type) NEEDED(vu_export_ring, member, type)

static const struct field ring_fields[] = {
	RING(num, UINT),
	RING(base, UINT),
	RING(addr.flags, UINT),
	RING(addr.desc, UINT),
	RING(addr.used, UINT),
	RING(addr.avail, UINT),
	RING(addr.log, UINT),
	RING(kick_fd, FD),
	RING(call_fd, FD),
	RING(err_fd, FD),
	RING(kick_polled, BOOL),
	RING(call_given, BOOL),
	RING(addr_set, BOOL),
	RING(base_set, BOOL),
	RING(started, BOOL),
	RING(enabled, BOOL),
	RING(swap, BOOL),
};

#define REGION(member, type) NEEDED(vu_export_region, member, type)

static const struct field region_fields[] = {
	REGION(desc.gpa, UINT),
	REGION(desc.size, UINT),
	REGION(desc.uva, UINT),
	REGION(desc.mmap_offset, UINT),
	REGION(again, UINT),
	REGION(fd, FD),
};

/* An open descriptor of the message that has arrived in part. */
struct message_fd {
	int fd;
};

static const struct field message_fd_fields[] = {NEEDED(message_fd, fd, FD)};

static const struct field translation_fields[] = {
	NEEDED(gm_iotlb_entry, iova, UINT),
	NEEDED(gm_iotlb_entry, size, UINT),
	NEEDED(gm_iotlb_entry, uva, UINT),
	NEEDED(gm_iotlb_entry, age, UINT),
	NEEDED(gm_iotlb_entry, perm, UINT),
};

static const struct field notice_fields[] = {
	NEEDED(vu_export_notice, len, UINT),
	NEEDED(vu_export_notice, bytes, HEX),
};

static const struct field asked_fields[] = {
	NEEDED(vu_iotlb, iova, UINT),
	NEEDED(vu_iotlb, size, UINT),
	NEEDED(vu_iotlb, uaddr, UINT),
	NEEDED(vu_iotlb, perm, UINT),
	NEEDED(vu_iotlb, type, UINT),
};

static const struct field host_fields[] = {
	NEEDED(vhost_state_host, mac, HEX),
	NEEDED(vhost_state_host, vlan, UINT),
};

/* What a ring has besides, by the port. */
struct ring_more {
	bool settled, needs_reset, rested, call_due, error_due;
};

static const struct field ring_more_fields[] = {
	NEEDED(ring_more, settled, BOOL),
	NEEDED(ring_more, needs_reset, BOOL),
	NEEDED(ring_more, rested, BOOL),
	NEEDED(ring_more, call_due, BOOL),
	NEEDED(ring_more, error_due, BOOL),
};

/* ---- lists ---- */

struct list {
	const char *name;
	const struct field *fields;
	size_t nfields, size; /* of an element, bytes */
};

#define LIST(list_name, table, s)                                                    \
	{                                                                            \
		.name = list_name, .fields = table, .nfields = RW_ARRAY_SIZE(table), \
		.size = sizeof(s)                                                    \
	}

static const struct list ran_list = LIST("ran", ran_fields, struct vhost_ran);
static const struct list rings_list = LIST("rings", ring_fields, struct vu_export_ring);
static const struct list more_list = LIST("ring_states", ring_more_fields, struct ring_more);
static const struct list regions_list = LIST("regions", region_fields, struct vu_export_region);
static const struct list fds_list = LIST("message_fds", message_fd_fields, struct message_fd);
static const struct list notices_list = LIST("notices", notice_fields, struct vu_export_notice);
static const struct list asked_list = LIST("asked", asked_fields, struct vu_iotlb);
static const struct list translations_list = LIST(
	"translations", translation_fields, struct gm_iotlb_entry);
static const struct list hosts_list = LIST("hosts", host_fields, struct vhost_state_host);

/* Set the list in `to`. */
static void list_write(json_t *to, const struct list *l, const void *elements, uint32_t n,
	struct takeover_fds *fds)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(all,
			fields_write(l->fields, l->nfields, (const uint8_t *)elements + i * l->size,
				fds));
	json_object_set_new(to, l->name, all);
}

/* Read at most `max` elements. NULL; or the name of what is wrong. */
static const char *list_read(const json_t *from, const struct list *l, void *elements, uint32_t max,
	uint32_t *n, struct takeover_fds *fds)
{
	const json_t *all = json_object_get(from, l->name);
	const char *wrong = NULL;

	if (!json_is_array(all) || json_array_size(all) > max)
		return l->name;
	for (*n = 0; !wrong && *n < json_array_size(all);) {
		wrong = fields_read(l->fields, l->nfields, json_array_get(all, *n),
			(uint8_t *)elements + *n * l->size, fds);
		++*n;
	}
	return wrong;
}

/* ---- out ---- */

static void more_write(json_t *to, const struct vhost_port_state *st, struct takeover_fds *fds)
{
	struct ring_more more[VU_MAX_RINGS];

	for (uint32_t i = 0; i < st->session.nrings; i++)
		more[i] = (struct ring_more){
			.settled = st->settled[i],
			.needs_reset = st->needs_reset[i],
			.rested = st->rested[i],
			.call_due = st->session.channel.call_due[i],
			.error_due = st->session.channel.error_due[i],
		};
	list_write(to, &more_list, more, st->session.nrings, fds);
}

json_t *takeover_regions_write(
	const struct vu_export_region *regions, uint32_t n, struct takeover_fds *fds)
{
	json_t *all = json_object();

	list_write(all, &regions_list, regions, n, fds);
	return all;
}

/* Rings up to the last one that has run. */
static uint32_t ran_count(const struct vhost_port_state *st)
{
	uint32_t n = VU_MAX_RINGS;

	while (n && !st->again.rings[n - 1].num)
		n--;
	return n;
}

json_t *takeover_state_write(const struct vhost_port_state *st, struct takeover_fds *fds)
{
	const struct vu_export *e = &st->session;
	json_t *all = fields_write(port_fields, RW_ARRAY_SIZE(port_fields), st, fds), *session;
	struct message_fd message_fds[VU_MAX_FDS];

	if (all)
		list_write(all, &ran_list, st->again.rings, ran_count(st), fds);
	if (!all || !st->connected)
		return all;
	session = fields_write(session_fields, RW_ARRAY_SIZE(session_fields), e, fds);
	for (uint32_t i = 0; i < e->message.nfds; i++)
		message_fds[i].fd = e->message.fds[i];
	list_write(session, &fds_list, message_fds, e->message.nfds, fds);
	list_write(session, &rings_list, e->rings, e->nrings, fds);
	list_write(session, &regions_list, e->regions, e->nregions, fds);
	list_write(session, &notices_list, e->channel.notices, e->channel.nnotices, fds);
	list_write(session, &asked_list, e->channel.asked, e->channel.nasked, fds);
	more_write(session, st, fds);
	list_write(all, &hosts_list, st->hosts, st->nhosts, fds);
	list_write(all, &translations_list, st->translations, st->ntranslations, fds);
	json_object_set_new(all, "session", session);
	return all;
}

/* ---- in ---- */

const char *takeover_regions_read(
	const json_t *from, struct vu_export_region *regions, uint32_t *n, struct takeover_fds *fds)
{
	return list_read(from, &regions_list, regions, GM_MAX_REGIONS, n, fds);
}

static const char *more_read(
	const json_t *from, struct vhost_port_state *st, struct takeover_fds *fds)
{
	struct ring_more more[VU_MAX_RINGS] = {{0}};
	uint32_t n;
	const char *wrong = list_read(from, &more_list, more, VU_MAX_RINGS, &n, fds);

	for (uint32_t i = 0; !wrong && i < n; i++) {
		st->settled[i] = more[i].settled;
		st->needs_reset[i] = more[i].needs_reset;
		st->rested[i] = more[i].rested;
		st->session.channel.call_due[i] = more[i].call_due;
		st->session.channel.error_due[i] = more[i].error_due;
	}
	return wrong;
}

static const char *message_read(const json_t *from, struct vu_export *e, struct takeover_fds *fds)
{
	struct message_fd message_fds[VU_MAX_FDS];
	const char *wrong;

	for (unsigned i = 0; i < VU_MAX_FDS; i++)
		message_fds[i].fd = -1;
	wrong = list_read(from, &fds_list, message_fds, VU_MAX_FDS, &e->message.nfds, fds);
	for (uint32_t i = 0; i < e->message.nfds; i++)
		e->message.fds[i] = message_fds[i].fd;
	return wrong;
}

static const char *session_read(
	const json_t *from, struct vhost_port_state *st, struct takeover_fds *fds)
{
	struct vu_export *e = &st->session;
	const char *wrong;

	vu_export_init(e);
	wrong = fields_read(session_fields, RW_ARRAY_SIZE(session_fields), from, e, fds);
	if (!wrong)
		wrong = message_read(from, e, fds);
	if (!wrong)
		wrong = list_read(from, &rings_list, e->rings, VU_MAX_RINGS, &e->nrings, fds);
	if (!wrong)
		wrong = list_read(
			from, &regions_list, e->regions, GM_MAX_REGIONS, &e->nregions, fds);
	if (!wrong)
		wrong = list_read(from, &notices_list, e->channel.notices, VU_EXPORT_MAX_QUEUE,
			&e->channel.nnotices, fds);
	if (!wrong)
		wrong = list_read(from, &asked_list, e->channel.asked, VU_EXPORT_MAX_QUEUE,
			&e->channel.nasked, fds);
	return wrong ? wrong : more_read(from, st, fds);
}

static const char *hosts_read(
	const json_t *from, struct vhost_port_state *st, struct takeover_fds *fds)
{
	size_t n = json_array_size(json_object_get(from, "hosts"));

	st->hosts = calloc(n + 1, sizeof(*st->hosts));
	return st->hosts ? list_read(from, &hosts_list, st->hosts, (uint32_t)n, &st->nhosts, fds)
			 : "hosts";
}

static const char *translations_read(
	const json_t *from, struct vhost_port_state *st, struct takeover_fds *fds)
{
	size_t n = json_array_size(json_object_get(from, "translations"));

	if (n > GM_IOTLB_MAX)
		return "translations";
	st->translations = calloc(n + 1, sizeof(*st->translations));
	return st->translations ? list_read(from, &translations_list, st->translations, (uint32_t)n,
					  &st->ntranslations, fds)
				: "translations";
}

const char *takeover_state_read(
	const json_t *from, struct vhost_port_state *st, struct takeover_fds *fds)
{
	const char *wrong;
	uint32_t nran;

	vhost_state_init(st);
	wrong = fields_read(port_fields, RW_ARRAY_SIZE(port_fields), from, st, fds);
	if (!wrong)
		wrong = list_read(from, &ran_list, st->again.rings, VU_MAX_RINGS, &nran, fds);
	if (!wrong && st->connected)
		wrong = session_read(json_object_get(from, "session"), st, fds);
	if (!wrong && st->connected)
		wrong = hosts_read(from, st, fds);
	if (!wrong && st->connected)
		wrong = translations_read(from, st, fds);
	return wrong;
}
