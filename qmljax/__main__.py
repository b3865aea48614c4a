"""`python -m qmljax` prints what a bug report needs: versions, devices, precision, and which extras are installed."""

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

import jax


def requirements() -> Iterator[tuple[str, str]]:
    """The distributions that qmljax needs, each with its extra, or ""; those of developers are left out."""
    for line in requires("qmljax") or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        of = extra[1] if extra else ""
        if name and name[0] != "qmljax" and of not in ("all", "bench", "dev", "docs"):
            yield name[0], of


def installed(name: str) -> str:
    """A distribution with its version."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} (not installed)"


def report() -> Iterator[str]:
    """What is printed, line by line."""
    found = list(requirements())
    yield f"qmljax {version('qmljax')}, Python {platform.python_version()}, {platform.platform()}"
    yield "needs: " + ", ".join(installed(name) for name, extra in found if not extra)
    for extra in dict.fromkeys(extra for _, extra in found if extra):
        yield f"extra {extra}: " + ", ".join(installed(name) for name, of in found if of == extra)
    kinds = [device.device_kind for device in jax.devices()]
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    yield f"devices: {counted}, on {jax.default_backend()}; process {jax.process_index()} of {jax.process_count()}"
    settings = jax.config.values
    yield "precision: float64" if settings["jax_enable_x64"] else "precision: float32 (64 bits: JAX_ENABLE_X64=1)"
    folder = settings["jax_compilation_cache_dir"]
    yield f"compilation cache: {folder or 'none (JAX_COMPILATION_CACHE_DIR=some/folder)'}"


if __name__ == "__main__":
    print("\n".join(report()))
