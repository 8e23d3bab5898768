"""What it takes to estimate an n-gram model: the builtin estimator beside KenLM's lmplz.

Both make the same model of the first sentences of a text, each in a process of its own on the same
core, in turn: from the text file, normalised, to the model in memory. lmplz by itself reads the
same sentences and writes its ARPA file nowhere. Told are the processor time, children included,
and the most memory that the process had, or the program that it started.

    python -m benchmarks.language_models.estimators books.txt --words 300000 --words 3000000
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.processes import FIRST_CORE, machine, peak_bytes, pinned
from plainspeech.lm.build import BuildSettings, build_model, find_lmplz

ORDER, PRUNE = 4, (0, 0, 1)
ALONE = "lmplz alone"

Cost = tuple[float, float]
"""Processor seconds, and MiB."""


def main(
    text: Annotated[Path, typer.Argument(help="A sentence a line, not compressed.")],
    words: Annotated[list[int], typer.Option(help="Of the text, about.")] = [300_000, 3_000_000],  # noqa: B006
    rounds: Annotated[int, typer.Option(help="How often each estimates, in turn.")] = 3,
    core: Annotated[int, typer.Option(help="That all share.")] = FIRST_CORE,
) -> None:
    """Estimate, and print the table."""
    systems = ["builtin", *(["lmplz", ALONE] if find_lmplz() else [])]
    heads = [f"{system}, {unit}" for system in systems for unit in ("s", "MiB")]
    table = Table("words", *heads, title=f"{machine()}, one of them")
    with tempfile.TemporaryDirectory() as folder, pinned([core]):
        part = Path(folder) / "part.txt"
        for size in words:
            taken = write_first(text, part, size)
            found: dict[str, list[Cost]] = {system: [] for system in systems}
            for _ in track(range(rounds), f"{taken:,} words"):
                for system, costs in found.items():
                    costs.append(cost(system, part))
            medians = [map(statistics.median, zip(*costs, strict=True)) for costs in found.values()]
            cells = [f"{s:.2f} {mib:.0f}".split() for s, mib in medians]
            table.add_row(f"{taken:,}", *(cell for pair in cells for cell in pair))
    Console(width=110).print(table)
    if not find_lmplz():
        print("lmplz is not on the PATH, so it was left out; scripts/install_lmplz builds it")


def write_first(text: Path, part: Path, words: int) -> int:
    """Write the first sentences of ``text`` with at most ``words`` words; return how many words."""
    with text.open(encoding="utf-8") as lines, part.open("w", encoding="utf-8") as output:
        taken = 0
        for line in lines:
            count = len(line.split())
            if taken + count > words:
                break
            output.write(line)
            taken += count
    return taken


def cost(system: str, text: Path) -> Cost:
    """Return what it costs ``system`` to estimate a model of ``text``, in a new process."""
    # Spawned, not forked: peak memory must not start from this process's.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(alone if system == ALONE else built, system, text).result()


def built(estimator: str, text: Path) -> Cost:
    """Estimate a model with the package."""
    before = sum(os.times()[:4])
    build_model([text], BuildSettings(order=ORDER, prune=PRUNE, estimator=estimator))
    return sum(os.times()[:4]) - before, max(peak_bytes() / 2**20, _child_mebibytes())


def alone(_: str, text: Path) -> Cost:
    """Run lmplz, with the settings that the package gives it."""
    program = find_lmplz()
    assert program
    command = [program, "--order", str(ORDER), "--prune", *map(str, PRUNE), "--discount_fallback"]
    before = sum(os.times()[:4])
    with tempfile.TemporaryDirectory() as folder, text.open("rb") as lines:
        files = ["--memory", "1G", "--temp_prefix", f"{folder}/", "--arpa", os.devnull]
        subprocess.run([*command, *files], stdin=lines, stderr=subprocess.DEVNULL, check=True)
    return sum(os.times()[:4]) - before, _child_mebibytes()


def _child_mebibytes() -> float:
    """Return the most memory that a program had which this process started."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
