# SPDX-License-Identifier: BSD-3-Clause
"""Every command of ringway against a running ringwayd."""

import json
import os
import socket

import pytest

from programs import the_line

LAG = ('lags', 'lag_ns', 'signals_sent', 'signals_suppressed')


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
    titles, *rows, why = show(daemon, 'port', 'list')
    assert titles[:2] == ['ID', 'NAME']
    assert [row[1] for row in rows] == ['vm1', 'vm2']
    assert why[:4] == ['port', 'vm2', 'is', 'down:']


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


def test_port_lag(daemon):
    row = ask(daemon, 'port', 'lag', 'vm1')[0]
    assert (row['uplink'], row['link_downs'], row['link_changed_s']) == (False, 0, None)
    for direction in 'rx', 'tx':
        assert {key: row[direction][key] for key in LAG} == dict.fromkeys(LAG, 0)
    assert [line[:3] for line in show(daemon, 'port', 'lag')] == [
        ['PORT', 'DIRECTION', 'BEHIND'], ['vm1', 'rx', 'switch'], ['tx', 'guest', '0'],
        ['vm2', 'rx', 'switch'], ['tx', 'guest', '0']]


def test_port_stats_of_an_unknown_port_is_a_failure(daemon):
    done = daemon.cli('port', 'stats', 'vm9')
    assert (done.returncode, done.stdout) == (1, '')
    assert 'vm9' in the_line(done.stderr)


def test_bridges_come_and_go(daemon):
    assert ask(daemon, 'bridge', 'list') == [{'name': 'default', 'ports': ['vm1', 'vm2']}]
    done = daemon.cli('port', 'set', 'vm1', 'bridge=blue')
    assert (done.returncode, the_line(done.stderr)) == (
        1, 'ringway: port vm1: there is no bridge blue: ringway bridge add makes one')
    assert show(daemon, 'bridge', 'add', 'blue') == [['bridge', 'blue', 'is', 'there']]
    done = daemon.cli('bridge', 'add', 'blue')
    assert 'there is one already' in the_line(done.stderr)
    done = daemon.cli('port', 'set', 'vm1', 'bridge=bleu')
    assert the_line(done.stderr).endswith('there is no bridge bleu: did you mean blue?')
    assert ask(daemon, 'port', 'set', 'vm1', 'bridge=blue')['bridge'] == 'blue'
    assert ['blue', '1', 'vm1'] in show(daemon, 'bridge', 'list')
    assert ask(daemon, 'config', 'show')['bridges'] == ['blue']
    assert ['bridge', 'blue'] in show(daemon, 'port', 'show', 'vm1')
    # A static entry is of its port's bridge, and goes when that leaves.
    assert ask(daemon, 'fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm1') == {}
    row, = ask(daemon, 'fdb', 'list', 'bridge=blue')
    assert (row['bridge'], row['port']) == ('blue', 'vm1')
    assert daemon.cli('fdb', 'del', '52:54:00:00:00:aa').returncode == 1
    assert ask(daemon, 'fdb', 'list', 'bridge=default') == []
    done = daemon.cli('bridge', 'del', 'blue')
    assert the_line(done.stderr).startswith('ringway: bridge blue has ports, such as vm1')
    assert ask(daemon, 'fdb', 'del', '52:54:00:00:00:aa', '--bridge', 'blue') == {}
    assert ask(daemon, 'fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm1') == {}
    ask(daemon, 'port', 'set', 'vm1', 'bridge=default')
    assert ask(daemon, 'fdb', 'list') == []
    assert ask(daemon, 'bridge', 'del', 'blue') == {}
    for name in 'default', 'blue':
        assert daemon.cli('bridge', 'del', name).returncode == 1
    assert 'bridges' not in ask(daemon, 'config', 'show')


