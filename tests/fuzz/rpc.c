/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The methods of a switch, with parameters: the input is calls, put together of words that mean
 * something and of any others, or lines of JSON-RPC. Ports come and go, and nothing of them is left
 * behind.
 */
#include "switch.h"
#include "text.h"

#define CALLS_MAX  24
#define PARAMS_MAX 6
#define ANSWER_MAX (1u << 20)

static struct daemon d;
static struct options before; /* as the switch began */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	switch_begin(&d);
	before = d.opt;
	return 0;
}

/* ---- answers ---- */

/* All that the switch says about itself is of one mind. */
static void check_state(void)
{
	fuzz_check(d.nports == d.opt.nports && d.nports <= OPTIONS_PORTS_MAX);
	for (unsigned i = 0; i < d.nports; i++) {
		fuzz_check(d.ports[i].port);
		fuzz_check(!strcmp(d.ports[i].port->name, d.opt.ports[i].name));
		fuzz_check(daemon_port_find(&d, d.opt.ports[i].name) == (int)i);
	}
	fuzz_check(d.opt.nmirrors <= OPTIONS_MIRRORS_MAX);
	for (unsigned i = 0; i < d.opt.nmirrors; i++)
		fuzz_check(d.mirrors[i] && strcmp(d.opt.mirrors[i].to, ""));
}

static void check_answer(const char *answer)
{
	json_t *read = json_loads(answer, JSON_DECODE_ANY, NULL);
	const char *why;

	fuzz_check(read && !strchr(answer, '\n'));
	why = json_string_value(json_object_get(json_object_get(read, "error"), "message"));
	if (why)
		check_line(why, ANSWER_MAX);
	json_decref(read);
}

static void call(const char *text, size_t len)
{
	char *answer = ctl_answer(rpc_methods, rpc_nmethods, &d, text, len);

	if (answer)
		check_answer(answer);
	free(answer);
	check_state();
}

/* ---- calls ---- */

static const char *const names[] = {"vm1", "vm2", "nobody", "", "a b", "vm1\n"};
static const char *const words[] = {"on", "off", "none", "any", "shared", "server", "client", "1",
	"4094", "4095", "10+20-30", "0", "-1", "18446744073709551616", "64K", "8T", "/tmp/x.sock",
	"switch", "pair", "drop", "in", "both", "52:54:00:00:00:01", "ff:ff:ff:ff:ff:ff", "0600",
	"root"};
static const char *const keys[] = {"name", "socket", "mode", "vlan", "trunk", "native", "postcopy",
	"memory", "max-fds", "max-mappings", "max-mapped", "max-slots", "max-iotlb", "max-scratch",
	"max-addresses", "description", "mac", "port", "vlan", "kind", "static", "replace", "pair",
	"worker", "queue", "cpu", "to", "socket-mode", "socket-owner", "limit", "bridge", "tpid",
	"kinds", "cursor", "config", "dry_run", "source", "direction", "snap", "sample"};

static json_t *value_read(struct fuzz_in *in)
{
	uint8_t kind = fuzz_u8(in);
	char any[16] = "";

	switch (kind & 7) {
	case 0:
	case 1:
		return json_string(names[(kind >> 3) % RW_ARRAY_SIZE(names)]);
	case 2:
	case 3:
		return json_string(words[(kind >> 3) % RW_ARRAY_SIZE(words)]);
	case 4:
		return json_integer(kind & 8 ? (json_int_t)fuzz_u64(in) : kind >> 4);
	case 5:
		fuzz_bytes(in, any, kind >> 4);
		return json_string(any); /* NULL when it is not UTF-8: then it is left out */
	case 6:
		return json_boolean(kind & 8);
	default:
		return kind & 8 ? json_null() : json_pack("[s]", kind & 16 ? "link" : "vm1");
	}
}

static void op_call(struct fuzz_in *in)
{
	json_t *params = json_object(), *request;
	uint8_t n = fuzz_u8(in);
	const char *method = rpc_methods[n % rpc_nmethods].name;
	char *text;

	if (n & 0x80)
		json_object_set_new(params, "name", json_string(names[n & 1]));
	for (unsigned i = fuzz_below(in, PARAMS_MAX + 1); i; i--) {
		const char *key = keys[fuzz_below(in, RW_ARRAY_SIZE(keys))];

		json_object_set_new(params, key, value_read(in));
	}
	request = json_pack("{s:s, s:s, s:o, s:i}", "jsonrpc", "2.0", "method", method, "params",
		params, "id", 1);
	fuzz_check(request);
	text = json_dumps(request, 0);
	call(text, strlen(text));
	free(text);
	json_decref(request);
}

/* A port that most calls find. */
static void port_make(const char *name)
{
	char text[160];
	int n = snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"method\":\"port.add\",\"params\":"
		"{\"name\":\"%s\",\"socket\":\"/tmp/%s.sock\"},\"id\":1}",
		name, name);

	call(text, (size_t)n);
	fuzz_check(daemon_port_find(&d, name) >= 0);
}

/* The switch is as it was. */
static void all_end(void)
{
	static const char mode[] = "{\"jsonrpc\":\"2.0\",\"method\":\"forward.set\",\"params\":"
				   "{\"mode\":\"switch\"}}";

	mirrors_end(&d);
	while (d.nports)
		daemon_port_end(&d, d.nports - 1);
	for (uint16_t i = 0; i < SW_MAX_PORTS; i++)
		fuzz_check(!sw_port(d.sw, i));
	call(mode, sizeof(mode) - 1);
	d.opt = before;
	rw_log_set_level(RW_LOG_ERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	uint8_t bits = fuzz_u8(&in);

	if (bits & 1)
		port_make("vm1");
	if (bits & 2)
		port_make("vm2");
	if (bits & 0x80) {
		call((const char *)in.at, in.left);
		in.left = 0;
	}
	for (unsigned i = 0; i < CALLS_MAX && in.left; i++)
		op_call(&in);
	all_end();
	return 0;
}
