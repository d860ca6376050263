# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/migration-lab migrates guests on: back-ends with three vhost-user sockets each.

Two are the places of the guest that moves, the third one is of the guest that it talks to.
"""

import json
import os
import subprocess

import bench_peers
from bench_peers import fail

PORTS = ('one', 'two', 'peer')
SOCKETS = 'SOCKET:SOCKET:SOCKET'


class Ringway(bench_peers.Ringway):
    """ringwayd, with a folder of its own for what outlives it."""
    ports = len(PORTS)
    title = 'ringwayd'

    def __init__(self, directory, args):
        state = os.path.join(directory, 'state')
        os.makedirs(state, mode=0o700, exist_ok=True)
        self.options = (f'--state-dir={state}', '--log-level=debug')
        self.moving = (',postcopy=on' if args.postcopy else '') + (
            f',{args.port_options}' if args.port_options else '')
        for name in (*(f'v{i}' for i in range(self.ports)), 'ctl'):
            # What one that was killed has left: its successor's are waited for.
            if os.path.lexists(os.path.join(directory, name)):
                os.unlink(os.path.join(directory, name))
        super().__init__(directory)

    def port_options(self):
        return [word for name, path in zip(PORTS, self.sockets)
                for word in ('--port', f'{name},socket={path}' +
                             (self.moving if name != 'peer' else ''))]

    def ask(self, *words):
        """The answer of `ringway --json WORDS`, or None while there is none."""
        program = self.build / 'app' / 'ringway'
        done = subprocess.run([program, '-s', self.control, '--json', *words],
                              capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def pages_marked(self, port):
        """Since the log was switched on; None while it is off."""
        row = self.ask('port', 'show', port) or {}
        log = row.get('log') or {}
        return log.get('pages_marked') if log.get('active') else None

    def learned(self, mac):
        """(port, how it was found) of an address, or None."""
        for row in self.ask('fdb', 'list') or ():
            if row['mac'] == mac:
                return row['port'], row.get('how', '')
        return None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        self.process.terminate()
        bench_peers.finish(self.process)
        self.log.close()


class Unknown:
    """What is known of a back-end that is not ours."""

    def pages_marked(self, _):
        """Nobody says."""

    def learned(self, _):
        """Nobody says."""


class Ovs(Unknown, bench_peers.Ovs):
    """Open vSwitch with DPDK, a learning bridge."""
    ports = len(PORTS)
    title = 'OVS-DPDK'

    def __init__(self, directory, args):
        if args.postcopy:
            fail('--backend ovs --postcopy: only ports of OVS-DPDK that connect take part in it: '
                 'leave out --postcopy')
        super().__init__(directory)


def external(sockets):
    """A back-end that somebody else has started."""
    class External(Unknown):
        """Three sockets, and nothing else is known."""
        title = ':'.join(sockets)

        def __init__(self, directory, args):
            del directory, args
            self.sockets = sockets
            bench_peers.wait_sockets(sockets)

        def stop(self):
            """Whoever started it does."""
    return External


BACK_ENDS = {'ringway': Ringway, 'ovs': Ovs}


def back_end(word):
    """The class of --backend WORD."""
    if word in BACK_ENDS:
        return BACK_ENDS[word]
    if word == 'testpmd':
        fail('--backend testpmd: it joins ports in pairs, and a guest that moves has two places: '
             'write ovs, a switch on the same library')
    sockets = word.split(':')
    if len(sockets) != len(PORTS) or not all(sockets):
        fail(f'--backend {word}: there are {", ".join(BACK_ENDS)} and {SOCKETS}, of the two places '
             'of the guest that moves and of the one that it talks to')
    missing = [path for path in sockets if not os.path.exists(path)]
    if missing:
        fail(f'--backend {word}: there is no {missing[0]}: start the back-end first')
    return external(sockets)
