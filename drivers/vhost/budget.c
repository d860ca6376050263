/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port's front-ends may take (rw_budget.h), as its operator says. */
#include <errno.h>
#include <string.h>

#include "vhost.h"

/* What has its own place for the limit is told; the rest looks at the budget. */
static void limit_apply(struct vhost_port *vp, enum rw_budget_kind kind)
{
	uint64_t limit = vp->port.budgets.of[kind].limit;

	if (kind == RW_BUDGET_ADDRESSES)
		sw_port_limit_addresses(
			vp->sw, &vp->port, limit > UINT32_MAX ? 0 : (uint32_t)limit);
}

void vhost_budgets_begin(struct vhost_port *vp, const struct vhost_port_config *cfg)
{
	struct rw_budgets *b = &vp->port.budgets;

	for (unsigned k = 0; cfg->limits && k < RW_BUDGET_KINDS; k++)
		rw_budget_limit(b, k, cfg->limits[k]);
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		limit_apply(vp, k);
	if (cfg->pools)
		rw_budgets_join(b, cfg->pools);
}

const char *vhost_why(const struct vhost_port *vp, int err, char *text, size_t len)
{
	if (err != -EDQUOT)
		return strerror(-err);
	rw_budget_explain(&vp->port.budgets, text, len);
	return text;
}

void vhost_port_budgets(struct vhost_port *vp, struct rw_budget out[RW_BUDGET_KINDS])
{
	struct rw_budgets *b = &vp->port.budgets;
	uint64_t excesses;
	uint32_t learned;

	sw_port_addresses(vp->sw, &vp->port, &learned, &excesses);
	rw_helper_settle(vp->helper);
	rw_budget_note(b, RW_BUDGET_ADDRESSES, learned);
	b->of[RW_BUDGET_ADDRESSES].refused = excesses;
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		out[k] = b->of[k];
}

void vhost_port_limit(struct vhost_port *vp, const uint64_t limits[RW_BUDGET_KINDS])
{
	struct rw_budgets *b = &vp->port.budgets;

	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++) {
		if (b->of[k].limit == limits[k])
			continue;
		rw_budget_limit(b, k, limits[k]);
		limit_apply(vp, k);
	}
}
