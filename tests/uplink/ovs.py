# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Open vSwitch as the other side of an uplink: its userspace datapath, in a folder."""

import os
import re
import signal
import subprocess

from guest import die_with_parent, wait_until

SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
# The package's ovs-vswitchd; the one with DPDK, where that package is installed, is another file.
VSWITCHD = '/usr/lib/openvswitch-switch/ovs-vswitchd'
SOON_S = 60


class Ovs:
    """ovsdb-server and ovs-vswitchd, in the network namespace of the caller."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}
        self.database = f'unix:{folder}/ovsdb.sock'

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        subprocess.run(['ovsdb-tool', 'create', self.path('ovs.db'), SCHEMA], check=True)
        self.launch('ovsdb-server', 'ovsdb-server', self.path('ovs.db'),
                    f'--remote=p{self.database}')
        wait_until(lambda: os.path.exists(self.path('ovsdb.sock')), SOON_S, 'no ovsdb-server')
        self.vsctl('--no-wait', 'init')
        self.launch('ovs-vswitchd', VSWITCHD, self.database, '--disable-system')
        self.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev')

    def launch(self, name, program, *words):
        with open(self.path(f'{name}.log'), 'ab') as log:
            self.processes[name] = subprocess.Popen(
                [program, *words, f'--unixctl={self.path(name)}.ctl', '--no-chdir'],
                env={**os.environ, 'OVS_RUNDIR': self.folder}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=die_with_parent)

    def vsctl(self, *words):
        subprocess.run(['ovs-vsctl', f'--db={self.database}', f'--timeout={SOON_S}', *words],
                       check=True, stdin=subprocess.DEVNULL)

    def ask(self, *words):
        """The answer of ovs-vswitchd to a command."""
        done = subprocess.run(['ovs-appctl', '-t', self.path('ovs-vswitchd.ctl'), *words],
                              capture_output=True, text=True, timeout=SOON_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def members(self, bond):
        """{member: whether the bond uses it}"""
        found = re.findall(r'^member (\S+): (enabled|disabled)', self.ask('bond/show', bond), re.M)
        return {name: state == 'enabled' for name, state in found}

    def stop(self):
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
            process.wait(SOON_S)
