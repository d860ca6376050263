# SPDX-License-Identifier: BSD-3-Clause
"""What `meson install` puts where management software, systemd, bash and people look for it."""

import json
import os
import re
import subprocess

import pytest

from exporter import EXPORTER
from programs import BUILD, RINGWAY, RINGWAYD, ROOT, run


@pytest.fixture(name='installed', scope='module')
def fixture_installed(tmp_path_factory):
    """The folder that stands for / in an installation."""
    folder = tmp_path_factory.mktemp('installed')
    subprocess.run(['/usr/bin/meson', 'install', '--no-rebuild', '--quiet', '-C', BUILD],
                   env={**os.environ, 'DESTDIR': str(folder)}, check=True)
    return folder


def test_the_look_at_the_host_is_installed(installed):
    program, = installed.rglob('libexec/ringway/setup-host')
    assert os.access(program, os.X_OK)


def test_the_plotter_is_installed_where_ringway_bench_finds_it(installed):
    program, = installed.rglob('bin/ringway-bench')
    plotter, = installed.rglob('libexec/ringway/bench_plot.py')
    assert f'/{plotter.parent.relative_to(installed)}'.encode() in program.read_bytes()
    assert os.access(plotter, os.X_OK)


def test_the_back_end_is_installed_with_its_description(installed):
    description, = installed.rglob('share/qemu/vhost-user/50-ringway-net.json')
    content = json.loads(description.read_text(encoding='utf-8'))
    assert set(content) == {'description', 'type', 'binary', 'tags'}
    assert content['type'] == 'net'
    binary = installed / content['binary'].lstrip('/')
    assert binary.name == 'vhost-user-net'
    assert binary.parent.name == 'libexec'
    program = installed / os.readlink(binary).lstrip('/')
    answer = subprocess.run([program, '--print-capabilities'], capture_output=True, text=True,
                            check=True)
    assert json.loads(answer.stdout) == {'type': 'net'}


def test_the_unit_starts_what_is_installed(installed):
    unit, = installed.rglob('systemd/system/ringwayd.service')
    text = unit.read_text(encoding='utf-8')
    assert '@' not in text.split('[Service]')[1].split('SystemCallFilter')[0]
    program = re.search(r'^ExecStart=(\S+) --config=(\S+)', text, flags=re.M)
    assert (installed / program.group(1).lstrip('/')).exists()
    assert program.group(2).endswith('/ringway/ringway.yaml')
    user = re.search(r'--user=(\S+)', text).group(1)
    sysusers, = installed.rglob('sysusers.d/ringway.conf')
    assert f'u {user} ' in sysusers.read_text(encoding='utf-8')
    folder = re.search(r'--socket-dir=(\S+)', text).group(1)
    tmpfiles, = installed.rglob('tmpfiles.d/ringway.conf')
    assert f'd {folder} ' in tmpfiles.read_text(encoding='utf-8')


def test_the_unit_of_the_exporter_starts_what_is_installed(installed):
    unit, = installed.rglob('systemd/system/ringway-exporter.service')
    text = unit.read_text(encoding='utf-8')
    program, user = re.search(r'^ExecStart=(\S+) .*--user=(\S+)', text, flags=re.M).groups()
    assert (installed / program.lstrip('/')).exists()
    sysusers, = installed.rglob('sysusers.d/ringway.conf')
    assert f'u {user} ' in sysusers.read_text(encoding='utf-8')


def test_examples_have_no_mistake(installed):
    examples = list(installed.rglob('ringway/examples/*.yaml'))
    assert {'ringway.yaml', 'two-vms.yaml'} <= {example.name for example in examples}
    for example in examples:
        done = run(RINGWAYD, '--check-config', str(example))
        assert done.returncode == 0, done.stderr


def test_manual_pages_say_what_help_says(installed):
    for name, program in (('ringway.1', RINGWAY), ('ringwayd.8', RINGWAYD),
                          ('ringway-exporter.8', EXPORTER)):
        page, = installed.rglob(f'man/man*/{name}')
        text = page.read_text(encoding='utf-8').replace('\\', '')
        options = set(re.findall(r'^ +(?:-\w, +)?--([a-z-]+)', run(program, '--help').stdout,
                                 flags=re.M))
        assert len(options) > 5
        for option in options:
            assert f'--{option}' in text, option


def completed(folder, line):
    """What bash offers for the last word of `line`, where `ringway` is the program under test."""
    if not os.path.lexists(f'{folder}/ringway'):
        os.symlink(RINGWAY, f'{folder}/ringway')
    words = line.split(' ')
    script = (f'. {ROOT}/config/ringway.bash; COMP_WORDS=({" ".join(map(repr, words))}); '
              f'COMP_CWORD={len(words) - 1}; _ringway; echo "${{COMPREPLY[@]}}"')
    done = run('bash', '-c', script,
               env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'})
    assert not done.stderr
    return set(done.stdout.split())


def test_bash_completes_nouns_verbs_options_and_ports(launch, place):
    daemon = launch(f'--socket-path={place}/vm1.sock', f'--socket-path={place}/vm2.sock',
                    f'--socket-path={place}/other.sock')
    assert completed(place, 'ringway po') == {'port'}
    assert {'port', 'fdb', 'worker', 'version'} <= completed(place, 'ringway ')
    assert completed(place, 'ringway port s') == {'show', 'stats', 'set'}
    assert {'list', 'move', 'balance'} <= completed(place, 'ringway worker ')
    assert completed(place, 'ringway port list --js') == {'--json'}
    assert completed(place, f'ringway -s {daemon.control} port show v') == {'vm1', 'vm2'}
    assert completed(place, f'ringway -s {daemon.control} port del o') == {'other'}
    assert completed(place, f'ringway -s {place}/nobody port show v') == set()
