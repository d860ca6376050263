/* SPDX-License-Identifier: BSD-3-Clause */
#include "hosts.h"

#include <stdio.h>
#include <string.h>

void host_make(uint8_t mac[6], uint32_t n)
{
	const uint8_t m[6] = {
		0x0a, 0x5c, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	memcpy(mac, m, 6);
}

/* A walk through the table, page by page. */
struct table {
	json_t *page;
	size_t at;
};

static json_t *table_page(struct rig *r, json_t *cursor)
{
	json_t *params = cursor ? json_pack("{s:O}", "cursor", cursor) : NULL;

	return rig_call(r, "fdb.list", params);
}

static const json_t *table_next(struct rig *r, struct table *t)
{
	json_t *entry, *next, *page;

	if (!t->page)
		t->page = table_page(r, NULL);
	for (;;) {
		entry = json_array_get(json_object_get(t->page, "entries"), t->at++);
		if (entry)
			return entry;
		next = json_object_get(t->page, "next");
		page = json_is_integer(next) ? table_page(r, next) : NULL;
		json_decref(t->page);
		*t = (struct table){.page = page};
		if (!page)
			return NULL;
	}
}

static const char *text_of(const json_t *entry, const char *key)
{
	return json_string_value(json_object_get(entry, key));
}

/* `how` NULL: in whichever way it was found. */
static char host_find(struct rig *r, const uint8_t mac[6], uint16_t vlan, const char *how)
{
	struct table t = {0};
	const json_t *e;
	char want[18];
	char port = 0;

	snprintf(want, sizeof(want), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	while ((e = table_next(r, &t))) {
		if (strcmp(text_of(e, "mac"), want) ||
			json_integer_value(json_object_get(e, "vlan")) != vlan)
			continue;
		port = text_of(e, "port")[0];
		if (how)
			assert_string_equal(text_of(e, "how"), how);
	}
	return port;
}

char host_port(struct rig *r, const uint8_t mac[6], uint16_t vlan)
{
	return host_find(r, mac, vlan, NULL);
}

char host_found(struct rig *r, const uint8_t mac[6], uint16_t vlan, const char *how)
{
	return host_find(r, mac, vlan, how);
}

uint32_t hosts_behind(struct rig *r, const char *port)
{
	struct table t = {0};
	const json_t *e;
	uint32_t n = 0;

	while ((e = table_next(r, &t)))
		n += !strcmp(text_of(e, "port"), port);
	return n;
}

void host_speaks(struct rig *r, struct peer *p, const uint8_t mac[6], int vlan)
{
	uint8_t data[60];
	const struct fe_frame f = {.data = data, .len = sizeof(data)};

	frame_make(data, sizeof(data), mac_broadcast, mac, 0);
	if (vlan >= 0) {
		data[12] = 0x81;
		data[13] = 0x00;
		data[14] = (uint8_t)(vlan >> 8);
		data[15] = (uint8_t)vlan;
	}
	peer_send(r, p, 0, &f);
}

uint32_t rarp_frame(uint8_t frame[RARP_MAX], const uint8_t mac[6], uint16_t vlan)
{
	/* Hardware Ethernet, protocol IPv4, their lengths, operation 3, then two pairs. */
	const uint8_t body[28] = {0, 1, 8, 0, 6, 4, 0, 3, mac[0], mac[1], mac[2], mac[3], mac[4],
		mac[5], 0, 0, 0, 0, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0, 0, 0};
	uint32_t at = 12;

	memset(frame, 0, RARP_MAX);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	if (vlan) {
		memcpy(frame + at,
			(uint8_t[]){0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)(vlan & 0xff)}, 4);
		at += 4;
	}
	memcpy(frame + at, (uint8_t[]){0x80, 0x35}, 2);
	memcpy(frame + at + 2, body, sizeof(body));
	return vlan ? 64 : 60;
}

void peer_expect_rarp(struct rig *r, struct peer *p, const uint8_t mac[6], uint16_t vlan)
{
	static const struct virtio_net_hdr plain;
	static uint8_t got[FRAME_MAX];
	uint8_t want[RARP_MAX];
	struct fe_received in;
	uint32_t len = rarp_frame(want, mac, vlan);

	peer_recv(r, p, 0, got, &in);
	if (in.len != len || memcmp(got, want, len))
		fail_msg("port %s: %u bytes from ..:%02x:%02x, not the RARP of ..:%02x:%02x",
			p->port, in.len, got[10], got[11], mac[4], mac[5]);
	assert_memory_equal(&in.hdr.hdr, &plain, sizeof(plain));
}

bool rig_has_logged(const struct rig *r, const char *text)
{
	FILE *f = fopen(rig_path(r, "log"), "re");
	bool found = false;
	char line[512];

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, text);
	fclose(f);
	return found;
}
