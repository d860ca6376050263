#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make files into C: what app/ringway-exporter/page.h declares.

usage: embed.py OUTPUT FILE...
"""

import os
import sys

TYPES = {'.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8',
         '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml',
         '': 'text/plain; charset=utf-8'}


def main():
    output, *names = sys.argv[1:]
    arrays, rows = [], []
    for i, name in enumerate(names):
        with open(name, 'rb') as file:
            content = file.read()
        base = os.path.basename(name)
        path = '/' if base == 'index.html' else f'/{base}'
        numbers = ','.join(str(byte) for byte in content)
        arrays.append(f'static const unsigned char file_{i}[] = {{{numbers}}};\n')
        kind = TYPES[os.path.splitext(base)[1]]
        rows.append(f'\t{{"{path}", "{kind}", file_{i}, sizeof(file_{i})}},\n')
    with open(output, 'w', encoding='ascii') as out:
        out.write(f'#include "page.h"\n\n{"".join(arrays)}\n'
                  f'const struct page_file page_files[] = {{\n{"".join(rows)}}};\n'
                  f'const unsigned page_nfiles = {len(names)};\n')


if __name__ == '__main__':
    main()
