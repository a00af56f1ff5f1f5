"""PyTorch beside DLVK: a worker of bench.py, and the exporter of its models.

    torch_rival.py --export NAME FILE.onnx     one of MODELS, full size, random weights, "batch" (and "seq") symbolic
    torch_rival.py SPEC.json                   prepares the cases of SPEC, a line of JSON each when it is ready, then measures on request

Variants: eager, graph (a CUDA graph), graph-nhwc (the same with channels last), compiled (torch.compile, mode "reduce-overhead").
Times are medians of wall time with a synchronization after each run, as DLVK's are."""
import copy
import json
import os
import statistics
import sys
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

warnings.filterwarnings("ignore")
TYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}


class First(nn.Module):
    """The first output alone."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        out = self.inner(x)
        return out[0] if isinstance(out, (tuple, list)) or hasattr(out, "keys") else out


def vision(name):
    import torchvision
    return getattr(torchvision.models, name)()


def bert(**more):
    from transformers import BertConfig, BertModel
    return BertModel(BertConfig(**more))


def gpt2(**more):
    from transformers import GPT2Config, GPT2LMHeadModel
    return GPT2LMHeadModel(GPT2Config(use_cache=False, **more))


MODELS = {**{n: (lambda n=n, **_: vision(n)) for n in ("resnet50", "resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121", "vgg16", "vit_b_16")},
          "bert_base": bert, "gpt2": gpt2}
TEXT = {"bert_base": 30000, "gpt2": 50000}  # sizes of vocabularies


def model(name, calibrated=True, **more):
    """The exporter and the rival get the same weights. Fresh networks are no good for comparing: means and variances of batch
    normalisation are made those of noise, and layers that begin as zeros get weights, so that signals neither die nor explode."""
    torch.manual_seed(7)
    m = First(MODELS[name](**more))
    if not calibrated:
        return m.eval()
    with torch.no_grad():
        for p in m.parameters():
            if p.dim() > 1 and not p.any():
                p.normal_(std=p.shape[-1] ** -0.5)
        norms = [b for b in m.modules() if isinstance(b, nn.BatchNorm2d)]
        for b in norms:
            b.momentum = 1
        if norms:
            m.train()(torch.randn(4, 3, 224, 224))
    return m.eval()


def export(name, path):
    if name in TEXT:
        m, x, dynamic = model(name, attn_implementation="eager"), torch.randint(0, TEXT[name], (2, 128)), {0: "batch", 1: "seq"}
    else:
        m, x, dynamic = model(name), torch.randn(2, 3, 224, 224), {0: "batch"}
    try:
        torch.onnx.export(m, (x,), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": dynamic, "y": {0: "batch"}})
    except Exception:  # newer versions of transformers are beyond that exporter
        limits = {0: torch.export.Dim("batch", min=1, max=256), 1: torch.export.Dim("seq", min=2, max=512)}
        torch.onnx.export(m, (x,), path, dynamo=True, opset_version=18, input_names=["x"], output_names=["y"],
                          dynamic_shapes=({k: limits[k] for k in dynamic},), external_data=False)


def graphed(f, *x):
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            f(*x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        f(*x)

    def replay(_alive=(f, x)):  # the graph has addresses of weights and inputs, and keeps none of them
        graph.replay()

    return replay


def measure(f, seconds):
    for _ in range(3):
        f()
    torch.cuda.synchronize()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        f()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


# ---- inference: prepared callables by variant -----------------------------------------------------------------------------


def prepare_model(case):
    m = model(case["name"], case["calibrated"]).cuda()
    x = torch.from_numpy(np.load(case["inputs"]["x"])).cuda()
    if case.get("reference"):
        np.save(case["reference"] + "/y.npy", m(x).float().cpu().numpy())
    dtype = TYPES[case["dtype"]]
    m = m.to(dtype)
    x = x.to(dtype) if x.is_floating_point() else x
    runs, image = {}, x.dim() == 4

    def wanted(variant):  # later ones are left out where there is no time
        return variant in case["variants"] and (not runs or time.time() < case["deadline"])

    if "eager" in case["variants"]:
        runs["eager"] = lambda: m(x)
    if wanted("graph"):
        runs["graph"] = graphed(m, x)
    if image and {"graph-nhwc", "compiled"} & set(case["variants"]):
        last = copy.deepcopy(m).to(memory_format=torch.channels_last)
        xl = x.to(memory_format=torch.channels_last)
    else:
        last, xl = m, x
    if image and wanted("graph-nhwc"):
        runs["graph-nhwc"] = graphed(last, xl)
    if "compiled" in case["variants"]:
        compiled = torch.compile(last, mode="reduce-overhead")
        for _ in range(3):
            compiled(xl)
        runs["compiled"] = lambda: compiled(xl)
    return runs


MICRO = {
    "matmul": lambda a, b: a @ b,
    "conv": lambda x, w: F.conv2d(x, w, padding=1),
    "conv1": lambda x, w: F.conv2d(x, w),
    "depthwise": lambda x, w: F.conv2d(x, w, padding=1, groups=x.shape[1]),
    "softmax": lambda x: F.softmax(x, -1),
    "layernorm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
    "gelu": F.gelu,
    "sum": lambda x: x.sum(),
    "rowmax": lambda x: x.amax(-1),
    "transpose": lambda x: x.transpose(0, 2).contiguous(),
    "add": torch.add,
    "attention": lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
}


def prepare_micro(case):
    """Inputs are made when it is measured, and dropped after: together they would not fit."""
    f, dtype = MICRO[case["op"]], TYPES[case["dtype"]]
    given = [torch.from_numpy(np.load(p)).cuda() for p in [*case["inputs"].values(), *case["weights"].values()]]
    np.save(case["reference"] + "/y.npy", f(*[x.float() for x in given]).cpu().numpy())
    weights = given[len(case["inputs"]):]
    inputs = [torch.randn(*s, device="cuda", dtype=dtype) if case["made"] else x for x, s in zip(given, case["shapes"].values())]
    runs = {"eager": lambda: f(*inputs, *weights)}
    if "graph" in case["variants"]:
        runs["graph"] = graphed(f, *inputs, *weights)
    return runs


# ---- training steps: Adam, fused, cross-entropy -------------------------------------------------------------------------------


def lenet():
    return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10))


def prepare_train(case):
    m = (lenet() if case["name"] == "lenet" else vision(case["name"])).cuda().train()
    x = torch.randn(*case["shape"], device="cuda")
    target = torch.randint(0, case["classes"], (case["shape"][0],), device="cuda")
    optimizer = torch.optim.Adam(m.parameters(), 1e-3, fused=True, capturable=True)
    loss = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.float16, enabled=case["dtype"] == "f16"):
            value = loss(m(x), target)
        value.backward()
        optimizer.step()

    runs = {"eager": step} if "eager" in case["variants"] else {}
    if "graph" in case["variants"]:
        runs["graph"] = graphed(step)
    if "compiled" in case["variants"]:
        compiled = torch.compile(step)
        for _ in range(3):
            compiled()
        runs["compiled"] = compiled
    return runs


def main():
    if sys.argv[1] == "--export":
        export(*sys.argv[2:4])
        return
    with open(sys.argv[1]) as f:
        cases = {c["id"]: c for c in json.load(f)}
    out = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
    os.dup2(2, 1)

    def say(**what):
        print(json.dumps(what), file=out, flush=True)

    if not torch.cuda.is_available():
        say(fatal="PyTorch finds no CUDA device")
        return
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    prepare = {"model": prepare_model, "micro": prepare_micro, "train": prepare_train}
    ready = {}

    def attempt(case):
        with torch.inference_mode(case["kind"] != "train"):
            return prepare[case["kind"]](case)

    for case in cases.values():
        try:
            if time.time() > case["deadline"]:
                raise TimeoutError("not ready in time")
            runs = attempt(case)
            ready[case["id"]] = runs if case["kind"] != "micro" else None
            say(id=case["id"], columns=list(runs))
        except Exception as e:
            say(id=case["id"], error=repr(e)[:300])
        runs = None
        torch.cuda.empty_cache()
    say(done=True)
    for line in sys.stdin:
        wish = json.loads(line)
        case = cases[wish["id"]]
        try:
            with torch.inference_mode(case["kind"] != "train"):
                runs = ready[case["id"]] or prepare_micro(case)
                say(ms={k: measure(f, wish["seconds"] / len(runs)) for k, f in runs.items()})
        except Exception as e:
            say(error=repr(e)[:300])
        runs = None
        torch.cuda.empty_cache()


main()
