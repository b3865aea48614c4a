"""The command line: `python -m benchmarks`. `benchmarks/README.md` explains it."""

import argparse
from pathlib import Path

from benchmarks import _cases, _export, _report, _runner
from benchmarks.contestants import CONTESTANTS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Who simulates QML circuits fast?")
    parser.add_argument("command", nargs="?", default="run", choices=("run", "report", "export", "run-exported"))
    parser.add_argument("path", nargs="?", type=Path, help="a folder of exports, or results to report")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases, by name or letter")
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", default=(), help="such as 8/32; all by default")
    parser.add_argument("--contestants", nargs="+", metavar="NAME", choices=CONTESTANTS, help="all by default")
    parser.add_argument("--quick", action="store_true", help="the smallest size of a few cases, or of those of --only")
    parser.add_argument("--resume", action="store_true", help="only what the results do not have yet")
    parser.add_argument("--limit", type=float, metavar="S", help="seconds for each contestant at each size")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to repeat a call")
    parser.add_argument("--threads", type=int, default=_runner.Settings.threads)
    parser.add_argument("--output", type=Path, help="the file with the results")
    asked = parser.parse_args(arguments)
    if asked.command in ("export", "run-exported") and not asked.path:
        parser.error(f"`{asked.command}` needs a folder.")
    try:
        chosen = _cases.choose(asked.only)
    except ValueError as error:
        parser.error(str(error))

    settings = _runner.Settings(asked.seconds or (0.3 if asked.quick else 2.0), asked.limit, asked.threads)
    match asked.command:
        case "run":
            if asked.quick and not asked.only:
                chosen = tuple(case for case in chosen if case.quick)
            todo = _runner.jobs(chosen, asked.contestants or CONTESTANTS, asked.quick, asked.sizes)
            _report.report(_runner.run(todo, settings, asked.output, asked.quick, asked.resume))
        case "run-exported":
            todo = _export.exported(asked.path, chosen)
            _report.report(_runner.run(todo, settings, asked.output, resume=asked.resume))
        case "export":
            if not asked.only:
                chosen = tuple(case for case in chosen if case.letter in _export.LETTERS)
            todo = _runner.jobs(chosen, asked.contestants or ["qmljax"], asked.quick, asked.sizes)
            _export.export(todo, asked.path, settings)
        case "report":
            for path in [asked.path] if asked.path else _report.published():
                _report.report(path)


if __name__ == "__main__":
    main()
