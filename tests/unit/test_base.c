/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rw_base.h"
#include "rw_copy.h"
#include "rw_lock.h"
#include "rw_loop.h"
#include "rw_sock.h"
#include "rw_sys.h"
#include "rw_text.h"

/* ---- memory ---- */

static void allocations_are_zeroed_and_share_no_cache_line(void **state)
{
	uint8_t *a = rw_zalloc(1), *b = rw_zalloc(65), *big = rw_zalloc(3u << 20);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(big);
	assert_int_equal((uintptr_t)a % RW_CACHE_LINE, 0);
	assert_int_equal((uintptr_t)b % RW_CACHE_LINE, 0);
	for (size_t i = 0; i < RW_CACHE_LINE; i++)
		assert_int_equal(a[i], 0); /* the rest of the line belongs to the block */
	for (size_t i = 0; i < 2 * RW_CACHE_LINE; i++)
		assert_int_equal(b[i], 0);
	assert_int_equal(big[(3u << 20) - 1], 0);
	rw_free(a);
	rw_free(b);
	rw_free(big);
}

static void impossible_allocations_fail(void **state)
{
	(void)state;
	assert_null(rw_zalloc(0));
	assert_null(rw_zalloc(SIZE_MAX));
}

/* ---- copying ---- */

/* Every length and alignment that takes another path, and not a byte beside. */
static void every_way_of_copying_copies_these_bytes_and_no_others(void **state)
{
	enum { MAX = 4096 + 300, PAD = 128 };
	static uint8_t src[MAX + 2 * PAD], dst[MAX + 2 * PAD];
	const struct rw_copy *way;
	unsigned ways = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 31 + (i >> 8));
	for (; (way = rw_copy_way(ways)); ways++) {
		for (size_t n = 0; n < MAX; n += n < 700 ? 1 : 37) {
			size_t from = PAD - 64 + n * 7 % 64, to = PAD - 64 + n * 13 % 64;

			memset(dst, 0xee, sizeof(dst));
			way->fn(dst + to, src + from, n);
			if (memcmp(dst + to, src + from, n))
				fail_msg("%s: %zu bytes differ", way->name, n);
			for (size_t i = 0; i < sizeof(dst); i++) {
				if ((i < to || i >= to + n) && dst[i] != 0xee)
					fail_msg("%s: %zu bytes, wrote at %zu", way->name, n, i);
			}
		}
	}
	assert_true(ways >= 1);
	assert_string_equal(rw_copy_way(ways - 1)->name, "libc");
}

static void copy_line_plain(uint8_t *dst, const uint8_t *src)
{
	rw_copy_line(dst, src, false);
}

RW_WIDE static void copy_line_wide(uint8_t *dst, const uint8_t *src)
{
	rw_copy_line(dst, src, true);
}

static void a_line_is_copied_whole_wherever_it_begins(void **state)
{
	void (*const ways[])(uint8_t * dst, const uint8_t *src) = {copy_line_plain, copy_line_wide};
	uint8_t src[2 * RW_CACHE_LINE], dst[3 * RW_CACHE_LINE], want[sizeof(dst)];

	(void)state;
	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 31);
	for (size_t w = 0; w < (rw_is_wide() ? 2 : 1); w++) {
		for (size_t at = 0; at < RW_CACHE_LINE; at++) {
			memset(dst, 0xee, sizeof(dst));
			memset(want, 0xee, sizeof(want));
			memcpy(want + at, src + at * 13 % RW_CACHE_LINE, RW_CACHE_LINE);
			ways[w](dst + at, src + at * 13 % RW_CACHE_LINE);
			assert_memory_equal(dst, want, sizeof(dst));
		}
	}
}

/* ---- text ---- */

static void a_number_is_digits_within_its_bounds(void **state)
{
	static const char *const bad[] = {
		"", "x", "-1", "+1", " 1", "1 ", "0x1", "1.0", "9", "21", "4294967306"};
	uint32_t v = 7;

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++)
		assert_false(rw_text_number(bad[i], 10, 20, &v));
	assert_int_equal(v, 7); /* untouched */
	assert_true(rw_text_number("10", 10, 20, &v));
	assert_int_equal(v, 10);
	assert_true(rw_text_number("00020", 10, 20, &v));
	assert_int_equal(v, 20);
}

static void scanning_ends_behind_the_digits(void **state)
{
	const char *text = "12-3", *s = text;
	uint32_t v;

	(void)state;
	assert_true(rw_text_scan(&s, UINT32_MAX, &v));
	assert_int_equal(v, 12);
	assert_ptr_equal(s, text + 2);
	assert_false(rw_text_scan(&s, UINT32_MAX, &v));
	assert_ptr_equal(s, text + 2);
}

