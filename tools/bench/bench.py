#!/usr/bin/env python3
"""DLVK beside others, in turn, in one run: a table of models, of training steps, and of single operators with their floors.

    bench.py [--on gpu|cpu] [options] [PATTERN...]          PATTERN: of case ids, as in a shell: 'model/*/b1/f16'; --list shows them

On a GPU machine (--on gpu; needs torch, torchvision, transformers) the rival is PyTorch: eager, CUDA graph, torch.compile. On a
CPU machine it is ONNX Runtime: its CPU provider (python3-onnxruntime), and its WebGPU provider on the same Vulkan driver
(--webgpu: onnxruntime-node, fetched by npm into .cache/). A rival that is missing leaves its column empty, with the reason below.

Everything is prepared first (models made, compiled, loaded, warm; outputs compared), several at a time; then the programs
take turns, alone on the machine. --budget bounds the whole: what is not ready after --prepare of it, and what is left at its end, is
left out."""
import argparse
import concurrent.futures
import fnmatch
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

import cases as catalogue
import report
from workers import Dlvk, Rival

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Bytes a second, operations a second, seconds a launch that waits for the one before. H200: a copy as measured; the matrix instructions
# that Vulkan can issue top out near 620 TFLOP/s; f32 by the data sheet.
RATES = {"H200": dict(bandwidth=4.24e12, f16=620e12, f32=67e12, launch=1.8e-6)}


def cpu_rates():
    """Of a driver on the CPU: a copy as measured; what multiplications and additions from registers reached, a core; lavapipe's launch."""
    x = np.ones(1 << 26, np.float32)
    y, times = np.empty_like(x), []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(y, x)
        times.append(time.perf_counter() - start)
    flops = 1e11 * os.cpu_count()
    return dict(bandwidth=2 * x.nbytes / min(times), f32=flops, f16=flops, launch=17e-6)


def arguments():
    here = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here.add_argument("patterns", nargs="*", metavar="PATTERN")
    here.add_argument("--on", choices=("gpu", "cpu"), default="cpu")
    here.add_argument("--list", action="store_true", help="the ids of all cases")
    here.add_argument("--dlvkc", default=os.environ.get("DLVKC", f"{ROOT}/build/dlvkc"), help="a command, perhaps with words before it")
    here.add_argument("--device", help="as of dlvkc")
    here.add_argument("--models", metavar="DIR", help="use DIR/NAME/model.onnx where it is there, exported from a fresh model after torch.manual_seed(7)")
    here.add_argument("--variants", default="eager,graph,graph-nhwc,compiled", help="of PyTorch")
    here.add_argument("--compile", action="append", metavar="PATTERN", help="cases for torch.compile; all where there is none")
    here.add_argument("--no-rivals", action="store_true")
    here.add_argument("--webgpu", action="store_true", help="ONNX Runtime's WebGPU provider, too")
    here.add_argument("--node-modules", metavar="DIR", default=f"{ROOT}/.cache/npm/onnxruntime-node", help="where onnxruntime-node is, or goes")
    here.add_argument("--seconds", type=float, default=0, help="a turn of one program; 0.15 on a GPU, 1 on a CPU")
    here.add_argument("--turns", type=int, default=0, help="2 on a GPU, 3 on a CPU")
    here.add_argument("--threads", type=int, default=os.cpu_count(), help="of ONNX Runtime")
    here.add_argument("--budget", type=float, default=1e9, metavar="S", help="seconds for everything")
    here.add_argument("--prepare", type=float, default=0.6, help="the share of the budget for preparing")
    here.add_argument("--no-kernels", action="store_true", help="do not look at kernels, nor at a start with a warm cache")
    here.add_argument("--check", action="store_true", help="exit with 1 where outputs differ or a limit is exceeded")
    here.add_argument("--markdown", metavar="FILE")
    here.add_argument("--json", metavar="FILE")
    for name, what in (("bandwidth", "bytes a second"), ("f16", "operations a second on f16"), ("f32", "on f32"), ("launch", "seconds")):
        here.add_argument(f"--rate-{name}", type=float, help=f"{what}, for the floors")
    o = here.parse_args()
    o.dlvkc = shlex.split(o.dlvkc)
    o.seconds = o.seconds or (0.15 if o.on == "gpu" else 1)
    o.turns = o.turns or (2 if o.on == "gpu" else 3)
    o.tail = ["--device", o.device] if o.device else []
    return o


