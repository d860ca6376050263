# SPDX-License-Identifier: BSD-3-Clause
"""Guests that Debian's libvirt runs: <interface type='vhostuser'> in both modes.

libvirt's daemons run beside the host's own, if there are any: they see /etc/libvirt, /run/libvirt
and their like as folders of the test. QEMU belongs to the user libvirt-qemu, as on any host.
"""

import os
import pwd
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
from guest import Guest, wait_until  # noqa: E402

LIB = os.path.join(ROOT, 'scripts', 'lib.sh')
USER = 'libvirt-qemu'
START_S = 60
OWN = '/run/libvirt', '/var/lib/libvirt', '/var/log/libvirt', '/var/cache/libvirt'

# Under TCG, QEMU 7.2 crashes when a vhost-user device with MSI-X starts: vectors=0.
DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='KiB'>{kib}</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initramfs}</initrd>
    <cmdline>{append}</cmdline>
  </os>
  <cpu mode='maximum'/>
  <on_poweroff>destroy</on_poweroff>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='vhostuser'>
      <mac address='{mac}'/>
      <source type='unix' path='{socket}' mode='{mode}'>{reconnect}</source>
      <model type='virtio'/>
      <driver queues='1' packed='{packed}'/>
      <rom enabled='no'/>
    </interface>
    <serial type='file'><source path='{log}'/><target port='0'/></serial>
    <serial type='unix'>
      <source mode='bind' path='{agent}'/><target port='1'/>
    </serial>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-global'/><qemu:arg value='virtio-net-pci.vectors=0'/>
  </qemu:commandline>
</domain>
"""


class Libvirt:
    """libvirtd and virtlogd in a mount namespace of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.keeper = None
        self.daemons = []

    def start(self, hook=''):
        """`hook`: the text of /etc/libvirt/hooks/qemu."""
        with open(f'{self.folder}/hook', 'w', encoding='utf-8') as file:
            file.write(hook or '#!/bin/sh\n')
        os.chmod(f'{self.folder}/hook', 0o755)
        script = 'mount --make-rprivate /; ' + ' '.join(
            f'mkdir -p {own} && mount -t tmpfs tmpfs {own} &&' for own in OWN)
        script += (f' cp -a /etc/libvirt {self.folder}/etc && '
                   f'mount --bind {self.folder}/etc /etc/libvirt && '
                   'mkdir -p /etc/libvirt/hooks && '
                   f'cp {self.folder}/hook /etc/libvirt/hooks/qemu && '
                   # No cgroups, no namespaces for QEMU: the sockets stay where they are.
                   'printf "%s\\n" "namespaces = []" "cgroup_controllers = []" '
                   '"security_driver = \\"none\\"" >> /etc/libvirt/qemu.conf && '
                   'echo ready && exec sleep infinity')
        self.keeper = subprocess.Popen(['unshare', '--mount', 'sh', '-euc', script],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b'ready\n'
        for program in 'virtlogd', 'libvirtd':
            with open(f'{self.folder}/{program}.log', 'ab') as log:
                self.daemons.append(subprocess.Popen(
                    self.inside(program), stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        wait_until(lambda: self.virsh('uri', check=False).returncode == 0, START_S,
                   'libvirtd does not answer')

    def inside(self, *command):
        return ['nsenter', f'--target={self.keeper.pid}', '--mount', *command]

    def virsh(self, *words, check=True):
        done = subprocess.run(
            self.inside('virsh', '--quiet', '--connect', 'qemu:///system', *words),
            capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            pytest.fail(f'virsh {" ".join(words)}: {done.stderr}')
        return done

    def stop(self):
        for process in [*reversed(self.daemons), self.keeper]:
            if process:
                process.terminate()
                process.wait(30)


class Domain(Guest):
    """A guest whose QEMU belongs to libvirt."""

    def __init__(self, libvirt, name, folder, vhost_socket, address, **options):
        self.packed = options.pop('packed', False)
        super().__init__(name, folder, vhost_socket, address, **options)
        self.libvirt = libvirt

    def define(self, kernel, initramfs):
        append = ('console=ttyS0 quiet panic=-1 mitigations=off no_timer_check nowatchdog '
                  f'ringway.name={self.name} ringway.address={self.address}')
        reconnect = '' if self.server else "<reconnect enabled='yes' timeout='1'/>"
        with open(self.path('xml'), 'w', encoding='utf-8') as xml:
            xml.write(DOMAIN.format(
                name=self.name, kib=256 * 1024, kernel=kernel, initramfs=initramfs, append=append,
                mac=self.mac, socket=self.vhost_socket,
                mode='server' if self.server else 'client', reconnect=reconnect,
                packed='on' if self.packed else 'off', log=self.path('console.log'),
                agent=self.path('agent')))
        self.libvirt.virsh('define', self.path('xml'))

    def start(self, kernel=None, initramfs=None):
        self.libvirt.virsh('start', self.name)

    def is_running(self):
        state = self.libvirt.virsh('domstate', self.name, check=False)
        return state.stdout.strip() in ('running', 'paused')

    def kill(self):
        self.disconnect()
        self.libvirt.virsh('destroy', self.name, check=False)
        self.libvirt.virsh('undefine', '--managed-save', self.name, check=False)


@pytest.fixture(name='images')
def fixture_images(folder):
    """Kernel and initramfs where libvirt's QEMU may read them."""
    script = '. "$0"; setup_guest >&2; printf "%s\n" "$BUILD/guest/kernel" "$BUILD/guest/initramfs"'
    done = subprocess.run(['bash', '-eu', '-c', script, LIB], capture_output=True, text=True,
                          timeout=300, check=True)
    return [shutil.copy(path, folder) for path in done.stdout.splitlines()]


@pytest.fixture(name='libvirt')
def fixture_libvirt(folder):
    libvirt = Libvirt(folder)
    os.chmod(folder, 0o711)
    # QEMU makes these: the sockets on which it listens, and its console's.
    os.makedirs(f'{folder}/q')
    user = pwd.getpwnam(USER)
    os.chown(f'{folder}/q', user.pw_uid, user.pw_gid)
    try:
        yield libvirt
    finally:
        libvirt.stop()


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
