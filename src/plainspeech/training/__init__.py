"""The training loop, schedule, averaging and checkpoints (torch)."""
