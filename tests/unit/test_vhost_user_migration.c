/* SPDX-License-Identifier: BSD-3-Clause */
/* Live migration: the dirty log, RARP, and the messages of a postcopy migration. */
#include <pthread.h>
#include <sys/ioctl.h>

#include <linux/userfaultfd.h>

#include "vu_fixture.h"

/* The log. */

static struct request log_base(struct front *f, uint64_t size, uint64_t offset)
{
	struct request r = msg_of(VU_SET_LOG_BASE, sizeof(struct vu_log_base));

	r.payload.log = (struct vu_log_base){.size = size, .offset = offset};
	return with_fds(r, &f->memfd, 1);
}

/* QEMU takes any reply, current rust-vmm this one only. */
static void a_log_is_answered_with_an_echo_of_its_description(void **state)
{
	struct front *f = front_of(state);
	struct request r = log_base(f, 0x2000, 0x1000);

	negotiate(f, FEATURES);
	for (unsigned flags = 0; flags <= NEED; flags += NEED) {
		r.flags = flags;
		assert_int_equal(exchange(f, &r), REPLY);
		assert_int_equal(f->reply_size, 16);
		assert_int_equal(f->reply_payload.log.size, 0x2000);
		assert_int_equal(f->reply_payload.log.offset, 0x1000);
		assert_int_equal(f->reply_fd, -1);
	}
	assert_int_equal(dl_size(vu_log(f->s)), 0x2000);
}

static void a_log_begins_anywhere_in_its_file(void **state)
{
	struct front *f = front_of(state);
	struct request r = log_base(f, 16, 0x1234);
	struct dl_batch batch;
	uint8_t byte;

	negotiate(f, FEATURES);
	assert_int_equal(exchange(f, &r), REPLY);
	dl_batch_init(&batch, vu_log(f->s));
	dl_mark(&batch, 0x9000, 1);
	dl_flush(&batch);
	assert_int_equal(pread(f->memfd, &byte, 1, 0x1235), 1);
	assert_int_equal(byte, 1 << 1);
}

static void a_log_that_is_not_all_there_is_refused(void **state)
{
	static const struct vu_log_base wrong[] = {{0, 0}, {MEM_SIZE + 1, 0}, {1, MEM_SIZE},
		{0x1000, MEM_SIZE - 0xfff}, {UINT64_MAX, 1}, {1, UINT64_MAX},
		{1ull << 63, 1ull << 63}};
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_int_equal(ask(f, log_base(f, wrong[i].size, wrong[i].offset)), ACK_BAD);
	assert_null(vu_log(f->s));
}

static void a_log_is_replaced_while_rings_rest(void **state)
{
	struct front *f = front_of(state);
	struct request r = log_base(f, 0x1000, 0);
	unsigned maps;

	negotiate(f, FEATURES & ~PACKED);
	start_ring(f, 0);
	assert_int_equal(exchange(f, &r), REPLY);
	maps = count_maps();
	assert_null(f->at_pause.log);
	assert_non_null(f->at_resume.log);
	for (int i = 0; i < 10; i++)
		assert_int_equal(exchange(f, &r), REPLY);
	assert_true(f->running[0]);
	assert_int_equal(count_maps(), maps);
}

static void logging_goes_on_and_off_while_a_ring_runs(void **state)
{
	const uint64_t features = PROTOCOL | VERSION1;
	struct front *f = front_of(state);
	struct request r = log_base(f, 0x1000, 0);
	struct vu_vring_addr a = addr_at(0, 0);

	negotiate(f, features);
	start_ring(f, 0);
	assert_int_equal(exchange(f, &r), REPLY);
	assert_false(vu_logs_buffers(f->s));
	assert_false(vu_logs_ring(f->s, 0));
	for (int i = 0; i < 3; i++) {
		/* The order of QEMU: rings first. */
		a.flags = VU_VRING_LOG;
		a.log = 0x5000;
		assert_int_equal(ask_addr(f, a), ACK_OK);
		assert_int_equal(ask_u64(f, VU_SET_FEATURES, features | LOG_ALL), ACK_OK);
		assert_true(f->running[0]);
		assert_true(vu_logs_buffers(f->s));
		assert_true(vu_logs_ring(f->s, 0));
		assert_int_equal(vu_ring(f->s, 0)->addr.log, 0x5000);
		assert_false(vu_logs_ring(f->s, 1));
		/* Nothing else may come along with it. */
		assert_int_equal(ask_u64(f, VU_SET_FEATURES, features | LOG_ALL | MRG), ACK_BAD);
		assert_int_equal(ask_u64(f, VU_SET_FEATURES, features | MRG), ACK_BAD);
		a.flags = 0;
		assert_int_equal(ask_addr(f, a), ACK_OK);
		assert_int_equal(ask_u64(f, VU_SET_FEATURES, features), ACK_OK);
		assert_true(f->running[0]);
		assert_false(vu_logs_buffers(f->s) || vu_logs_ring(f->s, 0));
	}
}

