/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A switch that runs becomes what a document wants, or stays as it is. Ports that the document
 * leaves as they are lose no frame.
 *
 * Thread: control.
 */
#include "daemon.h"
#include "wanted.h"

/* What was done, or would be. */
struct applied {
	json_t *changes;    /* see wanted_difference */
	json_t *notes;      /* lines that the user has to know */
	unsigned unchanged; /* ports */
};

/*
 * Make `d` what `source` wants; `dry_run`: only find out what that would change. 0, and `out` is to
 * be freed with applied_free; or < 0, nothing has changed and `fault` says why.
 */
int apply_document(struct daemon *d, const struct wanted_source *source, bool dry_run,
	struct applied *out, struct wanted_fault *fault);
void applied_free(struct applied *a);

/* Read the file of --config again and apply it; the log says what came of it. */
void apply_config_file(struct daemon *d);
