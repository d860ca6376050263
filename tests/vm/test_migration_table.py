# SPDX-License-Identifier: BSD-3-Clause
"""A guest that moves there and back under a numbered stream, in rows that vary all else pairwise.

In each round of a row the guest moves there and back, and before that a migration ends as the row
says: before each move, or before the first one in the normal run. What came of each is in the log
`gaps.log` of the test.
"""

import os
from itertools import combinations, product

import pytest

import stream
from guest import qemu_says
from migration import Places
from network import ring_format

COMPLETED, KILLED, CANCELLED = 'completed', 'destination killed', 'cancelled'
FACTORS = {'ring': ('packed', 'split'), 'pairs': (1, 2), 'iommu': (False, True),
           'announce': ('on', 'off'), 'mode': ('precopy', 'postcopy'), 'in_order': ('off', 'on'),
           'fate': (COMPLETED, KILLED, CANCELLED)}
# The first two are rows of the normal run.
ROWS = [dict(zip(FACTORS, row)) for row in (
    ('split', 2, False, 'off', 'postcopy', 'on', CANCELLED),
    ('packed', 1, False, 'on', 'precopy', 'off', KILLED),
    ('split', 2, True, 'on', 'precopy', 'off', COMPLETED),
    ('packed', 1, True, 'off', 'precopy', 'on', KILLED),
    ('packed', 2, False, 'on', 'postcopy', 'on', COMPLETED),
    ('split', 1, False, 'off', 'postcopy', 'off', COMPLETED),
    ('packed', 1, True, 'on', 'precopy', 'off', CANCELLED),
    ('split', 2, False, 'off', 'postcopy', 'off', KILLED))]
# Two threads of QEMU then ask at once, and one reads the answer of the other: POSTCOPY_END and an
# invalidation of the IOTLB.
IMPOSSIBLE = {('iommu', True), ('mode', 'postcopy')}
LONG = bool(os.environ.get('RINGWAY_TEST_LONG'))
USUAL_ROWS, USUAL_ROUNDS, LONG_ROUNDS = 2, 1, 10
# Datagrams per second each way. A guest that maps and unmaps each buffer takes few under emulation.
RATE, VIOMMU_RATE = 500, 10
# How long frames may miss a guest that a busy machine keeps from its CPU after a move.
BUSY_S = 60
# Bytes per second: a migration at the first of them has hardly begun when it is ended.
SLOW, FAST = {'max-bandwidth': 1 << 20}, {'max-bandwidth': 1 << 30}
ANNOUNCED = 'VIRTIO_NET_F_GUEST_ANNOUNCE'


def name_of(row):
    return (f'{row["ring"]}-{row["pairs"]}-{"viommu-" if row["iommu"] else ""}'
            f'{"announces" if row["announce"] == "on" else "silent"}-{row["mode"]}-'
            f'{row["fate"].split()[-1]}')


def device_of(row):
    words = [f'packed={"on" if row["ring"] == "packed" else "off"}',
             f'guest_announce={row["announce"]}']
    if 'in_order=' in qemu_says('qemu-system-x86_64', '-device', 'virtio-net-pci,help'):
        words.append(f'in_order={row["in_order"]}')
    return ','.join(words)


class Mover:
    """The guest that moves, and what its stream says of it."""

    def __init__(self, network, row):
        self.network = network
        self.postcopy = row['mode'] == 'postcopy'
        self.rate = VIOMMU_RATE if row['iommu'] else RATE
        here, self.peer, there = network.start(
            {'device': device_of(row), 'queues': row['pairs'], 'iommu': row['iommu'],
             'postcopy': self.postcopy}, {'device': 'packed=on'}, {'twin_of': 0})
        if self.postcopy:
            network.switch.cli('port', 'set', there.name, 'postcopy=on')
        self.places = Places([here, there], network.images)
        here.ping(self.peer)
        self.memory = here.make_data(8)
        self.stream = stream.Stream(here, self.peer, self.rate)

    def found(self):
        """The port that the switch has the guest behind, and how it was found."""
        mac = self.places.here.mac
        return next((row['port'], row['how']) for row in self.network.switch.cli('fdb', 'list')
                    if row['mac'] == mac)

    def begin(self, **parameters):
        self.places.open()
        self.stream.take_gaps()
        return self.places.begin(self.postcopy, **parameters)

    def stay(self, fate):
        """A migration that comes to nothing. The guest talks on, and stays where it was found."""
        before, found = self.stream.wait_flow(), self.found()
        migration = self.begin(**SLOW)
        migration.wait_status('active')
        assert self.found() == found
        if fate == KILLED:
            migration.kill_destination()
        else:
            migration.cancel()
        counters = stream.since(before, self.stream.wait_flow())
        assert self.found() == found
        self.check(counters, 0)
        self.note(fate, counters)

    def move(self):
        before = self.stream.wait_flow()
        migration = self.begin(**FAST)
        destination = self.places.there
        if self.postcopy:
            migration.start_postcopy()
        self.places.finish(migration)
        self.stream.mover = destination
        counters = stream.since(before, self.stream.wait_flow())
        port, how = self.found()
        assert port == destination.name
        self.check(counters, migration.pause_s)
        self.note(f'to {port}, found by {how}, downtime {migration.result["downtime"]} ms, '
                  f'pause {1e3 * migration.pause_s:.0f} ms', counters)
        return how

    def check(self, counters, pause_s):
        for way, found in counters.items():
            assert found['wrong'] == found['duplicated'] == 0, (way, found)
            assert found['lost'] <= (pause_s + BUSY_S) * self.rate, (way, found, pause_s)

    def note(self, what, counters):
        gaps = self.stream.take_gaps()
        words = [f'{way}: gap {gaps[way]:.0f} ms, lost {counters[way]["lost"]}' for way in gaps]
        with open(os.path.join(self.network.folder, 'gaps.log'), 'a', encoding='utf-8') as log:
            log.write(f'{what}; {"; ".join(words)}\n')

    def become_silent(self):
        self.stream.stop()
        self.stream = stream.Stream(self.places.here, self.peer, self.rate, silent=True)


def test_the_rows_have_each_pair_of_settings():
    met = {pair for row in ROWS for pair in combinations(row.items(), 2)}
    wanted = {pair for (one, a), (other, b) in combinations(FACTORS.items(), 2)
              for pair in product(product([one], a), product([other], b))
              if set(pair) != IMPOSSIBLE}
    assert not wanted - met


@pytest.mark.parametrize('row', ROWS if LONG else ROWS[:USUAL_ROWS], ids=name_of)
def test_a_guest_moves_there_and_back(network, row, tmp_path):
    network.images = network.images[0], stream.add_to_initramfs(network.images[1], tmp_path)
    mover = Mover(network, row)
    for _ in range(LONG_ROUNDS if LONG else USUAL_ROUNDS):
        for way in 'there', 'back':
            if row['fate'] != COMPLETED and (LONG or way == 'there'):
                mover.stay(row['fate'])
            mover.move()
    if row['announce'] == 'off':
        mover.become_silent()
        # Nothing but its QEMU says where it is.
        assert mover.move() == 'rarp'
    here = mover.places.here
    assert (ANNOUNCED in network.show(here)['features']) == (row['announce'] == 'on')
    assert (f'{here.name}: SEND_RARP' in network.switch.log()) == (row['announce'] == 'off')
    assert here.check('sha256sum /tmp/data').split()[0] == mover.memory
    network.check_port(here, ring_format(here.device), pairs=row['pairs'])
    mover.stream.stop()
    network.exchange(here, mover.peer)
