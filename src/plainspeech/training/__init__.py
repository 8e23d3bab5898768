"""Recipes, the training loop, averaging, checkpoints and export (torch)."""
