"""Write docs/reference.md from the signatures and docstrings of what ``import plainspeech`` offers.

python scripts/write_reference.py
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import plainspeech

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
HEAD = """# Reference
What `import plainspeech` offers; a name is imported when it is first used. Arrays are NumPy's,
float32; logarithms are natural; times are seconds. This page is written by
`python scripts/write_reference.py` from the docstrings; `plainspeech --help` lists the commands.
"""
GROUPS = {
    "Transcribe": ["load_model", "Recognizer", "Transcript", "Segment", "Word", "Bundle"],
    "Align": ["align", "Alignment", "AlignedSentence", "AlignedWord", "Disagreement"],
    "Live audio": ["LiveModel", "StreamingModel"],
    "Decode": [
        "BeamSearchDecoder",
        "GreedyDecoder",
        "Hypothesis",
        "HotWords",
        "Scorer",
        "Alphabet",
        "ENGLISH",
    ],
    "Errors": [],
}
CONSTANTS = {
    "ENGLISH": "The `Alphabet` of LibriSpeech's transcripts: space, a to z, apostrophe.",
    "HotWords": "`Mapping[str, float]`: words and phrases, each with the nats that an occurrence "
    "of it adds to the score of a hypothesis.",
}
SECTIONS = {
    "Args": "list",
    "Attributes": "list",
    "Returns": "text",
    "Raises": "list",
    "Yields": "text",
}


def main() -> None:
    """Write the page."""
    TARGET.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += ["\n".join(entry(name)) for name in names]
        if title == "Errors":
            tree = inspect.cleandoc(plainspeech.errors.__doc__ or "")
            drawing = "\n".join(line[4:] for line in tree.splitlines() if line.startswith("    "))
            parts.append(f"```text\n{drawing}\n```\n")
            parts.append(
                "Every message is one line that names the file or option and how to mend it.\n"
            )
    return "\n".join(parts)


def entry(name: str) -> Iterator[str]:
    """Yield the lines on a public name."""
    value = getattr(plainspeech, name)
    yield f"### `{name}`"
    if name in CONSTANTS:
        yield from (CONSTANTS[name], "")
        return
    yield from documented(name, value)
    if inspect.isclass(value):
        for member, inner in sorted(vars(value).items()):
            if member.startswith("_"):
                continue
            if isinstance(inner, property):
                yield f"#### `{name}.{member}`"
                yield from documentation(inner)
            elif inspect.isroutine(getattr(value, member)):
                yield f"#### `{name}.{member}()`"
                yield from documented(member, getattr(value, member))


def documented(name: str, value: object) -> Iterator[str]:
    """Yield signature and docstring of a class, function or method."""
    yield from ("```py", f"{name}{signature(value)}", "```")
    yield from documentation(value)


class Verbatim(str):
    """An annotation that is shown as it was written."""

    __slots__ = ()
    __repr__ = str.__str__


def signature(value: object) -> str:
    """Return the parameters of a class or function, with their types, on one line."""
    found = inspect.signature(value)  # type: ignore[arg-type]
    kept = [
        each.replace(annotation=Verbatim(each.annotation))
        for each in found.parameters.values()
        if each.name != "self"
    ]
    result = "" if found.return_annotation in ("None", None) else found.return_annotation
    text = str(found.replace(parameters=kept, return_annotation=inspect.Signature.empty))
    text = text.replace("<factory>", "...")
    return f"{text} -> {result}" if result and not inspect.isclass(value) else text


def documentation(value: object) -> Iterator[str]:
    """Yield a docstring of Google's style as Markdown."""
    text = re.sub(r"``([^`]*)``", r"`\1`", inspect.getdoc(value) or "")
    body, *sections = re.split(r"^(\w+):\n", text, flags=re.MULTILINE)
    yield from (body.strip(), "")
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        block = textwrap.dedent(content).strip()
        if title == "Example":
            yield from ("```py", *block.splitlines(), "```", "")
        elif SECTIONS.get(title) == "list":
            yield f"{title}:"
            yield ""
            for item in re.split(r"\n(?=\S)", block):
                key, _, told = " ".join(item.split()).partition(": ")
                yield f"- `{key}`: {told}"
            yield ""
        else:
            yield from (f"{title}: {' '.join(block.split())}", "")


if __name__ == "__main__":
    main()
