# SPDX-License-Identifier: BSD-3-Clause
"""The JSON Schema of a configuration allows what ringwayd allows; so do the examples of config/."""

import glob
import json
import os

import jsonschema
import pytest
import yaml

from programs import RINGWAYD, ROOT, run

CONFIG = os.path.join(ROOT, 'config')
EXAMPLES = sorted(glob.glob(f'{CONFIG}/*.yaml'))


@pytest.fixture(scope='module')
def schema():
    answer = run(RINGWAYD, '--config-schema')
    assert answer.returncode == 0
    return json.loads(answer.stdout)


def test_it_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize('path', EXAMPLES, ids=os.path.basename)
def test_the_examples_have_no_mistake(schema, path):
    with open(path, encoding='utf-8') as file:
        jsonschema.validate(yaml.safe_load(file), schema)
    answer = run(RINGWAYD, '--check-config', path)
    # Where it is checked, the CPU of an example may not be there.
    assert not answer.stderr or 'CPU' in answer.stderr, answer.stderr


def test_there_is_an_example_for_each_use():
    assert [os.path.basename(path) for path in EXAMPLES] == [
        'benchmark.yaml', 'libvirt.yaml', 'tenants.yaml', 'two-vms.yaml',
        'uplink.yaml']


# Several good settings at once: each document is a start of ringwayd.
GOOD = [
    {}, {'ports': None}, {'ports': {}},
    {'cpus': 0, 'control': 'none', 'pidfile': '/tmp/p', 'no-huge': True, 'socket-dir': '/tmp',
     'socket-mode': '0660', 'log-level': 'debug', 'forward': 'io', 'idle': 'spin',
     'seccomp': 'off', 'balance': 'off', 'fdb-age': 0, 'fdb-size': '7', 'user': 'root:root'},
    {'cpus': '0', 'no-huge': 'off', 'socket-dir': ['/tmp', '/'], 'balance': 'auto',
     'socket-group': 0},
    {'cpus': [0], 'balance': 'auto,7', 'user': 'root', 'socket-owner': 'root'},
    {'ports': {f'p{i}': {'socket': f'/tmp/{i}', **keys} for i, keys in enumerate([
        {'vlan': 1}, {'vlan': '4094'}, {'vlan': 'none'}, {'trunk': 'all'}, {'trunk': 7},
        {'trunk': [1, '2-3'], 'native': 4}, {'trunk': '1+2-3'}, {'mode': 'client'},
        {'kind': 'vhost'}, {'postcopy': True}, {'postcopy': 'off'}, {'memory': 'any'},
        {'max-mapped': '4T'}, {'max-mapped': 4096}, {'max-fds': 7}, {'max-addresses': 'none'},
        {'description': 'x'}, {'description': 7}, {'admin': 'down'}, {'isolated': True}])}},
    {'ports': {'up': {'device': 'net_null', 'size': 64},
               'down': {'kind': 'ethdev', 'device': 'net_null1', 'vlan': 7}}},
]
BAD = [
    [], 'x', {'fdb-sice': 1}, {'fdb-age': 'soon'}, {'no-huge': 'maybe'}, {'idle': 'often'},
    {'ports': []}, {'ports': {'a b': {'socket': '/tmp/x'}}}, {'ports': {'vm1': None}},
    {'ports': {'vm1': {}}}, {'ports': {'vm1': '/tmp/x'}}, {'socket-dir': []}, {'balance': 'on'},
    {'ports': {'up': {'kind': 'ethdev'}}}, {'ports': {'up': {'kind': 'tap', 'device': 'x'}}},
]
BAD_PORTS = [
    {'vlan': 0}, {'vlan': 4095}, {'vlan': [1, 2]}, {'trunk': []}, {'trunk': 'x'}, {'trunk': [0]},
    {'mode': 'both'}, {'postcopy': 'yes'}, {'memory': 'some'}, {'max-mapped': '4X'},
    {'colour': 'red'}, {'kind': 'tap'}, {'description': 'x' * 64}, {'admin': True},
]


def test_the_schema_allows_what_ringwayd_allows(schema, tmp_path):
    def port(keys):
        return {'ports': {'vm1': {'socket': '/tmp/x', **keys}}}
    validator = jsonschema.Draft202012Validator(schema)
    bad = BAD + [port(keys) for keys in BAD_PORTS]
    for document, is_good in [(d, True) for d in GOOD] + [(d, False) for d in bad]:
        path = tmp_path / 'conf.json'
        path.write_text(json.dumps(document), encoding='utf-8')
        checked = run(RINGWAYD, '--check-config', path)
        assert (checked.returncode == 0) == is_good, (document, checked.stderr)
        assert validator.is_valid(document) == is_good, document
