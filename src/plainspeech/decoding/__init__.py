"""Decoders: from log-probabilities to text. No torch."""
