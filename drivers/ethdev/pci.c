/* SPDX-License-Identifier: BSD-3-Clause */
/* Why DPDK has no device at a PCI address, as Linux knows it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_pci.h>

#include "ethdev.h"

/* Drivers of Linux that leave a device to user space. */
static bool is_for_user_space(const char *driver)
{
	return !strcmp(driver, "vfio-pci") || !strcmp(driver, "igb_uio") ||
		!strcmp(driver, "uio_pci_generic");
}

/* The name of the driver that has the device. False: none has. */
static bool driver_read(const char *device_dir, char *name, size_t len)
{
	char link[PATH_MAX + sizeof("/driver")], target[PATH_MAX];
	const char *slash;
	ssize_t n;

	snprintf(link, sizeof(link), "%s/driver", device_dir);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = 0;
	slash = strrchr(target, '/');
	snprintf(name, len, "%.60s", slash ? slash + 1 : target);
	return true;
}

void ethdev_pci_explain(const char *sysfs, const char *device, char *err, size_t errlen)
{
	char text[32], dir[PATH_MAX], name[64];
	struct rte_pci_addr addr;

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(device, ","), device);
	rte_pci_addr_parse(text, &addr);
	rte_pci_device_name(&addr, text, sizeof(text));
	snprintf(dir, sizeof(dir), "%s/bus/pci/devices/%s", sysfs, text);
	if (access(dir, F_OK))
		snprintf(err, errlen, "there is no PCI device %s", text);
	else if (!driver_read(dir, name, sizeof(name)))
		snprintf(err, errlen,
			"PCI device %s has no driver: dpdk-devbind.py -b vfio-pci %s, and restart "
			"ringwayd",
			text, text);
	else if (!is_for_user_space(name))
		snprintf(err, errlen,
			"PCI device %s belongs to Linux (driver %s): dpdk-devbind.py -b vfio-pci "
			"%s, "
			"and restart ringwayd",
			text, name, text);
	else
		snprintf(err, errlen,
			"PCI device %s is bound to %s, but this build has no driver for it, or may "
			"not "
			"open it",
			text, name);
}
