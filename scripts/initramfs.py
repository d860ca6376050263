# SPDX-License-Identifier: BSD-3-Clause
"""The initramfs of the guests: busybox, the virtio-net modules, and what PID 1 does."""

import glob
import os
import shutil
import stat
import subprocess

BUSYBOX = '/bin/busybox'
# insmod order; each one needs those before it.
MODULES = ('virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev',
           'virtio_pci', 'failover', 'net_failover', 'virtio_net')

INIT = r'''#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp /root
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root PS1='\h# '
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
option() { sed -n "s/.*ringway\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
hostname "$(option name)"
# What runs on the first serial port: a shell, or what asks for a name first.
case $(option console) in
login) console='getty -L 115200 ttyS0' ;;
*) console='sh -l' ;;
esac
for module in MODULES; do
	insmod /modules/$module.ko
done
ip link set lo up
ip addr add "$(option address)" dev eth0
ip link set eth0 up
(cd /root; while :; do
	setsid -c $console </dev/ttyS0 >/dev/ttyS0 2>&1
done) &
# Not in PID 1, which gets SIGCHLD for every orphan: it makes busybox's read forget what it has read
# of a line.
while :; do
	stty raw -echo
	while read -r id command; do
		rm -f /tmp/output
		sh -c "$command" </dev/null >/tmp/output 2>&1
		status=$?
		printf '@begin %s\n' "$id"
		cat /tmp/output
		printf '\n@end %s %s\n' "$id" "$status"
	done
done </dev/ttyS1 >/dev/ttyS1 &
while :; do
	wait
done
'''.replace('MODULES', ' '.join(MODULES))


def cpio_entry(name, mode, data=b'', device=(0, 0)):
    """One member of a "newc" archive. Written here because cpio needs root for a device node."""
    path = name.encode() + b'\0'
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(path), 0)
    header = b'070701' + b''.join(b'%08X' % field for field in fields)
    entry = header + path
    entry += b'\0' * (-len(entry) % 4) + data
    return entry + b'\0' * (-len(data) % 4)


def cpio_end():
    return cpio_entry('TRAILER!!!', 0)


def cpio_files(files):
    """An archive of {path in the guest: path here}, to be appended to an initramfs."""
    archive = b''
    folders = {os.path.dirname(name) for name in files}
    folders |= {parent for folder in folders for parent in parents(folder)}
    for folder in sorted(folders):
        archive += cpio_entry(folder, stat.S_IFDIR | 0o755)
    for name, path in files.items():
        with open(path, 'rb') as data:
            archive += cpio_entry(name, stat.S_IFREG | 0o755, data.read())
    return archive + cpio_end()


def parents(folder):
    """'a/b/c' lies in 'a' and in 'a/b'."""
    parts = folder.split('/')
    return {'/'.join(parts[:n]) for n in range(1, len(parts))}


def build_initramfs(kernel_dir, out):
    """Writes the initramfs for the kernel package unpacked at kernel_dir to the file out."""
    archive = b''
    for folder in ('bin', 'dev', 'modules'):
        archive += cpio_entry(folder, stat.S_IFDIR | 0o755)
    archive += cpio_entry('dev/console', stat.S_IFCHR | 0o600, device=(5, 1))
    with open(BUSYBOX, 'rb') as binary:
        archive += cpio_entry('bin/busybox', stat.S_IFREG | 0o755, binary.read())
    for module in MODULES:
        found = glob.glob(f'{kernel_dir}/lib/modules/*/kernel/**/{module}.ko', recursive=True)
        if len(found) != 1:
            raise FileNotFoundError(f'{kernel_dir}: {len(found)} files named {module}.ko')
        with open(found[0], 'rb') as data:
            archive += cpio_entry(f'modules/{module}.ko', stat.S_IFREG | 0o644, data.read())
    archive += cpio_entry('init', stat.S_IFREG | 0o755, INIT.encode())
    archive += cpio_end()
    with open(out + '.new', 'wb') as new:
        new.write(archive)
    os.replace(out + '.new', out)


def extend_initramfs(initramfs, out, files):
    """Writes the initramfs with more files, {path in the guest: path here}, to the file out."""
    with open(initramfs, 'rb') as base, open(out + '.new', 'wb') as new:
        shutil.copyfileobj(base, new)
        new.write(cpio_files(files))
    os.replace(out + '.new', out)


def static_program(source, folder):
    """A program in `folder` that is compiled from this file, without libraries; its path."""
    program = os.path.join(folder, os.path.splitext(os.path.basename(source))[0])
    subprocess.run(['gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', program,
                    source], check=True)
    return program
