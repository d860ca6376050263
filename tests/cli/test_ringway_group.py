# SPDX-License-Identifier: BSD-3-Clause
"""ringway group list against a scripted switch."""

import json

from programs import RINGWAY, run


def succeed(*words):
    done = run(RINGWAY, *words)
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout


def group_pages(params):
    """The members of groups, in two pages; the querier and what was counted on both."""
    cursor = (params or {}).get('cursor', 0)
    entries = [{'vlan': 10, 'group': None, 'mac': None, 'family': 'ipv4', 'router': True,
                'port': 'up0', 'left_s': 250},
               {'vlan': 10, 'group': '239.1.1.1', 'mac': '01:00:5e:01:01:01', 'family': 'ipv4',
                'router': False, 'port': 'vm1', 'left_s': 99}]
    return {'snooping': True, 'entries': entries[cursor:cursor + 1],
            'next': None if cursor else 1, 'entries_total': 2, 'max_entries': 100,
            'queriers': [{'vlan': 10, 'address': '10.0.0.1', 'port': 'up0', 'ready': False,
                          'interval_s': 125}],
            'all_multicast': ['vm2'],
            'counters': {'queries': 3, 'reports': 4, 'malformed': 5, 'full': 6}}


def test_group_list_turns_all_pages(switch):
    server = switch({'group.list': group_pages})
    assert succeed('-s', server.path, 'group', 'list') == (
        'VLAN  GROUP          MAC                PORT   LEFT\n'
        '  10  router (ipv4)  -                  up0   250 s\n'
        '  10  239.1.1.1      01:00:5e:01:01:01  vm1    99 s\n'
        'querier of VLAN 10: 10.0.0.1 behind up0, every 125 s; hosts are answering it\n'
        'port vm2 gets all multicast: it has more groups than are known\n'
        '3 queries, 4 reports, 5 malformed, 6 full\n')
    assert server.asked == [('group.list', None), ('group.list', {'cursor': 1})]
    rows = json.loads(succeed('-s', server.path, '--json', 'group', 'list'))
    assert [row['port'] for row in rows['entries']] == ['up0', 'vm1']
    assert 'next' not in rows


def bridged(params):
    answer = group_pages(params)
    for row in answer['entries'] + answer['queriers']:
        row['bridge'] = 'default' if row.get('router') else 'blue'
    return answer


def test_group_list_names_bridges_if_there_are_others(switch):
    server = switch({'group.list': bridged})
    shown = succeed('-s', server.path, 'group', 'list')
    assert shown.startswith('BRIDGE   VLAN  GROUP          MAC                PORT   LEFT\n'
                            'default    10  router (ipv4)  -                  up0   250 s\n'
                            'blue       10  239.1.1.1      01:00:5e:01:01:01  vm1    99 s\n'
                            'querier of VLAN 10 of bridge blue: 10.0.0.1 behind up0'), shown


def test_group_list_says_that_snooping_is_off(switch):
    server = switch({'group.list': {'snooping': False, 'entries': [], 'next': None}})
    assert succeed('-s', server.path, 'group', 'list') == (
        'snooping is off: multicast is flooded\n')
