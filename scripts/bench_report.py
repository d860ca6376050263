# SPDX-License-Identifier: BSD-3-Clause
"""The tables of scripts/bench."""
import math
import statistics
import textwrap

# The measurements of one back-end in one row, in this order.
RATE, CYCLES, LOAD_CYCLES = range(3)
# Where the tables of a load stand in the page.
MARKS = {load: [f"<!-- scripts/bench{option}: {mark} -->" for mark in ("begin", "end")]
         for load, option in (("virtio-user", ""), ("ringway-bench", " --load ringway-bench"),
                              ("ringway-bench-few", " --load ringway-bench-few"),
                              ("scale", " --scale"), ("policies", " --policies"),
                              ("uplinks", " --uplinks"))}


def median(samples, which):
    return statistics.median(sample[which] for sample in samples)


def spread(values):
    """Half the range."""
    values = list(values)
    return (max(values) - min(values)) / 2


def ratio(ours, theirs, which):
    """The rounds' ratios, median and half the range: what drifts between rounds falls out."""
    # Neither none nor unknown.
    ratios = [a[which] / b[which] for a, b in zip(ours, theirs) if b[which] > 0]
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.2f} +-{spread(ratios):5.2f}"


def rate_cell(samples):
    return f"{median(samples, RATE):.2f} +-{spread(x[RATE] for x in samples):5.2f}"


def cycles_cell(samples):
    """The worker's and the load's; - where one is not known."""
    worker, load = ("-" if math.isnan(value) else f"{value:.0f}"
                    for value in (median(samples, which) for which in (CYCLES, LOAD_CYCLES)))
    return f"{worker} /{load:>4}"


def grid(title, columns, rows):
    """Lines of text. rows: {name: cells}"""
    width = max(17, *(len(c) + 2 for c in columns))
    first = max(12, *(len(name) + 1 for name in rows))
    lines = [title, f"{'frame, ring':{first}}" + "".join(f"{c:>{width}}" for c in columns)]
    return lines + [f"{name:{first}}" + "".join(f"{c:>{width}}" for c in cells)
                    for name, cells in rows.items()]


def table(results):
    """Lines of text. results: {row: {back-end: [sample of each round]}}; the first is ours."""
    names = list(next(iter(results.values())))

    def cells_of(cell):
        return {row: [cell(samples) for samples in cells.values()]
                for row, cells in results.items()}

    def ratios_of(which):
        return {row: [ratio(cells[names[0]], cells[n], which) for n in names[1:]]
                for row, cells in results.items()}

    rates = grid("Mpps: median and half the range of the rounds", names, cells_of(rate_cell))
    cycles = grid("busy cycles per frame, the worker's / the load's: medians", names,
                  cells_of(cycles_cell))
    if not names[1:]:
        return [*rates, "", *cycles]
    title = f"{names[0]} / each, round by round: median and half the range"
    return [*rates, "", *grid(title, names[1:], ratios_of(RATE)), "", *cycles, "",
            *grid(f"worker's busy cycles per frame, {title}", names[1:], ratios_of(CYCLES))]


def scale_table(results):
    """Lines of text. results: {row: {case: [sample of each round]}}; each is beside the first."""
    names = list(next(iter(results.values())))
    lines = []
    for what, which, digits in (("Mpps", RATE, 2), ("worker's busy cycles per frame", CYCLES, 0)):
        medians = {row: [f"{median(s, which):.{digits}f} +-"
                         f"{spread(x[which] for x in s):5.{digits}f}" for s in cells.values()]
                   for row, cells in results.items()}
        ratios = {row: [ratio(cells[n], cells[names[0]], which) for n in names[1:]]
                  for row, cells in results.items()}
        lines += [*grid(f"{what}: median and half the range of the rounds", names, medians), "",
                  *grid(f"{what}, each / {names[0]}, round by round: median and half the range",
                        names[1:], ratios), ""]
    return lines[:-1]


def write_page(path, heading, lines, load="virtio-user"):
    """Put the tables between the marks of the page."""
    begin, end = MARKS[load]
    text = path.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise ValueError(f"{path} lacks the lines \"{begin}\" and \"{end}\"")
    heading = textwrap.fill(heading, 100, break_long_words=False, break_on_hyphens=False)
    body = "\n".join(["", heading, "", "```", *lines, "```", ""])
    path.write_text(before + begin + body + end + after, encoding="utf-8")
