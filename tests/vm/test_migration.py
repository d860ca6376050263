# SPDX-License-Identifier: BSD-3-Clause
"""Guests that migrate from one port of the switch to another while they are talked to."""

import contextlib
import os
import signal

from guest import wait_until
from migration import Migration
from network import PATIENCE_S, ring_format, rows
from talk import PING_S, start_transfers

BROADCAST = '10.0.0.255'
SPLIT = 'packed=off'
PACKED = 'packed=on'
OTHER = {SPLIT: PACKED, PACKED: SPLIT}

# What fits in the buffer of a TCP socket that nobody reads.
UNREAD_MEBIBYTES = 1
UNREAD_PORT = 5002
PINGS = 20
# QEMU's parameters: bytes per second; milliseconds, in which it must be able to send the rest.
FIRST_PASS = {'max-bandwidth': 64 << 20, 'downtime-limit': 1}
SLOW = {'max-bandwidth': 4 << 20}
FAST = {'max-bandwidth': 1 << 30, 'downtime-limit': 2000}


def start_endless_migration(source, destination):
    """All memory was sent once; until end_migration() the source changes it faster than it is sent.

    Faster on a busy machine too, where the guest gets little of a CPU.
    """
    source.check('dd if=/dev/urandom of=/tmp/random bs=1M count=16')
    source.check('(while [ ! -e /tmp/enough ]; do '
                 'dd if=/tmp/random of=/tmp/busy bs=1M conv=notrunc; usleep 20000; done) '
                 '>/dev/null 2>&1 &')
    migration = Migration(source, destination, **FIRST_PASS)
    migration.wait_first_pass()
    migration.tune(**SLOW)
    return migration


def end_migration(migration):
    migration.source.check('touch /tmp/enough')
    migration.tune(**FAST)
    migration.finish()


def listen_without_reading(guest):
    """Data for UNREAD_PORT stays where the device put it until start_reading().

    That is in the pages of the receive buffers: no CPU of the guest writes to those.
    """
    guest.check('echo 4096 8388608 8388608 >/proc/sys/net/ipv4/tcp_rmem')
    guest.check('[ -p /tmp/never ] || mkfifo /tmp/never')
    guest.check(f'(nc -l -p {UNREAD_PORT} <>/tmp/never | '
                '(until [ -e /tmp/read ]; do usleep 10000; done; sha256sum >/tmp/unread.tmp); '
                f'mv /tmp/unread.tmp /tmp/{UNREAD_PORT}.sum) >/dev/null 2>&1 &')
    guest.check(f'until netstat -ltn | grep -q ":{UNREAD_PORT} "; do usleep 10000; done')


def unread_bytes(guest):
    for line in guest.check('netstat -tn').splitlines():
        _, received, _, local, *_ = line.split()
        if local.endswith(f':{UNREAD_PORT}'):
            return int(received)
    return 0


def send_unread(sender, receiver):
    """Returns the SHA-256 of what it sends when all of it waits in the receiver's socket."""
    sent = sender.make_data(UNREAD_MEBIBYTES)
    # Not replaced by what is sent next: nc may still have to read the end of it.
    sender.check('mv /tmp/data /tmp/unread')
    sender.check(f'nc {receiver.ip} {UNREAD_PORT} </tmp/unread >/dev/null 2>&1 &')
    # nc has read the first of it, into a pipe that nobody reads.
    wanted = (UNREAD_MEBIBYTES << 20) - (128 << 10)
    wait_until(lambda: unread_bytes(receiver) >= wanted, PATIENCE_S,
               f'{receiver.name}: fewer than {wanted} bytes wait for a reader')
    return sent


def start_reading(guest):
    guest.check('touch /tmp/read')


def carrier_changes(guest):
    return guest.check('cat /sys/class/net/eth0/carrier_changes')


