/* SPDX-License-Identifier: BSD-3-Clause */
/* The file that keeps the forwarding database: what is in it, and what is believed of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fdb_file.h"

#define BOOT "11111111-2222-3333-4444-555555555555"
#define MOST 8

static struct fdb_file_entry entry_of(uint8_t n)
{
	return (struct fdb_file_entry){
		.mac = {2, 0, 0, 0, 0, n}, .vlan = n, .fixed = n & 1, .age_s = n};
}

/* Open the file, and say what was in it. */
static struct fdb_file *open_it(int fd, enum fdb_file_state *state, struct fdb_file_view *kept)
{
	struct fdb_file *file;

	assert_int_equal(fdb_file_new(fd, BOOT, MOST, &file, state, kept), 0);
	return file;
}

/* A snapshot with the entries `first` to `first` + n - 1, not complete yet. */
static void fill(struct fdb_file *file, uint8_t first, uint8_t n)
{
	fdb_file_begin(file);
	assert_int_equal(fdb_file_port(file, "vm1", "default"), 0);
	for (uint8_t i = 0; i < n; i++) {
		struct fdb_file_entry e = entry_of((uint8_t)(first + i));

		assert_true(fdb_file_add(file, &e));
	}
}

/* A file with one complete snapshot. */
static int made(uint8_t first, uint8_t n)
{
	int fd = memfd_create("fdb", 0);
	enum fdb_file_state state;
	struct fdb_file_view kept;
	struct fdb_file *file;

	assert_true(fd >= 0);
	file = open_it(fd, &state, &kept);
	assert_int_equal(state, FDB_FILE_EMPTY);
	fill(file, first, n);
	fdb_file_commit(file);
	fdb_file_free(file);
	return fd;
}

/* The file has that snapshot. */
static void has(int fd, uint8_t first, uint8_t n)
{
	enum fdb_file_state state;
	struct fdb_file_view kept;
	struct fdb_file *file = open_it(fd, &state, &kept);

	assert_int_equal(state, FDB_FILE_GOOD);
	assert_int_equal(kept.nports, 1);
	assert_string_equal(kept.ports[0].name, "vm1");
	assert_string_equal(kept.ports[0].bridge, "default");
	assert_int_equal(kept.nentries, n);
	for (uint8_t i = 0; i < n; i++) {
		struct fdb_file_entry e = entry_of((uint8_t)(first + i));

		assert_memory_equal(&kept.entries[i], &e, sizeof(e));
	}
	fdb_file_forget(file);
	fdb_file_free(file);
}

static void what_was_written_is_found(void **unused)
{
	int fd = made(1, 3);

	(void)unused;
	has(fd, 1, 3);
	has(fd, 1, 3);
	close(fd);
}

static void a_snapshot_that_was_not_finished_does_not_count(void **unused)
{
	int fd = made(1, 3);
	enum fdb_file_state state;
	struct fdb_file_view kept;

	(void)unused;
	/* Each time, the one before is left whole, in whichever half it is. */
	for (uint8_t i = 0; i < 4; i++) {
		struct fdb_file *file = open_it(fd, &state, &kept);

		fill(file, 50, MOST);
		fdb_file_free(file);
		has(fd, (uint8_t)(1 + i), 3);
		file = open_it(fd, &state, &kept);
		fill(file, 50, 2);
		fill(file, (uint8_t)(2 + i), 3); /* the one that was begun is given up */
		fdb_file_commit(file);
		fdb_file_free(file);
		has(fd, (uint8_t)(2 + i), 3);
	}
	close(fd);
}

static void there_is_an_end_of_the_room(void **unused)
{
	int fd = made(1, MOST);
	enum fdb_file_state state;
	struct fdb_file_view kept;
	struct fdb_file *file = open_it(fd, &state, &kept);
	struct fdb_file_entry e = entry_of(100);

	(void)unused;
	fill(file, 1, MOST);
	assert_false(fdb_file_add(file, &e));
	for (unsigned i = 1; i < FDB_FILE_PORTS; i++)
		assert_int_equal(fdb_file_port(file, "vm", "b"), i);
	assert_int_equal(fdb_file_port(file, "vm", "b"), -1);
	fdb_file_commit(file);
	fdb_file_free(file);
	file = open_it(fd, &state, &kept);
	assert_int_equal(state, FDB_FILE_GOOD);
	assert_int_equal(kept.nentries, MOST);
	assert_int_equal(kept.nports, FDB_FILE_PORTS);
	fdb_file_free(file);
	close(fd);
}

