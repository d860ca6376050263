/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens to a port, for whoever watches the switch. */
#include <string.h>

#include "rw_loop.h"
#include "sw_event.h"
#include "vhost.h"

static void tell(struct vhost_port *vp, struct sw_event event)
{
	event.port = &vp->port;
	sw_tell(vp->sw, &event);
}

/* How many pages the log has, of a migration that goes on, not more often than this. */
#define PAGES_MS 1000

static uint64_t pages_marked(const struct vhost_port *vp)
{
	const struct dl_log *log = vp->session ? vu_log(vp->session) : NULL;

	return log ? dl_marked(log) : 0;
}

static void tell_log(struct vhost_port *vp, const char *what)
{
	vp->pages_told = pages_marked(vp);
	vp->pages_told_ms = rw_now_ms();
	tell(vp,
		(struct sw_event){
			.kind = SW_EVENT_MIGRATION, .text = what, .pages = vp->pages_told});
}

void vhost_tell_pages(struct vhost_port *vp)
{
	if (vp->log_told && pages_marked(vp) != vp->pages_told &&
		rw_now_ms() >= vp->pages_told_ms + PAGES_MS)
		tell_log(vp, "pages marked");
}

void vhost_tell_state(struct vhost_port *vp)
{
	bool link = sw_port_is_up(vp->sw, &vp->port);
	bool log = vp->session && vu_logs_buffers(vp->session);

	if (link != vp->link_told)
		tell(vp, (struct sw_event){.kind = SW_EVENT_LINK, .on = link});
	if (log != vp->log_told)
		tell_log(vp, log ? "log on" : "log off");
	vp->link_told = link;
	vp->log_told = log;
}

void vhost_tell_down(struct vhost_port *vp)
{
	tell(vp,
		(struct sw_event){.kind = SW_EVENT_DOWN,
			.text = vp->down[0] ? vp->down : "the front-end left"});
}

void vhost_tell_broken(struct vhost_port *vp, unsigned ring)
{
	tell(vp, (struct sw_event){.kind = SW_EVENT_BROKEN, .ring = ring});
}

void vhost_tell_announced(struct vhost_port *vp, const uint8_t mac[6])
{
	tell(vp,
		(struct sw_event){.kind = SW_EVENT_MIGRATION,
			.text = "announced",
			.key = fdb_key_make(mac, 0)});
}