def test_a_port_says_which_kind_of_tag_it_has(daemon):
    assert ask(daemon, 'port', 'set', 'vm1', 'tpid=8021ad', 'vlan=10')['tpid'] == '8021ad'
    assert ['tags', 'of', 'service', 'VLANs', '(802.1ad)'] in show(daemon, 'port', 'show', 'vm1')
    assert ask(daemon, 'fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm1', '--vlan', '10') == {}
    row, = ask(daemon, 'fdb', 'list', 'tpid=8021ad')
    assert (row['vlan'], row['tpid']) == (10, '8021ad')
    assert show(daemon, 'fdb', 'list')[1][0] == 's10'
    assert daemon.cli('fdb', 'del', '52:54:00:00:00:aa', '--vlan', '10').returncode == 1
    assert ask(daemon, 'fdb', 'del', '52:54:00:00:00:aa', '--vlan', '10', '--tpid', '8021ad') == {}
    done = daemon.cli('port', 'set', 'vm1', 'tpid=0x88a8')
    assert 'tpid is "0x88a8", but must be 8021q or 8021ad' in the_line(done.stderr)


def test_fdb_list_and_flush(daemon):
    assert ask(daemon, 'fdb', 'list') == []
    assert show(daemon, 'fdb', 'list') == [
        ['VLAN', 'MAC', 'PORT', 'TYPE', 'AGE'],
        ['0', 'entries,', '0', 'of', 'them', 'static;', 'room', 'for', '65536']]
    assert ask(daemon, 'fdb', 'flush') == {'flushed': 0}
    assert show(daemon, 'fdb', 'flush', '--port', 'vm1') == [['0', 'addresses', 'forgotten']]
    done = daemon.cli('fdb', 'flush', '--port', 'vm9')
    assert done.returncode == 1
    assert 'vm9' in the_line(done.stderr)


def test_a_static_entry_stays_until_it_is_deleted(daemon):
    assert ask(daemon, 'fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm2', '--vlan', '7') == {}
    assert ask(daemon, 'fdb', 'flush') == {'flushed': 0}
    row, = ask(daemon, 'fdb', 'list')
    assert row == {'mac': '52:54:00:00:00:aa', 'vlan': 7, 'port': 'vm2', 'static': True, 'age_s': 0,
                   'bridge': 'default', 'tpid': '8021q'}
    assert show(daemon, 'fdb', 'list')[1] == ['7', '52:54:00:00:00:aa', 'vm2', 'static', '-']
    done = daemon.cli('fdb', 'del', '52:54:00:00:00:aa')
    assert done.returncode == 1, 'it is on VLAN 7, not untagged'
    assert ask(daemon, 'fdb', 'del', '52:54:00:00:00:aa', '--vlan', '7') == {}
    assert ask(daemon, 'fdb', 'list') == []


