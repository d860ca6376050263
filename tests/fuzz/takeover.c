/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a successor receives of the process that it takes over from. The input is bytes on their
 * connection, or what is changed in the state of a port whose front-end is there. A state is taken
 * whole, and then can be given away again, or refused, and then the port is as it was; no
 * descriptor is lost in either case.
 */
#include <dirent.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "switch.h"
#include "takeover_state.h"
#include "vhost_port.h"

#define MEMORY   65536
#define UVA      0x7f0000000000u
#define RING_NUM 64
#define RINGS    4
#define DEPTH    4

static struct daemon d;
static struct vhost_port_state state, back;

/* ---- a state that is right ---- */

static int event_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	fuzz_check(fd >= 0);
	return fd;
}

/* The front-end's end of the connection stays open with the caller. */
static int connection_new(int *far)
{
	int fds[2];

	fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
	*far = fds[1];
	return fds[0];
}

static void region_fill(struct vu_export_region *r)
{
	r->desc = (struct gm_region_desc){.gpa = 0, .size = MEMORY, .uva = UVA};
	r->fd = memfd_create("guest", MFD_CLOEXEC);
	fuzz_check(r->fd >= 0 && !ftruncate(r->fd, MEMORY));
}

static void ring_fill(struct vu_export_ring *r, unsigned i)
{
	r->num = RING_NUM;
	r->addr.desc = UVA + 8192 * i;
	r->addr.avail = r->addr.desc + 2048;
	r->addr.used = r->addr.desc + 4096;
	r->kick_fd = event_new();
	r->call_fd = event_new();
	r->addr_set = r->base_set = r->started = r->enabled = true;
}

/* `features` besides what the input changes. */
static void state_fill(struct vhost_port_state *st, uint64_t features, int far[2])
{
	struct vu_export *e = &st->session;

	vhost_state_init(st);
	vu_export_init(e);
	st->connected = true;
	e->fd = connection_new(&far[0]);
	e->features = features;
	e->features_set = true;
	e->protocol_features = 1u << VU_PF_MQ | 1u << VU_PF_BACKEND_REQ | 1u << VU_PF_LOG_SHMFD;
	e->nregions = 1;
	region_fill(&e->regions[0]);
	e->nrings = RINGS;
	for (unsigned i = 0; i < RINGS; i++)
		ring_fill(&e->rings[i], i);
	e->channel.present = true;
	e->channel.fd = connection_new(&far[1]);
	e->log.fd = memfd_create("log", MFD_CLOEXEC);
	e->log.size = 4096;
	fuzz_check(e->log.fd >= 0 && !ftruncate(e->log.fd, 4096));
	st->hosts = calloc(2, sizeof(*st->hosts));
	st->translations = calloc(2, sizeof(*st->translations));
	fuzz_check(st->hosts && st->translations);
	st->nhosts = st->ntranslations = 2;
	for (uint32_t i = 0; i < 2; i++) {
		st->hosts[i].mac[5] = (uint8_t)(i + 1);
		st->translations[i] = (struct gm_iotlb_entry){
			.iova = 4096 * i, .size = 4096, .uva = UVA + 4096 * i, .perm = 3};
	}
}

/* ---- changes ---- */

static json_t *value_new(struct fuzz_in *in)
{
	static const json_int_t numbers[] = {0, 1, -1, 2, 7, 32767, 32768, 65535, 65536, 1 << 30,
		INT32_MIN, UINT32_MAX, (json_int_t)UINT32_MAX + 1, INT64_MAX, INT64_MIN,
		(json_int_t)UVA};
	char text[64];

	switch (fuzz_below(in, 8)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(fuzz_below(in, 2));
	case 2:
		return json_array();
	case 3:
		return json_object();
	case 4:
		return json_integer((json_int_t)fuzz_u32(in));
	case 5:
		fuzz_bytes(in, text, sizeof(text));
		for (unsigned i = 0; i < sizeof(text); i++)
			text[i] = "0123456789abcdeg"[text[i] & 15];
		return json_stringn(text, fuzz_below(in, sizeof(text) + 1));
	default:
		return json_integer(numbers[fuzz_below(in, RW_ARRAY_SIZE(numbers))]);
	}
}

static void array_change(json_t *at, struct fuzz_in *in, unsigned depth);

static void object_change(json_t *at, struct fuzz_in *in, unsigned depth)
{
	size_t n = json_object_size(at), which = n ? fuzz_u8(in) % n : 0;
	void *iter = json_object_iter(at);
	json_t *member;

	while (which--)
		iter = json_object_iter_next(at, iter);
	if (!iter)
		return;
	member = json_object_iter_value(iter);
	if (depth && json_is_object(member) && fuzz_below(in, 8))
		object_change(member, in, depth - 1);
	else if (depth && json_is_array(member) && fuzz_below(in, 8))
		array_change(member, in, depth - 1);
	else if (fuzz_below(in, 8))
		json_object_iter_set_new(at, iter, value_new(in));
	else
		json_object_del(at, json_object_iter_key(iter));
}

