# SPDX-License-Identifier: BSD-3-Clause
"""What is counted on request: of a scripted switch, and of one that forwards frames."""

import json
import time

import pytest

from programs import the_line
from test_ringway import fail, succeed

ALL_S = 60

LOST = {'others': 0, 'late': 0, 'missed': 0}
STATES = [{'what': what, 'running': True, 'ports': ['vm1', 'vm2'], 'age_s': 3, **LOST}
          for what in ('sizes', 'vlans', 'talkers', 'latency')]


def lost(what, **numbers):
    return [{**row, **(numbers if row['what'] == what else {})} for row in STATES]


@pytest.mark.parametrize('command, what', [
    ('sizes', 'sizes'), ('vlans', 'vlans'), ('top-talkers', 'talkers'), ('latency', 'latency')])
def test_counting_starts_and_stops(switch, command, what):
    state = {**STATES[0], 'what': what}
    server = switch({'count.start': state,
                     'count.stop': {**state, 'running': False, 'ports': None, 'age_s': None}})
    assert succeed('-s', server.path, command, 'start') == \
        f'{what}: counted from now on, of all ports\n'
    assert succeed('-s', server.path, command, 'start', 'vm1', 'vm2') == \
        f'{what}: counted from now on, of vm1, vm2\n'
    assert succeed('-s', server.path, command, 'stop') == f'{what}: not counted any more\n'
    assert server.asked == [
        ('count.start', {'what': what}), ('count.start', {'what': what, 'ports': ['vm1', 'vm2']}),
        ('count.stop', {'what': what})]


def test_sizes_are_a_table(switch):
    bins = [{'least': 64, 'most': 64, 'rx': i, 'tx': 10 * i} for i in range(9)]
    server = switch({'sizes.show': [{'name': 'vm1', 'sizes': bins}]})
    titles, rx, tx = succeed('-s', server.path, 'sizes', 'show').splitlines()
    assert titles.split() == ['PORT', 'DIRECTION', '-63', '64', '65-127', '128-255', '256-511',
                              '512-1023', '1024-1518', '1519-9216', '9217-']
    assert rx.split() == ['vm1', 'rx', *(str(i) for i in range(9))]
    assert tx.split() == ['tx', *(str(10 * i) for i in range(9))]


def test_vlans_are_a_table_with_what_is_not_in_it(switch):
    row = {'tpid': '8021q', 'bridge': 'default', 'rx_frames': 1, 'rx_bytes': 100, 'rx_drops': 2,
           'tx_frames': 3, 'tx_bytes': 300, 'tx_drops': 4}
    server = switch({'vlans.show': [{**row, 'vlan': 10}, {**row, 'vlan': 10, 'tpid': '8021ad'},
                                    {**row, 'vlan': None}],
                     'count.list': lost('vlans', others=7)})
    assert succeed('-s', server.path, 'vlans', 'show') == (
        'BRIDGE   VLAN  RX FRAMES  RX BYTES  RX DROPS  TX FRAMES  TX BYTES  TX DROPS\n'
        'default    10          1       100         2          3       300         4\n'
        'default   s10          1       100         2          3       300         4\n'
        'default  none          1       100         2          3       300         4\n'
        'not counted, because there are too many VLANs: 7 frames\n')


def test_talkers_are_a_table(switch):
    row = {'src': '52:54:00:00:00:01', 'dst': '52:54:00:00:00:02', 'src_port': 'vm1',
           'dst_port': None, 'vlan': 0, 'tpid': '8021q', 'bridge': 'default', 'bytes': 300,
           'error': 1, 'frames': 5}
    server = switch({'talkers.show': {'talkers': [row], 'bytes': 400, 'error_max': 1},
                     'count.list': lost('talkers', missed=3)})
    assert succeed('-s', server.path, 'top-talkers', 'show', '5') == (
        'PORT  SOURCE             PORT  DESTINATION        VLAN  BYTES   SHARE  FRAMES  ERROR\n'
        'vm1   52:54:00:00:00:01  -     52:54:00:00:00:02     0    300  75.0 %       5      1\n'
        'all: 400 bytes\n'
        'missed while this was read: 3 frames\n')
    assert server.asked[0] == ('talkers.show', {'limit': 5})
    for words in ['0'], ['513'], ['x'], ['1', '2']:
        assert 'from 1 to 512' in fail(2, 'top-talkers', 'show', *words)


