"""How long a beam search takes until it can decode, with a language model of some size.

Every system starts in a process of its own, on the same core and in turn, from the import of its
package to a decoder that is ready. Ours is measured with an empty cache, when it flattens the model
and keeps the tables, and with what it kept. Peers load an ARPA file, and the same as a binary of
KenLM, which its `build_binary` makes if it is on the PATH and none is given. Time is that of the
processor, children included, which other programs on the core disturb least.

    python -m benchmarks.decoder.loading SCORER --peer flashlight-text=PYTHON
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.processes import FIRST_CORE, Child, machine
from plainspeech.lm.arpa import write_arpa
from plainspeech.lm.package import levels_of, read_scorer_files

SYSTEMS = "benchmarks.decoder.systems"


def main(
    scorer: Annotated[Path, typer.Argument(help="The language model, a packaged scorer.")],
    binary: Annotated[
        Path | None, typer.Option(help="The same as KenLM's binary; made if not given.")
    ] = None,
    peer: Annotated[list[str], typer.Option(help="NAME=PYTHON of what has it.")] = [],  # noqa: B006
    rounds: Annotated[int, typer.Option(help="How often each is started.")] = 5,
    core: Annotated[int, typer.Option(help="That all share.")] = FIRST_CORE,
) -> None:
    """Print processor time and memory of loading."""
    peers = dict(name.split("=", 1) for name in peer)
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arpa = folder / "text" / "model.arpa"
        arpa.parent.mkdir()
        shutil.copytree(scorer, arpa.with_suffix(""))
        write_arpa(arpa, *levels_of(scorer, read_scorer_files(scorer)))
        models = {"ARPA": arpa}
        if made := _with_binary(arpa, binary):
            models["KenLM's binary"] = made
        for turn in track(range(rounds + 1), "loading"):
            for when in ("empty cache", "kept tables"):
                cache = folder / "cache"
                if when == "empty cache":
                    shutil.rmtree(cache, ignore_errors=True)
                answers = {f"plainspeech, {when}": ("plainspeech", sys.executable, arpa, cache)}
                _start(answers, core, found, turn > 0)
            others = {
                f"{system}, {kind}": (system, python, model, folder)
                for system, python in {"plainspeech-kenlm": sys.executable, **peers}.items()
                for kind, model in models.items()
            }
            _start(others, core, found, turn > 0)
    _print(found)


def _with_binary(arpa: Path, binary: Path | None) -> Path | None:
    """Copy ``arpa`` and what lies beside it, and add KenLM's binary; None if there is none."""
    program = shutil.which("build_binary")
    if not (binary or program):
        print("no KenLM binary: build_binary is not on the PATH; scripts/install_lmplz builds it")
        return None
    copy = Path(shutil.copytree(arpa.parent, arpa.parent.with_name("binary"))) / arpa.name
    if binary:
        shutil.copy(binary, copy.with_suffix(".binary"))
    elif program:
        subprocess.run([program, copy, copy.with_suffix(".binary")], check=True)
    return copy


def _start(
    systems: dict[str, tuple[str, str, Path, Path]],
    core: int,
    found: dict[str, list[dict[str, Any]]],
    counts: bool,
) -> None:
    """Start each of ``systems``: its name, interpreter, model and the folder for its cache."""
    for label, (system, python, model, cache) in systems.items():
        os.environ["XDG_CACHE_HOME"] = str(cache)
        child = Child(python, SYSTEMS, [system, str(model)], [core], label)
        child.close()
        if counts:
            found.setdefault(label, []).append(child.greeting)


def _print(found: dict[str, list[dict[str, Any]]]) -> None:
    table = Table("system", "processor s", "by the wall s", "MiB", title=machine())
    for label, answers in found.items():
        table.add_row(
            label,
            *(
                f"{statistics.median(answer[part] for answer in answers):.{digits}f}"
                for part, digits in (("processor", 2), ("load", 2), ("megabytes", 0))
            ),
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
