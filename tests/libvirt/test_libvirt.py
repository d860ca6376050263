# SPDX-License-Identifier: BSD-3-Clause
"""Guests that Debian's libvirt runs on one host: <interface type='vhostuser'> in both modes."""

import os
import pwd

from domains import ROOT, USER, Domain
from guest import wait_until


def two_guests(libvirt, folder, images, left_socket):
    """Started: `left` is a client of the switch, and `right` a server."""
    left = Domain(libvirt, 'left', f'{folder}/q', left_socket, '10.0.0.1/24')
    right = Domain(libvirt, 'right', f'{folder}/q', f'{folder}/q/right.sock', '10.0.0.2/24',
                   server=True)
    for guest in left, right:
        guest.define(*images)
        guest.start()
    return left, right


def settle(switch, *names):
    """All of them are attached and their guests run."""
    wait_until(lambda: all(switch.port(name)['link'] for name in names), 60,
               'a port has no link')


def test_libvirt_s_guests_meet_go_on_and_leave(folder, ringwayd, libvirt, images):
    libvirt.start()
    switch = ringwayd('left', clients={'right': f'{folder}/q/right.sock'},
                      options=[f'--socket-owner={USER}', f'--socket-dir={folder}/q'])
    left, right = two_guests(libvirt, folder, images, switch.sockets['left'])
    try:
        for guest in left, right:
            guest.wait_boot()
        settle(switch, 'left', 'right')
        left.ping(right)

        # The switch restarts: <reconnect> on one side, a client that tries again on the other.
        assert switch.stop() is None
        switch.start()
        settle(switch, 'left', 'right')
        left.ping(right)
        right.ping(left)

        # A guest moves through a file, which is a migration to libvirt and QEMU.
        left.disconnect()
        libvirt.virsh('managedsave', 'left')
        wait_until(lambda: not switch.port('left')['connected'], 30, 'left is still attached')
        left.start()
        settle(switch, 'left')
        left.wait_boot()
        left.ping(right)

        libvirt.virsh('destroy', 'left')
        wait_until(lambda: not switch.port('left')['connected'], 30, 'left is still attached')
        assert switch.port('right')['link']
    finally:
        for guest in left, right:
            guest.kill()


def test_a_hook_gives_guests_their_ports(folder, ringwayd, libvirt, images):
    switch = ringwayd(options=[f'--socket-dir={folder}', f'--socket-dir={folder}/q',
                               f'--port=other,socket={folder}/other.sock'])
    libvirt.start(f'#!/bin/sh\nRINGWAY="{switch.command()}" exec '
                  f'{ROOT}/config/libvirt-hook.py "$@"\n')
    left, right = two_guests(libvirt, folder, images, f'{folder}/left.sock')
    try:
        settle(switch, 'left', 'right')
        assert switch.port('right')['mode'] == 'client'
        assert os.stat(f'{folder}/left.sock').st_uid == pwd.getpwnam(USER).pw_uid
        for guest in left, right:
            guest.wait_boot()
        left.ping(right)
        libvirt.virsh('destroy', 'left')
        wait_until(lambda: [row['name'] for row in switch.cli('port', 'list')] == [
            'other', 'right'], 30, 'left has a port still')
        # A start that cannot have its port says why, and fails.
        switch.cli('port', 'add', 'thief', f'socket={folder}/left.sock')
        refused = libvirt.virsh('start', 'left', check=False)
        assert refused.returncode and 'left.sock' in refused.stderr, refused.stderr
    finally:
        for guest in left, right:
            guest.kill()
