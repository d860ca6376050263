# SPDX-License-Identifier: BSD-3-Clause
"""ringway capture: what it writes and prints, and what other programs read in it."""

import json
import os
import signal
import subprocess

import pytest

from capture_client import Client, Guest, wait_until
from programs import RINGWAY, run, the_line

ONE, TWO = b'\2\0\0\0\0\1', b'\2\0\0\0\0\2'


@pytest.fixture
def daemon(launch, place):
    return launch(*(f'--socket-path={place}/{name}.sock' for name in ('vm1', 'vm2', 'vm3')))


@pytest.fixture
def guests(daemon, place):
    """vm1 and vm2, each of which knows where the other one is."""
    one, two = Guest(f'{place}/vm1.sock', ONE), Guest(f'{place}/vm2.sock', TWO)
    wait_until(lambda: [row['link'] for row in
                        json.loads(daemon.cli('port', 'list', '--json').stdout)][:2] == [True] * 2)
    one.say(one.frame(TWO))
    two.say(two.frame(ONE))
    wait_until(lambda: two.received() and one.received())
    return one, two


class Capture:
    """A ringway capture that has begun."""

    def __init__(self, daemon, *words, **options):
        client = Client(daemon.control)
        before = len(client.ask('capture.list')['result'])
        options.setdefault('stdout', subprocess.PIPE)
        self.process = subprocess.Popen([RINGWAY, '-s', daemon.control, 'capture', *words],
                                        stderr=subprocess.PIPE, text=True, **options)
        wait_until(lambda: len(client.ask('capture.list')['result']) > before or
                   self.process.poll() is not None)
        client.close()

    def end(self):
        """Interrupt it; what it printed and what it said about it."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return out, err


def tshark(path, *fields):
    """The fields of each frame of a file."""
    done = run('tshark', '-r', path, '-T', 'fields', '-E', 'separator=|',
               *(word for field in fields for word in ('-e', field)))
    assert done.returncode == 0, done.stderr
    return [line.split('|') for line in done.stdout.splitlines()]


def tcpdump(path, *words):
    """The bytes of each frame of a file in hexadecimal digits."""
    done = run('tcpdump', '-r', path, '-xx', '-t', *words)
    assert done.returncode == 0, done.stderr
    frames = []
    for line in done.stdout.splitlines():
        if line.startswith('\t0x'):
            frames[-1] += line.split(':')[1].replace(' ', '')
        else:
            frames.append('')
    return frames


def test_a_file_has_all_frames_with_ports_directions_and_comments(daemon, guests, place):
    one, two = guests
    path = f'{place}/x.pcapng'
    capture = Capture(daemon, 'vm1', 'vm2', '-w', path)
    sent = []
    for seq in range(20):
        frame = one.frame(TWO, seq, 60 + 70 * seq)
        one.say(frame)
        sent.append(frame.hex())
    two.say(two.frame(ONE, 99))
    out, said = capture.end()
    assert (out, the_line(said)) == (
        '', '42 frames captured, 0 lost because this program was too slow')
    rows = tshark(path, 'frame.interface_name', 'frame.packet_flags_direction', 'frame.comment',
                  'frame.len')
    assert [row[3] for row in rows if row[0] == 'vm1' and row[1] == '0x00000001'] == [
        str(60 + 70 * seq) for seq in range(20)]
    assert {(row[0], row[2]) for row in rows} == {
        ('vm1', 'port vm1 rx queue 0'), ('vm2', 'port vm2 tx queue 0 from vm1'),
        ('vm2', 'port vm2 rx queue 0'), ('vm1', 'port vm1 tx queue 0 from vm2')}
    frames = tcpdump(path)
    assert [frames[i] for i, row in enumerate(rows) if row[2] == 'port vm1 rx queue 0'] == sent
    assert [frames[i] for i, row in enumerate(rows)
            if row[2] == 'port vm2 tx queue 0 from vm1'] == sent
    # The counts of interfaces, and the filter.
    done = run('capinfos', path)
    assert done.returncode == 0 and 'Number of interfaces in file: 2' in done.stdout
    assert 'Name = vm2' in done.stdout and 'Time precision = nanoseconds (9)' in done.stdout
    assert done.stdout.count('Number of stat entries = 1') == 2
    times = [float(row[0]) for row in tshark(path, 'frame.time_epoch')]
    assert times == sorted(times) and abs(times[0] - os.path.getmtime(path)) < 60


def test_frames_are_printed(daemon, guests):
    one, two = guests
    capture = Capture(daemon, 'vm1', '-c', '2')
    one.say(one.udp(TWO, 53))
    two.say(two.frame(ONE, 1, 100))
    out, said = capture.wait()
    assert said.startswith('2 frames captured, 0 lost')
    first, second = out.splitlines()
    assert first.split(' ', 1)[1] == (
        'vm1 rx 02:00:00:00:00:01 > 02:00:00:00:00:02 IPv4 10.0.0.1.1000 > 10.0.0.2.53 UDP, '
        '64 bytes')
    assert second.split(' ', 1)[1] == (
        'vm1 tx from vm2 02:00:00:00:00:02 > 02:00:00:00:00:01 type 0x88b5, 100 bytes')
    capture = Capture(daemon, 'vm2', '--json', '--direction=out', '--count=1', '--snap=20')
    two.say(two.frame(ONE))
    frame = one.frame(TWO, 5)
    one.say(frame)
    out, _ = capture.wait()
    row = json.loads(out)
    assert row.pop('time') > 1.6e9
    assert row == {'port': 'vm2', 'direction': 'tx', 'queue': 0, 'other': 'vm1', 'vlan': 0,
                   'len': 64, 'bytes': frame[:20].hex()}


def test_dropped_frames_have_a_reason(daemon, guests, place):
    one, two = guests
    path = f'{place}/drops.pcapng'
    capture = Capture(daemon, '--dropped', '-w', path)
    one.say(one.frame(ONE, 1))
    two.say(two.frame(b'\1\x80\xc2\0\0\1', 2))
    daemon.cli('port', 'set', 'vm2', 'vlan=10')
    two.say(two.frame(ONE, 3, ethertype=b'\x81\0'))
    capture.end()
    rows = tshark(path, 'frame.interface_name', 'frame.comment')
    assert [row[0] for row in rows] == ['vm1', 'vm2', 'vm2']
    assert [row[1].split('dropped: ')[1] for row in rows] == [
        'hairpin', 'reserved_address', 'vlan_not_member']
    done = daemon.cli('port', 'stats', 'vm2', '--json')
    drops = json.loads(done.stdout)[0]['rx']['drops']
    assert drops['reserved_address'] == drops['vlan_not_member'] == 1


def test_a_filter_matches_what_tcpdumps_does(daemon, guests, place):
    one, _ = guests
    words = 'udp and (port 53 or greater 150) and not udp[8:2] = 1'.split()
    everything = Capture(daemon, 'vm1', '-w', f'{place}/all.pcapng')
    some = Capture(daemon, 'vm1', '-w', f'{place}/some.pcapng', '--', *words)
    for i in range(60):
        one.say(one.udp(TWO, (53, 54, 80)[i % 3], 60 + 7 * (i % 40)) if i % 4 else
                one.frame(TWO, i))
    everything.end()
    some.end()
    wanted = tcpdump(f'{place}/all.pcapng', *words)
    assert 10 < len(wanted) < 50
    assert tcpdump(f'{place}/some.pcapng') == wanted


def test_a_stream_is_read_as_it_comes(daemon, guests):
    one, _ = guests
    with subprocess.Popen(['tcpdump', '-r', '-', '-l', '-n', '-c', '3'], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        capture = Capture(daemon, 'vm1', 'udp', '-w', '-', stdout=reader.stdin)
        reader.stdin.close()
        for port in 7, 8, 9:
            one.say(one.udp(TWO, port))
            assert f'10.0.0.2.{port}: UDP' in reader.stdout.readline()
        reader.wait(30)
    capture.process.send_signal(signal.SIGINT)
    capture.process.communicate(timeout=120)


def test_a_ring_of_files_keeps_the_latest(daemon, guests, place):
    one, _ = guests
    capture = Capture(daemon, 'vm1', '-w', f'{place}/r.pcapng', '--ring-files=3', '--file-size=2K')
    for seq in range(20):
        one.say(one.frame(TWO, seq, 500))
    capture.end()
    names = sorted(name for name in os.listdir(place) if name.startswith('r.'))
    assert names == ['r.0.pcapng', 'r.1.pcapng', 'r.2.pcapng']
    frames = [frame for name in names for frame in tcpdump(f'{place}/{name}')]
    assert 3 <= len(frames) < 20 and one.frame(TWO, 19, 500).hex() in frames


def test_samples(daemon, guests):
    one, _ = guests
    capture = Capture(daemon, 'vm1', '--direction', 'in', '--sample=5', '--json', '-c2')
    for seq in range(10):
        one.say(one.frame(TWO, seq))
    out, _ = capture.wait()
    assert [json.loads(line)['bytes'] for line in out.splitlines()] == [
        one.frame(TWO, seq).hex() for seq in (4, 9)]


def test_a_capture_ends_with_its_ports_and_with_its_switch(daemon, guests):
    assert guests
    capture = Capture(daemon, 'vm3')
    daemon.cli('port', 'del', 'vm3')
    _, err = capture.process.communicate(timeout=120)
    assert capture.process.returncode == 1 and 'the ports that were captured are gone' in err
    capture = Capture(daemon, 'any')
    assert daemon.stop() == 0
    _, err = capture.process.communicate(timeout=120)
    assert capture.process.returncode == 1 and 'has gone away' in err


MISTAKES = [
    (['vm9'], '"vm9" is no port: ringway capture wants ports first, or any'),
    ([], 'of which port? The command is ringway capture PORT... [FILTER]'),
    (['vm1', 'vm9', 'tcp'], 'the filter "vm9 tcp" is not understood: '),
    (['vm1', 'tcp', 'prot', '80'], 'the filter "tcp prot 80" is not understood: '),
    (['vm1', '--', 'vm2'], 'the filter "vm2" is not understood: '),
    (['vm1', '--snap=1'], '--snap wants 14 to 65553 bytes, not "1"'),
    (['vm1', '--sample=0'], '--sample wants a number from 1'),
    (['vm1', '--direction=up'], '--direction wants in, out or both, not "up"'),
    (['vm1', '--file-size=10X', '--ring-files=2'], '--file-size wants a number of bytes'),
    (['vm1', '--file-size=10K', '-w', 'x'], '--file-size is that of the files of --ring-files'),
    (['vm1', '--ring-files=2'], '--ring-files wants -w FILE'),
    (['vm1', '-w', '/nowhere/x'], 'cannot write /nowhere/x: No such file or directory'),
    (['vm1', '-w', 'x', '--json'], '--json prints frames, and -w writes them'),
]


def test_mistakes_are_explained(daemon):
    for words, why in MISTAKES:
        done = daemon.cli('capture', *words)
        assert done.returncode in (1, 2)
        assert the_line(done.stderr).startswith('ringway: ' + why)
