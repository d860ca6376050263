/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* What the parts of lib/control share. */
#include "control.h"

/* The response that carries an error and no id, as a new string; NULL: no memory. */
char *ctl_error_text(const struct ctl_failure *fail);
