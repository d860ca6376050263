/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that vanishes under a mapping. */
#include "gm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "rw_copy.h"

/* A file of `pages` pages, mapped as a whole; and the file. */
static int mapped(struct gm_owner *owner, enum gm_loss kind, unsigned pages, struct gm_file *out)
{
	int fd = file_new(pages, 1);

	/* cmocka has a handler of its own for each test. */
	assert_int_equal(gm_guard_install(), 0);
	assert_int_equal(gm_file_map(owner, kind, fd, 0, (uint64_t)pages * PAGE, out), 0);
	return fd;
}

static uint8_t read_byte(const uint8_t *p)
{
	return *(const volatile uint8_t *)p;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static void a_truncated_file_reads_as_zeros(void **state)
{
	static const enum gm_loss kinds[] = {GM_LOSS_MEMORY, GM_LOSS_LOG, GM_LOSS_INFLIGHT};

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds); i++) {
		struct gm_owner lost = {0}, other = {0};
		struct gm_file a, b;
		int fds[] = {mapped(&lost, kinds[i], 4, &a), mapped(&other, kinds[i], 4, &b)};

		assert_int_equal(ftruncate(fds[0], 0), 0);
		assert_int_equal(gm_owner_loss(&lost), GM_LOSS_NONE);
		errno = ENOTTY;
		assert_int_equal(read_byte(a.host + 3 * PAGE), 0);
		assert_int_equal(errno, ENOTTY);
		assert_int_equal(gm_owner_loss(&lost), kinds[i]);
		assert_true(is_zero(a.host, 4 * PAGE));
		memset(a.host, 1, 4 * PAGE);
		/* Nobody else is concerned. */
		assert_int_equal(gm_owner_loss(&other), GM_LOSS_NONE);
		for (unsigned k = 0; k < 4 * PAGE; k++)
			assert_int_equal(b.host[k], file_byte(k, 1));
		gm_file_unmap(&a);
		gm_file_unmap(&b);
		close(fds[0]);
		close(fds[1]);
	}
}

/* What is left of the file is not touched any more either. */
static void the_whole_mapping_is_replaced(void **state)
{
	struct gm_owner owner = {0};
	struct gm_file m;
	int fd = mapped(&owner, GM_LOSS_MEMORY, 4, &m);
	uint8_t in_file;

	(void)state;
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_int_equal(read_byte(m.host), file_byte(0, 1));
	m.host[2 * PAGE] = 7;
	assert_true(is_zero(m.host, 2 * PAGE));
	assert_int_equal(m.host[2 * PAGE], 7);
	m.host[0] = 8;
	assert_int_equal(pread(fd, &in_file, 1, 0), 1);
	assert_int_equal(in_file, file_byte(0, 1));
	gm_file_unmap(&m);
	close(fd);
}

static void a_second_mapping_of_the_same_pages_is_guarded(void **state)
{
	struct gm_owner owner = {0};
	struct gm_region_desc d[] = {
		{.gpa = 0, .size = 4 * PAGE, .uva = UVA},
		{.gpa = 4 * PAGE, .size = 4 * PAGE, .uva = UVA + 4 * PAGE},
	};
	int fds[] = {file_new(4, 1), file_new(4, 2)};
	struct gm_space space = {.kind = GM_GPA};
	struct gm_linear lin;
	uint64_t missing;
	struct gm_map *map;

	(void)state;
	assert_int_equal(gm_guard_install(), 0);
	assert_int_equal(gm_map_new(&owner, d, fds, 2, NULL, &map), 0);
	space.map = map;
	assert_int_equal(gm_linear_get(&space, 3 * PAGE, 2 * PAGE, &lin, &missing), 0);
	assert_int_equal(ftruncate(fds[1], 0), 0);
	assert_int_equal(read_byte(lin.host), file_byte(3 * PAGE, 1));
	if (lin.map_base) {
		assert_int_equal(read_byte(lin.host + PAGE), 0);
		assert_int_equal(gm_owner_loss(&owner), GM_LOSS_MEMORY);
	}
	/* The first mapping is another one. */
	assert_int_equal(read_byte(map->regions[1].host), 0);
	assert_int_equal(gm_owner_loss(&owner), GM_LOSS_MEMORY);
	gm_linear_put(&lin);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

/* Whatever registers the copy uses: it goes on where it was. */
static void a_copy_goes_on_after_a_fault(void **state)
{
	enum { LEN = 4 * PAGE - 200 };
	static uint8_t buf[4 * PAGE];
	const struct rw_copy *way;

	(void)state;
	for (unsigned i = 0; (way = rw_copy_way(i)); i++) {
		for (unsigned into = 0; into < 2; into++) {
			struct gm_owner owner = {0};
			struct gm_file m;
			int fd = mapped(&owner, GM_LOSS_MEMORY, 4, &m);

			memset(buf, 0x55, sizeof(buf));
			assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
			if (into)
				way->fn(m.host + 100, buf, LEN);
			else
				way->fn(buf, m.host + 100, LEN);
			assert_int_equal(gm_owner_loss(&owner), GM_LOSS_MEMORY);
			/* From the fault on, at the latest. */
			for (unsigned k = 2 * PAGE + 200; k < LEN; k++)
				assert_int_equal(into ? m.host[100 + k] : buf[k], into ? 0x55 : 0);
			gm_file_unmap(&m);
			close(fd);
		}
	}
}

/* ---- threads ---- */

struct racer {
	pthread_barrier_t *barrier;
	uint8_t *at;
	uint8_t seen;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->barrier);
	r->seen = read_byte(r->at);
	*(volatile uint8_t *)r->at = 1;
	return NULL;
}

