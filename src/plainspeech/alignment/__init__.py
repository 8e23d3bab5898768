"""Alignment of a known text with a recording of it, of any length, by CTC."""
