# SPDX-License-Identifier: BSD-3-Clause
"""A switch with Linux guests on it, and what every test wants of them."""

import os

import pytest

from guest import Guest, GuestError, wait_until

# Bits of the virtio feature word, as in the virtio specification.
FEATURE_BITS = {
    'csum': 0, 'guest_csum': 1, 'guest_tso4': 7, 'guest_tso6': 8, 'guest_ecn': 9,
    'guest_ufo': 10, 'host_tso4': 11, 'host_tso6': 12, 'host_ecn': 13, 'host_ufo': 14,
    'mrg_rxbuf': 15, 'mq': 22, 'indirect_desc': 28, 'event_idx': 29, 'version_1': 32,
    'access_platform': 33, 'packed': 34,
}
OFFLOADS = ('csum', 'guest_csum', 'guest_tso4', 'guest_tso6', 'guest_ecn',
            'host_tso4', 'host_tso6', 'host_ecn')
# What Ringway offers and Linux takes in each test that does not turn it off.
USUAL = {*OFFLOADS, 'mrg_rxbuf', 'indirect_desc', 'event_idx', 'version_1'}

MEBIBYTES = 4
# How long anything may take that takes milliseconds, or a few seconds, on an idle machine: what
# succeeds returns at once.
PATIENCE_S = 300
# Readings of the counters, 20 ms or more apart, that are alike when nothing is on its way.
REST_READINGS = 8

# What may be lost while guests boot. A guest that is up first talks to nobody: its IPv6 stack
# announces itself, and the network is empty. And Linux starts its device some time before it
# posts receive buffers, so what other guests send to all finds none. And its first frames on a
# further queue pair may overtake QEMU's message that enables it. What is for a guest whose
# front-end went away is dropped (--fdb-linger).
BOOT_DROPS = {('rx', 'no_destination'), ('tx', 'no_buffer'),
              ('rx', 'queue_disabled'), ('tx', 'link_down')}
# What may be lost while guests talk. A TCP sender knows the receiver's window, not how many of
# its buffers are left: without large segments a ring of 256 buffers is full in 0.4 MB, when QEMU
# does not get the CPU for a moment. TCP sends it again.
TALK_DROPS = {('tx', 'no_buffer')}
# The share of it that no guest reaches. Behind an IOMMU in strict mode, where it posts buffers more
# slowly, 1 % and 3 % were seen on a quiet machine, and up to 7 % on a busy one. A guest that posts
# only chains of 19 descriptors has room for 13 frames in such a ring: 10 % on a slow machine.
TALK_LOSS = 0.05
SLOW_TALK_LOSS = 0.2


def rows(names, usual, more):
    """Marks a test with these rows, {id: value or values}; `more` of them only with --long."""
    if os.environ.get('RINGWAY_TEST_LONG'):
        usual = {**usual, **more}
    return pytest.mark.parametrize(names, usual.values(), ids=usual.keys())


def ring_format(device):
    """'split' or 'packed', of these properties of virtio-net-pci."""
    return 'packed' if 'packed=on' in device else 'split'


def posts_long_chains(device):
    """Whether Linux posts a buffer of 64 KiB as one descriptor a page, of these properties."""
    return 'mrg_rxbuf=off' in device and 'indirect_desc=off' in device


