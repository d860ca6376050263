# SPDX-License-Identifier: BSD-3-Clause
"""Guests and QEMUs that go away and come back, while others go on."""

import os
import threading
import time

from guest import wait_until
from network import rows

SPLIT = {'device': 'packed=off'}
PACKED = {'device': 'packed=on'}


class Background(threading.Thread):
    """A call in another thread; finish() returns when it has, with its exception if any."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.call = call
        self.error = None
        self.start()

    def run(self):
        try:
            self.call()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self, timeout):
        self.join(timeout)
        assert not self.is_alive(), f'{self.call} goes on after {timeout} s'
        if self.error:
            raise self.error


@rows('device', {'packed': PACKED}, {'split': SPLIT})
def test_a_guest_reboots_while_others_talk(network, device):
    rebooted, left, right = network.start(device, SPLIT, PACKED)
    network.exchange(rebooted, left)
    reboot = Background(rebooted.reboot)
    transfers = 0
    while reboot.is_alive():
        # Fails on the first one that is not whole.
        left.send(right, 1)
        transfers += 1
        for guest in left, right:
            network.check_port(guest, 'split' if guest is left else 'packed')
        row = network.switch.port(rebooted.name)
        assert row['connected'] and row['broken_rings'] == 0
    reboot.finish(0)
    assert transfers
    network.wait_port(rebooted, link=True)
    network.check_port(rebooted, 'split' if device is SPLIT else 'packed')
    network.exchange(rebooted, left)
    network.exchange(right, rebooted)


@rows('device, server',
      {'split-ringwayd_connects': (SPLIT, True), 'packed-qemu_connects': (PACKED, False)},
      {'split-qemu_connects': (SPLIT, False), 'packed-ringwayd_connects': (PACKED, True)})
def test_qemu_is_killed_and_started_again(network, device, server):
    killed, other = network.start({**device, 'server': server}, SPLIT)
    network.exchange(killed, other)
    killed.kill()
    network.wait_port(killed, connected=False, link=False, ring_format=None)
    network.check_port(other)
    # Nobody is left to hear it, and the guest is none the worse. For --fdb-linger seconds its
    # address stays where it was, in case its front-end comes back: what is for it is dropped there.
    assert other.run(f'ping -c 2 -i 0.2 -W 1 {killed.ip}')[0]
    drops = network.switch.drops()
    assert (drops.get(f'{killed.name} tx link_down') or
            drops.get(f'{other.name} rx no_destination')), drops
    network.boot(killed)
    network.check_port(killed, 'split' if device is SPLIT else 'packed')
    network.exchange(killed, other)


KILLS = 20 if os.environ.get('RINGWAY_TEST_LONG') else 2
# Large enough that each kill comes within a transfer, small enough to be over soon after the last.
TRANSFER_MIB = 8
# TCP tries again after ever longer times, and QEMU connects once a second.
TRANSFER_S = 300
# Each QEMU is back, on a machine that is busy otherwise.
BACK_S = 60


def kill_and_wait(network, receiver):
    """Kill the switch, start another one; the seconds until the receiver has its first frame."""
    network.switch.process.kill()
    network.switch.process.wait()
    # Its helper removes its sockets. The next ones are those of the next switch.
    wait_until(lambda: not os.path.exists(network.switch.control), BACK_S, 'sockets stay behind')
    network.switch.start()
    started = time.monotonic()
    wait_until(lambda: network.switch.stats(receiver.name)['tx']['frames'], BACK_S,
               f'{receiver.name} gets no frame')
    return time.monotonic() - started


@rows('device', {'packed': PACKED}, {'split': SPLIT})
def test_the_switch_is_killed_during_transfers(network, device, folder):
    """QEMU has no record of its rings. TCP notices no more than lost frames; no queue is stuck."""
    state = os.path.join(folder, 'state')
    os.mkdir(state, 0o700)
    network.switch_options = [f'--state-dir={state}']
    sender, receiver = network.start({**device, 'reconnect': True}, {**device, 'reconnect': True})
    network.exchange(sender, receiver)
    over = threading.Event()

    def transfer():
        while not over.is_set():
            # Fails when a byte is wrong.
            sender.send(receiver, TRANSFER_MIB, timeout=TRANSFER_S)

    transfers = Background(transfer)
    try:
        waits = sorted(kill_and_wait(network, receiver) for _ in range(KILLS))
    finally:
        over.set()
    transfers.finish(2 * TRANSFER_S)
    print(f'{KILLS} kills: first frame after {waits[KILLS // 2]:.2f} s (median), '
          f'{waits[-1]:.2f} s (most)')
    for guest in sender, receiver:
        network.wait_port(guest, link=True)
        network.check_port(guest, 'split' if device is SPLIT else 'packed')
        assert {ring['state'] for ring in network.show(guest)['rings']} == {'enabled'}
    network.exchange(sender, receiver)
