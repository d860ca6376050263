# SPDX-License-Identifier: BSD-3-Clause
"""`ringway backends`: the descriptions that management software finds on a host."""

import json
import os
import subprocess

import pytest

import programs

DIRS = 'usr', 'etc', 'own'


class Host:
    """Three directories of descriptions, seen by no other process."""

    def __init__(self, folder):
        self.folder = folder
        for name in 'usr/vhost-user', 'etc/vhost-user', 'own/qemu/vhost-user':
            os.makedirs(f'{folder}/{name}')

    def write(self, where, name, content):
        inner = 'qemu/vhost-user' if where == 'own' else 'vhost-user'
        with open(f'{self.folder}/{where}/{inner}/{name}', 'w', encoding='utf-8') as file:
            file.write(content if isinstance(content, str) else json.dumps(content))

    def ringway(self, *words):
        script = ('mkdir -p /usr/share/qemu /etc/qemu && '
                  'mount --bind "$1/usr" /usr/share/qemu && mount --bind "$1/etc" /etc/qemu && '
                  'shift && exec "$@"')
        done = subprocess.run(
            ['unshare', '--mount', 'sh', '-c', script, 'sh', self.folder, programs.RINGWAY,
             'backends', *words],
            env={**os.environ, 'XDG_CONFIG_HOME': f'{self.folder}/own'}, capture_output=True,
            text=True, check=False, timeout=120)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout

    def found(self):
        return json.loads(self.ringway('--json'))


@pytest.fixture(name='host')
def fixture_host(place):
    if os.geteuid():
        pytest.skip('only root can mount')
    return Host(place)


def net(description, **more):
    return {'description': description, 'type': 'net', 'binary': '/bin/true', **more}


def test_descriptions_are_sorted_by_the_names_of_their_files(host):
    host.write('etc', '60-c.json', net('c'))
    host.write('usr', '50-b.json', net('b', tags=['x']))
    host.write('own', '10-a.json', {**net('a'), 'type': 'fs'})
    host.write('usr', 'notes.txt', 'no description')
    found = host.found()
    assert [(row['description'], row['type'], row['problem']) for row in found] == [
        ('a', 'fs', None), ('b', 'net', None), ('c', 'net', None)]
    assert found[1]['file'] == '/usr/share/qemu/vhost-user/50-b.json'
    assert found[1]['tags'] == ['x']
    lines = host.ringway().splitlines()
    assert lines[0].split() == ['TYPE', 'BINARY', 'FILE', 'DESCRIPTION', 'PROBLEM']
    assert lines[2].split() == ['net', '/bin/true', found[1]['file'], 'b', '-']


def test_the_more_specific_file_of_a_name_hides_the_others(host):
    for where in DIRS:
        host.write(where, '50-a.json', net(where))
    assert [row['description'] for row in host.found()] == ['own']


def test_an_empty_file_hides_and_is_no_description(host):
    host.write('usr', '50-a.json', net('a'))
    host.write('usr', '50-b.json', net('b'))
    host.write('etc', '50-a.json', '')
    assert [row['description'] for row in host.found()] == ['b']


@pytest.mark.parametrize('content, problem', [
    ('{"description": "x"', 'near'),
    ([], 'no JSON object'),
    ({'type': 'net', 'binary': '/bin/true'}, '"description" is missing'),
    ({'description': 'x', 'type': 7, 'binary': '/bin/true'}, '"type" is missing or no text'),
    (net('x', tags='switch'), '"tags" is no list of texts'),
    (net('x', features=[1]), '"features" is no list of texts'),
    ({**net('x'), 'type': 'toaster'}, 'none of vhost-user.json'),
    ({**net('x'), 'binary': 'true'}, 'not absolute'),
    ({**net('x'), 'binary': '/no/such/program'}, 'cannot be executed'),
])
def test_what_is_wrong_with_a_description_is_said(host, content, problem):
    host.write('usr', '50-a.json', content)
    row, = host.found()
    assert problem in row['problem']


def test_our_own_description_has_no_problem(host, tmp_path):
    subprocess.run(['/usr/bin/meson', 'install', '--no-rebuild', '--quiet', '-C', programs.BUILD],
                   env={**os.environ, 'DESTDIR': str(tmp_path)}, check=True)
    path, = tmp_path.rglob('share/qemu/vhost-user/50-ringway-net.json')
    content = json.loads(path.read_text(encoding='utf-8'))
    # The link leads to where the program is when nothing is moved.
    program = os.path.join(os.path.dirname(content['binary']),
                           os.readlink(f'{tmp_path}{content["binary"]}'))
    content['binary'] = f'{tmp_path}{program}'
    host.write('usr', path.name, content)
    row, = host.found()
    assert row['problem'] is None and row['type'] == 'net'
