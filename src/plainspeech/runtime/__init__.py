"""Model bundles and the ONNX session that runs them. No torch."""