PAIR = {'from': 'vm1', 'to': 'vm2', 'frames': 1000, 'mean_ns': 2500.0, 'min_ns': 900,
        'max_ns': 70000, 'p50_ns': 2000, 'p90_ns': 3000, 'p99_ns': 9000, 'p99_9_ns': 60000,
        'histogram': [[900, 911, 500], [1000, 1015, 250], [1024, 1039, 249], [69632, 70655, 1]]}


def test_latency_is_a_table_and_a_histogram(switch):
    server = switch({'latency.show': [PAIR], 'count.list': lost('latency', late=2, others=1)})
    notes = ('not counted, because there are too many pairs of ports: 1 frames\n'
             'not counted, because they had to wait for an IOMMU: 2 frames\n')
    assert succeed('-s', server.path, 'latency', 'show', 'vm1') == (
        'FROM  TO   FRAMES  MIN US  MEAN US  50 %  90 %  99 %  99.9 %  MAX US\n'
        'vm1   vm2    1000    0.90     2.50  2.00  3.00  9.00   60.00   70.00\n' + notes)
    assert succeed('-s', server.path, 'latency', 'histogram') == (
        'vm1 to vm2, 1000 frames\n'
        f'  <        1.024 us           750   75.00 %  {30 * "#"}\n'
        f'  <        2.048 us           249   99.90 %  {10 * "#"}\n'
        '  <      131.072 us             1  100.00 %  \n' + notes)
    assert json.loads(succeed('-s', server.path, 'latency', 'show', '--json')) == [PAIR]
    assert [params for method, params in server.asked if method == 'latency.show'] == [
        {'ports': ['vm1']}, {'histogram': True}, {'histogram': True}]


# ---- frames without end, from one uplink to the other ----


@pytest.fixture
def daemon(launch):
    return launch('--port=up0,device=net_null', '--port=up1,device=net_null,no-rx=1')


def ask(daemon, *words):
    done = daemon.cli(*words, '--json')
    assert (done.returncode, done.stderr) == (0, '')
    return json.loads(done.stdout)


def until(daemon, words, good):
    """The first answer that is good."""
    deadline = time.monotonic() + ALL_S
    while not good(answer := ask(daemon, *words)):
        assert time.monotonic() < deadline, answer
    return answer


def bins_of(port, direction):
    return sum(row[direction] for row in port['sizes'])


def test_frames_are_counted_while_that_is_wanted(daemon):
    for command in 'sizes', 'vlans', 'top-talkers', 'latency':
        done = daemon.cli(command, 'show')
        assert done.returncode == 1
        assert f'ringway {command} start' in the_line(done.stderr)
        assert ask(daemon, command, 'start')['running']
    sizes = until(daemon, ['sizes', 'show'], lambda ports: bins_of(ports[0], 'rx') > 1000)
    assert [port['name'] for port in sizes] == ['up0', 'up1']
    # net_null sends frames of 64 bytes, to which the frame check sequence comes.
    assert sizes[0]['sizes'][2] == {'least': 65, 'most': 127, 'rx': bins_of(sizes[0], 'rx'),
                                    'tx': 0}
    assert bins_of(sizes[1], 'tx') > 0 == bins_of(sizes[1], 'rx')
    vlan = until(daemon, ['vlans', 'show'], lambda rows: rows)[0]
    assert (vlan['vlan'], vlan['bridge']) == (0, 'default')
    assert vlan['rx_bytes'] == 64 * vlan['rx_frames'] > 0
    talkers = ask(daemon, 'top-talkers', 'show')
    assert [row['src'] for row in talkers['talkers']] == ['00:00:00:00:00:00']
    assert 0 < talkers['talkers'][0]['bytes'] <= talkers['bytes']
    pair = ask(daemon, 'latency', 'show', 'up1')[0]
    assert (pair['from'], pair['to']) == ('up0', 'up1')
    assert 0 < pair['min_ns'] <= pair['p50_ns'] <= pair['p99_ns'] <= pair['max_ns']
    assert sum(frames for _, _, frames in pair['histogram']) == pair['frames'] > 0
    for command in 'sizes', 'vlans', 'top-talkers', 'latency':
        assert daemon.cli(command, 'show').returncode == 0
        assert ask(daemon, command, 'stop')['running'] is False
        assert daemon.cli(command, 'show').returncode == 1


