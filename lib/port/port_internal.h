/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
#include "port.h"

/* Allocate an empty flow table. The caller frees it with rw_free. NULL: no memory. */
struct port_steer *port_steer_new(void);
