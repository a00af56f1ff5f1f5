"""Speed of DLVK on lavapipe against ONNX Runtime on the CPU, in one run on the same machine.

    bench_cpu.py [--dlvkc PATH] [--check] [--json FILE] [--markdown FILE] [--make DIR] [MODEL...]

MODEL: a light_* model of ONNX's test data (resnet50, squeezenet, densenet121, ...), one of bench_models.py (mobilenetv2, bert,
unet), or an ONNX file; resnet50, squeezenet and mobilenetv2 by default. Symbolic sizes are 1 (--batch N).

The light_* models of ONNX's test data make their weights by ConstantOfShape, and a benchmark on splat constants measures
nothing: they get random weights first, put into the file (--make DIR keeps those files and stops). The two programs take turns, and the ratio of
their medians is what counts; --check exits with 1 where it is above the limit, or where the outputs differ."""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import numpy_helper

import bench_models

LIGHT = "/usr/share/libonnx-testdata/data/light"
LIMIT = {"resnet50": 6.0, "squeezenet": 8.0, "mobilenetv2": 8.0}  # times ONNX Runtime's


def randomize(model):
    """Replaces ConstantOfShape of known shapes by random initializers that keep activations within reason."""
    rng = np.random.default_rng(0)
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    users = {}
    for node in graph.node:
        for k, name in enumerate(node.input):
            users.setdefault(name, []).append((node, k))

    def is_used(name, op, inputs):  # as one of these inputs of such a node, perhaps through an Unsqueeze
        return any((n.op_type == op and k in inputs) or (n.op_type == "Unsqueeze" and is_used(n.output[0], op, inputs))
                   for n, k in users.get(name, []))

    kept, used_shapes = [], set()
    for node in graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = [int(d) for d in shapes[node.input[0]]]
        used_shapes.add(node.input[0])
        if len(shape) >= 2:
            value = rng.standard_normal(shape) * np.sqrt(2.0 / max(1, np.prod(shape[1:])))
        elif is_used(node.output[0], "BatchNormalization", [1]):
            value = rng.uniform(0.2, 0.8, shape)  # below 1: residual sums grow
        elif is_used(node.output[0], "BatchNormalization", [4]) or is_used(node.output[0], "Mul", [0, 1]):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.standard_normal(shape) * 0.1
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    for name in used_shapes:
        if not any(name in n.input for n in kept):
            graph.initializer.remove(next(i for i in graph.initializer if i.name == name))
    weights = {i.name for i in graph.initializer} | used_shapes  # as inputs they would keep ONNX Runtime from folding them
    inputs = [i for i in graph.input if i.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # from 4 on initializers need not be inputs
    return model


@contextlib.contextmanager
def quiet_stderr():
    """Debian's ONNX Runtime complains about every operator schema while it starts."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)


def make(name):
    if name.endswith(".onnx"):
        return onnx.load(name)
    return bench_models.MODELS[name]() if name in bench_models.MODELS else randomize(onnx.load(f"{LIGHT}/light_{name}.onnx"))


def feed(inputs, batch):
    """Random inputs of the session: floats in [-1, 1), integers small enough to be indices of anything."""
    rng = np.random.default_rng(1)
    made = {}
    for x in inputs:
        shape = [d if isinstance(d, int) else batch for d in x.shape]
        kind = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}[x.type]
        made[x.name] = (rng.uniform(-1, 1, shape) if kind == np.float32 else rng.integers(0, 2, shape)).astype(kind)
    return made


def markdown(results):
    head = "| model | ONNX Runtime CPU, ms | DLVK, ms | on the device, ms | ratio | load, ms | first run, ms | largest difference |"
    lines = [head, "|" + " --- |" * 8]
    for name, r in results.items():
        lines.append(f"| {name} | {r['ort_ms']:.1f} | {r['dlvk_ms']:.1f} | {r['device_ms']:.1f} | {r['ratio']:.1f} | {r['load_ms']:.0f} "
                     f"| {r['first_run_ms']:.0f} | {r['largest_difference']:.1e} |")
    return "\n".join(lines) + "\n"


def measure_ort(session, feeds, seconds):
    times = []
    session.run(None, feeds)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        session.run(None, feeds)
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--dlvkc", default=os.environ.get("DLVKC", f"{here}/../build/dlvkc"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--make")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("models", nargs="*", default=["resnet50", "squeezenet", "mobilenetv2"])
    args = parser.parse_args()
    tmp = args.make or tempfile.mkdtemp()
    os.makedirs(tmp, exist_ok=True)
    files = {}
    for arg in args.models:
        name = os.path.basename(arg).removesuffix(".onnx")
        files[name] = f"{tmp}/{name}.onnx"
        onnx.save(make(arg), files[name])
    if args.make:
        return 0

    with quiet_stderr():
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.log_severity_level = 3
        ort.InferenceSession(next(iter(files.values())), options, providers=["CPUExecutionProvider"])
    results, bad = {}, 0
    print(f"{'model':12} {'ORT CPU ms':>11} {'DLVK ms':>9} {'device ms':>10} {'ratio':>6} {'largest difference':>19}")
    for name, path in files.items():
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feeds = feed(session.get_inputs(), args.batch)
        bundle, out, given = f"{tmp}/{name}.dlvk", f"{tmp}/{name}_out", []
        for k, (n, x) in enumerate(feeds.items()):
            np.save(f"{tmp}/{name}_{k}.npy", x)
            given += ["--input", f"{n}={tmp}/{name}_{k}.npy"]
        subprocess.run([args.dlvkc, "compile", path, "-o", bundle], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([args.dlvkc, "run", bundle, *given, "--output-dir", out], check=True,
                       stdout=subprocess.DEVNULL)
        off, same = 0.0, True
        for o, want in zip(session.get_outputs(), session.run(None, feeds)):
            got = np.load(f"{out}/{o.name.replace('/', '_')}.npy")
            off = max(off, float(np.max(np.abs(got - want))))
            same &= bool(np.allclose(got, want, rtol=1e-3, atol=1e-5 * max(1, np.abs(want).max())))
        ort_ms, wall, device = [], [], []
        for _ in range(3):  # by turns, so that a slow spell of the machine hits both
            ort_ms.append(measure_ort(session, feeds, args.seconds / 3))
            report = f"{tmp}/{name}.json"
            subprocess.run([args.dlvkc, "bench", bundle, *given, "--runs", "5", "--min-time", str(args.seconds / 3), "--json", report], check=True,
                           stdout=subprocess.DEVNULL)
            with open(report) as f:
                bench = json.load(f)
            wall.append(bench["wall_ms"]["median"])
            device.append(bench["device_ms"]["median"])
        r = dict(ort_ms=float(np.median(ort_ms)), dlvk_ms=float(np.median(wall)), device_ms=float(np.median(device)), largest_difference=off,
                 device=bench["device"], load_ms=bench["load_ms"], first_run_ms=bench["first_run_ms"])
        r["ratio"] = r["dlvk_ms"] / r["ort_ms"]
        results[name] = r
        verdict = "" if same else "  OUTPUTS DIFFER"
        if name in LIMIT and r["ratio"] > LIMIT[name]:
            verdict += f"  above the limit of {LIMIT[name]:.0f}"
        bad += verdict != ""
        print(f"{name:12} {r['ort_ms']:11.2f} {r['dlvk_ms']:9.2f} {r['device_ms']:10.2f} {r['ratio']:6.2f} {off:19.2g}{verdict}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)
    if args.markdown:
        with open(args.markdown, "w") as f:
            f.write(markdown(results))
    if args.check:
        print(f"{len(results) - bad} passed, {bad} failed")
        return 1 if bad else 0
    return 0


sys.exit(main())
