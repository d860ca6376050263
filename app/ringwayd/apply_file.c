/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of --config, read again by a switch that runs. */
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

void apply_config_file(struct daemon *d)
{
	const char *path = d->opt.config;
	struct wanted_fault fault;
	struct applied done;
	struct doc *doc;

	if (!options_config_is_file(&d->opt)) {
		rw_error("configuration: standard input cannot be read again; nothing was changed");
		return;
	}
	doc = file_read(path, fault.text, sizeof(fault.text));
	if (doc) {
		const struct wanted_source source = {
			.root = doc_root(doc), .doc = doc, .name = path, .keep_words = true};

		if (!apply_document(d, &source, false, &done, &fault)) {
			say_notes(done.notes);
			applied_free(&done);
			doc_free(doc);
			return;
		}
	}
	doc_free(doc);
	rw_error("configuration: nothing was changed: %s", fault.text);
}
