# SPDX-License-Identifier: BSD-3-Clause
"""`virsh migrate --live` between two hosts that an uplink of their switches joins.

A host is a mount, network and UTS namespace with a libvirtd and a ringwayd of its own. Folder q of
the test is another one on each.
"""

import os
import pwd
import re
import subprocess
import uuid

import pytest

from domains import PATIENCE_S, ROOT, USER, Domain, Libvirt
from guest import wait_until
from talk import PING_S, SPARE_S, Ping, start_transfers

SOON_S = 180
MEBIBYTES = 4
UPLINK = 'up'

# Under TCG, QEMU 7.2 needs a size that is no multiple of 256 KiB (class Guest says why), and
# libvirt rounds it to such a one.
EMULATOR = '''#!/bin/bash
arguments=("${@/268435456/268443648}")
for i in "${!arguments[@]}"; do
	[[ ${arguments[i]} != -m ]] || arguments[i + 1]=262152K
done
exec /usr/bin/qemu-system-x86_64 "${arguments[@]}"
'''


class Host(Libvirt):
    """Its libvirtd is reached, from the other host too, by `uri`."""

    namespaces = '--mount', '--net', '--uts'

    def __init__(self, folder, name):
        super().__init__(folder, name)
        self.uri = f'qemu+unix:///system?socket={self.path("run")}/libvirt-sock'
        self.own = self.path('q')
        self.switch = None

    def seen(self, path):
        return path.replace(self.own, f'{self.folder}/q')

    def settings(self):
        return f'host_uuid = "{uuid.uuid4()}"\nunix_sock_dir = "{self.path("run")}"\n'

    def preparation(self):
        return (f'mkdir {self.path("run")} && mount --bind {self.own} {self.folder}/q && '
                f'echo {self.name} >/proc/sys/kernel/hostname')

    def start_switch(self, ringwayd):
        self.switch = ringwayd(
            name=f'{self.name}.ringwayd', prefix=self.inside(),
            options=[f'--socket-dir={self.folder}/q', '--log-level=debug',
                     '--port', f'{UPLINK},device=net_af_packet,iface=eth1'])

    def learned(self, guest):
        """The port behind which the switch has learned the guest's address, or None."""
        return {row['mac']: row['port'] for row in self.switch.cli('fdb', 'list')}.get(guest.mac)


class Hosts:
    def __init__(self, folder):
        self.folder = folder
        self.both = [Host(folder, 'left'), Host(folder, 'right')]

    def start(self, ringwayd):
        for host in self.both:
            host.enter()
        left, right = (host.keeper.pid for host in self.both)
        subprocess.run(['ip', 'link', 'add', 'eth1', 'netns', str(left), 'type', 'veth',
                        'peer', 'name', 'eth1', 'netns', str(right)], check=True)
        for host in self.both:
            subprocess.run(host.inside('ip', 'link', 'set', 'eth1', 'up'), check=True)
        for host in self.both:
            host.start_switch(ringwayd)
            host.start(f'#!/bin/sh\nRINGWAY="{host.switch.command()}" exec '
                       f'{ROOT}/config/libvirt-hook.py "$@"\n')

    def stop(self):
        for host in self.both:
            host.stop()

    def wait_learned(self, guest, *ports):
        """Returns when the two switches have learned the guest behind these ports."""
        def found():
            return tuple(host.learned(guest) for host in self.both)
        wait_until(lambda: found() == ports, SOON_S, f'{guest.mac} is not behind {ports}')


@pytest.fixture(name='hosts')
def fixture_hosts(folder):
    """They are there until the switches have ended."""
    os.chmod(folder, 0o711)
    user = pwd.getpwnam(USER)
    for name in 'q', 'left.q', 'right.q', 'migration':
        os.mkdir(f'{folder}/{name}')
        os.chown(f'{folder}/{name}', user.pw_uid, user.pw_gid)
    with open(f'{folder}/qemu', 'w', encoding='utf-8') as script:
        script.write(EMULATOR)
    os.chmod(f'{folder}/qemu', 0o755)
    hosts = Hosts(folder)
    try:
        yield hosts
    finally:
        hosts.stop()


def migrate(guest, there):
    """`virsh migrate --live` of `guest` to where `there` is; returns its pause in seconds."""
    guest.disconnect()
    guest.libvirt.virsh(
        'migrate', '--live', '--persistent', '--undefinesource', guest.name,
        '--desturi', there.libvirt.uri,
        '--migrateuri', f'unix://{guest.libvirt.folder}/migration/socket')
    assert not guest.is_running() and there.is_running()
    info = there.libvirt.virsh('domjobinfo', '--completed', there.name).stdout
    there.wait_boot(PATIENCE_S)
    return int(re.search(r'Total downtime: +(\d+) +ms', info)[1]) / 1000


def check_pings(pings, pause_s):
    sent, answered, gap = pings.count()
    assert answered and gap <= (pause_s + SPARE_S) / PING_S, (sent, answered, gap, pause_s)


@pytest.mark.parametrize('server', [False, True], ids=['client', 'server'])
def test_a_guest_moves_to_another_host_and_back(folder, hosts, ringwayd, images, server):
    """`server`: libvirt's QEMU listens, and the hook makes ports that connect."""
    hosts.start(ringwayd)
    left, right = hosts.both
    options = {'server': server, 'emulator': f'{folder}/qemu', 'packed': True}
    here, there = (Domain(host, 'moving', host.own, f'{folder}/q/moving.sock', '10.0.0.1/24',
                          **options) for host in hosts.both)
    stays = Domain(left, 'stays', left.own, f'{folder}/q/stays.sock', '10.0.0.2/24',
                   emulator=f'{folder}/qemu')
    guests = here, there, stays
    try:
        for guest in here, stays:
            guest.define(*images)
            guest.start()
        for guest in here, stays:
            guest.wait_boot(PATIENCE_S)
        here.ping(stays)
        hosts.wait_learned(here, 'moving', UPLINK)
        hosts.wait_learned(stays, 'stays', UPLINK)

        for source, target, ports in ((here, there, (UPLINK, 'moving')),
                                      (there, here, ('moving', UPLINK))):
            to_it, from_it = Ping(stays, source), Ping(source, stays)
            sums = start_transfers((stays, source), (source, stays))
            pause_s = migrate(source, target)
            # Nobody has asked for it: what says where the guest is comes by itself.
            hosts.wait_learned(target, *ports)
            assert [guest.received(5001, PATIENCE_S) for guest in (target, stays)] == sums
            from_it.sender = target
            for pings in to_it, from_it:
                check_pings(pings, pause_s)
            target.send(stays, MEBIBYTES, timeout=PATIENCE_S)
            stays.send(target, MEBIBYTES, timeout=PATIENCE_S)
            # The hook has taken the port that the guest has left.
            wait_until(lambda host=source.libvirt: 'moving' not in [
                row['name'] for row in host.switch.cli('port', 'list')], SOON_S,
                'the port that the guest has left is still there')
    finally:
        for guest in guests:
            guest.kill()
