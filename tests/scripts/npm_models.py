"""npm_models.py recognition|silero_vad MODEL.onnx DLVKC TMP: compiles the model once and compares its outputs with those of
ONNX Runtime on the CPU, at several sizes or over several steps. Exits 1 where they differ."""
import os
import subprocess
import sys

import numpy as np
import onnxruntime

kind, path, dlvkc, tmp = sys.argv[1:5]
bundle = f"{tmp}/{kind}.dlvk"
subprocess.run([dlvkc, "compile", path, "-o", bundle], check=True)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
rng = np.random.default_rng(1)


def run_dlvk(feeds):
    out = f"{tmp}/{kind}_out"
    args = [dlvkc, "run", bundle, "--output-dir", out]
    for name, value in feeds.items():
        file = f"{tmp}/{kind}_{name.replace('/', '_')}.npy"
        np.save(file, value)
        args += ["--input", f"{name}={file}"]
    subprocess.run(args, check=True)
    return {o.name: np.load(os.path.join(out, o.name.replace("/", "_") + ".npy")) for o in session.get_outputs()}


def compare(feeds, rtol, atol):
    want = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    got = run_dlvk(feeds)
    for name in want:
        np.testing.assert_equal(got[name].dtype, want[name].dtype)
        np.testing.assert_allclose(got[name], want[name], rtol=rtol, atol=atol, err_msg=name)
        print(f"{name} {want[name].shape}: largest difference {np.max(np.abs(got[name] - want[name])):.3g}")
    return want


if kind == "recognition":
    name = session.get_inputs()[0].name
    for batch, width in [(1, 320), (2, 160)]:
        compare({name: rng.uniform(-1, 1, (batch, 3, 48, width)).astype(np.float32)}, 1e-3, 1e-5)
elif kind == "silero_vad":
    state = np.zeros((2, 1, 128), np.float32)
    for rate, samples in [(16000, 512), (16000, 512), (16000, 512), (8000, 256)]: # the Ifs choose a network by the rate
        audio = (0.3 * np.sin(np.arange(samples) * 0.1) + 0.05 * rng.standard_normal(samples)).astype(np.float32)[None]
        out = compare({"input": audio, "state": state, "sr": np.array(rate, np.int64)}, 1e-3, 1e-5)
        state = out["stateN"]
else:
    sys.exit(f"unknown model {kind}")
