# SPDX-License-Identifier: BSD-3-Clause
"""Programs for the guests that busybox has nothing like, in an initramfs of their own."""

import os
import re
import shutil
import subprocess

from initramfs import cpio_files


def libraries(program):
    """The shared libraries of a program, the one that loads them among them."""
    listing = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    return re.findall(r'(/\S+) \(0x', listing)


def with_libraries(name):
    """{path in the guest: path here} of a program of this machine and what it needs."""
    program = shutil.which(name, path='/usr/sbin:/usr/bin:/sbin:/bin')
    assert program, f'{name} is not installed, see scripts/test'
    return {f'bin/{name}': program, **{path[1:]: path for path in libraries(program)}}


def extend_initramfs(initramfs, out, files):
    """Writes the initramfs with more files, {path in the guest: path here}, to the file out."""
    with open(initramfs, 'rb') as base, open(out + '.new', 'wb') as new:
        shutil.copyfileobj(base, new)
        new.write(cpio_files(files))
    os.replace(out + '.new', out)


def static_program(source, folder):
    """A program that was compiled from a file of this folder, without libraries."""
    program = os.path.join(folder, os.path.splitext(source)[0])
    subprocess.run(['gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', program,
                    os.path.join(os.path.dirname(os.path.abspath(__file__)), source)], check=True)
    return program
