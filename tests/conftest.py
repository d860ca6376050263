# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the tests that run the real programs.

RINGWAY_BUILD names the build directory, <repository>/build by default. Logs of a test are
left in its test-logs/ folder.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get('RINGWAY_BUILD', os.path.join(ROOT, 'build')))
LOGS = os.path.join(BUILD, 'test-logs')

sys.path.insert(0, os.path.join(ROOT, 'scripts'))
from guest import die_with_parent  # noqa: E402

SOCKET_PATH_MAX = 107
START_S = 120
STOP_S = 60


class Switch:
    """A running ringwayd. `sockets` maps the names of its ports to their paths.

    Several in one folder have names. `prefix`: the words of a command that runs ringwayd, for
    example in a namespace, as the same process.
    """

    def __init__(self, folder, ports, clients=None, options=(), **place):
        self.folder = folder
        self.name = place.pop('name', 'ringwayd')
        self.prefix = list(place.pop('prefix', ()))
        if place:
            raise TypeError(f'unknown options: {", ".join(place)}')
        self.sockets = {name: self.path(f'{name}.sock') for name in ports}
        self.sockets.update(clients or {})
        self.clients = set(clients or {})
        self.control = self.path(f'{self.name}.control')
        self.options = list(options)
        self.process = None

    def path(self, name):
        path = os.path.join(self.folder, name)
        assert len(path) <= SOCKET_PATH_MAX, f'{path} is too long for a socket'
        return path

    def start(self):
        command = [*self.prefix, os.path.join(BUILD, 'app', 'ringwayd'),
                   f'--control={self.control}', '--seccomp=kill']
        for name, path in self.sockets.items():
            mode = 'client' if name in self.clients else 'server'
            command += ['--port', f'{name},socket={path},mode={mode}']
        with open(self.path(f'{self.name}.log'), 'ab') as log:
            self.process = subprocess.Popen(command + self.options, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=die_with_parent)
        wanted = [self.control] + [self.sockets[n] for n in self.sockets if n not in self.clients]
        deadline = time.monotonic() + START_S
        while not all(os.path.exists(path) for path in wanted):
            if self.process.poll() is not None:
                pytest.fail(f'ringwayd ended with status {self.process.returncode}:\n{self.log()}')
            if time.monotonic() > deadline:
                pytest.fail(f'ringwayd has no sockets after {START_S} s:\n{self.log()}')
            time.sleep(0.01)

    def log(self):
        with open(self.path(f'{self.name}.log'), encoding='utf-8', errors='replace') as log:
            return log.read()

    def stop(self):
        """SIGTERM; what is wrong with the end that follows, or None."""
        if self.process.poll() is not None:
            return f'ringwayd had ended with status {self.process.returncode}'
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return f'ringwayd did not end within {STOP_S} s of SIGTERM'
        if self.process.returncode:
            return f'ringwayd ended with status {self.process.returncode}'
        return None

    def command(self):
        """What a shell calls to talk to the switch."""
        return f'{os.path.join(BUILD, "app", "ringway")} -s {self.control}'

    def cli(self, *words):
        """The answer of `ringway --json WORDS`."""
        command = [os.path.join(BUILD, 'app', 'ringway'), '-s', self.control, '--json', *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f'{" ".join(command)}: {done.stderr}'
        return json.loads(done.stdout)

    def port(self, name):
        """The row of `port list` for one port."""
        return next(row for row in self.cli('port', 'list') if row['name'] == name)

    def stats(self, name, *options):
        """The row of `port stats` for one port."""
        return next(row for row in self.cli('port', 'stats', *options) if row['name'] == name)

    def drops(self):
        """All drop counters that are not zero, as {"port direction reason": frames}."""
        found = {}
        for row in self.cli('port', 'stats'):
            for direction in 'rx', 'tx':
                for reason, frames in row[direction]['drops'].items():
                    if frames:
                        found[f'{row["name"]} {direction} {reason}'] = frames
        return found


def remove_folder(path):
    """Remove a folder in which files may vanish by themselves meanwhile."""
    for _ in range(10):
        try:
            return shutil.rmtree(path)
        except FileNotFoundError:
            if not os.path.lexists(path):
                return None
    return shutil.rmtree(path)


@pytest.fixture
def short_folder():
    """An empty folder with a path short enough for sockets."""
    path = tempfile.mkdtemp(prefix='rw', dir='/tmp')
    yield path
    # A helper whose daemon was killed may still be removing what it made.
    remove_folder(path)


@pytest.fixture
def folder(short_folder, request):
    """Such a folder whose logs are kept in the build."""
    path = short_folder
    yield path
    kept = os.path.join(LOGS, re.sub(r'[^\w.-]+', '_', request.node.nodeid))
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept)
    for name in os.listdir(path):
        if name.endswith('.log'):
            shutil.copy(os.path.join(path, name), kept)


@pytest.fixture
def ringwayd(folder):
    """Starts switches: ringwayd('g0', 'g1') is a Switch with two ports that listen.

    clients={name: path} are ports that connect; options are more words of the command line. Two in
    one test have names of their own (name='b').
    A switch that has crashed by the end of the test, or does not end well, fails the test.
    """
    switches = []

    def start(*ports, clients=None, options=(), **place):
        switch = Switch(folder, ports, clients, options, **place)
        switches.append(switch)
        switch.start()
        return switch

    yield start
    complaints = [switch.stop() for switch in switches if switch.process]
    complaints = [f'{c}:\n{s.log()}' for c, s in zip(complaints, switches) if c]
    if complaints:
        pytest.fail('\n'.join(complaints))
