"""`python -m qmljax`, or `qmljax`, prints what a bug report needs: versions, devices, precision, and the extras.

Of an extra that is not installed it says how to install it.
"""

import argparse
import platform
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version

import jax

import qmljax


def requirements() -> Iterator[tuple[str, str]]:
    """The distributions that qmljax needs, each with its extra, or ""; those of developers are left out."""
    try:
        lines = requires("qmljax") or []
    except PackageNotFoundError:  # it runs from its sources
        lines = []
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        of = extra[1] if extra else ""
        if name and name[0] != "qmljax" and of not in ("all", "bench", "dev", "docs"):
            yield name[0], of


def installed(name: str, extra: str = "") -> str:
    """A distribution with its version; one that is missing, with what installs it."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        wanted = f"'qmljax[{extra}]'" if extra else name
        return f"{name} (missing: pip install {wanted})"


def report() -> Iterator[str]:
    """What is printed, line by line."""
    found = list(requirements())
    yield f"qmljax {qmljax.__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "needs: " + ", ".join(installed(name) for name, extra in found if not extra)
    for extra in dict.fromkeys(extra for _, extra in found if extra):
        yield f"extra {extra}: " + ", ".join(installed(name, extra) for name, of in found if of == extra)
    kinds = [device.device_kind for device in jax.devices()]
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    yield f"devices: {counted}, on {jax.default_backend()}; process {jax.process_index()} of {jax.process_count()}"
    settings = jax.config.values
    yield "precision: float64" if settings["jax_enable_x64"] else "precision: float32 (64 bits: JAX_ENABLE_X64=1)"
    folder = settings["jax_compilation_cache_dir"]
    yield f"compilation cache: {folder or 'none (JAX_COMPILATION_CACHE_DIR=some/folder)'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command `qmljax` runs."""
    parser = argparse.ArgumentParser(
        prog="qmljax", description="Prints what a bug report needs: versions, devices, precision, and the extras."
    )
    parser.add_argument("--version", action="version", version=f"qmljax {qmljax.__version__}")
    parser.parse_args(arguments)
    print("\n".join(report()))


if __name__ == "__main__":
    main()
