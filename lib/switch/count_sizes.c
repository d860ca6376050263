/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes of frames, in the bins of RFC 2819. */
#include <string.h>

#include "count.h"

#define FCS 4 /* octets of the frame check sequence */

const uint32_t sw_size_least[SW_SIZES] = {0, 64, 65, 128, 256, 512, 1024, 1519, 9217};

struct part {
	struct sw_sizes ports[SW_MAX_PORTS];
};

static unsigned bin_of(uint32_t octets)
{
	unsigned bin = SW_SIZES - 1;

	while (octets < sw_size_least[bin])
		bin--;
	return bin;
}

static void see(const struct sw_count *c, void *part, const struct sw_sight *s)
{
	struct sw_sizes *port = &((struct part *)part)->ports[s->port];
	uint64_t *bins = s->what == SW_SEE_RX ? port->rx : port->tx;
	uint32_t last = 0;
	unsigned bin = 0;

	(void)c;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->frames[i]->len != last) {
			last = s->frames[i]->len;
			bin = bin_of(last + FCS);
		}
		port_count(&bins[bin], 1);
	}
}

static void forget_port(void *part, uint16_t id)
{
	memset(&((struct part *)part)->ports[id], 0, sizeof(struct sw_sizes));
}

const struct count_ops count_sizes = {.wants = SW_SEE_RX | SW_SEE_TX,
	.bytes = sizeof(struct part),
	.see = see,
	.forget_port = forget_port};

void sw_sizes_read(const struct sw_count *c, const struct port *port, struct sw_sizes *out)
{
	*out = (struct sw_sizes){0};
	for (unsigned w = 0; w < c->nworkers; w++) {
		const struct sw_sizes *from = &((const struct part *)c->parts[w])->ports[port->id];

		for (unsigned i = 0; i < SW_SIZES; i++) {
			out->rx[i] += count_read(&from->rx[i]);
			out->tx[i] += count_read(&from->tx[i]);
		}
	}
}
