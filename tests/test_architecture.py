"""Which part may import which, read from the source: the arrows run one way."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import plainspeech

SOURCE = Path(plainspeech.__file__).parent
BASE = {
    "alphabet",
    "foreign_characters",
    "object_stores",
    "pronunciations",
    "arrays",
    "artifact",
    "audio",
    "compiling",
    "cores",
    "errors",
    "features",
    "normalisation",
    "numbers",
    "files",
    "transcript",
    "verified_files",
    "writers",
}
TRANSCRIBES = BASE | {"decoding", "g2p", "lm", "pyctcdecode", "runtime", "serving"}
TRAINS = {
    "torch",
    "plainspeech.training",
    "plainspeech.tuning",
    "plainspeech.model",
    "plainspeech.data",
}

TOP = {"__init__", "__main__", "cli"}
"""What nothing else imports, and which may import everything."""

ALLOWED = {
    "alphabet": {"errors"},
    "foreign_characters": {"alphabet", "errors"},
    "object_stores": {"errors"},
    "pronunciations": {"errors"},
    "arrays": set(),
    "cores": set(),
    "artifact": {"errors", "files", "verified_files"},
    "audio": {"arrays", "errors"},
    "errors": set(),
    "features": {"arrays", "errors", "normalisation"},
    "normalisation": {"arrays"},
    "files": set(),
    "numbers": {"errors", "transcript"},
    "compiling": {"files", "verified_files"},
    "verified_files": set(),
    "transcript": set(),
    "writers": {"errors", "transcript"},
    "lm": BASE,
    # Letters and phones are n-grams, as words are.
    "g2p": BASE | {"lm"},
    "decoding": BASE | {"lm"},
    "pyctcdecode": BASE | {"decoding", "lm"},
    "runtime": BASE | {"decoding", "g2p", "lm"},
    "serving": BASE | {"decoding", "runtime"},
    # Its cutting into utterances writes manifests.
    "alignment": BASE | {"data", "decoding", "runtime"},
    "data": BASE,
    # Of data, it reads manifests.
    "bulk": BASE | {"data", "decoding", "lm", "runtime"},
    "model": BASE,
    # Evaluation reads manifests and runs a recognizer.
    "evaluation": BASE | {"data", "decoding", "runtime"},
    # Figures draw what a recognizer, its search and an evaluation give.
    "figures": BASE | {"decoding", "evaluation", "runtime"},
    "report": BASE | {"evaluation", "figures", "runtime"},
    # Tuning decodes the outputs of a recognizer and measures with what evaluation does.
    "tuning": BASE | {"data", "decoding", "evaluation", "lm", "runtime"},
    # Training validates greedily by the error rates of evaluation, and ends with a bundle; that of
    # a language model ends with what a scorer holds.
    "training": BASE
    | {"data", "decoding", "evaluation", "figures", "g2p", "lm", "model", "runtime"},
}
"""What each part may import of the others; ``cli`` is below, for it imports within functions."""


@dataclass(frozen=True)
class Import:
    """One import statement.

    Attributes:
        name: the module, in full.
        lazy: whether it stands within a function, or is for the type checker alone.
        typing: whether it is for the type checker alone.
    """

    name: str
    lazy: bool
    typing: bool


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(SOURCE.rglob("*.py"))}
# It imports lazily, by a table; the stub says what.
MODULES["plainspeech"] = SOURCE / "__init__.pyi"


@cache
def imports_of(module: str) -> frozenset[Import]:
    tree = ast.parse(MODULES[module].read_text())
    return frozenset(_imports(tree, lazy=False, typing=False))


def _imports(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
    lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    typing = typing or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, lazy, typing) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield Import(inner if inner in MODULES else node.module, lazy, typing)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, lazy, typing)


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def reached_from(module: str) -> set[str]:
    """Return every module that using ``module`` may import, also from within functions."""
    seen, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [i.name for i in imports_of(name) if not i.typing] if name in MODULES else []
    return seen


def test_the_reader_of_imports_reads_imports() -> None:
    assert Import("plainspeech.decoding.greedy", False, False) in imports_of(
        "plainspeech.runtime.decoders"
    )
    assert Import("onnxruntime", True, False) in imports_of("plainspeech.runtime.network")
    assert Import("onnxruntime", False, True) in imports_of("plainspeech.runtime.network")
    assert "torch" in reached_from("plainspeech.cli.train")
    assert "plainspeech.audio" in reached_from("plainspeech.runtime.recognizer")


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) not in TOP])
def test_parts_import_what_lies_below_them(module: str) -> None:
    part = part_of(module)
    found = {part_of(i.name) for i in imports_of(module) if within(i.name, {"plainspeech"})}
    assert found <= ALLOWED[part] | {part}


def test_the_arrows_run_one_way() -> None:
    done: set[str] = set()
    while ready := {part for part, below in ALLOWED.items() if below <= done} - done:
        done |= ready
    assert done == ALLOWED.keys()


PACKAGES = sorted({module.rpartition(".")[0] for module in MODULES} - {""})


@pytest.mark.parametrize("package", PACKAGES)
def test_the_modules_of_a_package_import_in_no_circle(package: str) -> None:
    """A package within it counts as one module; imports for the type checker count too."""
    depth = package.count(".") + 2
    below: dict[str, set[str]] = {}
    for module in MODULES:
        if within(module, {package}) and module != package:
            names = {i.name for i in imports_of(module) if i.name.startswith(f"{package}.")}
            child = ".".join(module.split(".")[:depth])
            found = {".".join(name.split(".")[:depth]) for name in names}
            below[child] = below.get(child, set()) | found - {child}
    TopologicalSorter(below).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    "module",
    ["plainspeech", "plainspeech.cli.transcribe"]
    + [m for m in MODULES if part_of(m) in TRANSCRIBES],
)
def test_nothing_that_transcribes_imports_what_trains(module: str) -> None:
    assert [name for name in sorted(reached_from(module)) if within(name, TRAINS)] == []


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if part_of(m) in ("data", "evaluation", "figures", "report", "tuning")],
)
def test_what_measures_and_draws_needs_no_torch(module: str) -> None:
    assert not within("torch", reached_from(module))


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) == "cli"])
def test_the_command_line_imports_within_functions(module: str) -> None:
    at_once = {i.name for i in imports_of(module) if not i.lazy and not i.typing}
    allowed = {"typer", "rich", "plainspeech.errors", "plainspeech.cli"} | sys.stdlib_module_names
    assert [name for name in sorted(at_once) if not within(name, allowed)] == []


@pytest.mark.parametrize(
    "code", ["import plainspeech; plainspeech.load_model", "import plainspeech.cli"]
)
def test_torch_stays_out_of_memory(code: str) -> None:
    heavy = "torch", "onnx", "onnxruntime", "matplotlib", "jiwer", "lhotse", "optuna"
    command = f"{code}; import sys; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"
