"""Machine code on disk, which is verified before it is used.

Machine code from anybody else could do anything, and damaged code crashes. So a file begins with
the SHA-256 of the rest, and is neither read nor written in a folder that other users can write to.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from plainspeech.files import replacing
from plainspeech.verified_files import only_ours

COMPILED = ("alignment", "decoding/kernels", "g2p", "lm")
"""Folders with compiled functions, within the package."""

_PACKAGE = Path(__file__).parents[1]
_DIGEST = 32  # bytes of SHA-256


def read_code(path: Path) -> bytes | None:
    """Return what was written to ``path``; None where it is missing, damaged or not ours."""
    try:
        if not (only_ours(path.parent) and only_ours(path)):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def write_code(path: Path, code: bytes) -> bool:
    """Write ``code`` whole or not at all; return whether that was possible.

    Its name is a base, `sources` and more, parted by dots; files of the same base and other sources
    are removed.
    """
    folder = path.parent
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not only_ours(folder):
        return False
    base = path.name.split(f".{sources()}.")[0]
    try:
        for old in folder.glob(f"{base}.*"):
            if f".{sources()}." not in old.name:
                old.unlink(missing_ok=True)
        path.unlink(missing_ok=True)  # others may write to it, and one that is replaced stays so
        with replacing(path) as temporary:
            temporary.chmod(0o600)
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
    except OSError:  # a full disk, say: the next run compiles again
        return False
    return True


def private_folder() -> Path:
    """Return the folder for machine code in the user's cache."""
    return user_cache_path("plainspeech", appauthor=False) / "machine-code"


@cache
def sources() -> str:
    """Return a hash of the source of all functions that are compiled.

    Machine code includes that of the functions it calls.
    """
    digest = hashlib.sha256()
    for folder in COMPILED:
        for file in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
