/* SPDX-License-Identifier: BSD-3-Clause */
#include "marks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A queue pair at the mark. */
struct kept_pair {
	uint16_t index;
	struct port_pair pair;
};

/* A port at the mark. */
struct kept_port {
	struct port_pair sum;
	struct sw_link link;
	unsigned npairs;
	struct kept_pair pairs[];
};

struct mark {
	char name[MARKS_NAME_MAX + 1];
	uint32_t set_s;
	size_t bytes;
	struct kept_port *ports[SW_MAX_PORTS];
};

static size_t port_bytes(unsigned npairs)
{
	return sizeof(struct kept_port) + npairs * sizeof(struct kept_pair);
}

static unsigned pairs_count(const struct port *port)
{
	unsigned n = 0;

	for (uint16_t i = 0; i < PORT_MAX_PAIRS; i++)
		n += port_has_pair(port, i);
	return n;
}

static struct kept_port *port_keep(const struct sw *sw, const struct port *port)
{
	unsigned n = pairs_count(port);
	/* Counters are aligned to cache lines. */
	struct kept_port *kept = aligned_alloc(
		RW_CACHE_LINE, rw_align_up(port_bytes(n), RW_CACHE_LINE));

	if (!kept)
		return NULL;
	port_read(port, &kept->sum);
	sw_link_read(sw, port, &kept->link);
	kept->npairs = 0;
	for (uint16_t i = 0; i < PORT_MAX_PAIRS && kept->npairs < n; i++) {
		struct kept_pair *pair = &kept->pairs[kept->npairs];

		if (!port_has_pair(port, i))
			continue;
		pair->index = i;
		port_read_pair(port, i, &pair->pair);
		kept->npairs++;
	}
	return kept;
}

static void mark_free(struct mark *m)
{
	for (unsigned i = 0; i < SW_MAX_PORTS; i++)
		free(m->ports[i]);
	free(m);
}

/* NULL with errno set. `room` is what it may take. */
static struct mark *mark_new(const struct sw *sw, const char *name, size_t room)
{
	struct mark *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->set_s = sw_now_s(sw);
	m->bytes = sizeof(*m);
	for (unsigned i = 0; i < SW_MAX_PORTS; i++) {
		const struct port *port = sw_port(sw, (uint16_t)i);

		if (!port)
			continue;
		m->bytes += port_bytes(pairs_count(port));
		m->ports[i] = m->bytes <= room ? port_keep(sw, port) : NULL;
		if (!m->ports[i]) {
			errno = m->bytes <= room ? ENOMEM : EDQUOT;
			mark_free(m);
			return NULL;
		}
	}
	return m;
}

static unsigned place_of(const struct marks *marks, const char *name)
{
	unsigned i = 0;

	while (i < marks->n && strcmp(marks->list[i]->name, name))
		i++;
	return i;
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	return len && len <= MARKS_NAME_MAX;
}

int marks_set(struct marks *marks, const struct sw *sw, const char *name)
{
	unsigned at = place_of(marks, name);
	struct mark *m;

	if (!is_name(name))
		return -EINVAL;
	if (at == MARKS_MAX)
		return -ENOSPC;
	m = mark_new(sw, name, MARKS_MAX_BYTES - marks->bytes);
	if (!m)
		return -errno;
	if (at < marks->n)
		marks_del(marks, name);
	marks->list[marks->n++] = m;
	marks->bytes += m->bytes;
	return 0;
}

int marks_del(struct marks *marks, const char *name)
{
	unsigned at = place_of(marks, name);

	if (at == marks->n)
		return -ENOENT;
	marks->bytes -= marks->list[at]->bytes;
	mark_free(marks->list[at]);
	marks->n--;
	for (; at < marks->n; at++)
		marks->list[at] = marks->list[at + 1];
	return 0;
}

const struct mark *marks_find(const struct marks *marks, const char *name)
{
	unsigned at = place_of(marks, name);

	return at < marks->n ? marks->list[at] : NULL;
}

void marks_forget_port(struct marks *marks, uint16_t id)
{
	for (unsigned i = 0; i < marks->n; i++) {
		free(marks->list[i]->ports[id]);
		marks->list[i]->ports[id] = NULL;
	}
}

void marks_end(struct marks *marks)
{
	while (marks->n)
		marks_del(marks, marks->list[0]->name);
}

const char *mark_name(const struct mark *m)
{
	return m->name;
}

uint32_t mark_set_s(const struct mark *m)
{
	return m->set_s;
}

static void counters_subtract(struct port_counters *from, const struct port_counters *c)
{
	const uint64_t *less = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)from;

	for (size_t i = 0; i < sizeof(*c) / sizeof(*to); i++)
		to[i] -= less[i];
}

void mark_subtract(const struct mark *m, uint16_t id, struct port_pair *pair)
{
	const struct kept_port *kept = m->ports[id];

	if (!kept)
		return;
	counters_subtract(&pair->rx, &kept->sum.rx);
	counters_subtract(&pair->tx, &kept->sum.tx);
}

void mark_subtract_pair(const struct mark *m, uint16_t id, uint16_t index, struct port_pair *pair)
{
	const struct kept_port *kept = m->ports[id];

	for (unsigned i = 0; kept && i < kept->npairs; i++) {
		if (kept->pairs[i].index != index)
			continue;
		counters_subtract(&pair->rx, &kept->pairs[i].pair.rx);
		counters_subtract(&pair->tx, &kept->pairs[i].pair.tx);
	}
}

void mark_subtract_link(const struct mark *m, uint16_t id, struct sw_link *link)
{
	const struct kept_port *kept = m->ports[id];

	if (!kept)
		return;
	link->ups -= kept->link.ups;
	link->downs -= kept->link.downs;
}
