"""``scripts/fuzz``: runs campaigns, remembers them, and shows a table of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from campaign import Tally, run
from entries import ENTRIES
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

_SLICE_SECONDS = 30.0  # of an entry, before it is the next one's turn
_COLUMNS = ("cases", "crashes", "hangs", "unexpected errors", "peak memory, MiB")

console = Console()


class State:
    """What has been counted so far.

    Args:
        path: where it is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all = json.loads(path.read_text()) if path.exists() else {}

    def tally(self, entry: str) -> Tally:
        """Return what the cases of an entry came to."""
        known = self._all.get(entry)
        return Tally.from_json(known["tally"]) if known else Tally()

    def next_seed(self, entry: str) -> int:
        """Return the seed of the first case that was not run yet."""
        return int(self._all.get(entry, {"next": 0})["next"])

    def add(self, entry: str, tally: Tally, following: int) -> None:
        """Add cases, and write all down."""
        total = self.tally(entry)
        total.add(tally)
        self._all[entry] = {"next": following, "tally": total.as_json()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._all, indent=1))


def fuzz(
    minutes: Annotated[float, typer.Option(help="How long to run.")] = 0.0,
    entry: Annotated[
        list[str] | None,
        typer.Option(help=f"Way in; can be repeated. One of {', '.join(ENTRIES)}."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first case; counts nothing.")] = None,
    cases: Annotated[int, typer.Option(help="Cases of each entry, instead of a time.")] = 0,
    state: Annotated[Path, typer.Option(help="Where counts are kept.")] = Path("build/fuzz.json"),
) -> None:
    """Feed mutated input to every way into the package."""
    names = entry or list(ENTRIES)
    if unknown := set(names) - set(ENTRIES):
        raise typer.BadParameter(f"{sorted(unknown)}: there are {', '.join(ENTRIES)}")
    if seed is not None:
        tallies = {name: run(name, seed, cases or 1) for name in names}
    else:
        kept = State(state)
        _run_all(kept, names, minutes, cases)
        tallies = {name: kept.tally(name) for name in ENTRIES if kept.tally(name).cases}
    _show(tallies)
    raise typer.Exit(any(tally.findings for tally in tallies.values()))


def _run_all(kept: State, names: list[str], minutes: float, cases: int) -> None:
    end = time.monotonic() + 60 * minutes
    ran = 0
    names = list(names)
    with Progress(console=console) as progress:
        total = 60 * minutes if not cases else cases * len(names)
        task = progress.add_task("", total=total or None)
        while names:
            for name in list(names):
                seconds = 1e9 if cases else min(_SLICE_SECONDS, end - time.monotonic())
                if seconds <= 0:
                    return
                first = kept.next_seed(name)
                progress.update(task, description=f"{name}, from {first:,}")
                tally = run(name, first, cases or 10**9, seconds)
                kept.add(name, tally, first + tally.cases)
                ran += tally.cases
                done = ran if cases else 60 * minutes - (end - time.monotonic())
                progress.update(task, completed=done)
                for finding in tally.findings:
                    console.print(
                        f"{name}, seed {finding.seed}: {finding.kind}\n{finding.text}", markup=False
                    )
                if cases:
                    names.remove(name)


def _show(tallies: dict[str, Tally]) -> None:
    table = Table("entry", *_COLUMNS)
    for name, tally in tallies.items():
        table.add_row(name, *map(str, _numbers(tally)))
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    table.add_row("all", *map(str, _numbers(whole)), style="bold")
    console.print(table)


def _numbers(tally: Tally) -> list[int]:
    kinds = [tally.count(kind) for kind in ("crash", "hang", "error")]
    return [tally.cases, *kinds, tally.peak // 1024]


def main() -> None:
    """Run the command."""
    typer.run(fuzz)
