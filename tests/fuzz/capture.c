/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Captures. The first byte chooses: a program of a filter and a frame, as the switch gets and runs
 * them; the memory of a ring, as the client reads it, with what it prints of the frames; or a ring
 * whose reader writes anything into it while the switch fills it.
 */

#include "capture.h"
#include "cap_tap.h"
#include "fuzz.h"

#define INSNS_MAX 24
#define LEN_MAX   512
#define PORTS     2

static struct cap_layout layout;
static uint8_t *memory;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_check(!cap_layout(1, PORTS, CAP_DATA_MIN, &layout));
	memory = rw_zalloc(cap_layout_bytes(&layout));
	fuzz_check(memory);
	return 0;
}

static void program_run(struct fuzz_in *in)
{
	struct cap_insn insns[INSNS_MAX];
	struct cap_filter filter = {insns, fuzz_below(in, INSNS_MAX + 1)};
	uint32_t len = fuzz_u16(in) % LEN_MAX, have = fuzz_u16(in) % (LEN_MAX + 1);
	enum cap_verdict part, all;
	uint8_t *bytes = malloc(len + 1);
	unsigned at;

	for (unsigned i = 0; i < filter.n; i++)
		fuzz_bytes(in, &insns[i], sizeof(insns[i]));
	fuzz_check(bytes);
	fuzz_bytes(in, bytes, len);
	if (!cap_filter_check(&filter, &at)) {
		part = cap_filter_run(&filter, bytes, RW_MIN(have, len), len);
		all = cap_filter_run(&filter, bytes, len, len);
		fuzz_check(all != CAP_MORE);
		fuzz_check(part == CAP_MORE || part == all);
	}
	free(bytes);
}

static void ring_read(struct fuzz_in *in)
{
	const struct capture_names names = {.port = "vm1", .other = "vm2", .why = "no_buffer"};
	struct cap_reader reader;
	struct cap_record record;
	const uint8_t *bytes;
	char line[256];

	memset(memory, 0, layout.head + 4096);
	cap_reader_init(&reader, memory, &layout, 0);
	reader.part->head = fuzz_u32(in);
	fuzz_bytes(in, (uint8_t *)(uintptr_t)reader.data, RW_MIN(in->left, (size_t)4096));
	if (cap_reader_look(&reader))
		return;
	while (cap_reader_next(&reader, &record, &bytes) == 1) {
		/* A copy of exactly what it may read. */
		uint8_t *copy = malloc(record.caplen + 1);

		fuzz_check(copy && bytes + record.caplen <= reader.data + reader.size);
		memcpy(copy, bytes, record.caplen);
		capture_line(&record, copy, &names, line, sizeof(line));
		fuzz_check(strlen(line) < sizeof(line) && !strpbrk(line, "\n\r\033"));
		capture_comment(&record, copy, &names, line, sizeof(line));
		json_decref(capture_json(&record, copy, &names));
		free(copy);
		cap_reader_skip(&reader, &record);
	}
}

static void ring_write(struct fuzz_in *in)
{
	static struct cap_tap tap;
	static struct frame f;
	struct frame *frames[] = {&f};
	uint64_t before;

	memset(memory, 0, layout.head);
	cap_writer_init(&tap.writer, memory, &layout, 0);
	tap.snap = CAP_SNAP_MAX;
	while (in->left) {
		const struct cap_record like = {.port = (uint16_t)fuzz_below(in, PORTS)};

		frame_init(&f, FRAME_MIN_LEN + fuzz_below(in, FRAME_HEAD - FRAME_MIN_LEN));
		tap.writer.part->tail = tap.writer.head + fuzz_u64(in) % (4 * CAP_DATA_MIN);
		tap.writer.part->head = fuzz_u64(in);
		before = tap.writer.head;
		cap_tap_frames(&tap, &like, frames, 1);
		fuzz_check(tap.writer.head - before <= CAP_DATA_MIN);
		fuzz_check(tap.writer.lost <= tap.writer.taken);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};

	switch (fuzz_below(&in, 3)) {
	case 0:
		program_run(&in);
		break;
	case 1:
		ring_read(&in);
		break;
	default:
		ring_write(&in);
		break;
	}
	return 0;
}
