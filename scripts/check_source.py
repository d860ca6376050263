#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The rules of this project that no ready-made tool knows. Used by scripts/check.

usage: check_source.py sizes|columns|direction|spdx|whitespace|docs
Prints one line per violation; exit status 1 when there is any.
"""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUNCTION_LINES = 60
FILE_LINES = 600
COLUMNS = 100
PARAMETERS = 6
SOURCE_ENDINGS = ('.c', '.h', '.py', '.sh', 'meson.build')
# Text that is not source: prose, data, and files whose format has no comments.
UNLICENSED_ENDINGS = ('.md', '.json', '.json.in', '.svg', 'LICENSE', '.gitignore',
                      '.editorconfig', '.clang-format',
                      # Formats of Debian's packages, which have no comments or no room.
                      'debian/changelog', 'debian/control', 'debian/copyright',
                      'debian/ringway.install', 'debian/source/format')
# What others wrote, as they wrote it, with their licence.
OF_OTHERS = ('app/ringway-exporter/page/uplot/',)
# Who may use DPDK. Everything below them runs without EAL, in milliseconds, in a unit test.
DPDK_USERS = ('lib/switch/', 'drivers/', 'app/', 'tests/switch/', 'tests/perf/')
# Of these everybody may use the inline functions, which do not need EAL either.
DPDK_INLINE = ('rte_cycles.h', 'rte_meter.h')


def tracked_files():
    """What is in the repository, and what is new and not ignored; but for what others wrote."""
    listing = subprocess.run(['git', 'ls-files', '-z', '-c', '-o', '--exclude-standard'], cwd=ROOT,
                             check=True, capture_output=True, text=True).stdout
    names = sorted(set(name for name in listing.split('\0') if name))
    return [name for name in names if not name.startswith(OF_OTHERS) and
            os.path.isfile(os.path.join(ROOT, name))]


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def is_script(name):
    return '.' not in os.path.basename(name) and read(name).startswith('#!')


def count_parameters(signature):
    """Commas outside inner parentheses, plus one."""
    inner = signature.strip()[1:-1].strip()
    if inner in ('', 'void'):
        return 0
    depth, count = 0, 1
    for letter in inner:
        depth += (letter == '(') - (letter == ')')
        count += letter == ',' and depth == 0
    return count


def function_sizes(names):
    """Functions over the limits, from ctags' list of where each begins and ends."""
    tags = subprocess.run(['ctags', '--languages=C', '--kinds-C=f', '--fields=neS', '-L', '-',
                           '-o', '-', '--sort=no'], cwd=ROOT, input='\n'.join(names),
                          check=True, capture_output=True, text=True).stdout
    functions = 0
    for tag in tags.splitlines():
        function, name = tag.split('\t')[:2]
        begin, end = (re.search(rf'\t{key}:(\d+)', tag) for key in ('line', 'end'))
        signature = re.search(r'\tsignature:(\(.*\))', tag)
        if not begin or not end or not signature:
            yield f'{name}: ctags does not see where {function} ends'
            continue
        functions += 1
        lines = int(end[1]) - int(begin[1]) + 1
        if lines > FUNCTION_LINES:
            yield f'{name}:{begin[1]}: {function} has {lines} lines, more than {FUNCTION_LINES}'
        parameters = count_parameters(signature[1])
        # What libmicrohttpd calls has the parameters that it chose.
        if parameters > PARAMETERS and 'struct MHD_Connection' not in signature[1]:
            yield (f'{name}:{begin[1]}: {function} has {parameters} parameters, '
                   f'more than {PARAMETERS}')
    if not functions:
        yield 'ctags found no function at all'


def check_sizes(names):
    sources = [name for name in names if name.endswith(SOURCE_ENDINGS) or is_script(name)]
    for name in sources:
        lines = read(name).count('\n')
        if lines > FILE_LINES:
            yield f'{name}: {lines} lines, more than {FILE_LINES}'
    yield from function_sizes([name for name in sources if name.endswith(('.c', '.h'))])


def check_columns(names):
    """Lines of sources, scripts and documents, a tab reaching to the next multiple of 8.

    Exempt is only a row of a Markdown table, which cannot be wrapped.
    """
    for name in names:
        if not name.endswith(SOURCE_ENDINGS + ('.md',)) and not is_script(name):
            continue
        for line, text in enumerate(read(name).split('\n'), 1):
            width = len(text.expandtabs(8))
            if width > COLUMNS and not (name.endswith('.md') and text.startswith('|')):
                yield f'{name}:{line}: {width} columns, more than {COLUMNS}'


