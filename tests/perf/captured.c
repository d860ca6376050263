/* SPDX-License-Identifier: BSD-3-Clause */
#include "captured.h"

#include <err.h>
#include <stdlib.h>

#include "capture_view.h"

#define RING (1u << 20)

struct captured {
	struct sw *sw;
	struct cap_layout layout;
	uint8_t *memory;
	struct cap_reader reader;
	struct capture_view view;
};

struct captured *captured_begin(struct sw *sw, const char *port)
{
	struct captured *c = rw_zalloc(sizeof(*c) + sizeof(c->view.taps[0]));

	if (!c || cap_layout(1, CAP_PORTS_MAX, RING, &c->layout))
		errx(1, "no capture");
	c->sw = sw;
	c->memory = rw_zalloc(cap_layout_bytes(&c->layout));
	if (!c->memory)
		errx(1, "no memory for a capture");
	cap_writer_init(&c->view.taps[0].writer, c->memory, &c->layout, 0);
	cap_reader_init(&c->reader, c->memory, &c->layout, 0);
	c->view.taps[0].snap = CAP_SNAP_MAX;
	c->view.taps[0].sample = 1;
	c->view.ntaps = 1;
	c->view.watch.see = capture_see;
	c->view.watch.wants = SW_SEE_RX | SW_SEE_TX;
	sw_watch_port(&c->view.watch, sw_port_by_name(sw, port));
	capture_view_clock(&c->view);
	if (sw_watch_add(sw, &c->view.watch))
		errx(1, "sw_watch_add");
	sw_commit(sw);
	return c;
}

void captured_end(struct captured *c)
{
	sw_watch_remove(c->sw, &c->view.watch);
	sw_commit(c->sw);
	rw_free(c->memory);
	rw_free(c);
}

unsigned captured_read(struct captured *c)
{
	struct cap_record record;
	const uint8_t *bytes;
	unsigned n = 0;

	if (cap_reader_look(&c->reader))
		errx(1, "a capture contradicts itself");
	while (cap_reader_next(&c->reader, &record, &bytes) == 1) {
		cap_reader_skip(&c->reader, &record);
		n++;
	}
	cap_reader_release(&c->reader);
	return n;
}
