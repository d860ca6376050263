/* SPDX-License-Identifier: BSD-3-Clause */
#include "idle.h"

#include <errno.h>
#include <sched.h>

struct fe_guest_config idle_variant(size_t i)
{
	struct fe_guest_config c = guest_usual();

	c.features &= ~(FE_BIT(VIRTIO_RING_F_EVENT_IDX) | PACKED);
	c.features |= i & 1 ? PACKED : 0;
	c.features |= i & 2 ? FE_BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
	return c;
}

bool all_asleep(struct rig *r)
{
	json_t *rows = rig_call(r, "worker.list", NULL);
	const json_t *row;
	bool all = true;
	size_t i;

	json_array_foreach(rows, i, row) all &= json_is_true(json_object_get(row, "asleep"));
	json_decref(rows);
	return all;
}

void fall_asleep(struct rig *r)
{
	rig_wait(r, all_asleep(r));
}

uint64_t sleeps(struct rig *r)
{
	json_t *rows = rig_call(r, "worker.list", NULL);
	const json_t *row;
	uint64_t n = 0;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		n += (uint64_t)json_integer_value(json_object_get(row, "sleeps"));
	}
	json_decref(rows);
	return n;
}

bool is_armed(const struct fe_ring *ring)
{
	const uint16_t *event;

	if (ring->format == FE_PACKED)
		return __atomic_load_n(&ring->device_event->flags, __ATOMIC_RELAXED) !=
			VRING_PACKED_EVENT_FLAG_DISABLE;
	if (!ring->event_idx)
		return !(__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY);
	event = (const uint16_t *)&ring->used->ring[ring->num];
	return __atomic_load_n(event, __ATOMIC_RELAXED) == ring->published_idx;
}

bool peer_await(struct rig *r, struct peer *p)
{
	static uint8_t buf[FRAME_MAX];
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);
	struct fe_received in;
	int err;

	while ((err = fe_guest_recv(p->g, 0, buf, sizeof(buf), &in)) == -EAGAIN) {
		if (rw_now_ms() > until)
			return false;
		sched_yield(); /* a worker may share this CPU */
	}
	assert_int_equal(err, 0);
	return true;
}
