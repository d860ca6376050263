#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A hook of libvirt that gives each guest its ports: copy it to /etc/libvirt/hooks/qemu, make it
executable, and restart libvirtd (https://libvirt.org/hooks.html).

Before a guest starts, each of its <interface type='vhostuser'> gets a port: one with a socket for
libvirt's QEMU where the interface is a client, one that connects where it is a server. After its
end the ports go. A port is called like the guest, with a number behind from the second one on. The
directory of the sockets must be one that ringwayd was started with (--socket-dir).

RINGWAY is the command to run (default: "ringway"), SOCKET_OWNER the user of libvirt's QEMU.
"""

import json
import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree

RINGWAY = shlex.split(os.environ.get('RINGWAY', 'ringway'))
SOCKET_OWNER = os.environ.get('SOCKET_OWNER', 'libvirt-qemu')


def ringway(*words):
    return subprocess.run([*RINGWAY, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


def description(domain):
    """What says whose a port is."""
    return f'libvirt: {domain.findtext("uuid")}'


def is_left_over(name, domain):
    """Whether the port is this guest's, from a libvirtd that was killed."""
    shown = ringway('port', 'list', '--json')
    rows = json.loads(shown.stdout) if not shown.returncode else []
    return any(row['name'] == name and row.get('description') == description(domain)
               for row in rows)


def ports(domain):
    """The name, path and mode of each port of a domain."""
    name = domain.findtext('name')
    sources = domain.findall("./devices/interface[@type='vhostuser']/source[@type='unix']")
    for i, source in enumerate(sources):
        yield f'{name}-{i + 1}' if i else name, source.get('path'), source.get('mode')


def add(domain):
    for name, path, mode in ports(domain):
        words = [f'socket={path}', f'description={description(domain)}']
        # Who makes the socket listens: one of the two is the server.
        if mode == 'server':
            words.append('mode=client')
        else:
            words.append(f'socket-owner={SOCKET_OWNER}')
        if is_left_over(name, domain):
            ringway('port', 'del', name)
        done = ringway('port', 'add', name, *words)
        if done.returncode:
            sys.exit(done.stderr.strip())  # libvirt shows it, and the start ends


def remove(domain):
    for name, _, _ in ports(domain):
        ringway('port', 'del', name)


def main():
    operation, part = sys.argv[2:4]
    if (operation, part) == ('prepare', 'begin'):
        add(xml.etree.ElementTree.parse(sys.stdin).getroot())
    elif (operation, part) == ('release', 'end'):
        remove(xml.etree.ElementTree.parse(sys.stdin).getroot())


if __name__ == '__main__':
    main()
