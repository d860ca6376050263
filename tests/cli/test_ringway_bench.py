# SPDX-License-Identifier: BSD-3-Clause
"""ringway-bench against a ringwayd that runs: what it measures is checked, not how fast it is."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree

import pytest

from programs import RINGWAY_BENCH, run, the_line

# Long enough for a machine whose CPUs are shared with other tests.
SHORT = ['--seconds=0.5', '--warm-up=0.1']


def bench(*words):
    return run(RINGWAY_BENCH, '--quiet', '--no-huge', *words)


def measured(*words):
    """What a run that must succeed found, from its JSON."""
    done = bench('--json', *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    return json.loads(done.stdout)


@pytest.fixture
def switch(launch, place):
    """switch(n, *words): the sockets of a ringwayd with n ports; its last one is switch.daemon."""
    def start(nports, *words):
        sockets = [os.path.join(place, f'v{i}') for i in range(nports)]
        start.daemon = launch(*words, *(f'--socket-path={s}' for s in sockets))
        return sockets
    return start


@pytest.mark.parametrize('words, named', [
    ([], 'two or more'),
    (['a'], 'two or more'),
    (['a', 'a'], 'a is given twice'),
    (['a', 'b', 'c'], 'even number'),
    (['a', 'b', '--nonsense'], '--nonsense'),
    (['a', 'b', '--pakced'], 'did you mean --packed?'),
    (['a', 'b', '--size=17'], '--size=17'),
    (['a', 'b', '--size=9000'], '--tso'),
    (['a', 'b', '--rate=fast'], '--rate=fast'),
    (['a', 'b', '--capacity'], 'three ports'),
    (['a', 'b', '--rate=1k', '--in-flight=5'], '--in-flight'),
    (['a', 'b', '--loss=0.1'], '--search'),
    (['a', 'b', '--cpu=1023'], '--cpu=1023'),
    (['a', 'b', '--plot=/nowhere/x.svg'], '--plot=/nowhere/x.svg'),
])
def test_a_mistake_gets_one_line_and_status_2(words, named):
    done = run(RINGWAY_BENCH, *words)
    assert done.returncode == 2
    assert done.stdout == ''
    assert the_line(done.stderr).startswith('ringway-bench: ')
    assert named in done.stderr


def test_help_and_version():
    shown = run(RINGWAY_BENCH, '--help')
    assert shown.returncode == 0 and '--search' in shown.stdout and shown.stderr == ''
    shown = run(RINGWAY_BENCH, '--version')
    assert shown.returncode == 0 and the_line(shown.stdout).startswith('ringway-bench ')


def test_help_wins_over_mistakes():
    shown = run(RINGWAY_BENCH, '--bogus', '--help')
    assert shown.returncode == 0 and '--search' in shown.stdout and shown.stderr == ''


def test_help_that_cannot_be_written_says_why():
    with open('/dev/full', 'w', encoding='utf-8') as full:
        done = run(RINGWAY_BENCH, '--help', stdout=full)
    assert done.returncode == 1
    assert the_line(done.stderr) == ('ringway-bench: cannot write the output: '
                                     'No space left on device')


def test_sizes_are_named_without_and_with_fcs(switch):
    words = ['--size-with-fcs=64,128', *SHORT, *switch(2)]
    assert '60,124 bytes without FCS (64,128 with it)' in bench(*words).stdout
    sizes = measured(*words)['setup']['sizes']
    assert [(size['bytes'], size['bytes_with_fcs']) for size in sizes] == [(60, 64), (124, 128)]


def test_a_socket_that_does_not_exist_gets_one_line(place):
    path = os.path.join(place, 'none')
    done = bench(path, os.path.join(place, 'nor-this'))
    assert done.returncode == 1
    assert path in the_line(done.stderr)


@pytest.mark.parametrize('words', [
    [], ['--packed'], ['--no-mergeable'], ['--packed', '--in-order'], ['--pairs=2', '--flows=16'],
    ['--size=1518'], ['--size=imix', '--packed'], ['--macs=100'], ['--ring-size=64'],
    ['--tx-ring-size=128'],
], ids=lambda words: ' '.join(words) or 'split')
def test_frames_circulate(switch, words):
    found = measured(*SHORT, *words, *switch(2))
    result = found['result']
    assert found['measure'] == 'rate' and found['setup']['in_flight'] > 0
    assert result['sum']['received'] > 0 and result['frames_per_s'] > 0
    assert result['own_cycles_per_frame'] > 0
    assert [port['received'] > 0 for port in result['ports']] == [True, True]
    assert result['lost'] == 0


def test_every_pattern_reaches_who_it_should(switch):
    sockets = switch(3)
    for pattern, senders, receivers in [('all-to-one', [0, 1, 1], [1, 0, 0]),
                                        ('one-to-all', [1, 0, 0], [0, 1, 1]),
                                        ('random', [1, 1, 1], [1, 1, 1]),
                                        ('flood', [1, 0, 0], [0, 1, 1])]:
        ports = measured(*SHORT, f'--pattern={pattern}', *sockets)['result']['ports']
        assert [int(port['sent'] > 0) for port in ports] == senders, pattern
        assert [int(port['received'] > 0) for port in ports] == receivers, pattern


@pytest.mark.parametrize('words', [[], ['--packed']], ids=lambda words: ' '.join(words) or 'split')
def test_idle_guests_are_there_and_say_nothing(switch, words):
    process = running('--json', '--idle=3', *words, *switch(5))
    wait_for_traffic(switch.daemon)
    ports = json.loads(switch.daemon.cli('port', 'list', '--json').stdout)
    counts = json.loads(switch.daemon.cli('port', 'stats', '--json').stdout)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and err == ''
    assert [port['link'] for port in ports] == [True] * 5
    # Both active ports' addresses were flooded to them, and they took neither.
    assert [port['rx']['frames'] > 0 for port in counts] == [True] * 2 + [False] * 3
    assert [port['tx']['frames'] for port in counts[2:]] == [2] * 3
    found = json.loads(out)
    assert found['setup']['idle'] == 3
    assert len(found['setup']['sockets']) == len(found['result']['ports']) == 2
    assert found['result']['lost'] == 0


def test_an_idle_guest_is_missed_when_its_back_end_goes(switch, launch, place):
    apart = os.path.join(place, 'apart')
    sockets = switch(2)
    active, other = switch.daemon, launch(f'--socket-path={apart}')
    process = running('--idle=1', *sockets, apart)
    wait_for_traffic(active)
    other.kill()
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert f'{apart}: the back-end closed its socket' in the_line(err)


def test_a_low_rate_is_kept_and_loses_nothing(switch):
    # So few that a ring holds all of them: no pause of the machine makes it lose one.
    result = measured('--rate=500', *SHORT, *switch(2))['result']
    assert result['sum']['sent'] > 0
    assert result['lost'] == 0 and result['loss'] == 0
    assert result['asked_per_s'] == 500
    assert result['sum']['received'] == result['sum']['sent'] == result['sum']['expected']
    # At most what was asked for, however slow the machine is.
    assert result['sum']['sent'] <= 500 * (result['seconds'] + 0.1)


def test_a_rate_that_the_load_cannot_send_is_said_so(switch):
    words = ['--rate=1e9', '--seconds=.2', '--warm-up=0', *switch(2)]
    result = measured(*words)['result']
    assert result['asked_per_s'] == 1e9 and result['offered_per_s'] < 0.95e9
    assert result['fell_short'] is True
    done = bench(*words)
    assert done.returncode == 0
    assert 'of the 1000.000 M asked for' in done.stdout
    assert 'the load fell short of the rate' in done.stdout


def test_latency_is_recorded_for_what_arrived(switch):
    result = measured('--rate=500', '--latency', *SHORT, *switch(2))['result']
    latency = result['latency_ns']
    assert latency['frames'] == result['sum']['received'] > 0
    steps = [latency[key] for key in ('min', 'p50', 'p90', 'p99', 'p99.9', 'max')]
    assert steps == sorted(steps) and steps[0] > 0
    assert latency['min'] <= latency['mean'] <= latency['max']


def test_large_frames_with_segmentation_headers(switch):
    result = measured('--tso', '--size=64,65549', *SHORT, *switch(2))['result']
    total = result['sum']
    assert total['received'] > 0
    # Half of the frames are large.
    assert total['received_bytes'] / total['received'] > 20000


def test_frames_that_the_switch_converts(switch):
    sockets = switch(2)
    for size, received in (1518, 1518), (9066, 1514):
        report = measured('--tso', '--convert', f'--size={size}', *SHORT, *sockets)
        total = report['result']['sum']
        assert report['setup']['convert']
        # All but the last of a large frame's segments are full.
        assert 1200 < total['received_bytes'] / total['received'] <= received
        assert total['wrong'] == total['reordered'] == total['duplicated'] == 0


def test_back_ends_connect_to_it(launch, place):
    sockets = [os.path.join(place, name) for name in ('left', 'right')]
    launch(*(f'--port={os.path.basename(path)},socket={path},mode=client' for path in sockets))
    # What an earlier one left is in nobody's way.
    left = socket.socket(socket.AF_UNIX)
    left.bind(sockets[0])
    left.close()
    assert measured('--listen', *SHORT, *sockets)['result']['sum']['received'] > 0
    assert not any(map(os.path.exists, sockets))


def test_what_is_in_the_way_of_a_socket_stays(place):
    path = os.path.join(place, 'precious')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('data')
    done = bench('--listen', path, os.path.join(place, 'other'))
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1 and path in done.stderr and 'in use' in done.stderr
    assert os.path.getsize(path) == 4


def test_the_wait_for_a_back_end_can_be_interrupted(place):
    path = os.path.join(place, 'left')
    waits = running('--listen', path, os.path.join(place, 'right'))
    deadline = time.monotonic() + 30
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    waits.send_signal(signal.SIGINT)
    out, err = waits.communicate(timeout=120)
    assert (waits.returncode, out, err) == (1, '', '')
    assert not os.path.exists(path)


def test_the_table_has_the_ports_and_the_sum(switch):
    sockets = switch(2)
    done = bench('--latency', *SHORT, *sockets)
    assert done.returncode == 0, done.stderr
    for wanted in [*sockets, 'sum', 'lost 0 of', '64 bytes', 'LATENCY us']:
        assert wanted in done.stdout


def test_progress_is_plain_lines_where_there_is_no_terminal(switch):
    done = run(RINGWAY_BENCH, '--no-huge', '--rate=2k', '--seconds=2.5', '--warm-up=0', *switch(2))
    assert done.returncode == 0
    assert 'received' in done.stderr and done.stderr.endswith('\n')
    assert '\r' not in done.stderr and '\033' not in done.stderr


def test_a_search_ends_with_a_rate_and_its_steps(switch, place):
    picture = os.path.join(place, 'x.svg')
    found = measured('--search', '--loss=1%', '--precision=50%', '--rate=20k', '--seconds=0.1',
                     '--warm-up=0', f'--plot={picture}', *switch(2))
    steps = found['search']['steps']
    assert steps[0]['asked_per_s'] == 20000
    assert found['search']['frames_per_s'] <= 20000
    for step in steps:
        assert step['good'] == (step['loss'] <= 0.01)
        assert step['seconds'] in (0.1, pytest.approx(0.3))
    assert found['search']['verified'] == (found['search']['frames_per_s'] > 0)
    marks = [mark for node in xml.etree.ElementTree.parse(picture).iter()
             if node.get('id', '').startswith('trials')
             for mark in node.iter() if mark.tag.endswith('use')]
    assert len(marks) == len(steps)


def test_the_room_of_a_small_table_is_found(switch):
    sockets = switch(3, '--fdb-size=500')
    capacity = measured('--capacity', '--macs=5000', *sockets)['capacity']
    # The ports' own addresses need room too, and buckets fill unevenly.
    assert 200 <= capacity['stations'] <= 500
    assert not capacity['at_least']
    assert capacity['steps'][0] == {'taught': 64, 'known': 64,
                                    'stations_per_s': capacity['steps'][0]['stations_per_s']}


def test_how_fast_addresses_are_learned(switch):
    found = measured('--learning', '--macs=20', '--precision=50%', '--rate=500', *switch(3))
    learned = found['learning']
    assert 0 <= learned['stations_per_s'] <= 600
    assert [step['taught'] for step in learned['steps']] == [20] * len(learned['steps'])


@pytest.mark.parametrize('mode, named', [
    ('macswap', 'not sent'),
    ('mac', 'content that was not sent'),
    ('rxonly', 'none of'),
])
def test_a_back_end_that_delivers_something_else_fails(switch, mode, named):
    done = bench(*SHORT, *switch(2, f'--forward={mode}'))
    assert done.returncode == 1
    assert named in the_line(done.stderr)
    assert done.stdout == ''


def test_a_back_end_without_a_switch_misplaces_frames(switch):
    done = bench('--pattern=random', *SHORT, *switch(4, '--forward=io'))
    assert done.returncode == 1
    assert 'at a port that they were not sent to' in the_line(done.stderr)


def test_a_back_end_that_takes_nothing_is_given_up(switch):
    done = bench(*SHORT, *switch(2, '--forward=txonly'))
    assert done.returncode == 1
    assert 'does not take frames' in the_line(done.stderr)


def running(*words):
    return subprocess.Popen([RINGWAY_BENCH, '--quiet', '--no-huge', '--seconds=20', *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def wait_for_traffic(daemon):
    """Until more went to the first two ports than what teaches addresses."""
    for _ in range(2000):
        ports = json.loads(daemon.cli('port', 'stats', '--json').stdout)
        if all(port['tx']['frames'] > 1000 for port in ports[:2]):
            return
        time.sleep(0.01)
    pytest.fail('no traffic')


def test_a_back_end_that_dies_in_mid_trial_gets_one_line(switch):
    sockets = switch(2)
    process = running(*sockets)
    wait_for_traffic(switch.daemon)
    switch.daemon.kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert 'closed its socket' in the_line(err)
    assert out == ''


def test_an_interrupted_trial_reports_what_it_has(switch):
    process = running('--json', *switch(2))
    wait_for_traffic(switch.daemon)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and err == ''
    assert json.loads(out)['interrupted'] is True


@pytest.mark.parametrize('words, shape', [([], 'bar 1 sent'), (['--latency'], 'latency')])
def test_a_rate_and_its_latency_are_drawn(switch, place, words, shape):
    picture = os.path.join(place, 'x.svg')
    measured(*SHORT, f'--plot={picture}', *words, *switch(2))
    assert shape in [node.get('id') for node in xml.etree.ElementTree.parse(picture).iter()]


def test_a_machine_without_matplotlib_says_so_before_it_measures(place):
    os.mkdir(os.path.join(place, 'matplotlib'))
    with open(os.path.join(place, 'matplotlib', '__init__.py'), 'w', encoding='utf-8') as module:
        module.write('raise ImportError\n')
    picture = os.path.join(place, 'x.svg')
    done = run(RINGWAY_BENCH, f'--plot={picture}', 'a', 'b',
               env={**os.environ, 'PYTHONPATH': place})
    assert done.returncode == 2
    assert the_line(done.stderr) == (f'ringway-bench: --plot={picture}: matplotlib is missing: '
                                     'apt-get install python3-matplotlib')
    assert not os.path.exists(picture)


def test_a_program_without_its_plotter_names_the_missing_file(place):
    copy = os.path.join(place, 'ringway-bench')
    shutil.copy(RINGWAY_BENCH, copy)
    done = run(copy, f'--plot={place}/x.svg', 'a', 'b')
    assert done.returncode in (1, 2)
    # Where this version is installed, it finds that plotter.
    if done.returncode == 2:
        assert 'libexec/ringway/bench_plot.py' in the_line(done.stderr)
