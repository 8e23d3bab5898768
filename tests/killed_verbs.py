"""Kills a verb with SIGKILL at its file-system events, each in turn, and looks at what is left.

    python killed_verbs.py VERB FOLDER [MOST]

Whatever the moment, every file of its output is the one from before or the one that an
undisturbed run makes, whole; and the same command again ends well, and leaves what an undisturbed
run leaves, nothing more. MOST bounds how many of the events are tried, evenly spread; the number of
events and of kills is printed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "samples").glob("*.flac"))
TEMPORARY = re.compile(r"\.(?:.+\.)?[0-9a-f]{8}\.partial(?:\.[^.]+)?")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link"}
CHANGES |= {"os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile", "tempfile.mkstemp"}


@dataclass(frozen=True)
class Verb:
    """A verb that writes files.

    Attributes:
        arguments: in the folder with the files that ``prepare`` makes.
        prepare: makes them.
        loads: takes the folder, and fails where an output is there that cannot be used. Only
            outputs that differ from run to run are not compared byte by byte.
        differs: what their paths match.
        modules: that the verb imports; here once, and not in every run.
    """

    arguments: list[str]
    prepare: Callable[[Path], object]
    loads: Callable[[Path], object] = lambda folder: None
    differs: str = r"(?!)"
    modules: Sequence[str] = field(default=("plainspeech.runtime.recognizer",))


def write_manifest(folder: Path) -> None:
    lines = (ROOT / "samples" / "manifest.jsonl").read_text().splitlines()[:2]
    for line in map(json.loads, lines):
        shutil.copy(ROOT / "samples" / line["audio"], folder)
    (folder / "dev.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "words.txt").write_text("the cat sat on the mat and the dog sat there\n" * 20)


def loads_rows(folder: Path) -> None:
    """Load what `transcribe-many` has written; no id is there twice."""
    lines = [line for part in folder.glob("out/jsonl/*") for line in part.read_text().splitlines()]
    ids = [json.loads(line)["id"] for line in lines]
    assert len(set(ids)) == len(ids), ids


def write_model(folder: Path) -> None:
    from plainspeech.runtime.bundle import bundled_model_path

    write_manifest(folder)
    shutil.copytree(bundled_model_path(), folder / "model")


def write_results(folder: Path) -> None:
    write_model(folder)
    arguments = ["evaluate", "model", "dev.jsonl", "--decoder", "greedy", "--json", "r.json"]
    run_verb(arguments, folder)


def write_scorer(folder: Path) -> None:
    write_manifest(folder)
    run_verb(
        ["lm", "build", "words.txt", "-o", "scorer", "--order", "2", "--arpa", "m.arpa"], folder
    )
    run_verb(["lm", "build", "words.txt", "-o", "scorer", "--order", "3"], folder)


def write_corpus(folder: Path) -> None:
    import tiny

    from plainspeech.model.presets import PRESETS

    PRESETS["tiny"] = tiny.PRESET
    tiny.write_corpus(folder, tiny.TEXTS[:4])
    recipe = tiny.write_recipe(folder, epochs="1")
    recipe.write_text(recipe.read_text() + '\n[card]\nlicence = "CC0"\ndata = "tones"\n')


def write_run(folder: Path) -> None:
    write_corpus(folder)
    run_verb(["train", "recipe.toml", "-o", "run", "--device", "cpu"], folder)
    run_verb(["export", "run/best.safetensors", "bundle"], folder)


def write_archive(folder: Path) -> None:
    """Serve a corpus of two recordings in place of Mini LibriSpeech's."""
    from plainspeech.data import download

    served = folder.parent / f"{folder.name}-www"
    chapter = served / "LibriSpeech" / "dev-clean-2" / "19" / "198"
    chapter.mkdir(parents=True)
    for place, sample in enumerate(SAMPLES[:2]):
        shutil.copy(sample, chapter / f"19-198-000{place}.flac")
    (chapter / "19-198.trans.txt").write_text("19-198-0000 A\n19-198-0001 B\n")
    (served / "LibriSpeech" / "SPEAKERS.TXT").write_text("19 | F\n")
    archive = served / "31" / "dev-clean-2.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(served / "LibriSpeech", "LibriSpeech")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    download.SUBSETS["dev-clean-2"] = download.Archive(31, md5)
    handler = functools.partial(_Quiet, directory=str(served))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    VERBS["data download"].arguments[2:2] = ["--mirror", address]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def loads_bundle(name: str) -> Callable[[Path], object]:
    def load(folder: Path) -> None:
        from plainspeech.runtime.recognizer import load_model

        if (folder / name).exists():
            load_model(folder / name, decoder="greedy")

    return load


