# SPDX-License-Identifier: BSD-3-Clause
"""scripts/migration-lab as a user runs it. A part of --long."""

import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB = os.path.join(ROOT, 'scripts', 'migration-lab')
LAB_S = 1800


def lab(*words):
    done = subprocess.run([LAB, '--json', *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LAB_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_guest_moves_there_and_back_and_is_drawn(tmp_path):
    picture = tmp_path / 'gaps.svg'
    document = lab('--runs=2', '--packed', f'--plot={picture}')
    runs = document['migrations']
    assert [(run['source'], run['destination']) for run in runs] == [('one', 'two'), ('two', 'one')]
    for run in runs:
        assert run['found_by'] and run['dirty_pages_per_s'] and run['pages_marked']
        assert run['received']['in'] and run['received']['out']
        assert run['gap_ms']['in'] >= run['downtime_ms'] / 2
    assert 'largest gap' in picture.read_text()


def test_two_qemus_meet_and_a_silent_guest_is_found(tmp_path):
    document = lab('--runs=1', '--silent', '--device=guest_announce=off', '--postcopy',
                   '--qemu=qemu-system-x86_64', '--qemu=/usr/bin/qemu-system-x86_64',
                   f'--plot={tmp_path}/gaps.png')
    assert document['migrations'][0]['found_by'] == 'rarp'


def test_what_is_killed_on_the_way_costs_no_guest_but_its_own():
    rows = lab('--chaos')['chaos']
    assert {row['victim'] for row in rows} == {'switch', 'source', 'destination'}
    moved = [row for row in rows if row['runs_at'] and row['migration'] == 'completed']
    assert all(row['talks'] for row in moved) and len(moved) >= 2
