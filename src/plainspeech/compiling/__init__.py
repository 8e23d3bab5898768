"""Functions that numba compiles when they are first called, and their machine code on disk."""
