#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Small Linux guests in QEMU, for scripts/demo and the tests in tests/vm.

A guest is the distribution's kernel and an initramfs of busybox and the virtio-net modules,
built on the spot. Its first serial port is a console for people. Its second one belongs to a
loop in the guest that runs one command per line and answers with the output and the exit
status, so a test never has to guess where a prompt begins.

As a library: Guest. As a program, for shell scripts: guest.py --help.
"""

import argparse
import atexit
import contextlib
import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

from initramfs import build_initramfs
from qmp import Qmp, QmpError

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib.sh')
HUGE_PAGE_KIB = 2048
OVMF = '/usr/share/ovmf/OVMF.fd'
QEMU = 'qemu-system-x86_64'
# Since this version the chardev's option is in milliseconds.
RECONNECT_MS = (9, 2)
COMMAND_S, RUN_S = 60, 120  # of QEMU, of a guest: what succeeds returns at once
BOOT_ID = 'cat /proc/sys/kernel/random/boot_id'


class GuestError(Exception):
    """What was expected of a guest did not happen."""


def die_with_parent():
    """Runs in the child: the kernel kills it when the process that started it is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def spare_cpus():
    """The CPUs for everything but the switch: its worker runs on the highest one by default.

    Two guests on 2 CPUs, confined to CPU 0 or free: 4.2 or 5.6 s for 32 MiB of TCP and hashing.
    """
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[:-1] or cpus


def free_huge_pages():
    """Free 2 MiB pages of this machine, or 0 where they cannot be mapped."""
    try:
        with open(f'/sys/kernel/mm/hugepages/hugepages-{HUGE_PAGE_KIB}kB/free_hugepages',
                  encoding='ascii') as free:
            return int(free.read())
    except OSError:
        return 0


