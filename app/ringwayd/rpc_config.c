/* SPDX-License-Identifier: BSD-3-Clause */
/* config.*: all that is configured, as one document. */
#include "daemon.h"
#include "rpc.h"

json_t *rpc_config_get(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params, (void)fail;
	return options_document(&d->opt);
}
