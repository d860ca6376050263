/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture_view.h"

#include <rte_cycles.h>
#include <time.h>

static uint64_t wall_ns(const struct capture_view *v, uint64_t tsc)
{
	const struct capture_wall *w = &v->walls[__atomic_load_n(&v->wall, __ATOMIC_ACQUIRE)];
	int64_t ticks = (int64_t)(tsc - __atomic_load_n(&w->tsc, __ATOMIC_RELAXED));

	return __atomic_load_n(&w->ns, __ATOMIC_RELAXED) +
		(uint64_t)(int64_t)((double)ticks * v->ns_per_tick);
}

void capture_view_clock(struct capture_view *v)
{
	uint32_t next = !v->wall;
	struct timespec ts = {0};

	if (v->ns_per_tick == 0)
		v->ns_per_tick = 1e9 / (double)rte_get_tsc_hz();
	clock_gettime(CLOCK_REALTIME, &ts);
	__atomic_store_n(&v->walls[next].tsc, rte_rdtsc(), __ATOMIC_RELAXED);
	__atomic_store_n(&v->walls[next].ns,
		(uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec, __ATOMIC_RELAXED);
	__atomic_store_n(&v->wall, next, __ATOMIC_RELEASE);
}

static enum cap_what what_of(const struct sw_sight *sight)
{
	if (sight->what == SW_SEE_RX)
		return CAP_RX;
	if (sight->what == SW_SEE_TX)
		return CAP_TX;
	return sight->rx ? CAP_RX_DROP : CAP_TX_DROP;
}

/* The VLAN of the port's frames that have no tag; 0: none. Tags are in the frames. */
static uint16_t vlan_of(const struct sw_sight *sight)
{
	struct frame untagged = {.len = 0}, *frames[] = {&untagged};
	struct sw_sight other = *sight;
	uint16_t vlan;

	other.frames = frames;
	vlan = sw_sight_vlan(&other, 0).id;
	return vlan < SW_VLANS ? vlan : 0;
}

void capture_see(struct sw_watch *watch, const struct sw_sight *sight)
{
	struct capture_view *v = rw_container_of(watch, struct capture_view, watch);
	bool fetched = sight->what == SW_SEE_RX && sight->polled;
	const struct cap_record like = {
		.port = sight->port,
		.other = sight->other,
		.time_ns = wall_ns(v, fetched ? sight->polled : sight->now),
		.queue = sight->queue,
		.vlan = vlan_of(sight),
		.what = (uint8_t)what_of(sight),
		.why = (uint8_t)sight->why,
	};

	/* sw_explain forwards frames that nobody sent. */
	if (rw_unlikely(sight->worker >= v->ntaps))
		return;
	if (sight->what == SW_SEE_DROP && !(sight->rx ? v->rx : v->tx))
		return;
	if (!sight->frames) {
		cap_tap_empty(&v->taps[sight->worker], &like, sight->n);
		return;
	}
	cap_tap_frames(&v->taps[sight->worker], &like, sight->frames, sight->n);
}
