"""The inner loops of the beam search, which numba compiles."""
