# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench makes of its measurements, and what it says to mistakes."""

import json
import math
import os

import pytest

import bench_peers
import bench_report
import bench_scale
from programs import BUILD, ROOT, run, the_line

FLOOR = os.path.join(BUILD, 'tests', 'perf', 'floor')
BENCH = os.path.join(ROOT, 'scripts', 'bench')
# A CPU that gets faster from round to round: the ratios do not change.
RESULTS = {
    '64 split': {'ringway': [(10.0, 160, 170), (11.0, 161, 171), (12.0, 162, 172)],
                 'peer': [(5.0, 200, 150), (5.5, 201, 151), (6.0, 202, 152)]},
    '1518 packed': {'ringway': [(4.0, 300, 90), (4.0, 300, 90), (4.0, 300, 90)],
                    'peer': [(5.0, 200, 150), (5.0, 200, 150), (5.0, 200, 150)]},
}


def cells(lines, row):
    """The cells of a row in each of the tables."""
    return [line[len(row):].replace('+-', ' ').replace('/', ' ').split()
            for line in lines if line.startswith(row)]


def test_the_tables_have_medians_and_the_ratios_of_each_round():
    rates, ratios, cycles, cycle_ratios = cells(bench_report.table(RESULTS), '64 split')
    assert rates == ['11.00', '1.00', '5.50', '0.50']
    assert ratios == ['2.00', '0.00']
    assert cycles == ['161', '171', '201', '151']
    assert cycle_ratios == ['0.80', '0.00']
    assert cells(bench_report.table(RESULTS), '1518 packed')[1] == ['0.80', '0.00']
    assert cells(bench_report.table(RESULTS), '1518 packed')[3] == ['1.50', '0.00']


def test_busy_cycles_are_compared_round_by_round():
    # Both twice as dear in the second round; in the third only ours.
    ours = [(1, 60, 1), (1, 120, 1), (1, 90, 1)]
    peer = [(1, 20, 1), (1, 40, 1), (1, 20, 1)]
    ratios = cells(bench_report.table({'64 split': {'ringway': ours, 'peer': peer}}), '64 split')[3]
    assert ratios == ['3.00', '0.75']


def test_the_floor_is_a_column_without_cycles_of_a_load():
    floor = [(40.0, 50, math.nan), (44.0, 50, math.nan), (48.0, 50, math.nan)]
    by_name = {**RESULTS['64 split'], 'floor': floor}
    lines = bench_report.table({'64 split': by_name})
    assert all(line.endswith('floor') for line in lines if line.startswith('frame, ring'))
    rates, ratios, cycles, cycle_ratios = cells(lines, '64 split')
    assert rates[-2:] == ['44.00', '4.00']
    assert ratios == ['2.00', '0.00', '0.25', '0.00']
    assert cycles == ['161', '171', '201', '151', '50', '-']
    assert not any(line.endswith(' ') for line in lines)
    assert cycle_ratios == ['0.80', '0.00', '3.22', '0.02']


def test_a_peer_whose_cycles_nobody_knows_has_a_rate_alone():
    other = [(5.0, math.nan, 150), (5.5, math.nan, 151), (6.0, math.nan, 152)]
    by_name = {'ringway': RESULTS['64 split']['ringway'], 'other': other}
    _, ratios, cycles, cycle_ratios = cells(bench_report.table({'64 split': by_name}), '64 split')
    assert ratios == ['2.00', '0.00']
    assert cycles == ['161', '171', '-', '151']
    assert cycle_ratios == ['-']


def test_each_case_of_scale_is_beside_two_ports():
    # The machine is half as fast in the second round.
    results = {'64 split': {'two': [(30.0, 80, 60), (15.0, 160, 60), (30.0, 80, 60)],
                            'idle ports': [(27.0, 88, 60), (13.5, 176, 60), (24.0, 100, 60)],
                            'stations': [(15.0, 160, 60), (7.5, 320, 60), (15.0, 160, 60)]}}
    rates, rate_ratios, cycles, cycle_ratios = cells(bench_report.scale_table(results), '64 split')
    assert rates == ['30.00', '7.50', '24.00', '6.75', '15.00', '3.75']
    assert rate_ratios == ['0.90', '0.05', '0.50', '0.00']
    assert cycles == ['80', '40', '100', '44', '160', '80']
    assert cycle_ratios == ['1.10', '0.07', '2.00', '0.00']


