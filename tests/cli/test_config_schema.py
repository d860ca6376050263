# SPDX-License-Identifier: BSD-3-Clause
"""The JSON Schema of a configuration allows what ringwayd allows; so do the examples of config/."""

import glob
import json
import os
import socket

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
    assert {os.path.basename(path) for path in EXAMPLES} >= {
        'benchmark.yaml', 'libvirt.yaml', 'tenants.yaml', 'two-vms.yaml', 'uplink.yaml'}


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
    {'bridges': None, 'vlans': None}, {'bridges': 'blue'},
    {'ports': {'a': {'socket': '/tmp/a', 'bridge': 'blue', 'tpid': '8021ad', 'trunk': ['web', 7],
                     'native': 'web'},
               'b': {'socket': '/tmp/b', 'bridge': 'default', 'trunk': 'web+10-20+db'}},
     'vlans': {'web': 10, 'db': '20'}, 'bridges': ['blue', 'green']},
    {'mirrors': None}, {'mirrors': {
        'a': {'source': 'vm1', 'to': 'vm9'}, 'b': {'source': ['vm1', 'vm2'], 'to': 'vm9',
                                                   'direction': 'in', 'snap': 64, 'sample': '7'},
        'c': {'vlan': 0, 'to': 'vm9', 'bridge': 'default', 'tpid': '8021ad'}}},
]
BAD = [
    [], 'x', {'fdb-sice': 1}, {'fdb-age': 'soon'}, {'idle': 'often'},
    {'ports': []}, {'ports': {'a b': {'socket': '/tmp/x'}}}, {'ports': {'vm1': None}},
    {'ports': {'vm1': {}}}, {'ports': {'vm1': '/tmp/x'}}, {'socket-dir': []}, {'balance': 'on'},
    {'bridges': []}, {'bridges': ['a b']}, {'vlans': {'web': 4095}}, {'vlans': {'1web': 1}},
    {'vlans': {'web': [1]}}, {'vlans': 7},
    {'mirrors': []}, {'mirrors': {'a b': {'source': 'x', 'to': 'y'}}}, {'mirrors': {'a': None}},
    *({'mirrors': {'a': keys}} for keys in (
        {'to': 'y'}, {'source': 'x'}, {'source': 'x', 'vlan': 1, 'to': 'y'},
        {'vlan': 4095, 'to': 'y'}, {'source': 'x', 'to': 'y', 'direction': 'up'},
        {'source': 'x', 'to': 'y', 'colour': 'red'}, {'source': [], 'to': 'y'},
        {'source': 'x', 'to': 'y', 'snap': 'all'}, {'source': 'x', 'to': 'a b'},
        {'source': 'x', 'to': 'y', 'tpid': 'x'}, {'source': 'x', 'to': 'y', 'snap': 13},
        {'source': 'x', 'to': 'y', 'sample': 0})),
    {'ports': {'up': {'kind': 'ethdev'}}}, {'ports': {'up': {'kind': 'tap', 'device': 'x'}}},
]
BAD_PORTS = [
    {'vlan': 0}, {'vlan': 4095}, {'vlan': [1, 2]}, {'trunk': []}, {'trunk': '1x'}, {'trunk': [0]},
    {'tpid': '8021x'}, {'bridge': ''},
    {'mode': 'both'}, {'postcopy': 'yes'}, {'memory': 'some'}, {'max-mapped': '4X'},
    {'colour': 'red'}, {'kind': 'tap'}, {'description': 'x' * 64}, {'admin': True},
]


def test_the_schema_allows_what_ringwayd_allows(schema, tmp_path):
    validator = jsonschema.Draft202012Validator(schema)
    for document in GOOD:
        path = tmp_path / 'conf.json'
        path.write_text(json.dumps(document), encoding='utf-8')
        checked = run(RINGWAYD, '--check-config', path)
        assert checked.returncode == 0, (document, checked.stderr)
        assert validator.is_valid(document), document


def test_the_schema_refuses_what_ringwayd_refuses(schema, launch, place):
    validator = jsonschema.Draft202012Validator(schema)
    daemon = launch(f'--socket-path={place}/vm1.sock')
    client = socket.socket(socket.AF_UNIX)
    client.connect(daemon.control)
    answers = client.makefile('rb')
    for document in BAD + [{'ports': {'vm1': {'socket': '/tmp/x', **keys}}} for keys in BAD_PORTS]:
        request = {'jsonrpc': '2.0', 'id': 1, 'method': 'config.apply',
                   'params': {'config': document, 'dry_run': True}}
        client.sendall(json.dumps(request).encode() + b'\n')
        answer = json.loads(answers.readline())
        assert 'error' in answer and 'restart' not in answer['error']['message'], document
        assert answer['error']['data']['at'].startswith('config'), document
        assert not validator.is_valid(document), document
    client.close()
    assert daemon.stop() == 0
