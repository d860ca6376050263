/* SPDX-License-Identifier: BSD-3-Clause */
#include "fdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rw_loop.h"

#define MAGIC   0x4244465957474e52ull /* "RNGWYFDB" */
#define VERSION 1

#define BOOT_BYTES 40
#define VLAN_MAX   4094

struct head {
	uint64_t magic;
	uint32_t version;
	uint32_t ports;   /* of a half: FDB_FILE_PORTS */
	uint32_t entries; /* of a half, at most */
	uint32_t padding;
	char boot[BOOT_BYTES];
};

/* A half begins with it, then come its ports, then its entries. */
struct half {
	uint64_t serial; /* of the snapshot; 0: there is none */
	uint64_t made_ms;
	uint32_t nports, nentries;
	uint64_t sum; /* of the other fields, the ports and the entries */
};

#define HEAD_BYTES 4096u

struct fdb_file {
	uint8_t *map;
	size_t len;
	uint32_t most;  /* entries of a half */
	uint8_t *found; /* a copy of what the file held; NULL: nothing of use */

	/* The snapshot that is written. */
	struct half *half; /* where it goes */
	bool second;       /* the latest complete one is in the second half */
	uint64_t serial;   /* of that */
	bool taken;        /* both are those of another process, and not known yet */
	struct half next;  /* what the head of this one will be */
};

_Static_assert(sizeof(struct fdb_file_entry) == 16, "an entry has no padding");

static size_t half_bytes(uint32_t entries)
{
	size_t n = sizeof(struct half) + FDB_FILE_PORTS * sizeof(struct fdb_file_port) +
		(size_t)entries * sizeof(struct fdb_file_entry);

	return (n + HEAD_BYTES - 1) / HEAD_BYTES * HEAD_BYTES;
}

static size_t file_bytes(uint32_t entries)
{
	return HEAD_BYTES + 2 * half_bytes(entries);
}

static struct fdb_file_port *ports_of(const struct half *half)
{
	return (struct fdb_file_port *)(half + 1);
}

static struct fdb_file_entry *entries_of(const struct half *half)
{
	return (struct fdb_file_entry *)(ports_of(half) + FDB_FILE_PORTS);
}

/* FNV-1a in words of 8 bytes; `len` is a multiple of that. */
static uint64_t sum_add(uint64_t sum, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)bytes + i, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
		sum ^= sum >> 29;
	}
	return sum;
}

static uint64_t sum_finish(uint64_t sum, const struct half *head)
{
	return sum_add(sum, head, offsetof(struct half, sum));
}

/* ---- reading ---- */

static struct head head_make(const char *boot, uint32_t entries)
{
	struct head head = {
		.magic = MAGIC, .version = VERSION, .ports = FDB_FILE_PORTS, .entries = entries};

	strncpy(head.boot, boot, sizeof(head.boot) - 1);
	return head;
}

/* Whether a name has an end, and zeros behind it; and a beginning. */
static bool name_is_sane(const char name[FDB_FILE_NAME])
{
	size_t n = strnlen(name, FDB_FILE_NAME);

	if (!n || n == FDB_FILE_NAME)
		return false;
	while (n < FDB_FILE_NAME && !name[n])
		n++;
	return n == FDB_FILE_NAME;
}

static bool entry_is_sane(const struct fdb_file_entry *e, uint32_t nports)
{
	static const uint8_t none[6];

	return !(e->mac[0] & 1) && memcmp(e->mac, none, sizeof(none)) && e->vlan <= VLAN_MAX &&
		e->port < nports && e->fixed <= 1 && e->service <= 1;
}

/* Whether a half is a complete snapshot. */
static bool half_is_sane(const struct half *half, uint32_t most)
{
	const struct fdb_file_port *ports = ports_of(half);
	const struct fdb_file_entry *entries = entries_of(half);
	uint64_t sum;

	if (!half->serial || half->serial == UINT64_MAX || half->nports > FDB_FILE_PORTS ||
		half->nentries > most)
		return false;
	sum = sum_add(0, ports, half->nports * sizeof(*ports));
	sum = sum_add(sum, entries, half->nentries * sizeof(*entries));
	if (sum_finish(sum, half) != half->sum)
		return false;
	for (uint32_t i = 0; i < half->nports; i++) {
		if (!name_is_sane(ports[i].name) || !name_is_sane(ports[i].bridge))
			return false;
	}
	for (uint32_t i = 0; i < half->nentries; i++) {
		if (!entry_is_sane(&entries[i], half->nports))
			return false;
	}
	return true;
}

