# SPDX-License-Identifier: BSD-3-Clause
"""The pictures of bench_plot.py: what they name and how much they show."""

import copy
import json
import os
import subprocess
import xml.etree.ElementTree

import pytest

import bench_plot
from programs import ROOT, run, the_line

PLOTTER = os.path.join(ROOT, 'scripts', 'bench_plot.py')
MACHINE = {'name': 'lab7', 'cpu': 'Fast CPU', 'cpus': 12}
ROUNDS = {
    'date': '2026-03-01', 'machine': MACHINE, 'command': './scripts/bench --rounds 3',
    'load': 'virtio-user', 'titles': {'ringway': 'ours', 'peer': 'theirs'},
    'results': {
        '64 split': {'ringway': [[10.0, 160, 170], [11.0, 161, 171], [12.0, 162, 172]],
                     'peer': [[5.0, 200, 150], [5.5, 201, 151], [6.0, 202, 152]]},
        '1518 packed': {'ringway': [[4.0, 300, 90], [4.0, 300, 90], [4.0, 300, 90]],
                        'peer': [[5.0, 200, 150], [5.0, 200, 150], [5.0, 200, 150]]},
    }}
PORT = {'sent': 3000000, 'received': 2000000, 'lowest_per_s': 0.8e6, 'highest_per_s': 1.5e6}
RATE = {
    'version': '1.2', 'date': '2026-03-01T10:11:12Z', 'machine': MACHINE, 'measure': 'rate',
    'setup': {'sockets': ['/tmp/$a', '/tmp/b'], 'pairs': 1, 'ring_size': 1024,
              'tx_ring_size': 128, 'packed': True, 'pattern': 'pairs', 'in_flight': 384,
              'sizes': [{'bytes': 60, 'bytes_with_fcs': 64, 'weight': 7},
                        {'bytes': 1514, 'bytes_with_fcs': 1518, 'weight': 1}]},
    'result': {'seconds': 2, 'frames_per_s': 2e6, 'loss': 0.01, 'asked_per_s': None,
               'fell_short': False, 'latency_ns': None, 'ports': [PORT, PORT]},
}
STEP = {'offered_per_s': 3e6, 'loss': 0.02, 'good': False, 'fell_short': False}
SEARCH = {**RATE, 'measure': 'search', 'search': {
    'frames_per_s': 2.5e6, 'verified': True,
    'steps': [STEP, {**STEP, 'offered_per_s': 2.5e6, 'loss': 0, 'good': True},
              {**STEP, 'offered_per_s': 1e6, 'loss': 0, 'good': True, 'fell_short': True}]}}


def latency():
    document = copy.deepcopy(RATE)
    document['result']['latency_ns'] = {
        'frames': 20000, 'mean': 25000, 'max': 3400000, 'p50': 24000, 'p90': 30000, 'p99': 80000,
        'p99.9': 900000,
        'percentiles': {'0': 900, '50': 24000, '90': 30000, '99': 80000, '99.9': 900000,
                        '99.99': 2000000, '99.999': 3400000}}
    return document


def drawn(document, tmp_path):
    """The SVG as a tree."""
    path = tmp_path / 'x.svg'
    bench_plot.draw(document, path)
    return xml.etree.ElementTree.parse(path)


def texts(tree):
    return [node.text for node in tree.iter() if node.tag.endswith('text') and node.text]


def with_id(tree, begin):
    return [node for node in tree.iter() if (node.get('id') or '').startswith(begin)]


def test_the_picture_has_a_bar_for_each_median(tmp_path):
    tree = drawn(ROUNDS, tmp_path)
    for wanted in '11.0', '5.5', '4.0', '5.0', '64 split', '1518 packed', 'ours', 'theirs':
        assert wanted in texts(tree)
    assert len(with_id(tree, 'bar ')) == 4


def test_the_picture_has_no_bar_for_what_has_no_title(tmp_path):
    tree = drawn({**ROUNDS, 'titles': {'peer': 'theirs'}}, tmp_path)
    assert '5.5' in texts(tree) and 'theirs' in texts(tree)
    assert '11.0' not in texts(tree) and '4.0' not in texts(tree)


def test_medians_and_their_spread_may_be_given_as_such():
    assert bench_plot.sample_of({'mpps': 11, 'half_range': 1}) == (11, 1, 1)
    assert bench_plot.sample_of(ROUNDS['results']['64 split']['ringway']) == (11, 1, 1)


def test_bars_differ_in_more_than_colour():
    assert len(set(bench_plot.HATCHES)) == len(bench_plot.COLOURS) == len(bench_plot.HATCHES)


@pytest.mark.parametrize('document', [ROUNDS, RATE, SEARCH, latency()],
                         ids=['rounds', 'rate', 'search', 'latency'])
def test_every_picture_names_date_and_machine(document, tmp_path):
    assert any('2026-03-01' in text and 'lab7, 12 CPUs of Fast CPU' in text
               for text in texts(drawn(document, tmp_path)))


