/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that workers write to is this program's: it pays for it, and what becomes of it is its
 * own business.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture_run.h"

/* Of all workers together; each has at least CAP_DATA_MIN. A worker's is at most RING_MAX. */
#define RINGS_BYTES (64u << 20)
#define RING_MAX    (16u << 20)

/* How many bytes of a ring each of so many workers gets. */
static uint32_t ring_bytes(unsigned nworkers)
{
	uint32_t n = CAP_DATA_MIN;

	while (n * 2 <= RING_MAX && (uint64_t)n * 2 * nworkers <= RINGS_BYTES)
		n *= 2;
	return n;
}

static int memory_make(struct capture_run *run)
{
	uint64_t bytes = cap_layout_bytes(&run->layout);

	run->fd = memfd_create("ringway-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (run->fd < 0 || ftruncate(run->fd, (off_t)bytes) ||
		fcntl(run->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return complain("cannot make the memory of the capture: %s", strerror(errno));
	run->base = mmap(
		NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, run->fd, 0);
	if (run->base == MAP_FAILED) {
		run->base = NULL;
		return complain("cannot map the memory of the capture: %s", strerror(errno));
	}
	return 0;
}

/* Parameters of capture.start. */
static json_t *wish(const struct capture_run *run)
{
	const struct capture_options *opt = &run->cli->capture;
	bool both = opt->in == opt->out;
	json_t *params = json_pack("{s:b, s:b, s:b, s:I}", "rx", both || opt->in, "tx",
		both || opt->out, "drops", opt->dropped, "ring", (json_int_t)run->layout.data);

	if (!run->every_port)
		json_object_set(params, "ports", run->ports);
	if (opt->snap)
		json_object_set_new(params, "snap", json_integer(opt->snap));
	if (opt->sample)
		json_object_set_new(params, "sample", json_integer(opt->sample));
	if (json_array_size(run->program))
		json_object_set(params, "filter", run->program);
	return params;
}

static int start(struct capture_run *run)
{
	struct cli *cli = run->cli;
	struct ctl_failure fail = {0};
	json_t *params = wish(run), *answer;

	answer = ctl_call_passing(
		cli->fd, run->fd, "capture.start", params, CAPTURE_TIMEOUT_MS, &fail);
	json_decref(params);
	if (!answer)
		return complain("%s", fail.message);
	run->reasons = json_incref(json_object_get(answer, "reasons"));
	json_decref(answer);
	return 0;
}

int capture_memory_begin(struct capture_run *run)
{
	json_t *workers = call_list(run->cli, "worker.list", NULL);
	size_t n = json_array_size(workers);

	if (!workers)
		return -1;
	json_decref(workers);
	if (cap_layout((unsigned)RW_MIN(n, (size_t)CAP_PARTS_MAX + 1), CAP_PORTS_MAX,
		    ring_bytes((unsigned)RW_MAX(n, (size_t)1)), &run->layout))
		return complain("the switch says that it has %zu workers", n);
	if (memory_make(run))
		return -1;
	run->readers = calloc(run->layout.nparts, sizeof(run->readers[0]));
	if (!run->readers)
		return complain("no memory");
	for (unsigned i = 0; i < run->layout.nparts; i++)
		cap_reader_init(&run->readers[i], run->base, &run->layout, i);
	return start(run);
}

void capture_memory_end(struct capture_run *run)
{
	if (run->base)
		munmap(run->base, cap_layout_bytes(&run->layout));
	if (run->fd >= 0)
		close(run->fd);
	free(run->readers);
	json_decref(run->reasons);
}

struct cap_count capture_counts(const struct capture_run *run, uint16_t port)
{
	struct cap_count sum = {0};

	for (unsigned i = 0; run->readers && i < run->layout.nparts; i++) {
		const struct cap_count *c = &run->readers[i].part->ports[port];

		sum.taken += __atomic_load_n(&c->taken, __ATOMIC_RELAXED);
		sum.lost += __atomic_load_n(&c->lost, __ATOMIC_RELAXED);
	}
	return sum;
}
