/* SPDX-License-Identifier: BSD-3-Clause */
/* max-KIND=VALUE of a port: what its front-ends may take. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gm_iotlb.h"
#include "options_internal.h"

/* No machine has more. */
#define LIMIT_MAX (1ull << 62)

/* The largest limit that means anything. */
static uint64_t limit_max(enum rw_budget_kind kind)
{
	switch (kind) {
	case RW_BUDGET_SLOTS:
		return GM_MAX_REGIONS;
	case RW_BUDGET_IOTLB:
		return GM_IOTLB_MAX;
	case RW_BUDGET_ADDRESSES:
		return UINT32_MAX;
	default:
		return LIMIT_MAX;
	}
}

void options_limits_init(uint64_t limits[RW_BUDGET_KINDS])
{
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		limits[k] = rw_budget_default(k);
}

/* A number with K, M, G or T behind it if it counts bytes. False: it is none, or not in range. */
static bool amount_read(const char *value, enum rw_budget_kind kind, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift = 0;
	uint64_t n;
	char *end;

	if (*value < '0' || *value > '9')
		return false;
	errno = 0;
	n = strtoull(value, &end, 10);
	unit = *end && rw_budget_is_bytes(kind) ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (errno || *end || !n || n > limit_max(kind) >> shift)
		return false;
	*out = n << shift;
	return true;
}

int options_set_limit(struct parse *p, const char *what, struct options_port *port,
	enum rw_budget_kind kind, const char *value)
{
	char max[RW_BUDGET_TEXT];

	if (kind == RW_BUDGET_ADDRESSES && !strcmp(value, "none")) {
		port->limits[kind] = RW_BUDGET_NO_LIMIT;
		return 0;
	}
	if (amount_read(value, kind, &port->limits[kind]))
		return 0;
	if (rw_budget_is_bytes(kind))
		return options_mistake(p,
			"%s: max-%s is \"%s\", but must be bytes, with K, M, G or T: 512M, 4T",
			what, rw_budget_name(kind), value);
	return options_mistake(p, "%s: max-%s is \"%s\", but must be a number from 1 to %s", what,
		rw_budget_name(kind), value, rw_budget_text(kind, limit_max(kind), max));
}

json_t *options_get_limit(const struct options_port *port, enum rw_budget_kind kind)
{
	static const char units[] = "KMGT";
	uint64_t n = port->limits[kind];
	size_t unit = 0;

	if (n == RW_BUDGET_NO_LIMIT)
		return json_string("none");
	if (!rw_budget_is_bytes(kind) || n % 1024)
		return json_integer((json_int_t)n);
	for (n /= 1024; !(n % 1024) && units[unit + 1]; n /= 1024)
		unit++;
	return json_sprintf("%" PRIu64 "%c", n, units[unit]);
}
