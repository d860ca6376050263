# SPDX-License-Identifier: BSD-3-Clause
"""A bond of ringwayd (mode=4) whose other side is a bond of Open vSwitch: LACP of others.

Hosts behind the one switch send numbered frames to hosts behind the other.
"""

import errno
import os
import socket
import struct
import subprocess
import time

from guest import wait_until

# It takes the two 5 s on an idle machine.
AGREE_S = 120
IDLE_S = 600 if os.environ.get('RINGWAY_TEST_LONG') else 5
HOSTS = 8
# Rounds in a row without a loss that show that the bond goes on.
ROUNDS = 20
# For the frames of a round, which take milliseconds.
ROUND_S = 2
ETHERTYPE = 0x88b5
ALL = 3  # ETH_P_ALL
FORM = '!6s6sHI'
BOND = 'bond0'
MEMBERS = 'far0', 'far1'


def host(side, number):
    return bytes((0x0a, 0x5c, 0, 0, side, number))


def open_socket(interface):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    sock.bind((interface, ALL))
    sock.setblocking(False)
    return sock


def frames_of(sock):
    """What waits on a socket: (sent by this machine, fields of the frame)."""
    while True:
        try:
            data, address = sock.recvfrom(2048)
        except BlockingIOError:
            return
        except OSError as error:
            # Said once of an interface that went down.
            if error.errno != errno.ENETDOWN:
                raise
            continue
        if len(data) >= struct.calcsize(FORM) and data[12:14] == struct.pack('!H', ETHERTYPE):
            yield (address[2] == socket.PACKET_OUTGOING,
                   struct.unpack_from(FORM, data))


class Ends:
    """The hosts of both sides: HOSTS at either end, which a socket speaks for."""

    def __init__(self):
        self.sockets = [open_socket(name) for name in ('here', 'there')]
        self.members = {name: open_socket(name) for name in MEMBERS}
        self.number = 0
        self.lost = 0

    def close(self):
        for sock in [*self.sockets, *self.members.values()]:
            sock.close()

    def send(self):
        """One frame of each host to one at the other end; returns what is to arrive at each end.

        The pairs differ in what xmit_policy=l2 makes of them, the XOR of their addresses.
        """
        wanted = []
        for side, sock in enumerate(self.sockets):
            self.number += 1
            wanted.append({(host(side, i), self.number) for i in range(HOSTS)})
            for i in range(HOSTS):
                sock.send(struct.pack(FORM, host(1 - side, i // 2), host(side, i), ETHERTYPE,
                                      self.number).ljust(60, b'\0'))
        return wanted[::-1]

    def round(self):
        """Whether all frames of a round arrive."""
        wanted = self.send()
        end = time.monotonic() + ROUND_S
        while any(wanted) and time.monotonic() < end:
            for left, sock in zip(wanted, self.sockets):
                left -= {(source, number) for own, (_, source, _, number) in frames_of(sock)
                         if not own}
            time.sleep(0.001)
        self.lost += sum(len(left) for left in wanted)
        return not any(wanted)

    def goes_on(self):
        """Returns when ROUNDS rounds in a row have lost nothing."""
        end, good = time.monotonic() + AGREE_S, 0
        while good < ROUNDS:
            good = good + 1 if self.round() else 0
            assert time.monotonic() < end, f'frames are lost still, {self.lost} by now'

    def used(self):
        """{member: (frames of ringwayd, frames of Open vSwitch)} since the last call."""
        counts = {}
        for name, sock in self.members.items():
            own = [sent for sent, _ in frames_of(sock)]
            counts[name] = (own.count(False), own.count(True))
        return counts


class Bond:
    """Both switches, and the wires between and behind them."""

    def __init__(self, ovs, ringwayd):
        self.ovs = ovs
        for left, right in ('near0', 'far0'), ('near1', 'far1'), ('here', 'rw'), ('there', 'ov'):
            self.ip('add', left, 'type', 'veth', 'peer', 'name', right)
            self.ip('set', left, 'up')
            self.ip('set', right, 'up')
        ovs.vsctl('add-bond', 'br0', BOND, *MEMBERS, '--', 'set', 'port', BOND, 'lacp=active',
                  'bond_mode=balance-slb', 'other_config:lacp-time=slow')
        ovs.vsctl('add-port', 'br0', 'ov')
        self.switch = ringwayd(options=[
            '--port', 'u,device=net_bonding,mode=4,xmit_policy=l2,'
            'members=net_af_packet/iface=near0+net_af_packet/iface=near1',
            '--port', 'rw,device=net_af_packet,iface=rw'])
        self.wait_members(*MEMBERS)

    def ip(self, *words):
        subprocess.run(['ip', 'link', *words], check=True)

    def wait_members(self, *names):
        """Returns when both sides use these members and no others."""
        wait_until(lambda: self.state() == (True, set(names)), AGREE_S,
                   f'the sides do not agree on {names}: {self.ovs.ask("lacp/show")}')

    def state(self):
        """Whether ringwayd's link is up, and the members that Open vSwitch uses."""
        return (self.switch.port('u')['link'],
                {name for name, used in self.ovs.members(BOND).items() if used})


def test_open_vswitch_agrees_and_each_member_may_be_cut(ovs, ringwayd):
    bond = Bond(ovs, ringwayd)
    ends = Ends()
    try:
        ends.goes_on()
        used = ends.used()
        assert all(sent for sent, _ in used.values()), f'ringwayd uses one member: {used}'
        assert 'status: active negotiated' in ovs.ask('lacp/show', BOND)
        for cut, left in MEMBERS, MEMBERS[::-1]:
            bond.ip('set', cut, 'down')
            ends.goes_on()
            bond.wait_members(left)
            ends.used()
            ends.goes_on()
            used = ends.used()
            assert used[left][0] and used[left][1] and used[cut] == (0, 0), used
            bond.ip('set', cut, 'up')
            bond.wait_members(*MEMBERS)
            ends.goes_on()
        print(f'{ends.lost} of {2 * HOSTS * ends.number} frames were lost')
        for name in MEMBERS:
            bond.ip('set', name, 'down')
        wait_until(lambda: not bond.switch.port('u')['link'], AGREE_S, 'the bond has a link')
    finally:
        ends.close()


def test_idle_minutes_change_nothing(ovs, ringwayd):
    """Each side renews what it says every 30 s; after 90 s without the other would be given up."""
    bond = Bond(ovs, ringwayd)
    ends = Ends()
    try:
        ends.goes_on()
        end = time.monotonic() + IDLE_S
        while time.monotonic() < end:
            assert bond.state() == (True, set(MEMBERS))
            time.sleep(0.5)
        ends.used()
        before = ends.lost
        assert ends.round() and ends.lost == before, 'the first frames are lost'
        ends.goes_on()
        assert all(sent for sent, _ in ends.used().values())
        assert 'link is down' not in bond.switch.log()
    finally:
        ends.close()
