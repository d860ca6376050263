/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the session takes of its owner's budgets (rw_budget.h). Descriptors are counted anew with
 * every read of the connection, not at each place that opens or closes one: so none is forgotten.
 * Whoever opens one that no message brought asks vu_budget_fd first.
 */
#include <errno.h>

#include "internal.h"

static unsigned is_open(int fd)
{
	return fd >= 0;
}

/* Descriptors that the session holds, those of the message that is arriving too. */
static uint64_t fds_count(const struct vu_session *s)
{
	const struct vu_conn *c = s->conn;
	uint64_t n = vu_channel_fds(s) + vu_state_fds(s);

	if (c) {
		n++;
		for (unsigned i = 0; i < c->msg.nfds; i++)
			n += is_open(c->msg.fds[i]);
	}
	for (unsigned i = 0; i < s->nrings; i++) {
		const struct vu_ring *r = &s->rings[i];

		n += is_open(r->kick_fd) + is_open(r->call_fd) + is_open(r->err_fd);
	}
	n += is_open(s->log_mem_fd) + is_open(s->log_fd) + is_open(s->inflight.fd);
	n += is_open(s->ufd);
	/* Each region has a mapping, and a file, of its own. */
	return s->mem ? n + s->mem->nregions : n;
}

int vu_budget_fds(struct vu_session *s)
{
	struct rw_budgets *b = s->offer.budgets;
	uint64_t now, used;

	if (!b)
		return 0;
	now = fds_count(s);
	/* Those that wait to be closed are charged by the helper. */
	used = b->of[RW_BUDGET_FDS].used - rw_helper_charged_fds(s->offer.helper);
	if (now < used)
		rw_budget_give(b, RW_BUDGET_FDS, used - now);
	rw_helper_settle(s->offer.helper);
	return now > used ? rw_budget_take(b, RW_BUDGET_FDS, now - used) : 0;
}

int vu_budget_fd(const struct vu_session *s)
{
	return rw_budget_take(s->offer.budgets, RW_BUDGET_FDS, 1);
}

int vu_budget_slots(const struct vu_session *s, uint32_t n)
{
	uint32_t now = s->mem ? s->mem->nregions : 0;

	/* Noted when the table is replaced: what matters is how many there are in one. */
	if (n <= now)
		return 0;
	rw_budget_note(s->offer.budgets, RW_BUDGET_SLOTS, now);
	if (rw_budget_take(s->offer.budgets, RW_BUDGET_SLOTS, n - now))
		return -EDQUOT;
	rw_budget_give(s->offer.budgets, RW_BUDGET_SLOTS, n - now);
	return 0;
}

void vu_budget_note(struct vu_session *s)
{
	struct rw_budgets *b = s->offer.budgets;

	rw_budget_note(b, RW_BUDGET_SLOTS, s->mem ? s->mem->nregions : 0);
	rw_budget_note(b, RW_BUDGET_IOTLB, s->iotlb ? gm_iotlb_view(s->iotlb)->n : 0);
}
