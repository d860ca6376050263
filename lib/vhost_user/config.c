/* SPDX-License-Identifier: BSD-3-Clause */
/* The device configuration space. Most front-ends have their own; some ask us for it. */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* Read the whole space. 0, or -EINVAL: the part that the message names is not in it. */
static int part_check(struct vu_session *s, struct vu_msg *m, uint8_t *space)
{
	const struct vu_config *c = &m->payload.config;
	uint32_t len = s->ops->config_read(s->dev, space);

	if (!c->size || c->offset > len || c->size > len - c->offset)
		return vu_refuse(m, -EINVAL, "outside the configuration space");
	return 0;
}

int vu_on_get_config(struct vu_session *s, struct vu_msg *m)
{
	uint8_t space[VU_CONFIG_MAX] = {0};
	struct vu_config *c = &m->payload.config;
	int ret = part_check(s, m, space);

	if (ret)
		return ret;
	memcpy(c->data, space + c->offset, c->size);
	vu_answer(m, m->hdr.size, -1);
	return 0;
}

int vu_on_set_config(struct vu_session *s, struct vu_msg *m)
{
	uint8_t space[VU_CONFIG_MAX] = {0};
	const struct vu_config *c = &m->payload.config;
	int ret = part_check(s, m, space);

	if (ret)
		return ret;
	if (c->flags != VU_CONFIG_WRITABLE && c->flags != VU_CONFIG_MIGRATION)
		return vu_refuse(m, -EINVAL, "unknown flags");
	return s->ops->config_write(
		s->dev, c->offset, c->data, c->size, c->flags == VU_CONFIG_MIGRATION);
}
