"""Functions that numba compiles, without importing it before one of them is called.

To import numba takes a fifth of a second, and a search whose machine code is on disk does without
(`plainspeech.compiling.machine_code`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from threading import RLock
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


class Compiled:
    """A function that is compiled when it is first called, from Python or by compiled code.

    It has the attributes of numba's dispatcher, too.

    Args:
        function: in Python.
        options: of ``numba.njit``.
        kept: whether its machine code is kept on disk.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], kept: bool) -> None:
        update_wrapper(self, function)
        self.function, self.options, self.kept = function, options, kept

    @property
    def dispatcher(self) -> Any:
        """That of numba, which compiles."""
        if "_dispatcher" not in self.__dict__:
            from plainspeech.compiling.dispatchers import new_dispatcher

            with _preparing:
                while _preparations:
                    _preparations.pop()()
            made = new_dispatcher(self.function, self.options, self.kept)
            self.__dict__.setdefault("_dispatcher", made)  # of several threads, the first one's
        return self.__dict__["_dispatcher"]

    def __call__(self, *arguments: Any) -> Any:
        """Call it, compiled."""
        return self.dispatcher(*arguments)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # which Python asks any object for
            raise AttributeError(name)
        return getattr(self.dispatcher, name)


class _CompiledForCompiled(Compiled):
    """A function that Python calls as it is, and compiled code compiled."""

    def __call__(self, *arguments: Any) -> Any:
        """Call it as it is."""
        return self.function(*arguments)


def compiled(*, kept: bool = True, **options: Any) -> Callable[[Function], Function]:
    """Compile a function when it is first called; it releases the interpreter's lock.

    Args:
        kept: keep its machine code on disk.
        options: of ``numba.njit``.
    """

    def compile_when_called(function: Function) -> Function:
        return cast("Function", Compiled(function, {"nogil": True, **options}, kept))

    return compile_when_called


def jitable(function: Function) -> Function:
    """Let compiled code call ``function``, which Python runs uncompiled."""
    return cast("Function", _CompiledForCompiled(function, {}, kept=False))


_preparing = RLock()
_preparations: list[Callable[[], None]] = []


def when_compiling(prepare: Callable[[], None]) -> Callable[[], None]:
    """Call ``prepare`` before anything is compiled: it tells numba what compiled code may call."""
    _preparations.append(prepare)
    return prepare


@when_compiling
def _pass_for_dispatchers() -> None:
    """Let compiled code call a function as if it were its dispatcher."""
    from numba import types
    from numba.extending import typeof_impl

    @typeof_impl.register(Compiled)
    def type_of_compiled(function: Compiled, _: object) -> Any:
        return types.Dispatcher(function.dispatcher)
