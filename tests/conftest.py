"""Settings that every test runs under."""

import os
from collections.abc import Iterator

# Before JAX is imported. Export JAX_PLATFORMS to run the tests on an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

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
