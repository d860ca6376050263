#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write doc/control.md from what `ringwayd --control-schema` says: scripts/control_doc.py RINGWAYD

With --check it only says whether the document is that already.
"""

import json
import pathlib
import subprocess
import sys

DOC = pathlib.Path(__file__).resolve().parent.parent / 'doc' / 'control.md'
HEAD = """# Methods and events

What the control socket understands, made by `scripts/control_doc.py` of the tables that the switch
itself uses; `rpc.methods` gives the same, with JSON Schemas, and `ringway methods` a list. How to
connect, and the limits of a connection, stand in `operation.md`, "The control socket".

Parameters are the members of an object. One that is not named here, is missing or has another type
is refused with the code -32602, and `data.at` of the error names it. Types are those of JSON.
"""
EVENTS = """
## Events

After `subscribe`, events come on the same connection, as notifications of the method `event`, until
`unsubscribe` or the end of the connection. An answer and an event are a line each. A client that
reads too slowly misses events, and an event `lost` then stands in their place.

```
{"jsonrpc":"2.0","method":"event","params":{"event":"link","time":1764486000.25,"port":"a",...}}
```

Events of a kind that workers note (`learned`, `moved`) come with a delay of 100 ms at most, and at
most 5120 of them in a second; the others are counted as lost.
"""


def type_text(schema):
    kinds = schema.get('type', 'any')
    return kinds if isinstance(kinds, str) else ' or '.join(kinds)


def rows(schema):
    for name, member in schema['properties'].items():
        optional = '' if name in schema['required'] else ', optional'
        help_text = member.get('description', '').replace('|', '\\|')
        yield f'| `{name}` | {type_text(member)}{optional} | {help_text} |'


def table(first, schema):
    lines = list(rows(schema))
    if not lines:
        return []
    return ['', f'| {first} | type | what it is |', '|---|---|---|', *lines]


def title(row):
    text = row['help']
    return ['', f'### {row["name"]}', '', f'{text[0].upper()}{text[1:]}.']


def method_text(method):
    yield from title(method)
    yield from table('parameter', method['params'])
    result = method['result']
    listed = result['type'] == 'array'
    result = result['items'] if listed else result
    lines = table('member of each element' if listed else 'result', result)
    if lines:
        yield from lines
    elif not result['additionalProperties']:
        yield from ['', 'The result is an empty object.']


def document(schema):
    lines = [HEAD.rstrip(), '', '## Methods']
    for method in schema['methods']:
        lines += method_text(method)
    lines += [EVENTS.rstrip()]
    for event in schema['events']:
        lines += title(event)
        lines += table('member', event['params'])
    lines += ['', '## Errors', '', '| code | when |', '|---|---|']
    lines += [f'| {error["code"]} | {error["help"]} |' for error in schema['errors']]
    return '\n'.join(lines) + '\n'


def main():
    words = [word for word in sys.argv[1:] if word != '--check']
    said = subprocess.run([words[0], '--control-schema'], check=True, stdout=subprocess.PIPE)
    text = document(json.loads(said.stdout))
    if '--check' not in sys.argv:
        DOC.write_text(text, encoding='utf-8')
    elif DOC.read_text(encoding='utf-8') != text:
        sys.exit(f'{DOC.name} is old: run scripts/control_doc.py {words[0]}')


if __name__ == '__main__':
    main()