static const struct half *half_at(const void *file, uint32_t most, unsigned i)
{
	return (const void *)((const uint8_t *)file + HEAD_BYTES + i * half_bytes(most));
}

/* The half with the latest snapshot; NULL: there is none. */
static const struct half *half_best(const void *file, uint32_t most)
{
	const struct half *best = NULL;

	for (unsigned i = 0; i < 2; i++) {
		const struct half *half = half_at(file, most, i);

		if (half_is_sane(half, most) && (!best || half->serial > best->serial))
			best = half;
	}
	return best;
}

/* FDB_FILE_GOOD: the head is one of ours, and of this boot. */
static enum fdb_file_state head_judge(const void *bytes, size_t len, const char *boot)
{
	const struct head *head = bytes;
	struct head want;

	if (!len)
		return FDB_FILE_EMPTY;
	if (len < HEAD_BYTES || head->magic != MAGIC || head->version != VERSION)
		return FDB_FILE_ALIEN;
	if (!head->entries || head->entries > FDB_FILE_MOST || len != file_bytes(head->entries))
		return FDB_FILE_WRONG;
	want = head_make(boot, head->entries);
	if (memcmp(head, &want, offsetof(struct head, boot)))
		return FDB_FILE_WRONG;
	return memcmp(head->boot, want.boot, sizeof(want.boot)) ? FDB_FILE_BOOT : FDB_FILE_GOOD;
}

enum fdb_file_state fdb_file_read(
	const void *bytes, size_t len, const char *boot, struct fdb_file_view *out)
{
	enum fdb_file_state state = head_judge(bytes, len, boot);
	const struct half *best;
	uint32_t most;

	if (state != FDB_FILE_GOOD)
		return state;
	most = ((const struct head *)bytes)->entries;
	best = half_best(bytes, most);
	if (!best)
		return half_at(bytes, most, 0)->serial || half_at(bytes, most, 1)->serial
			? FDB_FILE_WRONG
			: FDB_FILE_EMPTY;
	*out = (struct fdb_file_view){.ports = ports_of(best),
		.entries = entries_of(best),
		.nports = best->nports,
		.nentries = best->nentries,
		.made_ms = best->made_ms};
	return FDB_FILE_GOOD;
}

/* ---- the file ---- */

