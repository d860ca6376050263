/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Where the switch believes hosts to be, and how it learns that they have moved. */
#include "harness.h"

/* An address no guest has, a different one for each `n`. */
void host_make(uint8_t mac[6], uint32_t n);

/* The letter of the port behind which the switch has learned the address; 0: it does not know. */
char host_port(struct rig *r, const uint8_t mac[6], uint16_t vlan);

/* The same, and fail unless it was found so: "frame", "rarp", ... */
char host_found(struct rig *r, const uint8_t mac[6], uint16_t vlan, const char *how);

/* How many addresses it has learned behind a port. */
uint32_t hosts_behind(struct rig *r, const char *port);

/* Send a frame to everybody in the name of a host; `vlan` -1: untagged. */
void host_speaks(struct rig *r, struct peer *p, const uint8_t mac[6], int vlan);

/* Longest RARP frame, bytes. */
#define RARP_MAX 64

/*
 * The RARP request for `mac` as RFC 903 has it: everybody is asked which protocol address belongs
 * to the sender's hardware address. Tagged when `vlan` is not 0. Its length, Ethernet's least.
 */
uint32_t rarp_frame(uint8_t frame[RARP_MAX], const uint8_t mac[6], uint16_t vlan);

/* The very next frame that reaches `p` is that one. */
void peer_expect_rarp(struct rig *r, struct peer *p, const uint8_t mac[6], uint16_t vlan);

/* Whether the daemon has said something with `text` in it. */
bool rig_has_logged(const struct rig *r, const char *text);
