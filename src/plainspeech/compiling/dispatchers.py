"""numba's dispatchers, whose machine code is kept on disk and verified before it is loaded.

numba's own cache unpickles any file: a damaged one makes every run fail, and one that somebody else
has written runs as code. Here files are those of `plainspeech.compiling.kept_code`. Functions
without a usable one are compiled.

A file is named by the types of the arguments, the processor, the versions of Python and numba, and
the source of all compiled functions, since machine code includes that of the functions it calls.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from ctypes import CDLL
from functools import cache
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
from llvmlite import binding as llvm  # type: ignore[import-untyped]
from numba import types
from numba.core.caching import FunctionCache
from numba.core.runtime import _nrt_python  # type: ignore[attr-defined]

from plainspeech.compiling.kept_code import private_folder, read_code, sources, write_code
from plainspeech.verified_files import only_ours

_njit: Any = numba.njit  # takes options that its annotations leave out
_jit: Any = numba.jit  # likewise
_FunctionCache: Any = FunctionCache  # has none

_typeof: Any = numba.typeof  # likewise
_tuple_type: Any = types.BaseTuple.from_types  # likewise

_CHECKS = bool(getattr(numba.config, "BOUNDSCHECK", None))  # compiled into the code


def new_dispatcher(function: Callable[..., Any], options: dict[str, Any], kept: bool) -> Any:
    """Return numba's dispatcher of a function, which compiles it for the types of its arguments.

    Args:
        function: in Python.
        options: of ``numba.njit``.
        kept: keep its machine code on disk.
    """
    dispatcher = _njit(**options)(function)
    if kept:
        with suppress(RuntimeError):  # numba finds no folder that can be written
            dispatcher._cache = _VerifiedCache(function)
    return dispatcher


def type_of(example: Any) -> Any:
    """Return what `numba.typeof` does, which imports `numpy.ma` to tell masked arrays apart."""
    if type(example) is np.ndarray and example.flags.carray:
        return types.Array(numba.from_dtype(example.dtype), example.ndim, "C")
    if isinstance(example, tuple):
        return _tuple_type(tuple(map(type_of, example)), type(example))
    return _typeof(example)


def entry_point(dispatcher: Any, examples: tuple[Any, ...]) -> Callable[..., Any]:
    """Return a function of a dispatcher, compiled for arguments of these types.

    To find the machine code by the types of the arguments takes longer than a short utterance.
    """
    signature = tuple(map(type_of, examples))
    dispatcher.compile(signature)
    return cast("Callable[..., Any]", dispatcher.get_overload(signature))


def object_code(dispatcher: Any, examples: tuple[Any, ...]) -> tuple[str, bytes] | None:
    """Return the symbol and the object file of such a function.

    None where it returns anything but nothing or an integer, or calls what is not in the object
    file, nor in the libraries of C that every program has.
    """
    options = {**dispatcher.targetoptions, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    bare = _jit(**options)(dispatcher.py_func)
    bare.compile(tuple(map(type_of, examples)))
    (made,) = bare.overloads.values()
    every_program = CDLL(None)
    called = (each.name for each in made.library._final_module.functions if each.is_declaration)
    foreign = [
        name for name in called if not (name.startswith("llvm.") or hasattr(every_program, name))
    ]
    if foreign or made.signature.return_type not in (types.none, types.int64):
        return None
    return made.fndesc.llvm_func_name, made.library._get_compiled_object()


class _VerifiedCache(_FunctionCache):  # type: ignore[misc]
    """numba's cache of a function, with files that are verified."""

    _cache_path: str

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folder, locator = Path(self._cache_path), self._impl.locator
        with suppress(OSError):
            locator.ensure_cache_path()
        if not only_ours(folder):
            folder = private_folder()
        self._cache_path = str(folder)
        self._cache_file = _VerifiedFiles(folder, self._impl.filename_base)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the machine code for ``signature``; None where it has to be compiled.

        numba's own would load all that its compiler knows first, which takes a quarter of a second,
        and compile its runtime, a fiftieth. Machine code has what it needs of that within it, but
        for functions in C; the compiler loads the rest for itself.
        """
        _name_runtime()
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target)

    def _save_overload(self, signature: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk, say: the next run compiles again
            super()._save_overload(signature, data)


@cache
def _name_runtime() -> None:
    """Tell the linker where the functions in C of numba's runtime are, by the names in its code."""
    for name, address in _nrt_python.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


class _VerifiedFiles:
    """Files of the overloads of one function; in place of numba's ``IndexDataCacheFile``.

    Args:
        folder: where they lie.
        base: how their names begin: function, line and version of Python.
    """

    def __init__(self, folder: Path, base: str) -> None:
        self._folder = folder
        self._base = base

    def load(self, key: object) -> Any:
        """Return what was saved for ``key``; None where it is missing, damaged or not ours."""
        content = read_code(self._path(key))
        if content is None:
            return None
        try:
            return pickle.loads(content)  # noqa: S301  # written by this user, undamaged
        except Exception:  # whatever unpickling raises
            return None

    def save(self, key: object, data: object) -> None:
        """Save ``data`` for ``key``, whole or not at all; files of other sources are removed."""
        write_code(self._path(key), pickle.dumps(data, protocol=pickle.HIGHEST_PROTOCOL))

    def flush(self) -> None:
        """Remove all files of the function."""
        for path in self._folder.glob(f"{self._base}.*"):
            path.unlink(missing_ok=True)

    def _path(self, key: object) -> Path:
        # The text of a numba type has all that compiled code depends on.
        name = hashlib.sha256(repr((numba.__version__, _CHECKS, key)).encode()).hexdigest()[:32]
        return self._folder / f"{self._base}.{sources()}.{name}.nbc"
