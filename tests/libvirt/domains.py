# SPDX-License-Identifier: BSD-3-Clause
"""Guests that Debian's libvirt runs, and its daemons.

libvirt's daemons run beside the host's own, if there are any: they see /etc/libvirt, /run/libvirt
and their like as folders of the test. QEMU belongs to the user libvirt-qemu, as on any host.
"""

import os
import subprocess

import pytest

from guest import Guest, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USER = 'libvirt-qemu'
START_S = 60
# For a command in a guest: a few of them share a CPU that others may keep busy.
PATIENCE_S = 300
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
    <emulator>{emulator}</emulator>
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
    """libvirtd and virtlogd in a mount namespace of their own.

    What they are started with and what they say is in the files NAME.* of `folder`.
    """

    uri = 'qemu:///system'
    namespaces = ('--mount',)

    def __init__(self, folder, name='libvirt'):
        self.folder = folder
        self.name = name
        self.keeper = None
        self.daemons = []

    def path(self, suffix):
        return os.path.join(self.folder, f'{self.name}.{suffix}')

    def seen(self, path):
        """The path that a file of the test has in the namespace."""
        return path

    def settings(self):
        """More lines of libvirtd.conf."""
        return ''

    def preparation(self):
        """Shell commands that run in the namespaces before the daemons."""
        return 'true'

    def enter(self):
        """Make the namespaces; a process that sleeps keeps them."""
        with open(self.path('conf'), 'w', encoding='utf-8') as file:
            file.write(self.settings())
        etc = self.path('etc')
        script = 'mount --make-rprivate /; ' + ' '.join(
            f'mkdir -p {own} && mount -t tmpfs tmpfs {own} &&' for own in OWN)
        script += (f' cp -a /etc/libvirt {etc} && mkdir -p {etc}/hooks && '
                   f'mount --bind {etc} /etc/libvirt && '
                   f'cat {self.path("conf")} >> /etc/libvirt/libvirtd.conf && '
                   # No cgroups, no namespaces for QEMU: the sockets stay where they are.
                   'printf "%s\\n" "namespaces = []" "cgroup_controllers = []" '
                   '"security_driver = \\"none\\"" >> /etc/libvirt/qemu.conf && '
                   f'{self.preparation()} && echo ready && exec sleep infinity')
        self.keeper = subprocess.Popen(['unshare', *self.namespaces, 'sh', '-euc', script],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b'ready\n'

    def start(self, hook='#!/bin/sh\n'):
        """`hook`: the text of /etc/libvirt/hooks/qemu."""
        if not self.keeper:
            self.enter()
        with open(f'{self.path("etc")}/hooks/qemu', 'w', encoding='utf-8') as file:
            file.write(hook)
        os.chmod(file.name, 0o755)
        for program in 'virtlogd', 'libvirtd':
            with open(self.path(f'{program}.log'), 'ab') as log:
                self.daemons.append(subprocess.Popen(
                    self.inside(program, f'--pid-file=/run/libvirt/{program}.pid'),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        wait_until(lambda: self.virsh('uri', check=False).returncode == 0, START_S,
                   'libvirtd does not answer')

    def inside(self, *command):
        return ['nsenter', f'--target={self.keeper.pid}', *self.namespaces, *command]

    def virsh(self, *words, check=True):
        done = subprocess.run(
            self.inside('virsh', '--quiet', '--connect', self.uri, *words),
            capture_output=True, text=True, timeout=300, check=False)
        if check and done.returncode:
            pytest.fail(f'virsh {" ".join(words)}: {done.stderr}')
        return done

    def stop(self):
        for process in [*reversed(self.daemons), self.keeper]:
            if process:
                process.terminate()
                process.wait(30)


class Domain(Guest):
    """A guest whose QEMU belongs to libvirt.

    `folder` is a path of the test, `vhost_socket` one that QEMU sees.
    """

    def __init__(self, libvirt, name, folder, vhost_socket, address, **options):
        self.packed = options.pop('packed', False)
        self.emulator = options.pop('emulator', '/usr/bin/qemu-system-x86_64')
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
                packed='on' if self.packed else 'off', emulator=self.emulator,
                log=self.libvirt.seen(self.path('console.log')),
                agent=self.libvirt.seen(self.path('agent'))))
        self.libvirt.virsh('define', self.path('xml'))

    def start(self, kernel=None, initramfs=None):
        self.libvirt.virsh('start', self.name)

    def run(self, command, timeout=PATIENCE_S):
        return super().run(command, max(timeout, PATIENCE_S))

    def is_running(self):
        state = self.libvirt.virsh('domstate', self.name, check=False)
        return state.stdout.strip() in ('running', 'paused')

    def kill(self):
        self.disconnect()
        self.libvirt.virsh('destroy', self.name, check=False)
        self.libvirt.virsh('undefine', '--managed-save', self.name, check=False)
