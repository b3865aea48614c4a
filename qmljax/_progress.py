"""Progress bars: of a loop of Python, and of a loop that is compiled."""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import jax


class Bar(Protocol):
    """What a loop says to its progress bar."""

    def update(self, n: float | None = 1) -> Any:
        """So many rounds more are done."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> Any:
        """What to show behind the bar."""


class _NoBar:
    def update(self, n: float | None = 1) -> None:
        pass

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        pass


def load_tqdm() -> Any:
    """The class of progress bars."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("A progress bar needs tqdm: pip install 'qmljax[progress]'.") from error
    return tqdm


def bar(total: int, unit: str, show: bool, done: int = 0, leave: bool = True) -> contextlib.AbstractContextManager[Bar]:
    """A progress bar, or something that takes its place where none is to be shown."""
    return load_tqdm()(total=total, initial=done, unit=unit, leave=leave) if show else contextlib.nullcontext(_NoBar())


class CompiledBar:
    """The progress bar of a compiled loop."""

    def __init__(self, rounds: int):
        self.rounds = rounds
        self.bar: Any = None

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function that is the loop's body, each call of which is a round."""

        def counted(*args: Any) -> Any:
            jax.debug.callback(self._advance)
            return function(*args)

        return counted

    def _advance(self) -> None:
        self.bar = self.bar or load_tqdm()(total=self.rounds, unit="part")
        self.bar.update()
        if self.bar.n == self.rounds:
            self.bar.close()
            self.bar = None
