/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A queue of copied frames that could not be delivered at once: a ring buffer of bytes with one
 * producer and one consumer, which may be different threads. Only ports behind an IOMMU or in a
 * post-copy migration have one. Frames for other ports are copied once, to the receiver.
 */
#include "frame.h"

/* Room for at least seven frames of the greatest length, or 1300 of 200 bytes. */
#define PORT_FIFO_BYTES (512u * 1024)

struct port_fifo;

/* Allocate an empty fifo. NULL: no memory. */
struct port_fifo *port_fifo_new(void);
/* Free it. `fifo` may be NULL. */
void port_fifo_free(struct port_fifo *fifo);

/* Copy `f` with all its bytes. False: no room. Thread: producer. */
bool port_fifo_push(struct port_fifo *fifo, const struct frame *f);
/* A lower bound of the free bytes. Thread: producer. */
uint32_t port_fifo_room(const struct port_fifo *fifo);
/*
 * Write the oldest frames, at most `n`, to `frames`. Their bytes stay in the fifo until they are
 * popped. Returns their number. Thread: consumer.
 */
unsigned port_fifo_peek(struct port_fifo *fifo, struct frame *frames, unsigned n);
/* Remove the `n` oldest frames. Thread: consumer. */
void port_fifo_pop(struct port_fifo *fifo, unsigned n);
/* Whether the consumer has removed every frame that the producer pushed. Thread: any. */
bool port_fifo_is_empty(const struct port_fifo *fifo);
/* Remove all frames. Returns how many there were. Thread: consumer. */
unsigned port_fifo_clear(struct port_fifo *fifo);
