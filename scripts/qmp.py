# SPDX-License-Identifier: BSD-3-Clause
"""A client of QEMU's monitor (QMP): commands, their answers, and events."""

import json
import socket
import time

# For a connection and for the answer to a command.
COMMAND_S = 10


class QmpError(Exception):
    """QEMU refused a command, or did not answer, or an event did not come."""


class Qmp:
    """A connection to the monitor at `path`. QEMU serves one client at a time."""

    def __init__(self, path):
        self.path = path
        self.buffer = b''
        self.events = []
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.settimeout(COMMAND_S)
            self.socket.connect(path)
            self.receive(time.monotonic() + COMMAND_S)
            self.command('qmp_capabilities')
        except BaseException:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()

    def receive(self, deadline):
        """The next message, which may be an event; None when none is there in time."""
        while b'\n' not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                return None
            if not data:
                raise QmpError(f'{self.path}: QEMU is gone')
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b'\n')
        return json.loads(line)

    def command(self, name, /, **arguments):
        """Runs one command; returns what it returns."""
        request = {'execute': name, 'arguments': arguments}
        self.socket.settimeout(COMMAND_S)
        self.socket.sendall(json.dumps(request).encode() + b'\n')
        deadline = time.monotonic() + COMMAND_S
        while True:
            answer = self.receive(deadline)
            if answer is None:
                raise QmpError(f'{self.path}: no answer to {name}')
            if 'event' in answer:
                self.events.append(answer)
            elif 'error' in answer:
                raise QmpError(f'{self.path}: {name} {arguments}: {answer["error"]["desc"]}')
            else:
                return answer['return']

    def wait_event(self, name, timeout):
        """The first event of that name that no earlier call has returned."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event['event'] == name:
                    self.events.remove(event)
                    return event
            event = self.receive(deadline)
            if event is None:
                raise QmpError(f'{self.path}: no event {name} in {timeout} s')
            self.events.append(event)
