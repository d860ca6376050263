/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration as one document. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "commands.h"
#include "document.h"

/* Hundreds of ports that come or go take the switch a while. */
#define APPLY_TIMEOUT_MS 60000

json_t *config_show(struct cli *cli)
{
	return call(cli, "config.get", NULL);
}

void config_show_print(const struct cli *cli, const json_t *config)
{
	(void)cli;
	doc_write(config, stdout);
}

static const char heading[] = "# Saved by ringway config save; ringwayd --config reads it.\n";

/* Write all of it, also to the disk. False and errno. */
static bool file_write(FILE *f, const json_t *config)
{
	bool ok = fputs(heading, f) >= 0 && doc_write(config, f) && !fflush(f) && !fsync(fileno(f));
	int err = errno;

	if (fclose(f) && ok) {
		err = errno;
		ok = false;
	}
	errno = err;
	return ok;
}

/* The permissions that the file at `path` has, or a new one gets. */
static mode_t mode_for(const char *path)
{
	mode_t mask = umask(0);
	struct stat st;

	umask(mask);
	return stat(path, &st) ? 0666 & ~mask : st.st_mode & 07777;
}

/*
 * The file has the old content or the new one, whatever happens: a new file takes its place. 0, or
 * -1 with a complaint.
 */
static int file_replace(const char *path, const json_t *config)
{
	char *real = realpath(path, NULL), *temporary = NULL;
	int fd = -1, ret = -1;
	FILE *f = NULL;

	if (!real)
		real = strdup(path);
	if (real && asprintf(&temporary, "%s.XXXXXX", real) > 0)
		fd = mkstemp(temporary);
	if (fd >= 0 && !fchmod(fd, mode_for(real)))
		f = fdopen(fd, "w");
	if (!f && fd >= 0)
		close(fd);
	if (f && file_write(f, config) && !rename(temporary, real))
		ret = 0;
	if (ret)
		complain("%s: %s", path, strerror(errno));
	if (ret && fd >= 0)
		unlink(temporary);
	free(temporary);
	free(real);
	return ret;
}

int config_save(struct cli *cli)
{
	json_t *config = config_show(cli);
	int ret = -1;

	if (config)
		ret = file_replace(cli->name, config);
	json_decref(config);
	return ret;
}

/* ---- apply ---- */

/* Say what the switch says of a document, with the place in the text that it is about. */
static void place_complain(const struct doc *doc, const char *name, const struct ctl_failure *fail)
{
	static const char root[] = "config";
	const char *path = fail->at;
	struct doc_position at;

	if (strncmp(path, root, strlen(root))) {
		complain("%s", fail->message);
		return;
	}
	path += strlen(root);
	at = doc_where(doc, *path == '/' ? path + 1 : path);
	complain("%s:%u:%u: %s", name, at.line, at.column, fail->message);
}

json_t *config_apply(struct cli *cli)
{
	const char *name = strcmp(cli->name, "-") ? cli->name : "(standard input)";
	struct ctl_failure fail;
	json_t *result;
	char err[512];
	struct doc *doc = doc_read(cli->name, err, sizeof(err));

	if (!doc) {
		complain("%s", err);
		return NULL;
	}
	cli->timeout_ms = APPLY_TIMEOUT_MS;
	result = call_failing(cli, "config.apply",
		json_pack("{s:O, s:b}", "config", doc_root(doc), "dry_run", cli->dry_run), &fail);
	if (!result && fail.code != CTL_ERR_INTERNAL)
		place_complain(doc, name, &fail);
	doc_free(doc);
	return result;
}

/* A value that changes: words as they are, the rest as JSON. */
static void value_print(const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		printf("%s", json_string_value(value));
		return;
	}
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	printf("%s", json_is_null(value) ? "none" : text ? text : "?");
	free(text);
}

static void key_print(const json_t *change, bool from, bool to)
{
	printf("%s", text_of(change, "key"));
	if (from) {
		putchar(' ');
		value_print(json_object_get(change, "from"));
	}
	if (from && to)
		printf(" ->");
	if (to) {
		putchar(' ');
		value_print(json_object_get(change, "to"));
	}
}

/* "+ port vm3: socket /run/vm3.sock" */
static void change_print(const json_t *change)
{
	const char *what = text_of(change, "change");
	bool adds = !strcmp(what, "add"), removes = !strcmp(what, "remove");
	const json_t *keys = json_object_get(change, "keys"), *key;

	if (!json_is_string(json_object_get(change, "port"))) {
		printf("~ ");
		key_print(change, true, true);
		putchar('\n');
		return;
	}
	printf("%c port %s", adds ? '+' : removes ? '-' : '~', text_of(change, "port"));
	if (!strcmp(what, "replace"))
		printf(" (replaced)");
	for (size_t i = 0; (key = json_array_get(keys, i)); i++) {
		printf("%s ", i ? "," : ":");
		key_print(key, !adds, !removes);
	}
	putchar('\n');
}

void config_apply_print(const struct cli *cli, const json_t *answer)
{
	const json_t *changes = json_object_get(answer, "changes"), *item;
	size_t n = json_array_size(changes);

	for (size_t i = 0; (item = json_array_get(changes, i)); i++)
		change_print(item);
	item = json_object_get(answer, "notes");
	for (size_t i = 0; i < json_array_size(item); i++)
		printf("note: %s\n", json_string_value(json_array_get(item, i)));
	printf("%zu change%s%s, %" JSON_INTEGER_FORMAT " port(s) as they were\n", n,
		n == 1 ? "" : "s", cli->dry_run && n ? " would be made" : "",
		number_of(answer, "unchanged"));
}
