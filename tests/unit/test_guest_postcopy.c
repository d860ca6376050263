/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose memory comes later. The back-end is played by a thread of this process: it maps the
 * guest's files a second time, with a userfaultfd of its own, as another process would.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "fe_fixture.h"
#include "fe_postcopy.h"

#define PAGES 64u

static const struct fe_region_config memory[] = {
	{.gpa = 0x40000000, .size = PAGES * FE_PAGE, .uva = 0x7000000},
	{.gpa = 0x80000000, .size = PAGES * FE_PAGE, .uva = 0x9000000, .mmap_offset = FE_PAGE},
};

struct bench {
	struct fe_guest *g;
	int peer;
	int ufd;
	uint8_t *view[2]; /* the back-end's */
};

static void nap(void)
{
	const struct timespec moment = {.tv_nsec = 200 * 1000};

	nanosleep(&moment, NULL);
}

static int userfaultfd_open(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd >= 0)
		assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	return fd;
}

/* The byte that page `i` of region `r` is full of at the source. */
static uint8_t content(uint32_t r, uint32_t i)
{
	return (uint8_t)(1 + r * 100 + i);
}

static void back_end_maps(struct bench *b)
{
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	uint32_t r;

	for (r = 0; r < 2; r++) {
		b->view[r] = mmap(NULL, PAGES * FE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			b->g->mem.regions[r].fd, (off_t)memory[r].mmap_offset);
		assert_ptr_not_equal(b->view[r], MAP_FAILED);
		reg.range.start = (uintptr_t)b->view[r];
		reg.range.len = PAGES * FE_PAGE;
		assert_int_equal(ioctl(b->ufd, UFFDIO_REGISTER, &reg), 0);
	}
}

/* A guest whose back-end has its memory, none of which is there. False: no privilege. */
static bool bench_start(struct bench *b, bool scatter)
{
	const struct fe_guest_config c = {.regions = memory,
		.nregions = 2,
		.rx_size = 8,
		.tx_size = 8,
		.iommu = {.mode = scatter ? FE_IOMMU_STATIC : FE_IOMMU_NONE, .scatter = scatter}};
	struct vu_mem_table t = {.nregions = 2};
	uint32_t r, i;

	b->ufd = userfaultfd_open();
	if (b->ufd < 0)
		return false;
	assert_int_equal(fe_guest_new(&c, &b->g), 0);
	for (r = 0; r < 2; r++)
		for (i = 0; i < PAGES; i++)
			memset(b->g->mem.regions[r].host + i * FE_PAGE, content(r, i), FE_PAGE);
	assert_int_equal(fe_postcopy_begin(b->g), 0);
	b->peer = peer_open(&b->g->conn);
	back_end_maps(b);
	peer_send_fd(b->peer, VU_POSTCOPY_ADVISE, 5, "", 0, b->ufd);
	assert_int_equal(fe_postcopy_listen(b->g->postcopy), 0);
	for (r = 0; r < 2; r++) {
		t.regions[r] = fe_mem_wire(&b->g->mem, r);
		t.regions[r].uva = (uintptr_t)b->view[r];
	}
	peer_reply(b->peer, VU_SET_MEM_TABLE, &t, 72);
	assert_int_equal(fe_guest_share_memory(b->g), 0);
	assert_int_equal(peer_recv(b->peer).header.request, VU_POSTCOPY_ADVISE);
	assert_int_equal(peer_recv(b->peer).header.request, VU_POSTCOPY_LISTEN);
	assert_int_equal(peer_recv(b->peer).header.size, 72);
	peer_hears(b->peer, 0, "05000000 01000000 08000000 0000000000000000");
	return true;
}

static void bench_end(struct bench *b)
{
	uint32_t r;

	fe_guest_free(b->g);
	for (r = 0; r < 2; r++)
		munmap(b->view[r], PAGES * FE_PAGE);
	close(b->ufd);
	close(b->peer);
}

#define start_or_skip(b, scatter)             \
	do {                                  \
		if (!bench_start(b, scatter)) \
			skip();               \
	} while (0)

