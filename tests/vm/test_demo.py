# SPDX-License-Identifier: BSD-3-Clause
"""scripts/demo: every step passes, and what it leaves running holds none of its descriptors."""

import os
import re
import shutil
import signal
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('RINGWAY_BUILD', os.path.join(ROOT, 'build')))
DEMO_S = 900


def end(pids):
    """The processes are the demo's, and nobody's children any more."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


def test_a_demo_whose_output_is_a_pipe_returns_while_its_guests_go_on(images):
    del images
    # communicate() returns when the last holder of the pipe has closed it.
    demo = subprocess.Popen([os.path.join(ROOT, 'scripts', 'demo'), '--keep'],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, 'RINGWAY_BUILD': BUILD})
    said = ''
    try:
        said = demo.communicate(timeout=DEMO_S)[0]
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b'').decode(errors='replace')
        # It ends what it started, if it is still there to do so.
        demo.terminate()
        raise
    finally:
        found = re.search(r'^  kill ([\d ]+); rm -r (\S+)$', said, re.M)
        if found:
            pids = [int(pid) for pid in found[1].split()]
            alive = [os.path.exists(f'/proc/{pid}') for pid in pids]
            end(pids)
            shutil.rmtree(found[2], ignore_errors=True)
    assert demo.returncode == 0, said
    assert found and alive == [True] * 3, said