static void without_a_log_nothing_is_logged(void **state)
{
	struct front *f = front_of(state);
	struct vu_vring_addr a = addr_at(0, 0);

	negotiate(f, FEATURES | LOG_ALL);
	a.flags = VU_VRING_LOG;
	assert_int_equal(ask_addr(f, a), ACK_OK);
	assert_false(vu_logs_buffers(f->s) || vu_logs_ring(f->s, 0));
}

static void the_log_eventfd_is_an_eventfd(void **state)
{
	struct front *f = front_of(state);
	int fd = eventfd(0, EFD_CLOEXEC);
	struct request r = with_fds(msg(VU_SET_LOG_FD), &fd, 1);
	unsigned before;

	negotiate(f, FEATURES);
	before = count_fds();
	assert_int_equal(ask(f, r), ACK_OK);
	assert_int_equal(ask(f, r), ACK_OK);
	assert_int_equal(count_fds(), before + 1);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	r.fds = &f->memfd;
	assert_int_equal(ask(f, r), ACK_BAD);
	assert_int_equal(count_fds(), before + 1);
	close(fd);
}

static void a_reset_ends_logging(void **state)
{
	struct front *f = front_of(state);
	struct request r = log_base(f, 0x1000, 0);

	negotiate(f, FEATURES | LOG_ALL);
	assert_int_equal(exchange(f, &r), REPLY);
	assert_true(vu_logs_buffers(f->s));
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_null(vu_log(f->s));
}

static void a_rarp_carries_the_address_of_the_guest(void **state)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	assert_int_equal(ask_u64(f, VU_SEND_RARP, 0xffff563412005452), ACK_OK);
	assert_int_equal(f->rarps, 1);
	assert_memory_equal(f->mac, mac, sizeof(mac));
}

/* Postcopy. */

static const struct request advise = {.request = VU_POSTCOPY_ADVISE};
static const struct request listen_now = {.request = VU_POSTCOPY_LISTEN};
static const struct request end = {.request = VU_POSTCOPY_END};

/* Up to LISTEN; the userfaultfd, which is the caller's. */
static int begin_postcopy(struct front *f)
{
	int ufd;

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	assert_int_equal(exchange(f, &advise), REPLY);
	ufd = f->reply_fd;
	f->reply_fd = -1;
	assert_int_equal(ask(f, listen_now), ACK_OK);
	return ufd;
}

/* QEMU's: it repeats the last request, without need_reply. */
static enum outcome confirm(struct front *f, uint32_t request, uint64_t value)
{
	struct request r = msg_u64(request, value);

	return exchange(f, &r);
}

static void an_advice_is_answered_with_nothing_but_a_userfaultfd(void **state)
{
	static const char want[] = "anon_inode:[userfaultfd]";
	struct front *f = front_of(state);
	char path[32], what[64] = {0};

	negotiate(f, FEATURES);
	/* Advised again: QEMU does when a migration is tried once more. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(exchange(f, &advise), REPLY);
		assert_int_equal(f->reply_size, 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", f->reply_fd);
		assert_true(readlink(path, what, sizeof(what) - 1) > 0);
		assert_string_equal(what, want);
		assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_ADVISED);
	}
	/* Nothing has changed yet. */
	start_ring(f, 0);
	assert_int_equal(exchange(f, &end), REPLY);
	assert_int_equal(f->reply, 0);
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_NONE);
	assert_true(f->running[0]);
}

