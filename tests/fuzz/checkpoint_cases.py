"""Checkpoints: safetensors with JSON in the header."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from mutations import mutated_bytes, mutated_json
from torch import nn

from plainspeech.training.checkpoint import Checkpoint, Progress

RUN = {"recipe": {"name": "r", "preset": "small"}, "data": "12ab", "code": "3c"}


def cases(folder: Path) -> Callable[[random.Random], str]:
    model = nn.Linear(3, 2)
    tensors = {f"average.{name}": value for name, value in model.state_dict().items()}
    tensors["optimiser.step.weight"] = torch.tensor(7.0)
    path = folder / "c.safetensors"
    Checkpoint(tensors, Progress(2, 5, 17, history=[{"epoch": 1}]), RUN).save(path)
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, rest = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    inner = json.loads(header["__metadata__"]["plainspeech"])

    def run(draw: random.Random) -> str:
        change = draw.randrange(3)
        if change == 0:
            path.write_bytes(mutated_bytes(whole, draw))
        else:
            made = header
            if change == 1:
                made = mutated_json(header, draw)
            else:
                changed = json.dumps(mutated_json(inner, draw))
                made = {**header, "__metadata__": {"plainspeech": changed}}
            text = json.dumps(made).encode()
            path.write_bytes(struct.pack("<Q", len(text)) + text + rest)
        checkpoint = Checkpoint.load(path)
        checkpoint.give_average(model, path)
        checkpoint.provenance()
        return "loaded"

    return run


CASES = {"checkpoint": cases}
