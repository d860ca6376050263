# SPDX-License-Identifier: BSD-3-Clause
"""ringwayd as a service: what it tells the service manager, and how it writes to the journal."""

import os
import signal
import socket
import subprocess

import pytest

from programs import RINGWAYD


@pytest.fixture(name='manager', params=['path', 'abstract'])
def fixture_manager(request, place):
    """A service manager: its socket, and how the environment names it."""
    name = f'{place}/notify'
    address = name if request.param == 'path' else f'\0{name}'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(10)
        yield sock, address.replace('\0', '@')


def message(sock):
    return dict(line.split('=', 1) for line in sock.recv(4096).decode().split('\n'))


def test_the_service_manager_hears_of_start_life_and_end(launch, place, manager):
    sock, name = manager
    environment = {**os.environ, 'NOTIFY_SOCKET': name, 'WATCHDOG_USEC': '100000'}
    daemon = launch(f'--socket-path={place}/vm1.sock', env=environment)
    ready = message(sock)
    assert ready['READY'] == '1'
    assert ready['STATUS'] == '1 port(s), 1 worker(s)'
    for _ in range(3):
        assert message(sock) == {'WATCHDOG': '1'}
    assert daemon.stop() == 0
    last = message(sock)
    while 'WATCHDOG' in last:
        last = message(sock)
    assert last == {'STOPPING': '1'}


def test_the_service_goes_on_in_a_successor(launch, place, manager):
    sock, name = manager
    environment = {**os.environ, 'NOTIFY_SOCKET': name, 'WATCHDOG_USEC': '200000'}
    daemon = launch(f'--socket-path={place}/vm1.sock', env=environment)
    assert message(sock)['READY'] == '1'
    with subprocess.Popen([RINGWAYD, '--no-huge', '--seccomp=kill',
                           f'--takeover={daemon.control}']) as successor:
        told = message(sock)
        while 'WATCHDOG' in told:
            told = message(sock)
        # While the old one still runs: its end would be that of the service.
        assert told == {'MAINPID': str(successor.pid)}
        assert daemon.process.wait(10) == 0
        ready = message(sock)
        while 'WATCHDOG' in ready:
            ready = message(sock)
        assert ready['READY'] == '1' and ready['MAINPID'] == str(successor.pid)
        assert message(sock) == {'WATCHDOG': '1'}
        successor.terminate()
        last = message(sock)
        while 'WATCHDOG' in last:
            last = message(sock)
        assert last == {'STOPPING': '1'}
        assert successor.wait(10) == 0


def test_a_reload_begins_and_ends(launch, place, manager):
    sock, name = manager
    with open(f'{place}/conf', 'w', encoding='utf-8') as conf:
        conf.write(f'ports: {{vm1: {{socket: {place}/vm1.sock}}}}')
    daemon = launch(f'--config={place}/conf', env={**os.environ, 'NOTIFY_SOCKET': name})
    assert message(sock)['STATUS'] == '1 port(s), 1 worker(s)'
    with open(f'{place}/conf', 'w', encoding='utf-8') as conf:
        conf.write('ports: {}')
    daemon.process.send_signal(signal.SIGHUP)
    begun = message(sock)
    assert begun['RELOADING'] == '1' and int(begun['MONOTONIC_USEC']) > 0
    done = message(sock)
    assert done['READY'] == '1' and done['STATUS'] == '0 port(s), 1 worker(s)'
    assert daemon.stop() == 0


def test_another_process_s_watchdog_is_not_fed(launch, place, manager):
    sock, name = manager
    environment = {**os.environ, 'NOTIFY_SOCKET': name, 'WATCHDOG_USEC': '1000',
                   'WATCHDOG_PID': str(os.getpid())}
    daemon = launch(f'--socket-path={place}/vm1.sock', env=environment)
    assert 'READY' in message(sock)
    assert daemon.cli('port', 'list').returncode == 0
    assert daemon.stop() == 0
    assert message(sock) == {'STOPPING': '1'}


def test_a_service_manager_that_is_not_there_stops_nothing(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock',
                    env={**os.environ, 'NOTIFY_SOCKET': f'{place}/nobody'})
    daemon.wait_until_said(f'warning: NOTIFY_SOCKET={place}/nobody: ')
    assert daemon.stop() == 0


def test_lines_in_the_journal_have_priorities(launch, place):
    with open(f'{place}/journal', 'w', encoding='utf-8') as journal:
        status = os.fstat(journal.fileno())
        stream = f'{status.st_dev}:{status.st_ino}'
        daemon = launch(f'--socket-path={place}/vm1.sock', stderr=journal,
                        env={**os.environ, 'JOURNAL_STREAM': stream})
        assert daemon.stop() == 0
    with open(f'{place}/journal', encoding='utf-8') as journal:
        lines = journal.read().splitlines()
    assert '<4>running without huge pages' in '\n'.join(lines)
    assert '<6>stopping: Terminated' in lines
    assert all(line[0] == '<' and line[1] in '3467' and line[2] == '>' for line in lines), lines


def test_lines_elsewhere_have_words(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock',
                    env={**os.environ, 'JOURNAL_STREAM': '8:1'})
    daemon.wait_until_said('info: ringwayd ')
    assert daemon.stop() == 0
