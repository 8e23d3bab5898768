"""Weights and thresholds of the beam search, chosen by what they make of a dev set."""
