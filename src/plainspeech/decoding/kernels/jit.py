"""How the inner loops are compiled.

Kernels work on arrays that they are given; they allocate nothing, so numba need not count
references, which would take longer than the search itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.extending import register_jitable

from plainspeech.jit_cache import compiled

_njit: Any = numba.njit  # takes options that its annotations leave out
_typeof: Any = numba.typeof  # has none
_tuple_type: Any = types.BaseTuple.from_types  # has none

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
    return cast("Function", _njit(nogil=True, error_model="numpy", **options)(function))


def inlined(function: Function) -> Function:
    """Compile ``function`` inline wherever it is called; for functions that are called often."""
    return cast("Function", _njit(nogil=True, error_model="numpy", inline="always")(function))


def jitable(function: Function) -> Function:
    """Let compiled code call ``function``, which Python runs uncompiled (`register_jitable`)."""
    return register_jitable(function)


def machine_code(function: Function, *examples: Any) -> Function:
    """Return the machine code of a kernel for arguments of the same types as ``examples``.

    Calling it skips numba's dispatch by the types of the arguments, which takes longer than a short
    utterance. They are not checked: other types would be read as if they were these.
    """
    dispatcher: Any = function
    signature = tuple(map(type_of, examples))
    dispatcher.compile(signature)
    return cast("Function", dispatcher.get_overload(signature))


def type_of(example: Any) -> Any:
    """Return what `numba.typeof` does, which imports `numpy.ma` to tell masked arrays apart."""
    if type(example) is np.ndarray and example.flags.carray:
        return types.Array(numba.from_dtype(example.dtype), example.ndim, "C")
    if isinstance(example, tuple):
        return _tuple_type(tuple(map(type_of, example)), type(example))
    return _typeof(example)
