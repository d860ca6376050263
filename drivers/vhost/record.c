/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of packed rings that outlive the process: which ring a record is of, and its file. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest_mem.h"
#include "port.h"
#include "rw_sock.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define MAGIC   0x4345525957474e52ull /* "RNGWYREC" */
#define VERSION 1

#define PORTS_MAX  1024
#define NAME_BYTES 64
#define BOOT_BYTES 40

/* A ring's part: the head, then its progress. Of so many bytes the longest ring needs 65680. */
#define HEAD_BYTES 128
#define RING_BYTES (17u << 12)
#define PORT_BYTES ((uint64_t)VU_MAX_RINGS * RING_BYTES)

struct file_head {
	uint64_t magic;
	uint32_t version;
	uint32_t ports;
	uint32_t rings;
	uint32_t ring_bytes;
	char boot[BOOT_BYTES];
};

#define NAMES_AT   4096u
#define PORTS_AT   (NAMES_AT + PORTS_MAX * NAME_BYTES)
#define FILE_BYTES (PORTS_AT + PORTS_MAX * PORT_BYTES)

struct ring_head {
	uint32_t open;
	uint32_t padding;
	struct vhost_record_key key;
};

_Static_assert(sizeof(struct ring_head) <= HEAD_BYTES, "the head of a record");
_Static_assert(HEAD_BYTES + sizeof(struct vq_progress) + 2 * VQ_MAX_SIZE <= RING_BYTES, "a record");
_Static_assert(PORT_NAME_MAX < NAME_BYTES, "names of ports");

struct vhost_records {
	int fd;
	char (*names)[NAME_BYTES]; /* mapped; an empty one: that part is free */
	bool taken[PORTS_MAX];     /* by a port of this process */
};

/* ---- the file ---- */

static bool head_fits(int fd, const struct file_head *want)
{
	struct file_head head;
	struct stat st;

	return !fstat(fd, &st) && st.st_size == (off_t)FILE_BYTES &&
		pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
		!memcmp(&head, want, sizeof(head));
}

static int file_make(int fd, const struct file_head *head)
{
	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)FILE_BYTES) || fallocate(fd, 0, 0, PORTS_AT) ||
		pwrite(fd, head, sizeof(*head), 0) != (ssize_t)sizeof(*head))
		return errno ? -errno : -EIO;
	return 0;
}

static struct file_head head_of_boot(const char *boot)
{
	struct file_head head = {.magic = MAGIC,
		.version = VERSION,
		.ports = PORTS_MAX,
		.rings = VU_MAX_RINGS,
		.ring_bytes = RING_BYTES};

	strncpy(head.boot, boot, sizeof(head.boot) - 1);
	return head;
}

bool vhost_records_fit(int fd, const char *boot)
{
	const struct file_head head = head_of_boot(boot);

	return head_fits(fd, &head);
}

int vhost_records_new(int fd, const char *boot, bool *kept, struct vhost_records **out)
{
	const struct file_head head = head_of_boot(boot);
	struct vhost_records *records = calloc(1, sizeof(*records));
	void *names;
	int ret = 0;

	if (!records)
		return -ENOMEM;
	*kept = head_fits(fd, &head);
	if (!*kept)
		ret = file_make(fd, &head);
	else if (fallocate(fd, 0, 0, PORTS_AT))
		ret = -errno;
	if (ret)
		goto err;
	names = mmap(
		NULL, PORTS_MAX * NAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, NAMES_AT);
	if (names == MAP_FAILED) {
		ret = -errno;
		goto err;
	}
	records->fd = fd;
	records->names = names;
	*out = records;
	return 0;
err:
	free(records);
	return ret;
}

void vhost_records_free(struct vhost_records *records)
{
	if (!records)
		return;
	munmap(records->names, PORTS_MAX * NAME_BYTES);
	free(records);
}

/* ---- a port's part ---- */

