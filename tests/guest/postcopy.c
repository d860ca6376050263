/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fe_postcopy.h"
#include "guest.h"

struct fe_postcopy {
	struct fe_guest *g;
	uint8_t *source; /* all regions, one after the other */
	int own_ufd;     /* for the guest's faults */
	int wake_fd;     /* eventfd: the thread looks at what changed */
	bool threaded;   /* the thread runs */
	pthread_t thread;

	/* Under the lock. */
	pthread_mutex_t lock;
	bool stop;
	bool listening;
	bool shared; /* bases[] are known */
	int ufd;     /* for the back-end's faults; -1: not yet */
	uint64_t bases[FE_MAX_REGIONS];
	uint64_t held[FE_POSTCOPY_HELD]; /* addresses of pages */
	uint32_t nheld;
	struct fe_postcopy_stats stats;
};

/* What is where: region `r`'s page that begins `off` bytes into it. */
struct place {
	const struct fe_region *r;
	uint64_t off;
	uint8_t *source;
	uint64_t base; /* the region's first byte for the back-end */
};

/* Find the page of `addr`; false: no memory. */
static bool place_of(const struct fe_postcopy *pc, uint64_t addr, struct place *out)
{
	const struct fe_mem *m = &pc->g->mem;
	uint8_t *source = pc->source;
	uint32_t i;

	for (i = 0; i < m->nregions; source += m->regions[i++].c.size) {
		uint64_t off = addr - m->regions[i].c.gpa;

		if (off >= m->regions[i].c.size)
			continue;
		off &= ~(FE_PAGE - 1);
		*out = (struct place){&m->regions[i], off, source + off, pc->bases[i]};
		return true;
	}
	return false;
}

/* The address of the page that is at offset `off` of region `r` physically. */
static uint64_t addr_of(const struct fe_region *r, uint64_t off)
{
	uint32_t i = 0;

	if (r->order) {
		while (r->order[i] != off / FE_PAGE)
			i++;
		off = i * FE_PAGE;
	}
	return r->c.gpa + off;
}

/* Let the page appear, and wake who waits for it. */
static int supply(struct fe_postcopy *pc, const struct place *at)
{
	struct uffdio_copy copy = {.dst = (uintptr_t)(at->r->host + at->off),
		.src = (uintptr_t)at->source,
		.len = FE_PAGE};
	uint64_t off = at->r->order ? at->r->order[at->off / FE_PAGE] * FE_PAGE : at->off;
	struct uffdio_range wake = {.start = copy.dst, .len = FE_PAGE};

	while (ioctl(pc->own_ufd, UFFDIO_COPY, &copy) < 0) {
		if (errno == EAGAIN)
			continue;
		if (errno != EEXIST)
			return -errno;
		/* Both sides wanted it. */
		if (ioctl(pc->own_ufd, UFFDIO_WAKE, &wake) < 0)
			return -errno;
		break;
	}
	if (!pc->shared)
		return 0;
	wake.start = at->base + off;
	return ioctl(pc->ufd, UFFDIO_WAKE, &wake) < 0 ? -errno : 0;
}

static bool is_held(const struct fe_postcopy *pc, uint64_t addr)
{
	uint32_t i;

	for (i = 0; i < pc->nheld; i++)
		if (pc->held[i] == (addr & ~(FE_PAGE - 1)))
			return true;
	return false;
}

static void guest_fault(struct fe_postcopy *pc, uint64_t ptr)
{
	uint64_t addr = fe_mem_addr(&pc->g->mem, (void *)(uintptr_t)ptr);
	struct place at;

	pc->stats.guest_faults++;
	if (!is_held(pc, addr) && place_of(pc, addr, &at))
		supply(pc, &at);
}

static void backend_fault(struct fe_postcopy *pc, uint64_t ptr)
{
	const struct fe_mem *m = &pc->g->mem;
	struct place at;
	uint64_t addr;
	uint32_t i;

	pc->stats.backend_faults++;
	for (i = 0; i < m->nregions; i++) {
		if (ptr - pc->bases[i] >= m->regions[i].c.size)
			continue;
		addr = addr_of(&m->regions[i], ptr - pc->bases[i]);
		if (is_held(pc, addr))
			pc->stats.backend_held++;
		else if (place_of(pc, addr, &at))
			supply(pc, &at);
	}
}

/* Serve what is readable on a userfaultfd. */
static void serve(
	struct fe_postcopy *pc, int ufd, void (*fault)(struct fe_postcopy *pc, uint64_t ptr))
{
	struct uffd_msg msg;

	while (read(ufd, &msg, sizeof(msg)) == sizeof(msg))
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			fault(pc, msg.arg.pagefault.address);
}

