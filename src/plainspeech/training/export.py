"""From a checkpoint to a model bundle."""
from pathlib import Path


def export_bundle(checkpoint: Path, bundle: Path) -> None:
    """Write the bundle."""
