/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handler may interrupt any thread at any instruction that touches foreign memory: it takes no
 * lock, makes system calls without the C library's wrappers and keeps errno.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gm_guard.h"

/* Control writes; handlers read entries whose `base` is not 0. */
struct entry {
	uintptr_t base; /* 0: the entry is free; stored last, with release order */
	uintptr_t end;
	struct gm_owner *owner; /* or NULL */
	uint32_t kind;          /* enum gm_loss */
};

static struct entry table[GM_GUARD_MAX]; /* entry 0 is never used */
static uint32_t nused = 1;               /* entries below this were used once */
static uint32_t first_free = 1;          /* no entry below this is free; control only */
static uint32_t handlers;                /* handlers that run */
static struct sigaction before;          /* what handled SIGBUS before us */

/* ---- the handler ---- */

static void loss_note(struct gm_owner *owner, uint32_t loss)
{
	uint32_t none = GM_LOSS_NONE;

	if (owner)
		__atomic_compare_exchange_n(
			&owner->loss, &none, loss, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static const struct entry *entry_find(uintptr_t addr)
{
	uint32_t n = __atomic_load_n(&nused, __ATOMIC_ACQUIRE);

	for (uint32_t i = 1; i < n; i++) {
		const struct entry *e = &table[i];
		/* Pairs with the store in gm_guard_add: the rest of the entry is there. */
		uintptr_t base = __atomic_load_n(&e->base, __ATOMIC_SEQ_CST);

		if (base && addr >= base && addr < e->end)
			return e;
	}
	return NULL;
}

/* Nothing can go on without that memory. */
static void replacement_failed(void)
{
	static const char text[] = "ringwayd: guest memory vanished and cannot be replaced by zero "
				   "pages: the process ends\n";
	struct sigaction act = {.sa_handler = SIG_DFL};

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	sigaction(SIGABRT, &act, NULL);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGABRT);
	_exit(1);
}

/*
 * Put zero pages in the place of the mapping at `addr`. False: there is none in the table. When two
 * threads fault at once, both replace it: what the first has written since is lost, and worth
 * nothing.
 */
static bool replace(uintptr_t addr, bool hardware)
{
	const struct entry *e = entry_find(addr);
	size_t len;
	long p;

	if (!e)
		return false;
	loss_note(e->owner, hardware ? (uint32_t)GM_LOSS_HARDWARE : e->kind);
	len = e->end - e->base;
	p = syscall(SYS_mmap, e->base, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (p == -1)
		replacement_failed();
	/* A byte that is written costs 4 KiB, not 2 MiB; and none of it is worth a dump. */
	syscall(SYS_madvise, e->base, len, MADV_NOHUGEPAGE);
	syscall(SYS_madvise, e->base, len, MADV_DONTDUMP);
	return true;
}

/* It is not ours: as if we had never been there. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
		return;
	}
	if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
		return;
	}
	/* A fault repeats when we return. A signal that was sent has to be sent again. */
	if (info->si_code <= 0 && before.sa_handler == SIG_IGN)
		return;
	before.sa_handler = SIG_DFL;
	sigaction(sig, &before, NULL);
	if (info->si_code <= 0)
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int code = info->si_code, err = errno;
	bool hardware = code == BUS_MCEERR_AR || code == BUS_MCEERR_AO, mine = false;

	/* Both in the one order that all threads see: gm_guard_del relies on it. */
	__atomic_fetch_add(&handlers, 1, __ATOMIC_SEQ_CST);
	if (code == BUS_ADRERR || code == BUS_OBJERR || hardware)
		mine = replace((uintptr_t)info->si_addr, hardware);
	__atomic_fetch_sub(&handlers, 1, __ATOMIC_SEQ_CST);
	if (!mine)
		pass_on(sig, info, context);
	errno = err;
}

int gm_guard_install(void)
{
	struct sigaction act = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now))
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)
		return 0;
	before = now;
	sigemptyset(&act.sa_mask);
	return sigaction(SIGBUS, &act, NULL) ? -errno : 0;
}

/* ---- the table ---- */

int gm_guard_add(
	struct gm_owner *owner, enum gm_loss kind, uint8_t *base, size_t len, uint32_t *slot)
{
	uint32_t i = first_free;
	struct entry *e;

	while (i < nused && table[i].base)
		i++;
	if (i == GM_GUARD_MAX)
		return -ENOSPC;
	e = &table[i];
	e->end = (uintptr_t)base + len;
	e->owner = owner;
	e->kind = kind;
	__atomic_store_n(&e->base, (uintptr_t)base, __ATOMIC_SEQ_CST);
	if (i == nused)
		__atomic_store_n(&nused, i + 1, __ATOMIC_RELEASE);
	first_free = i + 1;
	*slot = i;
	return 0;
}

void gm_guard_del(uint32_t slot)
{
	if (!slot)
		return;
	/*
	 * A handler that begins after this store does not find the entry. One that began before is
	 * counted, and may still be about to map pages over it.
	 */
	__atomic_store_n(&table[slot].base, 0, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&handlers, __ATOMIC_SEQ_CST))
		sched_yield();
	first_free = RW_MIN(first_free, slot);
}

const char *gm_loss_text(enum gm_loss loss)
{
	static const char *const texts[] = {
		[GM_LOSS_NONE] = "nothing is lost",
		[GM_LOSS_MEMORY] = "guest memory vanished (the front-end truncated it?)",
		[GM_LOSS_LOG] = "the dirty log vanished (the front-end truncated it?)",
		[GM_LOSS_INFLIGHT] = "the in-flight buffer vanished (the front-end truncated it?)",
		[GM_LOSS_HARDWARE] = "guest memory has an uncorrectable memory error",
	};

	return texts[loss];
}