/* The page of the back-end's view that is page `i` for the guest. */
static volatile uint8_t *view_of(struct bench *b, uint32_t r, uint32_t i)
{
	uint64_t gpa = fe_mem_gpa(&b->g->mem, memory[r].gpa + i * FE_PAGE);

	return b->view[r] + (gpa - memory[r].gpa);
}

static void each_side_finds_what_the_source_had(void **state)
{
	struct fe_postcopy_stats stats;
	struct bench b;
	uint32_t i;
	int scatter;

	(void)state;
	for (scatter = 0; scatter < 2; scatter++) {
		start_or_skip(&b, scatter);
		for (i = 0; i < PAGES; i++) {
			uint32_t r = i % 2;

			if (i % 3) {
				assert_int_equal(view_of(&b, r, i)[5], content(r, i));
				assert_int_equal(
					b.g->mem.regions[r].host[i * FE_PAGE], content(r, i));
			} else {
				assert_int_equal(b.g->mem.regions[r].host[i * FE_PAGE + 4095],
					content(r, i));
				assert_int_equal(view_of(&b, r, i)[0], content(r, i));
			}
		}
		stats = fe_postcopy_stats(b.g->postcopy);
		assert_int_equal(stats.backend_faults, 42);
		assert_int_equal(stats.guest_faults, 22);
		peer_ack(b.peer, VU_POSTCOPY_END, 0);
		assert_int_equal(fe_postcopy_end(b.g->postcopy), 0);
		for (i = 0; i < PAGES; i++)
			assert_int_equal(view_of(&b, 1, i)[9], content(1, i));
		assert_int_equal(fe_postcopy_stats(b.g->postcopy).backend_faults, 42);
		bench_end(&b);
	}
}

static void *touch(void *arg)
{
	volatile uint8_t *page = arg;

	return (void *)(uintptr_t)page[17];
}

static void a_held_page_keeps_whoever_wants_it_waiting(void **state)
{
	uint64_t addr = memory[1].gpa + 7 * FE_PAGE;
	struct bench b;
	pthread_t t;
	void *seen;

	(void)state;
	start_or_skip(&b, false);
	assert_int_equal(fe_postcopy_hold(b.g->postcopy, addr + 100), 0);
	assert_int_equal(fe_postcopy_hold(b.g->postcopy, 1), -EFAULT);
	assert_int_equal(view_of(&b, 1, 8)[0], content(1, 8));
	assert_int_equal(fe_postcopy_hold(b.g->postcopy, addr + FE_PAGE), -EEXIST);
	assert_int_equal(pthread_create(&t, NULL, touch, (void *)(uintptr_t)view_of(&b, 1, 7)), 0);
	while (!fe_postcopy_stats(b.g->postcopy).backend_held)
		nap();
	/* All others come, this one does not. */
	assert_int_equal(fe_postcopy_fill(b.g->postcopy), 0);
	assert_int_equal(view_of(&b, 1, 6)[0], content(1, 6));
	assert_int_equal(pthread_tryjoin_np(t, &seen), EBUSY);
	fe_postcopy_release(b.g->postcopy, addr);
	assert_int_equal(pthread_join(t, &seen), 0);
	assert_int_equal((uintptr_t)seen, content(1, 7));
	bench_end(&b);
}

static void memory_is_whole_again_when_it_is_over(void **state)
{
	struct bench b;
	uint32_t r, i;

	(void)state;
	start_or_skip(&b, true);
	view_of(&b, 0, 3)[0] = 0xee;
	fe_postcopy_free(b.g->postcopy);
	assert_null(b.g->postcopy);
	for (r = 0; r < 2; r++)
		for (i = 0; i < PAGES; i++)
			assert_int_equal(b.g->mem.regions[r].host[i * FE_PAGE],
				r == 0 && i == 3 ? 0xee : content(r, i));
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_side_finds_what_the_source_had),
		cmocka_unit_test(a_held_page_keeps_whoever_wants_it_waiting),
		cmocka_unit_test(memory_is_whole_again_when_it_is_over),
	};

	return cmocka_run_group_tests_name("guest_postcopy", tests, NULL, NULL);
}