def loads_run(folder: Path) -> None:
    from plainspeech.training.checkpoint import Checkpoint

    for name in ("checkpoint.safetensors", "best.safetensors"):
        if (folder / "run" / name).exists():
            Checkpoint.load(folder / "run" / name)
    loads_bundle("run/bundle")(folder)


def loads_language_model(folder: Path) -> None:
    from safetensors import safe_open

    for path in folder.glob("trained.training/checkpoint.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert file.metadata()


TRAINING = ("plainspeech.training.session", "plainspeech.training.export", "plainspeech.cli.train")
VERBS = {
    "transcribe": Verb(
        [
            *["transcribe", *(s.name for s in SAMPLES[:2]), "--decoder", "greedy"],
            *["--output", "out", "--format", "json,srt"],
        ],
        lambda folder: [shutil.copy(sample, folder) for sample in SAMPLES[:2]],
        differs=r"out/.*\.json",
    ),
    "transcribe-many": Verb(
        [
            *["transcribe-many", "dev.jsonl", "-o", "out"],
            *["--decoder", "greedy", "--workers", "1"],
        ],
        write_manifest,
        loads_rows,
        modules=("plainspeech.bulk.output", "plainspeech.bulk.transcription", "pyarrow.parquet"),
    ),
    "data prepare": Verb(
        ["data", "prepare", "dev.jsonl", "-o", "dev.jsonl"], write_manifest, modules=()
    ),
    "data label": Verb(
        [
            "data",
            "label",
            *(s.name for s in SAMPLES[:2]),
            "-o",
            "l.jsonl",
            "--least-agreement",
            "0",
        ],
        lambda folder: [shutil.copy(sample, folder) for sample in SAMPLES[:2]],
    ),
    "data download": Verb(
        ["data", "download", "dev-clean-2", "corpus"],
        write_archive,
        differs=r"corpus/(.*\.part|\.dev-clean-2\.extracting/.*)",  # resumed, and removed then
    ),
    "lm build": Verb(
        ["lm", "build", "words.txt", "-o", "scorer", "--order", "2", "--arpa", "m.arpa"],
        write_scorer,
        modules=("plainspeech.lm.build", "plainspeech.lm.scorer"),
    ),
    "lm package": Verb(
        ["lm", "package", "m.arpa", "-o", "scorer"],
        write_scorer,
        modules=("plainspeech.lm.scorer",),
    ),
    "lm train": Verb(
        [
            *["lm", "train", "scorer", "words.txt", "-o", "trained", "--width", "4"],
            *["--hidden", "4", "--epochs", "2", "--threads", "1"],
        ],
        write_scorer,
        loads_language_model,
        differs=r"trained\.training/.*",  # resumed, and removed then
        modules=("plainspeech.lm.scorer", "plainspeech.training.language_model_loop"),
    ),
    "evaluate": Verb(
        [
            *["evaluate", "bundled", "dev.jsonl", "--decoder", "greedy"],
            *["--json", "r.json", "--sclite", "sclite"],
        ],
        write_manifest,
        lambda folder: [json.loads(path.read_text()) for path in folder.glob("r.json")],
        differs=r"r\.json",
        modules=("plainspeech.runtime.recognizer", "plainspeech.evaluation.report"),
    ),
    "tune": Verb(
        ["tune", "model", "dev.jsonl", "--trials", "2", "--beam-width", "4", "--cache", "cache"],
        write_model,
        loads_bundle("model"),
        differs=r"model/.*|cache/.*",
        modules=("plainspeech.runtime.recognizer", "plainspeech.tuning.tuner"),
    ),
    "train": Verb(
        ["train", "recipe.toml", "-o", "run", "--device", "cpu"],
        write_corpus,
        loads_run,
        differs=r"run/.*",
        modules=TRAINING,
    ),
    "export": Verb(
        ["export", "run/best.safetensors", "bundle"],
        write_run,
        loads_bundle("bundle"),
        differs=r"bundle/.*",
        modules=TRAINING,
    ),
    "model combine": Verb(
        ["model", "combine", "run/best.safetensors", "run/checkpoint.safetensors", "-o", "c.st"],
        write_run,
        modules=TRAINING,
    ),
    "model record": Verb(
        ["model", "record", "model", "r.json", "--data", "two clips"],
        write_results,
        loads_bundle("model"),
        differs=r"model/.*",
    ),
    "data to-lhotse": Verb(
        ["data", "to-lhotse", "dev.jsonl", "cuts.jsonl"], write_manifest, modules=("lhotse",)
    ),
    "data pack": Verb(
        ["data", "pack", "dev.jsonl", "-o", "packed", "--shard-size", "1"],
        write_manifest,
        modules=("plainspeech.data.packed",),
    ),
}


def run_verb(arguments: Sequence[str], folder: Path) -> None:
    """Run a verb in this process; SystemExit unless it ends well."""
    from plainspeech import cli

    os.chdir(folder)
    sys.argv = ["plainspeech", *arguments]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as end:
        if end.code:
            sys.__stderr__.write(said.getvalue())  # type: ignore[union-attr]
            raise


def run_in_child(verb: Verb, folder: Path, kill_at: int = 0) -> tuple[int, int]:
    """Return the status and the events of a run in a child that dies at one of them."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            count = count_events(folder, kill_at)
            run_verb(verb.arguments, folder)
            os.write(writing, str(count[0]).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    os.close(writing)
    status = os.waitpid(child, 0)[1]
    told = os.read(reading, 20)
    os.close(reading)
    return status, int(told or 0)


def count_events(folder: Path, kill_at: int) -> list[int]:
    """Count the changes within ``folder`` from now on; die before the one that is ``kill_at``."""
    count, start, main = [0], str(folder), threading.main_thread()

    def within(value: Any) -> bool:
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        return isinstance(value, str | Path) and os.path.abspath(value).startswith(start)  # noqa: PTH100

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            counts = (
                isinstance(arguments[2], int) and arguments[2] & WRITES and within(arguments[0])
            )
        else:
            counts = event == "fcntl.flock" or (event in CHANGES and any(map(within, arguments)))
        if counts and (threading.current_thread() is main or kill_at == 0):
            count[0] += 1
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def content(folder: Path) -> dict[str, bytes]:
    """Return the files in ``folder`` that are not temporary, by their paths."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder): path for path in files}
    return {
        str(name): path.read_bytes()
        for name, path in found.items()
        if not any(TEMPORARY.fullmatch(part) for part in name.parts)
    }


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]