static void a_table_of_another_size_reads_it_all_the_same(void **unused)
{
	int fd = made(1, 3);
	enum fdb_file_state state;
	struct fdb_file_view kept;
	struct fdb_file *file;

	(void)unused;
	assert_int_equal(fdb_file_new(fd, BOOT, 2, &file, &state, &kept), 0);
	assert_int_equal(state, FDB_FILE_GOOD);
	assert_int_equal(kept.nentries, 3);
	fdb_file_free(file);
	close(fd);
}

/* ---- files that are none ---- */

struct image {
	uint8_t *bytes;
	size_t len;
};

static struct image image_of(int fd)
{
	struct image im = {.len = (size_t)lseek(fd, 0, SEEK_END)};

	im.bytes = malloc(im.len);
	assert_non_null(im.bytes);
	assert_int_equal(pread(fd, im.bytes, im.len, 0), im.len);
	close(fd);
	return im;
}

static enum fdb_file_state judged(const struct image *im, size_t len)
{
	struct fdb_file_view view;
	/* Bytes of its own: what is read behind the end shows. */
	uint8_t *copy = malloc(len + !len);
	enum fdb_file_state state;

	assert_non_null(copy);
	memcpy(copy, im->bytes, len);
	state = fdb_file_read(copy, len, BOOT, &view);
	free(copy);
	return state;
}

static void a_file_that_was_cut_off_is_not_believed(void **unused)
{
	struct image im = image_of(made(1, 3));

	(void)unused;
	assert_int_equal(judged(&im, im.len), FDB_FILE_GOOD);
	assert_int_equal(judged(&im, 0), FDB_FILE_EMPTY);
	for (size_t len = 1; len < im.len; len += len < 256 ? 1 : 1021)
		assert_int_not_equal(judged(&im, len), FDB_FILE_GOOD);
	free(im.bytes);
}

