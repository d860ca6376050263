/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration, as the file that --config names: what it makes of the options is written as a
 * document, and that one makes the same of them.
 */
#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

#include "options.h"
#include "text.h"

static struct options got, again;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_check(freopen("/dev/null", "r", stdin));
	return 0;
}

/* What options_parse makes of the text. */
static int parse(const char *text, size_t len, struct options *out, char *err, size_t errlen)
{
	char config[64], program[] = "ringwayd";
	char *argv[] = {program, config, NULL};
	int fd = memfd_create("config", 0), ret;

	fuzz_check(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	snprintf(config, sizeof(config), "--config=/proc/self/fd/%d", fd);
	ret = options_parse(2, argv, out, err, errlen);
	close(fd);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *doc, *same;
	char err[512] = "";
	char *text;
	int ret = parse((const char *)data, size, &got, err, sizeof(err));

	if (ret < 0)
		check_line(err, sizeof(err));
	if (ret)
		return 0;
	fuzz_check(got.nports <= OPTIONS_PORTS_MAX && got.ncpus && got.ncpus <= OPTIONS_CPUS_MAX);
	doc = options_document(&got);
	fuzz_check(doc);
	text = json_dumps(doc, 0);
	fuzz_check(text);
	ret = parse(text, strlen(text), &again, err, sizeof(err));
	if (ret)
		fprintf(stderr, "%s\n%s\n", text, err);
	fuzz_check(!ret);
	same = options_document(&again);
	fuzz_check(json_equal(doc, same));
	free(text);
	json_decref(doc);
	json_decref(same);
	return 0;
}