/* A copy of all bytes, if they are not too many to be ours. 0 or -errno. */
static int file_copy(int fd, uint8_t **out, size_t *len)
{
	struct stat st;
	uint8_t *copy;
	size_t at = 0;

	*out = NULL;
	if (fstat(fd, &st))
		return -errno;
	*len = (size_t)RW_MIN((uint64_t)st.st_size, (uint64_t)file_bytes(FDB_FILE_MOST) + 1);
	copy = malloc(*len + 1);
	if (!copy)
		return -ENOMEM;
	while (at < *len) {
		ssize_t n = pread(fd, copy + at, *len - at, (off_t)at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	*len = at;
	*out = copy;
	return 0;
}

/* Make a file for so many entries of what is there, unless it is one. 0 or -errno. */
static int file_make(int fd, const struct head *head, bool fits)
{
	off_t len = (off_t)file_bytes(head->entries);

	if (!fits && (ftruncate(fd, 0) || ftruncate(fd, len)))
		return -errno;
	if (fallocate(fd, 0, 0, len))
		return -errno;
	if (!fits && pwrite(fd, head, sizeof(*head), 0) != (ssize_t)sizeof(*head))
		return errno ? -errno : -EIO;
	return 0;
}

/* Which half has the latest snapshot. */
static void file_look(struct fdb_file *file)
{
	const struct half *best = half_best(file->map, file->most);

	file->serial = best ? best->serial : 0;
	file->second = best == half_at(file->map, file->most, 1);
}

/* 0 or -errno. */
static int file_map(struct fdb_file *file, int fd)
{
	void *map = mmap(NULL, file->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	file->map = map;
	return 0;
}

int fdb_file_new(int fd, const char *boot, uint32_t entries, struct fdb_file **out,
	enum fdb_file_state *state, struct fdb_file_view *kept)
{
	struct head head = head_make(boot, RW_MIN(entries, (uint32_t)FDB_FILE_MOST));
	struct fdb_file *file = calloc(1, sizeof(*file));
	size_t found_len = 0;
	int ret;

	if (!file)
		return -ENOMEM;
	ret = file_copy(fd, &file->found, &found_len);
	if (ret)
		goto err;
	*state = fdb_file_read(file->found, found_len, boot, kept);
	file->most = head.entries;
	file->len = file_bytes(file->most);
	ret = file_make(fd, &head,
		*state == FDB_FILE_GOOD && found_len == file->len &&
			!memcmp(file->found, &head, sizeof(head)));
	if (!ret)
		ret = file_map(file, fd);
	if (ret)
		goto err;
	file_look(file);
	*out = file;
	return 0;
err:
	free(file->found);
	free(file);
	return ret;
}

int fdb_file_take(int fd, const char *boot, uint32_t entries, struct fdb_file **out)
{
	struct head found, head = head_make(boot, RW_MIN(entries, (uint32_t)FDB_FILE_MOST));
	struct fdb_file *file;
	struct stat st;
	int ret;

	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size != file_bytes(head.entries) ||
		pread(fd, &found, sizeof(found), 0) != (ssize_t)sizeof(found) ||
		memcmp(&found, &head, sizeof(head)))
		return -EINVAL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->most = head.entries;
	file->len = file_bytes(file->most);
	file->taken = true;
	ret = file_map(file, fd);
	if (ret) {
		free(file);
		return ret;
	}
	*out = file;
	return 0;
}

void fdb_file_forget(struct fdb_file *file)
{
	free(file->found);
	file->found = NULL;
}

void fdb_file_free(struct fdb_file *file)
{
	if (!file)
		return;
	munmap(file->map, file->len);
	free(file->found);
	free(file);
}

/* ---- writing ---- */

void fdb_file_begin(struct fdb_file *file)
{
	if (file->taken)
		file_look(file);
	file->taken = false;
	file->half = (struct half *)half_at(file->map, file->most, !file->second);
	__atomic_store_n(&file->half->serial, 0, __ATOMIC_RELEASE);
	file->next = (struct half){.serial = file->serial + 1};
}

int fdb_file_port(struct fdb_file *file, const char *name, const char *bridge)
{
	struct fdb_file_port *port;

	if (file->next.nports == FDB_FILE_PORTS)
		return -1;
	port = &ports_of(file->half)[file->next.nports];
	memset(port, 0, sizeof(*port));
	strncpy(port->name, name, sizeof(port->name) - 1);
	strncpy(port->bridge, bridge, sizeof(port->bridge) - 1);
	return (int)file->next.nports++;
}

bool fdb_file_add(struct fdb_file *file, const struct fdb_file_entry *entry)
{
	if (file->next.nentries == file->most)
		return false;
	entries_of(file->half)[file->next.nentries++] = *entry;
	return true;
}

void fdb_file_commit(struct fdb_file *file)
{
	struct half *half = file->half;
	struct half next = file->next;
	uint64_t sum = sum_add(0, ports_of(half), next.nports * sizeof(struct fdb_file_port));

	sum = sum_add(sum, entries_of(half), next.nentries * sizeof(struct fdb_file_entry));
	next.made_ms = rw_now_ms();
	next.sum = sum_finish(sum, &next);
	half->made_ms = next.made_ms;
	half->nports = next.nports;
	half->nentries = next.nentries;
	half->sum = next.sum;
	/* A process that is killed before this leaves the snapshot before. */
	__atomic_store_n(&half->serial, next.serial, __ATOMIC_RELEASE);
	file->serial = next.serial;
	file->second = !file->second;
}