@pytest.mark.parametrize('document', [RATE, SEARCH, latency()], ids=['rate', 'search', 'latency'])
def test_every_picture_names_sizes_and_rings(document, tmp_path):
    line, = (text for text in texts(drawn(document, tmp_path)) if 'FCS' in text)
    assert '60:7,1514 bytes without FCS (64:7,1518 with it)' in line
    assert 'packed rings of 1024 (128 to send)' in line
    assert '384 in flight for each port' in line


def test_a_rate_has_two_bars_for_each_port_and_the_spread(tmp_path):
    tree = drawn(RATE, tmp_path)
    assert len(with_id(tree, 'bar ')) == 4
    assert texts(tree).count('1.5') >= 2 and '1.0' in texts(tree)
    assert any('lowest and highest tenth of a second' in text for text in texts(tree))
    assert any('2.000 Mpps received in all, 1 % lost in 2 s' in text for text in texts(tree))
    short = copy.deepcopy(RATE)
    for port in short['result']['ports']:
        port['lowest_per_s'] = port['highest_per_s'] = 0
    assert len(with_id(drawn(short, tmp_path), 'bar ')) == 4


def test_a_small_rate_has_a_small_unit(tmp_path):
    small = copy.deepcopy(RATE)
    small['result'].update(frames_per_s=500, asked_per_s=1000, fell_short=True)
    for port in small['result']['ports']:
        port.update(sent=1000, received=500, lowest_per_s=200, highest_per_s=300)
    tree = drawn(small, tmp_path)
    assert 'kpps (thousand frames a second)' in texts(tree)
    assert any('1 kpps asked for, the load fell short' in text for text in texts(tree))


def test_latency_is_logarithmic_with_units(tmp_path):
    tree = drawn(latency(), tmp_path)
    found = texts(tree)
    for wanted in '1 µs', '10 µs', '100 µs', '1 ms', '90 %', '99 %', '99.99 %', '80 µs':
        assert wanted in found
    # 20,000 frames tell nothing of one in 100,000.
    assert '99.999 %' not in found
    assert len(with_id(tree, 'latency')) == 1


def test_the_trials_of_a_search_have_a_mark_each(tmp_path):
    tree = drawn(SEARCH, tmp_path)
    marks = [mark for group in with_id(tree, 'trials') for mark in group.iter()
             if mark.tag.endswith('use')]
    assert len(marks) == 3
    for wanted in '2.500 Mpps', 'within the tolerance', 'lost too many', 'the load fell short':
        assert wanted in texts(tree)


def test_numbers_draw_the_same_picture_twice(tmp_path):
    bench_plot.draw(ROUNDS, tmp_path / 'one.svg')
    bench_plot.draw(ROUNDS, tmp_path / 'two.svg')
    assert (tmp_path / 'one.svg').read_bytes() == (tmp_path / 'two.svg').read_bytes()


@pytest.mark.parametrize('name', ['performance', 'performance-bench'])
def test_the_figures_of_the_page_show_the_numbers_beside_them(name, tmp_path):
    figure = os.path.join(ROOT, 'doc', name)
    with open(f'{figure}.json', encoding='utf-8') as file:
        tree = drawn(json.load(file), tmp_path)
    assert texts(tree) == texts(xml.etree.ElementTree.parse(f'{figure}.svg'))


@pytest.mark.parametrize('kind, begin', [('png', b'\x89PNG'), ('pdf', b'%PDF'), ('svg', b'<?xml')])
def test_the_name_of_the_file_tells_its_format(kind, begin, tmp_path):
    path = tmp_path / f'x.{kind}'
    done = subprocess.run([PLOTTER, f'--output={path}'], input=json.dumps(SEARCH), text=True,
                          check=False)
    assert done.returncode == 0
    assert path.read_bytes().startswith(begin)


@pytest.mark.parametrize('text, named', [
    ('', 'no JSON'),
    ('[]', 'no JSON of ringway-bench'),
    ('{}', 'no rate'),
    ('{"result": {}}', 'no JSON of ringway-bench'),
    ('{"results": {}, "titles": {"a": "b"}}', 'no JSON of ringway-bench'),
])
def test_what_cannot_be_drawn_gets_one_line(text, named, tmp_path):
    document = tmp_path / 'x.json'
    document.write_text(text)
    done = run(PLOTTER, str(document), f'--output={tmp_path}/x.svg')
    assert done.returncode == 1
    assert the_line(done.stderr).startswith('bench_plot: ') and named in done.stderr


def test_a_picture_that_cannot_be_written_gets_one_line(tmp_path):
    document = tmp_path / 'x.json'
    document.write_text(json.dumps(RATE))
    done = run(PLOTTER, str(document), '--output=/nowhere/x.svg')
    assert done.returncode == 1
    assert 'cannot write /nowhere/x.svg' in the_line(done.stderr)
