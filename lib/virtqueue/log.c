/* SPDX-License-Identifier: BSD-3-Clause */
#include "vq_extras.h"

/* The ring's areas are few pieces as a rule: one each, unless they cross regions or IOMMU pages. */
void vq_log_ring(struct vq *vq, const void *p, uint64_t len)
{
	const uint8_t *first = p;

	for (unsigned i = 0; i < vq->nlog_pieces && len; i++) {
		const struct gm_piece *piece = &vq->log_pieces[i];
		uint64_t skip = (uint64_t)(first - piece->host), part;

		if (first < piece->host || skip >= piece->len)
			continue;
		part = RW_MIN(len, piece->len - skip);
		dl_mark(vq->log, piece->gpa + skip, part);
		first += part;
		len -= part;
	}
}