static void listening_follows_an_advice_and_precedes_the_memory(void **state)
{
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask(f, listen_now), ACK_BAD);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_int_equal(exchange(f, &advise), REPLY);
	assert_int_equal(ask(f, listen_now), ACK_BAD);
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_ADVISED);
}

static void an_advice_during_a_migration_is_refused(void **state)
{
	struct front *f = front_of(state);

	close(begin_postcopy(f));
	assert_int_equal(exchange(f, &advise), REPLY);
	assert_int_equal(f->reply_size, 0);
	assert_int_equal(f->reply_fd, -1);
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_LISTENING);
}

static void each_queue_pair_may_advise_and_listen(void **state)
{
	struct front *f = front_of(state);

	/* In the order of QEMU; begin_postcopy() does so for the last pair. */
	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	assert_int_equal(exchange(f, &advise), REPLY);
	close(begin_postcopy(f));
	assert_int_equal(ask(f, listen_now), ACK_OK);
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_LISTENING);
	for (int i = 0; i < 2; i++)
		assert_int_equal(exchange(f, &end), REPLY);
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_NONE);
	assert_int_equal(ask(f, listen_now), ACK_BAD);
}

static void a_table_is_answered_with_our_addresses_and_rings_wait(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);

	close(begin_postcopy(f));
	assert_int_equal(exchange(f, &r), REPLY);
	assert_int_equal(f->reply_size, r.size);
	assert_int_equal(f->reply_payload.mem.nregions, 1);
	assert_int_equal(f->reply_payload.mem.regions[0].gpa, 0);
	assert_int_equal(f->reply_payload.mem.regions[0].size, MEM_SIZE);
	assert_int_equal(
		f->reply_payload.mem.regions[0].uva, (uintptr_t)vu_mem(f->s)->regions[0].host);
	describe_ring(f, 0);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
	assert_false(f->running[0]);
	assert_int_equal(confirm(f, VU_SET_MEM_TABLE, 0), SILENCE);
	assert_true(f->running[0]);
	/* Another table: they wait again. */
	r.flags = NEED;
	assert_int_equal(exchange(f, &r), REPLY);
	assert_int_equal(f->reply_size, r.size);
	assert_false(f->running[0]);
	assert_int_equal(ask_u64(f, VU_SET_MEM_TABLE, 0), ACK_OK);
	assert_true(f->running[0]);
	assert_int_equal(exchange(f, &end), REPLY);
	assert_int_equal(f->reply, 0);
	assert_true(f->running[0]);
	assert_int_equal(vu_postcopy_state(f->s), VU_POSTCOPY_NONE);
}

/* In the order of the message, whatever the order of the map. */
static void every_region_of_a_table_has_its_address(void **state)
{
	struct front *f = front_of(state);
	struct request r = {.request = VU_SET_MEM_TABLE, .size = 8 + 3 * 32};
	int fds[3] = {f->memfd, f->memfd, f->memfd};

	close(begin_postcopy(f));
	r.fds = fds;
	r.n = 3;
	r.payload.mem.nregions = 3;
	for (uint64_t i = 0; i < 3; i++)
		r.payload.mem.regions[i] = (struct vu_mem_region){
			(3 - i) * 0x100000, 0x1000, MEM_UVA + i * 0x1000, i * 0x1000};
	assert_int_equal(exchange(f, &r), REPLY);
	assert_int_equal(f->reply_size, r.size);
	for (uint64_t i = 0; i < 3; i++) {
		const struct vu_mem_region *got = &f->reply_payload.mem.regions[i];

		assert_int_equal(got->gpa, (3 - i) * 0x100000);
		assert_int_equal(got->mmap_offset, i * 0x1000);
		assert_ptr_equal((void *)got->uva, gm_region_find(vu_mem(f->s), got->gpa)->host);
	}
}

