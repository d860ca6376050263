# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests that turn offloads on and off with ethtool, and a switch that does so per port.

What a guest turns off reaches no back-end: its own frames then have complete checksums or are
short, but it goes on getting what its driver negotiated. The back-end is told by offload=.
"""

import os
import re
from itertools import product

import pytest

from guest import GuestError
from initramfs import extend_initramfs, static_program
from network import OFFLOADS, TALK_DROPS, check_reasons
from pairwise import pairwise
from tools import with_libraries

DATAGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'datagrams.c')
# Of a guest whose QEMU offers it none. gso is a name of old drivers for all of them.
NO_OFFLOADS = ','.join(f'{name}=off' for name in (*OFFLOADS, 'guest_ufo', 'host_ufo', 'gso'))
# Names of ethtool -K, and in ethtool -k. Linux 6.1 cannot turn rx checksums of virtio-net off, and
# its virtio-net has no USO: the kernel cuts what a program sends with UDP_SEGMENT, if gso is on.
SENDING = {'tx': 'tx-checksumming', 'tso': 'tcp-segmentation-offload',
           'gso': 'generic-segmentation-offload'}
RECEIVING = {'gro': 'generic-receive-offload', 'rx-gro-hw': 'rx-gro-hw'}
SWITCHED = {**SENDING, **RECEIVING}
# offload= of a port, and which of them the switch then gives to its guest.
TAKEN = {'all': {'csum', 'tso'}, '-tso': {'csum'}, 'none': set()}
ON_OFF = (True, False)
# Datagrams that the sender hands to its kernel in one call.
TOGETHER = (20, 1)
DATAGRAM = 1400
TCP_KIB, UDP_KIB = 512, 96
TCP_PORT, UDP_PORT = 5001, 5002
MOVE_S = 600

LISTEN = ('rm -f /tmp/*.sum; '
          f'(nc -l -p {TCP_PORT} <>/tmp/never | sha256sum >/tmp/tcp.tmp; '
          'mv /tmp/tcp.tmp /tmp/tcp.sum) >/dev/null 2>&1 & '
          f'(datagrams receive {UDP_PORT} | sha256sum >/tmp/udp.tmp; '
          'mv /tmp/udp.tmp /tmp/udp.sum) >/dev/null 2>&1 & '
          f'until netstat -ltn | grep -q ":{TCP_PORT} " && '
          f'netstat -lun | grep -q ":{UDP_PORT} "; do usleep 10000; done')
RECEIVED = ('until [ -f /tmp/tcp.sum ] && [ -f /tmp/udp.sum ]; do usleep 10000; done; '
            'cat /tmp/tcp.sum /tmp/udp.sum')


def run_all(commands):
    """Runs commands in guests at the same time, {guest: command}; returns {guest: output}."""
    asked = {guest: guest.submit(command) for guest, command in commands.items()}
    outputs = {}
    for guest, request in asked.items():
        answer = guest.answer(request, MOVE_S)
        if answer is None or answer[0]:
            raise GuestError(f'{guest.name}: {commands[guest]}: {answer}')
        outputs[guest] = answer[1]
    return outputs


class Side:
    """A guest, what it has turned on, and what the switch gives it.

    switchable: its QEMU offers it offloads.
    """

    def __init__(self, network, guest, switchable=True):
        self.switch = network.switch
        self.guest = guest
        self.switchable = switchable
        self.settings = {}
        self.offload = None
        self.ip = {4: guest.ip, 6: f'fd00::{guest.ip.rpartition(".")[2]}'}
        guest.check('mkfifo /tmp/never; echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; '
                    f'ip addr add {self.ip[6]}/64 dev eth0')
        for name, kib in ('tcp', TCP_KIB), ('udp', UDP_KIB):
            guest.check(f'dd if=/dev/urandom of=/tmp/{name} bs=1k count={kib}', MOVE_S)
        self.sums = sums_of(guest.check('sha256sum /tmp/tcp /tmp/udp', MOVE_S))

    @property
    def takes(self):
        return TAKEN[self.offload] if self.switchable else set()

    @property
    def leaves(self):
        """What it leaves to its device."""
        if not self.switchable or not self.settings['tx']:
            return set()
        return {'csum', 'tso'} if self.settings['tso'] else {'csum'}

    def setting(self):
        """A command that makes its settings, and shows them."""
        words = ' '.join(f'{name} {"on" if on else "off"}' for name, on in self.settings.items())
        # ethtool fails when there was nothing to change.
        return f'ethtool -K eth0 {words} >/tmp/ethtool 2>&1; ethtool -k eth0; {LISTEN}'

    def check_settings(self, report):
        for name, on in self.settings.items():
            if self.switchable or name == 'gro':
                on = on and (name != 'tso' or self.settings['tx'])
                assert f'\n{SWITCHED[name]}: {"on" if on else "off"}' in report, (name, report)

    def give(self, offload):
        if self.switchable and offload != self.offload:
            self.switch.cli('port', 'set', self.guest.name, f'offload={offload}')
            self.offload = offload

    def sending(self, other, version, together):
        # Without tx checksums Linux 6.1 refuses UDP_SEGMENT.
        together = together if self.leaves else 1
        return (f'nc {other.ip[version]} {TCP_PORT} </tmp/tcp >/dev/null && '
                f'datagrams send {other.ip[version]} {UDP_PORT} {DATAGRAM} {together} </tmp/udp')

    def counters(self):
        taken = self.switch.stats(self.guest.name)['tx']
        return [taken[name] for name in ('converted_csum', 'segmented', 'segments')]

    def check_checksums(self):
        """Its kernel found no wrong one."""
        text = self.guest.check('cat /proc/net/snmp /proc/net/netstat /proc/net/snmp6')
        found = dict(re.findall(r'^(\w+CsumErrors)\s+(\d+)$', text, re.M))
        lines = [line.split() for line in text.splitlines()]
        for names, values in zip(lines, lines[1:]):
            if names[0] == values[0] and names[0].endswith(':'):
                found.update({names[0] + name: value for name, value in zip(names, values)
                              if name.endswith('CsumErrors')})
        assert {'Tcp:InCsumErrors', 'Udp:InCsumErrors', 'Udp6InCsumErrors'} <= found.keys(), text
        assert set(found.values()) == {'0'}, found


def sums_of(output):
    """The hashes in the output of sha256sum."""
    return [line.split()[0] for line in output.splitlines()]


def move(left, right, version, together):
    """TCP and UDP both ways at the same time; what arrives has the hash of what was sent."""
    pair = {left: right, right: left}
    reports = run_all({side.guest: side.setting() for side in pair})
    before = {side: side.counters() for side in pair}
    for side in pair:
        side.check_settings(reports[side.guest])
    run_all({side.guest: side.sending(other, version, together) for side, other in pair.items()})
    received = run_all({side.guest: RECEIVED for side in pair})
    for sender, receiver in pair.items():
        assert sums_of(received[receiver.guest]) == sender.sums, receiver.guest.name
        check_converted(sender.leaves - receiver.takes,
                        [new - old for new, old in zip(receiver.counters(), before[receiver])])


def check_converted(missing, moved):
    """missing: what the sender left to its device and the receiver does not take."""
    converted_csum, segmented, segments = moved
    assert (segmented > 0) == ('tso' in missing), moved
    assert (segments > segmented) == ('tso' in missing), moved
    assert (converted_csum > 0) == ('csum' in missing), moved


def pairwise_rows():
    factors = {(side, name): ON_OFF for side in ('left', 'right') for name in SWITCHED}
    factors.update({(side, 'offload'): tuple(TAKEN) for side in ('left', 'right')})
    return pairwise({**factors, 'together': TOGETHER, 'version': (4, 6)})


def all_rows():
    """Each combination of what a frame's sender and its receiver have set.

    Those of the frames to the right; the frames to the left have another one in each row.
    """
    sent = list(product(ON_OFF, repeat=len(SENDING)))
    taken = list(product(ON_OFF, ON_OFF, TAKEN))
    for nth, (mine, theirs) in enumerate(product(sent, taken)):
        back, here = sent[nth % len(sent)], taken[nth // len(sent) % len(taken)]
        row = {('left', 'offload'): here[-1], ('right', 'offload'): theirs[-1]}
        row.update({('left', name): on for name, on in zip(SWITCHED, (*mine, *here))})
        row.update({('right', name): on for name, on in zip(SWITCHED, (*back, *theirs))})
        for version, together in product((4, 6), TOGETHER):
            yield {**row, 'together': together, 'version': version}


@pytest.fixture
def sides(network, tmp_path):
    """Two guests with default offloads, of both ring formats, and one without any."""
    kernel, initramfs = network.images
    extended = str(tmp_path / 'initramfs')
    extend_initramfs(initramfs, extended, {
        **with_libraries('ethtool'), 'bin/datagrams': static_program(DATAGRAMS, tmp_path)})
    network.images = kernel, extended
    left, right, plain = network.start({'device': 'packed=off'}, {'device': 'packed=on'},
                                       {'device': f'packed=on,{NO_OFFLOADS}'})
    network.check_port(left)
    network.check_port(right, 'packed')
    network.check_port(plain, 'packed', OFFLOADS)
    return Side(network, left), Side(network, right), Side(network, plain, switchable=False)


def test_offloads_are_switched_while_guests_talk(network, sides):
    left, right, plain = sides
    drops = network.switch.drops()
    for row in all_rows() if os.environ.get('RINGWAY_TEST_LONG') else pairwise_rows():
        for side, name in (left, 'left'), (right, 'right'):
            side.settings = {setting: row[name, setting] for setting in SWITCHED}
            side.give(row[name, 'offload'])
        move(left, right, row['version'], row['together'])
    left.give('all')
    for row in pairwise({**dict.fromkeys(SWITCHED, ON_OFF), 'together': TOGETHER,
                         'version': (4, 6)}):
        left.settings = {setting: row[setting] for setting in SWITCHED}
        plain.settings = {'gro': row['gro']}
        move(left, plain, row['version'], row['together'])
    for side in sides:
        side.check_checksums()
    check_reasons({drop for drop, frames in network.switch.drops().items()
                   if frames != drops.get(drop)}, TALK_DROPS)
