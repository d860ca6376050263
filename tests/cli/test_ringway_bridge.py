# SPDX-License-Identifier: BSD-3-Clause
"""What ringway says of bridges, against a switch that is played."""

import json

from test_ringway import succeed


def test_fdb_list_names_bridges_and_kinds_of_vlans_if_there_are_any(switch):
    entry = {'mac': '52:54:00:00:00:01', 'port': 'vm1', 'static': True, 'age_s': 0}
    entries = [{**entry, 'vlan': 10, 'bridge': 'default', 'tpid': '8021ad'},
               {**entry, 'vlan': 7, 'bridge': 'blue', 'tpid': '8021q', 'vlan_name': 'web'},
               {**entry, 'vlan': 10, 'bridge': 'default', 'tpid': '8021q'}]
    server = switch({'fdb.list': {'entries': entries, 'next': None, 'max_entries': 9}})
    assert succeed('-s', server.path, 'fdb', 'list') == (
        'BRIDGE   VLAN     MAC                PORT  TYPE     AGE\n'
        'blue     7 (web)  52:54:00:00:00:01  vm1   static     -\n'
        'default       10  52:54:00:00:00:01  vm1   static     -\n'
        'default      s10  52:54:00:00:00:01  vm1   static     -\n'
        '3 entries, 3 of them static; room for 9\n')
    assert json.loads(succeed('-s', server.path, '--json', 'fdb', 'list')) == [
        entries[1], entries[2], entries[0]]
    server = switch({'fdb.list': {'entries': [], 'next': None}, 'fdb.del': {}})
    succeed('-s', server.path, 'fdb', 'list', 'bridge=blue', 'tpid=8021ad', 'vlan=web')
    succeed('-s', server.path, 'fdb', 'del', entry['mac'], '--vlan', 'web', '--bridge', 'blue',
            '--tpid', '8021ad')
    assert [{key: value for key, value in params.items() if key not in ('cursor', 'limit')}
            for _, params in server.asked] == [
                {'bridge': 'blue', 'tpid': '8021ad', 'vlan': 'web'},
                {'bridge': 'blue', 'tpid': '8021ad', 'vlan': 'web', 'mac': entry['mac']}]


def test_bridges_are_listed_with_their_ports(switch):
    server = switch({'bridge.list': [{'name': 'default', 'ports': []},
                                     {'name': 'blue', 'ports': ['vm1', 'vm2']}]})
    assert [line.split() for line in succeed('-s', server.path, 'bridge', 'list').splitlines()] == [
        ['NAME', 'PORTS'], ['default', '0'], ['blue', '2', 'vm1', 'vm2']]
