/* SPDX-License-Identifier: BSD-3-Clause */
/* Which command the words of a command line name, and what the user may have meant if none. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "rw_text.h"

#define NAMES_MAX 32

/* Queues and workers have smaller numbers. */
#define PLACE_MAX 65535u

/* Names without repetition. */
struct names {
	const char *name[NAMES_MAX];
	size_t n;
};

static void names_add(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (!strcmp(names->name[i], name))
			return;
	}
	if (names->n < NAMES_MAX)
		names->name[names->n++] = name;
}

/* The objects of all commands. */
static struct names objects(void)
{
	struct names names = {.n = 0};

	for (unsigned i = 0; i < ncommands; i++)
		names_add(&names, commands[i].object);
	return names;
}

/* The verbs of an object. */
static struct names verbs(const char *object)
{
	struct names names = {.n = 0};

	for (unsigned i = 0; i < ncommands; i++) {
		if (!strcmp(commands[i].object, object) && commands[i].verb)
			names_add(&names, commands[i].verb);
	}
	return names;
}

static bool names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (!strcmp(names->name[i], name))
			return true;
	}
	return false;
}

/* "list, show and stats" */
static const char *names_text(const struct names *names, char *out, size_t size)
{
	size_t len = 0;

	out[0] = 0;
	for (size_t i = 0; i < names->n && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
			!i                         ? ""
				: i < names->n - 1 ? ", "
						   : " and ",
			names->name[i]);
	return out;
}

/* The verb of `object` that is `verb`, or nearly so. NULL: none. */
static const char *verb_nearest(const char *object, const char *verb)
{
	struct names names = verbs(object);

	return verb ? rw_text_nearest(verb, names.name, names.n) : NULL;
}

/* No object is called so. */
static void object_refuse(const char *object, const char *verb)
{
	struct names names = objects();
	const char *meant = rw_text_nearest(object, names.name, names.n);
	const char *meant_verb = meant ? verb_nearest(meant, verb) : NULL;
	const char *blank = verb ? " " : "";
	char text[256];

	verb = verb ? verb : "";
	if (meant)
		complain("unknown command \"%s%s%s\": did you mean \"%s%s%s\"? (see --help)",
			object, blank, verb, meant, meant_verb ? " " : "",
			meant_verb ? meant_verb : "");
	else
		complain("unknown command \"%s%s%s\": there are %s (see --help)", object, blank,
			verb, names_text(&names, text, sizeof(text)));
}

/* The object has no such verb, or the verb is missing (NULL). */
static void verb_refuse(const char *object, const char *verb)
{
	struct names names = verbs(object);
	const char *meant = verb_nearest(object, verb);
	char text[256];

	names_text(&names, text, sizeof(text));
	if (!verb)
		complain("\"%s\" wants a verb: %s (see --help)", object, text);
	else if (meant)
		complain("unknown command \"%s %s\": did you mean \"%s %s\"? There are %s", object,
			verb, object, meant, text);
	else
		complain(
			"unknown command \"%s %s\": there are %s (see --help)", object, verb, text);
}

/* The command that the first words name. NULL with a complaint. */
static const struct command *command_named(const char *object, const char *verb)
{
	struct names names = objects();

	for (unsigned i = 0; i < ncommands; i++) {
		const struct command *c = &commands[i];

		if (!strcmp(c->object, object) && (!c->verb || (verb && !strcmp(c->verb, verb))))
			return c;
	}
	if (names_have(&names, object))
		verb_refuse(object, verb);
	else
		object_refuse(object, verb);
	return NULL;
}

/* Read QUEUE and WORKER. 0, or -1 with a complaint. */
static int place_read(const struct command *c, const char *const words[2], struct cli *cli)
{
	unsigned *const to[2] = {&cli->queue, &cli->worker};

	for (int i = 0; i < 2; i++) {
		uint32_t n;

		if (!words[i])
			return complain("something is missing: the command is %s", c->usage);
		if (!rw_text_number(words[i], 0, PLACE_MAX, &n))
			return complain(
				"%s is numbered from 0 to %u, not \"%s\": the command is %s",
				i ? "WORKER" : "QUEUE", PLACE_MAX, words[i], c->usage);
		*to[i] = n;
	}
	return 0;
}

int words_list(struct cli *cli, const char *const *words, unsigned n, const char *key,
	const char *what, const char *where)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++) {
		if (json_array_append_new(list, json_string(words[i]))) {
			json_decref(list);
			return complain("%s number %u%s is not UTF-8 text", what, i + 1, where);
		}
	}
	return json_object_set_new(cli->params, key, list);
}

const struct command *command_find(const char *const *words, unsigned n, struct cli *cli)
{
	const struct command *c;
	unsigned used;

	if (!n) {
		complain("which command? (see --help)");
		return NULL;
	}
	c = command_named(words[0], words[1]);
	if (!c)
		return NULL;
	used = c->verb ? 2 : 1;
	if (n > used && (c->takes & COMMAND_NAME))
		cli->name = words[used++];
	if (cli->name && (c->takes & COMMAND_NEEDS_PLACE)) {
		if (place_read(c, &words[used], cli))
			return NULL;
		used += 2;
	}
	if (c->read)
		return c->read(cli, &words[used], n - used) ? NULL : c;
	if (n > used) {
		complain("unexpected word \"%s\": the command is %s", words[used], c->usage);
		return NULL;
	}
	return c;
}
