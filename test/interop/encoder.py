"""What Python makes of an exported encoder. Prints one JSON object; see encoder.test.ts."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import safetensors.torch
import timm
import torch

folder = sys.argv[1]
with open(f"{folder}/encoder.safetensors.json") as file:
    card = json.load(file)
model = timm.models.vision_transformer.VisionTransformer(**card["timm"])
keys = model.load_state_dict(safetensors.torch.load_file(f"{folder}/encoder.safetensors"), strict=False)
model.eval()

onnx_model = onnx.load(f"{folder}/encoder.onnx")
onnx.checker.check_model(onnx_model, full_check=True)
session = onnxruntime.InferenceSession(f"{folder}/encoder.onnx")

shape = session.get_inputs()[0].shape
pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
axes = tuple(range(1, pixels.ndim))
standard = (pixels - pixels.mean(axes, keepdims=True)) / pixels.std(axes, keepdims=True)
with torch.no_grad():
    expected = model(torch.tensor(standard)).numpy()
(features,) = session.run(["features"], {"pixels": pixels})

print(
    json.dumps(
        {
            "missing": list(keys.missing_keys),
            "unexpected": list(keys.unexpected_keys),
            "domains": sorted({node.domain for node in onnx_model.graph.node}),
            "largest": float(np.abs(expected).max()),
            "difference": float(np.abs(expected - features).max()),
        }
    )
)
