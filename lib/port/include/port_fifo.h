/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Frames that could not be passed on at once, copied out: a circle of bytes with one producer and
 * one consumer, which may be different threads. Only ports behind an IOMMU or in a postcopy
 * migration have one; everybody else's frames are copied once, into the receiver's buffer.
 */
#include "frame.h"

/* Room for at least seven frames of the greatest length, or 1300 of 200 bytes. */
#define PORT_FIFO_BYTES (512u * 1024)

struct port_fifo;

/* NULL: no memory. */
struct port_fifo *port_fifo_new(void);
/* NULL is fine. */
void port_fifo_free(struct port_fifo *fifo);

/* Copy `f` with all its bytes. False: no room. Thread: producer. */
bool port_fifo_push(struct port_fifo *fifo, const struct frame *f);
/* Bytes that are free at least. Thread: producer. */
uint32_t port_fifo_room(const struct port_fifo *fifo);
/*
 * The oldest frames, `n` at most, into `frames`; their bytes stay in the fifo until they are
 * popped. How many there are. Thread: consumer.
 */
unsigned port_fifo_peek(struct port_fifo *fifo, struct frame *frames, unsigned n);
/* Let go of the `n` oldest frames. Thread: consumer. */
void port_fifo_pop(struct port_fifo *fifo, unsigned n);
/* Whether the consumer has let go of all that the producer entered. Thread: any. */
bool port_fifo_is_empty(const struct port_fifo *fifo);
/* Let go of all frames: how many there were. Thread: consumer. */
unsigned port_fifo_clear(struct port_fifo *fifo);