static void *run(void *arg)
{
	struct fe_postcopy *pc = arg;
	struct pollfd p[3] = {{.fd = pc->own_ufd, .events = POLLIN},
		{.fd = pc->wake_fd, .events = POLLIN}, {.events = POLLIN}};
	eventfd_t n;

	for (;;) {
		pthread_mutex_lock(&pc->lock);
		p[2].fd = pc->shared ? pc->ufd : -1;
		if (pc->stop)
			break;
		pthread_mutex_unlock(&pc->lock);
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return NULL;
		eventfd_read(pc->wake_fd, &n);
		pthread_mutex_lock(&pc->lock);
		serve(pc, pc->own_ufd, guest_fault);
		if (pc->shared)
			serve(pc, pc->ufd, backend_fault);
		/* The back-end is gone: nobody to wake, and no end of "readable". */
		if (p[2].fd >= 0 && p[2].revents & (POLLERR | POLLHUP))
			pc->shared = false;
		pthread_mutex_unlock(&pc->lock);
	}
	pthread_mutex_unlock(&pc->lock);
	return NULL;
}

static int source_save(struct fe_postcopy *pc)
{
	const struct fe_mem *m = &pc->g->mem;
	uint64_t bytes = 0;
	uint8_t *to;
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		bytes += m->regions[i].c.size;
	/* Page-aligned: UFFDIO_COPY copies from it page by page. */
	pc->source = aligned_alloc(FE_PAGE, bytes);
	if (!pc->source)
		return -ENOMEM;
	for (to = pc->source, i = 0; i < m->nregions; to += m->regions[i++].c.size)
		memcpy(to, m->regions[i].host, m->regions[i].c.size);
	return 0;
}

/* Let all pages be missing. */
static int memory_drop(struct fe_postcopy *pc)
{
	const struct fe_mem *m = &pc->g->mem;
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		if (fallocate(m->regions[i].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)m->regions[i].c.mmap_offset, (off_t)m->regions[i].c.size) < 0)
			return -errno;
	return 0;
}

/* A userfaultfd on all of our own mappings. */
static int watch(struct fe_postcopy *pc)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};
	const struct fe_mem *m = &pc->g->mem;
	uint32_t i;

	pc->own_ufd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (pc->own_ufd < 0 || ioctl(pc->own_ufd, UFFDIO_API, &api) < 0)
		return -errno;
	for (i = 0; i < m->nregions; i++) {
		struct uffdio_register reg = {
			.range = {.start = (uintptr_t)m->regions[i].host,
				.len = m->regions[i].c.size},
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		if (ioctl(pc->own_ufd, UFFDIO_REGISTER, &reg) < 0)
			return -errno;
	}
	return 0;
}

int fe_postcopy_begin(struct fe_guest *g)
{
	struct fe_postcopy *pc;
	int err;

	if (g->postcopy)
		return -EBUSY;
	if (g->config.hugetlb)
		return -ENOTSUP;
	pc = calloc(1, sizeof(*pc));
	if (!pc)
		return -ENOMEM;
	pc->g = g;
	pc->ufd = pc->own_ufd = -1;
	pthread_mutex_init(&pc->lock, NULL);
	pc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = pc->wake_fd < 0 ? -errno : source_save(pc);
	/* Once watched, memory is not to be touched before the thread runs. */
	if (!err)
		err = watch(pc);
	if (!err)
		err = memory_drop(pc);
	if (!err)
		err = -pthread_create(&pc->thread, NULL, run, pc);
	if (err) {
		fe_postcopy_free(pc);
		return err;
	}
	pc->threaded = true;
	g->postcopy = pc;
	return 0;
}

int fe_postcopy_fill(struct fe_postcopy *pc)
{
	const struct fe_mem *m = &pc->g->mem;
	struct place at;
	uint64_t off;
	uint32_t i;
	int err = 0;

	/* Page by page: others want the lock, too. */
	for (i = 0; !err && i < m->nregions; i++) {
		for (off = 0; !err && off < m->regions[i].c.size; off += FE_PAGE) {
			pthread_mutex_lock(&pc->lock);
			if (!is_held(pc, m->regions[i].c.gpa + off) &&
				place_of(pc, m->regions[i].c.gpa + off, &at))
				err = supply(pc, &at);
			pthread_mutex_unlock(&pc->lock);
		}
	}
	return err;
}

void fe_postcopy_free(struct fe_postcopy *pc)
{
	if (!pc)
		return;
	if (pc->threaded) {
		pthread_mutex_lock(&pc->lock);
		pc->nheld = 0;
		pthread_mutex_unlock(&pc->lock);
		fe_postcopy_fill(pc);
		pthread_mutex_lock(&pc->lock);
		pc->stop = true;
		pthread_mutex_unlock(&pc->lock);
		eventfd_write(pc->wake_fd, 1);
		pthread_join(pc->thread, NULL);
	}
	if (pc->own_ufd >= 0)
		close(pc->own_ufd);
	if (pc->ufd >= 0)
		close(pc->ufd);
	if (pc->wake_fd >= 0)
		close(pc->wake_fd);
	if (pc->g->postcopy == pc)
		pc->g->postcopy = NULL;
	pthread_mutex_destroy(&pc->lock);
	free(pc->source);
	free(pc);
}

