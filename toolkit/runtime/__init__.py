"""onnxruntime: sessions, predictors, bundles, golden check. No torch, no onnx package."""
