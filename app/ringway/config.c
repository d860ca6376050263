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
