/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_out.h"

static const struct kind {
	const char *name, *suffix;
} kinds[METRIC_NUM_KINDS] = {
	[METRIC_GAUGE] = {"gauge", ""},
	[METRIC_COUNTER] = {"counter", "_total"},
	[METRIC_HISTOGRAM] = {"histogram", ""},
};

/* The text of a label: a name of the switch can hold any character. */
static void label_value(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", f);
		else if (*text == '"' || *text == '\\')
			fprintf(f, "\\%c", *text);
		else
			putc(*text, f);
	}
}

static void sample_begin(struct metric_out *o, va_list ap)
{
	const char *name, *value, *before = "{";

	fprintf(o->f, "%s%s", o->family->name, o->suffix);
	while ((name = va_arg(ap, const char *))) {
		value = va_arg(ap, const char *);
		fprintf(o->f, "%s%s=\"", before, name);
		label_value(o->f, value ? value : "");
		putc('"', o->f);
		before = ",";
	}
	if (*before == ',')
		putc('}', o->f);
}

void metric_sample(struct metric_out *o, const json_t *value, ...)
{
	va_list ap;

	if (!json_is_number(value) && !json_is_boolean(value))
		return;
	va_start(ap, value);
	sample_begin(o, ap);
	va_end(ap);
	if (json_is_real(value))
		fprintf(o->f, " %.17g\n", json_real_value(value));
	else
		fprintf(o->f, " %" JSON_INTEGER_FORMAT "\n",
			json_is_integer(value) ? json_integer_value(value) : json_is_true(value));
}

static void family_begin(const struct metric_out *o, bool openmetrics)
{
	const struct family *f = o->family;
	const char *end = openmetrics ? "" : kinds[f->kind].suffix;

	fprintf(o->f, "# TYPE %s%s %s\n", f->name, end, kinds[f->kind].name);
	fprintf(o->f, "# HELP %s%s %s\n", f->name, end, f->help);
}

static void family_write(struct metric_out *o)
{
	const struct family *f = o->family;
	const json_t *list = json_object_get(o->reading, f->list ? f->list : ""), *row;

	o->suffix = kinds[f->kind].suffix;
	if (!f->list)
		f->emit(o, o->reading);
	for (size_t i = 0; (row = json_array_get(list, i)); i++)
		f->emit(o, row);
}

char *metrics_text(const json_t *reading, bool openmetrics, size_t *len)
{
	char *text = NULL;
	struct metric_out o = {.f = open_memstream(&text, len), .reading = reading};
	bool failed;

	if (!o.f)
		return NULL;
	for (unsigned i = 0; i < metric_nfamilies; i++) {
		o.family = &metric_families[i];
		family_begin(&o, openmetrics);
		family_write(&o);
	}
	if (openmetrics)
		fputs("# EOF\n", o.f);
	failed = ferror(o.f);
	if (fclose(o.f) || failed) {
		free(text);
		return NULL;
	}
	return text;
}

void metrics_list(FILE *out)
{
	fputs("| metric | type | labels | what it is |\n|---|---|---|---|\n", out);
	for (unsigned i = 0; i < metric_nfamilies; i++) {
		const struct family *f = &metric_families[i];

		fprintf(out, "| `%s%s` | %s | %s | %s |\n", f->name, kinds[f->kind].suffix,
			kinds[f->kind].name, *f->labels ? f->labels : "-", f->help);
	}
}
