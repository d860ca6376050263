# SPDX-License-Identifier: BSD-3-Clause
"""What is configured, as one document: shown, saved, and read again."""

import json
import os
import signal

import pytest

import front_end
from front_end import FrontEnd
from programs import RINGWAYD, run, the_line

DOCUMENT = '''
fdb-age: 20
forward: mac
balance: auto,100
ports:
  vm1: {socket: PLACE/one.sock, description: "on", max-mapped: 3G}
  vm2: {socket: PLACE/two.sock, mode: client, trunk: [10, 20-30], native: 7, postcopy: on}
  vm3: {socket: PLACE/three.sock, vlan: 10}
'''


def write(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def shown(daemon):
    answer = daemon.cli('config', 'show', '--json')
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_what_is_shown_is_read_again_as_the_same(launch, place):
    config = write(f'{place}/conf.yaml', DOCUMENT.replace('PLACE', place))
    first = launch('--config', config, f'--socket-path={place}/four.sock')
    # What was set while it runs belongs to it, too.
    assert first.cli('port', 'add', 'vm5', f'socket={place}/five.sock', 'vlan=9').returncode == 0
    assert first.cli('port', 'set', 'vm1', 'description=a: #b', 'trunk=all').returncode == 0
    assert first.cli('port', 'del', 'vm3').returncode == 0
    assert first.cli('forward', 'set', 'io').returncode == 0
    assert shown(first) == {
        'control': first.control, 'pidfile': first.pidfile, 'no-huge': True, 'seccomp': 'kill',
        'fdb-age': 20, 'forward': 'io', 'balance': 'auto,100',
        'ports': {
            'four': {'socket': f'{place}/four.sock'},
            'vm1': {'socket': f'{place}/one.sock', 'description': 'a: #b', 'max-mapped': '3G',
                    'trunk': 'all'},
            'vm2': {'socket': f'{place}/two.sock', 'mode': 'client', 'trunk': [10, '20-30'],
                    'native': 7, 'postcopy': True},
            'vm5': {'socket': f'{place}/five.sock', 'vlan': 9}}}
    saved = f'{place}/saved.yaml'
    assert first.cli('config', 'save', saved).returncode == 0
    before = shown(first)
    assert first.stop() == 0
    with open(saved, encoding='utf-8') as file:
        text = file.read()
    assert text.startswith('# ')
    assert '\n    trunk: [10, 20-30]\n' in text
    checked = run(RINGWAYD, '--check-config', saved)
    assert (checked.returncode, checked.stdout) == (0, 'the configuration has no mistake\n')
    # The words that a Daemon adds prevail over what the document says.
    second = launch('--config', saved)
    after = shown(second)
    for each in before, after:
        del each['control'], each['pidfile']
    assert after == before
    assert second.stop() == 0


def test_a_saved_document_takes_the_place_of_the_old_one(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock')
    write(f'{place}/old', 'old\n')
    os.chmod(f'{place}/old', 0o640)
    os.symlink(f'{place}/old', f'{place}/link')
    assert daemon.cli('config', 'save', f'{place}/link').returncode == 0
    assert os.path.islink(f'{place}/link')
    assert os.stat(f'{place}/old').st_mode & 0o777 == 0o640
    with open(f'{place}/old', encoding='utf-8') as file:
        assert 'vm1' in file.read()
    failed = daemon.cli('config', 'save', f'{place}/nowhere/x')
    assert (failed.returncode, failed.stderr) == (
        1, f'ringway: {place}/nowhere/x: No such file or directory\n')
    assert sorted(os.listdir(place)) == ['d0', 'link', 'old', 'vm1.sock']
    assert daemon.stop() == 0


def test_the_document_has_bridges_and_names_of_vlans(launch, place):
    text = '''
ports:
  vm1: {socket: PLACE/one.sock, bridge: blue, trunk: [web, 20-30, db], native: voice}
  vm2: {socket: PLACE/two.sock, bridge: default, vlan: web, tpid: 8021ad}
bridges: [blue, green]
vlans: {web: 10, db: 7, voice: 4}
'''
    config = write(f'{place}/conf.yaml', text.replace('PLACE', place))
    daemon = launch('--config', config)
    document = shown(daemon)
    assert document['bridges'] == ['blue', 'green']
    assert document['vlans'] == {'web': 10, 'db': 7, 'voice': 4}
    assert document['ports'] == {
        'vm1': {'socket': f'{place}/one.sock', 'bridge': 'blue', 'trunk': [7, 10, '20-30'],
                'native': 4},
        'vm2': {'socket': f'{place}/two.sock', 'vlan': 10, 'tpid': '8021ad'}}
    # Names are for numbers wherever one is given, and shown beside them.
    assert daemon.cli('port', 'set', 'vm2', 'vlan=voice').returncode == 0
    assert daemon.cli('fdb', 'add', '52:54:00:00:00:01', '--port', 'vm2', '--vlan',
                      'voice').returncode == 0
    assert 's4 (voice)  52:54:00:00:00:01' in daemon.cli('fdb', 'list', 'vlan=voice').stdout
    assert 'VLAN name          4 voice\n' in daemon.cli('port', 'show', 'vm2').stdout
    wrong = daemon.cli('port', 'set', 'vm2', 'vlan=voise')
    assert wrong.stderr == ('ringway: port vm2: vlan is "voise", but must be a VLAN id from 1 to '
                            '4094, or none: did you mean voice?\n')
    assert daemon.cli('fdb', 'list', 'vlan=nobody').stderr == (
        'ringway: no VLAN has the name "nobody"\n')
    # The name's number changes, and the ports that have it; a bridge comes and another one goes.
    text = text.replace('web: 10', 'web: 11').replace('green', 'red')
    answer = applied(daemon, text, place, '--dry-run')
    assert answer.stdout == (
        '~ bridges ["blue","green"] -> ["blue","red"]\n'
        '~ vlans {"web":10,"db":7,"voice":4} -> {"web":11,"db":7,"voice":4}\n'
        '~ port vm1: trunk [7,10,"20-30"] -> [7,11,"20-30"]\n'
        '~ port vm2: vlan 4 -> 11\n'
        '4 changes would be made, 0 port(s) as they were\n'), answer.stderr
    assert shown(daemon)['bridges'] == ['blue', 'green']
    assert applied(daemon, text, place).returncode == 0
    assert shown(daemon)['bridges'] == ['blue', 'red']
    assert shown(daemon)['ports']['vm2']['vlan'] == 11
    assert applied(daemon, text, place).stdout == '0 changes, 2 port(s) as they were\n'
    # What is shown is read again as the same.
    saved = f'{place}/saved.yaml'
    assert daemon.cli('config', 'save', saved).returncode == 0
    assert daemon.cli('apply', saved).stdout == '0 changes, 2 port(s) as they were\n'
    assert daemon.stop() == 0


# ---- apply ----

PORTS = '\nports:\n  vm1: {socket: PLACE/one.sock}\n  vm2: {socket: PLACE/two.sock, vlan: 10}\n'


@pytest.fixture
def started(launch, place):
    """A switch with a configuration, and the path of that."""
    config = write(f'{place}/conf.yaml', 'fdb-age: 20' + PORTS.replace('PLACE', place))
    return launch('--config', config), config


def applied(daemon, text, place, *words):
    return daemon.cli('apply', write(f'{place}/new.yaml', text.replace('PLACE', place)), *words)


def test_a_document_is_applied(started, place):
    daemon, config = started
    answer = daemon.cli('apply', config)
    assert (answer.returncode, answer.stdout) == (0, '0 changes, 2 port(s) as they were\n')
    one, two = (FrontEnd(f'{place}/{name}.sock') for name in ('one', 'two'))
    text = 'fdb-age: 0\nports:\n  vm1: {socket: PLACE/one.sock, trunk: [5, 7-9], postcopy: on}\n' \
           '  vm3: {socket: PLACE/three.sock}\n'
    before = shown(daemon)
    answer = applied(daemon, text, place, '--dry-run')
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (
        '~ fdb-age 20 -> 0\n'
        f'- port vm2: socket {place}/two.sock, vlan 10\n'
        '~ port vm1: postcopy false -> true, trunk none -> [5,"7-9"]\n'
        f'+ port vm3: socket {place}/three.sock\n'
        '4 changes would be made, 0 port(s) as they were\n')
    assert shown(daemon) == before
    answer = applied(daemon, text, place)
    assert answer.stdout.endswith('\n4 changes, 0 port(s) as they were\n')
    after = shown(daemon)
    assert (after['fdb-age'], after['ports']) == (0, {
        'vm1': {'socket': f'{place}/one.sock', 'trunk': [5, '7-9'], 'postcopy': True},
        'vm3': {'socket': f'{place}/three.sock'}})
    # The front-end of a port that changes stays, that of a port that goes is sent away.
    assert one.ask_u64(front_end.GET_FEATURES)
    assert two.socket.recv(1) == b''
    # What is configured by hand is in the way of no document.
    daemon.cli('port', 'set', 'vm1', 'trunk=none', 'vlan=4')
    daemon.cli('port', 'add', 'vm4', f'socket={place}/four.sock')
    answer = daemon.cli('apply', f'{place}/new.yaml', '--json')
    changes = json.loads(answer.stdout)
    assert changes['applied'] and changes['unchanged'] == 1
    assert [(c['port'], c['change']) for c in changes['changes']] == [
        ('vm4', 'remove'), ('vm1', 'set')]
    assert shown(daemon) == after
    one.socket.close()
    assert daemon.stop() == 0


REFUSED = [
    ('fdb-age: soon\n', '1:1', 'fdb-age=soon: give 1 to 1000000 seconds'),
    ('fdb-sice: 1\n', '1:1', 'did you mean fdb-size?'),
    ('\nfdb-size: 7\n', '2:1', 'fdb-size is 65536 now and would be 7: that takes a restart'),
    ('cpus: [0, 999]\n', '1:1', 'cpus is'),
    ('user: games\n', '1:1', 'user is not set now and would be "games": that takes a restart'),
    ('fdb-age: 20\nports:\n  vm1: {socket: PLACE/one.sock,\n        vlan: 4095}\n', '4:9',
     'port vm1: vlan is "4095", but must be a VLAN id from 1 to 4094'),
    ('vlans: {web: 10}\nports:\n  vm1: {socket: PLACE/one.sock,\n        vlan: wed}\n', '4:9',
     'port vm1: vlan is "wed", but must be a VLAN id from 1 to 4094, or none: did you mean web?'),
    ('ports:\n  vm1: {socket: PLACE/one.sock,\n        bridge: bleu}\nbridges: [blue]\n', '3:9',
     'port vm1: there is no bridge bleu: did you mean blue?'),
    ('vlans: {web: 10,\n  www: 10}\n', '2:3', 'vlan=www=10: that VLAN has the name web'),
    ('ports:\n  vm1: {mode: client}\n', '2:3', 'port vm1: the socket is missing'),
    ('ports:\n  vm1: {socket: PLACE/x}\n  vm2: {socket: PLACE/x}\n', '3:3',
     'ports vm1 and vm2 have the same socket'),
    ('ports:\n  vm9: {socket: /sys/x}\n', '2:3', 'port vm9: cannot listen on /sys/x'),
    ('ports:\n  vm1: [\n', '3:1', 'did not find'),
    ('a: *b\n', '1:4', 'aliases are not supported'),
]


def test_a_document_that_cannot_be_applied_changes_nothing(started, place):
    daemon, _ = started
    before = shown(daemon)
    for text, place_in_it, says in REFUSED:
        for words in ([], ['--dry-run']):
            if words and '/sys/' in text:
                continue  # nobody tries to listen
            answer = applied(daemon, text, place, *words)
            assert answer.returncode == 1 and answer.stdout == ''
            line = the_line(answer.stderr)
            assert line.startswith(f'ringway: {place}/new.yaml:{place_in_it}: '), line
            assert says in line
        assert shown(daemon) == before
    assert daemon.stop() == 0


def test_a_document_that_is_not_there_is_named(started, place):
    daemon, _ = started
    answer = daemon.cli('apply', f'{place}/none')
    assert the_line(answer.stderr) == f'ringway: {place}/none: No such file or directory'
    answer = daemon.cli('apply', '-')  # the standard input of these tests is empty
    assert answer.stdout.splitlines()[-1] == '3 changes, 0 port(s) as they were'
    assert 'ports' in shown(daemon) and not shown(daemon)['ports']
    assert daemon.stop() == 0


def test_sighup_reads_the_configuration_again(launch, place):
    config = write(f'{place}/conf.yaml', 'fdb-age: 20' + PORTS.replace('PLACE', place))
    # The options and ports of the command line stay, whatever the file says.
    daemon = launch('--config', config, '--log-level=info', f'--socket-path={place}/word.sock')
    one = FrontEnd(f'{place}/one.sock')
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_until_said('configuration: 0 change(s), 3 port(s) as they were')
    write(config, f'fdb-age: 30\nports:\n  vm1: {{socket: {place}/one.sock, vlan: 4096}}\n')
    before = shown(daemon)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_until_said(f'error: configuration: nothing was changed: {config}:3:')
    assert shown(daemon) == before
    # As editors do it: another file of the same name.
    os.rename(write(f'{place}/next', f'fdb-age: 30\nlog-level: debug\nports:\n'
                                     f'  vm1: {{socket: {place}/one.sock, vlan: 4094}}\n'), config)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_until_said('configuration: 3 change(s), 1 port(s) as they were')
    after = shown(daemon)
    assert after['fdb-age'] == 30 and 'log-level' not in after
    assert after['ports'] == {'vm1': {'socket': f'{place}/one.sock', 'vlan': 4094},
                              'word': {'socket': f'{place}/word.sock'}}
    assert one.ask_u64(front_end.GET_FEATURES)
    os.unlink(config)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_until_said(f'nothing was changed: {config}: No such file or directory')
    assert shown(daemon) == after
    one.socket.close()
    assert daemon.stop() == 0


def test_an_uplink_changes_as_far_as_it_can(launch, place):
    text = 'ports:\n  up: {kind: ethdev, device: net_null, size: 64, vlan: 3}\n' \
           f'  vm1: {{socket: {place}/one.sock}}\n'
    daemon = launch('--config', write(f'{place}/conf.yaml', text))
    before = shown(daemon)
    assert before['ports']['up'] == {'kind': 'ethdev', 'device': 'net_null,size=64', 'vlan': 3}
    answer = applied(daemon, text, place)
    assert answer.stdout == '0 changes, 2 port(s) as they were\n', answer.stderr
    for what in text.replace('size: 64', 'size: 65'), text + '  up2: {device: net_null1}\n':
        for words in ([], ['--dry-run']):
            line = the_line(applied(daemon, what, place, *words).stderr)
            assert 'an uplink needs privileges that ringwayd gives up' in line, line
            assert line.endswith('and restart ringwayd'), line
            assert shown(daemon) == before
    line = the_line(daemon.cli('port', 'add', 'up2', 'device=net_null1').stderr)
    assert line.startswith('ringway: port up2: an uplink needs privileges that'), line
    assert line.endswith('and restart ringwayd') and shown(daemon) == before, line
    answer = applied(daemon, text.replace('vlan: 3', 'vlan: 4'), place)
    assert answer.stdout == '~ port up: vlan 3 -> 4\n1 change, 1 port(s) as they were\n'
    # It goes, and a new port takes the socket of another one; the uplink does not come back.
    answer = applied(daemon, f'ports: {{vm2: {{socket: {place}/one.sock}}}}\n', place)
    assert answer.stdout.endswith('3 changes, 0 port(s) as they were\n'), answer.stderr
    assert list(shown(daemon)['ports']) == ['vm2']
    assert daemon.stop() == 0


def busy_ns(daemon):
    """What the control thread has used of its CPU."""
    with open(f'/proc/{daemon.process.pid}/schedstat', encoding='ascii') as stat:
        return int(stat.read().split()[0])


def test_one_change_among_1024_ports_costs_a_few_lists_of_them(launch, place):
    def document(vlan):
        return json.dumps({'ports': {
            f'p{i}': {'socket': f'{place}/p{i}.sock', 'vlan': vlan if i == 700 else 10 + i % 20,
                      'description': f'tenant {i}'} for i in range(1024)}})
    daemon = launch('--config', write(f'{place}/conf.yaml', document(9)))
    costs = {'same': [], 'one': [], 'list': []}
    for vlan in (8, 7, 6):
        for what, words in (
                ('one', ['apply', write(f'{place}/new.yaml', document(vlan))]),
                ('same', ['apply', f'{place}/new.yaml']),
                ('list', ['port', 'list'])):
            start = busy_ns(daemon)
            answer = daemon.cli(*words)
            costs[what].append(busy_ns(daemon) - start)
            assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count('\n') == 1025
    one, same, listed = (min(costs[what]) for what in ('one', 'same', 'list'))
    print(f'control is busy {one / 1e6:.1f} ms, without a change {same / 1e6:.1f} ms; '
          f'a list {listed / 1e6:.1f} ms')
    # About as much as a list. Each port against each other one would be several times that.
    assert same < 6 * listed and one < 6 * listed
    daemon.process.terminate()
    assert daemon.process.wait(60) == 0
