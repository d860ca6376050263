/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guard of foreign memory while EAL allocates. Growing its heap, EAL handles SIGBUS by itself,
 * and jumps to where one thread was. So the heap of a running switch does not grow, whoever asks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "daemon.h"
#include "gm_guard.h"

#define ROUNDS 300
#define PAGE   4096u
#define PAGES  4u
#define SMALL  (16u << 10)
#define LARGE  (256u << 20) /* more than any heap here has */

struct allocator {
	uint32_t stop;   /* atomic */
	uint32_t rounds; /* atomic: made so far */
	uint32_t grown;  /* blocks that no heap here has room for */
};

static void *allocate(void *arg)
{
	struct allocator *a = arg;

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
		void *small = rte_malloc(NULL, SMALL, 64), *large = rte_malloc(NULL, LARGE, 64);

		a->grown += large != NULL;
		rte_free(small);
		rte_free(large);
		__atomic_store_n(&a->rounds, a->rounds + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Memory that vanishes is touched; whether zeros were there and the owner was told. */
static bool fault_is_served(void)
{
	struct gm_owner owner = {0};
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct gm_file m;
	bool good;

	if (fd < 0 || ftruncate(fd, PAGES * PAGE) ||
		gm_file_map(&owner, GM_LOSS_MEMORY, fd, 0, PAGES * PAGE, &m))
		return false;
	memset(m.host, 1, PAGES * PAGE);
	good = !ftruncate(fd, 0);
	for (unsigned i = 0; i < PAGES; i++)
		good &= !*(const volatile uint8_t *)(m.host + i * PAGE);
	good &= gm_owner_loss(&owner) == GM_LOSS_MEMORY;
	gm_file_unmap(&m);
	close(fd);
	return good;
}

/* Exit statuses of the child. */
enum { GOOD, NO_HUGE_PAGES, NO_EAL, NOT_SERVED, HEAP_GREW };

/* In a process of its own: EAL starts once. */
static int child(bool no_huge)
{
	static struct options opt;
	struct allocator a = {0};
	unsigned failed = 0;
	pthread_t thread;
	bool huge;

	/* Each time that the heap may not grow is a line. */
	if (!freopen("/dev/null", "w", stderr))
		return NO_EAL;
	opt.no_huge = no_huge;
	if (eal_begin(&opt, &huge))
		return NO_EAL;
	if (huge == no_huge)
		return NO_HUGE_PAGES;
	/* As the workers' state: the heap has its first page. */
	if (!rte_malloc(NULL, SMALL, 64) || eal_fix_heap() || gm_guard_install() ||
		pthread_create(&thread, NULL, allocate, &a))
		return NO_EAL;
	for (uint32_t round = 0;
		round < ROUNDS || __atomic_load_n(&a.rounds, __ATOMIC_ACQUIRE) < ROUNDS; round++)
		failed += !fault_is_served();
	__atomic_store_n(&a.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return failed ? NOT_SERVED : a.grown ? HEAP_GREW : GOOD;
}

static int status_of(bool no_huge)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		/* Not cmocka's handler, which ends the test. */
		signal(SIGBUS, SIG_DFL);
		_exit(child(no_huge));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void faults_are_served_while_eal_allocates(void **state)
{
	(void)state;
	assert_int_equal(status_of(true), GOOD);
}

static void the_same_with_a_heap_of_huge_pages(void **state)
{
	int status = status_of(false);

	(void)state;
	if (status == NO_HUGE_PAGES)
		print_message("no free huge pages on this machine\n");
	else
		assert_int_equal(status, GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_served_while_eal_allocates),
		cmocka_unit_test(the_same_with_a_heap_of_huge_pages),
	};

	return cmocka_run_group_tests_name("switch_guard", tests, NULL, NULL);
}