/* Change each bit of `n` bytes at `at`: what is believed afterwards is what was believed before. */
static void change(
	const struct image *im, const struct fdb_file_view *view, const void *at, size_t n)
{
	size_t from = (size_t)((const uint8_t *)at - im->bytes);
	struct fdb_file_view now;

	for (size_t i = 8 * from; i < 8 * (from + n); i++) {
		im->bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(fdb_file_read(im->bytes, im->len, BOOT, &now), FDB_FILE_GOOD);
		im->bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(fdb_file_read(im->bytes, im->len, BOOT, &now), FDB_FILE_GOOD);
	assert_int_equal(now.nentries, view->nentries);
}

static void no_changed_bit_goes_unnoticed(void **unused)
{
	struct image im = image_of(made(1, MOST));
	struct fdb_file_view view;

	(void)unused;
	assert_int_equal(fdb_file_read(im.bytes, im.len, BOOT, &view), FDB_FILE_GOOD);
	/* The head of the file, but for its number of entries: its size may be that of more. */
	change(&im, &view, im.bytes, 16);
	change(&im, &view, im.bytes + 20, 44);
	change(&im, &view, (const uint8_t *)view.ports - 32, 32); /* that of the snapshot */
	change(&im, &view, view.ports, sizeof(*view.ports));
	change(&im, &view, view.entries, MOST * sizeof(*view.entries));
	free(im.bytes);
}

static void a_damaged_file_is_made_anew(void **unused)
{
	static const uint8_t junk[100] = "not a forwarding database";
	int fd = made(1, 3);
	enum fdb_file_state state;
	struct fdb_file_view kept;
	struct fdb_file *file;

	(void)unused;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	file = open_it(fd, &state, &kept);
	assert_int_equal(state, FDB_FILE_ALIEN);
	fill(file, 7, 2);
	fdb_file_commit(file);
	fdb_file_free(file);
	has(fd, 7, 2);
	close(fd);
}

static void another_version_and_another_boot_are_told_apart(void **unused)
{
	struct image im = image_of(made(1, 3));
	struct fdb_file_view view;

	(void)unused;
	assert_int_equal(fdb_file_read(im.bytes, im.len, "another", &view), FDB_FILE_BOOT);
	im.bytes[8]++; /* the version */
	assert_int_equal(judged(&im, im.len), FDB_FILE_ALIEN);
	free(im.bytes);
}

/* What a right checksum does not make right. */
static void nonsense_with_a_checksum_is_not_believed(void **unused)
{
	struct fdb_file_entry bad[] = {
		entry_of(1), entry_of(1), entry_of(1), entry_of(1), entry_of(1), entry_of(1)};
	static const char *const names[][2] = {{"", "default"}, {"vm1", ""}};
	enum fdb_file_state state;
	struct fdb_file_view kept;
	struct fdb_file *file;
	int fd;

	(void)unused;
	bad[0].mac[0] = 1; /* a group */
	memset(bad[1].mac, 0, sizeof(bad[1].mac));
	bad[2].vlan = 4095;
	bad[3].port = 1; /* there is one */
	bad[4].fixed = 2;
	bad[5].service = 2;
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad) + RW_ARRAY_SIZE(names); i++) {
		size_t name = i - RW_ARRAY_SIZE(bad);

		fd = memfd_create("fdb", 0);
		file = open_it(fd, &state, &kept);
		fdb_file_begin(file);
		if (i < RW_ARRAY_SIZE(bad)) {
			fdb_file_port(file, "vm1", "default");
			fdb_file_add(file, &bad[i]);
		} else {
			fdb_file_port(file, names[name][0], names[name][1]);
		}
		fdb_file_commit(file);
		fdb_file_free(file);
		file = open_it(fd, &state, &kept);
		assert_int_equal(state, FDB_FILE_WRONG);
		fdb_file_free(file);
		close(fd);
	}
}

/* A successor has the file open while the process before still writes, and goes on behind it. */
static void who_takes_a_file_changes_nothing_and_goes_on_behind_the_last(void **unused)
{
	int fd = made(1, 3);
	struct fdb_file *before, *after;
	enum fdb_file_state state;
	struct fdb_file_view kept;

	(void)unused;
	for (uint8_t writes = 0; writes < 3; writes++) {
		before = open_it(fd, &state, &kept);
		assert_int_equal(fdb_file_take(fd, BOOT, MOST, &after), 0);
		for (uint8_t i = 0; i < writes; i++) {
			fill(before, (uint8_t)(10 + i), 3);
			fdb_file_commit(before);
		}
		fdb_file_free(before);
		has(fd, writes ? (uint8_t)(9 + writes) : 1, 3);
		/* The latest one stays until this one is complete. */
		fill(after, 20, 2);
		has(fd, writes ? (uint8_t)(9 + writes) : 1, 3);
		fdb_file_commit(after);
		has(fd, 20, 2);
		fill(after, 1, 3);
		fdb_file_commit(after);
		fdb_file_free(after);
	}
	assert_int_equal(fdb_file_take(fd, "another boot", MOST, &after), -EINVAL);
	assert_int_equal(fdb_file_take(fd, BOOT, 1000, &after), -EINVAL);
	has(fd, 1, 3);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_found),
		cmocka_unit_test(a_snapshot_that_was_not_finished_does_not_count),
		cmocka_unit_test(there_is_an_end_of_the_room),
		cmocka_unit_test(who_takes_a_file_changes_nothing_and_goes_on_behind_the_last),
		cmocka_unit_test(a_table_of_another_size_reads_it_all_the_same),
		cmocka_unit_test(a_file_that_was_cut_off_is_not_believed),
		cmocka_unit_test(no_changed_bit_goes_unnoticed),
		cmocka_unit_test(a_damaged_file_is_made_anew),
		cmocka_unit_test(another_version_and_another_boot_are_told_apart),
		cmocka_unit_test(nonsense_with_a_checksum_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
