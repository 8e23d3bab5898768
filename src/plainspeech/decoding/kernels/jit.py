"""How the inner loops are compiled.

Kernels work on arrays that they are given; they allocate nothing, so numba need not count
references, which would take longer than the search itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_njit: Any = numba.njit  # takes options that its annotations leave out

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Have ``function`` compiled at its first call; the machine code is kept on the disk.

    Kernels release the interpreter's lock, so threads decode at the same time.
    """
    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
    try:
        compiled = _njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        compiled = _njit(**options)(function)
    return cast(Function, compiled)


def routine(function: Function) -> Function:
    """Have ``function`` compiled with the kernels that call it, once each.

    For what is seldom called: a call passes every array as seven numbers. Only compiled code can
    call it.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    compiled = _njit(nogil=True, error_model="numpy", **options)(function)
    return cast(Function, compiled)


def part(function: Function) -> Function:
    """Have ``function`` compiled at each place where it is called, for what is often called."""
    compiled = _njit(nogil=True, error_model="numpy", inline="always")(function)
    return cast(Function, compiled)


def bound(function: Function, *examples: Any) -> Function:
    """Return the machine code of a kernel for arguments of the same types as ``examples``.

    Calling it skips numba's look at the arguments, which takes longer than a short utterance.
    Nothing checks them then: other types would be read as if they were these.
    """
    compiled: Any = function
    signature = tuple(map(numba.typeof, examples))
    compiled.compile(signature)
    return cast(Function, compiled.get_overload(signature))
