# SPDX-License-Identifier: BSD-3-Clause
"""Which files a port's front-ends may share (memory=), and SIGBUS that is not about them."""

import ctypes
import fcntl
import json
import os
import signal
import struct

import pytest

import front_end
from front_end import FrontEnd
from programs import BUILD


@pytest.fixture
def disk_file():
    """A file of one region, on a file system that is neither tmpfs nor hugetlbfs."""
    fd = os.open(BUILD, os.O_TMPFILE | os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        pytest.skip(f'{BUILD} is in a tmpfs')
    except OSError:
        pass
    os.ftruncate(fd, front_end.REGION)
    yield fd
    os.close(fd)


def table_is_taken(path, fd):
    """Whether a new front-end may share the file."""
    one = FrontEnd(path)
    with one.socket:
        one.negotiate(front_end.VERSION_1)
        payload = struct.pack('=IIQQQQ', 1, 0, 0, front_end.REGION, front_end.USER, 0)
        answer = one.ask(front_end.SET_MEM_TABLE, payload, [fd], front_end.NEED_REPLY)
        return struct.unpack('=Q', answer)[0] == 0


def set_memory(daemon, how):
    done = daemon.cli('port', 'set', 'vm1', f'memory={how}')
    assert (done.returncode, done.stderr) == (0, '')
    done = daemon.cli('port', 'show', 'vm1', '--json')
    assert json.loads(done.stdout)['memory_files'] == how


def wait_until_gone(daemon):
    """The port takes one front-end at a time."""
    while json.loads(daemon.cli('port', 'show', 'vm1', '--json').stdout)['connected']:
        pass


def test_only_memory_any_takes_files_of_every_file_system(launch, place, disk_file):
    path = f'{place}/vm1.sock'
    daemon = launch(f'--socket-path={path}')
    for how, taken in ('shared', False), ('any', True), ('shared', False):
        set_memory(daemon, how)
        wait_until_gone(daemon)
        assert table_is_taken(path, disk_file) == taken
    said = daemon.wait_until_said('neither in tmpfs')
    line = next(line for line in said.splitlines() if 'neither in tmpfs' in line)
    assert 'port vm1: ' in line and 'SET_MEM_TABLE' in line and 'hugetlbfs' in line
    assert daemon.stop() == 0


def test_memory_any_may_be_said_at_the_start(launch, place, disk_file):
    path = f'{place}/vm1.sock'
    daemon = launch('--port', f'vm1,socket={path},memory=any')
    assert table_is_taken(path, disk_file)
    assert daemon.stop() == 0



def thread_named(daemon, part):
    tasks = f'/proc/{daemon.process.pid}/task'
    for tid in os.listdir(tasks):
        with open(f'{tasks}/{tid}/comm', encoding='ascii') as name:
            if part in name.read():
                return int(tid)
    raise AssertionError(f'no thread is named {part}')


@pytest.mark.parametrize('part', ['ringwayd', 'worker', 'rw-helper'])
def test_a_bus_error_elsewhere_ends_it_as_any_program(launch, place, part):
    daemon = launch(f'--socket-path={place}/vm1.sock')
    one = FrontEnd(f'{place}/vm1.sock')
    with one.socket:
        one.negotiate(front_end.VERSION_1)
        one.share_memory()
        # With the filter of its own, each kind of thread can let the signal have its way.
        ctypes.CDLL(None).tgkill(daemon.process.pid, thread_named(daemon, part), signal.SIGBUS)
        assert daemon.process.wait(10) == -signal.SIGBUS
