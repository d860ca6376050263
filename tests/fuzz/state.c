/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state that migrates with a guest: the input is what the source of a migration sent. What is
 * taken is announced, and what is saved then is taken again.
 */
#include "sw_domain.h"
#include "switch.h"
#include "vhost.h"

static struct daemon d;
static struct vhost_port vp;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	switch_begin(&d);
	vp.sw = d.sw;
	vp.loop = d.loop;
	vp.announcer = (struct rw_timer){.fn = vhost_announce_due, .arg = &vp};
	fuzz_check(!port_init(&vp.port, "fuzz", 1) && !sw_port_add(d.sw, &vp.port));
	return 0;
}

/* Save, and load what was saved: it is a state. How many hosts it has. */
static uint32_t again(void)
{
	void *saved;
	int len = vhost_state_save(&vp, &saved);

	fuzz_check(len > 0);
	fuzz_check(!vhost_state_load(&vp, saved, (uint32_t)len));
	free(saved);
	return vp.nhosts;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	uint8_t rounds = fuzz_u8(&in) % 4;
	/* A copy of its own: what is read behind its end shows. */
	uint8_t *state = malloc(in.left + 1);
	uint32_t before, n = (uint32_t)in.left;
	int ret;

	fuzz_check(state);
	fuzz_bytes(&in, state, n);
	ret = vhost_state_load(&vp, state, n);
	free(state);
	fuzz_check(!ret || !vp.nhosts);
	before = vp.nhosts;
	fuzz_check(again() == before);
	for (uint8_t i = 0; i < rounds; i++) {
		vhost_announce_due(&vp);
		fuzz_check(vp.nannounced <= vp.nhosts && vp.nhosts <= before);
		/* The worker learns where they are: the next state has them from there. */
		sw_round(d.sw, 0);
		again();
	}
	vhost_announce_reset(&vp);
	sw_port_flush(d.sw, &vp.port);
	fuzz_check(!vp.nhosts);
	return 0;
}
