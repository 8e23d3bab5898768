"""Machine code of compiled functions on disk, which is verified before it is loaded.

numba's own cache unpickles any file: a damaged one makes every run fail, and one that somebody else
has written runs as code. Here a file begins with the SHA-256 of the rest, and is neither read nor
written in a folder that other users can write to. Functions without a usable file are compiled.

A file is named by the types of the arguments, the processor, the versions of Python and numba, and
the source of all compiled functions, since machine code includes that of the functions it calls.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import binding as llvm  # type: ignore[import-untyped]
from numba.core.caching import FunctionCache
from numba.core.runtime import _nrt_python  # type: ignore[attr-defined]
from platformdirs import user_cache_path

from plainspeech.files import replacing
from plainspeech.verified_files import only_ours

_njit: Any = numba.njit  # takes options that its annotations leave out
_FunctionCache: Any = FunctionCache  # has none

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent
_CHECKS = bool(getattr(numba.config, "BOUNDSCHECK", None))  # compiled into the code
_DIGEST = 32  # bytes of SHA-256
_COMPILED = ("alignment", "decoding/kernels", "g2p", "lm")  # folders with compiled functions


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile a function at its first call, and keep the machine code on disk.

    Args:
        options: of ``numba.njit``.
    """

    def compile_at_first_call(function: Function) -> Function:
        dispatcher = _njit(nogil=True, **options)(function)
        with suppress(RuntimeError):  # numba finds no folder that can be written
            dispatcher._cache = _VerifiedCache(function)
        return cast("Function", dispatcher)

    return compile_at_first_call


class _VerifiedCache(_FunctionCache):  # type: ignore[misc]
    """numba's cache of a function, with files that are verified."""

    _cache_path: str

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folder, locator = Path(self._cache_path), self._impl.locator
        with suppress(OSError):
            locator.ensure_cache_path()
        if not only_ours(folder):
            folder = user_cache_path("plainspeech", appauthor=False) / "machine-code"
            with suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        path = self._path(key)
        try:
            if not (only_ours(self._folder) and only_ours(path)):
                return None
            content = path.read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            return pickle.loads(content[_DIGEST:])  # noqa: S301  # written by this user, undamaged
        except Exception:  # whatever unpickling raises
            return None

    def save(self, key: object, data: object) -> None:
        """Save ``data`` for ``key``, whole or not at all; files of other sources are removed."""
        if not only_ours(self._folder):
            return
        for old in self._folder.glob(f"{self._base}.*"):
            if f".{_sources()}." not in old.name:
                with suppress(OSError):
                    old.unlink()
        content = pickle.dumps(data, protocol=pickle.HIGHEST_PROTOCOL)
        path = self._path(key)
        path.unlink(missing_ok=True)  # others may write to it, and a file that is replaced stays so
        with replacing(path) as temporary:
            temporary.chmod(0o600)
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def flush(self) -> None:
        """Remove all files of the function."""
        for path in self._folder.glob(f"{self._base}.*"):
            path.unlink(missing_ok=True)

    def _path(self, key: object) -> Path:
        # The text of a numba type has all that compiled code depends on.
        name = hashlib.sha256(repr((numba.__version__, _CHECKS, key)).encode()).hexdigest()[:32]
        return self._folder / f"{self._base}.{_sources()}.{name}.nbc"


@cache
def _sources() -> str:
    """Return a hash of the source of all functions that are compiled."""
    digest = hashlib.sha256()
    for folder in _COMPILED:
        for file in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
