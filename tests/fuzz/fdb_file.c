/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file that keeps the forwarding database. The input is a file as it stands, or what a writer
 * put into one and how it was changed afterwards. What is believed has been checked.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fdb_file.h"
#include "fuzz.h"

#define BOOT "boot"
#define MOST 64

static void view_check(const struct fdb_file_view *v)
{
	fuzz_check(v->nports <= FDB_FILE_PORTS && v->nentries <= FDB_FILE_MOST);
	for (uint32_t i = 0; i < v->nports; i++) {
		fuzz_check(v->ports[i].name[0] && strlen(v->ports[i].name) < FDB_FILE_NAME);
		fuzz_check(v->ports[i].bridge[0] && strlen(v->ports[i].bridge) < FDB_FILE_NAME);
	}
	for (uint32_t i = 0; i < v->nentries; i++) {
		const struct fdb_file_entry *e = &v->entries[i];

		fuzz_check(!(e->mac[0] & 1) && e->vlan <= 4094 && e->port < v->nports);
	}
}

/* Write what the input says. */
static void snapshot(struct fdb_file *file, struct fuzz_in *in)
{
	unsigned nports = fuzz_below(in, 4), n = fuzz_below(in, MOST + 2);

	fdb_file_begin(file);
	for (unsigned i = 0; i < nports; i++) {
		char name[FDB_FILE_NAME];

		fuzz_bytes(in, name, 8);
		name[8] = 0;
		fuzz_check(fdb_file_port(file, name, "default") == (int)i);
	}
	for (unsigned i = 0; i < n; i++) {
		struct fdb_file_entry e;

		fuzz_bytes(in, &e, sizeof(e));
		fuzz_check(fdb_file_add(file, &e) == (i < MOST));
	}
	if (fuzz_below(in, 4))
		fdb_file_commit(file);
}

/* Change bytes of the file. */
static void scribble(int fd, struct fuzz_in *in)
{
	for (unsigned n = fuzz_below(in, 4); n; n--) {
		off_t at = fuzz_u32(in) % (1 << 19);
		uint8_t byte = fuzz_u8(in);

		fuzz_check(at >= lseek(fd, 0, SEEK_END) || pwrite(fd, &byte, 1, at) == 1);
	}
	if (!fuzz_below(in, 8))
		fuzz_check(!ftruncate(fd, fuzz_u32(in) % (1 << 19)));
}

static struct fdb_file *file_open(int fd)
{
	enum fdb_file_state state;
	struct fdb_file_view view;
	struct fdb_file *file;

	fuzz_check(!fdb_file_new(fd, BOOT, MOST, &file, &state, &view));
	if (state == FDB_FILE_GOOD)
		view_check(&view);
	fdb_file_forget(file);
	return file;
}

static void raw(struct fuzz_in *in)
{
	size_t len = in->left;
	uint8_t *copy = malloc(len + !len);
	struct fdb_file_view view;

	fuzz_check(copy);
	fuzz_bytes(in, copy, len);
	if (fdb_file_read(copy, len, BOOT, &view) == FDB_FILE_GOOD)
		view_check(&view);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	unsigned rounds = fuzz_below(&in, 5);
	struct fdb_file *file;
	int fd;

	if (!rounds) {
		raw(&in);
		return 0;
	}
	fd = memfd_create("fdb", 0);
	fuzz_check(fd >= 0);
	for (unsigned i = 0; i < rounds; i++) {
		file = file_open(fd);
		snapshot(file, &in);
		fdb_file_free(file);
		scribble(fd, &in);
	}
	fdb_file_free(file_open(fd));
	close(fd);
	return 0;
}
