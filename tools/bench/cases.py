"""What bench.py measures: the cases of each table, how their models are made, and their floors."""
import os
import subprocess
import sys

import numpy as np

import micro
import nets

HERE = os.path.dirname(os.path.abspath(__file__))
SEQ = {"bert_base": 128, "gpt2": 512}
VOCABULARY = {"bert_base": 30000, "gpt2": 50000, "bert": 1000}


class Case:
    """id: KIND/NAME/.../TYPE. `dims` are those that are measured. `limits`: how many times a rival's time DLVK may take. What is given to
    the worker of a rival is spec()."""

    kind = "model"

    def __init__(self, name, batch, dtype, source, limits=None):
        self.name, self.batch, self.dtype, self.source, self.limits = name, batch, dtype, source, limits or {}
        self.id = f"{self.kind}/{name}/b{batch}/{dtype}"
        self.dims = {"batch": batch}
        self.onnx = self.reason = None
        self.inputs, self.facts, self.ms, self.turns, self.errors = {}, {}, {}, {}, {}

    def flags(self):  # of dlvkc compile
        return ["--precision", self.dtype]

    def train_flags(self):  # of dlvkc bench on the ONNX file itself; else a bundle is compiled first
        return None

    def make(self, folder, models):
        """Writes what is measured, and the inputs of the comparison."""
        given = os.path.join(models or "", self.name, "model.onnx")
        self.calibrated = not models or not os.path.exists(given)
        self.onnx = os.path.join(folder, f"{self.name}.onnx") if self.calibrated else given
        if not os.path.exists(self.onnx) and self.source == "torch":
            done = subprocess.run([sys.executable, f"{HERE}/torch_rival.py", "--export", self.name, self.onnx], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError("not exported: " + (done.stderr.strip().splitlines() or ["?"])[-1])
        elif not os.path.exists(self.onnx):
            nets.make(self.name, self.onnx)

    def feed(self, folder):
        import onnx
        graph = onnx.load(self.onnx, load_external_data=False).graph
        inits = {i.name for i in graph.initializer}
        rng = np.random.default_rng(1)
        for x in graph.input:
            if x.name in inits:
                continue
            sizes = {"batch": self.batch, "seq": SEQ.get(self.name, 128)}
            shape = [d.dim_value if d.HasField("dim_value") else sizes.get(d.dim_param, 1) for d in x.type.tensor_type.shape.dim]
            integer = x.type.tensor_type.elem_type != onnx.TensorProto.FLOAT
            a = rng.integers(0, VOCABULARY.get(self.name, 2), shape) if integer else rng.uniform(-1, 1, shape).astype(np.float32)
            self.inputs[x.name] = f"{folder}/{x.name.replace('/', '_')}.npy"
            np.save(self.inputs[x.name], a)

    def given(self):
        """Inputs that dlvkc measures with, and is compared with."""
        files = [f"{n}={p}" for n, p in self.inputs.items()]
        return files, files

    def spec(self, variants, folder, threads):
        return dict(id=self.id, kind=self.kind, name=self.name, dtype=self.dtype, onnx=self.onnx, inputs=self.inputs, variants=variants,
                    reference=folder, threads=threads, calibrated=getattr(self, "calibrated", True))

    def tolerance(self):
        return 1e-3 if self.dtype == "f32" else 1e-2  # of the output's largest magnitude


class Train(Case):
    """A step: forward, loss, backward, Adam."""

    kind = "train"
    shapes = {"lenet": (1, 28, 28)}

    def train_flags(self):
        return ["--train", "--optimizer", "adam", "--loss", "cross-entropy", "--batch", str(self.batch), "--precision", self.dtype]

    def make(self, folder, models):
        self.onnx = os.path.join(folder, f"train_{self.name}.onnx")
        if os.path.exists(self.onnx):
            return
        if self.name == "lenet":
            nets.make(self.name, self.onnx)
        else:  # an exporter folds batch normalisation away
            subprocess.run([*self.source, "zoo", self.name, "-o", self.onnx], check=True, stdout=subprocess.DEVNULL)

    def feed(self, folder):
        pass

    def given(self):
        return [], None

    def spec(self, variants, folder, threads):
        shape = (self.batch, *self.shapes.get(self.name, (3, 224, 224)))
        return dict(super().spec(variants, folder, threads), shape=shape, classes=10 if self.name == "lenet" else 1000)


class MicroCase(Case):
    kind = "micro"
    MADE_FROM = 1 << 25  # bytes: larger inputs are made where they are used, and a small size is compared

    def __init__(self, m):
        super().__init__(m.name, 0, m.dtype, None)
        self.id = f"micro/{m.name}"
        self.micro = m
        self.made = m.bytes > self.MADE_FROM and m.symbolic
        self.dims = {"n": m.inputs[0][1][0]} if m.symbolic else {}

    def flags(self):
        return []

    def make(self, folder, models):
        self.onnx = os.path.join(folder, self.id.replace("/", "_") + ".onnx")
        self.micro.write(self.onnx)

    def feed(self, folder):
        rng = np.random.default_rng(1)
        kind = micro.TYPE[self.dtype][0]
        self.weights = {n: f"{folder}/{n}.npy" for n, _ in self.micro.weights}
        for n, path in self.weights.items():
            np.save(path, self.micro.weight(n))
        for n, shape in self.micro.shapes(self.made).items():
            self.inputs[n] = f"{folder}/{n}.npy"
            np.save(self.inputs[n], rng.uniform(-1, 1, shape).astype(kind))

    def given(self):
        files = [f"{n}={p}" for n, p in self.inputs.items()]
        return ([] if self.made else files), files

    def spec(self, variants, folder, threads):
        return dict(super().spec(variants, folder, threads), op=self.micro.op, weights=self.weights, made=self.made,
                    shapes=self.micro.shapes(False))

    def floor(self, rates):
        """The three bounds, in ms: bytes, operations, launches."""
        rate = rates["f16" if self.dtype == "f16" and self.micro.matrix else "f32"]
        return self.micro.bytes / rates["bandwidth"] * 1e3, self.micro.flops / rate * 1e3, rates["launch"] * 1e3


def gpu_cases(dlvkc):
    order = ("resnet50", "mobilenet_v2", "squeezenet1_1", "densenet121", "bert_base", "gpt2", "vit_b_16")
    models = [Case(n, 1, t, "torch") for t in ("f16", "f32") for n in order]
    models += [Case(n, 32, t, "torch") for t in ("f16", "f32") for n in order if n not in ("squeezenet1_1", "gpt2")]
    trains = [Train(n, b, t, dlvkc) for n, b in (("lenet", 128), ("resnet18", 64), ("resnet50", 64)) for t in ("f32", "f16")]
    return models + trains + [MicroCase(m) for m in micro.all_micros(micro.BIG)]


def cpu_cases(dlvkc):
    models = [Case("resnet50", 1, "f32", "net", {"cpu": 3.5, "webgpu": 1 / 8}), Case("squeezenet", 1, "f32", "net", {"cpu": 8.0, "webgpu": 1 / 8}),
              Case("mobilenetv2", 1, "f32", "net", {"cpu": 8.0, "webgpu": 1 / 8})]
    models += [Case(n, 1, "f32", "net") for n in ("densenet121", "bert", "unet")]
    trains = [Train("lenet", 16, "f32", dlvkc)]
    return models + trains + [MicroCase(m) for m in micro.all_micros(micro.SMALL)]
