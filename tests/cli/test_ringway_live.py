# SPDX-License-Identifier: BSD-3-Clause
"""Every command of ringway against a running ringwayd."""

import json
import socket

import pytest

from programs import the_line


@pytest.fixture
def daemon(launch, place):
    return launch(f'--socket-path={place}/vm1.sock', '--port', f'vm2,socket={place}/x,mode=client')


def ask(daemon, *words):
    done = daemon.cli(*words, '--json')
    assert (done.returncode, done.stderr) == (0, '')
    return json.loads(done.stdout)


def show(daemon, *words):
    """The words of each line of a table."""
    done = daemon.cli(*words)
    assert (done.returncode, done.stderr) == (0, '')
    return [line.split() for line in done.stdout.splitlines()]


def test_port_list(daemon, place):
    vm1, vm2 = ask(daemon, 'port', 'list')
    assert (vm1['name'], vm1['mode'], vm1['path']) == ('vm1', 'server', f'{place}/vm1.sock')
    assert (vm2['name'], vm2['mode'], vm2['path']) == ('vm2', 'client', f'{place}/x')
    for row in vm1, vm2:
        assert row['driver'] == 'vhost'
        assert row['connected'] is False
        assert row['link'] is False
        assert row['ring_format'] is None
    titles, *rows = show(daemon, 'port', 'list')
    assert titles[:2] == ['ID', 'NAME']
    assert [row[1] for row in rows] == ['vm1', 'vm2']


def test_port_list_shows_who_is_connected(daemon, place):
    with socket.socket(socket.AF_UNIX) as front_end:
        front_end.connect(f'{place}/vm1.sock')
        for _ in range(100):
            if ask(daemon, 'port', 'list')[0]['connected']:
                break
        else:
            pytest.fail('the connection is not seen')


def test_port_stats(daemon):
    rows = ask(daemon, 'port', 'stats')
    assert [row['name'] for row in rows] == ['vm1', 'vm2']
    for row in rows:
        for direction in 'rx', 'tx':
            counters = row[direction]
            assert counters['frames'] == 0
            assert counters['bytes'] == 0
            assert isinstance(counters['drops'], dict)
    assert [row['name'] for row in ask(daemon, 'port', 'stats', 'vm2')] == ['vm2']
    table = show(daemon, 'port', 'stats', 'vm1', '--queues')
    assert table[0] == ['PORT', 'DIRECTION', 'FRAMES', 'BYTES', 'DROPS']
    assert table[1] == ['vm1', 'rx', '0', '0', '0']
    assert table[2] == ['tx', '0', '0', '0']


def test_port_stats_of_an_unknown_port_is_a_failure(daemon):
    done = daemon.cli('port', 'stats', 'vm9')
    assert (done.returncode, done.stdout) == (1, '')
    assert 'vm9' in the_line(done.stderr)


def test_fdb_list_and_flush(daemon):
    assert ask(daemon, 'fdb', 'list') == []
    assert show(daemon, 'fdb', 'list') == [['VLAN', 'MAC', 'PORT', 'TYPE', 'AGE']]
    assert ask(daemon, 'fdb', 'flush') == {'flushed': 0}
    assert show(daemon, 'fdb', 'flush', '--port', 'vm1') == [['0', 'addresses', 'forgotten']]
    done = daemon.cli('fdb', 'flush', '--port', 'vm9')
    assert done.returncode == 1
    assert 'vm9' in the_line(done.stderr)


def test_a_static_entry_stays_until_it_is_deleted(daemon):
    assert ask(daemon, 'fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm2', '--vlan', '7') == {}
    assert ask(daemon, 'fdb', 'flush') == {'flushed': 0}
    row, = ask(daemon, 'fdb', 'list')
    assert row == {'mac': '52:54:00:00:00:aa', 'vlan': 7, 'port': 'vm2', 'static': True, 'age_s': 0}
    assert show(daemon, 'fdb', 'list')[1] == ['7', '52:54:00:00:00:aa', 'vm2', 'static', '-']
    done = daemon.cli('fdb', 'del', '52:54:00:00:00:aa')
    assert done.returncode == 1, 'it is on VLAN 7, not untagged'
    assert ask(daemon, 'fdb', 'del', '52:54:00:00:00:aa', '--vlan', '7') == {}
    assert ask(daemon, 'fdb', 'list') == []


