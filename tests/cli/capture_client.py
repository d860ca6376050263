# SPDX-License-Identifier: BSD-3-Clause
"""Guests whose frames are captured, and a client of the control socket that captures by itself."""

import array
import contextlib
import fcntl
import json
import mmap
import os
import socket
import struct
import time

import front_end
from front_end import FrontEnd

RING = 128 << 10  # bytes, the least
HEAD_BYTES = 20480  # before a ring
TAIL = 64 + 64  # of the reader's position
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
WAIT_S = 30


def wait_until(what):
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, 'it does not come'
        time.sleep(0.005)


class Guest(FrontEnd):
    """A guest that can send, and receive 200 frames."""

    def __init__(self, path, mac, buffers=200):
        super().__init__(path)
        self.mac = mac
        self.negotiate(front_end.VERSION_1)
        self.share_memory(2)
        self.start_ring(0)
        self.start_ring(1)
        self.post(buffers)

    def say(self, frame):
        """Send a frame, and wait until the switch has taken it."""
        before = self.used(1)
        self.send(frame)
        wait_until(lambda: self.used(1) != before)

    def frame(self, to, seq=0, length=64, ethertype=b'\x88\xb5'):
        body = bytes((seq * 7 + i) & 0xff for i in range(length - 14))
        return to + self.mac + ethertype + body

    def udp(self, to, port, length=64):
        """Over IPv4, from 10.0.0.1:1000 to 10.0.0.2; checksums are 0."""
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, length - 14, 0, 0, 64, 17, 0, b'\x0a\0\0\1',
                         b'\x0a\0\0\2')
        udp = struct.pack('!HHHH', 1000, port, length - 34, 0)
        return to + self.mac + b'\x08\0' + ip + udp + bytes(length - 42)


class Client:
    """A connection to the control socket that may pass a descriptor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(path)
        self.answers = self.socket.makefile('rb')

    def ask(self, method, params=None, fds=()):
        request = {'jsonrpc': '2.0', 'method': method, 'id': 1}
        if params is not None:
            request['params'] = params
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.socket.sendmsg([json.dumps(request).encode() + b'\n'], control)
        return json.loads(self.answers.readline())

    def close(self):
        self.answers.close()
        self.socket.close()


@contextlib.contextmanager
def memory(size=HEAD_BYTES + RING, seals=SEALS):
    """A memfd, and its mapping."""
    fd = os.memfd_create('capture', os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        if seals:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        with mmap.mmap(fd, size) as mapped:
            yield fd, mapped
    finally:
        os.close(fd)
