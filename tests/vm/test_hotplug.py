# SPDX-License-Identifier: BSD-3-Clause
"""Memory that is plugged into a running guest and taken away again."""

import math
import re

from guest import wait_until
from network import PATIENCE_S, ring_format, rows

DIMM_MIB = 128
PING_S = 0.05
BLOCKS = '/sys/devices/system/memory'


def memory_blocks(guest):
    return set(guest.check(f'cd {BLOCKS}; ls -d memory[0-9]*').split())


def plug(guest, name, kind):
    """A DIMM that the guest uses; kind is "kernel" or "movable", as in Linux' online_KIND.

    Linux gives the memory of a DIMM at 4 GiB away before that of a guest below it, so "kernel" is
    where the buffers of frames are from now on. "Movable" memory can be taken away again.
    """
    before = memory_blocks(guest)
    guest.qmp('object-add', **{'qom-type': 'memory-backend-memfd', 'id': f'{name}-memory',
                               'size': DIMM_MIB << 20, 'share': True})
    guest.qmp('device_add', driver='pc-dimm', id=name, memdev=f'{name}-memory')
    wait_until(lambda: memory_blocks(guest) != before, PATIENCE_S, f'{guest.name} sees no {name}')
    for block in memory_blocks(guest) - before:
        guest.check(f'echo online_{kind} >{BLOCKS}/{block}/state')


def unplug(guest, name):
    guest.qmp('device_del', id=name)
    guest.wait_event('DEVICE_DELETED', device=name)
    guest.qmp('object-del', id=f'{name}-memory')


def pages_in_use(guest, zone):
    """Pages of a zone of the guest's memory that are not free."""
    numbers = guest.check(f"awk '/, zone/ {{ zone = $4 }} zone == \"{zone}\" && "
                          "($1 == \"pages\" || $1 == \"managed\") { print $NF }' /proc/zoneinfo")
    free, managed = (int(number) for number in numbers.split())
    return managed - free


def check_pings(report):
    """All but those that were under way at the end, no longer than any before, were answered."""
    sent, answered = (int(n) for n in re.search(r'(\d+) packets transmitted, (\d+)',
        report).groups())
    longest_s = float(re.search(r'= [\d.]+/[\d.]+/([\d.]+) ms', report)[1]) / 1000
    assert sent - answered <= math.ceil(longest_s / PING_S) + 1, report


@rows('device', {'packed': 'packed=on'}, {'split': 'packed=off'})
def test_memory_comes_and_goes_while_a_guest_talks(network, device):
    grown, peer = network.start({'device': device, 'dimm_slots': 2}, {'device': 'packed=off'})
    assert 'CONFIGURE_MEM_SLOTS' in network.show(grown)['protocol_features']
    regions = len(network.show(grown)['memory'])
    peer.check(f'ping -i {PING_S} {grown.ip} >/tmp/pings 2>&1 &')
    plug(grown, 'dimm0', 'kernel')
    network.exchange(grown, peer, quiet=False)
    plug(grown, 'dimm1', 'movable')
    assert len(network.show(grown)['memory']) == regions + 2
    network.exchange(grown, peer, quiet=False)
    unplug(grown, 'dimm1')
    assert len(network.show(grown)['memory']) == regions + 1
    network.exchange(grown, peer, quiet=False)
    # The plugged memory that is left was used.
    assert pages_in_use(grown, 'Normal') > 0
    peer.check('killall -INT ping')
    peer.check('until grep -q round-trip /tmp/pings; do usleep 10000; done')
    check_pings(peer.check('tail -n 2 /tmp/pings'))
    network.check_port(grown, ring_format(device))
    log = network.switch.log()
    assert log.count(f'{grown.name}: ADD_MEM_REG') > log.count(f'{grown.name}: REM_MEM_REG') > 0
