"""`make bench`: Sampan against Debian's dockerd, in one run, each measure in turn on both; medians, ratios.

Both engines get a network namespace, folders and a cgroup parent of their own, and both are driven by
the same `docker` command line. `python -m bench NAME…` runs the named measures alone, `--rounds N` sets how
often.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.engines import EngineProcess, dockerd_engine, have_dockerd, sampan_engine

from bench import measures
from bench.measures import Pair

# What an engine still cleans up after it has answered must not be its rival's loss. Nor must the processor's
# caches, which hold the rival's data: so short commands are measured some times in a row.
REST_SECONDS = 0.3


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(measures.ALL)}")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if not have_dockerd():
        print("bench: needs root, `dockerd` and a `docker` command line", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="sampan-bench.", ignore_cleanup_errors=True) as folder:
        pair = Pair(sampan_engine(Path(folder) / "s"), dockerd_engine(Path(folder) / "d"))
        try:
            for engine in pair:
                engine.launch()
                measures.prepare(engine)
            names = options.names or measures.ALL
            rows = [row(name, measures.ALL[name], pair, options.rounds) for name in names]
        finally:
            for engine in pair:
                engine.close()
    missed = [r for r in rows if not r[-1]]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} goals met on {os.cpu_count()} cores")
    return 1 if missed else 0


def row(name: str, measure: measures.Measure, pair: Pair, rounds: int) -> tuple[str, bool]:
    """Measure both engines in turn, print one line of the table, and say whether the goal is met."""
    values: dict[str, list[float]] = {engine.name: [] for engine in pair}
    run: Callable[[EngineProcess], float] = measure.run
    if measure.warm:
        for engine in pair:
            run(engine)
    for _ in range(max(1, rounds // measure.divide)):
        for engine in pair:
            time.sleep(REST_SECONDS)
            values[engine.name] += [run(engine) for _ in range(measure.burst)]
    ours, theirs = (statistics.median(values[engine.name]) for engine in pair)
    ratio = theirs / ours
    good = ratio >= measure.goal
    print(
        f"| {measure.title:<58} | {theirs:9.1f} {measure.unit:<3}| {ours:9.1f} {measure.unit:<3}"
        f"| {ratio:5.1f} | {measure.goal:4.1f} | {'yes' if good else 'NO ':<3} |",
        flush=True,
    )
    return name, good


if __name__ == "__main__":
    print(f"| {'what':<58} | {'dockerd':>12} | {'sampan':>12} | ratio | goal | met |")
    print(f"|{'-' * 60}|{'-' * 14}|{'-' * 14}|-------|------|-----|")
    sys.exit(main())
