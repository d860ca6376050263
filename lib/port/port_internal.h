/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
#include "port.h"

/* An empty flow memory; rw_free it. NULL: no memory. */
struct port_steer *port_steer_new(void);
