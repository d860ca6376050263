# SPDX-License-Identifier: BSD-3-Clause
"""Programs for the guests that busybox has nothing like, in an initramfs of their own."""

import os
import re
import shutil
import subprocess


def libraries(program):
    """The shared libraries of a program, the one that loads them among them."""
    listing = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    return re.findall(r'(/\S+) \(0x', listing)


def with_libraries(name):
    """{path in the guest: path here} of a program of this machine and what it needs."""
    program = shutil.which(name, path='/usr/sbin:/usr/bin:/sbin:/bin')
    assert program, f'{name} is not installed, see scripts/test'
    return {f'bin/{name}': program, **{path[1:]: path for path in libraries(program)}}
