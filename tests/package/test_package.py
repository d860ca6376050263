# SPDX-License-Identifier: BSD-3-Clause
"""The Debian package: built from the sources, installed, upgraded and purged in a chroot of Debian
12 with nothing else in it.

Needs root and Debian's mirror. The chroot is kept in the cache of scripts/lib.sh.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get('RINGWAY_CACHE') or os.path.join(
    os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'ringway')
CONFIG = '/etc/ringway/ringway.yaml'


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, **options).stdout


class Chroot:
    """A Debian 12 that is thrown away."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name.lstrip('/'))

    def run(self, *command, **options):
        return run('chroot', self.folder, *command, **options)

    def apt(self, *words):
        self.run('apt-get', '-q', '-y', '--no-install-recommends', *words,
                 env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'})


@pytest.fixture(name='package', scope='module')
def fixture_package(tmp_path_factory):
    """The package's file, built from the files of this working tree."""
    source = tmp_path_factory.mktemp('package') / 'ringway'
    for name in run('git', '-C', ROOT, 'ls-files', '-co', '--exclude-standard').splitlines():
        if os.path.lexists(os.path.join(ROOT, name)):
            os.makedirs(source / os.path.dirname(name), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), source / name, follow_symlinks=False)
    run('dpkg-buildpackage', '-us', '-uc', '-b', cwd=source)
    built, = source.parent.glob('ringway_*.deb')
    return built


@pytest.fixture(name='debian', scope='module')
def fixture_debian(tmp_path_factory):
    base = os.path.join(CACHE, 'chroot')
    if not os.path.isdir(base):
        work = f'{base}.{os.getpid()}'
        run('debootstrap', '--variant=minbase', 'bookworm', work)
        os.rename(work, base)
    folder = str(tmp_path_factory.mktemp('debian') / 'root')
    run('cp', '-a', base, folder)
    with contextlib.ExitStack() as stack:
        for kind in 'proc', 'sysfs':
            at = os.path.join(folder, {'proc': 'proc', 'sysfs': 'sys'}[kind])
            run('mount', '-t', kind, kind, at)
            stack.callback(run, 'umount', at)
        debian = Chroot(folder)
        debian.apt('update')
        yield debian


def service(debian):
    """The words of ExecStart, of the unit that is installed."""
    with open(debian.path('/lib/systemd/system/ringwayd.service'), encoding='utf-8') as unit:
        text = unit.read().replace('\\\n', ' ')
    return shlex.split(re.search(r'^ExecStart=(.*)$', text, flags=re.M).group(1))


@contextlib.contextmanager
def running(debian):
    """What systemd would start, which no chroot can have as its first process."""
    process = subprocess.Popen(['chroot', debian.folder, *service(debian)])
    try:
        deadline = time.monotonic() + 30
        while not os.path.exists(debian.path('/run/ringway.sock')):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        assert process.wait(10) == 0


def ports(debian):
    return [port['name'] for port in json.loads(debian.run('ringway', 'port', 'list', '--json'))]


def test_the_version_is_that_of_the_sources(package):
    version, = re.findall(r"^  version: '(.*)',$", open(f'{ROOT}/meson.build', encoding='utf-8')
                          .read(), flags=re.M)
    assert run('dpkg-deb', '-f', str(package), 'Version').strip() == version


def test_it_installs_serves_upgrades_and_goes(debian, package):
    shutil.copy(package, debian.path('/root/ringway.deb'))
    debian.apt('install', '/root/ringway.deb')
    assert 'ringway' in debian.run('id', 'ringway')
    assert os.path.islink(
        debian.path('/etc/systemd/system/multi-user.target.wants/ringwayd.service'))
    assert os.stat(debian.path('/run/ringway')).st_mode & 0o777 == 0o711
    # The configuration that is installed is an empty one.
    with running(debian) as process:
        assert ports(debian) == []
        debian.run('ringway', 'port', 'add', 'vm1', 'socket=/run/ringway/vm1.sock')
        assert ports(debian) == ['vm1']
        user = int(debian.run('id', '-u', 'ringway'))
        with open(f'/proc/{process.pid}/status', encoding='ascii') as status:
            assert f'Uid:\t{user}\t{user}' in status.read()
    # What the administrator wrote survives an upgrade.
    with open(debian.path(CONFIG), 'a', encoding='utf-8') as config:
        config.write('ports:\n  vm2: {socket: /run/ringway/vm2.sock}\n')
    debian.run('dpkg', '--install', '--force-confold', '/root/ringway.deb')
    with running(debian):
        assert ports(debian) == ['vm2']
    debian.apt('purge', 'ringway')
    assert not os.path.exists(debian.path('/etc/ringway'))
    assert not os.path.exists(debian.path('/usr/bin/ringwayd'))
    assert not os.path.lexists(
        debian.path('/etc/systemd/system/multi-user.target.wants/ringwayd.service'))


def test_lintian_finds_no_error(package):
    done = subprocess.run(['lintian', '--fail-on=error', '--suppress-tags',
                           'bogus-mail-host,bogus-mail-host-in-debian-changelog',
                           str(package)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
