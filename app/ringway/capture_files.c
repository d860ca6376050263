/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture_run.h"

#define PATH_BYTES  4096
#define BUFFER      (256u << 10) /* bytes that are written at once */
#define SIZE_USUAL  (100u << 20) /* bytes of each file of a ring */
#define COMMENT_MAX 512

static uint64_t now_ns(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The path of the next file: of a ring, x.pcapng becomes x.0.pcapng, x.1.pcapng and so on. */
static void path_next(struct capture_files *f, char path[PATH_BYTES])
{
	const char *given = f->opt->write, *name = strrchr(given, '/'), *dot;

	if (!f->opt->ring_files) {
		snprintf(path, PATH_BYTES, "%s", given);
		return;
	}
	dot = strrchr(name ? name : given, '.');
	dot = dot ? dot : given + strlen(given);
	snprintf(path, PATH_BYTES, "%.*s.%u%s", (int)(dot - given), given, f->next, dot);
	f->next = (f->next + 1) % f->opt->ring_files;
}

static int file_open(struct capture_run *run)
{
	struct capture_files *f = &run->files;
	char path[PATH_BYTES];
	uint32_t snap = f->opt->snap ? f->opt->snap : CAP_SNAP_MAX;

	f->pipe = !strcmp(f->opt->write, "-");
	if (f->pipe) {
		f->file = stdout;
	} else {
		path_next(f, path);
		f->file = fopen(path, "we");
		if (!f->file)
			return complain("cannot write %s: %s", path, strerror(errno));
	}
	setvbuf(f->file, NULL, _IOFBF, BUFFER);
	pcapng_begin(&f->png, f->file, snap, run->filter);
	return 0;
}

int capture_files_begin(struct capture_run *run)
{
	struct capture_files *f = &run->files;
	int ret;

	f->opt = &run->cli->capture;
	ret = file_open(run);
	if (ret)
		return ret;
	/* Ports that are named are in the file even if nothing happens there. */
	for (unsigned id = 0; !run->every_port && id < CAP_PORTS_MAX; id++) {
		const json_t *name;

		for (size_t i = 0; (name = json_array_get(run->ports, i)); i++) {
			if (run->names[id][0] && !strcmp(json_string_value(name), run->names[id]))
				pcapng_add_port(&f->png, (uint16_t)id, run->names[id]);
		}
	}
	return capture_files_flush(run);
}

int capture_files_flush(struct capture_run *run)
{
	if (!fflush(run->files.file) && !ferror(run->files.file))
		return 0;
	return complain("cannot write the capture: %s", strerror(errno));
}

int capture_files_end(struct capture_run *run)
{
	struct capture_files *f = &run->files;
	int ret;

	if (!f->file)
		return 0;
	for (uint32_t i = 0; i < f->png.nifaces; i++) {
		const struct cap_count count = capture_counts(run, f->png.port_of[i]);

		pcapng_counts(&f->png, i, &count, now_ns());
	}
	ret = capture_files_flush(run);
	/* Standard output is closed by the program's end. */
	if (!f->pipe && fclose(f->file) && !ret)
		ret = complain("cannot write the capture: %s", strerror(errno));
	f->file = NULL;
	return ret;
}

/* Go on with the next file of the ring when this one is full. */
static int file_turn(struct capture_run *run)
{
	struct capture_files *f = &run->files;
	uint64_t limit = f->opt->file_size ? f->opt->file_size : SIZE_USUAL;
	int ret;

	if (!f->opt->ring_files || f->png.bytes < limit)
		return 0;
	ret = capture_files_end(run);
	return ret ? ret : file_open(run);
}

int capture_files_add(struct capture_run *run, const struct cap_record *record,
	const uint8_t *bytes, const struct capture_names *names)
{
	struct capture_files *f = &run->files;
	char comment[COMMENT_MAX];
	int ret = file_turn(run);

	if (ret)
		return ret;
	if (!pcapng_has_port(&f->png, record->port))
		pcapng_add_port(&f->png, record->port, names->port);
	capture_comment(record, bytes, names, comment, sizeof(comment));
	pcapng_add(&f->png, record, bytes, comment);
	return 0;
}