RW_PRINTF(3, 4) static void line_of(char *out, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(out, len, fmt, ap);
	va_end(ap);
}

static void a_message_is_one_line_whatever_the_words(void **state)
{
	char out[16];

	(void)state;
	line_of(out, sizeof(out), "%s: %d", "a\nb\x1b\x7f\xc3\xa4", 5);
	assert_string_equal(out, "a?b??\xc3\xa4: 5");
	line_of(out, sizeof(out), "%s", "more than there is room for");
	assert_string_equal(out, "more than there");
}

static void means(const char *word, const char *name)
{
	static const char *const names[] = {"packed", "pairs", "size", "loss", "in-order", "cpu"};
	const char *nearest = rw_text_nearest(word, names, RW_ARRAY_SIZE(names));

	if (!name && nearest)
		fail_msg("%s: %s", word, nearest);
	if (name)
		assert_string_equal(nearest ? nearest : "(none)", name);
}

static void a_slip_of_the_finger_finds_the_word_that_was_meant(void **state)
{
	char endless[1000];

	(void)state;
	means("size", "size");
	means("sizw", "size");
	means("isze", "size");
	means("pakced", "packed");
	means("pcked", "packed");
	means("pairss", "pairs");
	means("inorder", "in-order");
	means("cp", "cpu");
	means("order", NULL);
	means("nonsense", NULL);
	means("x", NULL);
	means("", NULL);
	memset(endless, 'e', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	means(endless, NULL);
	assert_null(rw_text_nearest("size", NULL, 0));
}

static void an_option_is_compared_without_its_dashes_and_its_value(void **state)
{
	static const char *const names[] = {"packed", "size"};
	char endless[100] = "--size";

	(void)state;
	assert_string_equal(rw_text_nearest_option("--sizw", names, 2), "size");
	assert_string_equal(rw_text_nearest_option("--pakced=on", names, 2), "packed");
	assert_null(rw_text_nearest_option("--nonsense=size", names, 2));
	assert_null(rw_text_nearest_option("sizw", names, 2));
	assert_null(rw_text_nearest_option("-s", names, 2));
	assert_null(rw_text_nearest_option("--", names, 2));
	assert_null(rw_text_nearest_option("", names, 2));
	memset(endless + 2, 's', sizeof(endless) - 3);
	assert_null(rw_text_nearest_option(endless, names, 2));
}

/* ---- sockets ---- */

static char dir[] = "/tmp/rw-base-XXXXXX";
static char path[64];

static struct rw_sock_id id;

static int sock_setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int sock_teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void a_listener_is_found_by_its_path(void **state)
{
	int fd = rw_sock_listen(path, &RW_SOCK_PRIVATE, &id), client;
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	client = rw_sock_connect(path);
	assert_true(client >= 0);
	assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
	close(client);
	close(fd);
	unlink(path);
}

static void a_stale_socket_file_is_replaced_a_live_one_is_not(void **state)
{
	int fd = rw_sock_listen(path, &RW_SOCK_PRIVATE, &id);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(rw_sock_listen(path, &RW_SOCK_PRIVATE, &id), -EADDRINUSE);
	close(fd); /* the file stays, nobody listens */
	assert_int_equal(rw_sock_connect(path), -ECONNREFUSED);
	fd = rw_sock_listen(path, &RW_SOCK_PRIVATE, &id);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct stat st;

	(void)state;
	close(fd);
	assert_int_equal(rw_sock_listen(path, &RW_SOCK_PRIVATE, &id), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(path);
}

static void bad_paths_have_their_own_errors(void **state)
{
	char longest[RW_SOCK_PATH_MAX + 2];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[RW_SOCK_PATH_MAX + 1] = '\0';
	assert_int_equal(rw_sock_listen(longest, &RW_SOCK_PRIVATE, &id), -ENAMETOOLONG);
	assert_int_equal(
		rw_sock_listen("/nonexistent-directory/s", &RW_SOCK_PRIVATE, &id), -ENOENT);
	assert_int_equal(rw_sock_connect("/nonexistent-directory/s"), -ENOENT);
	assert_string_equal(rw_sock_strerror(-EADDRINUSE), "a running process owns it");
	assert_string_equal(rw_sock_strerror(-EIO), strerror(EIO));
}

static void a_mac_address_is_written_and_read_back(void **state)
{
	static const char *const wrong[] = {"", "52:54:00:00:00", "52:54:00:00:00:01:02",
		"52:54:00:00:00:0g", "52:54:00:00:00:1", "52-54-00-00-00-01", "52:54:00:00:00:01 ",
		" 2:54:00:00:00:01", "+2:54:00:00:00:01"};
	const uint8_t mac[RW_MAC_LEN] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
	uint8_t read[RW_MAC_LEN];
	char text[RW_MAC_TEXT];

	(void)state;
	assert_string_equal(rw_mac_text(mac, text), "52:54:00:ab:cd:ef");
	assert_true(rw_mac_parse(text, read));
	assert_memory_equal(read, mac, sizeof(mac));
	assert_true(rw_mac_parse("52:54:00:AB:CD:EF", read));
	assert_memory_equal(read, mac, sizeof(mac));
	for (size_t i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_false(rw_mac_parse(wrong[i], read));
	assert_memory_equal(read, mac, sizeof(mac));
}

static void what_is_not_printable_becomes_a_question_mark(void **state)
{
	char text[] = "a\n\x1b[m~ \x7f\xc3\xa4";

	(void)state;
	rw_printable(text);
	assert_string_equal(text, "a??[m~ ???");
}

static void a_signal_reaches_the_eventfd_and_a_full_one_is_fine(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	eventfd_t value;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(rw_eventfd_signal(fd), 0);
	assert_int_equal(rw_eventfd_signal(fd), 0);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	assert_int_equal(rw_eventfd_signal(fd), 0);
	close(fd);
	assert_int_equal(rw_eventfd_signal(fd), -EBADF);
	assert_true(rw_is_power_of_2(rw_page_size()));
}

#define ADDERS 4
#define ADDS   20000

static struct {
	struct rw_spinlock lock;
	unsigned long count;
} shared;

static void *add(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ADDS; i++) {
		rw_spin_lock(&shared.lock);
		shared.count++;
		rw_spin_unlock(&shared.lock);
	}
	return NULL;
}

static void a_spinlock_has_one_holder(void **state)
{
	pthread_t threads[ADDERS];

	(void)state;
	for (unsigned i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add, NULL), 0);
	for (unsigned i = 0; i < ADDERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shared.count, ADDERS * ADDS);
	assert_true(rw_spin_trylock(&shared.lock));
	assert_false(rw_spin_trylock(&shared.lock));
	rw_spin_unlock(&shared.lock);
}

static void *mask_read(void *mask)
{
	pthread_sigmask(SIG_SETMASK, NULL, mask);
	return NULL;
}

static void a_thread_is_interrupted_by_its_own_faults_alone(void **state)
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGSYS};
	sigset_t before, after, inside;
	pthread_t thread;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(rw_thread_start(&thread, NULL, mask_read, &inside), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (size_t i = 0; i < RW_ARRAY_SIZE(faults); i++)
		assert_int_equal(sigismember(&inside, faults[i]), 0);
	assert_int_equal(sigismember(&inside, SIGTERM), 1);
	assert_int_equal(sigismember(&inside, SIGHUP), 1);
	/* The caller's mask is as it was. */
	for (int sig = 1; sig < NSIG; sig++)
		assert_int_equal(sigismember(&after, sig), sigismember(&before, sig));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_is_interrupted_by_its_own_faults_alone),
		cmocka_unit_test(allocations_are_zeroed_and_share_no_cache_line),
		cmocka_unit_test(every_way_of_copying_copies_these_bytes_and_no_others),
		cmocka_unit_test(a_line_is_copied_whole_wherever_it_begins),
		cmocka_unit_test(a_number_is_digits_within_its_bounds),
		cmocka_unit_test(scanning_ends_behind_the_digits),
		cmocka_unit_test(a_message_is_one_line_whatever_the_words),
		cmocka_unit_test(a_slip_of_the_finger_finds_the_word_that_was_meant),
		cmocka_unit_test(an_option_is_compared_without_its_dashes_and_its_value),
		cmocka_unit_test(a_mac_address_is_written_and_read_back),
		cmocka_unit_test(what_is_not_printable_becomes_a_question_mark),
		cmocka_unit_test(a_signal_reaches_the_eventfd_and_a_full_one_is_fine),
		cmocka_unit_test(a_spinlock_has_one_holder),
		cmocka_unit_test(impossible_allocations_fail),
		cmocka_unit_test(a_listener_is_found_by_its_path),
		cmocka_unit_test(a_stale_socket_file_is_replaced_a_live_one_is_not),
		cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
		cmocka_unit_test(bad_paths_have_their_own_errors),
	};

	return cmocka_run_group_tests(tests, sock_setup, sock_teardown);
}