def qemu_says(program, *words):
    """What a QEMU prints and ends."""
    try:
        done = subprocess.run([program, *words], capture_output=True, text=True,
                              timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GuestError(f'{program} does not run: {error}') from error
    if done.returncode:
        raise GuestError(f'{program} {" ".join(words)}: {done.stderr.strip()}')
    return done.stdout


def qemu_version(program):
    """Of a QEMU, (major, minor)."""
    said = qemu_says(program, '--version')
    found = re.search(r'QEMU emulator version (\d+)\.(\d+)', said)
    if not found:
        raise GuestError(f'{program} is no QEMU: {said.strip()}')
    return int(found[1]), int(found[2])


def fetch_images():
    """The guests' kernel and initramfs; the kernel is downloaded once and kept."""
    script = '. "$0"; setup_guest >&2; printf "%s\n" "$BUILD/guest/kernel" "$BUILD/guest/initramfs"'
    done = subprocess.run(['bash', '-eu', '-c', script, LIB], capture_output=True, text=True,
                          timeout=300, check=False)
    if done.returncode:
        raise GuestError(f'no kernel for the guests:\n{done.stderr}')
    return done.stdout.splitlines()


class Guest:
    """One QEMU process. The caller gives it a folder; its sockets, log and pid live there.

    device: extra properties of the virtio-net device, as on QEMU's command line ("packed=on").
    queues: queue pairs, and virtual CPUs.
    server: QEMU listens on the vhost-user socket and the switch connects to it.
    hugetlb: the guest's memory is made of huge pages. By default, if enough are free.
    iommu:  the device is behind an Intel IOMMU that the guest uses in strict mode: it maps and
            unmaps the buffers of every frame.
    dimm_slots: how many DIMMs can be plugged while the guest runs.
    incoming: QEMU waits for a migration instead of booting.
    qemu:   the program, and machine, which of its machines.
    reconnect: it connects again when the switch has gone away.
    keep:   QEMU outlives the process that starts it.
    firmware: 'seabios' or 'ovmf': it boots from the network, by the iPXE that QEMU puts on the
            device. What serves it there gives its kernel the words of kernel_words().
    """

    # It takes 3 to 8 s, but on a machine that is busy otherwise it was seen to take 120.
    BOOT_S = 300

    def __init__(self, name, folder, vhost_socket, address, **options):
        self.name = name
        self.folder = folder
        self.vhost_socket = vhost_socket
        self.address = address
        self.device = options.pop('device', '')
        self.queues = options.pop('queues', 1)
        self.server = options.pop('server', False)
        self.memory_mib = options.pop('memory_mib', 256)
        self.hugetlb = options.pop('hugetlb', None)
        self.iommu = options.pop('iommu', False)
        self.dimm_slots = options.pop('dimm_slots', 0)
        self.incoming = options.pop('incoming', False)
        self.keep = options.pop('keep', False)
        self.firmware = options.pop('firmware', None)
        self.qemu = options.pop('qemu', QEMU)
        self.machine_type = options.pop('machine', 'q35')
        self.reconnect = options.pop('reconnect', False)
        if options:
            raise TypeError(f'unknown options: {", ".join(options)}')
        self.process = None
        self.pid = 0
        self.commands = 0
        self.monitor = None
        self.agent = None
        self.buffer = b''

    def path(self, suffix):
        return os.path.join(self.folder, f'{self.name}.{suffix}')

    @property
    def ip(self):
        return self.address.split('/')[0]

    @property
    def mac(self):
        return '52:54:00:' + ':'.join(f'{int(part):02x}' for part in self.ip.split('.')[1:])

    # --- the process ---

    def memory_arguments(self):
        huge = self.hugetlb
        if huge is None:
            huge = free_huge_pages() * HUGE_PAGE_KIB >= self.memory_mib * 1024
        # Under TCG, QEMU 7.2 forgets to have the CPU report its writes again after it has looked
        # for them in whole words of its bitmap, 256 KiB each: a guest that migrates finds old data
        # in its memory. A size that is no multiple of that makes it look page by page, and that is
        # right (fixed in QEMU 9.0, "Fix migration dirty bitmap coherency with TCG memory access").
        size = f'{self.memory_mib * 1024 + (0 if huge else 8)}K'
        backend = f'memory-backend-memfd,id=mem,size={size},share=on'
        slots = f',slots={self.dimm_slots},maxmem=1G' if self.dimm_slots else ''
        return ['-m', size + slots, '-object', backend + (',hugetlb=on' if huge else ''),
                '-numa', 'node,memdev=mem']

    def network_arguments(self):
        chardev = f'socket,id=vhost,path={self.vhost_socket}'
        netdev = 'vhost-user,id=net,chardev=vhost'
        # vectors=0: QEMU 7.2 under TCG crashes when a vhost-user device with MSI-X starts.
        device = f'virtio-net-pci,netdev=net,mac={self.mac},vectors=0'
        device += ',bootindex=1' if self.firmware else ',romfile='
        if self.queues > 1:
            netdev += f',queues={self.queues}'
            device += ',mq=on'
        if self.device:
            device += ',' + self.device
        arguments = []
        if self.iommu:
            # It translates for the devices that come after it.
            arguments = ['-device', 'intel-iommu,device-iotlb=on,intremap=off,caching-mode=on']
            device += ',disable-legacy=on,iommu_platform=on,ats=on'
        if self.server:
            chardev += ',server=on,wait=off'
        elif self.reconnect:
            new = qemu_version(self.qemu) >= RECONNECT_MS
            chardev += ',reconnect-ms=200' if new else ',reconnect=1'
        return ['-chardev', chardev,
                '-netdev', netdev, *arguments, '-device', device]

    def kernel_words(self):
        # no_timer_check: a guest that gets no CPU for a while takes its timer for broken.
        words = ('console=ttyS0 quiet panic=-1 mitigations=off no_timer_check nowatchdog '
                 f'ringway.name={self.name} ringway.address={self.address}')
        if self.iommu:
            words += ' intel_iommu=on iommu.passthrough=0 iommu.strict=1'
        return words

    def machine(self):
        if self.iommu:
            return f'{self.machine_type},kernel-irqchip=off'
        # SeaBIOS and iPXE then write to the console.
        return self.machine_type + (',graphics=off' if self.firmware else '')

    def boot_arguments(self, kernel, initramfs):
        if not self.firmware:
            return ['-kernel', kernel, '-initrd', initramfs, '-append', self.kernel_words()]
        return ['-bios', OVMF] if self.firmware == 'ovmf' else []

    def command_line(self, kernel, initramfs):
        return [
            self.qemu, '-name', self.name, '-nodefaults', '-no-user-config',
            '-display', 'none', '-M', self.machine(),
            '-accel', 'tcg', '-cpu', 'max', '-smp', str(self.queues), *self.memory_arguments(),
            *self.boot_arguments(kernel, initramfs), *self.network_arguments(),
            '-chardev', f'socket,id=console,path={self.path("console")},server=on,wait=off,'
            f'logfile={self.path("console.log")}', '-serial', 'chardev:console',
            '-chardev', f'socket,id=agent,path={self.path("agent")},server=on,wait=off',
            '-serial', 'chardev:agent',
            '-qmp', f'unix:{self.path("qmp")},server=on,wait=off',
            *(('-incoming', 'defer') if self.incoming else ()),
        ]

    def start(self, kernel, initramfs):
        """Starts QEMU; wait_boot() tells when the guest answers."""
        command = self.command_line(kernel, initramfs)
        # No signal between the start of QEMU and the note of its pid: it would leave a stray.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))

        def in_child():
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if not self.keep:
                die_with_parent()

        try:
            with open(self.path('qemu.log'), 'ab') as log:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=self.keep, preexec_fn=in_child)
            self.pid = self.process.pid
            with open(self.path('json'), 'w', encoding='utf-8') as state:
                json.dump({'pid': self.pid, 'address': self.address}, state)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if not self.keep:
            atexit.register(self.kill)

    @classmethod
    def attach(cls, name, folder):
        """The guest that an earlier process started with keep=True."""
        with open(os.path.join(folder, f'{name}.json'), encoding='utf-8') as file:
            state = json.load(file)
        guest = cls(name, folder, None, state['address'], keep=True)
        guest.pid = state['pid']
        return guest

    def is_running(self):
        if self.process:
            return self.process.poll() is None
        try:
            with open(f'/proc/{self.pid}/cmdline', 'rb') as command:
                return self.path('agent').encode() in command.read()
        except OSError:
            return False

    def kill(self):
        """SIGKILL, and the end of the process. Harmless on a guest that is already gone."""
        self.disconnect()
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
            self.process = None
        wait_until(lambda: not self.is_running(), COMMAND_S, f'{self.name}: QEMU does not end')
        self.pid = 0

    def stop(self):
        """Ends QEMU as an operator would, by its monitor."""
        self.qmp('quit')
        self.disconnect()
        if self.process:
            self.process.wait(COMMAND_S)
        wait_until(lambda: not self.is_running(), COMMAND_S, f'{self.name}: QEMU does not quit')

    def qmp(self, command, /, **arguments):
        """One command to QEMU's monitor; returns its answer."""
        return self.connect_monitor().command(command, **arguments)

    def wait_event(self, name, timeout=COMMAND_S, **data):
        """Waits for an event of QEMU's monitor with these members; returns its time in seconds."""
        deadline = time.monotonic() + timeout
        while True:
            event = self.connect_monitor().wait_event(name, deadline - time.monotonic())
            if data.items() <= event.get('data', {}).items():
                return event['timestamp']['seconds'] + event['timestamp']['microseconds'] / 1e6

    def connect_monitor(self):
        """The client of QEMU's monitor, which stays connected until the guest ends."""
        if not self.monitor:
            self.monitor = Qmp(self.path('qmp'))
        return self.monitor

    def wait_monitor(self, timeout=BOOT_S):
        """Returns when QEMU answers: all there is to wait for before a migration to it."""
        self.wait_connection(self.connect_monitor, time.monotonic() + timeout)
        if self.incoming:
            self.confine()

    def confine(self):
        """To the spare CPUs. While guests boot the worker sleeps, and they have all CPUs."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends, or libvirt's
            for thread in os.listdir(f'/proc/{self.pid}/task'):
                os.sched_setaffinity(int(thread), spare_cpus())

    # --- commands in the guest ---

    def connect(self):
        agent = socket.socket(socket.AF_UNIX)
        try:
            agent.connect(self.path('agent'))
        except OSError:
            agent.close()
            raise
        self.agent = agent
        self.buffer = b''

    def disconnect(self):
        for connection in self.agent, self.monitor:
            if connection:
                connection.close()
        self.agent = self.monitor = None

    def submit(self, command):
        """Sends one command; returns its id, for answer()."""
        if '\n' in command:
            raise ValueError('a command is one line')
        self.commands += 1
        # Unique in the guest, which others talk to, before it migrates to this QEMU for example.
        request = f'{os.getpid()}.{self.name}.{self.commands}'
        # QEMU reads little ahead, and nothing while a busy machine keeps it waiting.
        self.agent.settimeout(self.BOOT_S)
        self.agent.sendall(f'{request} {command}\n'.encode())
        return request

    def answer(self, request, timeout):
        """The exit status and the output of a command, or None when it is not there in time."""
        begin, end = f'@begin {request}\n'.encode(), f'\n@end {request} '.encode()
        deadline = time.monotonic() + timeout
        while True:
            head, found, tail = self.buffer.partition(end)
            if found and b'\n' in tail:
                status, _, self.buffer = tail.partition(b'\n')
                output = head.partition(begin)[2]
                return int(status), output.decode(errors='replace').strip('\n')
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.agent.settimeout(left)
            try:
                data = self.agent.recv(65536)
            except socket.timeout:
                return None
            if not data:
                raise GuestError(f'{self.name}: QEMU is gone')
            self.buffer += data

    def wait_connection(self, connect, deadline):
        """Returns when connect() has succeeded, which takes QEMU a moment after its start."""
        while time.monotonic() < deadline:
            if not self.is_running():
                with open(self.path('qemu.log'), encoding='utf-8', errors='replace') as log:
                    raise GuestError(f'{self.name}: QEMU ended: {log.read().strip()}')
            try:
                connect()
            except OSError:
                time.sleep(0.05)
                continue
            return
        raise GuestError(f'{self.name}: QEMU does not open its sockets')

    def wait_boot(self, timeout=BOOT_S):
        """Returns when the guest runs commands, which is after its network is up."""
        deadline = time.monotonic() + timeout
        self.wait_connection(self.connect, deadline)
        self.wait_answer(deadline - time.monotonic())
        self.confine()

    def wait_answer(self, timeout, old_boot_id=None):
        """Returns when the guest answers, after a reboot if it is given the boot id before it.

        What is sent while nobody in the guest reads the serial port may be lost: ask until it
        answers, but ever less often, for it may also be kept, and QEMU keeps only so much.
        """
        deadline = time.monotonic() + timeout
        interval = 0.2
        while self.agent and time.monotonic() < deadline:
            result = self.answer(self.submit(BOOT_ID), interval)
            if result and result[1] != old_boot_id:
                return
            if not result:
                interval = min(1.2 * interval, 2)
        raise GuestError(f'{self.name} does not answer, see {self.path("console.log")}')

    def run(self, command, timeout=RUN_S):
        """Runs a shell command line in the guest: its exit status and its output."""
        if not self.agent:
            self.wait_boot(timeout)
        result = self.answer(self.submit(command), timeout)
        if result is None:
            raise GuestError(f'{self.name}: no end after {timeout} s: {command}')
        return result

    def check(self, command, timeout=RUN_S):
        """Runs a command that must succeed; returns its output."""
        status, output = self.run(command, timeout)
        if status:
            raise GuestError(f'{self.name}: exit status {status}: {command}\n{output}')
        return output

    # --- steps that tests and the demo share ---

    def reboot(self):
        """The guest restarts itself; QEMU, its devices and its sockets stay."""
        before = self.check(BOOT_ID)
        self.submit('reboot -f')
        self.wait_answer(self.BOOT_S, before)

    def ping(self, other, count=3):
        """Sends count echo requests and wants every answer."""
        output = self.check(f'ping -c {count} -i 0.2 -W 30 {other.ip}', RUN_S + 30 * count)
        if f'{count} packets received' not in output:
            raise GuestError(f'{self.name} to {other.ip}: {output}')

    def make_data(self, mebibytes):
        """Random bytes in /tmp/data; returns their SHA-256."""
        self.check(f'dd if=/dev/urandom of=/tmp/data bs=1M count={mebibytes}', RUN_S)
        return self.check('sha256sum /tmp/data', RUN_S).split()[0]

    def listen(self, port):
        """Hashes what comes in on a TCP port until the sender closes it.

        nc gets a standard input that never ends: at its end it would close its direction, and
        the sender's nc would take that for the end of the connection.
        """
        self.check('[ -p /tmp/never ] || mkfifo /tmp/never')
        self.check(f'rm -f /tmp/{port}.sum; '
                   f'(nc -l -p {port} <>/tmp/never | sha256sum >/tmp/{port}.tmp; '
                   f'mv /tmp/{port}.tmp /tmp/{port}.sum) >/dev/null 2>&1 &')
        self.check(f'until netstat -ltn | grep -q ":{port} "; do usleep 10000; done')

    def received(self, port, timeout):
        """The SHA-256 of what listen() took in."""
        deadline = time.monotonic() + timeout
        while True:
            status, output = self.run(f'cat /tmp/{port}.sum')
            if status == 0 and output:
                return output.split()[0]
            if time.monotonic() > deadline:
                state = self.run('netstat -tn; ps -o pid,stat,args')[1]
                raise GuestError(f'{self.name}: no end of data on port {port}\n{state}')
            time.sleep(0.02)

    def send(self, other, mebibytes, port=5001, timeout=300):
        """Sends random data by TCP and compares the receiver's checksum; returns the seconds.

        The time is that of the transfer and of the receiver's hashing, which go on together.
        """
        sent = self.make_data(mebibytes)
        other.listen(port)
        start = time.monotonic()
        self.check(f'nc {other.ip} {port} </tmp/data >/dev/null', timeout)
        received = other.received(port, timeout)
        seconds = time.monotonic() - start
        self.check('rm /tmp/data')
        if received != sent:
            raise GuestError(f'{self.name} to {other.name}: SHA-256 {sent} became {received}')
        return seconds


def wait_until(condition, timeout, complaint):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise GuestError(complaint)
        time.sleep(0.02)


# --- the program ---


def start_command(args):
    options = {'device': args.device, 'queues': args.queues, 'server': args.server,
               'keep': True}
    guest = Guest(args.name, args.folder, args.socket, args.address, **options)
    try:
        guest.start(args.kernel, args.initramfs)
    except BaseException:
        # Nobody else knows of a guest that has not been announced.
        guest.kill()
        raise
    print(guest.pid)


def wait_command(args):
    Guest.attach(args.name, args.folder).wait_boot()


def run_command(args):
    status, output = Guest.attach(args.name, args.folder).run(shlex.join(args.command), 120)
    if output:
        print(output)
    return status


def ping_command(args):
    Guest.attach(args.name, args.folder).ping(Guest.attach(args.other, args.folder), args.count)


def send_command(args):
    sender, receiver = Guest.attach(args.name, args.folder), Guest.attach(args.other, args.folder)
    print(f'{sender.send(receiver, args.mebibytes):.1f}')


def stop_command(args):
    guest = Guest.attach(args.name, args.folder)
    try:
        guest.stop()
    except (GuestError, QmpError, OSError, ValueError):
        guest.kill()


def initramfs_command(args):
    build_initramfs(args.kernel_dir, args.out)


def parse_arguments():
    parser = argparse.ArgumentParser(description='Small Linux guests in QEMU.')
    commands = parser.add_subparsers(dest='verb', required=True)

    verb = commands.add_parser('initramfs', help='build the initramfs')
    verb.add_argument('kernel_dir', help='where the kernel package is unpacked')
    verb.add_argument('out')
    verb.set_defaults(function=initramfs_command)

    on_guest = argparse.ArgumentParser(add_help=False)
    on_guest.add_argument('folder', help='for the sockets and the logs of the guest')
    on_guest.add_argument('name')

    verb = commands.add_parser('start', parents=[on_guest],
                               help='start a guest, print the pid of QEMU')
    verb.add_argument('--kernel', required=True)
    verb.add_argument('--initramfs', required=True)
    verb.add_argument('--socket', required=True, help='vhost-user socket')
    verb.add_argument('--address', required=True, help='of eth0, such as 10.0.0.1/24')
    verb.add_argument('--device', default='', help='more properties of virtio-net-pci')
    verb.add_argument('--queues', type=int, default=1, help='queue pairs, and CPUs')
    verb.add_argument('--server', action='store_true', help='QEMU listens on the socket')
    verb.set_defaults(function=start_command)

    verb = commands.add_parser('wait', parents=[on_guest], help='wait until a guest has booted')
    verb.set_defaults(function=wait_command)

    verb = commands.add_parser('run', parents=[on_guest], help='run a command in a guest')
    verb.add_argument('command', nargs=argparse.REMAINDER)
    verb.set_defaults(function=run_command)

    verb = commands.add_parser('ping', parents=[on_guest], help='ping another guest')
    verb.add_argument('other')
    verb.add_argument('--count', type=int, default=3)
    verb.set_defaults(function=ping_command)

    verb = commands.add_parser('send', parents=[on_guest],
                               help='send random data to another guest, compare its SHA-256 there')
    verb.add_argument('other')
    verb.add_argument('mebibytes', type=int)
    verb.set_defaults(function=send_command)

    verb = commands.add_parser('stop', parents=[on_guest], help='end a guest')
    verb.set_defaults(function=stop_command)
    return parser.parse_args()


def main():
    args = parse_arguments()
    try:
        return args.function(args) or 0
    except (GuestError, QmpError, OSError) as error:
        print(f'guest.py: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
