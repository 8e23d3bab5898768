"""For tests that speak in tones to a process of its own."""

from __future__ import annotations

TONES_ARE_SPEECH = """
from plainspeech.runtime import vad
vad.silero_detector = lambda: lambda windows: abs(windows).max(axis=1) > 0.01
"""
"""The head of a program: Silero's detector hears no speech in tones, and this one does."""