static void threads_fault_at_once(void **state)
{
	enum { THREADS = 4 };

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct racer racers[THREADS];
		pthread_t threads[THREADS];
		pthread_barrier_t barrier;
		struct gm_owner owner = {0};
		struct gm_file m;
		int fd = mapped(&owner, GM_LOSS_MEMORY, THREADS, &m);

		assert_int_equal(ftruncate(fd, 0), 0);
		pthread_barrier_init(&barrier, NULL, THREADS);
		for (unsigned i = 0; i < THREADS; i++) {
			racers[i] = (struct racer){&barrier, m.host + i * PAGE, 0xff};
			assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(racers[i].seen, 0);
		}
		assert_int_equal(gm_owner_loss(&owner), GM_LOSS_MEMORY);
		pthread_barrier_destroy(&barrier);
		gm_file_unmap(&m);
		close(fd);
	}
}

enum { VICTIMS = 300 };

static void *fault_everywhere(void *arg)
{
	struct gm_file *victims = arg;

	for (unsigned i = 0; i < VICTIMS; i++) {
		if (read_byte(victims[i].host))
			return arg;
		sched_yield();
	}
	return NULL;
}

/*
 * A handler that found an entry maps pages over it. No mapping that control makes meanwhile may be
 * hit, at whatever address, and no entry that it removes may be found half.
 */
static void regions_come_and_go_while_others_fault(void **state)
{
	static struct gm_file victims[VICTIMS];
	static struct gm_owner owners[VICTIMS];
	struct gm_owner owner = {0};
	int fds[VICTIMS], fd = file_new(4, 1);
	unsigned rounds = 0;
	pthread_t thread;
	void *failed;

	(void)state;
	memset(owners, 0, sizeof(owners));
	for (unsigned i = 0; i < VICTIMS; i++) {
		fds[i] = mapped(&owners[i], GM_LOSS_MEMORY, 1, &victims[i]);
		assert_int_equal(ftruncate(fds[i], 0), 0);
	}
	assert_int_equal(pthread_create(&thread, NULL, fault_everywhere, victims), 0);
	while (gm_owner_loss(&owners[VICTIMS - 1]) == GM_LOSS_NONE || rounds < 100) {
		struct gm_file m[4];

		for (unsigned i = 0; i < RW_ARRAY_SIZE(m); i++)
			assert_int_equal(
				gm_file_map(&owner, GM_LOSS_MEMORY, fd, 0, 4 * PAGE, &m[i]), 0);
		for (unsigned i = 0; i < RW_ARRAY_SIZE(m); i++) {
			for (unsigned k = 0; k < 4; k++)
				assert_int_equal(read_byte(m[i].host + k * PAGE),
					file_byte((uint64_t)k * PAGE, 1));
			gm_file_unmap(&m[i]);
		}
		rounds++;
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(gm_owner_loss(&owner), GM_LOSS_NONE);
	for (unsigned i = 0; i < VICTIMS; i++) {
		assert_int_equal(gm_owner_loss(&owners[i]), GM_LOSS_MEMORY);
		gm_file_unmap(&victims[i]);
		close(fds[i]);
	}
	close(fd);
}

/* ---- what is not ours ---- */

/* Fork, with the guard over the default action and stderr in a pipe; the child's end. */
static int status_of(void (*child)(void), char *said, size_t len)
{
	int pipes[2], status;
	ssize_t n, all = 0;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		const struct rlimit none = {0, 0};

		dup2(pipes[1], STDERR_FILENO);
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGBUS, SIG_DFL);
		gm_guard_install();
		child();
		_exit(42);
	}
	close(pipes[1]);
	while ((n = read(pipes[0], said + all, len - 1 - (size_t)all)) > 0)
		all += n;
	said[all] = 0;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool died_of(int status, int sig)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

