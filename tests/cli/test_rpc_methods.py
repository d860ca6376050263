# SPDX-License-Identifier: BSD-3-Clause
"""rpc.methods says what each method takes and gives, and the switch holds itself to it."""

import json

import os
import re

import jsonschema
import pytest

from programs import RINGWAYD, ROOT, run
from test_ringwayd_rpc import Client, call

# A call that each method carries out, in an order that works.
CALLS = [
    ('version', {}), ('rpc.methods', {}), ('port.list', {}), ('port.show', {'name': 'vm1'}),
    ('port.stats', {}), ('port.stats', {'name': 'vm1'}),
    ('port.add', {'name': 'vm2', 'socket': '{place}/vm2.sock', 'description': 'x'}),
    ('port.set', {'name': 'vm2', 'vlan': '7'}),
    ('fdb.add', {'mac': '52:54:00:00:00:01', 'port': 'vm2', 'vlan': 7, 'replace': True}),
    ('fdb.list', {'limit': 1, 'static': True}),
    ('fdb.del', {'mac': '52:54:00:00:00:01', 'vlan': 7}),
    ('bridge.add', {'name': 'blue'}), ('bridge.list', {}), ('bridge.del', {'name': 'blue'}),
    ('fdb.flush', {'port': 'vm1'}), ('worker.list', {}), ('group.list', {'cursor': 0}),
    ('mark.add', {'name': 'x'}), ('mark.list', {}), ('port.stats', {'since': 'x'}),
    ('mark.del', {'name': 'x'}),
    ('count.start', {'what': 'sizes', 'ports': ['vm1']}), ('count.start', {'what': 'vlans'}),
    ('count.start', {'what': 'talkers'}), ('count.start', {'what': 'latency'}),
    ('count.list', {}), ('sizes.show', {}), ('vlans.show', {}), ('talkers.show', {'limit': 3}),
    ('latency.show', {'ports': ['vm1'], 'histogram': True}), ('count.stop', {'what': 'sizes'}),
    ('worker.balance', {}), ('forward.show', {}), ('forward.set', {'mode': 'switch'}),
    ('forward.stop', {}), ('forward.start', {}), ('config.get', {}), ('port.del', {'name': 'vm2'}),
    ('config.apply', {'config': {'fdb-age': 77}, 'dry_run': True}),
    ('subscribe', {'kinds': ['link'], 'port': 'vm1'}), ('unsubscribe', {}), ('capture.list', {}),
    ('explain', {'port': 'vm1', 'dst': '52:54:00:00:00:01', 'vlan': 7}),
    ('trace.start', {'port': 'vm1', 'count': 1}), ('trace.read', {'trace': 1}),
    ('trace.stop', {'trace': 1}),
    ('mirror.add', {'name': 'm', 'to': 'vm2', 'source': ['vm1'], 'direction': 'in', 'snap': 64,
                    'sample': 2}),
    ('mirror.add', {'name': 'v', 'to': 'vm2', 'vlan': 7, 'bridge': 'default', 'tpid': '8021q'}),
    ('mirror.list', {}), ('mirror.del', {'name': 'm'}), ('mirror.del', {'name': 'v'}),
]
# Understood, and refused for another reason: there is no guest; no ringwayd speaks that version; no
# memory comes along.
CANNOT = [('worker.move', {'port': 'vm1', 'queue': 0, 'worker': 0}),
          ('takeover', {'version': 0, 'reads': 0}),
          ('capture.start', {'ports': ['vm1'], 'rx': True, 'ring': 1 << 17})]


@pytest.fixture
def client(launch, place):
    return Client(launch(f'--port=vm1,socket={place}/vm1.sock', f'--socket-dir={place}'))


@pytest.fixture
def methods(client):
    client.put(call('rpc.methods', 0))
    return {row['name']: row for row in client.get()['result']['methods']}


def ask(client, method, params):
    client.put({'jsonrpc': '2.0', 'id': 1, 'method': method, 'params': params})
    return client.get()


