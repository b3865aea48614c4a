"""The command line: `python -m benchmarks.papers [NAME ...]`."""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.papers._table import RESULTS, Table, write

NAMES = (
    *("expressibility", "power_of_neural_networks", "fourier_series", "barren_plateaus", "kernel_concentration"),
    *("power_of_data", "better_than_classical", "study_grid"),
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description="Published results, redone.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not what the paper says")
    parser.add_argument("--resume", action="store_true", help="only the rows that the results do not have yet")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of results")
    asked = parser.parse_args(arguments)
    if unknown := {*asked.names} - {*NAMES}:
        parser.error(f"There is no {', '.join(sorted(unknown))}: names are {', '.join(NAMES)}.")
    for name in asked.names or NAMES:
        module, done = importlib.import_module(f"benchmarks.papers.{name}"), None
        file = asked.output / f"{name}.json"
        if asked.resume and file.exists():
            old = json.loads(file.read_text())
            done = Table(*(old[k] for k in ("title", "paper", "columns", "rows", "remarks", "seconds")))
        start = time.monotonic()
        for table in module.run(asked.quick, done):
            path = write(name, table, asked.output)
            print(f"{name}: {len(table.rows)} rows after {time.monotonic() - start:.0f} s", file=sys.stderr)
        print(f"Table: {path}")


if __name__ == "__main__":
    main()
