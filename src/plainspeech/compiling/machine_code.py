"""Compiled functions as machine code that needs no numba: from disk, once it was compiled.

A function is an object file, which LLVM's linker loads. It takes what numba passes to it, argument
by argument in the convention of C: where its result goes, where an error goes, every number, and
every array as seven numbers or more (numba's documentation, "Notes on Numba runtime" and
``numba.core.callconv``). So it is called by `ctypes`, which releases the interpreter's lock.

Files are those of `plainspeech.compiling.kept_code`. They are named by what machine code depends
on: the types of the arguments, the processor, the versions of LLVM and numba and their options, and
the source of all compiled functions.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from ctypes import CFUNCTYPE, byref, c_bool, c_double, c_float, c_int32, c_int64, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np

from plainspeech.compiling.kept_code import private_folder, read_code, sources, write_code
from plainspeech.compiling.lazy import Compiled

Function = TypeVar("Function", bound=Callable[..., Any])

_NUMBERS = {"?": c_bool, "l": c_int64, "q": c_int64, "i": c_int32, "d": c_double, "f": c_float}
"""By the characters that NumPy has for types."""

_DONE = (0, -2)  # statuses of numba's: done, and done without a result
_loaded: dict[tuple[Compiled, str], Callable[..., Any]] = {}
_loading = Lock()


def machine_code(function: Function, *examples: Any) -> Function:
    """Return the machine code of a compiled function for arguments of the types of ``examples``.

    They are not checked: other types would be read as if they were these. What is not an array
    or a number, or a tuple of such, takes numba, and so does Windows.

    Args:
        function: returns nothing, or an integer.
        examples: C-contiguous arrays, numbers, and named tuples of them.
    """
    compiled = cast("Compiled", function)
    kinds = _kinds(examples) if os.name == "posix" else None
    if kinds is None:
        return cast("Function", _by_numba(compiled, examples))
    with _loading:
        if (compiled, kinds) not in _loaded:
            _loaded[compiled, kinds] = _from_disk(compiled, kinds, examples)
        return cast("Function", _loaded[compiled, kinds])


def _from_disk(function: Compiled, kinds: str, examples: tuple[Any, ...]) -> Callable[..., Any]:
    """Return a function as it is on disk; it is compiled, and kept there, if it is not."""
    paths = [folder / _file_name(function, kinds) for folder in _folders()]
    content = next((code for code in map(read_code, paths) if code is not None), None)
    if content is None:
        from plainspeech.compiling.dispatchers import object_code

        made = object_code(function.dispatcher, examples)
        if made is None:
            return _by_numba(function, examples)
        content = made[0].encode() + b"\0" + made[1]
        any(write_code(path, content) for path in paths)
    return _callable(_address(content), examples)


def _by_numba(function: Compiled, examples: tuple[Any, ...]) -> Callable[..., Any]:
    from plainspeech.compiling.dispatchers import entry_point

    return entry_point(function.dispatcher, examples)


def _folders() -> list[Path]:
    """Return where machine code may be; it is written to the first that can be written."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(chosen)]
    return [Path(__file__).parents[1] / "__pycache__", private_folder()]


def _file_name(function: Compiled, kinds: str) -> str:
    name = f"{function.__module__}.{function.__qualname__}"
    digest = hashlib.sha256(f"{name} {kinds} {_target()}".encode()).hexdigest()
    return f"{name}.{sources()}.{digest[:32]}.o"


@cache
def _target() -> str:
    """Return what machine code depends on besides its source."""
    import llvmlite  # type: ignore[import-untyped]

    llvm, numba = _llvm(), find_spec("numba")
    assert numba is not None
    assert numba.origin is not None
    version = Path(numba.origin).with_name("_version.py").read_text()
    options = sorted(
        each
        for each in os.environ.items()
        if each[0].startswith("NUMBA_") and each[0] != "NUMBA_CACHE_DIR"
    )
    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return f"{llvmlite.__version__} {version} {options} {llvm.get_process_triple()} {processor}"


@cache
def _llvm() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


_engines: list[Any] = []
"""They own the memory of machine code."""


def _address(content: bytes) -> int:
    """Load the object file in ``content``; return the address of the symbol before it."""
    symbol, _, code = content.partition(b"\0")
    llvm = _llvm()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return cast("int", engine.get_function_address(symbol.decode()))


def _callable(address: int, examples: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the function at ``address``, whose arguments have the types of ``examples``."""
    code = CFUNCTYPE(c_int32, c_void_p, c_void_p, *_numbers(examples))(address)

    def call(*arguments: Any) -> int:
        result, error = c_int64(), c_void_p()
        status = code(byref(result), byref(error), *_flat(arguments))
        if status not in _DONE:
            raise RuntimeError(f"compiled code ended with status {status}")
        return result.value

    return call


def _kinds(values: tuple[Any, ...]) -> str | None:
    """Return a text with the types of ``values``; None if there is one that cannot be passed."""
    kinds = list(map(_kind, values))
    return f"({', '.join(map(str, kinds))})" if None not in kinds else None


def _kind(value: Any) -> str | None:
    if type(value) is np.ndarray:
        return f"{value.dtype!r} {value.ndim}" if value.flags.carray else None
    if isinstance(value, tuple):
        kinds = _kinds(value)
        return kinds and f"{type(value).__qualname__}{kinds}"
    return dtype.char if (dtype := _dtype(value)).char in _NUMBERS else None


def _dtype(value: Any) -> np.dtype[Any]:
    return np.dtype(type(value))


def _numbers(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the types in C of what `_flat` returns."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield from (c_void_p, c_void_p, c_int64, c_int64, c_void_p, *[c_int64] * 2 * value.ndim)
        elif isinstance(value, tuple):
            yield from _numbers(value)
        else:
            yield _NUMBERS[_dtype(value).char]


def _flat(values: Iterable[Any]) -> list[Any]:
    """Return ``values`` as compiled code takes them: tuples as their members, arrays as numbers."""
    flat: list[Any] = []
    for value in values:
        if isinstance(value, np.ndarray):
            # Its memory is its owner's: no counter, no owner, items, bytes of one, address.
            flat += (None, None, value.size, value.itemsize, value.ctypes.data)
            flat += value.shape
            flat += value.strides
        elif isinstance(value, tuple):
            flat += _flat(value)
        else:
            flat.append(value)
    return flat