def library_order():
    """The ordered list in lib/meson.build."""
    found = re.search(r'^libs = \[(.*?)\]', read('lib/meson.build'), re.M | re.S)
    return re.findall(r"'(\w+)'", found[1])


def place_of(name, order):
    """How far down a file stands: libraries in their order, then drivers, app, tests."""
    top, _, rest = name.partition('/')
    if top == 'lib':
        return order.index(rest.split('/')[0])
    return len(order) + ('drivers', 'app', 'tests').index(top)


def is_inside(name, library):
    """Whether a file may know what is private to a library: one of its own, or its tests."""
    return name.startswith((f'lib/{library}/', f'tests/{library}/', f'tests/unit/test_{library}_'))


def check_direction(names):
    """tests -> app -> drivers -> lib, and inside lib only upwards in the list.

    Meson enforces the part between libraries, by include folders; this sees the rest too.
    """
    order = library_order()
    sources = [name for name in names if re.match(r'(lib|drivers|app|tests)/.*\.[ch]$', name)]
    headers = {}
    for name in sources:
        if name.endswith('.h'):
            headers.setdefault(os.path.basename(name), []).append(name)
    for name in sources:
        for line, text in enumerate(read(name).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', text)
            if not found:
                continue
            where, included = f'{name}:{line}', found[1]
            folder = os.path.dirname(name)
            if included.startswith('rte_') and included not in DPDK_INLINE and \
                    not name.startswith(DPDK_USERS):
                yield f'{where}: {included} is of DPDK, which {folder} may not use'
            if '..' in included.split('/'):
                yield f'{where}: {included} climbs out of its folder'
            if os.path.exists(os.path.join(ROOT, folder, included)):
                continue
            owners = headers.get(os.path.basename(included), [])
            if owners and all(place_of(o, order) > place_of(name, order) for o in owners):
                yield f'{where}: {included} is of {os.path.dirname(owners[0])}, a user of this file'
            private = [o for o in owners if o.startswith('lib/') and '/include/' not in o]
            if owners and private == owners and not is_inside(name, owners[0].split('/')[1]):
                yield f'{where}: {included} is private to {os.path.dirname(owners[0])}'


def check_spdx(names):
    for name in names:
        if name.endswith(UNLICENSED_ENDINGS):
            continue
        head = '\n'.join(read(name).splitlines()[:3])
        if 'SPDX-License-Identifier: BSD-3-Clause' not in head:
            yield f'{name}: no SPDX line at the top'


def check_whitespace(names):
    for name in names:
        text = read(name)
        for line, content in enumerate(text.split('\n'), 1):
            if content != content.rstrip():
                yield f'{name}:{line}: blanks at the end of the line'
            if ' \t' in content[:len(content) - len(content.lstrip())]:
                yield f'{name}:{line}: a blank before a tab'
        if text and not text.endswith('\n'):
            yield f'{name}: no newline at the end'
        if text.endswith('\n\n'):
            yield f'{name}: blank lines at the end'


def check_docs(names):
    """Files that the documents name in backticks, and where their links lead."""
    tops = {name.split('/')[0] for name in names}
    for name in (name for name in names if name.endswith('.md')):
        for line, text in enumerate(read(name).splitlines(), 1):
            for path in re.findall(r'`(?:\./)?([\w.-]+/[\w./*-]*)`', text):
                if path.split('/')[0] in tops and not glob.glob(os.path.join(ROOT, path)):
                    yield f'{name}:{line}: there is no {path}'
            for target in re.findall(r'\]\(([^)#:\s]+)(?:#[^)]*)?\)', text):
                if not os.path.exists(os.path.join(ROOT, os.path.dirname(name), target)):
                    yield f'{name}:{line}: a link to {target}, which is not there'


CHECKS = {
    'sizes': check_sizes,
    'columns': check_columns,
    'direction': check_direction,
    'spdx': check_spdx,
    'whitespace': check_whitespace,
    'docs': check_docs,
}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    violations = list(CHECKS[sys.argv[1]](tracked_files()))
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == '__main__':
    sys.exit(main())
