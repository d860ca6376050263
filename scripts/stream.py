# SPDX-License-Identifier: BSD-3-Clause
"""A numbered, checksummed stream between two guests, both ways: what arrives while one moves.

The program in the guests is scripts/stream.c.
"""

import os
import time

from guest import GuestError
from initramfs import extend_initramfs, static_program

REPORT = '/tmp/stream.report'
PID = '/tmp/stream.pid'
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'stream.c')
# Until frames come again after whatever happened.
AGAIN_S = 300
# Between two looks; long enough for many frames.
LOOK_S = 0.3
SIZE = 512


def add_to_initramfs(initramfs, folder):
    """An initramfs in `folder` that has the program too; returns its path."""
    path = os.path.join(folder, 'initramfs')
    extend_initramfs(initramfs, path, {'bin/stream': static_program(SOURCE, folder)})
    return path


class Stream:
    """Between `mover` and `peer`, rate datagrams per second each way. mover may change.

    silent: none comes from the mover.
    """

    def __init__(self, mover, peer, rate, silent=False):
        self.mover = mover
        self.ways = ['in'] if silent else ['out', 'in']
        self.peer = peer
        # Largest gap in ns since take_gaps(), of what went `out` of the mover and `in`.
        self.gaps = {'out': 0, 'in': 0}
        for guest, other in (mover, peer), (peer, mover):
            own = 0 if silent and guest is mover else rate
            guest.check(f'stream run {other.ip} {own} {SIZE} {REPORT} >/tmp/stream.log 2>&1 & '
                        f'echo $! >{PID}')

    def report(self, guest):
        """{name: number} as scripts/stream.c says; `sent` is of this guest."""
        words = guest.check(f'rm -f {REPORT}; kill -USR1 $(cat {PID}) && '
                            f'until [ -e {REPORT} ]; do usleep 10000; done; cat {REPORT}').split()
        if len(words) % 2 or not words:
            raise GuestError(f'{guest.name}: the stream says {words}')
        return dict(zip(words[::2], map(int, words[1::2])))

    def look(self):
        """{'out': counters at the peer, 'in': counters at the mover}"""
        found = {'out': self.report(self.peer), 'in': self.report(self.mover)}
        for way, counters in found.items():
            self.gaps[way] = max(self.gaps[way], counters['gap_ns'])
        return found

    def take_gaps(self):
        """The largest gaps since the last call, in ms."""
        gaps = {way: gap / 1e6 for way, gap in self.gaps.items()}
        self.gaps = dict.fromkeys(gaps, 0)
        return gaps

    def wait_flow(self, timeout=AGAIN_S):
        """Returns the counters when frames come from both sides, also the first after a gap."""
        deadline = time.monotonic() + timeout
        before = self.look()
        while True:
            time.sleep(LOOK_S)
            after = self.look()
            silent = [way for way in self.ways if after[way]['received'] == before[way]['received']]
            if not silent:
                return after
            if time.monotonic() > deadline:
                raise GuestError(f'no frame came {" and ".join(silent)} for {timeout} s')

    def stop(self):
        for guest in self.mover, self.peer:
            guest.check(f'kill $(cat {PID})')


def since(before, after):
    """What the counters of look() say of the time between: {way: {name: number}}"""
    names = 'received', 'lost', 'duplicated', 'wrong'
    return {way: {name: after[way][name] - before[way][name] for name in names} for way in after}
