/* SPDX-License-Identifier: BSD-3-Clause */
/* --takeover: the options are those of the switch that runs, but for what the command line says. */
#include <errno.h>
#include <string.h>

#include "options_internal.h"

/* The running switch has these, and what belongs to them cannot be chosen anew. */
static const char *const fixed[] = {"socket-path", "port", "fd", "config", "check-config",
	"control", "pidfile", "state-dir", "bridge", "vlan"};

static uint64_t bit_of(const char *name)
{
	for (size_t i = 0; i < options_nrows; i++) {
		if (!strcmp(options_rows[i].name, name))
			return UINT64_C(1) << i;
	}
	return 0;
}

int options_set_takeover(struct parse *p, const char *value)
{
	return options_path(p, "--takeover", value, p->opt->takeover);
}

int options_takeover_check(struct parse *p)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(fixed); i++) {
		if (p->seen & bit_of(fixed[i]))
			return options_mistake(p,
				"--takeover and --%s exclude each other: the new process has what "
				"the running one has",
				fixed[i]);
	}
	return 0;
}

json_t *options_words(const struct options *opt)
{
	json_t *all = json_array();

	for (size_t i = 0; i < options_nrows; i++) {
		if (opt->words >> i & 1)
			json_array_append_new(all, json_string(options_rows[i].name));
	}
	return all;
}

json_t *options_ports_of_words(const struct options *opt)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < opt->nports; i++) {
		if (opt->ports[i].of_words)
			json_array_append_new(all, json_string(opt->ports[i].name));
	}
	return all;
}

/* What came from the command line of the running switch counts as if it had come from ours. */
static void words_take(struct options *opt, const struct options_running *from)
{
	const json_t *name;

	for (size_t i = 0; (name = json_array_get(from->words, i)); i++)
		opt->words |= bit_of(json_string_value(name));
	for (unsigned i = 0; i < opt->nports; i++) {
		for (size_t k = 0; (name = json_array_get(from->ports_of_words, k)); k++)
			opt->ports[i].of_words |= !strcmp(
				json_string_value(name), opt->ports[i].name);
	}
}

int options_take(struct options *opt, const struct options_running *from, char *err, size_t errlen)
{
	struct parse p = {
		.opt = opt, .err = err, .errlen = errlen, .seen = opt->words | bit_of("control")};
	struct source *source = options_source_new(&p, from->document, NULL, NULL);
	int ret = source ? 1 : -ENOMEM;

	while (ret > 0)
		ret = options_source_step(source);
	options_source_free(source);
	if (ret)
		return ret;
	strcpy(opt->control, opt->takeover);
	opt->control_is_default = from->control_is_default;
	snprintf(opt->config, sizeof(opt->config), "%s", from->config ? from->config : "");
	words_take(opt, from);
	ret = opt->nports ? options_ports_check(&p) : 0;
	return ret ? ret : options_finish(&p);
}