/* An element, or how many there are. */
static void array_change(json_t *at, struct fuzz_in *in, unsigned depth)
{
	size_t n = json_array_size(at), which = n ? fuzz_u8(in) % n : 0;
	json_t *element = json_array_get(at, which);

	if (depth && json_is_object(element) && fuzz_below(in, 8))
		object_change(element, in, depth - 1);
	else if (element && fuzz_below(in, 2))
		json_array_append_new(at, json_deep_copy(element));
	else if (element && fuzz_below(in, 2))
		json_array_remove(at, which);
	else
		json_array_append_new(at, value_new(in));
}

/* ---- what is checked ---- */

/* Those that a state can have. The fuzzer has pipes of its own. */
static unsigned fds_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *e;
	char kind[16];
	unsigned n = 0;

	fuzz_check(dir);
	while ((e = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, kind, sizeof(kind) - 1);

		kind[RW_MAX(len, 0)] = 0;
		n += !strncmp(kind, "socket:", 7) || !strncmp(kind, "/memfd:", 7) ||
			!strncmp(kind, "anon_inode:[eve", 15);
	}
	closedir(dir);
	return n;
}

/* How many are open when no port is there, as far as is known. */
static unsigned base;

/* Helpers of ports close descriptors, and may not have come to it yet. */
static void fds_check(void)
{
	unsigned tries = 0, now;

	while ((now = fds_count()) > base) {
		fuzz_check(tries++ < 20000);
		usleep(100);
	}
	base = now;
}

static struct vhost_port *port_new(void)
{
	const struct vhost_port_config cfg = {.sw = d.sw,
		.loop = d.loop,
		.name = "fuzz",
		.path = "/tmp/fuzz.sock",
		.waits = true};
	struct vhost_port *vp;

	fuzz_check(!vhost_port_new(&cfg, &vp));
	return vp;
}

static unsigned fds_left(const struct takeover_fds *fds)
{
	unsigned n = 0;

	for (unsigned i = 0; i < fds->n; i++)
		n += fds->fd[i] >= 0;
	return n;
}

/* Give the port away again, and read that. */
static void port_give(struct vhost_port *vp, struct takeover_fds *fds)
{
	json_t *text;

	if (vhost_port_give(vp, &back))
		return;
	fds->n = 0;
	text = takeover_state_write(&back, fds);
	fuzz_check(text);
	fuzz_check(!takeover_state_read(text, &state, fds));
	json_decref(text);
	/* Those that were written are the ones that were read. */
	vhost_state_free(&state);
	fuzz_check(fds_left(fds) == 0);
	free(back.hosts);
	free(back.translations);
}

static void changed_state(struct fuzz_in *in)
{
	static const uint64_t features[] = {0, 1ull << VU_F_RING_PACKED,
		1ull << VU_F_ACCESS_PLATFORM,
		1ull << VU_F_RING_PACKED | 1ull << VU_F_ACCESS_PLATFORM};
	static struct takeover_fds fds;
	unsigned edits = fuzz_below(in, 6);
	struct vhost_port *vp = port_new();
	json_t *text;
	int far[2];

	fds.n = 0;
	state_fill(&state,
		1ull << VU_F_VERSION_1 | 1ull << VU_F_PROTOCOL_FEATURES |
			features[fuzz_below(in, RW_ARRAY_SIZE(features))],
		far);
	text = takeover_state_write(&state, &fds);
	fuzz_check(text);
	/* The descriptors are in `fds` from here on. */
	free(state.hosts);
	free(state.translations);
	while (edits--)
		object_change(text, in, DEPTH);
	if (!takeover_state_read(text, &state, &fds) && !vhost_port_take(vp, &state)) {
		vhost_state_free(&state);
		vhost_port_run(vp);
		sw_round(d.sw, 0);
		sw_round(d.sw, 0);
		takeover_fds_close(&fds);
		port_give(vp, &fds);
	} else {
		vhost_state_free(&state);
	}
	json_decref(text);
	takeover_fds_close(&fds);
	vhost_port_free(vp);
	close(far[0]);
	close(far[1]);
}

/* Texts as they stand. */
static void raw(struct fuzz_in *in)
{
	static struct takeover_fds fds;
	json_t *text;
	int far, near = connection_new(&far);

	fuzz_check(write(far, in->at, in->left) == (ssize_t)in->left);
	close(far);
	while (!takeover_receive(near, &text, &fds, 0)) {
		const char *wrong = takeover_state_read(
			json_object_get(text, "state"), &state, &fds);

		fuzz_check(!wrong || *wrong);
		vhost_state_free(&state);
		takeover_fds_close(&fds);
		json_decref(text);
	}
	close(near);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct fuzz_in none = {(const uint8_t *)"", 0};

	(void)argc, (void)argv;
	switch_begin(&d);
	/* What the first one makes stays. */
	changed_state(&none);
	base = fds_count();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};

	if (fuzz_below(&in, 8))
		changed_state(&in);
	else
		raw(&in);
	fds_check();
	return 0;
}
