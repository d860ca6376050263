# SPDX-License-Identifier: BSD-3-Clause
"""Guests and QEMUs that go away and come back, while others go on."""

import threading

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