def test_each_method_is_called_and_gives_what_it_says(client, methods, place):
    assert {name for name, _ in CALLS + CANNOT} == set(methods)
    for name, params in CALLS:
        params = {key: value.replace('{place}', place) if isinstance(value, str) else value
                  for key, value in params.items()}
        jsonschema.validate(params, methods[name]['params'])
        answer = ask(client, name, params)
        assert 'result' in answer, (name, answer)
        jsonschema.validate(answer['result'], methods[name]['result'])
    for name, params in CANNOT:
        jsonschema.validate(params, methods[name]['params'])
        assert ask(client, name, params)['error']['code'] == -32000


def test_the_schemas_are_schemas_and_everything_has_help(methods):
    for row in methods.values():
        assert row['help']
        for schema in row['params'], row['result']:
            jsonschema.Draft202012Validator.check_schema(schema)


# A value of each type; an integer is a number.
VALUES = {'string': 'x', 'integer': 7, 'boolean': True, 'object': {}, 'array': [], 'null': None}


def test_params_that_the_schema_refuses_are_refused(client, methods):
    for name, row in methods.items():
        schema = row['params']
        good = dict(next(params for method, params in CALLS + CANNOT if method == name))
        good.update({'name': 'vm1'} if name == 'port.set' else {})
        bad = [({**good, key: value}, key) for key in good if key in schema['properties']
               for value in VALUES.values()]
        bad += [({k: v for k, v in good.items() if k != key}, key) for key in schema['required']]
        bad += [({**good, 'bogus': 1}, 'bogus')]
        for params, key in bad:
            if not list(jsonschema.Draft202012Validator(schema).iter_errors(params)):
                continue
            error = ask(client, name, params)['error']
            assert error['code'] == -32602, (name, params, error)
            assert f'"{key}"' in error['message'], (name, params, error)
        assert ask(client, name, ['x'])['error']['code'] == -32602
    # Nothing was done.
    assert [row['name'] for row in ask(client, 'port.list', {})['result']] == ['vm1']


def test_a_member_that_is_wrong_is_named(client):
    for params, message in (
            ({'port': 'vm1'}, '"port" is no parameter of port.show, which takes name'),
            ({}, '"name" is missing: it must be the name of a port'),
            ({'name': 7}, '"name" must be the name of a port')):
        error = ask(client, 'port.show', params)['error']
        assert error['message'] == message
        assert error['data'] == {'at': next(iter(params), 'name')}
    assert ask(client, 'version', {'x\n': 1})['error']['message'] == \
        '"x?" is no parameter of version, which takes none'


def test_a_notification_with_wrong_params_does_nothing(client):
    client.put({'jsonrpc': '2.0', 'method': 'port.del', 'params': {'name': 'vm1', 'bogus': 1}})
    assert len(ask(client, 'port.list', {})['result']) == 1
    client.put({'jsonrpc': '2.0', 'method': 'port.del', 'params': {'name': 'vm1'}})
    assert json.dumps(ask(client, 'port.list', {})['result']) == '[]'


def test_the_document_is_made_of_the_tables():
    done = run(f'{ROOT}/scripts/control_doc.py', '--check', RINGWAYD)
    assert (done.returncode, done.stderr) == (0, '')


METHOD = re.compile(r'"([a-z]+\.[a-z]{2,}|version|subscribe|explain)"')
# A connection that ends needs no unsubscribe; another ringwayd takes over.
UNCALLED = {'unsubscribe', 'takeover'}


def test_the_command_line_calls_all_methods_and_no_others(methods):
    called = set()
    folder = f'{ROOT}/app/ringway'
    for name in os.listdir(folder):
        if name.endswith('.c'):
            with open(f'{folder}/{name}', encoding='utf-8') as file:
                called |= set(METHOD.findall(file.read()))
    assert called | UNCALLED == set(methods)