static void a_region_that_is_added_is_answered_in_the_same_way(void **state)
{
	static const uint32_t last[] = {VU_ADD_MEM_REG, VU_REM_MEM_REG, VU_SET_MEM_TABLE};
	struct front *f = front_of(state);
	struct request add = {.request = VU_ADD_MEM_REG, .size = 40, .fds = &f->memfd, .n = 1};

	add.payload.slot.region = (struct vu_mem_region){0, MEM_SIZE, MEM_UVA, 0};
	close(begin_postcopy(f));
	for (unsigned i = 0; i < RW_ARRAY_SIZE(last); i++) {
		struct request rem = add;

		assert_int_equal(exchange(f, &add), REPLY);
		assert_int_equal(f->reply_size, 40);
		assert_ptr_equal((void *)f->reply_payload.slot.region.uva,
			gm_region_find(vu_mem(f->s), add.payload.slot.region.gpa)->host);
		if (!i) {
			describe_ring(f, 0);
			assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
		}
		assert_false(f->running[0]);
		assert_int_equal(confirm(f, last[i], 0), SILENCE);
		assert_true(f->running[0]);
		rem.request = VU_REM_MEM_REG;
		assert_int_equal(exchange(f, &rem), SILENCE);
		assert_false(f->running[0]);
	}
}

static void a_front_end_that_cannot_supply_pages_is_dropped(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);

	close(begin_postcopy(f));
	assert_int_equal(exchange(f, &r), REPLY);
	assert_int_equal(confirm(f, VU_SET_MEM_TABLE, 1), CLOSED);
	assert_int_equal(f->reason, -EIO);
}

static void a_confirmation_without_postcopy_is_a_wrong_size(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	assert_int_equal(ask_u64(f, VU_SET_MEM_TABLE, 0), ACK_BAD);
	assert_int_equal(ask_u64(f, VU_ADD_MEM_REG, 0), ACK_BAD);
	assert_int_equal(exchange(f, &advise), REPLY);
	assert_int_equal(ask_u64(f, VU_SET_MEM_TABLE, 0), ACK_BAD);
}

struct toucher {
	volatile const uint8_t *page;
	uint8_t seen;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;

	t->seen = *t->page;
	return NULL;
}

/* The page that a thread of ours waits for. */
static uint64_t wait_for_fault(int ufd)
{
	struct uffd_msg msg;

	for (int i = 0; i < 5000; i++) {
		if (read(ufd, &msg, sizeof(msg)) == sizeof(msg)) {
			assert_int_equal(msg.event, UFFD_EVENT_PAGEFAULT);
			return msg.arg.pagefault.address;
		}
		usleep(1000);
	}
	fail_msg("no fault in five seconds");
	return 0;
}

static void a_missing_page_comes_from_the_front_end(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);
	static uint8_t page[0x1000] __attribute__((aligned(0x1000)));
	struct uffdio_copy copy = {.src = (uintptr_t)page, .len = sizeof(page)};
	struct toucher t;
	pthread_t thread;
	int ufd = begin_postcopy(f);

	memset(page, 0x5a, sizeof(page));
	assert_int_equal(exchange(f, &r), REPLY);
	assert_int_equal(confirm(f, VU_SET_MEM_TABLE, 0), SILENCE);
	t.page = (uint8_t *)(uintptr_t)f->reply_payload.mem.regions[0].uva + 0x3000;
	assert_int_equal(pthread_create(&thread, NULL, touch, &t), 0);
	copy.dst = wait_for_fault(ufd);
	assert_ptr_equal((void *)copy.dst, t.page);
	assert_int_equal(ioctl(ufd, UFFDIO_COPY, &copy), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.seen, 0x5a);
	close(ufd);
}

static void join(void *arg)
{
	assert_int_equal(pthread_join(*(pthread_t *)arg, NULL), 0);
}

/*
 * The owner waits for its threads when it pauses rings: they must be woken before. What they see
 * then is not the guest's memory, which is left as it is: with a page missing, which may come from
 * elsewhere.
 */