def test_a_row_of_an_uplink_has_its_device():
    results = {'1518 packed null': RESULTS['1518 packed']}
    assert cells(bench_report.table(results), '1518 packed null')[1] == ['0.80', '0.00']


def test_ringway_alone_has_no_ratios():
    alone = {row: {'ringway': by_name['ringway']} for row, by_name in RESULTS.items()}
    assert len(cells(bench_report.table(alone), '64 split')) == 2


@pytest.mark.parametrize('load', bench_report.MARKS)
def test_tables_replace_those_of_the_page_and_nothing_else(tmp_path, load):
    page = tmp_path / 'page.md'
    begin, end = bench_report.MARKS[load]
    page.write_text(f'before\n{begin}\nold\n{end}\nafter\n')
    bench_report.write_page(page, 'today:', ['a table'], load)
    bench_report.write_page(page, 'today:', ['the table'], load)
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('\nafter\n')
    assert 'today:' in text and 'the table' in text
    assert 'old' not in text and 'a table' not in text


def test_each_load_has_tables_of_its_own(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(''.join(f'{begin}\n{end}\n' for begin, end in bench_report.MARKS.values()))
    for load in bench_report.MARKS:
        bench_report.write_page(page, f'with {load}:', ['table'], load)
    text = page.read_text()
    assert {text.count(f'with {load}:') for load in bench_report.MARKS} == {1}


@pytest.mark.parametrize('load', bench_report.MARKS)
def test_the_page_of_the_project_has_a_place_for_the_tables(load):
    with open(os.path.join(ROOT, 'doc', 'performance.md'), encoding='utf-8') as page:
        text = page.read()
    begin, end = bench_report.MARKS[load]
    assert text.index(begin) < text.index(end)


@pytest.mark.parametrize('words, named', [
    (['--peers=nonsense'], 'nonsense'),
    (['--peers=other=/one/socket'], 'NAME=SOCKET0:SOCKET1'),
    (['--peers=other=/nowhere'], 'NAME=FOLDER'),
    (['--peers=unknown'], 'NAME=FOLDER'),
    (['--rings=round'], 'round'),
    (['--sizes=64,x'], '64,x'),
    (['--sizes=64,59'], 'no size 59'),
    (['--sizes=1519'], 'no size 1519'),
    (['--rounds=0'], '--rounds 0'),
    (['--write', '--rounds=3'], '--rounds 3'),
    (['--build=/nowhere'], '/nowhere'),
    (['--load=me'], 'me'),
    (['--sizes=tso'], '--load ringway-bench'),
    (['--load=ringway-bench', '--peers=testpmd-macswap'], 'testpmd-macswap'),
    (['--load=ringway-bench', '--peers=ovs', '--sizes=tso'], 'TSO'),
    (['--load=ringway-bench', '--peers=floor', '--sizes=tso'], 'floor'),
    (['--sizes=csum'], '--load ringway-bench'),
    (['--load=ringway-bench', '--sizes=csum', '--write'], 'no place for --sizes csum'),
    (['--load=ringway-bench', '--sizes=cut,64'], 'leave out the others'),
    (['--load=ringway-bench', '--peers=testpmd', '--sizes=cut'], 'converts nothing'),
    (['--load=ringway-bench', '--peers=floor', '--sizes=csum'], 'converts nothing'),
    (['--load=ringway-bench', '--peers=plain', '--sizes=64'], 'plain'),
    (['--load=ringway-bench-few', '--peers=testpmd-macswap'], 'testpmd-macswap'),
    (['--scale', '--load=ringway-bench'], '--load'),
    (['--scale', '--sizes=64'], '--sizes'),
    (['--scale', '--peers=floor'], '--peers'),
    (['--scale', '--plot=/tmp/x.svg'], '--plot'),
    (['--scale', '--rings=round'], 'round'),
    (['--scale', '--rounds=0'], '--rounds 0'),
    (['--scale', '--write', '--rounds=3'], '--rounds 3'),
    (['--scale', '--build=/nowhere'], '/nowhere'),
    (['--policies', '--load=ringway-bench'], '--load'),
    (['--policies', '--sizes=64'], '--sizes'),
    (['--policies', '--build=/nowhere'], '/nowhere'),
    (['--policies', '--scale'], '--scale'),
    (['--uplinks=tap'], 'no device tap'),
    (['--uplinks', '--load=ringway-bench'], '--load'),
    (['--uplinks', '--plot=/tmp/x.svg'], '--plot'),
    (['--uplinks', '--sizes=tso'], 'tso'),
    (['--uplinks', '--peers=floor'], 'there are ringway, testpmd, ovs'),
    (['--uplinks', '--peers=vpp=/a:/b'], 'NAME=SOCKET,'),
    (['--uplinks=ring', '--build=/nowhere', '--peers=testpmd'], '/nowhere'),
])
def test_a_mistake_gets_one_line(words, named):
    done = run(BENCH, *words)
    assert done.returncode != 0
    line = the_line(done.stderr[done.stderr.rindex('bench: '):])
    assert named in line


def test_a_peer_that_is_not_installed_is_named_with_its_package():
    class Absent(bench_peers.BackEnd):
        needs, package = '/nowhere/switch', 'switch-package'

    with pytest.raises(SystemExit) as stopped:
        bench_peers.check_installed([bench_peers.BackEnd, Absent])
    line = stopped.value.code
    assert '/nowhere/switch' in line and 'apt-get install switch-package' in line
    assert '\n' not in line


def test_a_million_hosts_have_room_in_the_table():
    words = ' '.join((*bench_scale.Hosts.words, *bench_scale.Hosts.options))
    assert f'--macs={bench_scale.HOSTS // 2} ' in words
    # As many as tests/unit/test_fdb_stress.c puts into such a table without losing one.
    assert (bench_scale.FDB_SIZE, bench_scale.HOSTS) == (1 << 20, 10 ** 6)


@pytest.mark.parametrize('size, more', [(60, []), (64, []), (1518, []), (512, ['2048'])])
def test_the_floor_counts_frames_and_cycles(size, more):
    done = run(FLOOR, str(size), '0.2', '0', '1', *more)
    assert done.returncode == 0, done.stderr
    found = json.loads(the_line(done.stdout))
    assert found['frames_per_s'] > 0
    assert found['busy_cycles_per_frame'] > 0
    assert isinstance(found['huge_pages'], bool) and found['copy']


@pytest.mark.parametrize('words, named', [
    ([], 'usage'),
    (['64', '1', '0'], 'usage'),
    (['59', '1', '0', '1'], '59'),
    (['2305', '1', '0', '1'], '2305'),
    (['64x', '1', '0', '1'], '64x'),
    (['64', '0', '0', '1'], 'time'),
    (['64', '1s', '0', '1'], '1s'),
    (['64', 'nan', '0', '1'], 'nan'),
    (['64', '1', '-1', '1'], '-1'),
    (['64', '1', '0', 'one'], 'one'),
    (['64', '1', '0', '0'], 'a CPU each'),
    (['64', '1', '0', '1023'], 'CPU 1023'),
    (['64', '1', '0', '1', '255'], '255'),
    (['64', '1', '0', '1', '2048', '1'], 'usage'),
])
def test_what_the_floor_cannot_do_gets_one_line(words, named):
    done = run(FLOOR, *words)
    assert done.returncode == 1
    assert done.stdout == ''
    line = the_line(done.stderr)
    assert line.startswith('floor: ') and named in line
