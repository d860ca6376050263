/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A switch that runs becomes what a document wants, or stays as it is. Ports that the document
 * leaves as they are lose no frame.
 *
 * It is done in turns of RW_SLICE_US, so that front-ends and clients are served meanwhile. One runs
 * at a time, and whoever else would change the configuration waits for its end (apply_runs). While
 * it runs, a part of the changes may be in force; in the end all of them are, or none.
 *
 * Thread: control.
 */
#include "daemon.h"
#include "wanted.h"

struct doc;

/* What was done, or would be. */
struct applied {
	json_t *changes;    /* see wanted_difference_add */
	json_t *notes;      /* lines that the user has to know */
	unsigned unchanged; /* ports */
};

/* Whether one runs. Until it ends, nothing of the configuration may change. */
bool apply_runs(const struct daemon *d);
/*
 * Begin to make the switch what `config` says, a tree that does not change; `dry_run`: only find
 * out what that would change. `owner` is whose it is. The caller makes sure that none runs. The
 * first turn is done at once. 0 or -ENOMEM.
 */
int apply_begin(struct daemon *d, json_t *config, bool dry_run, const void *owner);
/*
 * What became of the owner's: -EINPROGRESS; -ENOENT: it has none; 0, and `out` is to be freed with
 * applied_free; or -ECANCELED, nothing has changed and `fault` says why.
 */
int apply_take(
	struct daemon *d, const void *owner, struct applied *out, struct wanted_fault *fault);
/* The owner does not care any more: what runs goes on. */
void apply_disown(struct daemon *d, const void *owner);
void applied_free(struct applied *a);
/* The switch ends: drop what runs, and free the ports that it has in hand. */
void apply_end(struct daemon *d);

/*
 * Read the file of --config again and apply it, once nothing else is applied; the log says what
 * comes of it, and the service manager hears when it has come.
 */
void apply_config_file(struct daemon *d);
/* apply_file.c: the end of that; `a` is NULL if `fault` is why nothing was changed. */
void apply_file_done(struct daemon *d, const struct applied *a, const struct wanted_fault *fault);
/* apply.c: as apply_begin, for a document in a file, which is taken over. */
int apply_file_begin(struct daemon *d, struct doc *doc, const char *name);
