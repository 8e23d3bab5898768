"""The CRNN, its presets, the CTC loss and export (torch)."""