/* The part of that name; else a free one, else that of a port that is no more; -1: none is left. */
static int part_find(const struct vhost_records *records, const char *name)
{
	int unused = -1, gone = -1;

	for (int i = PORTS_MAX - 1; i >= 0; i--) {
		if (records->taken[i])
			continue;
		if (!strncmp(records->names[i], name, NAME_BYTES))
			return i;
		if (records->names[i][0])
			gone = i;
		else
			unused = i;
	}
	return unused >= 0 ? unused : gone;
}

int vhost_record_begin(struct vhost_record *rec, struct vhost_records *records, const char *port)
{
	int i = records ? part_find(records, port) : -1;
	uint64_t offset;
	void *base;

	if (!records)
		return 0;
	if (i < 0)
		return -ENOSPC;
	offset = PORTS_AT + (uint64_t)i * PORT_BYTES;
	/* What another port left there is nobody's any more. */
	if (strncmp(records->names[i], port, NAME_BYTES) &&
		fallocate(records->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			(off_t)PORT_BYTES))
		return -errno;
	base = mmap(
		NULL, PORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, records->fd, (off_t)offset);
	if (base == MAP_FAILED)
		return -errno;
	memset(records->names[i], 0, NAME_BYTES);
	strncpy(records->names[i], port, NAME_BYTES - 1);
	records->taken[i] = true;
	rec->records = records;
	rec->base = base;
	rec->offset = offset;
	return 0;
}

void vhost_record_end(struct vhost_record *rec)
{
	if (!rec->records)
		return;
	rec->records->taken[(rec->offset - PORTS_AT) / PORT_BYTES] = false;
	munmap(rec->base, PORT_BYTES);
	*rec = (struct vhost_record){0};
}

void vhost_record_alone(struct vhost_record *rec)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	rec->since_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	rec->young = false;
}

void vhost_record_peer(struct vhost_record *rec, int fd)
{
	struct ucred peer = {.pid = 0};
	socklen_t len = sizeof(peer);
	struct stat st;
	uint64_t started = 0;
	int pidfd = -1;

	rec->pid = 0;
	rec->process = 0;
	memset(rec->ran, 0, sizeof(rec->ran));
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		rec->pid = (uint32_t)peer.pid;
	/* The start is rounded down, so it is not later than said. */
	rec->young = !rw_sock_started(peer.pid, &started) && started > rec->since_ms;
	/*
	 * Where the kernel can tell: the inode number of a process' pidfd is given to no other
	 * process (since Linux 6.9). Otherwise the pid, and the files of its memory, must do.
	 */
	len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) || pidfd < 0)
		return;
	if (!fstat(pidfd, &st))
		rec->process = st.st_ino;
	close(pidfd);
}

/* ---- a ring ---- */

static struct ring_head *head_of(const struct vhost_record *rec, unsigned ring)
{
	return (struct ring_head *)(rec->base + (size_t)ring * RING_BYTES);
}

static struct vq_progress *progress_of(const struct vhost_record *rec, unsigned ring)
{
	return (struct vq_progress *)(void *)(rec->base + (size_t)ring * RING_BYTES + HEAD_BYTES);
}

/* Allocate the ring's part of the file: whoever touches it afterwards finds it there. */
static bool is_backed(struct vhost_record *rec, unsigned ring, uint16_t num)
{
	uint32_t bytes = HEAD_BYTES + (uint32_t)vq_progress_bytes(num);
	off_t at = (off_t)(rec->offset + (uint64_t)ring * RING_BYTES);

	if (!rec->records)
		return false;
	if (bytes > rec->backed[ring] && !fallocate(rec->records->fd, 0, at, bytes))
		rec->backed[ring] = bytes;
	return bytes <= rec->backed[ring];
}

/* False: the ring lies in several mappings, and has no record. */
static bool key_make(const struct vhost_record *rec, const struct vu_session *s, unsigned ring,
	const struct vq_config *cfg, struct vhost_record_key *out)
{
	const struct vu_vring_addr *addr = &vu_ring(s, ring)->addr;
	struct vhost_record_key key = {.features = cfg->features & ~(1ull << VU_F_LOG_ALL),
		.driver = addr->avail,
		.device = addr->used,
		.process = rec->process,
		.pid = rec->pid,
		.num = cfg->num};
	struct gm_origin origin;

	if (!gm_origin_of(cfg->mem, cfg->desc, &origin))
		return false;
	key.dev = origin.dev;
	key.ino = origin.ino;
	key.offset = origin.offset;
	*out = key;
	return true;
}

