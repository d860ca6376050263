# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench makes of its measurements, and what it says to mistakes."""

import os
import xml.etree.ElementTree

import pytest

import bench_peers
import bench_report
from programs import ROOT, run, the_line

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
    rates, ratios, cycles = cells(bench_report.table(RESULTS), '64 split')
    assert rates == ['11.00', '1.00', '5.50', '0.50']
    assert ratios == ['2.00', '0.00']
    assert cycles == ['161', '171', '201', '151']
    assert cells(bench_report.table(RESULTS), '1518 packed')[1] == ['0.80', '0.00']


def test_ringway_alone_has_no_ratios():
    alone = {row: {'ringway': by_name['ringway']} for row, by_name in RESULTS.items()}
    assert len(cells(bench_report.table(alone), '64 split')) == 2


def test_the_picture_has_a_bar_for_each_median(tmp_path):
    path = tmp_path / 'x.svg'
    bench_report.plot(RESULTS, {'ringway': 'ours', 'peer': 'theirs'}, path)
    texts = [node.text for node in xml.etree.ElementTree.parse(path).iter() if node.text]
    for wanted in '11.0', '5.5', '4.0', '5.0', '64 split', '1518 packed', 'ours', 'theirs':
        assert wanted in texts


@pytest.mark.parametrize('load', bench_peers.LOADS)
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
    for load in bench_peers.LOADS:
        bench_report.write_page(page, f'with {load}:', ['table'], load)
    text = page.read_text()
    assert [text.count(f'with {load}:') for load in bench_peers.LOADS] == [1, 1]


@pytest.mark.parametrize('load', bench_peers.LOADS)
def test_the_page_of_the_project_has_a_place_for_the_tables(load):
    with open(os.path.join(ROOT, 'doc', 'performance.md'), encoding='utf-8') as page:
        text = page.read()
    begin, end = bench_report.MARKS[load]
    assert text.index(begin) < text.index(end)


@pytest.mark.parametrize('words, named', [
    (['--peers=nonsense'], 'nonsense'),
    (['--peers=other=/one/socket'], 'NAME=SOCKET0:SOCKET1'),
    (['--rings=round'], 'round'),
    (['--sizes=64,x'], '64,x'),
    (['--rounds=0'], '--rounds 0'),
    (['--write', '--rounds=3'], '--rounds 3'),
    (['--build=/nowhere'], '/nowhere'),
    (['--load=me'], 'me'),
    (['--sizes=tso'], '--load ringway-bench'),
    (['--load=ringway-bench', '--peers=testpmd-macswap'], 'testpmd-macswap'),
    (['--load=ringway-bench', '--peers=ovs', '--sizes=tso'], 'TSO'),
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