static void nobody_waits_for_a_front_end_that_has_gone(void **state)
{
	struct unit *u = *state;

	for (int in_message = 0; in_message < 2; in_message++) {
		struct request r;
		struct toucher t;
		pthread_t thread;
		struct front f;
		int ufd, fd;

		front_open(&f, u->loop);
		r = one_region(&f);
		ufd = begin_postcopy(&f);
		assert_int_equal(exchange(&f, &r), REPLY);
		assert_int_equal(confirm(&f, VU_SET_MEM_TABLE, 0), SILENCE);
		describe_ring(&f, 0);
		t.page = vu_mem(f.s)->regions[0].host;
		assert_int_equal(pthread_create(&thread, NULL, touch, &t), 0);
		wait_for_fault(ufd);
		if (in_message) {
			f.pause_later = true;
			assert_int_equal(exchange(&f, &r), SILENCE);
			assert_true(vu_is_waiting(f.s));
			f.pause_later = false;
		}
		f.on_pause = join;
		f.pause_arg = &thread;
		fd = fcntl(f.memfd, F_DUPFD_CLOEXEC, 0);
		front_close(&f);
		assert_int_equal(f.reason, 0);
		assert_int_equal(lseek(fd, 0, SEEK_DATA), -1);
		assert_int_equal(errno, ENXIO);
		close(fd);
		close(ufd);
	}
}

/* The messages of QEMU's migration, as its source and its destination send them. */
static void the_order_of_qemu_before_and_after_the_move(void **state)
{
	const uint64_t features = PROTOCOL | VERSION1 | MRG;
	struct unit *u = *state;
	struct front *from = front_of(state), to;
	struct request r = log_base(from, 0x1000, 0);
	struct vu_vring_addr a = addr_at(0, 0);

	negotiate(from, features);
	start_ring(from, 0);
	/* Logging begins: the log, each ring's address, then the feature. */
	assert_int_equal(exchange(from, &r), REPLY);
	a.flags = VU_VRING_LOG;
	assert_int_equal(ask_u64(from, VU_SET_FEATURES, features | LOG_ALL), ACK_OK);
	assert_int_equal(ask_addr(from, a), ACK_OK);
	assert_true(from->running[0] && vu_logs_buffers(from->s) && vu_logs_ring(from->s, 0));
	/* The machine stops. */
	from->position = 123;
	assert_int_equal(ask_state(from, VU_SET_VRING_ENABLE, 0, 0), ACK_OK);
	assert_int_equal(stop_ring(from, 0), 123);
	/* It goes on elsewhere. */
	front_open(&to, u->loop);
	negotiate(&to, features);
	assert_int_equal(ask_state(&to, VU_SET_VRING_NUM, 0, 256), ACK_OK);
	assert_int_equal(ask_state(&to, VU_SET_VRING_BASE, 0, 123), ACK_OK);
	assert_int_equal(ask_addr(&to, addr_at(0, 0)), ACK_OK);
	assert_int_equal(ask_fd(&to, VU_SET_VRING_KICK, 0), ACK_OK);
	assert_int_equal(ask_fd(&to, VU_SET_VRING_CALL, 0), ACK_OK);
	assert_int_equal(ask_state(&to, VU_SET_VRING_ENABLE, 0, 1), ACK_OK);
	assert_int_equal(ask_u64(&to, VU_SEND_RARP, 1), ACK_OK);
	assert_true(to.running[0]);
	assert_int_equal(to.rarps, 1);
	front_close(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_log_is_answered_with_an_echo_of_its_description),
		spec(a_log_begins_anywhere_in_its_file),
		spec(a_log_that_is_not_all_there_is_refused),
		spec(a_log_is_replaced_while_rings_rest),
		spec(logging_goes_on_and_off_while_a_ring_runs),
		spec(without_a_log_nothing_is_logged),
		spec(the_log_eventfd_is_an_eventfd),
		spec(a_reset_ends_logging),
		spec(a_rarp_carries_the_address_of_the_guest),
		spec(an_advice_is_answered_with_nothing_but_a_userfaultfd),
		spec(listening_follows_an_advice_and_precedes_the_memory),
		spec(an_advice_during_a_migration_is_refused),
		spec(each_queue_pair_may_advise_and_listen),
		spec(a_table_is_answered_with_our_addresses_and_rings_wait),
		spec(every_region_of_a_table_has_its_address),
		spec(a_region_that_is_added_is_answered_in_the_same_way),
		spec(a_front_end_that_cannot_supply_pages_is_dropped),
		spec(a_confirmation_without_postcopy_is_a_wrong_size),
		spec(a_missing_page_comes_from_the_front_end),
		spec(nobody_waits_for_a_front_end_that_has_gone),
		spec(the_order_of_qemu_before_and_after_the_move),
	};

	return cmocka_run_group_tests_name("vhost_user migration", tests, NULL, NULL);
}
