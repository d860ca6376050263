/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of --config, read again by a switch that runs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "document.h"
#include "helper.h"
#include "rw_log.h"

/* The document in the file; NULL, and `err` holds the reason. */
static struct doc *file_read(const char *path, char *err, size_t errlen)
{
	int fd = helper_file_open(path);
	struct doc *doc;

	if (fd < 0) {
		snprintf(err, errlen, "%.300s: %s", path, strerror(-fd));
		return NULL;
	}
	doc = doc_read_fd(fd, path, err, errlen);
	close(fd);
	return doc;
}

static void say_notes(const json_t *notes)
{
	const json_t *note;

	for (size_t i = 0; (note = json_array_get(notes, i)); i++)
		rw_info("%s", json_string_value(note));
}

void apply_file_done(struct daemon *d, const struct applied *a, const struct wanted_fault *fault)
{
	if (a)
		say_notes(a->notes);
	else
		rw_error("configuration: nothing was changed: %s", fault->text);
	notify_ready(d);
}

void apply_config_file(struct daemon *d)
{
	const char *path = d->opt.config;
	struct wanted_fault fault = {.at = ""};
	struct doc *doc;

	d->reload_due = apply_runs(d);
	if (d->reload_due)
		return;
	if (!options_config_is_file(&d->opt)) {
		rw_error("configuration: standard input cannot be read again; nothing was changed");
		notify_ready(d);
		return;
	}
	doc = file_read(path, fault.text, sizeof(fault.text));
	if (doc && !apply_file_begin(d, doc, path))
		return;
	if (doc)
		snprintf(fault.text, sizeof(fault.text), "%s", strerror(ENOMEM));
	apply_file_done(d, NULL, &fault);
}
