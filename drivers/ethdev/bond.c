/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bond's members: devices of DPDK that are no ports of the switch. They are named by one key,
 * members=DRIVER/KEY=VALUE/...+DRIVER/KEY=VALUE/..., and DPDK wants one key for each.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_eth_bond.h>
#include <rte_eth_bond_8023ad.h>

#include "ethdev.h"

#define KEY ",members="

/* It is there in programs that have DPDK's drivers: no unit test does. */
extern typeof(rte_eth_bond_primary_set) rte_eth_bond_primary_set __attribute__((weak));
extern typeof(rte_eth_bond_mode_get) rte_eth_bond_mode_get __attribute__((weak));
extern typeof(rte_eth_bond_active_slaves_get) rte_eth_bond_active_slaves_get __attribute__((weak));
extern typeof(rte_eth_bond_8023ad_slave_info) rte_eth_bond_8023ad_slave_info __attribute__((weak));

/* Of DPDK's headers for drivers, which Debian does not install. */
struct rte_eth_dev;
extern struct rte_eth_dev *rte_eth_dev_allocated(const char *name) __attribute__((weak));
extern void bond_mode_8023ad_activate_slave(struct rte_eth_dev *bond, uint16_t member)
	__attribute__((weak));

/*
 * LACP (802.3ad) asks the member's driver for its link, and drivers such as net_af_packet say that
 * it is up always. The linker (--wrap) has all of DPDK ask here, where the reports are known.
 */
static bool member_down[RTE_MAX_ETHPORTS]; /* atomic; by DPDK's number */
int link_get(uint16_t id, struct rte_eth_link *link) __asm__("__real_rte_eth_link_get_nowait");
int link_get_known(uint16_t id, struct rte_eth_link *link) __asm__(
	"__wrap_rte_eth_link_get_nowait");

/* Thread: any. */
int link_get_known(uint16_t id, struct rte_eth_link *link)
{
	int ret = link_get(id, link);

	if (!ret && __atomic_load_n(&member_down[id], __ATOMIC_RELAXED))
		link->link_status = RTE_ETH_LINK_DOWN;
	return ret;
}

/* Probe one, and append it to `out`. 0; or -errno and `err`. */
static int member_add(
	struct ethdev_device *dev, char *text, char *out, size_t len, char *err, size_t errlen)
{
	char name[RTE_DEV_NAME_MAX_LEN], whole[512];
	const char *args;
	struct rte_eth_dev_info info;
	size_t at = strlen(out);
	int ret;

	for (char *c = text; *c; c++) {
		if (*c == '/')
			*c = ',';
	}
	ret = ethdev_iface_check(text, err, errlen);
	if (ret)
		return ret;
	ethdev_name_choose(text, name, sizeof(name), &args);
	snprintf(whole, sizeof(whole), "%s%s", name, args);
	ret = ethdev_is_pci(name) ? 0 : rte_dev_probe(whole);
	if (!ret)
		ret = rte_eth_dev_get_port_by_name(name, &dev->members[dev->nmembers]);
	if (ret) {
		snprintf(err, errlen, "DPDK does not make the bond's member %s: %s", whole,
			strerror(-ret));
		return ret;
	}
	if (!rte_eth_dev_info_get(dev->members[dev->nmembers], &info))
		dev->member_if[dev->nmembers] = info.if_index;
	/* Unless there is a report. */
	dev->member_up[dev->nmembers++] = true;
	snprintf(out + at, len - at, ",slave=%s", name);
	return 0;
}

int ethdev_bond_members(struct ethdev_device *dev, const char *args, char *out, size_t len,
	char *err, size_t errlen)
{
	const char *at = strstr(args, KEY), *rest;
	char list[512], *next = list, *text;
	int ret = 0;

	if (!at) {
		snprintf(err, errlen,
			"a bond wants members=DRIVER/KEY=VALUE+DRIVER/KEY=VALUE, such as "
			"members=net_af_packet/iface=eth1+net_af_packet/iface=eth2");
		return -EINVAL;
	}
	rest = at + sizeof(KEY) - 1;
	snprintf(list, sizeof(list), "%.*s", (int)strcspn(rest, ","), rest);
	rest += strcspn(rest, ",");
	snprintf(out, len, "%.*s%s", (int)(at - args), args, rest);
	while (!ret && (text = strsep(&next, "+"))) {
		if (dev->nmembers == ETHDEV_MEMBERS_MAX) {
			snprintf(err, errlen, "a bond has at most %d members", ETHDEV_MEMBERS_MAX);
			return -E2BIG;
		}
		ret = member_add(dev, text, out, len, err, errlen);
	}
	return ret;
}

/*
 * The driver makes what LACP needs for a member, a mempool and two rings, when the member has a
 * link for the first time, and ends the process (rte_panic) if it cannot. By then EAL's heap may
 * grow no more. What is made is kept and used again, so it is made here, for each member once.
 */
void ethdev_bond_prepare(const struct ethdev_device *dev)
{
	if (!rte_eth_bond_mode_get || !bond_mode_8023ad_activate_slave ||
		rte_eth_bond_mode_get(dev->id) != BONDING_MODE_8023AD)
		return;
	for (unsigned i = 0; i < dev->nmembers; i++)
		bond_mode_8023ad_activate_slave(rte_eth_dev_allocated(dev->name), dev->members[i]);
}

/* Whether the other side of a link aggregation takes frames from a member. */
static bool one_distributes(const struct ethdev_device *dev)
{
	struct rte_eth_bond_8023ad_slave_info info;

	for (unsigned i = 0; i < dev->nmembers; i++) {
		if (dev->member_up[i] &&
			!rte_eth_bond_8023ad_slave_info(dev->id, dev->members[i], &info) &&
			info.actor_state & STATE_DISTRIBUTING)
			return true;
	}
	return false;
}

/*
 * Say which members are down. The driver takes a member in when it asks for its link for the first
 * time after the start, in a thread of EAL, and does not ask again where the device's driver
 * reports no change: a member is down only after that, and then until its link is back.
 */
static void members_tell(const struct ethdev_device *dev)
{
	uint16_t active[RTE_MAX_ETHPORTS];
	int n = rte_eth_bond_active_slaves_get(dev->id, active, RTE_MAX_ETHPORTS);

	for (unsigned i = 0; i < dev->nmembers; i++) {
		bool *told = &member_down[dev->members[i]];
		bool down = __atomic_load_n(told, __ATOMIC_RELAXED);

		for (int j = 0; j < n; j++)
			down |= active[j] == dev->members[i];
		__atomic_store_n(told, down && !dev->member_up[i], __ATOMIC_RELAXED);
	}
}

bool ethdev_bond_choose(struct ethdev_device *dev)
{
	unsigned best = 0;

	members_tell(dev);
	if (rte_eth_bond_mode_get(dev->id) == BONDING_MODE_8023AD)
		return one_distributes(dev);
	while (best < dev->nmembers && !dev->member_up[best])
		best++;
	if (best == dev->nmembers)
		return false;
	/* One that sends goes on while it can. */
	for (unsigned i = 0; i < dev->nmembers; i++) {
		if (dev->members[i] == dev->primary && dev->member_up[i])
			best = i;
	}
	if (dev->members[best] != dev->primary)
		rte_eth_bond_primary_set(dev->id, dev->members[best]);
	dev->primary = dev->members[best];
	return true;
}
