"""Settings that every test runs under."""

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

# Before JAX is imported. Export JAX_PLATFORMS to run the tests on an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time goes into compilation, of programs that then run for milliseconds: LLVM need not optimise them, and
# those that another worker or an earlier run has compiled are read from disk.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / "build" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and metadata.version("jaxlib").startswith("0.10."):
    # XLA's former way to emit code, which it had until then, takes two thirds of the time of the present one.
    os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {os.environ.get('XLA_FLAGS', '')}"

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def strict_promotion() -> Iterator[None]:
    """Implicit promotion of ranks or dtypes raises: the cheapest finder of bugs there is (a habit of lineax)."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="module", autouse=True)
def forget_what_is_compiled() -> Iterator[None]:
    """Every compiled program holds some mappings of memory, of which Linux allows a process 65,530, then it crashes."""
    yield
    jax.clear_caches()


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """Undoes `strict_promotion` for a test of foreign code that promotes, such as the bias correction of optax.adam."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def x64() -> Iterator[None]:
    """Runs the test with 64-bit types: `@pytest.mark.usefixtures("x64")`, or an argument of this name."""
    with jax.enable_x64(True):
        yield