static void fault_outside(void)
{
	int fd = file_new(1, 1);
	uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED || ftruncate(fd, 0))
		_exit(1);
	read_byte(p);
}

static void fault_after_unmapping(void)
{
	struct gm_owner owner = {0};
	struct gm_file m;
	int fd = mapped(&owner, GM_LOSS_MEMORY, 1, &m);
	uint8_t *p = m.host;

	gm_file_unmap(&m);
	p = mmap(p, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, 0))
		_exit(1);
	read_byte(p);
}

static void signal_sent(void)
{
	raise(SIGBUS);
}

static void any_other_sigbus_ends_the_process(void **state)
{
	char said[4096];

	(void)state;
	assert_true(died_of(status_of(fault_outside, said, sizeof(said)), SIGBUS));
	assert_true(died_of(status_of(fault_after_unmapping, said, sizeof(said)), SIGBUS));
	assert_true(died_of(status_of(signal_sent, said, sizeof(said)), SIGBUS));
}

static void cannot_replace(void)
{
	const struct rlimit little = {PAGE, PAGE};
	struct gm_owner owner = {0};
	struct gm_file m;
	int fd = mapped(&owner, GM_LOSS_MEMORY, 4, &m);

	if (ftruncate(fd, 0) || setrlimit(RLIMIT_AS, &little))
		_exit(1);
	read_byte(m.host);
}

static void a_replacement_that_fails_ends_the_process_with_one_line(void **state)
{
	char said[4096];
	int status = status_of(cannot_replace, said, sizeof(said));

	(void)state;
	assert_true(died_of(status, SIGABRT));
	assert_string_equal(said,
		"ringwayd: guest memory vanished and cannot be replaced by zero "
		"pages: the process ends\n");
}

/* ---- files ---- */

