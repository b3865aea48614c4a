"""What every example takes on its command line. It is imported first, so that --help need not wait for the rest."""

import argparse
import os
import sys
from pathlib import Path

PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}  # as JAX calls them, the first one first


def read() -> argparse.Namespace:
    """The arguments of the example that runs; where something else runs, such as a test, there are none."""
    main = sys.modules["__main__"]
    script = Path(getattr(main, "__file__", None) or "").resolve()
    runs = script.parent == Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=main.__doc__ if runs else None, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = f"examples/figures/{script.stem}.png"
    parser.add_argument("--figure", type=Path, metavar="FILE", help=f"where the figure goes; default: {default}")
    parser.add_argument("--platform", choices=PLATFORMS, help="where JAX computes; default: the best there is")
    arguments = parser.parse_args(None if runs else [])
    if arguments.platform:
        os.environ["JAX_PLATFORMS"] = PLATFORMS[arguments.platform]  # JAX is imported after this
    return arguments


ARGUMENTS = read()


def figure(script: str) -> Path:
    """Where the figure of an example goes."""
    return ARGUMENTS.figure or Path(script).parent / "figures" / f"{Path(script).stem}.png"