def test_only_some_ports_are_counted_and_a_port_may_go(daemon):
    done = daemon.cli('sizes', 'start', 'up1', 'vm9')
    assert (done.returncode, the_line(done.stderr)) == (1, 'ringway: there is no port "vm9"')
    assert ask(daemon, 'sizes', 'start', 'up1')['ports'] == ['up1']
    ask(daemon, 'latency', 'start', 'up1')
    until(daemon, ['latency', 'show'], lambda pairs: pairs)
    assert [port['name'] for port in ask(daemon, 'sizes', 'show')] == ['up1']
    assert daemon.cli('port', 'del', 'up1').returncode == 0
    assert ask(daemon, 'sizes', 'show') == []
    assert ask(daemon, 'latency', 'show') == []


# ---- marks ----


def frames_of(daemon, *words):
    return ask(daemon, 'port', 'stats', 'up0', *words)[0]['rx']['frames']


def test_counters_are_read_from_a_mark_and_go_on(daemon):
    until(daemon, ['port', 'stats', 'up0'], lambda ports: ports[0]['rx']['frames'] > 1000)
    before = frames_of(daemon)
    assert daemon.cli('mark', 'add', 'mine').returncode == 0
    at_most = frames_of(daemon)
    since = frames_of(daemon, '--since', 'mine')
    total = frames_of(daemon)
    assert total - at_most >= 0
    assert since <= total - before
    # A later mark of another client changes nothing of the first.
    ask(daemon, 'mark', 'add', 'other')
    assert frames_of(daemon, '--since=other') <= frames_of(daemon, '--since=mine')
    assert [row['name'] for row in ask(daemon, 'mark', 'list')] == ['mine', 'other']
    row = ask(daemon, 'port', 'lag', 'up0', '--since', 'mine')[0]
    queue = row['queues'][0]
    assert (row['link_ups'], row['link_downs']) == (0, 0)
    # Both grow while they are read.
    grown = frames_of(daemon) - before
    assert 0 < queue['rx']['frames'] <= grown and 0 < row['rx']['frames'] <= grown
    assert sum(row['rx']['drops'].values()) == 0
    assert daemon.cli('mark', 'del', 'mine').stdout == 'mark mine: forgotten\n'
    for words in ['port', 'stats', '--since', 'mine'], ['mark', 'del', 'mine']:
        done = daemon.cli(*words)
        assert (done.returncode, the_line(done.stderr)) == (
            1, 'ringway: there is no mark "mine"')


def test_marks_are_bounded_and_follow_no_other_port(daemon, place):
    for name in *(f'm{i}' for i in range(16)), 'm3':
        assert daemon.cli('mark', 'add', name).returncode == 0
    assert '16 marks' in the_line(daemon.cli('mark', 'add', 'm16').stderr)
    assert 'printable' in the_line(daemon.cli('mark', 'add', 'a b').stderr)
    assert 'printable' in the_line(daemon.cli('mark', 'add', 32 * 'x').stderr)
    # Its id is free, and the next port has counted nothing before.
    assert daemon.cli('port', 'del', 'up1').returncode == 0
    daemon.cli('port', 'add', 'new', f'socket={place}/d0/new.sock')
    for port in ask(daemon, 'port', 'stats', '--since', 'm3'):
        assert port['tx']['frames'] == 0 or port['name'] != 'new'


def test_a_mark_is_asked_for(switch):
    server = switch({'mark.add': {'name': 'x', 'age_s': 0}, 'port.stats': [],
                     'mark.list': [{'name': 'x', 'age_s': 7}]})
    assert succeed('-s', server.path, 'mark', 'add', 'x') == \
        'mark x: port stats and port lag count from here with --since x\n'
    assert succeed('-s', server.path, 'mark', 'list') == 'MARK  AGE S\nx         7\n'
    succeed('-s', server.path, 'port', 'stats', 'vm1', '--since=x')
    succeed('-s', server.path, 'port', 'lag', '--since=x')
    assert server.asked[2:] == [('port.stats', {'name': 'vm1', 'since': 'x'}),
                                ('port.stats', {'since': 'x'})]
    assert '--since' in fail(2, 'port', 'list', '--since=x')
