#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Show that attacks fail when the check they aim at is taken out.

Each mutant replaces a piece of a source file in a copy of the working tree; the daemon is built,
and the attacks that are named must fail. Prints one line for each; the exit status is 1 when a
mutant lives. With numbers, only those mutants.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 120
TABLE = "lib/vhost_user/table.c"
MAP = "lib/guest_mem/map.c"
RX = "drivers/vhost/rx.c"
SPLIT = "lib/virtqueue/include/vq_split.h"

# File, what is there, what comes in its place, program, attacks.
MUTANTS = [
    (TABLE, "if (i >= s->offer.max_pairs * 2u)", "if (i >= UINT64_MAX)", "messages",
     "cve_2020_10723*"),
    (TABLE, "if (size < row->size_min || size > row->size_max)", "if (size > sizeof(m->payload))",
     "messages", "r03*"),
    (TABLE, "return !m->nfds;", "return true;", "messages", "cve_2022_0669*"),
    (TABLE, "if (m->fds_lost)", "if (false)", "messages", "g06*"),
    (TABLE, "if ((m->hdr.flags & VU_VERSION_MASK) != VU_VERSION)", "if (false)", "messages",
     "r04*"),
    (TABLE, "if (row->known && row->known(s, m))", "if (false)", "memory", "r18*"),
    (MAP, "return ranges_overlap(d->gpa, d->size, gpa, size) ||", "return", "memory", "g04*"),
    (MAP, "!rw_range_wraps(d->gpa, d->size) &&", "", "memory", "g04*"),
    ("lib/guest_mem/file.c", "if (st.st_size < 0 || offset + size > (uint64_t)st.st_size)",
     "if (false)", "memory", "cve_2026_86561*"),
    ("lib/vhost_user/ring.c", "if (!num || num > s->offer.max_ring_size)", "if (false)",
     "memory", "g07*"),
    ("lib/vhost_user/inflight.c", "if (d->mmap_size < b.size)", "if (false)", "inflight", "g01*"),
    ("lib/vhost_user/inflight.c",
     "if (!d->num_queues || d->num_queues > s->offer.max_pairs * 2u)", "if (!d->num_queues)",
     "inflight", "cve_2021_3839*"),
    ("lib/vhost_user/features.c", "if (m->payload.u64 & ~s->offer.features)", "if (false)",
     "ports", "r71*"),
    (SPLIT, "if (rw_unlikely(n > vq->num)) {", "if (false) {", "formats", "r43_an_available*"),
    (SPLIT, "if (rw_unlikely(i >= vq->num))", "if (i > 65535)", "formats", "r41_chains*"),
    ("lib/virtqueue/walk.c", "!(d.len % sizeof(struct vring_desc)) &&", "", "ring", "r46*"),
    (RX, "if (rw_unlikely(loan->len < q->hdr_len + FRAME_MIN_LEN)) {", "if (false) {",
     "ring", "cve_2022_2132*"),
    (RX, "hdr->csum_start < FRAME_MIN_LEN || end > f->len", "end > 0x7fffffff", "formats",
     "cve_2024_11614*"),
    (RX, "!csum || !hdr->gso_size ||", "!csum ||", "formats", "r59_segm*"),
    ("lib/guest_mem/iotlb.c", "if (!e || (perm & ~e->perm))", "if (!e)", "iotlb", "r40*"),
    ("lib/guest_mem/iotlb.c",
     "if (!size || iova + (size - 1) < iova || !perm || perm & ~(GM_READ | GM_WRITE))",
     "if (!size)", "iotlb", "r36_entries_that*"),
    ("drivers/vhost/iotlb_miss.c", "if (!wait->lacking || is_known(vp, &miss))", "if (true)",
     "iotlb", "s13*"),
    ("drivers/vhost/tx.c", "if (rw_unlikely(q->taken[0].len < need)) {", "if (false) {",
     "receive", "r51*"),
]


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def attack(build, program, attacks):
    """Build and run the attacks: None when it does not build; "hangs", or the exit status."""
    exe = build / f"tests/hostile/test_hostile_{program}"
    if run(["ninja", "-C", build, "app/ringwayd", exe.relative_to(build)]).returncode:
        return None
    env = os.environ | {"RINGWAYD": str(build / "app/ringwayd"), "RINGWAY_TEST_ONLY": attacks}
    try:
        return run([exe], env=env, timeout=LIMIT_S).returncode
    except subprocess.TimeoutExpired:
        return "hangs"


def dies(tree, build, mutant):
    """Whether the attacks pass, and fail with the mutant; and what became of it, in words."""
    name, old, new, program, attacks = mutant
    path = tree / name
    text = path.read_text()
    if old not in text:
        return False, "the source has changed"
    if attack(build, program, attacks) != 0:
        return False, "the attack fails without it"
    path.write_text(text.replace(old, new, 1))
    try:
        status = attack(build, program, attacks)
        if status is None:
            return False, "does not compile"
        return status != 0, f"exit status {status}"
    finally:
        path.write_text(text)


def main():
    chosen = [int(word) for word in sys.argv[1:]] or range(1, len(MUTANTS) + 1)
    alive = 0
    with tempfile.TemporaryDirectory() as top:
        tree, build = Path(top) / "tree", Path(top) / "tree/build"
        files = run(["git", "-C", ROOT, "ls-files"]).stdout
        subprocess.run(["tar", "-C", ROOT, "-cf", f"{top}/tree.tar", "-T", "-"], input=files,
                       text=True, check=True)
        tree.mkdir()
        subprocess.run(["tar", "-C", tree, "-xf", f"{top}/tree.tar"], check=True)
        subprocess.run(["meson", "setup", build, tree], check=True, stdout=subprocess.DEVNULL)
        for number in chosen:
            mutant = MUTANTS[number - 1]
            dead, what = dies(tree, build, mutant)
            alive += not dead
            print(f"{'dies ' if dead else 'LIVES'} {number:2} {mutant[4]:18} {mutant[0]}: {what}",
                  flush=True)
    return alive > 0


if __name__ == "__main__":
    sys.exit(main())
