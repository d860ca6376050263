/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames, bytes and drops of each VLAN. */
#include <errno.h>
#include <stdlib.h>

#include "count.h"

/* Twice as many as VLANs, so that a search ends soon. */
#define SLOTS (2 * SW_COUNT_MAX_VLANS)

/* The counters of struct sw_vlan_count, in their order. */
enum { RX_FRAMES, RX_BYTES, RX_DROPS, TX_FRAMES, TX_BYTES, TX_DROPS, NUM };

struct row {
	uint64_t key; /* 0: free; atomic, and written once */
	uint64_t counters[NUM];
};

struct part {
	struct row rows[SLOTS];
	unsigned n; /* rows in use; the worker's alone */
	uint64_t others;
};

#define KEY_USED (UINT64_C(1) << 63)

static uint64_t key_of(struct sw_vlan vlan)
{
	return KEY_USED | (uint64_t)vlan.bridge << 32 | (uint64_t)vlan.service << 16 | vlan.id;
}

static struct sw_vlan vlan_of(uint64_t key)
{
	return (struct sw_vlan){
		.bridge = (uint16_t)(key >> 32), .service = key >> 16 & 1, .id = (uint16_t)key};
}

/* The row of a VLAN; NULL: there is no room. */
static struct row *row_get(struct part *p, uint64_t key)
{
	uint32_t slot = count_slot(key, SLOTS);

	while (p->rows[slot].key && p->rows[slot].key != key)
		slot = (slot + 1) % SLOTS;
	if (p->rows[slot].key)
		return &p->rows[slot];
	if (p->n == SW_COUNT_MAX_VLANS)
		return NULL;
	p->n++;
	__atomic_store_n(&p->rows[slot].key, key, __ATOMIC_RELAXED);
	return &p->rows[slot];
}

static void row_count(
	struct part *p, uint64_t key, const struct sw_sight *s, uint64_t n, uint64_t bytes)
{
	struct row *row = row_get(p, key);

	if (!row) {
		port_count(&p->others, n);
	} else if (s->what == SW_SEE_DROP) {
		port_count(&row->counters[s->rx ? RX_DROPS : TX_DROPS], n);
	} else {
		port_count(&row->counters[s->what == SW_SEE_RX ? RX_FRAMES : TX_FRAMES], n);
		port_count(&row->counters[s->what == SW_SEE_RX ? RX_BYTES : TX_BYTES], bytes);
	}
}

/* Frames of one VLAN come one after the other. */
static void see(const struct sw_count *c, void *part, const struct sw_sight *s)
{
	uint64_t last = 0, bytes = 0, n = 0;

	(void)c;
	for (unsigned i = 0; i < s->n; i++) {
		uint64_t key = key_of(sw_sight_vlan(s, i));

		if (key != last && n) {
			row_count(part, last, s, n, bytes);
			n = bytes = 0;
		}
		last = key;
		n++;
		bytes += s->frames[i]->len;
	}
	if (n)
		row_count(part, last, s, n, bytes);
}

static void lost(const void *part, struct sw_count_lost *sum)
{
	sum->others += count_read(&((const struct part *)part)->others);
}

const struct count_ops count_vlans = {.wants = SW_SEE_RX | SW_SEE_TX | SW_SEE_DROP,
	.bytes = sizeof(struct part),
	.see = see,
	.lost = lost};

static int by_key(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	return (a->key > b->key) - (a->key < b->key);
}

/* Copy the rows in use of all parts; one VLAN may have several. Returns how many. */
static size_t rows_copy(const struct sw_count *c, struct row *out)
{
	size_t n = 0;

	for (unsigned w = 0; w < c->nworkers; w++) {
		const struct part *p = c->parts[w];
		size_t end = n + SW_COUNT_MAX_VLANS;

		for (unsigned i = 0; i < SLOTS && n < end; i++) {
			uint64_t key = count_read(&p->rows[i].key);

			if (!key)
				continue;
			out[n].key = key;
			for (unsigned k = 0; k < NUM; k++)
				out[n].counters[k] = count_read(&p->rows[i].counters[k]);
			n++;
		}
	}
	return n;
}

static void row_add(struct sw_vlan_count *to, const struct row *from)
{
	const uint64_t *n = from->counters;

	to->rx_frames += n[RX_FRAMES];
	to->rx_bytes += n[RX_BYTES];
	to->rx_drops += n[RX_DROPS];
	to->tx_frames += n[TX_FRAMES];
	to->tx_bytes += n[TX_BYTES];
	to->tx_drops += n[TX_DROPS];
}

int sw_vlans_read(const struct sw_count *c, struct sw_vlan_count **out)
{
	struct row *rows = calloc((size_t)c->nworkers * SW_COUNT_MAX_VLANS, sizeof(*rows));
	struct sw_vlan_count *list;
	size_t n, m = 0;

	if (!rows)
		return -ENOMEM;
	n = rows_copy(c, rows);
	list = calloc(n + 1, sizeof(*list));
	if (!list) {
		free(rows);
		return -ENOMEM;
	}
	qsort(rows, n, sizeof(*rows), by_key);
	for (size_t i = 0; i < n; i++) {
		if (i && rows[i].key != rows[i - 1].key)
			m++;
		list[m].vlan = vlan_of(rows[i].key);
		row_add(&list[m], &rows[i]);
	}
	free(rows);
	*out = list;
	return n ? (int)m + 1 : 0;
}
