/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that comes back: what it did wrong before is not said again, and a ring that it had
 * set up with other features does not go on.
 */
#include <stdio.h>
#include <string.h>

#include "rw_loop.h"
#include "vhost.h"

/* Sessions that end before a ring runs, each so soon after the last, are a loop. */
#define LOOP_MS    60000
#define LOOP_TIMES 3

/* ---- what went wrong ---- */

/* The session so far looks like one before it, which came to nothing. */
static bool repeats(const struct vhost_port *vp)
{
	return vp->again.fruitless >= LOOP_TIMES;
}

void vhost_session_complained(void *dev, const char *line)
{
	struct vhost_port *vp = dev;
	struct vhost_again *again = &vp->again;
	bool known = !strncmp(again->complaint, line, sizeof(again->complaint) - 1);

	if (known && again->complained_in != again->session) {
		rw_debug("port %s: %s, as before", vp->port.name, line);
	} else {
		snprintf(again->complaint, sizeof(again->complaint), "%s", line);
		rw_log_limited(
			&vp->limit, RW_LOG_WARNING, "port %s: %s", vp->port.name, again->complaint);
	}
	again->complained_in = again->session;
}

void vhost_session_began(struct vhost_port *vp, int pid)
{
	struct vhost_again *again = &vp->again;

	again->session++;
	again->ran = false;
	if (rw_now_ms() - again->ended_ms > LOOP_MS)
		again->fruitless = 0;
	if (repeats(vp))
		rw_debug("port %s: front-end connected (pid %d)", vp->port.name, pid);
	else
		vhost_port_event(vp, "front-end connected (pid %d)", pid);
}

void vhost_session_ended(struct vhost_port *vp, const char *why)
{
	struct vhost_again *again = &vp->again;
	bool complained = again->complained_in == again->session && again->complaint[0];

	again->ended_ms = rw_now_ms();
	/* More than an error number says, and why a front-end leaves that was refused something. */
	if (complained && (why[0] || !again->ran))
		vhost_port_down(vp, "%s", again->complaint);
	again->fruitless = again->ran ? 0 : again->fruitless + 1;
	if (!repeats(vp)) {
		vhost_port_event(vp, "front-end disconnected%s%s", why[0] ? ": " : "", why);
		return;
	}
	rw_debug("port %s: front-end disconnected%s%s", vp->port.name, why[0] ? ": " : "", why);
	if (!vp->down[0])
		vhost_port_down(vp,
			"front-ends leave before a ring runs: if they need features that are not "
			"offered, their logs say so");
	if (again->fruitless == LOOP_TIMES)
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: %u front-ends in a row left before a ring ran, the next such "
			"ones are not logged: %s",
			vp->port.name, LOOP_TIMES, vp->down);
}

/* ---- what was learned ---- */

/* Whether the front-end left with a ring that it had not stopped: it may go on with it. */
static bool left_running(const struct vhost_again *again)
{
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		const struct vhost_ran *ran = &again->rings[i];

		if (ran->num && ran->session == again->session && !ran->stopped)
			return true;
	}
	return false;
}

/*
 * A front-end that stops its rings first has ended its guest, or sent it elsewhere. One that does
 * not comes back, or its guest is gone with it.
 *
 * Meanwhile frames for these hosts are dropped (link_down) instead of flooded: nobody else wants
 * them, and the hosts are back soon. One that is elsewhere moves with its first frame.
 */
void vhost_addresses_leave(struct vhost_port *vp)
{
	struct vhost_again *again = &vp->again;

	if (!again->linger_s || !left_running(again)) {
		/* One that has only looked in does not end the time of the one before it. */
		if (!again->linger.active)
			sw_port_flush(vp->sw, &vp->port);
		return;
	}
	/* Anew, if the time since the front-end was away before is not over. */
	again->pid = vp->record.pid;
	again->process = vp->record.process;
	rw_timer_start(vp->loop, &again->linger, again->linger_s * 1000ull, 0);
}

