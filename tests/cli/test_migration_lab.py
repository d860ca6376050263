# SPDX-License-Identifier: BSD-3-Clause
"""scripts/migration-lab: what it says to mistakes, and what it makes of its runs."""

import os

import pytest

import bench_plot
import lab_chaos
import lab_report
from guest import GuestError
from migration import newest_machine
from programs import ROOT, run

LAB = os.path.join(ROOT, 'scripts', 'migration-lab')


def a_run(downtime, gap_out, gap_in, lost_in):
    nothing = {'out': 0, 'in': 0}
    return {'source': 'one', 'destination': 'two', 'total_ms': 2000, 'downtime_ms': downtime,
            'pause_ms': downtime + 1.4, 'gap_ms': {'out': gap_out, 'in': gap_in},
            'lost': {'out': 0, 'in': lost_in}, 'duplicated': nothing, 'wrong': nothing,
            'received': {'out': 900, 'in': 900}, 'dirty_pages_per_s': 1000,
            'pages_marked': None, 'found_by': None}


RUNS = [a_run(20, 35.5, 30, 30), a_run(30, 41.5, 48.4, 44), a_run(25, 60, 29, 29)]


@pytest.mark.parametrize('words, named', [
    (['--runs=0'], '--runs: 0: write a number from 1'),
    (['--qemu=/nowhere/qemu'], '--qemu /nowhere/qemu'),
    (['--backend=testpmd'], 'ovs'),
    (['--backend=/a:/b'], 'SOCKET:SOCKET:SOCKET'),
    (['--backend=/nowhere/a:/b:/c'], 'there is no /nowhere/a'),
    (['--plot=/nowhere/x.svg'], 'there is no folder /nowhere'),
])
def test_a_mistake_is_named_before_anything_runs(words, named):
    done = run(LAB, *words)
    assert done.returncode != 0 and not done.stdout
    assert named in done.stderr.splitlines()[-1], done.stderr


def test_the_summary_has_medians_and_the_worst():
    lines = dict(line.split('median') for line in lab_report.summary(RUNS))
    lines = {name.strip(): numbers.split() for name, numbers in lines.items()}
    assert lines['downtime'] == ['25', 'ms,', 'most', '30', 'ms']
    assert lines['gap out'] == ['42', 'ms,', 'most', '60', 'ms']
    assert lines['gap in - downtime'] == ['10', 'ms,', 'most', '18', 'ms']
    assert lines['lost in'] == ['30,', 'most', '44']


def test_a_wrong_payload_is_an_error():
    assert lab_report.is_right(RUNS)
    assert not lab_report.is_right([*RUNS, {**RUNS[0], 'wrong': {'out': 0, 'in': 1}}])


def test_who_lives_must_talk():
    def row(victim, step, runs_at=None, wrong=0):
        return {'victim': victim, 'step': step, 'runs_at': runs_at, 'talks': bool(runs_at),
                'wrong': {'out': 0, 'in': wrong}}

    for good in (row('switch', 'first pass', 'two'), row('source', 'first pass'),
                 row('destination', 'first pass', 'one'), row('destination', 'after')):
        assert lab_chaos.is_expected(good), good
    for bad in (row('switch', 'first pass'), row('destination', 'first pass'),
                row('source', 'after'), row('switch', 'after', 'two', wrong=1),
                {**row('switch', 'before', 'one'), 'talks': False}):
        assert not lab_chaos.is_expected(bad), bad


def test_the_picture_has_a_bar_for_each_gap(tmp_path):
    document = {'date': '2026-03-01', 'machine': {'name': 'lab7'},
                'command': 'scripts/migration-lab', 'backend': 'ringwayd',
                'qemu': ['QEMU A', 'QEMU B'], 'rate_per_s': 1000,
                'migrations': RUNS}
    picture = tmp_path / 'gaps.svg'
    bench_plot.draw(document, str(picture))
    text = picture.read_text()
    for number in '35.5', '48.4', 'QEMU A &gt; QEMU B', 'lab7':
        assert number in text
    for i in range(len(RUNS)):
        assert f'bar {i} largest gap, to it' in text


def fake_qemu(folder, name, *machines):
    program = folder / name
    program.write_text('#!/bin/sh\n' + ''.join(f'echo "{m}  a machine"\n' for m in machines))
    program.chmod(0o755)
    return str(program)


def test_two_qemus_get_the_newest_machine_that_both_have(tmp_path):
    old = fake_qemu(tmp_path, 'old', 'pc-q35-7.2', 'pc-q35-6.1', 'pc-i440fx-8.0')
    new = fake_qemu(tmp_path, 'new', 'pc-q35-10.0', 'pc-q35-7.2', 'pc-i440fx-8.0')
    other = fake_qemu(tmp_path, 'other', 'pc-q35-11.1')
    assert newest_machine([old, new]) == 'pc-q35-7.2'
    assert newest_machine([old, old]) == 'q35'
    with pytest.raises(GuestError, match='in common'):
        newest_machine([old, other])
