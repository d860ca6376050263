/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What uplinks need besides: nothing of it holds without one. While ringwayd starts, the drivers of
 * DPDK make sockets and interfaces and open files; when it has started, a worker makes the system
 * calls of the drivers' rx and tx functions.
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>

#include "rw_base.h"
#include "sandbox.h"

/* What the headers of older systems lack. */
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

#define CAP(name) (1ull << CAP_##name)
#define S         (1u << SANDBOX_START)
#define C         (1u << SANDBOX_CONTROL)
#define W         (1u << SANDBOX_WORKER)
#define I         (1u << SANDBOX_SERVICE)

#define CALLS_MAX 24

static const struct driver {
	const char *name;      /* of a device, its beginning; "": of any other one */
	uint64_t capabilities; /* while it starts */
	const char *files[2];  /* that are written while it starts */
	const char *file_key;  /* the argument that names another one */
	/* What threads call, besides what they do without it. START makes every call of others. */
	struct sandbox_call calls[CALLS_MAX];
} drivers[] = {
	{.name = "net_af_packet",
		.capabilities = CAP(NET_RAW) | CAP(NET_ADMIN),
		.calls = {{.name = "sendto", .kinds = W}}},
	{.name = "net_af_xdp",
		.capabilities = CAP(NET_RAW) | CAP(NET_ADMIN) | CAP(BPF) | CAP(IPC_LOCK) |
			CAP(SYS_RESOURCE) | CAP(SYS_ADMIN),
		.files = {"/run", "/sys/fs/bpf"},
		/* Its program stays on the interface, and passes all when there is no socket. */
		.calls = {{.name = "bpf", .kinds = S}, {.name = "sendto", .kinds = W},
			{.name = "recvfrom", .kinds = W}, {.name = "flock", .kinds = S},
			{.name = "unlink", .kinds = S},
			{.name = "bpf", .kinds = C, .refused = true},
			{.name = "socket", .kinds = C, .refused = true}}},
	{.name = "net_tap",
		.capabilities = CAP(NET_ADMIN),
		.files = {"/dev/net/tun"},
		.calls = {{.name = "readv", .kinds = W}, {.name = "recvmsg", .kinds = I}}},
	{.name = "net_pcap",
		.file_key = "tx_pcap",
		.calls = {{.name = "fstat", .kinds = W}, {.name = "newfstatat", .kinds = W},
			{.name = "lseek", .kinds = W}, {.name = "umask", .kinds = S}}},
	{.name = "net_memif",
		.file_key = "socket",
		/* Its file stays, and is replaced by the next one. */
		.calls = {{.name = "listen", .kinds = S}, {.name = "unlink", .kinds = S},
			{.name = "unlink", .kinds = C | I, .refused = true},
			{.name = "socket", .kinds = I, .arg = AF_UNIX},
			{.name = "connect", .kinds = I}, {.name = "dup3", .kinds = I},
			{.name = "accept", .kinds = I}, {.name = "accept4", .kinds = I},
			{.name = "recvmsg", .kinds = I}, {.name = "sendmsg", .kinds = I},
			{.name = "memfd_create", .kinds = I}, {.name = "ftruncate", .kinds = I},
			{.name = "fcntl", .kinds = I}, {.name = "eventfd2", .kinds = I},
			{.name = "fstat", .kinds = I}, {.name = "newfstatat", .kinds = I},
			{.name = "setsockopt", .kinds = I}}},
	/* It connects while it starts; then it is told of nothing but its socket's end. */
	{.name = "net_virtio_user"},
	{.name = "virtio_user"},
	{.name = "net_null"},
	{.name = "net_ring"},
	/* What it sets in its members when one of them leaves needs privileges. */
	{.name = "net_bonding", .calls = {{.name = "socket", .kinds = C | I, .refused = true}}},
	/* A PCI device, by VFIO. */
	{.name = "",
		.capabilities = CAP(IPC_LOCK) | CAP(SYS_RAWIO) | CAP(DAC_OVERRIDE),
		.files = {"/dev/vfio", "/sys/bus/pci"}},
};

#define FILES_MAX 16

static unsigned wanted; /* bit: index in `drivers` */
static char files[FILES_MAX][PATH_MAX];
static unsigned nfiles;

static int file_add(const char *path, size_t len)
{
	if (nfiles == FILES_MAX || len >= sizeof(files[0]))
		return -ENOSPC;
	memcpy(files[nfiles], path, len);
	files[nfiles++][len] = 0;
	return 0;
}

/* The directories of the files that the device's arguments name by `key`. */
static int key_files_add(const char *device, const char *key)
{
	size_t len = strlen(key);
	int ret = 0;

	for (const char *at = strchr(device, ','); at && !ret; at = strchr(at + 1, ',')) {
		const char *path, *slash;

		if (strncmp(at + 1, key, len) || at[1 + len] != '=')
			continue;
		path = at + len + 2;
		slash = memrchr(path, '/', strcspn(path, ","));
		ret = slash ? file_add(path, RW_MAX((size_t)(slash - path), 1u)) : file_add(".", 1);
	}
	return ret;
}

static int driver_add(const char *device)
{
	const struct driver *d = drivers;
	int ret = 0;

	while (strncmp(device, d->name, strlen(d->name)))
		d++;
	if (!(wanted >> (d - drivers) & 1)) {
		for (size_t i = 0; !ret && i < RW_ARRAY_SIZE(d->files) && d->files[i]; i++)
			ret = file_add(d->files[i], strlen(d->files[i]));
	}
	wanted |= 1u << (d - drivers);
	return ret || !d->file_key ? ret : key_files_add(device, d->file_key);
}

/* A bond needs what its members do: DRIVER/KEY=VALUE+DRIVER/KEY=VALUE. */
int sandbox_uplink_add(const char *device)
{
	static const char key[] = ",members=";
	const char *at = strstr(device, key);
	int ret = driver_add(device);

	if (!at)
		return ret;
	at += sizeof(key) - 1;
	while (!ret) {
		ret = driver_add(at);
		at += strcspn(at, "+,");
		if (*at++ != '+')
			break;
	}
	return ret;
}

bool sandbox_uplink_any(void)
{
	return wanted;
}

uint64_t sandbox_uplink_capabilities(void)
{
	uint64_t all = 0;

	for (size_t i = 0; i < RW_ARRAY_SIZE(drivers); i++) {
		if (wanted >> i & 1)
			all |= drivers[i].capabilities;
	}
	return all;
}

const char *sandbox_uplink_file(unsigned i)
{
	return i < nfiles ? files[i] : NULL;
}

const struct sandbox_call *sandbox_uplink_call(unsigned i)
{
	/* Any of them is bound to an interface, and its link is watched. */
	static const struct sandbox_call bind = {.name = "bind", .kinds = S};

	for (size_t k = 0; k < RW_ARRAY_SIZE(drivers); k++) {
		if (!(wanted >> k & 1))
			continue;
		for (size_t c = 0; c < CALLS_MAX && drivers[k].calls[c].name; c++) {
			if (!i--)
				return &drivers[k].calls[c];
		}
	}
	return wanted && !i ? &bind : NULL;
}
