# SPDX-License-Identifier: BSD-3-Clause
"""ringway monitor and ringway top: what happens, as it happens."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import types

import pytest

from programs import RINGWAY, the_line

WAIT_S = 20


@pytest.fixture
def daemon(launch, place):
    return launch(f'--port=vm1,socket={place}/vm1.sock', f'--socket-dir={place}')


class Monitor:
    """A ringway monitor that has subscribed."""

    def __init__(self, daemon, *words):
        self.process = subprocess.Popen([RINGWAY, '-s', daemon.control, 'monitor', *words],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # It holds a connection then; the server answers those in the order in which they came.
        deadline = time.monotonic() + WAIT_S
        while not any(os.readlink(f'/proc/{self.process.pid}/fd/{fd}').startswith('socket:')
                      for fd in os.listdir(f'/proc/{self.process.pid}/fd')):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        assert daemon.cli('version').returncode == 0

    def end(self):
        """Its output, its errors and its status."""
        out, err = self.process.communicate(timeout=WAIT_S)
        return out, err, self.process.returncode


def port_comes_and_goes(daemon, place, name):
    for words in (('add', name, f'socket={place}/{name}.sock'), ('del', name)):
        assert daemon.cli('port', *words).returncode == 0


def test_monitor_prints_a_line_for_each_event_until_it_has_enough(daemon, place):
    monitor = Monitor(daemon, 'port', '--count=2')
    port_comes_and_goes(daemon, place, 'vm2')
    out, err, status = monitor.end()
    assert (err, status) == ('', 0)
    lines = [re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} (.*)', line)[1] for line in out.splitlines()]
    assert lines == ['port port=vm2 what=added', 'port port=vm2 what=removed']


def test_monitor_shows_one_port_alone_and_json(daemon, place):
    monitor = Monitor(daemon, '--port=vm3', '--json', '--count=2')
    port_comes_and_goes(daemon, place, 'vm2')
    port_comes_and_goes(daemon, place, 'vm3')
    out, err, status = monitor.end()
    assert (err, status) == ('', 0)
    events = [json.loads(line) for line in out.splitlines()]
    assert [(event['event'], event['port'], event['what']) for event in events] == [
        ('port', 'vm3', 'added'), ('port', 'vm3', 'removed')]


def test_monitor_ends_when_it_is_interrupted_and_when_the_switch_goes_away(daemon):
    one, other = Monitor(daemon), Monitor(daemon)
    one.process.send_signal(signal.SIGINT)
    assert one.end() == ('', '', 0)
    assert daemon.stop() == 0
    out, err, status = other.end()
    assert (out, status) == ('', 1)
    assert the_line(err) == f'ringway: the switch at {daemon.control} has gone away'


def test_a_kind_that_is_none_is_named(daemon):
    done = daemon.cli('monitor', 'links')
    assert done.returncode == 1
    assert the_line(done.stderr).startswith('ringway: "links" is no kind of event: there are link,')


def test_top_without_a_terminal_is_one_plain_page(daemon):
    for words in ['--interval=0.05'], ['--once', '--interval=0.05']:
        done = daemon.cli('top', *words)
        assert (done.returncode, done.stderr) == (0, '')
        assert '\033' not in done.stdout
        workers, ports = done.stdout.split('\n\n')
        assert workers.split()[:2] == ['CPU', 'BUSY']
        assert ports.splitlines()[1].split() == ['vm1', '0', '0', '0', '0', '0']
    rates = json.loads(daemon.cli('top', '--interval=0.05', '--json').stdout)
    assert rates['ports'][0]['drop_reasons'] == []


class Top:
    """A ringway top on a terminal of its own."""

    def __init__(self, daemon, rows, columns):
        self.terminal, own = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(own)
        self.own = own
        self.process = subprocess.Popen([RINGWAY, '-s', daemon.control, 'top', '--interval=0.05'],
                                        stdin=own, stdout=own, stderr=own)

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self, done):
        """What it writes until `done` is true of it."""
        text, deadline = '', time.monotonic() + WAIT_S
        while not done(text):
            assert time.monotonic() < deadline, text
            if select.select([self.terminal], [], [], 0.1)[0]:
                text += os.read(self.terminal, 65536).decode()
        return text

    def press(self, keys):
        os.write(self.terminal, keys)

    def end(self):
        """What it writes at its end, with the terminal as it was; its status."""
        status = self.process.wait(WAIT_S)
        assert termios.tcgetattr(self.own) == self.before
        text = self.read(lambda text: '\033[?1049l' in text)
        if select.select([self.terminal], [], [], 0.2)[0]:
            text += os.read(self.terminal, 65536).decode()
        return text[text.index('\033[?1049l') + len('\033[?1049l'):], status


def pages(text):
    """Whole pages, as lines without control sequences."""
    return [re.sub(r'\033\[[?0-9]*[A-Za-z]', '', page).replace('\r', '').split('\n')
            for page in text.split('\033[H')[1:-1]]


@pytest.mark.parametrize('rows, columns', [(24, 80), (6, 20), (2, 1)])
def test_top_fits_into_the_terminal(daemon, rows, columns):
    top = Top(daemon, rows, columns)
    text = top.read(lambda text: text.count('\033[H') > 3)
    for page in pages(text):
        assert len(page) <= rows
        assert all(len(line) <= columns for line in page)
    assert text.startswith('\033[?1049h')
    top.resize(3, 10)
    top.read(lambda text: text.count('\033[H') > 3 and len(pages(text)[-1]) <= 3)
    top.press(b'q')
    assert top.end() == ('', 0)


RATE = r'\d{1,3}(\.\d{3} [kMGT])?'
NAMES = ['vm1', 'web-frontend-of-a-long-name-0001', 'web-frontend-of-a-long-name-0002']


@pytest.fixture(name='busy')
def fixture_busy(switch):
    """A switch with the longest names and numbers."""
    def stats(_):
        n = int(time.monotonic() * 987654321)
        side = {'frames': n, 'bytes': 120 * n, 'drops': {'storm_broadcast': n // 7, 'no_buffer': n}}
        return [{'name': name, 'rx': side, 'tx': side} for name in NAMES]

    def workers(_):
        n = int(time.monotonic() * 987654321)
        return [{'cpu': 127, 'queues': 1024, 'frames': n, 'busy_cycles': 1 + n, 'idle_cycles': 0,
                 'asleep_cycles': n}]

    return types.SimpleNamespace(
        control=switch({'port.stats': stats, 'worker.list': workers}).path)


@pytest.mark.parametrize('columns', [60, 80, 140])
def test_top_cuts_no_number_and_keeps_names_apart(busy, columns):
    top = Top(busy, 40, columns)
    page = pages(top.read(lambda text: text.count('\033[H') > 3))[-1]
    assert max(len(line) for line in page) <= columns
    workers, ports, drops = '\n'.join(page[:-1]).strip('\n').split('\n\n')
    cells = [[re.split(' {2,}', line.strip()) for line in table.splitlines()]
             for table in (workers, ports, drops)]
    (_, worker), (titles, *ports), (_, *drops) = cells
    assert worker[:1] + worker[4:] == ['127', '1024'] and re.fullmatch(RATE, worker[3])
    assert all(re.fullmatch(r'\d+\.\d %', share) for share in worker[1:3])
    two = len(titles) == 5
    assert len(ports) == (6 if two else 3) and two == (columns < 100)
    for i, row in enumerate(ports):
        if two:
            assert row[-4] == ('tx' if i % 2 else 'rx')
        assert all(re.fullmatch(RATE, cell) for cell in row[-3 if two else -5:]), row
    assert len(drops) == 4 * len(NAMES)
    for name, side, rate, reason in drops:
        assert side in ('rx', 'tx') and re.fullmatch(RATE, rate)
        assert reason in ('storm_broadcast', 'no_buffer')
    for table in ports[::2] if two else ports, drops[::4]:
        shown = [row[0] for row in table]
        assert len(set(shown)) == 3 and shown[0] == 'vm1'
        assert shown == NAMES or '~' in shown[1] and shown[1][:4] == 'web-' and '0001' in shown[1]
    # What has no room is counted.
    top.resize(7, columns)
    last = top.read(lambda text: re.search('q: the end; .* more lines', text))
    assert f'q: the end; {len(page) - 7} more lines' in last
    top.press(b'q')
    assert top.end() == ('', 0)


def test_top_ends_with_control_c(daemon):
    top = Top(daemon, 24, 80)
    top.read(lambda text: '\033[H' in text)
    top.process.send_signal(signal.SIGINT)
    assert top.end() == ('', 0)


def test_top_says_in_one_line_that_the_switch_has_gone(daemon):
    top = Top(daemon, 24, 80)
    top.read(lambda text: '\033[H' in text)
    daemon.kill()
    text, status = top.end()
    assert status == 1
    line = the_line(text.replace('\r\n', '\n'))
    assert line.startswith(f'ringway: the switch at {daemon.control} does not answer')
