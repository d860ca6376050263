# SPDX-License-Identifier: BSD-3-Clause
"""What `meson install` puts where management software looks for a network back-end."""

import json
import os
import subprocess

from programs import BUILD


def test_the_plotter_is_installed_where_ringway_bench_finds_it(tmp_path):
    subprocess.run(['/usr/bin/meson', 'install', '--no-rebuild', '--quiet', '-C', BUILD],
                   env={**os.environ, 'DESTDIR': str(tmp_path)}, check=True)
    program, = tmp_path.rglob('bin/ringway-bench')
    plotter, = tmp_path.rglob('libexec/ringway/bench_plot.py')
    assert f'/{plotter.parent.relative_to(tmp_path)}'.encode() in program.read_bytes()
    assert os.access(plotter, os.X_OK)


def test_the_back_end_is_installed_with_its_description(tmp_path):
    subprocess.run(['/usr/bin/meson', 'install', '--no-rebuild', '--quiet', '-C', BUILD],
                   env={**os.environ, 'DESTDIR': str(tmp_path)}, check=True)
    description, = tmp_path.rglob('share/qemu/vhost-user/50-ringway-net.json')
    content = json.loads(description.read_text(encoding='utf-8'))
    assert set(content) == {'description', 'type', 'binary', 'tags'}
    assert content['type'] == 'net'
    binary = tmp_path / content['binary'].lstrip('/')
    assert binary.name == 'vhost-user-net'
    assert binary.parent.name == 'libexec'
    program = tmp_path / os.readlink(binary).lstrip('/')
    answer = subprocess.run([program, '--print-capabilities'], capture_output=True, text=True,
                            check=True)
    assert json.loads(answer.stdout) == {'type': 'net'}