static void only_files_that_cannot_block_are_mapped(void **state)
{
	struct gm_owner strict = {0}, lenient = {.any_file = true};
	const char *folder = getenv("MESON_BUILD_ROOT");
	char path[256];
	struct gm_file m;
	int fd, pipes[2];

	(void)state;
	snprintf(path, sizeof(path), "%s/guard.XXXXXX", folder ? folder : "/var/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	/* The folder may be in a tmpfs itself. */
	if (fcntl(fd, F_GET_SEALS) < 0) {
		assert_int_equal(
			gm_file_map(&strict, GM_LOSS_MEMORY, fd, 0, PAGE, &m), -EMEDIUMTYPE);
		assert_int_equal(gm_file_map(&lenient, GM_LOSS_MEMORY, fd, 0, PAGE, &m), 0);
		gm_file_unmap(&m);
	}
	close(fd);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(gm_file_check(&strict, pipes[0]), -EMEDIUMTYPE);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(gm_file_check(&strict, -1), -EBADF);
	fd = file_new(1, 1);
	assert_int_equal(gm_file_map(&strict, GM_LOSS_MEMORY, fd, 0, PAGE + 1, &m), -ENXIO);
	assert_int_equal(gm_file_map(&strict, GM_LOSS_MEMORY, fd, 0, PAGE, &m), 0);
	gm_file_unmap(&m);
	close(fd);
}

/* ---- huge pages ---- */

static void huge_pages_may_vanish(void **state)
{
	struct gm_owner owner = {0};
	int fd = huge_file_new(2);
	struct gm_file m;

	(void)state;
	/* huge_file_new has said why. */
	if (fd < 0)
		return;
	assert_int_equal(gm_guard_install(), 0);
	/* The dirty log and the in-flight buffer begin anywhere. */
	assert_int_equal(gm_file_map(&owner, GM_LOSS_LOG, fd, HUGE - 100, HUGE, &m), 0);
	assert_int_equal(m.page_size, HUGE);
	assert_int_equal(m.len, 2 * HUGE);
	m.host[0] = 1;
	assert_int_equal(ftruncate(fd, HUGE), 0);
	assert_int_equal(read_byte(m.host + HUGE - 1), 0);
	assert_int_equal(gm_owner_loss(&owner), GM_LOSS_LOG);
	assert_int_equal(read_byte(m.host), 0);
	m.host[HUGE - 1] = 2;
	gm_file_unmap(&m);
	close(fd);
}

/* A file on a hugetlbfs of `pages` huge pages, which others cannot take; -1 after saying why. */
static int small_pool(char *folder, unsigned pages)
{
	char options[64], path[128];
	int fd;

	snprintf(options, sizeof(options), "pagesize=2M,size=%uM", 2 * pages);
	if (!mkdtemp(folder))
		return -1;
	if (mount("none", folder, "hugetlbfs", 0, options)) {
		print_message("cannot mount a hugetlbfs: %s\n", strerror(errno));
		rmdir(folder);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void an_empty_pool_refuses_and_a_hole_is_a_loss(void **state)
{
	char folder[] = "/tmp/guard.XXXXXX";
	struct gm_owner owner = {0}, other = {0};
	struct gm_file m, rest;
	int fd = huge_file_new(2), refused;

	(void)state;
	if (fd < 0)
		return;
	close(fd);
	fd = small_pool(folder, 2);
	if (fd < 0)
		return;
	assert_int_equal(gm_guard_install(), 0);
	assert_int_equal(ftruncate(fd, 4 * HUGE), 0);
	assert_int_equal(gm_file_map(&owner, GM_LOSS_MEMORY, fd, 0, 3 * HUGE, &m), -ENOMEM);
	assert_int_equal(gm_file_map(&owner, GM_LOSS_MEMORY, fd, 0, HUGE, &m), 0);
	m.host[0] = 1;
	/* The hole's page goes back into the pool, and the other mapping takes both. */
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE), 0);
	refused = gm_file_map(&other, GM_LOSS_MEMORY, fd, 2 * HUGE, 2 * HUGE, &rest);
	assert_int_equal(refused, 0);
	rest.host[0] = rest.host[HUGE] = 1;
	assert_int_equal(read_byte(m.host), 0);
	assert_int_equal(gm_owner_loss(&owner), GM_LOSS_MEMORY);
	assert_int_equal(gm_owner_loss(&other), GM_LOSS_NONE);
	gm_file_unmap(&m);
	gm_file_unmap(&rest);
	close(fd);
	assert_int_equal(umount(folder), 0);
	rmdir(folder);
}

static void the_table_has_an_end(void **state)
{
	static uint32_t slots[GM_GUARD_MAX];
	struct gm_owner owner = {0};
	uint8_t *nowhere = (uint8_t *)(uintptr_t)PAGE; /* below what is ever mapped */
	unsigned n = 0;
	uint32_t slot;

	(void)state;
	while (!gm_guard_add(&owner, GM_LOSS_LOG, nowhere, 1, &slots[n]))
		n++;
	assert_true(n > GM_GUARD_MAX / 2);
	/* An entry in the middle is used again. */
	gm_guard_del(slots[n / 2]);
	assert_int_equal(gm_guard_add(&owner, GM_LOSS_LOG, nowhere, 1, &slot), 0);
	assert_int_equal(slot, slots[n / 2]);
	assert_int_equal(gm_guard_add(&owner, GM_LOSS_LOG, nowhere, 1, &slot), -ENOSPC);
	/* A handler finds what is there although the table is long. */
	{
		struct gm_owner last = {0};
		struct gm_file m;
		int fd;

		gm_guard_del(slots[n - 1]);
		fd = mapped(&last, GM_LOSS_MEMORY, 1, &m);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(read_byte(m.host), 0);
		assert_int_equal(gm_owner_loss(&last), GM_LOSS_MEMORY);
		gm_file_unmap(&m);
		close(fd);
	}
	while (n--)
		gm_guard_del(slots[n]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_truncated_file_reads_as_zeros),
		cmocka_unit_test(the_whole_mapping_is_replaced),
		cmocka_unit_test(a_second_mapping_of_the_same_pages_is_guarded),
		cmocka_unit_test(a_copy_goes_on_after_a_fault),
		cmocka_unit_test(threads_fault_at_once),
		cmocka_unit_test(regions_come_and_go_while_others_fault),
		cmocka_unit_test(any_other_sigbus_ends_the_process),
		cmocka_unit_test(a_replacement_that_fails_ends_the_process_with_one_line),
		cmocka_unit_test(only_files_that_cannot_block_are_mapped),
		cmocka_unit_test(huge_pages_may_vanish),
		cmocka_unit_test(an_empty_pool_refuses_and_a_hole_is_a_loss),
		cmocka_unit_test(the_table_has_an_end),
	};

	return cmocka_run_group_tests_name("guest_mem_guard", tests, NULL, NULL);
}