int fe_postcopy_advise(struct fe_postcopy *pc)
{
	int flags, fd;
	int err;

	err = fe_conn_postcopy_advise(&pc->g->conn, &fd);
	if (err)
		return err;
	/* One that blocks cannot be polled. */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	pthread_mutex_lock(&pc->lock);
	if (pc->ufd >= 0)
		close(pc->ufd);
	pc->ufd = fd;
	pc->shared = pc->listening = false;
	pthread_mutex_unlock(&pc->lock);
	return 0;
}

int fe_postcopy_listen(struct fe_postcopy *pc)
{
	int err = 0;

	if (pc->ufd < 0)
		err = fe_postcopy_advise(pc);
	if (!err)
		err = fe_conn_order(&pc->g->conn, VU_POSTCOPY_LISTEN);
	if (!err)
		pc->listening = true;
	return err;
}

bool fe_postcopy_listens(const struct fe_guest *g)
{
	return g->postcopy && g->postcopy->listening;
}

/* ADD_MEM_REG for each region not shared yet. */
static int share_slots(struct fe_guest *g, uint64_t *bases)
{
	struct vu_mem_region wire;
	struct fe_region *r;
	uint32_t i;
	int err;

	for (i = 0; i < g->mem.nregions; i++) {
		r = &g->mem.regions[i];
		wire = fe_mem_wire(&g->mem, i);
		if (r->shared)
			continue;
		err = fe_conn_add_mem_postcopy(&g->conn, &wire, r->fd, &bases[i]);
		if (err)
			return err;
		r->shared = true;
	}
	return 0;
}

int fe_postcopy_share(struct fe_guest *g)
{
	bool slots = fe_guest_has_protocol(g, VU_PF_CONFIGURE_MEM_SLOTS);
	struct fe_postcopy *pc = g->postcopy;
	uint64_t bases[FE_MAX_REGIONS];
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS];
	int err;

	memcpy(bases, pc->bases, sizeof(bases));
	if (slots) {
		err = share_slots(g, bases);
	} else if (g->mem.nregions > VU_MAX_TABLE_REGIONS) {
		err = -E2BIG;
	} else {
		fe_mem_table(&g->mem, &table, fds);
		err = fe_conn_set_mem_postcopy(&g->conn, &table, fds, bases);
	}
	if (err)
		return err;
	pthread_mutex_lock(&pc->lock);
	memcpy(pc->bases, bases, sizeof(bases));
	pc->shared = true;
	pthread_mutex_unlock(&pc->lock);
	eventfd_write(pc->wake_fd, 1);
	return fe_conn_mem_ready(&g->conn, slots ? VU_ADD_MEM_REG : VU_SET_MEM_TABLE);
}

/* Whether the page at `at` has come. */
static bool is_present(const struct place *at)
{
	off_t off = (off_t)(at->r->c.mmap_offset +
		(at->r->order ? at->r->order[at->off / FE_PAGE] * FE_PAGE : at->off));

	return lseek(at->r->fd, off, SEEK_DATA) == off;
}

int fe_postcopy_hold(struct fe_postcopy *pc, uint64_t addr)
{
	struct place at;
	int err = 0;

	pthread_mutex_lock(&pc->lock);
	if (!place_of(pc, addr, &at))
		err = -EFAULT;
	else if (is_present(&at))
		err = -EEXIST;
	else if (pc->nheld == FE_POSTCOPY_HELD)
		err = -ENOSPC;
	else
		pc->held[pc->nheld++] = addr & ~(FE_PAGE - 1);
	pthread_mutex_unlock(&pc->lock);
	return err;
}

void fe_postcopy_release(struct fe_postcopy *pc, uint64_t addr)
{
	struct place at;
	uint32_t i;

	addr &= ~(FE_PAGE - 1);
	pthread_mutex_lock(&pc->lock);
	for (i = 0; i < pc->nheld; i++) {
		if (pc->held[i] != addr)
			continue;
		pc->held[i] = pc->held[--pc->nheld];
		if (place_of(pc, addr, &at))
			supply(pc, &at);
		break;
	}
	pthread_mutex_unlock(&pc->lock);
}

int fe_postcopy_end(struct fe_postcopy *pc)
{
	int err;

	pthread_mutex_lock(&pc->lock);
	pc->nheld = 0;
	pthread_mutex_unlock(&pc->lock);
	err = fe_postcopy_fill(pc);
	if (!err)
		err = fe_conn_postcopy_end(&pc->g->conn);
	if (err)
		return err;
	/* The back-end has closed its end: nobody is left to wake. */
	pthread_mutex_lock(&pc->lock);
	pc->listening = pc->shared = false;
	pthread_mutex_unlock(&pc->lock);
	return 0;
}

struct fe_postcopy_stats fe_postcopy_stats(struct fe_postcopy *pc)
{
	struct fe_postcopy_stats s;

	pthread_mutex_lock(&pc->lock);
	s = pc->stats;
	pthread_mutex_unlock(&pc->lock);
	return s;
}
