# SPDX-License-Identifier: BSD-3-Clause
"""What is configured, as one document: shown, saved, and read again."""

import json
import os

from programs import RINGWAYD, run

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
