# SPDX-License-Identifier: BSD-3-Clause
"""Two Linux guests that reach each other only through DPDK's testpmd, which takes no offload.

Each is in a VLAN with one port of testpmd. What they leave to their devices is converted on the way
to testpmd, and testpmd sends frames with complete checksums.
"""

import os
import sys

import pytest

from network import BOOT_DROPS, TALK_DROPS, check_reasons

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'client'))
from testpmd import Pmd  # noqa: E402

MEBIBYTES = 2
# Its way of forwarding, and the rings of its two ports. "csum" computes every checksum again.
KINDS = {'io': 'packed_vq=0', 'csum': 'packed_vq=1'}


@pytest.fixture
def testpmd(folder):
    """Starts testpmd, at most one at a time."""
    running = []

    def end():
        while running:
            running.pop().close()

    def start(*words):
        end()
        running.append(Pmd(folder, *words))
        return running[0]

    yield start
    end()


def forward(pmd, guests, mode):
    """Frames go from one port to the other; csum writes these addresses into them."""
    for port, guest in enumerate(guests):
        pmd.command(f'set eth-peer {port} {guest.mac}')
    pmd.command(f'set fwd {mode}')
    pmd.command('start')


def check_checksums(guest):
    """Its kernel found no wrong one."""
    lines = [line.split() for line in guest.check('cat /proc/net/snmp').splitlines()]
    found = {names[0]: values[names.index('InCsumErrors')]
             for names, values in zip(lines[::2], lines[1::2]) if 'InCsumErrors' in names}
    assert {'Icmp:', 'Tcp:', 'Udp:'} <= found.keys() and set(found.values()) == {'0'}, found


def test_guests_talk_through_testpmd(network, testpmd):
    left, right = guests = network.start({'device': 'packed=off'}, {'device': 'packed=on'})
    switch = network.switch
    ports = ('p0', 'p1')
    for vlan, (guest, port) in enumerate(zip(guests, ports), start=10):
        switch.sockets[port] = switch.path(f'{port}.sock')
        switch.cli('port', 'add', port, f'socket={switch.sockets[port]}', f'vlan={vlan}')
        switch.cli('port', 'set', guest.name, f'vlan={vlan}')
    for mode, device in KINDS.items():
        pmd = testpmd([switch.sockets[port] for port in ports], device, 1, 64)
        forward(pmd, guests, mode)
        before = {port: switch.stats(port)['tx'] for port in ports}
        for guest in guests:
            guest.check('ip neigh flush dev eth0')
        left.ping(right)
        left.send(right, MEBIBYTES)
        right.send(left, MEBIBYTES)
        for port in ports:
            after = switch.stats(port)['tx']
            for counter in 'converted_csum', 'segmented':
                assert after[counter] > before[port][counter], (mode, port, counter)
        for guest in guests:
            check_checksums(guest)
    check_reasons(switch.drops(), BOOT_DROPS | TALK_DROPS)