def main(name: str, folder: Path, most: int) -> None:
    """Kill the verb ``name``, again and again."""
    verb, start, work = VERBS[name], folder / "start", folder / "work"
    for module in verb.modules:
        importlib.import_module(module)
    start.mkdir(parents=True)
    verb.prepare(start)
    before = content(start)

    def begin() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(start, work)

    begin()
    status, events = run_in_child(verb, work)
    assert status == 0, f"{name} failed without a kill"
    after = content(work)
    assert not leftovers(work), leftovers(work)
    kills = sorted({1 + round(n * (events - 1) / max(1, most - 1)) for n in range(most)})
    if most >= events:
        kills = list(range(1, events + 1))
    for number in kills:
        begin()
        status, _ = run_in_child(verb, work, number)
        assert os.WIFSIGNALED(status) or status == 0, f"{name}, event {number}: failed"
        for path, found in content(work).items():
            if not re.fullmatch(verb.differs, path):
                assert found in (before.get(path), after.get(path)), f"{path}, event {number}"
        missing = set(before) - set(content(work))
        assert not missing, f"{missing} lost at event {number}"
        verb.loads(work)
        status, _ = run_in_child(verb, work)
        assert status == 0, f"{name} fails after a kill at event {number}"
        ended = content(work)
        different = set(ended) ^ set(after)
        assert not {p for p in different if not re.search(r"events\.out", p)}, (number, different)
        for path, found in ended.items():
            if not re.fullmatch(verb.differs, path):
                assert found == after[path], f"{path} after event {number}"
        assert not leftovers(work), (number, leftovers(work))
        verb.loads(work)
    print(f"{name}: {events} events, {len(kills)} kills")  # noqa: T201


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "training"))
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000)
