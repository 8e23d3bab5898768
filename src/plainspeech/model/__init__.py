"""The networks and their presets (torch)."""