def choose(o):
    made = (catalogue.gpu_cases if o.on == "gpu" else catalogue.cpu_cases)(o.dlvkc)
    if not o.patterns:
        return made
    chosen = [c for p in o.patterns for c in made if fnmatch.fnmatch(c.id, p)]
    for p in o.patterns:
        if not any(fnmatch.fnmatch(c.id, p) for c in made):
            sys.exit(f"no case is called {p}; --list shows all")
    return list(dict.fromkeys(chosen))


def node_modules(o):
    """Installs onnxruntime-node unless it is there; the reason why not, or None."""
    if os.path.isdir(f"{o.node_modules}/node_modules/onnxruntime-node"):
        return None
    os.makedirs(o.node_modules, exist_ok=True)
    try:  # without its script, which would fetch CUDA libraries
        done = subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", o.node_modules, "onnxruntime-node"],
                              capture_output=True, text=True)
    except FileNotFoundError:
        return "npm is not installed"
    return (done.stderr.strip().splitlines() or ["npm failed"])[-1] if done.returncode else None


def make_case(o, tmp, locks, case):
    """The model and inputs; what a rival needs lies ready after it."""
    case.folder = f"{tmp}/{case.id.replace('/', '_')}"
    os.makedirs(f"{case.folder}/reference", exist_ok=True)
    try:
        with locks.setdefault(f"{case.kind}/{case.name}", threading.Lock()):
            case.make(tmp, o.models)
        case.feed(case.folder)
        case.dlvk = Dlvk(o, case)
    except Exception as e:
        case.errors["model"] = str(e)
    finally:
        case.made_ready.set()


def prepare_case(case):
    """DLVK's bundle, its first runs, the outputs to compare."""
    if case.dlvk:
        case.dlvk.prepare()


def rival_groups(o, chosen):
    """(label, command, cases, variants) of the workers: a process for each model, one for all micro cases, one for each torch.compile."""
    if o.no_rivals:
        return []
    groups = {}
    for c in chosen:
        groups.setdefault("micro" if c.kind == "micro" else f"{c.kind}/{c.name}", []).append(c)
    if o.on == "cpu":  # ONNX Runtime trains nothing
        groups = {k: g for k, g in groups.items() if g[0].kind != "train"}
        made = [(f"cpu {k}", [sys.executable, f"{HERE}/ort_rival.py"], g, ["cpu"]) for k, g in groups.items()]
        if o.webgpu:
            why = node_modules(o)
            if why:
                for c in chosen:
                    c.errors["webgpu"] = why
            else:
                made += [(f"webgpu {k}", ["node", f"{HERE}/ort_webgpu.mjs", o.node_modules], g, ["webgpu"]) for k, g in groups.items()]
        return made
    torch = [sys.executable, f"{HERE}/torch_rival.py"]
    plain = [v for v in o.variants.split(",") if v != "compiled"]
    made = []
    if "compiled" in o.variants.split(","):  # first, for they take longest
        made = [(f"compile {c.id}", torch, [c], ["compiled"]) for c in chosen
                if c.kind != "micro" and any(fnmatch.fnmatch(c.id, p) for p in o.compile or ["*"])]
    return made + [(f"torch {k}", torch, g, plain) for k, g in groups.items()]


def compare(case):
    """The largest difference from the rival's float32 outputs, over their largest magnitude."""
    worst = None
    for name in os.listdir(f"{case.folder}/reference"):
        got = f"{case.folder}/dlvk/{name}"
        if not os.path.exists(got):
            continue
        want, have = np.load(f"{case.folder}/reference/{name}").astype(np.float64), np.load(got).astype(np.float64)
        if want.shape != have.shape:
            return float("inf")
        if want.size and not want.any():  # says nothing
            continue
        off = float(np.max(np.abs(want - have)) / max(float(np.max(np.abs(want))), 1e-30)) if want.size else 0.0
        worst = max(worst or 0.0, off if np.isfinite(off) else float("inf"))
    return worst