@pytest.mark.parametrize('words, status, named', [
    (('fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm9'), 1, 'vm9'),
    (('fdb', 'add', '52:54:00:00:00', '--port', 'vm1'), 1, 'mac'),
    (('fdb', 'add', '52:54:00:00:00:aaa', '--port', 'vm1'), 1, 'mac'),
    (('fdb', 'add', '01:00:5e:00:00:01', '--port', 'vm1'), 1, 'station'),
    (('fdb', 'add', '52:54:00:00:00:aa'), 2, '--port NAME'),
    (('fdb', 'add', '--port', 'vm1'), 2, 'MAC'),
    (('fdb', 'del'), 2, 'MAC'),
    (('fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm1', '--vlan', '4095'), 2, '4095'),
    (('fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm1', '--vlan', '1x'), 2, '1x'),
    (('fdb', 'list', '--vlan', '1'), 2, '--vlan'),
])
def test_a_static_entry_that_makes_no_sense_is_refused(daemon, words, status, named):
    done = daemon.cli(*words)
    assert done.returncode == status
    assert named in the_line(done.stderr)


def test_worker_list(daemon):
    row, = ask(daemon, 'worker', 'list')
    assert set(row) >= {'cpu', 'polls', 'busy_polls', 'busy_cycles', 'idle_cycles', 'frames',
                        'asleep', 'sleeps', 'asleep_cycles'}
    assert row['idle'] == 'adaptive'
    assert row['frames'] == 0
    assert ask(daemon, 'worker', 'list')[0]['polls'] >= row['polls']
    titles, cells = show(daemon, 'worker', 'list')
    assert titles[0] == 'CPU'
    assert cells[0] == str(row['cpu'])


def test_forward(daemon):
    pair = [{'name': 'vm1', 'partner': 'vm2'}, {'name': 'vm2', 'partner': 'vm1'}]
    alone = [{'name': 'vm1', 'partner': None}, {'name': 'vm2', 'partner': None}]
    assert ask(daemon, 'forward', 'show') == {'mode': 'switch', 'running': True, 'ports': alone}
    for mode, ports in (('io', pair), ('mac', pair), ('macswap', pair), ('rxonly', alone),
                        ('txonly', alone), ('switch', alone)):
        answer = {'mode': mode, 'running': True, 'ports': ports}
        assert ask(daemon, 'forward', 'set', mode) == answer
        assert ask(daemon, 'forward', 'stop') == {**answer, 'running': False}
        assert ask(daemon, 'forward', 'stop') == ask(daemon, 'forward', 'show')
        assert ask(daemon, 'forward', 'start') == answer
    ask(daemon, 'forward', 'stop')
    assert show(daemon, 'forward', 'set', 'macswap') == [
        ['forwarding:', 'macswap,', 'stopped'], ['PORT', 'SENDS', 'TO'], ['vm1', 'vm2'],
        ['vm2', 'vm1']]
    done = daemon.cli('forward', 'set', 'bounce')
    assert done.returncode == 1
    assert the_line(done.stderr) == ('ringway: forwarding cannot be set to "bounce": choose switch, '
                                     'io, mac, macswap, rxonly or txonly')
    assert ask(daemon, 'forward', 'show')['mode'] == 'macswap'


def test_forward_is_chosen_at_the_start(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock', '--forward=io')
    assert ask(daemon, 'forward', 'show') == {
        'mode': 'io', 'running': True, 'ports': [{'name': 'vm1', 'partner': 'vm1'}]}


def test_rate(daemon):
    answer = ask(daemon, 'rate', '--interval', '0.05')
    assert answer['interval_s'] >= 0.05
    still = {'frames_per_s': 0, 'bits_per_s': 0, 'drops_per_s': 0}
    assert answer['ports'] == [{'name': name, 'rx': still, 'tx': still}
                               for name in ('vm1', 'vm2')]
    worker, = answer['workers']
    assert (worker['busy'], worker['frames_per_s'], worker['cycles_per_frame']) == (0, 0, None)
    assert worker['cpu'] == ask(daemon, 'worker', 'list')[0]['cpu']
    lines = show(daemon, 'rate', '--interval=0.05', '--count=2')
    assert [line[0] for line in lines if line] == 2 * [
        'PORT', 'vm1', 'tx', 'vm2', 'tx', 'CPU', str(worker['cpu'])]


def test_version(daemon):
    answer = ask(daemon, 'version')
    assert answer['name'] == 'ringwayd'
    assert answer['dpdk'].startswith('DPDK ')
    assert answer['version'] == answer['client_version']
    own, theirs = show(daemon, 'version')
    assert own == ['ringway', answer['client_version']]
    assert theirs[:2] == ['ringwayd', answer['version']]


def test_the_control_socket_speaks_json_rpc(daemon):
    def call(text):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.control)
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            return json.loads(client.makefile('rb').read())

    assert call(b'{"jsonrpc":"2.0","method":"worker.list","id":"a"}\n')['id'] == 'a'
    assert call(b'nonsense\n')['error']['code'] == -32700
    assert call(b'{}\n')['error']['code'] == -32600
    assert call(b'{"jsonrpc":"2.0","method":"port.burn","id":1}\n')['error']['code'] == -32601
    assert call(b'{"jsonrpc":"2.0","method":"port.stats","params":{"name":7},"id":1}\n')[
        'error']['code'] == -32602
