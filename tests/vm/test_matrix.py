# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of Linux guests that differ in rings, features and transport.

Each test boots its own guests on its own switch. QEMU 7.2 cannot offer VIRTIO_F_IN_ORDER, so
that feature has no row here.
"""

import os

import pytest

from guest import free_huge_pages
from network import OFFLOADS, ring_format

SPLIT = 'packed=off'
PACKED = 'packed=on'
LEGACY = 'disable-modern=on,disable-legacy=off'
# ufo is not offered by Ringway; gso is a name of old drivers for all of them.
NO_OFFLOADS = ','.join(f'{name}=off' for name in (*OFFLOADS, 'guest_ufo', 'host_ufo', 'gso'))

# Where a feature is turned off, one guest has split and the other packed rings: each path of the
# switch meets a driver without it. Together the rows have every pair of settings of two features.
ROWS = {
    # name: (left device, right device, what both have not negotiated)
    'split_packed': (SPLIT, PACKED, ()),
    'mrg_rxbuf_off_indirect_desc_off': (
        f'{SPLIT},mrg_rxbuf=off,indirect_desc=off', f'{PACKED},mrg_rxbuf=off,indirect_desc=off',
        ('mrg_rxbuf', 'indirect_desc')),
    'offloads_off_event_idx_off_indirect_desc_off': (
        f'{SPLIT},{NO_OFFLOADS},event_idx=off,indirect_desc=off',
        f'{PACKED},{NO_OFFLOADS},event_idx=off,indirect_desc=off',
        (*OFFLOADS, 'event_idx', 'indirect_desc')),
    # Receive buffers of one frame.
    'offloads_off_mrg_rxbuf_off': (f'{SPLIT},{NO_OFFLOADS},mrg_rxbuf=off',
                                   f'{PACKED},{NO_OFFLOADS},mrg_rxbuf=off',
                                   (*OFFLOADS, 'mrg_rxbuf')),
    # The only drivers with a virtio-net header of 10 bytes.
    'legacy_mrg_rxbuf_off_event_idx_off': (
        f'{LEGACY},mrg_rxbuf=off,event_idx=off', f'{LEGACY},mrg_rxbuf=off,event_idx=off',
        ('version_1', 'mrg_rxbuf', 'event_idx')),
    'legacy_offloads_off_indirect_desc_off': (
        f'{LEGACY},{NO_OFFLOADS},indirect_desc=off', f'{LEGACY},{NO_OFFLOADS},indirect_desc=off',
        ('version_1', *OFFLOADS, 'indirect_desc')),
}
# Each feature alone: ./scripts/test --long.
LONG_ROWS = {
    'split_split': (SPLIT, SPLIT, ()),
    'packed_packed': (PACKED, PACKED, ()),
    # Linux then posts chains of 19 descriptors that take 64 KiB each.
    'mrg_rxbuf_off': (f'{SPLIT},mrg_rxbuf=off', f'{PACKED},mrg_rxbuf=off', ('mrg_rxbuf',)),
    'indirect_desc_off': (f'{SPLIT},indirect_desc=off', f'{PACKED},indirect_desc=off',
                          ('indirect_desc',)),
    'event_idx_off': (f'{SPLIT},event_idx=off', f'{PACKED},event_idx=off', ('event_idx',)),
    'offloads_off': (f'{SPLIT},{NO_OFFLOADS}', f'{PACKED},{NO_OFFLOADS}', OFFLOADS),
    'legacy': (LEGACY, LEGACY, ('version_1',)),
    'legacy_mrg_rxbuf_off': (f'{LEGACY},mrg_rxbuf=off', f'{LEGACY},mrg_rxbuf=off',
                             ('version_1', 'mrg_rxbuf')),
}
if os.environ.get('RINGWAY_TEST_LONG'):
    ROWS.update(LONG_ROWS)
LONGEST_WITHOUT_OFFLOADS = 1514


@pytest.mark.parametrize('row', ROWS)
def test_two_guests_talk(network, row):
    left_device, right_device, without = ROWS[row]
    left, right = network.start({'device': left_device}, {'device': right_device})
    network.check_port(left, ring_format(left_device), without)
    network.check_port(right, ring_format(right_device), without)
    network.exchange(left, right)
    assert network.learned() == {left.mac: 'g0', right.mac: 'g1'}
    average = average_length(network.switch.stats('g0')['rx'])
    if 'host_tso4' in without:
        assert average <= LONGEST_WITHOUT_OFFLOADS
    else:
        assert average > LONGEST_WITHOUT_OFFLOADS, 'no frame was a large segment'


def average_length(counters):
    return counters['bytes'] / counters['frames']


def test_guests_with_memory_in_huge_pages_talk(network):
    # Two guests of 256 MiB and what the switch takes for itself.
    if free_huge_pages() < 2 * 128 + 64:
        pytest.skip('needs 320 free huge pages')
    left, right = network.start({'device': SPLIT, 'hugetlb': True},
                                {'device': PACKED, 'hugetlb': True})
    assert pages_of_guest_memory(network.switch.process.pid) == {2048}
    network.check_port(left)
    network.check_port(right, 'packed')
    network.exchange(left, right)


def pages_of_guest_memory(pid):
    """The page sizes in KiB under a process' mappings of QEMU's memfd."""
    sizes, inside = set(), False
    with open(f'/proc/{pid}/smaps', encoding='utf-8') as smaps:
        for line in smaps:
            if '-' in line.split()[0]:
                inside = 'memfd:memory-backend' in line
            elif inside and line.startswith('KernelPageSize:'):
                sizes.add(int(line.split()[1]))
    return sizes


# Normally test_restart.py does that too, with one guest.
@pytest.mark.long
def test_qemu_is_the_socket_server(network):
    left, right = network.start({'device': SPLIT, 'server': True},
                                {'device': PACKED, 'server': True})
    network.check_port(left, 'split')
    network.check_port(right, 'packed')
    network.exchange(left, right)
