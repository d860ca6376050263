# SPDX-License-Identifier: BSD-3-Clause
"""ringwayd's log: nobody waits for whoever reads it, and no peer fills it."""

import json
import os
import signal
import socket
import struct
import time

import pytest

import programs

BURST, PER_S = 10, 1  # lines of one kind that a port may cause, lib/base/include/rw_log.h
LINE = 200  # bytes, more than any line here has


def fill(pipe):
    """Fill `pipe`, which stays blocking; how many bytes it took."""
    os.set_blocking(pipe, False)
    filled = 0
    try:
        while True:
            filled += os.write(pipe, b'.' * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(pipe, True)
    return filled


def leave(path, data=b''):
    """Connect, send `data` and leave; return when the switch noticed."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(30)
        one.connect(path)
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        one.recv(100)


def nonsense(number):
    """A request that is refused in other words than any other one."""
    return struct.pack('<III', 1000 + number, 1, 0)


def port_shown(daemon, name):
    done = daemon.cli('port', 'show', name, '--json')
    assert (done.returncode, done.stderr) == (0, '')
    return json.loads(done.stdout)


def test_a_full_pipe_as_standard_error_stops_nobody(launch, place):
    taken, given = os.pipe()
    filled = fill(given)
    daemon = launch(f'--socket-path={place}/vm1.sock', '--log-level=debug', stderr=given)
    os.close(given)
    for number in range(1000):
        leave(f'{place}/vm1.sock', nonsense(number))
    assert port_shown(daemon, 'vm1')['log_suppressed'] > 0
    daemon.process.send_signal(signal.SIGTERM)
    # Its last lines are given up after a moment: nobody reads.
    assert daemon.process.wait(30) == 0
    rest = b''
    while chunk := os.read(taken, 65536):
        rest += chunk
    os.close(taken)
    assert rest.startswith(b'.' * filled)


def test_a_reader_that_comes_late_learns_what_was_lost(launch, place):
    taken, given = os.pipe()
    fill(given)
    daemon = launch(f'--socket-path={place}/vm1.sock', '--log-level=debug', stderr=given)
    os.close(given)
    for _ in range(300):
        leave(f'{place}/vm1.sock')
    # 300 lines of the level "debug" at least, and 256 can wait.
    for _ in range(300):
        leave(f'{place}/vm1.sock', b'\1\0\0\0\1\0\0\0\0\0\0\0')
    text = b''
    while b'of the log are lost' not in text:
        chunk = os.read(taken, 65536)
        assert chunk
        text += chunk
    assert daemon.stop() == 0
    os.close(taken)


@pytest.mark.parametrize('data', [b'', b'\xff' * 12], ids=['leave', 'nonsense'])
def test_who_does_the_same_in_a_loop_is_logged_a_few_times(launch, place, data):
    daemon = launch(f'--socket-path={place}/vm1.sock')
    before = len(daemon.said())
    for _ in range(500):
        leave(f'{place}/vm1.sock', data)
    daemon.wait_until_said('the next such ones are not logged')
    assert len(daemon.said()) - before < 12 * LINE
    assert port_shown(daemon, 'vm1')['log_suppressed'] == 0
    assert daemon.stop() == 0


def test_who_does_wrong_in_ever_new_ways_leaves_few_lines(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock', f'--socket-path={place}/vm2.sock')
    before = len(daemon.said())
    start = time.monotonic()
    for number in range(2000):
        leave(f'{place}/vm1.sock', nonsense(number))
    seconds = time.monotonic() - start
    # Two kinds of lines: what happens, and what was wrong.
    allowed = 2 * (BURST + PER_S * (seconds + 2)) * LINE
    assert len(daemon.said()) - before < allowed
    assert port_shown(daemon, 'vm1')['log_suppressed'] > 0
    assert 'log lines lost' in daemon.cli('port', 'show', 'vm1').stdout
    # The other port has its own share.
    leave(f'{place}/vm2.sock', b'\xff' * 12)
    assert port_shown(daemon, 'vm2')['log_suppressed'] == 0
    daemon.wait_until_said('port vm2: front-end connected')
    daemon.wait_until_said('port vm2: front-end disconnected')
    assert daemon.stop() == 0


def test_what_goes_wrong_at_the_start_is_said_before_it_ends(place):
    path = os.path.join(place, 'file')
    with open(path, 'w', encoding='utf-8'):
        pass
    # This is found out when the thread of the log runs.
    done = programs.run(programs.RINGWAYD, '--no-huge', f'--control={path}',
                        f'--socket-path={place}/vm1.sock')
    assert done.returncode == 2
    assert f'error: --control={path}: ' in programs.the_line(done.stderr)
