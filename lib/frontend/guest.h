/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What guest.c wants of queue.c: the memory of queue `i` and its ring. Private to this library.
 */
#include "fe_guest.h"

/* An upper bound of the bytes that queue `i` needs of guest memory. */
uint64_t fe_queue_bytes(const struct fe_guest *g, uint32_t i);

/* Lay out parts of queue `i` in guest memory; they do nothing for a queue without that part. */
int fe_queue_place_ring(struct fe_guest *g, uint32_t i);
int fe_queue_place_rx_bufs(struct fe_guest *g, uint32_t i);
int fe_queue_place_tx_bufs(struct fe_guest *g, uint32_t i);
int fe_queue_place_tables(struct fe_guest *g, uint32_t i);

/* Make the ring anew under g->features and fill a receive ring. */
int fe_queue_reset(struct fe_guest *g, uint32_t i);
