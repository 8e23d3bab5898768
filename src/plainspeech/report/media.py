"""Figures and recordings as text within a page."""

from __future__ import annotations

import base64
import html
import io
import re

import numpy as np
import soundfile
from matplotlib.figure import Figure
from PIL import Image

from plainspeech.arrays import Array
from plainspeech.figures.style import INK, NEUTRAL, RIGHT, SECOND, WRONG, styled

_MOST_CHARACTERS = 60  # rows of a heat map; a spectrogram has more
_COLOURS = 32  # of pictures within figures
_COMPRESSION = 0.75  # of MP3, 0 to 1: about 24 kbit/s at 16 kHz
_PROPERTIES = {
    INK: "var(--ink)",
    NEUTRAL: "var(--soft)",
    RIGHT: "var(--right)",
    WRONG: "var(--wrong)",
    SECOND: "var(--second)",
}


def inline_svg(figure: Figure, label: str) -> str:
    """Return ``figure`` as an ``<svg>`` element in the colours of the page it stands in.

    Args:
        figure: drawn in the colours of `plainspeech.figures.style`.
        label: what it shows, for those who do not see it.
    """
    figure.patch.set_alpha(0.0)
    for axes in figure.axes:
        axes.patch.set_alpha(0.0)
    content = io.StringIO()
    with styled():
        figure.savefig(content, format="svg", metadata={"Date": None})
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"data:image/png;base64,([^\"]+)", _smaller, text)
    text = re.sub(r' (d|x|y)="[^"]*"|translate\([^)]*\)', _rounded, text)
    text = text.replace("<image ", '<image preserveAspectRatio="none" ')  # fills its place
    for colour, name in _PROPERTIES.items():
        text = re.sub(f"(fill|stroke): {colour}", rf"\1: {name}", text, flags=re.IGNORECASE)
    text = re.sub(r"\n\s*", "\n", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


def _rounded(found: re.Match[str]) -> str:
    """Return places to a hundredth of a point, which is less than any screen shows."""
    return re.sub(r"(\.\d\d)\d+", r"\1", found[0])


def _smaller(found: re.Match[str]) -> str:
    """Return a picture with few colours; a spectrogram with half as many frames, too."""
    picture = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")
    if picture.height > _MOST_CHARACTERS:
        width = max(1, picture.width // 2)
        picture = picture.resize((width, picture.height), Image.Resampling.BOX)
    content = io.BytesIO()
    picture.quantize(_COLOURS).save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def audio_address(waveform: Array, rate: int) -> str:
    """Return a recording as the address of an MP3 within the page.

    Args:
        waveform: ``(samples,)`` float32.
        rate: Hz.
    """
    content = io.BytesIO()
    samples = np.clip(waveform, -1, 1)
    soundfile.write(content, samples, rate, format="MP3", compression_level=_COMPRESSION)
    return f"data:audio/mpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