def take_turns(o, case, rivals, end):
    times = case.turns
    for _ in range(o.turns):  # by turns, so that a slow spell of the machine hits all
        for program in [case.dlvk, *[r for r in rivals if case.id in r.ready]]:
            if time.time() > end:
                case.errors.setdefault("time", "the budget was over")
                break
            try:
                for column, ms in program.measure(case.id, o.seconds).items():
                    times.setdefault(column, []).append(ms)
            except Exception as e:
                case.errors.setdefault(getattr(program, "label", "DLVK"), str(e) or type(e).__name__)
                if program is not case.dlvk:
                    program.ready.discard(case.id)
    case.ms = {k: float(np.median(v)) for k, v in times.items()}


def main():
    o = arguments()
    chosen = choose(o)
    if o.list:
        print("\n".join(c.id for c in chosen))
        return 0
    start = time.time()
    ready_by, end = start + o.prepare * o.budget, start + o.budget
    o.end = end
    with tempfile.TemporaryDirectory() as tmp:
        locks = {}
        for c in chosen:
            c.made_ready, c.dlvk = threading.Event(), None
        few, many = max(1, os.cpu_count() // 2), max(1, os.cpu_count() - 2)
        pool = concurrent.futures.ThreadPoolExecutor
        with pool(few) as makers, pool(few) as preparers, pool(many) as rival_pool:
            rest = []  # what is made is prepared at once, while others are made

            def make_and_prepare(c):
                make_case(o, tmp, locks, c)
                rest.append(preparers.submit(prepare_case, c))

            futures = [makers.submit(make_and_prepare, c) for c in chosen]
            rivals = [Rival(o, tmp, *g) for g in rival_groups(o, chosen)]
            rest += [rival_pool.submit(r.prepare, ready_by) for r in rivals]
            concurrent.futures.wait(futures, timeout=max(1, ready_by - time.time()))
            futures += rest
            concurrent.futures.wait(futures, timeout=max(1, ready_by - time.time()))
            for f in futures:
                f.cancel()
            for program in [c.dlvk for c in chosen if c.dlvk] + rivals:
                program.stop_unless_ready()
        prepared = time.time() - start
        for c in chosen:
            c.facts["off"] = compare(c) if c.dlvk and c.dlvk.ready else None
        for c in chosen:
            if c.dlvk and c.dlvk.ready and time.time() < end:
                take_turns(o, c, rivals, end)
            elif not c.errors:
                c.errors["DLVK"] = "not ready in time"
            if c.dlvk:
                c.dlvk.stop()
            print(report.line(c), flush=True)
        for r in rivals:
            r.stop()
        if not o.no_kernels:
            for c in chosen:
                if c.ms and time.time() < end - 1:
                    c.dlvk.look_at_kernels()
        device = next((c.facts["device"] for c in chosen if c.facts.get("device")), "?")
        rates = next((r for n, r in RATES.items() if n in device), None) or cpu_rates()
        for name in rates:
            rates[name] = getattr(o, f"rate_{name}") or rates[name]
    about = dict(device=device, rates=rates, prepared_s=round(prepared, 1), total_s=round(time.time() - start, 1))
    text = report.markdown(chosen, about)
    print(text)
    if o.markdown:
        with open(o.markdown, "w") as f:
            f.write(text)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(report.as_json(chosen, about), f, indent=1)
    if o.check:
        bad = [(c, why) for c in chosen for why in report.complaints(c, o.webgpu)]
        for c, why in bad:
            print(f"{c.id}: {why}")
        n_bad = len({c.id for c, _ in bad})
        print(f"{len(chosen) - n_bad} passed, {n_bad} failed")
        return 1 if bad else 0
    return 0


sys.exit(main())
