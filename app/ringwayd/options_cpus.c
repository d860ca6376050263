/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "options_internal.h"

/* "0-3,8" for a set. */
static void cpus_print(const cpu_set_t *set, char *out, size_t size)
{
	size_t len = 0;
	int last;

	out[0] = 0;
	for (int cpu = 0; cpu < CPU_SETSIZE && len < size; cpu = last + 1) {
		last = cpu;
		if (!CPU_ISSET(cpu, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		len += (size_t)snprintf(out + len, size - len, cpu == last ? "%s%d" : "%s%d-%d",
			len ? "," : "", cpu, last);
	}
}

/* Why `cpu`, which is not among the allowed ones, cannot be used. */
static int cpu_refuse(struct parse *p, uint32_t cpu, const cpu_set_t *allowed)
{
	char path[64], list[128], state = '1';
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	FILE *f;

	if (p->confined)
		return options_mistake(p, "--cpus: there is no CPU %u", cpu);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u", cpu);
	if ((long)cpu >= configured && access(path, F_OK)) {
		return options_mistake(p,
			"--cpus: there is no CPU %u: this machine has %ld, numbered from 0", cpu,
			configured);
	}
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", cpu);
	f = fopen(path, "re");
	if (f) {
		state = (char)fgetc(f);
		fclose(f);
	}
	if (state == '0')
		return options_mistake(p, "--cpus: CPU %u is offline", cpu);
	cpus_print(allowed, list, sizeof(list));
	return options_mistake(p,
		"--cpus: CPU %u exists, but ringwayd is not allowed to run on it: allowed %s %s",
		cpu, CPU_COUNT(allowed) == 1 ? "is" : "are", list);
}

static int cpu_add(struct parse *p, uint32_t cpu, const cpu_set_t *allowed)
{
	struct options *opt = p->opt;

	for (unsigned i = 0; i < opt->ncpus; i++) {
		if (opt->cpus[i] == cpu)
			return options_mistake(p, "--cpus: CPU %u is named twice", cpu);
	}
	if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, allowed))
		return cpu_refuse(p, cpu, allowed);
	if (opt->ncpus == OPTIONS_CPUS_MAX)
		return options_mistake(p, "--cpus: there are more than %d CPUs", OPTIONS_CPUS_MAX);
	opt->cpus[opt->ncpus++] = cpu;
	return 0;
}

static int cpus_allowed(struct parse *p, cpu_set_t *allowed)
{
	memset(allowed, p->confined ? 0xff : 0, sizeof(*allowed));
	if (!p->confined && sched_getaffinity(0, sizeof(*allowed), allowed))
		return options_mistake(
			p, "cannot read the CPUs allowed to ringwayd: %s", strerror(errno));
	return 0;
}

int options_set_cpus(struct parse *p, const char *value)
{
	const char *s = value;
	cpu_set_t allowed;
	uint32_t from, to;
	int ret;

	p->opt->cpus_are_default = false;
	ret = cpus_allowed(p, &allowed);
	if (ret)
		return ret;
	do {
		if (!rw_text_scan(&s, INT_MAX, &from))
			goto syntax;
		to = from;
		if (*s == '-') {
			s++;
			if (!rw_text_scan(&s, INT_MAX, &to))
				goto syntax;
		}
		if (to < from)
			return options_mistake(
				p, "--cpus=%s: write the range upwards, %u-%u", value, to, from);
		if (*s && *s != ',')
			goto syntax;
		for (uint32_t cpu = from; !ret && cpu <= to; cpu++)
			ret = cpu_add(p, cpu, &allowed);
	} while (!ret && *s++ == ',');
	return ret;

syntax:
	return options_mistake(
		p, "--cpus=%s: write a list of CPU numbers, such as 1 or 1,3-5", value);
}

json_t *options_get_cpus(const struct options *opt)
{
	json_t *list = opt->cpus_are_default ? NULL : json_array();

	for (unsigned i = 0; list && i < opt->ncpus; i++)
		json_array_append_new(list, json_integer(opt->cpus[i]));
	return list;
}

/* Where the user named no CPU: the last one, as interrupts and daemons crowd the first ones. */
int options_default_cpus(struct parse *p)
{
	cpu_set_t allowed;
	int cpu = CPU_SETSIZE - 1, ret;

	if (!p->opt->cpus_are_default)
		return 0;
	ret = cpus_allowed(p, &allowed);
	if (ret)
		return ret;
	while (cpu > 0 && !CPU_ISSET(cpu, &allowed))
		cpu--;
	return cpu_add(p, (uint32_t)cpu, &allowed);
}
