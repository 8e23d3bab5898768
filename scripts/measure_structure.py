"""Measure the source: files, functions, import cycles, names used twice, and the import time.

    python scripts/measure_structure.py [FOLDER]

FOLDER is the package's, ``src/plainspeech`` where none is given. Sizes are in lines. A cycle is a
set of modules that all import one another, also where that is for the type checker alone; imports
within functions do not count. A name counts as duplicated where two modules define a public class
or function (at the top level) or two files have it.
"""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def main() -> None:
    """Print the measures, one a line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "src/plainspeech").resolve()
    files = sorted(folder.rglob("*.py"))
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in files]
    functions = sorted(size for tree in trees.values() for size in function_sizes(tree))
    own = [name for tree in trees.values() for name in public_names(tree, FUNCTIONS)]
    classes = [name for tree in trees.values() for name in public_names(tree, (ast.ClassDef,))]
    names = [file.name for file in files if file.name != "__init__.py"]
    measures = {
        "source files": len(files),
        "lines": sum(lines),
        "median lines of a file": statistics.median(lines),
        "lines of the largest file": max(lines),
        "functions": len(functions),
        "median lines of a function": statistics.median(functions),
        "90th percentile": functions[int(0.9 * len(functions))],
        "import cycles": cycles(folder, trees),
        "duplicated class names": duplicates(classes),
        "duplicated function names": duplicates(own),
        "duplicated file names": duplicates(names),
        "import, s of processor time": f"{import_seconds(folder):.3f}",
    }
    for name, value in measures.items():
        print(f"{name}: {value}")


def function_sizes(tree: ast.Module) -> Iterator[int]:
    """Yield the lines of each function, decorators and docstring included."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield (node.end_lineno or node.lineno) - first + 1


def public_names(tree: ast.Module, kinds: tuple[type[ast.stmt], ...]) -> Iterator[str]:
    """Yield the public names of ``kinds`` that a module defines."""
    for node in tree.body:
        if isinstance(node, kinds) and not getattr(node, "name", "_").startswith("_"):
            yield node.name  # type: ignore[attr-defined]


def duplicates(names: list[str]) -> str:
    """Return how many of ``names`` there are more than once, and which."""
    found = sorted(name for name, count in Counter(names).items() if count > 1)
    return f"{len(found)} ({', '.join(found)})" if found else "0"


def cycles(folder: Path, trees: dict[Path, ast.Module]) -> int:
    """Return how many sets of modules there are that all import one another, however indirectly."""
    modules = {module_name(folder, file): tree for file, tree in trees.items()}
    graph = {name: set(imported(tree, modules)) - {name} for name, tree in modules.items()}
    reached = {name: reachable(graph, name) for name in graph}
    together = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    return len(together)


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return what can be reached from ``start``, itself only where a way leads back."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def module_name(folder: Path, file: Path) -> str:
    """Return the dotted name of ``file``, a module of the package in ``folder``."""
    parts = file.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST, modules: Collection[str]) -> Iterator[str]:
    """Yield those of ``modules`` that ``node`` imports outside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.Lambda)):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name in modules)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield from (name for name in (inner, child.module or "") if name in modules)
        yield from imported(child, modules)


def import_seconds(folder: Path) -> float:
    """Return the median processor time of importing the package, of seven new processes."""
    code = f"import time; start = time.process_time(); import {folder.name}; "
    code += "print(time.process_time() - start)"
    environment = {**os.environ, "PYTHONPATH": str(folder.parent)}
    command = [sys.executable, "-c", code]
    times = [
        float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        for _ in range(7)
    ]
    return statistics.median(times)


if __name__ == "__main__":
    main()
