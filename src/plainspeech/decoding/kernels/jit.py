"""How the inner loops are compiled.

Kernels work on arrays that they are given; they allocate nothing, so numba need not count
references, which would take longer than the search itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from plainspeech.compiling.lazy import compiled

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` at its first call, and keep the machine code on disk.

    Kernels release the interpreter's lock, so threads decode at the same time.
    """
    return compiled(error_model="numpy", no_cfunc_wrapper=True, _nrt=False)(function)


def subroutine(function: Function) -> Function:
    """Compile ``function`` once for each kernel that calls it, as a separate function.

    For functions that are seldom called: a call passes every array as seven numbers. Only compiled
    code can call it.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return compiled(kept=False, error_model="numpy", **options)(function)


def inlined(function: Function) -> Function:
    """Compile ``function`` inline wherever it is called; for functions that are called often."""
    return compiled(kept=False, error_model="numpy", inline="always")(function)
