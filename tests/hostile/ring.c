/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring.h"

#include <string.h>

struct scene scene_with(struct rig *r, uint64_t format, const struct fe_guest_config *c)
{
	const struct fe_guest_config plain = guest_usual();
	struct scene s = {.r = r, .format = format};

	s.a = peer_up(r, "a", c);
	s.b = peer_up(r, "b", &plain);
	peers_meet(r, s.a, s.b);
	return s;
}

struct scene scene_up(struct rig *r, uint64_t format, uint16_t size)
{
	struct fe_guest_config c = guest_usual();

	c.features |= format;
	c.tx_size = c.rx_size = size;
	return scene_with(r, format, &c);
}

struct fe_ring *tx_ring(const struct scene *s)
{
	return &fe_guest_tx(s->a->g, 0)->ring;
}

struct fe_ring *rx_ring(const struct scene *s)
{
	return &fe_guest_rx(s->a->g, 0)->ring;
}

uint64_t good_gpa(const struct scene *s)
{
	return fe_guest_tx(s->a->g, 0)->bufs.gpa;
}

uint64_t end_of_memory(const struct scene *s)
{
	const struct fe_mem *m = &s->a->g->mem;

	return m->regions[m->nregions - 1].c.gpa + m->regions[m->nregions - 1].c.size;
}

void tx_settle(const struct scene *s)
{
	rig_wait(s->r, fe_guest_reap(s->a->g, 0) >= 0 && tx_ring(s)->in_flight == 0);
}

void tx_go(const struct scene *s)
{
	fe_ring_publish(tx_ring(s));
	fe_queue_kick(fe_guest_tx(s->a->g, 0));
}

uint64_t rx_drops(const struct scene *s)
{
	json_t *rows = rig_call(s->r, "port.stats", NULL), *row, *count;
	const char *why;
	uint64_t n = 0;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "name")), "a"))
			continue;
		json_object_foreach(json_object_get(json_object_get(row, "rx"), "drops"), why,
			count) n += (uint64_t)json_integer_value(count);
	}
	json_decref(rows);
	return n;
}

void comes_back(const struct scene *s)
{
	struct fe_used u;

	rig_wait(s->r, !fe_ring_pop(tx_ring(s), &u));
	assert_int_equal(u.len, 0);
}

void chain_drops(const struct scene *s, const struct fe_chain *c, const char *why)
{
	uint64_t before = rig_counter(s->r, "a", "rx", why), all = rx_drops(s);

	tx_settle(s);
	assert_int_equal(fe_ring_add(tx_ring(s), c), 0);
	tx_go(s);
	comes_back(s);
	rig_wait(s->r, rig_counter(s->r, "a", "rx", why) != before || rx_drops(s) != all);
	assert_int_equal(rig_counter(s->r, "a", "rx", why), before + 1);
}

uint64_t *desc_addr(struct fe_ring *r, uint16_t i)
{
	return r->format == FE_SPLIT ? (uint64_t *)&r->desc[i].addr : (uint64_t *)&r->pdesc[i].addr;
}

uint32_t *desc_len(struct fe_ring *r, uint16_t i)
{
	return r->format == FE_SPLIT ? (uint32_t *)&r->desc[i].len : (uint32_t *)&r->pdesc[i].len;
}

uint16_t *desc_flags(struct fe_ring *r, uint16_t i)
{
	return r->format == FE_SPLIT ? (uint16_t *)&r->desc[i].flags
				     : (uint16_t *)&r->pdesc[i].flags;
}

uint16_t last_head(const struct fe_ring *r)
{
	if (r->format == FE_SPLIT)
		return r->avail->ring[(uint16_t)(r->avail_idx - 1) % r->num];
	return r->head_slot;
}

void rings_reset(const struct scene *s)
{
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_stop_ring(s->a->g, i, NULL), 0);
	assert_int_equal(fe_guest_reset_rings(s->a->g), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(s->a->g, i), 0);
}

void ring_breaks(const struct scene *s, uint32_t i)
{
	fe_queue_kick(&s->a->g->queues[i]);
	rig_wait(s->r, rig_port_info(s->r, "a", "broken_rings") == 1);
	rings_reset(s);
	assert_int_equal(rig_port_info(s->r, "a", "broken_rings"), 0);
	works(s);
}

void works(const struct scene *s)
{
	duplex_check(s->r, s->a, s->b);
}
