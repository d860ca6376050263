/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database outlives the switch: a clean stop and kill -9. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fdb_file.h"
#include "hosts.h"
#include "kill.h"
#include "upgrade.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	/* Longer than any of these tests: nobody goes but by what they do. */
	return kill_start_with(&rig, "ab", "--fdb-linger=3000");
}

static void fdb_add(struct rig *r, const char *mac, const char *port)
{
	json_decref(rig_call(r, "fdb.add", json_pack("{s:s, s:s}", "mac", mac, "port", port)));
}

/* The entry of an address; a new reference. NULL: there is none. */
static json_t *entry_of(struct rig *r, const char *mac)
{
	json_t *list = rig_call(r, "fdb.list", json_pack("{s:s}", "mac", mac));
	json_t *entry = json_incref(json_array_get(json_object_get(list, "entries"), 0));

	json_decref(list);
	return entry;
}

/* Whether the snapshot that the next process would find has the address. */
static bool is_saved(const uint8_t mac[6])
{
	static uint8_t bytes[8 << 20];
	char boot[64] = "";
	struct fdb_file_view view;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, boot, sizeof(boot) - 1);

	close(fd);
	assert_true(n > 0);
	boot[strcspn(boot, "\n")] = 0;
	fd = open(kill_path("fdb"), O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	assert_true(n > 0 && n < (ssize_t)sizeof(bytes));
	if (fdb_file_read(bytes, (size_t)n, boot, &view) != FDB_FILE_GOOD)
		return false;
	for (uint32_t i = 0; i < view.nentries; i++) {
		if (!memcmp(view.entries[i].mac, mac, 6))
			return true;
	}
	return false;
}

/* Hosts behind both ports, and a static entry. */
static void people(struct rig *r, uint8_t mac[6], uint32_t n)
{
	struct peer *a = peer_up(r, "a", NULL);

	host_make(mac, n);
	host_speaks(r, a, mac, -1);
	rig_wait(r, host_port(r, mac, 0) == 'a');
	fdb_add(r, "02:00:00:00:00:77", "b");
}

static void all_are_known(struct rig *r, const uint8_t mac[6])
{
	json_t *fixed = entry_of(r, "02:00:00:00:00:77");

	assert_int_equal(host_found(r, mac, 0, "file"), 'a');
	assert_non_null(fixed);
	assert_string_equal(json_string_value(json_object_get(fixed, "port")), "b");
	assert_true(json_is_true(json_object_get(fixed, "static")));
	json_decref(fixed);
}

static void a_clean_stop_leaves_the_table_and_ages_go_on(void **state)
{
	uint8_t mac[6];
	json_t *e;

	people(*state, mac, 1);
	usleep(2100 * 1000);
	switch_is_ended(*state, SIGTERM, NULL);
	all_are_known(*state, mac);
	assert_false(rig_has_logged(*state, "ignored"));
	e = entry_of(*state, "0a:5c:00:00:00:01");
	assert_non_null(e);
	assert_true(json_integer_value(json_object_get(e, "age_s")) >= 1);
	json_decref(e);
}

static void a_kill_leaves_the_latest_snapshot(void **state)
{
	uint8_t mac[6];

	people(*state, mac, 2);
	rig_wait(*state, is_saved(mac));
	switch_is_ended(*state, SIGKILL, NULL);
	all_are_known(*state, mac);
}

static void scribble(void)
{
	static const char junk[] = "junk where the latest snapshots were";
	int fd = open(kill_path("fdb"), O_RDWR | O_CLOEXEC);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	/* The heads of both halves. */
	assert_int_equal(pwrite(fd, junk, 32, 4096), 32);
	assert_int_equal(pwrite(fd, junk, 32, 4096 + (st.st_size - 4096) / 2), 32);
	close(fd);
}

static void cut(void)
{
	assert_int_equal(truncate(kill_path("fdb"), 5000), 0);
}

static void other_version(void)
{
	int fd = open(kill_path("fdb"), O_RDWR | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "\xff", 1, 8), 1);
	close(fd);
}

static void what_cannot_be_believed_is_ignored_with_one_line(void **state)
{
	void (*const harms[])(void) = {scribble, cut, other_version};
	uint8_t mac[6];

	for (size_t i = 0; i < RW_ARRAY_SIZE(harms); i++) {
		people(*state, mac, 10 + (uint32_t)i);
		switch_is_ended(*state, SIGTERM, harms[i]);
		rig_wait(*state, rig_has_logged(*state, "it is ignored and made anew"));
		assert_int_equal(host_port(*state, mac, 0), 0);
	}
	/* The next one finds what this one knew. */
	people(*state, mac, 20);
	switch_is_ended(*state, SIGTERM, NULL);
	all_are_known(*state, mac);
}

static void a_port_that_is_gone_is_left_out(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6];

	people(r, mac, 30);
	r->ports = "b"; /* of the next one */
	switch_is_ended(r, SIGTERM, NULL);
	assert_int_equal(host_port(r, mac, 0), 0);
	assert_int_equal(hosts_behind(r, "b"), 1);
}

/* How hosts were found goes along as well; and what the successor learns is saved. */
static void a_successor_goes_on_with_the_file(void **state)
{
	struct rig *r = *state;
	struct peer *a = peer_up(r, "a", NULL);
	uint8_t before[6], after[6];

	host_make(before, 40);
	host_speaks(r, a, before, -1);
	rig_wait(r, host_port(r, before, 0) == 'a');
	fdb_add(r, "02:00:00:00:00:77", "b");
	upgrade(r, NULL, NULL);
	assert_int_equal(host_found(r, before, 0, "frame"), 'a');
	host_make(after, 41);
	host_speaks(r, a, after, -1);
	rig_wait(r, is_saved(after));
	switch_is_ended(r, SIGKILL, NULL);
	all_are_known(r, before);
	all_are_known(r, after);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		rig_test(a_clean_stop_leaves_the_table_and_ages_go_on),
		rig_test(a_kill_leaves_the_latest_snapshot),
		rig_test(what_cannot_be_believed_is_ignored_with_one_line),
		rig_test(a_successor_goes_on_with_the_file),
		rig_test(a_port_that_is_gone_is_left_out),
	};

	return cmocka_run_group_tests(tests, start, kill_stop);
}
