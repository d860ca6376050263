#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints what ninja has to build for some of the tests.

usage: test_targets.py BUILD_DIR TEST...   the targets, one a line
"""

import json
import os
import sys


def info(build_dir, what):
    path = os.path.join(build_dir, 'meson-info', f'intro-{what}.json')
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    build_dir, wanted = sys.argv[1], set(sys.argv[2:])
    tests = [test for test in info(build_dir, 'tests') if test['name'] in wanted]
    needed = {target for test in tests for target in test['depends']}
    for target in info(build_dir, 'targets'):
        if target['id'] in needed:
            print(*(os.path.relpath(path, os.path.realpath(build_dir))
                    for path in target['filename']), sep='\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
