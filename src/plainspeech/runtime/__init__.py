"""Model bundles, the ONNX networks in them, and transcription, of recordings and live. No torch."""