@pytest.mark.parametrize('words, status, named', [
    (('fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm9'), 1, 'vm9'),
    (('fdb', 'add', '52:54:00:00:00', '--port', 'vm1'), 1, 'mac'),
    (('fdb', 'add', '52:54:00:00:00:aaa', '--port', 'vm1'), 1, 'mac'),
    (('fdb', 'add', '01:00:5e:00:00:01', '--port', 'vm1'), 1, 'host'),
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


def test_a_static_entry_moves_when_it_is_said_only(daemon):
    add = ('fdb', 'add', '52:54:00:00:00:aa', '--vlan', '7', '--port')
    assert ask(daemon, *add, 'vm1') == {}
    assert ask(daemon, *add, 'vm1') == {}, 'where it is'
    done = daemon.cli(*add, 'vm2')
    assert (done.returncode, done.stdout) == (1, '')
    assert 'static entry' in the_line(done.stderr) and '--replace' in done.stderr
    assert ask(daemon, 'fdb', 'list')[0]['port'] == 'vm1'
    assert ask(daemon, *add, 'vm2', '--replace') == {}
    assert ask(daemon, 'fdb', 'list')[0]['port'] == 'vm2'


def test_fdb_list_is_filtered_and_turns_pages(daemon):
    rows = [(vlan, f'52:54:00:00:{n >> 8:02x}:{n & 255:02x}', f'vm{1 + n % 2}')
            for n in range(3000) for vlan in (0, 9)]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.control)
        answers = client.makefile('rb')
        for at in range(0, len(rows), 250):
            batch = [{'jsonrpc': '2.0', 'id': 0, 'method': 'fdb.add',
                      'params': {'vlan': vlan, 'mac': mac, 'port': port}}
                     for vlan, mac, port in rows[at:at + 250]]
            client.sendall(json.dumps(batch).encode() + b'\n')
            assert all('result' in answer for answer in json.loads(answers.readline()))

    def listed(*filters):
        return [(row['vlan'], row['mac'], row['port'])
                for row in ask(daemon, 'fdb', 'list', *filters)]

    assert listed() == sorted(rows)
    assert listed('static', 'port=vm2') == sorted(row for row in rows if row[2] == 'vm2')
    assert listed('vlan=9', 'mac=52:54:00:00:01:02') == [(9, '52:54:00:00:01:02', 'vm1')]
    assert listed('mac=52:54:00:00:01:03') == [(vlan, '52:54:00:00:01:03', 'vm2')
                                               for vlan in (0, 9)]
    assert listed('learned') == []
    assert show(daemon, 'fdb', 'list', 'vlan=0')[-1][:4] == ['3000', 'of', '6000', 'entries,']
    done = daemon.cli('fdb', 'list', 'port=vm9')
    assert done.returncode == 1
    assert 'vm9' in the_line(done.stderr)


def test_a_port_comes_and_goes(daemon, place):
    words = ('port', 'add', 'vm3', f'socket={place}/vm3.sock', 'description=of tenant 7')
    row = ask(daemon, *words)
    assert (row['name'], row['id'], row['mode'], row['driver']) == ('vm3', 2, 'server', 'vhost')
    assert row['description'] == 'of tenant 7'
    assert ask(daemon, 'port', 'list')[2] == row
    with socket.socket(socket.AF_UNIX) as front_end:
        front_end.connect(f'{place}/vm3.sock')
        front_end.settimeout(5)
        while not ask(daemon, 'port', 'show', 'vm3')['connected']:
            pass
        assert ask(daemon, 'fdb', 'add', '52:54:00:00:00:aa', '--port', 'vm3') == {}
        assert ask(daemon, 'port', 'set', 'vm3', 'description=')['name'] == 'vm3'
        assert 'description' not in ask(daemon, 'port', 'list')[2]
        assert ask(daemon, 'port', 'del', 'vm3') == {}
        assert front_end.recv(1) == b'', 'closed'
    assert not os.path.lexists(f'{place}/vm3.sock')
    assert [row['name'] for row in ask(daemon, 'port', 'list')] == ['vm1', 'vm2']
    assert [row['name'] for row in ask(daemon, 'port', 'stats')] == ['vm1', 'vm2']
    assert ask(daemon, 'fdb', 'list') == []
    assert ask(daemon, 'port', 'add', 'up', f'socket={place}/up', 'mode=client')['id'] == 2
    assert ask(daemon, 'port', 'del', 'vm1') == {}
    assert [row['name'] for row in ask(daemon, 'port', 'list')] == ['vm2', 'up']
    assert ask(daemon, *words)['id'] == 0


@pytest.mark.parametrize('words, says', [
    (('add', 'vm1', 'socket={place}/new'),
        'two ports are named vm1: give one of them another name'),
    (('add', 'a+b', 'socket={place}/new'), '"a+b" cannot name a port'),
    (('add', 'vm3'), 'port vm3: the socket is missing: give socket=PATH'),
    (('add', 'vm3', 'socket={place}/new', 'kind=tap'),
     'port vm3: unknown kind "tap" (there are vhost, ethdev)'),
    (('add', 'vm3', 'socket={place}/new', 'speed=9'), 'port vm3: unknown key "speed"'),
    (('add', 'vm3', 'socket={place}/new', 'mode=both'), 'port vm3: mode is "both"'),
    (('add', 'vm3', 'socket=/tmp/' + 103 * 'x'),
     "port vm3,socket=: a socket's path has at most 107 bytes, this one has 108"),
    (('add', 'vm3', 'socket=/nowhere/x'),
     'port vm3: cannot create /nowhere/x: there is no directory /nowhere'),
    (('add', 'vm3', 'socket={place}/x'), 'ports vm2 and vm3 have the same socket'),
    (('add', 'vm3', 'socket={control}'), 'port vm3 and --control have the same file'),
    (('add', 'vm3', 'socket={pidfile}'), 'port vm3 and --pidfile have the same file'),
    (('add', 'vm3', 'socket={place}/file'), 'port vm3: cannot listen on {place}/file: the file'),
    (('add', 'vm3', 'socket={place}/live'), 'port vm3: cannot listen on {place}/live: a running'),
    (('del', 'vm9'), 'there is no port "vm9"'),
    (('set', 'vm9', 'description=x'), 'there is no port "vm9"'),
    (('set', 'vm1'), 'port vm1: nothing to set'),
    (('set', 'vm1', 'mode=client'), 'port vm1: mode cannot be changed while the port exists'),
    (('set', 'vm1', 'colour=red'), 'port vm1: unknown key "colour"'),
])
def test_a_port_that_cannot_be_is_refused_in_one_line(daemon, place, words, says):
    names = {'place': place, 'control': daemon.control, 'pidfile': daemon.pidfile}
    with open(f'{place}/file', 'w', encoding='ascii') as file, \
         socket.socket(socket.AF_UNIX) as live:
        file.write('keep me')
        live.bind(f'{place}/live')
        live.listen(5)
        done = daemon.cli('port', *(word.format(**names) for word in words))
    assert (done.returncode, done.stdout) == (1, '')
    assert the_line(done.stderr).startswith('ringway: ' + says.format(**names))
    assert [row['name'] for row in ask(daemon, 'port', 'list')] == ['vm1', 'vm2']
    assert not os.path.lexists(f'{place}/new')
    with open(f'{place}/file', encoding='ascii') as file:
        assert file.read() == 'keep me'


def test_the_last_of_1024_ports_fits(launch, place):
    daemon = launch(*(f'--port=p{i},socket={place}/{i},mode=client' for i in range(1023)))
    assert ask(daemon, 'port', 'add', 'last', f'socket={place}/last')['id'] == 1023
    done = daemon.cli('port', 'add', 'more', f'socket={place}/more')
    assert (done.returncode, the_line(done.stderr)) == (
        1, 'ringway: there are more than 1024 ports')
    assert ask(daemon, 'port', 'del', 'p7') == {}
    assert ask(daemon, 'port', 'add', 'more', f'socket={place}/more')['id'] == 7


def test_worker_list(daemon):
    row, = ask(daemon, 'worker', 'list')
    assert set(row) >= {'cpu', 'polls', 'busy_polls', 'busy_cycles', 'idle_cycles', 'frames',
                        'asleep', 'sleeps', 'asleep_cycles'}
    assert row['idle'] == 'adaptive'
    assert row['frames'] == 0
    assert ask(daemon, 'worker', 'list')[0]['polls'] >= row['polls']
    titles, cells = show(daemon, 'worker', 'list')
    assert titles[:2] == ['WORKER', 'CPU']
    assert cells[:2] == ['0', str(row['cpu'])]


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
    assert the_line(done.stderr) == (
        'ringway: forwarding cannot be set to "bounce": choose switch, io, mac, macswap, rxonly '
        'or txonly')
    assert ask(daemon, 'forward', 'show')['mode'] == 'macswap'


def test_forward_is_chosen_at_the_start(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock', '--forward=io')
    assert ask(daemon, 'forward', 'show') == {
        'mode': 'io', 'running': True, 'ports': [{'name': 'vm1', 'partner': 'vm1'}]}


def test_rate(daemon):
    answer = ask(daemon, 'rate', '--interval', '0.05')
    assert answer['interval_s'] >= 0.05
    still = {'frames_per_s': 0, 'bits_per_s': 0, 'drops_per_s': 0}
    assert answer['ports'] == [{'name': name, 'rx': still, 'tx': still, 'drop_reasons': []}
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


def test_a_switch_with_an_empty_configuration_waits_for_its_first_port(launch, place):
    conf = os.path.join(place, 'conf.yaml')
    with open(conf, 'w', encoding='utf-8') as file:
        file.write('# nothing yet\n')
    daemon = launch('--config', conf, f'--socket-dir={place}')
    assert ask(daemon, 'port', 'list') == []
    assert ask(daemon, 'port', 'add', 'vm1', f'socket={place}/vm1.sock')['name'] == 'vm1'


def test_ports_come_from_the_configuration(launch, place):
    conf = os.path.join(place, 'conf.yaml')
    with open(conf, 'w', encoding='utf-8') as file:
        file.write(f'ports:\n  vm1: {{socket: {place}/vm1.sock, vlan: 10}}\n')
    daemon = launch('--config', conf, '--port', f'vm2,socket={place}/vm2.sock,trunk=10+20')
    assert [(row['name'], row['vlans']) for row in ask(daemon, 'port', 'list')] == [
        ('vm2', {'trunk': '10+20', 'native': None}), ('vm1', {'access': 10})]