@contextlib.contextmanager
def stopped(guest):
    """The guest's QEMU does nothing in the meantime."""
    os.kill(guest.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(guest.pid, signal.SIGCONT)


def check_round_trips(sender, receiver):
    """A page that is missing does not come meanwhile: whoever waits for it answers no ping."""
    output = sender.check(f'ping -c {PINGS} -i {PING_S} -W 30 {receiver.ip}', PATIENCE_S)
    assert f'{PINGS} packets received' in output, output


@rows('device, iommu',
      {'split-viommu': (SPLIT, True), 'packed-plain': (PACKED, False)},
      {'split-plain': (SPLIT, False), 'packed-viommu': (PACKED, True)})
def test_a_guest_moves_while_it_talks(network, device, iommu):
    moving, peer, moved = network.start({'device': device, 'iommu': iommu},
                                        {'device': OTHER[device]}, {'twin_of': 0})
    moving.ping(peer)
    assert network.learned()[moving.mac] == moving.name
    assert network.show(moving)['log']['active'] is False
    carrier = carrier_changes(moving)
    listen_without_reading(moving)
    migration = start_endless_migration(moving, moved)
    log = network.show(moving)['log']
    assert log['active'] and log['buffers'] and log['rings'] == 2
    # What the switch writes from here on arrives only if the switch reports it as changed.
    unread = send_unread(peer, moving)
    sums = start_transfers((peer, moving), (moving, peer))
    assert migration.info()['status'] == 'active'
    end_migration(migration)
    assert [moved.received(5001, PATIENCE_S), peer.received(5001, PATIENCE_S)] == sums
    start_reading(moved)
    assert moved.received(UNREAD_PORT, PATIENCE_S) == unread
    assert carrier_changes(moved) == carrier
    network.check_port(moved, ring_format(device))
    network.exchange(moved, peer)


def ping_all(sender):
    """Nobody answers."""
    sender.run(f'ping -c {PINGS} -i {PING_S} -W 1 {BROADCAST}')


def frames_to(network, guest):
    return network.switch.stats(guest.name)['tx']['frames']


@rows('device', {'split': SPLIT}, {'packed': PACKED})
def test_page_faults_of_a_guest_that_moves_by_postcopy_do_not_delay_others(network, device):
    moving, peer, other, moved = network.start({'device': device, 'postcopy': True},
                                               {'device': PACKED}, {'device': SPLIT},
                                               {'twin_of': 0})
    moving.ping(peer)
    assert 'PAGEFAULT' in network.show(moving)['protocol_features']
    carrier = carrier_changes(moving)
    sums = start_transfers((peer, moving), (moving, peer))
    migration = Migration(moving, moved, postcopy=True,
                          **{'max-bandwidth': 8 << 20, 'max-postcopy-bandwidth': 8 << 20})
    migration.wait_status('active')
    moving.qmp('migrate-start-postcopy')
    migration.wait_status('postcopy-active')
    network.wait_port(moved, link=True)
    # Nobody sends the pages that the switch asks for when it writes to all guests.
    with stopped(moving):
        ping_all(other)
        reached = {guest.name: frames_to(network, guest) for guest in (moved, peer)}
        for sender, receiver in (peer, other), (other, peer):
            check_round_trips(sender, receiver)
        ping_all(other)
        assert network.show(moved)['postcopy'] == 'listening'
        assert frames_to(network, moved) == reached[moved.name], 'the switch waits for no page'
        assert frames_to(network, peer) >= reached[peer.name] + PINGS
    migration.tune(**{'max-postcopy-bandwidth': 0})
    migration.finish()
    wait_until(lambda: network.show(moved)['postcopy'] == 'none', PATIENCE_S, 'no end of postcopy')
    assert [moved.received(5001, PATIENCE_S), peer.received(5001, PATIENCE_S)] == sums
    assert carrier_changes(moved) == carrier
    network.check_port(moved, ring_format(device))
    network.exchange(moved, peer)
