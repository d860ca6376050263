# SPDX-License-Identifier: BSD-3-Clause
"""scripts/bench measures what it says: each back-end that ringwayd is compared with."""

import json
import math
import os
import subprocess

import pytest

import bench_peers
from conftest import BUILD, ROOT

BENCH = os.path.join(ROOT, 'scripts', 'bench')
RUN_S = 600


def bench(*words, sizes='64'):
    sizes = [f'--sizes={sizes}'] if sizes else []
    done = subprocess.run([BENCH, f'--build={BUILD}', '--rounds=1', '--seconds=0.5', *sizes,
                           '--json', *words], capture_output=True, text=True, timeout=RUN_S,
                          check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document['machine']['cpu'] and document['command'].startswith('./scripts/bench ')
    return document['results']


@pytest.mark.parametrize('ring', ['split', 'packed'])
def test_one_round_beside_testpmd(ring):
    row = bench('--peers=testpmd,testpmd-macswap', f'--rings={ring}')[f'64 {ring}']
    assert list(row) == ['ringway', 'testpmd', 'testpmd-macswap']
    for (rate, cycles, load_cycles), in row.values():
        assert rate > 0 and cycles > 0 and load_cycles > 0


@pytest.mark.parametrize('ring', ['split', 'packed'])
def test_ringway_bench_is_a_load_too(ring):
    rows = bench('--load=ringway-bench', '--peers=testpmd', f'--rings={ring}', sizes='64,tso')
    assert list(rows) == [f'64 {ring}', f'tso {ring}']
    for row in rows.values():
        assert list(row) == ['ringway', 'testpmd']
        for (rate, cycles, load_cycles), in row.values():
            assert rate > 0 and cycles > 0 and load_cycles > 0


def test_the_floor_is_measured_once_for_both_ring_formats():
    rows = bench('--load=ringway-bench', '--peers=floor')
    assert list(rows) == ['64 split', '64 packed']
    (rate, cycles, load_cycles), = rows['64 split']['floor']
    assert rate > 0 and cycles > 0 and math.isnan(load_cycles)
    assert rows['64 packed']['floor'][0][:2] == [rate, cycles]


@pytest.mark.parametrize('ring', ['split', 'packed'])
def test_scale_measures_each_case(ring):
    row = bench('--scale', f'--rings={ring}', sizes=None)[f'64 {ring}']
    assert list(row) == ['two', 'idle ports', 'stations']
    for (rate, cycles, load_cycles), in row.values():
        assert rate > 0 and cycles > 0 and load_cycles > 0


def test_the_policies_of_the_bench_let_its_frames_pass():
    rows = bench('--policies', '--rings=packed', sizes=None)
    assert list(rows) == ['64 packed', '1518 packed']
    for row in rows.values():
        assert list(row) == ['two', 'policies']
        for (rate, cycles, load_cycles), in row.values():
            assert rate > 0 and cycles > 0 and load_cycles > 0


def test_frames_go_to_an_uplink_and_back():
    row = bench('--uplinks=ring', '--rings=split', '--peers=testpmd')['64 split ring']
    assert list(row) == ['ringway', 'testpmd']
    for (rate, cycles, load_cycles), in row.values():
        assert rate > 0 and cycles > 0 and load_cycles > 0


def test_a_back_end_that_runs_already(ringwayd):
    switch = ringwayd('v0', 'v1', options=['--cpus=1'])
    row = bench('--rings=split', f'--peers=other={switch.sockets["v0"]}:{switch.sockets["v1"]}')
    rate, _, load_cycles = row['64 split']['other'][0]
    assert rate > 0 and load_cycles > 0
    assert sum(port['rx']['frames'] for port in switch.cli('port', 'stats')) > 0


def test_another_build_takes_its_turn(tmp_path):
    (tmp_path / 'app').mkdir()
    (tmp_path / 'app' / 'ringway').symlink_to(os.path.join(BUILD, 'app', 'ringway'))
    daemon = tmp_path / 'app' / 'ringwayd'
    daemon.write_text(f'#!/bin/sh\necho run >> {tmp_path}/runs\n'
                      f'exec {os.path.join(BUILD, "app", "ringwayd")} "$@"\n')
    daemon.chmod(0o755)
    row = bench('--load=ringway-bench', '--rings=split', f'--peers=before={tmp_path}')['64 split']
    assert list(row) == ['ringway', 'before']
    for (rate, cycles, load_cycles), in row.values():
        assert rate > 0 and cycles > 0 and load_cycles > 0
    assert (tmp_path / 'runs').read_text() == 'run\n'


def test_what_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(bench_peers.Testpmd, 'needs', '/nowhere/testpmd')
    with pytest.raises(SystemExit) as failed:
        bench_peers.check_installed([bench_peers.Testpmd])
    assert '/nowhere/testpmd' in str(failed.value) and 'apt-get install dpdk' in str(failed.value)