class Network:
    """start() it once; `guests` are in the order of the ports g0, g1, ..."""

    def __init__(self, folder, ringwayd, kernel, initramfs):
        self.folder = folder
        self.ringwayd = ringwayd
        self.images = kernel, initramfs
        self.switch = None
        self.switch_options = []
        self.guests = []

    def start(self, *options):
        """A switch, and one guest for each set of options of class Guest; returns the guests.

        {'twin_of': i} is a QEMU that waits for guest i to migrate to it, and is otherwise like it.
        {'postcopy': True} is an option of the port: the switch trusts the guest's QEMU.
        A guest with a firmware waits for boot(), when another one serves what it boots.
        """
        options = [dict(o) for o in options]
        for i, own in enumerate(options):
            twin = own.pop('twin_of', i)
            own.update(options[twin] if twin != i else {})
            own['incoming'] = twin != i
            own['address'] = f'10.0.0.{twin + 1}/24'
        names = [f'g{i}' for i in range(len(options))]
        trusted = [n for n, o in zip(names, options) if o.pop('postcopy', False)]
        listening = [n for n, o in zip(names, options) if not o.get('server')]
        clients = {n: f'{self.folder}/{n}.qemu.sock'
                   for n, o in zip(names, options) if o.get('server')}
        self.switch = self.ringwayd(*listening, clients=clients,
                                    options=['--log-level=debug', *self.switch_options])
        for name in trusted:
            self.switch.cli('port', 'set', name, 'postcopy=on')
        for name, own in zip(names, options):
            guest = Guest(name, self.folder, self.switch.sockets[name],
                          **{'hugetlb': False, **own})
            self.guests.append(guest)
        self.boot(*(guest for guest in self.guests if not guest.firmware))
        return self.guests

    def boot(self, *guests):
        """All at the same time."""
        for guest in guests:
            guest.start(*self.images)
        for guest in guests:
            if guest.incoming:
                guest.wait_monitor()
            else:
                guest.wait_boot()
                self.wait_port(guest, link=True)
        check_reasons(self.switch.drops(), BOOT_DROPS)

    def show(self, guest):
        """`port show` of the guest's port."""
        return self.switch.cli('port', 'show', guest.name)

    def kill(self):
        for guest in self.guests:
            guest.kill()

    def wait_port(self, guest, **members):
        """Returns when the row of the guest's port has these members."""
        def has_them():
            row = self.switch.port(guest.name)
            return all(row[key] == value for key, value in members.items())
        wait_until(has_them, PATIENCE_S, f'port {guest.name} does not get {members}')

    def check_port(self, guest, ring_format='split', without=(), pairs=1):
        """What the guest's driver has negotiated, and that its rings run."""
        row = self.switch.port(guest.name)
        assert row['connected'] and row['link'], row
        assert row['broken_rings'] == 0, row
        assert row['ring_format'] == ring_format
        assert row['pairs'] == pairs
        wanted = USUAL - set(without)
        wanted |= {'packed'} if ring_format == 'packed' else set()
        wanted |= {'mq'} if pairs > 1 else set()
        wanted |= {'access_platform'} if guest.iommu else set()
        features = int(row['features'], 16)
        assert {name for name, bit in FEATURE_BITS.items() if features >> bit & 1} == wanted

    def counters(self):
        """{name: row of `port stats`}"""
        return {row['name']: row for row in self.switch.cli('port', 'stats')}

    def counters_at_rest(self):
        """The same when nothing is on its way."""
        readings = [self.counters()]

        def same():
            readings.append(self.counters())
            return len(readings) > REST_READINGS and readings[-1] == readings[-REST_READINGS]

        wait_until(same, PATIENCE_S, 'the counters do not come to rest')
        return readings[-1]

    def learned(self):
        """{MAC: name of its port}"""
        return {row['mac']: row['port'] for row in self.switch.cli('fdb', 'list')}

    def exchange(self, left, right, quiet=True):
        """Echo requests and a checksummed transfer each way, and nothing lost or misplaced.

        quiet: nobody else talks meanwhile.
        """
        before = self.counters_at_rest() if quiet else self.counters()
        drops = self.switch.drops()
        left.ping(right)
        right.ping(left)
        left.send(right, MEBIBYTES)
        right.send(left, MEBIBYTES)
        self.check_moved(before, left, right)
        self.check_moved(before, right, left)
        self.check_all_arrived(before)
        check_reasons({drop for drop, frames in self.switch.drops().items()
                       if frames != drops.get(drop)}, TALK_DROPS)
        learned = self.learned()
        for guest in left, right:
            assert learned.get(guest.mac) == guest.name, learned

    def check_moved(self, before, sender, receiver):
        """The payload that was sent one way since then is in the counters of both ports."""
        after = self.counters()
        for guest, direction in (sender, 'rx'), (receiver, 'tx'):
            new, old = after[guest.name][direction], before[guest.name][direction]
            assert new['bytes'] - old['bytes'] > MEBIBYTES << 20, (guest.name, direction)
            assert new['unicast'] > old['unicast'], (guest.name, direction)

    def check_all_arrived(self, before):
        """Each unicast frame that came from a guest since then went to a guest or was counted.

        The counters are read one after the other while guests are free to send: try again.
        """
        def total(direction, count):
            return (sum(count(row[direction]) for row in self.counters().values()) -
                    sum(count(row[direction]) for row in before.values()))

        limit = TALK_LOSS
        if any(guest.iommu or posts_long_chains(guest.device) for guest in self.guests):
            limit = SLOW_TALK_LOSS

        def arrived():
            sent = total('rx', lambda counters: counters['unicast'])
            received = total('tx', lambda counters: counters['unicast'])
            lost = total('tx', lambda counters: counters['drops']['no_buffer'])
            found[:] = sent, received, lost
            return sent == received + lost and lost < limit * sent

        found = []
        try:
            wait_until(arrived, PATIENCE_S, '')
        except GuestError as error:
            raise GuestError(f'(sent, received, lost) is {found}: {self.counters()}') from error


def check_reasons(drops, allowed):
    """drops: the keys of Switch.drops()."""
    for drop in drops:
        assert tuple(drop.split()[1:]) in allowed, drop
