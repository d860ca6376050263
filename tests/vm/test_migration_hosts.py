# SPDX-License-Identifier: BSD-3-Clause
"""A guest that migrates from one switch to another, as between two hosts.

Each switch is in a network namespace of its own, and an uplink joins the two. All runs of these
tests take minutes, so they are part of --long.
"""

import os
import subprocess

import pytest

from guest import Guest, wait_until
from migration import Migration
from network import MEBIBYTES, PATIENCE_S, ring_format
from talk import PING_S, SPARE_S, Ping, start_transfers

LEFT, RIGHT = 'left', 'right'
UPLINK = 'up'
ANNOUNCED = 'VIRTIO_NET_F_GUEST_ANNOUNCE'
PRECOPY, POSTCOPY = False, True
# Of a few MiB, between guests that have a busy CPU to share.
TRANSFER_S = 300


class Hosts:
    """Two network namespaces with a switch each, and guests on them."""

    def __init__(self, folder, ringwayd, images):
        self.folder = folder
        self.ringwayd = ringwayd
        self.images = images
        self.namespaces = {}
        self.switches = {}
        self.guests = []

    def connect(self):
        """Make the namespaces. `eth1` of one is the other end of `eth1` of the other."""
        for side in LEFT, RIGHT:
            name = f'rw{os.getpid()}{side}'
            subprocess.run(['ip', 'netns', 'add', name], check=True)
            self.namespaces[side] = name
        left, right = self.namespaces[LEFT], self.namespaces[RIGHT]
        for words in (f'-n {left} link add eth1 type veth peer name eth1 netns {right}',
                      f'-n {left} link set eth1 up', f'-n {right} link set eth1 up'):
            subprocess.run(['ip', *words.split()], check=True)

    def start(self, device, postcopy):
        """The guests `moving` and `near` on the left, `far` and, empty, `moved` on the right."""
        ports = {LEFT: ('moving', 'near'), RIGHT: ('far', 'moved')}
        uplink = ['--port', f'{UPLINK},device=net_af_packet,iface=eth1', '--log-level=debug']
        for side, names in ports.items():
            self.switches[side] = self.ringwayd(
                *names, name=side, options=uplink,
                prefix=['nsenter', f'--net=/run/netns/{self.namespaces[side]}'])
        if postcopy:
            self.switches[RIGHT].cli('port', 'set', 'moved', 'postcopy=on')
        addresses = {'moving': 1, 'near': 2, 'far': 3, 'moved': 1}
        for side, names in ports.items():
            for name in names:
                self.guests.append(Guest(
                    name, self.folder, self.switches[side].sockets[name],
                    f'10.0.0.{addresses[name]}/24', device=device if addresses[name] == 1 else '',
                    hugetlb=False, incoming=name == 'moved'))
        for guest in self.guests:
            guest.start(*self.images)
        for guest in self.guests:
            if guest.incoming:
                guest.wait_monitor()
            else:
                guest.wait_boot()
        return self.guests

    def learned(self, side, guest):
        """The port behind which a switch has learned the guest's address, or None."""
        return {row['mac']: row['port']
                for row in self.switches[side].cli('fdb', 'list')}.get(guest.mac)

    def wait_learned(self, guest, left, right):
        """Returns when both switches have learned the guest behind these ports."""
        wanted = {LEFT: left, RIGHT: right}
        wait_until(lambda: {side: self.learned(side, guest) for side in wanted} == wanted,
                   PATIENCE_S, f'{guest.mac} is not learned behind {wanted}')

    def drops(self):
        """{"side port direction reason": frames}, of what is no matter of boot or of buffers.

        hairpin: when the guest has left and nobody has said where it is, the left switch floods
        what is for it, and the right one still has it behind the uplink.
        """
        harmless = 'no_destination', 'no_buffer', 'link_down', 'queue_disabled', 'hairpin'
        return {f'{side} {drop}': frames for side, switch in self.switches.items()
                for drop, frames in switch.drops().items() if drop.split()[-1] not in harmless}

    def kill(self):
        for guest in self.guests:
            guest.kill()

    def disconnect(self):
        for name in self.namespaces.values():
            subprocess.run(['ip', 'netns', 'del', name], check=True)


@pytest.fixture(name='namespaces')
def fixture_namespaces():
    """They go after the switches have ended."""
    made = []
    yield made
    for hosts in made:
        hosts.disconnect()


@pytest.fixture(name='network')
def fixture_network(folder, namespaces, ringwayd, images):
    hosts = Hosts(folder, ringwayd, images)
    namespaces.append(hosts)
    hosts.connect()
    yield hosts
    hosts.kill()


def migrate(moving, moved, postcopy):
    """Precopy, or postcopy after a first pass has begun."""
    if not postcopy:
        return Migration(moving, moved)
    migration = Migration(moving, moved, postcopy=True)
    migration.wait_status('active')
    moving.qmp('migrate-start-postcopy')
    return migration


@pytest.mark.parametrize('device, postcopy', {
    'split-announces': ('packed=off,guest_announce=on', PRECOPY),
    'packed-silent': ('packed=on,guest_announce=off', PRECOPY),
    'packed-postcopy': ('packed=on', POSTCOPY),
}.values(), ids=['split-announces', 'packed-silent', 'packed-postcopy'])
def test_a_guest_moves_to_another_switch_while_it_talks(network, device, postcopy):
    moving, near, far, moved = network.start(device, postcopy)
    stay = near, far
    for guest in stay:
        moving.ping(guest)
    network.wait_learned(moving, 'moving', UPLINK)
    to_it = [Ping(guest, moving) for guest in stay]
    from_it = [Ping(moving, guest) for guest in stay]
    sums = start_transfers((near, moving), (moving, far))

    migration = migrate(moving, moved, postcopy)
    migration.finish()
    # Nobody has asked for it: what says where the guest is comes by itself.
    network.wait_learned(moved, UPLINK, 'moved')
    assert [guest.received(5001, TRANSFER_S) for guest in (moved, far)] == sums

    for pings in from_it:
        pings.sender = moved
    for pings in to_it + from_it:
        sent, answered, gap = pings.count()
        assert answered and gap <= (migration.pause_s + SPARE_S) / PING_S, (sent, answered, gap)
    check_port(network, moved, device)
    for guest in stay:
        moved.send(guest, MEBIBYTES, timeout=TRANSFER_S)
        guest.send(moved, MEBIBYTES, timeout=TRANSFER_S)
    network.wait_learned(near, 'near', UPLINK)
    network.wait_learned(far, UPLINK, 'far')
    assert not network.drops(), network.drops()


def check_port(network, moved, device):
    """How the guest's rings run at its new place, and who said that it is there."""
    right = network.switches[RIGHT]
    row = right.port('moved')
    assert row['link'] and row['broken_rings'] == 0 and row['ring_format'] == ring_format(device)
    silent = 'guest_announce=off' in device
    assert (ANNOUNCED in right.cli('port', 'show', 'moved')['features']) == (not silent)
    assert ('moved: SEND_RARP' in right.log()) == silent
    assert network.switches[LEFT].port('moving')['connected'] is False