void vhost_addresses_take(struct vhost_port *vp)
{
	struct vhost_again *again = &vp->again;

	if (!again->linger.active ||
		(again->pid == vp->record.pid && again->process == vp->record.process))
		return;
	rw_timer_stop(vp->loop, &again->linger);
	sw_port_flush(vp->sw, &vp->port);
}

void vhost_addresses_due(void *arg)
{
	struct vhost_port *vp = arg;

	if (!sw_port_is_up(vp->sw, &vp->port))
		sw_port_flush(vp->sw, &vp->port);
}

/* ---- rings ---- */

#define F(name) (1ull << VIRTIO_##name)

/* What says how the driver's half of a ring reads it: it does not change while the ring lasts. */
#define FORM                                                                        \
	(F(F_VERSION_1) | F(F_ACCESS_PLATFORM) | F(F_RING_PACKED) | F(F_IN_ORDER) | \
		F(RING_F_INDIRECT_DESC) | F(RING_F_EVENT_IDX) | F(NET_F_MRG_RXBUF))
/* What its guest sends all the same when they are lost. */
#define SENT                                                                           \
	(F(NET_F_CSUM) | F(NET_F_HOST_TSO4) | F(NET_F_HOST_TSO6) | F(NET_F_HOST_ECN) | \
		F(NET_F_HOST_USO))

static void names_put(char *text, size_t len, uint64_t bits)
{
	size_t at = 0;

	for (unsigned bit = 0; bit < 64 && at < len; bit++) {
		if (bits >> bit & 1)
			at += (size_t)snprintf(text + at, len - at, "%s%s", at ? ", " : "",
				vhost_feature_name(bit));
	}
}

/* Features that the ring had and lacks now, and the other way round: of those that matter to it. */
static uint64_t difference(const struct vhost_port *vp, unsigned i, uint64_t *gained)
{
	const struct vhost_ran *ran = &vp->again.rings[i];
	const struct vu_ring *r = vu_ring(vp->session, i);
	uint64_t now = vu_features(vp->session);

	*gained = 0;
	if (ran->session == vp->again.session || !ran->num || ran->pid != vp->record.pid ||
		ran->process != vp->record.process || ran->num != r->num ||
		ran->desc != r->addr.desc)
		return 0;
	*gained = now & ~ran->features & FORM;
	return ran->features & ~now & (FORM | SENT);
}

bool vhost_ring_differs(const struct vhost_port *vp, unsigned i)
{
	uint64_t gained, lost = difference(vp, i, &gained);

	return lost | gained;
}

void vhost_ring_refuse(struct vhost_port *vp, unsigned i)
{
	char without[256] = "", with[256] = "";
	uint64_t gained, lost = difference(vp, i, &gained);

	if (vp->again.refused == (lost | gained))
		return;
	vp->again.refused = lost | gained;
	names_put(without, sizeof(without), lost);
	names_put(with, sizeof(with), gained);
	rw_log_limited(&vp->limit, RW_LOG_WARNING,
		"port %s: the front-end came back %s%s%s%s%s, and its rings were set up otherwise: "
		"they do not go on; the guest has to reset them (restart its driver, or reboot)",
		vp->port.name, lost ? "without " : "", without, lost && gained ? " and " : "",
		gained ? "with " : "", with);
}

void vhost_ring_ran(struct vhost_port *vp, unsigned i)
{
	const struct vu_ring *r = vu_ring(vp->session, i);

	vp->again.ran = true;
	vp->again.complaint[0] = 0;
	vp->again.refused = 0;
	vp->again.rings[i] = (struct vhost_ran){
		.session = vp->again.session,
		.process = vp->record.process,
		.pid = vp->record.pid,
		.num = r->num,
		.desc = r->addr.desc,
		.features = vu_features(vp->session),
	};
}
