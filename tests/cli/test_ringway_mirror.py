# SPDX-License-Identifier: BSD-3-Clause
"""ringway mirror: copies of frames for a port of their own, and how the configuration has them."""

import json
import signal

import pytest

from capture_client import Guest, wait_until
from programs import RINGWAYD, run, the_line

ONE, TWO, PROBE = b'\2\0\0\0\0\1', b'\2\0\0\0\0\2', b'\2\0\0\0\0\3'


@pytest.fixture
def daemon(launch, place):
    return launch(*(f'--socket-path={place}/{name}.sock' for name in ('vm1', 'vm2', 'probe')))


def do(daemon, *words):
    done = daemon.cli(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(daemon, *words):
    return json.loads(do(daemon, *words, '--json'))


def fail(daemon, *words):
    done = daemon.cli(*words)
    assert done.returncode != 0
    return the_line(done.stderr)


def test_a_guest_gets_copies_and_nothing_else(daemon, place):
    guests = [Guest(f'{place}/{name}.sock', mac)
              for name, mac in (('vm1', ONE), ('vm2', TWO), ('probe', PROBE))]
    one, two, probe = guests
    wait_until(lambda: all(row['link'] for row in ask(daemon, 'port', 'list')))
    one.say(one.frame(TWO))
    two.say(two.frame(ONE))
    wait_until(lambda: two.received() and one.received())
    before = len(probe.received())
    assert do(daemon, 'mirror', 'add', 'span', '--source', 'vm1', '--direction=in', '--to',
              'probe', '--snap=80', '--sample=2') == (
        'mirror span is there: port probe gets copies, and nothing else\n')
    sent = [one.frame(TWO, seq, 60 + seq * 9) for seq in range(10)]
    for frame in sent:
        one.say(frame)
        two.say(two.frame(ONE, 1))
    probe.say(probe.frame(ONE))
    wait_until(lambda: len(probe.received()) == before + 5)
    assert probe.received()[before:] == [frame[:80] for frame in sent[::2]]
    assert two.received()[-10:] == sent
    row, = ask(daemon, 'mirror', 'list')
    assert row == {
        'name': 'span', 'source': ['vm1'], 'vlan': None, 'bridge': None, 'tpid': None,
        'direction': 'in', 'to': 'probe', 'snap': 80, 'sample': 2, 'absent': [], 'frames': 5,
        'bytes': sum(min(len(frame), 80) for frame in sent[::2]), 'lost': {}}
    stats, = ask(daemon, 'port', 'stats', 'probe')
    assert stats['rx']['drops']['mirror_destination'] == 1
    assert [row.get('mirrors') for row in ask(daemon, 'port', 'list')] == [None, None, ['span']]
    assert 'port probe gets copies of mirrors, and nothing else' in do(daemon, 'port', 'list')
    assert 'of mirror span, and nothing else' in do(daemon, 'port', 'show', 'probe')
    explained = do(daemon, 'explain', 'probe', 'dst=02:00:00:00:00:01')
    assert 'mirror_destination' in explained
    assert do(daemon, 'mirror', 'del', 'span') == 'mirror span is gone\n'
    assert ask(daemon, 'mirror', 'list') == []
    assert 'mirrors' not in do(daemon, 'port', 'list', '--json')


def test_mirrors_are_printed(daemon):
    do(daemon, 'bridge', 'add', 'red')
    do(daemon, 'mirror', 'add', 'a', '--source=vm1,vm2', '--to=probe')
    said = do(daemon, 'mirror', 'add', 'b', '--source=vlan=10', '--bridge=red', '--tpid=8021ad',
              '--to=other', '--direction', 'out', '--sample', '7')
    assert said == (
        'mirror b is there: port other gets copies, and nothing else\n'
        'mirror b: there is no port other now; if one comes, it takes part\n')
    lines = [line.split() for line in do(daemon, 'mirror', 'list').splitlines()]
    assert lines[0] == ['NAME', 'SOURCE', 'DIRECTION', 'TO', 'SNAP', 'SAMPLE', 'FRAMES', 'BYTES',
                        'LOST']
    assert lines[1] == ['a', 'vm1', 'vm2', 'both', 'probe', '-', '1', '0', '0', '0']
    assert lines[2] == ['b', 'service', 'VLAN', '10', 'of', 'red', 'out', 'other', '-', '7', '0',
                        '0', '0']
    assert lines[3][:6] == ['mirror', 'b:', 'there', 'is', 'no', 'port']
    assert fail(daemon, 'bridge', 'del', 'red').endswith('bridge red has a mirror: delete '
                                                         'mirror b first')


WRONG = [
    (['--source=vm1', '--to=vm1'], 'port vm1 cannot get copies of its own frames'),
    (['--source=probe', '--to=vm2'], 'port probe gets the copies of mirror span'),
    (['--source=vm2', '--to=vm1'], 'port vm1 is a source of mirror span'),
    (['--source=vm2,vm2', '--to=probe'], 'source vm2 is given twice'),
    (['--source=', '--to=probe'], 'a list of the names of ports'),
    (['--source=vm2', '--to=a b'], 'must name a port'),
    (['--source=vm2', '--to=probe', '--bridge=default', '--tpid=8021ad'], 'give vlan=, too'),
    (['--source=vlan=web', '--to=probe'], 'vlan is "web"'),
    (['--source=vlan=1', '--to=probe', '--bridge=blue'], 'there is no bridge blue'),
    (['--source=vlan=4095', '--to=probe'], '--source wants ports or vlan='),
    (['--source=vm2'], 'mirror add NAME --source PORTS --to PORT'),
    (['--to=probe'], 'mirror add NAME --source PORTS --to PORT'),
    (['--source=vm2', '--to=probe', '--snap=13'], '--snap wants 14 to 65553'),
    (['--source=vm2', '--to=probe', '--sample=0'], '--sample wants'),
    (['--source=vm2', '--to=probe', '--direction=up'], '--direction wants in, out or both'),
    (['--source=vm2', '--to=probe', '--port=vm1'], '--port does not belong here'),
]


def test_what_is_wrong_with_a_mirror_is_one_line(daemon):
    do(daemon, 'mirror', 'add', 'span', '--source', 'vm1', '--to', 'probe')
    for words, named in WRONG:
        assert named in fail(daemon, 'mirror', 'add', 'x', *words), words
    assert fail(daemon, 'mirror', 'add', 'span', '--source', 'vm2', '--to', 'probe').endswith(
        'mirror span: there is one already')
    assert fail(daemon, 'mirror', 'del', 'x') == 'ringway: there is no mirror "x"'
    assert [row['name'] for row in ask(daemon, 'mirror', 'list')] == ['span']


    for i in range(7):
        do(daemon, 'mirror', 'add', f'm{i}', '--source', 'vm1', '--to', 'probe')
    assert 'there are 8 mirrors already' in fail(
        daemon, 'mirror', 'add', 'm8', '--source', 'vm1', '--to', 'probe')


DOCUMENT = '''
mirrors:
  span: {source: [vm1, vm2], to: probe, direction: out, snap: 100}
  web: {vlan: web, bridge: red, to: probe, sample: 3}
bridges: [red]
vlans: {web: 10}
ports:
  vm1: {socket: PLACE/1.sock}
  probe: {socket: PLACE/2.sock}
'''


def write(place, text):
    with open(f'{place}/conf.yaml', 'w', encoding='utf-8') as file:
        file.write(text.replace('PLACE', place))
    return f'{place}/conf.yaml'


def mirrors(daemon):
    return ask(daemon, 'config', 'show').get('mirrors')


def test_the_configuration_has_them(launch, place):
    first = launch('--config', write(place, DOCUMENT))
    both = {'span': {'source': ['vm1', 'vm2'], 'to': 'probe', 'direction': 'out', 'snap': 100},
            'web': {'vlan': 10, 'bridge': 'red', 'to': 'probe', 'sample': 3}}
    assert mirrors(first) == both
    do(first, 'mirror', 'add', 'more', '--source=vm1', '--to=probe')
    do(first, 'mirror', 'del', 'web')
    kept = {'span': both['span'], 'more': {'source': ['vm1'], 'to': 'probe'}}
    assert mirrors(first) == kept
    do(first, 'config', 'save', f'{place}/saved.yaml')
    # What a document says takes the place of what there is.
    do(first, 'apply', f'{place}/conf.yaml')
    assert mirrors(first) == both
    write(place, DOCUMENT.replace('to: probe, direction', 'to: vm3, direction'))
    first.process.send_signal(signal.SIGHUP)
    first.wait_until_said('1 change(s)')
    assert mirrors(first)['span']['to'] == 'vm3'
    # A source and a destination change places at once.
    write(place, 'mirrors: {back: {source: probe, to: vm1}}' + DOCUMENT.split('web: 10}')[1])
    do(first, 'apply', f'{place}/conf.yaml')
    assert mirrors(first) == {'back': {'source': ['probe'], 'to': 'vm1'}}
    assert first.stop() == 0
    second = launch('--config', f'{place}/saved.yaml', '--mirror', 'x,to=probe,source=vm1+vm2')
    # The command line prevails.
    assert mirrors(second) == {'x': {'source': ['vm1', 'vm2'], 'to': 'probe'}}
    assert second.stop() == 0


MISTAKES = [
    ('{source: vm1}', '3:3', 'the destination is missing'),
    ('{to: vm1}', '3:3', 'what is mirrored is missing'),
    ('{to: vm1, vlan: 1, source: vm2}', '3:3', 'give either source= or vlan='),
    ('{to: vm1, source: vm1}', '3:3', 'cannot get copies of its own frames'),
    ('{too: vm1}', '3:7', 'there is no key "too": did you mean to?'),
    ('{to: vm1, vlan: 1, bridge: red}', '3:3', 'there is no bridge red'),
    ('vm1', '3:3', 'mirror m wants its keys: to and others'),
]


def test_a_mistake_in_a_document_is_named_with_its_place(place):
    for entry, where, named in MISTAKES:
        path = write(place, f'\nmirrors:\n  m: {entry}\n')
        done = run(RINGWAYD, '--check-config', path)
        assert done.returncode == 2
        line = the_line(done.stderr)
        assert f'{path}:{where}: ' in line and named in line, line


def test_a_mistake_on_the_command_line_is_named(place):
    for words, named in (('m,to=a', 'what is mirrored is missing'), ('m,x', '"x" is not KEY=VALUE'),
                         ('a b,to=x', 'cannot name a mirror'),
                         ('m,to=a,source=b,to=c', 'to is given twice')):
        done = run(RINGWAYD, f'--socket-path={place}/a.sock', f'--mirror={words}')
        assert done.returncode == 2 and named in the_line(done.stderr)
