/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user back-ends that are installed on this host, found as management software finds
 * them (QEMU, docs/interop/vhost-user.json): descriptions *.json in three directories. A file hides
 * those of its name in the directories before; an empty one hides them and is no description. The
 * order is that of the files' names.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "commands.h"
#include "rw_base.h"

/* The types of VHostUserBackendType. */
static const char *const types[] = {"9p", "balloon", "block", "bt", "caif", "console", "crypto",
	"fs", "gpu", "gpio", "i2c", "input", "net", "rng", "rpmsg", "rproc-serial", "scmi", "scsi",
	"snd", "video", "vsock"};

/* ---- finding ---- */

/* The user's directory; "": he has none. */
static void own_dir(char out[PATH_MAX])
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int len = 0;

	/* A path that is not absolute is to be ignored (XDG Base Directory Specification). */
	if (config && *config == '/')
		len = snprintf(out, PATH_MAX, "%s/qemu/vhost-user", config);
	else if (home && *home == '/')
		len = snprintf(out, PATH_MAX, "%s/.config/qemu/vhost-user", home);
	if (len <= 0 || len >= PATH_MAX)
		*out = 0;
}

static bool is_description(const char *name)
{
	size_t len = strlen(name);

	return *name != '.' && len > 5 && !strcmp(name + len - 5, ".json");
}

/* Note the descriptions of a directory: an object of file names and paths. */
static void dir_read(json_t *found, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	if (!d) {
		if (errno != ENOENT)
			complain("%s: %s", dir, strerror(errno));
		return;
	}
	while ((entry = readdir(d))) {
		if (is_description(entry->d_name))
			json_object_set_new(
				found, entry->d_name, json_sprintf("%s/%s", dir, entry->d_name));
	}
	closedir(d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* ---- judging ---- */

static bool is_type(const char *type)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(types); i++) {
		if (!strcmp(types[i], type))
			return true;
	}
	return false;
}

static bool is_list_of_texts(const json_t *value)
{
	const json_t *item;

	if (!json_is_array(value))
		return false;
	for (size_t i = 0; (item = json_array_get(value, i)); i++) {
		if (!json_is_string(item))
			return false;
	}
	return true;
}

/* What is wrong with a description; NULL: nothing. */
static const char *problem_of(const json_t *content)
{
	static const char *const texts[] = {"description", "type", "binary"};
	static const char *const lists[] = {"features", "tags"};
	static char why[128];

	if (!json_is_object(content))
		return "it is no JSON object";
	for (size_t i = 0; i < RW_ARRAY_SIZE(texts); i++) {
		if (json_is_string(json_object_get(content, texts[i])))
			continue;
		snprintf(why, sizeof(why), "\"%s\" is missing or no text", texts[i]);
		return why;
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(lists); i++) {
		const json_t *list = json_object_get(content, lists[i]);

		if (!list || is_list_of_texts(list))
			continue;
		snprintf(why, sizeof(why), "\"%s\" is no list of texts", lists[i]);
		return why;
	}
	if (!is_type(text_of(content, "type")))
		return "its type is none of vhost-user.json";
	if (*text_of(content, "binary") != '/')
		return "the path of its binary is not absolute";
	return access(text_of(content, "binary"), X_OK) ? "its binary cannot be executed" : NULL;
}

/* One description, as a new object; NULL: the file hides others and is none. */
static json_t *back_end(const char *path)
{
	const char *why;
	json_error_t error;
	struct stat st;
	json_t *content, *row = json_object();

	if (!stat(path, &st) && !st.st_size) {
		json_decref(row);
		return NULL;
	}
	content = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	json_object_set_new(row, "file", json_string(path));
	if (json_is_object(content))
		json_object_update_missing(row, content);
	why = content ? problem_of(content) : error.text;
	json_object_set_new(row, "problem", why ? json_string(why) : json_null());
	json_decref(content);
	return row;
}

json_t *backends(struct cli *cli)
{
	json_t *found = json_object(), *list = json_array();
	const char **names, *name;
	char own[PATH_MAX];
	json_t *path;
	size_t n = 0;

	(void)cli;
	dir_read(found, "/usr/share/qemu/vhost-user");
	dir_read(found, "/etc/qemu/vhost-user");
	own_dir(own);
	if (*own)
		dir_read(found, own);
	names = calloc(json_object_size(found) + 1, sizeof(*names));
	json_object_foreach(found, name, path)
	{
		if (names)
			names[n++] = name;
	}
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		json_t *row = back_end(json_string_value(json_object_get(found, names[i])));

		if (row)
			json_array_append_new(list, row);
	}
	free(names);
	json_decref(found);
	return list;
}

void backends_print(const struct cli *cli, const json_t *list)
{
	static const struct table_column columns[] = {{"TYPE", false}, {"BINARY", false},
		{"FILE", false}, {"DESCRIPTION", false}, {"PROBLEM", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *row;

	(void)cli;
	for (size_t i = 0; (row = json_array_get(list, i)); i++) {
		table_cell(t, "%s", text_of(row, "type"));
		table_cell(t, "%s", text_of(row, "binary"));
		table_cell(t, "%s", text_of(row, "file"));
		table_cell(t, "%s", text_of(row, "description"));
		table_cell(t, "%s", text_of(row, "problem"));
	}
	table_print(t, stdout);
	table_free(t);
}