void vhost_record_resume(
	struct vhost_record *rec, const struct vu_session *s, unsigned ring, struct vq_config *cfg)
{
	struct vhost_record_key key;

	cfg->progress = NULL;
	if (!cfg->inflight && is_backed(rec, ring, cfg->num) && key_make(rec, s, ring, cfg, &key))
		cfg->progress = progress_of(rec, ring);
	if (cfg->progress && head_of(rec, ring)->open != 1)
		vq_progress_forget(cfg->progress, cfg->num);
}

/* The front-end of that record was answered where the ring stopped, and names the same. */
static bool stopped_at(const struct vhost_record *rec, unsigned ring, const struct vq_config *cfg)
{
	uint32_t done = __atomic_load_n(&progress_of(rec, ring)->done, __ATOMIC_RELAXED);

	return cfg->base == (done | done << 16);
}

/* What is known of the ring; `key` is what its record must have, NULL: it can have none. */
static enum vq_known known_of(const struct vhost_record *rec, unsigned ring,
	const struct vq_config *cfg, const struct vhost_record_key *key)
{
	const struct ring_head *head = head_of(rec, ring);
	bool same = key && !memcmp(&head->key, key, sizeof(*key));

	if (same && head->open == 1)
		return VQ_KNOWN_RECORD;
	if (same && !head->open && stopped_at(rec, ring, cfg))
		return VQ_KNOWN_BASE;
	return head->open && rec->pid == head->key.pid && rec->process == head->key.process
		? VQ_KNOWN_LOST
		: VQ_KNOWN_NOTHING;
}

int vhost_record_judge(struct vhost_record *rec, const struct vu_session *s, unsigned ring,
	struct vq_config *cfg, bool *resumes)
{
	enum vq_known known = VQ_KNOWN_NOTHING;
	struct vhost_record_key key;

	*resumes = false;
	cfg->progress = NULL;
	if (cfg->inflight)
		return 0;
	if (is_backed(rec, ring, cfg->num)) {
		bool whole = key_make(rec, s, ring, cfg, &key);

		known = known_of(rec, ring, cfg, whole ? &key : NULL);
		if (whole)
			cfg->progress = progress_of(rec, ring);
	}
	if (rec->young && !rec->ran[ring])
		known = VQ_KNOWN_BASE;
	switch (vq_progress_judge(cfg, known, &cfg->base)) {
	case VQ_START_RECORD:
		*resumes = true;
		return 0;
	case VQ_START_BASE:
		/* The record must not be taken for the new one's while that is made. */
		if (cfg->progress) {
			__atomic_store_n(&head_of(rec, ring)->open, 0, __ATOMIC_RELEASE);
			vq_progress_forget(cfg->progress, cfg->num);
		}
		return 0;
	case VQ_START_UNSURE:
		break;
	}
	return -EUCLEAN;
}

void vhost_record_open(struct vhost_record *rec, const struct vu_session *s, unsigned ring,
	const struct vq_config *cfg)
{
	struct ring_head *head;
	struct vhost_record_key key;

	rec->ran[ring] = true;
	if (!cfg->progress || !key_make(rec, s, ring, cfg, &key))
		return;
	head = head_of(rec, ring);
	if (head->open == 1 && !memcmp(&head->key, &key, sizeof(key)))
		return;
	__atomic_store_n(&head->open, 0, __ATOMIC_RELEASE);
	head->key = key;
	__atomic_store_n(&head->open, 1, __ATOMIC_RELEASE);
}

void vhost_record_close(struct vhost_record *rec, unsigned ring)
{
	if (rec->records && rec->backed[ring])
		__atomic_store_n(&head_of(rec, ring)->open, 0, __ATOMIC_RELEASE);
}
