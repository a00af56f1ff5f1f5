#!/usr/bin/python3
"""Writes test folders (model.onnx, test_data_set_0) for operators, options and opsets that ONNX's own suite leaves out.

usage: operators.py DIR

Expected outputs come from ONNX Runtime, or, for operators newer than the ONNX Runtime of Debian, from numpy below. Every
case has symbolic sizes where `symbolic` is not False. The cases are the same in every run.
"""
import math
import os
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

rng = np.random.default_rng(20)
F32, I64 = np.float32, np.int64


def normal(*shape):
    return rng.standard_normal(shape).astype(F32)


def positive(*shape):
    return np.abs(normal(*shape)) + F32(0.1)


def value_info(name, x, symbol=None):
    shape = [f"{symbol}_{k}" if symbol else n for k, n in enumerate(x.shape)]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape)


def save(name, model, inputs, outputs):
    """A test folder; inputs and outputs are pairs of a name and an array."""
    data = os.path.join(sys.argv[1], name, "test_data_set_0")
    os.makedirs(data)
    onnx.save(model, os.path.join(sys.argv[1], name, "model.onnx"))
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for k, (n, x) in enumerate(tensors):
            with open(os.path.join(data, f"{kind}_{k}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(np.array(x, order="C"), n).SerializeToString())


class Case:
    """One node. None stands for an absent input or output; `const` lists the inputs that become initializers."""

    def __init__(self, name, op, inputs, opset, const=(), symbolic=True, domain="", version=1, **attributes):
        self.name = name
        self.inputs = [(f"i{k}", x) for k, x in enumerate(inputs)]
        self.fed = [(n, x) for k, (n, x) in enumerate(self.inputs) if x is not None and k not in const]
        self.fixed = [numpy_helper.from_array(x, n) for k, (n, x) in enumerate(self.inputs) if k in const and x is not None]
        self.symbolic = symbolic
        self.opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, version)] if domain else [])
        self.make_nodes = lambda outputs: [helper.make_node(
            op, [n if x is not None else "" for n, x in self.inputs], outputs, domain=domain, **{k.rstrip("_"): v for k, v in attributes.items()})]

    def model(self, names, outputs):
        inputs = [value_info(n, x, n if self.symbolic else None) for n, x in self.fed]
        graph = helper.make_graph(self.make_nodes(names), "g", inputs, outputs, self.fixed)
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=8)

    def write(self, outputs):
        names = [f"o{k}" if x is not None else "" for k, x in enumerate(outputs)]
        present = [(n, np.array(x, order="C")) for n, x in zip(names, outputs) if x is not None]
        save(self.name, self.model(names, [value_info(n, x, n) for n, x in present]), self.fed, present)


def expect(name, op, inputs, outputs, opset, **options):
    Case(name, op, inputs, opset, **options).write(outputs)


def session(model):
    import onnxruntime

    how = onnxruntime.SessionOptions()
    how.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), how)


def computed(case, outputs):
    """What ONNX Runtime gives."""
    names = [f"o{k}" for k in range(outputs)]
    model = case.model(names, [onnx.ValueInfoProto(name=n) for n in names])
    if all(o.domain != "com.microsoft" for o in case.opsets):  # whose operators it infers wrongly
        model = onnx.shape_inference.infer_shapes(model)
    return session(model).run(None, dict(case.fed))


def runtime(name, op, inputs, opset, outputs=1, **options):
    case = Case(name, op, inputs, opset, **options)
    case.write(computed(case, outputs))


def graph(name, text, opset=17, **inputs):
    """A whole graph in ONNX's text form, as exporters write them; expected outputs come from ONNX Runtime."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}')
    outputs = session(model).run(None, inputs)
    save(name, model, [(i.name, inputs[i.name]) for i in model.graph.input], [(o.name, x) for o, x in zip(model.graph.output, outputs)])


def convolution():
    for n, size, kernel, step in ((1, [9], [3], [2]), (2, [7, 8], [3, 2], [2, 3]), (3, [6, 7, 6], [2, 3, 2], [1, 2, 1])):
        x, w, wt, bias = normal(2, 4, *size), normal(6, 2, *kernel), normal(4, 3, *kernel), normal(6)
        for pad in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
            how = {"auto_pad": pad} if pad != "NOTSET" else {"pads": [1] * n + [0] * n, "dilations": [2] + [1] * (n - 1)}
            runtime(f"conv_{n}d_{pad}", "Conv", [x, w, bias], 11, const=(1, 2), group=2, strides=step, **how)
            runtime(f"max_pool_{n}d_{pad}", "MaxPool", [x], 12, outputs=2, kernel_shape=kernel, strides=step, storage_order=1, **how)
            how.pop("dilations", None)
            runtime(f"average_pool_{n}d_{pad}", "AveragePool", [x], 11, kernel_shape=kernel, strides=step, **how)
            if not pad.startswith("SAME") or all(s <= k for s, k in zip(step, kernel)):
                runtime(f"conv_transpose_{n}d_{pad}", "ConvTranspose", [x, wt, bias], 11, const=(1, 2), group=2, strides=step, **how)
        runtime(f"max_pool_{n}d_ceil", "MaxPool", [x], 12, kernel_shape=[2] * n, strides=[3] * n, ceil_mode=1)
        runtime(f"average_pool_{n}d_ceil", "AveragePool", [x], 11, kernel_shape=[2] * n, strides=[3] * n, ceil_mode=1)
        runtime(f"average_pool_{n}d_ceil_counted", "AveragePool", [x], 19, kernel_shape=[3] * n, strides=[2] * n, ceil_mode=1, count_include_pad=1,
                pads=[1] * 2 * n, **({"dilations": [1, 1, 2]} if n == 3 else {}))
        runtime(f"lp_pool_{n}d", "LpPool", [x], 11, kernel_shape=kernel, strides=step, p=3)
    x, w = normal(1, 2, 5, 5), normal(2, 3, 3, 3)
    runtime("conv_transpose_extra", "ConvTranspose", [x, w], 11, strides=[2, 3], output_padding=[1, 2], pads=[1, 0, 1, 1], dilations=[2, 1])
    for pad in ("NOTSET", "SAME_UPPER"):
        runtime(f"conv_transpose_shape_{pad}", "ConvTranspose", [x, w], 11, strides=[2, 3], output_shape=[10, 14], auto_pad=pad)

    depthwise = dict(group=16, kernel_shape=[2, 2], pads=[1, 1, 1, 1])
    w, bias = normal(16, 1, 2, 2), normal(16)
    runtime("conv_depthwise", "Conv", [normal(2, 16, 7, 5), w, bias], 11, **depthwise)
    expect("conv_of_padding_alone", "Conv", [normal(2, 16, 0, 0), w, bias],
           [np.broadcast_to(bias[:, None, None], (2, 16, 1, 1))], 11, **depthwise)


def recurrence():
    seq, batch, size, hidden = 5, 3, 4, 6
    lengths = np.array([5, 2, 3], np.int32)
    for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        for way, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            x, w, r = normal(seq, batch, size), normal(d, gates * hidden, size) / 2, normal(d, gates * hidden, hidden) / 2
            bias, h = normal(d, 2 * gates * hidden), normal(d, batch, hidden)
            more = [normal(d, batch, hidden), normal(d, 3 * hidden)] if op == "LSTM" else []
            option = {"linear_before_reset": 1} if op == "GRU" else {}
            outputs = 3 if op == "LSTM" else 2
            runtime(f"{op}_{way}", op, [x, w, r], 14, outputs=outputs, hidden_size=hidden, direction=way)
            runtime(f"{op}_{way}_full", op, [x, w, r, bias, lengths, h] + more, 14, outputs=outputs, const=(1, 2, 3), hidden_size=hidden,
                    direction=way, **option)
        names = {"RNN": ["Affine"], "GRU": ["HardSigmoid", "Softsign"], "LSTM": ["HardSigmoid", "ScaledTanh", "Elu"]}[op]
        runtime(f"{op}_activations", op, [x, w[:1], r[:1]], 14, outputs=outputs, hidden_size=hidden, activations=names,
                activation_alpha=[0.3, 0.8, 0.7][:len(names)], activation_beta=[0.4, 0.5])
    runtime("LSTM_one_step", "LSTM", [x[:1], w[:1], r[:1]], 14, outputs=3, symbolic=False, hidden_size=hidden, input_forget=1)


def contraction():
    for k, (equation, *shapes) in enumerate((
            ("ij,jk->ik", (3, 4), (4, 5)), ("bij,bjk", (2, 3, 4), (2, 4, 5)), ("ii->i", (4, 4)), ("ii", (4, 4)), ("ij->", (2, 3)),
            ("bhwk,hkc->bhwc", (2, 3, 4, 5), (3, 5, 6)), ("ij,kl->ijkl", (2, 3), (4, 5)), ("a,ab,b->", (3,), (3, 4), (4,)),
            ("abc,cd,def->abef", (2, 3, 4), (4, 5), (5, 2, 3)), ("...ii->...i", (2, 3, 3)), ("ij,ij->i", (3, 4), (3, 4)),
            ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)), ("b...,b...->...", (2, 3, 4), (2, 3, 4)))):
        runtime(f"einsum_{k}", "Einsum", [normal(*s) for s in shapes], 12, equation=equation)
    for x, y in (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2)), ((2, 3), (4, 3, 2))):
        runtime("matmul_" + "_".join(map(str, x + ("by",) + y)), "MatMul", [normal(*x), normal(*y)], 13)
    runtime("matmul_broadcast", "MatMul", [normal(5, 1, 2, 3), normal(4, 3, 2)], 13, symbolic=False)
    for c in ((), (1,), (5,), (4, 1), (4, 5)):
        name = "gemm_" + ("_".join(map(str, c)) or "scalar")
        runtime(name, "Gemm", [normal(3, 4), normal(5, 3), normal(*c)], 13, symbolic=False, transA=1, transB=1, alpha=0.5, beta=0.25)
    bytes_ = rng.integers(0, 255, (2, 3, 4)).astype(np.uint8)
    signed = rng.integers(-128, 127, (4, 5)).astype(np.int8)
    runtime("matmul_integer_columns", "MatMulInteger", [bytes_, signed, np.array(120, np.uint8), signed[0]], 10)


def normalization():
    for op in ("Softmax", "LogSoftmax"):
        for opset, axis in ((8, 1), (8, 2), (11, 0), (11, -1), (13, 0), (13, 1)):
            runtime(f"{op}_{opset}_axis_{axis}", op, [normal(2, 3, 4)], opset, axis=axis)
    x, c = normal(2, 6, 4, 5), [normal(6), normal(6), normal(6), positive(6)]
    runtime("batch_norm_7", "BatchNormalization", [x] + c, 7, epsilon=1e-3)
    runtime("batch_norm_training", "BatchNormalization", [x] + c, 15, outputs=3, training_mode=1, momentum=0.7)
    runtime("layer_norm_statistics", "LayerNormalization", [x, normal(4, 5), normal(4, 5)], 17, outputs=3, symbolic=False, axis=2)
    runtime("group_norm_18", "GroupNormalization", [x, normal(3), normal(3)], 18, num_groups=3)
    runtime("group_norm_21", "GroupNormalization", [x, normal(6), normal(6)], 21, num_groups=3)
    beyond = np.array([True, False, True, True, True, False, True])
    runtime("compress_beyond", "Compress", [x[:, :3], beyond], 11, axis=1)
    runtime("compress_beyond_known", "Compress", [x[0, :3, 0, 0], beyond], 11, const=(1,), symbolic=False)
    graph("size_alone", """(float[n] x, bool[n] keep) => (int64 y) { c = Compress<axis = 0>(x, keep)
        y = Size(c) }""", x=x[0, :, 0, 0], keep=np.array([True, False, True, True, False, True]))
    runtime("lrn", "LRN", [x], 13, size=5, alpha=0.2, beta=0.6, bias=1.5)
    everything = (x / (1 + (x * x).sum(1, keepdims=True) / 4) ** 0.5).astype(F32)
    expect("lrn_beyond", "LRN", [x], [everything], 13, symbolic=False, size=1 << 20, alpha=float(1 << 18), beta=0.5, bias=1.0)
    whole = np.array([-7, -6, -5, -4, -1, 0, 3, 5, 6, 100], np.int32)
    expect("erf_integers", "Erf", [whole], [np.vectorize(math.erf)(whole).astype(np.int32)], 13)
    expect("shrink_both", "Shrink", [x], [np.where(x < 1, x + F32(0.25), x - F32(0.25))], 9, lambd=-1.0, bias=0.25)
    for p in (1, 2):
        runtime(f"lp_normalization_{p}", "LpNormalization", [x], 1, p=p, axis=1)


def losses():
    x, target = normal(4, 5, 2), rng.integers(0, 5, (4, 2)).astype(I64)
    for reduction in ("none", "sum", "mean"):
        for k, (weight, option) in enumerate(((None, {}), (positive(5), {}), (None, {"ignore_index": 1}), (positive(5), {"ignore_index": 1}))):
            runtime(f"nll_{reduction}_{k}", "NegativeLogLikelihoodLoss", [x, target, weight], 13, reduction=reduction, **option)
            runtime(f"sce_{reduction}_{k}", "SoftmaxCrossEntropyLoss", [x, target, weight], 13, outputs=2, reduction=reduction, **option)


def regions():
    rois = np.array([[0, 0, 7, 5], [1.3, 2.2, 6.1, 6.9], [-2, -1, 3, 9], [5, 5, 5.2, 5.1]], F32)
    images = np.array([0, 1, 1, 0], I64)
    for mode in ("avg", "max"):
        for ratio in (0, 2):
            for frame in ("half_pixel", "output_half_pixel"):
                runtime(f"roi_align_{mode}_{ratio}_{frame}", "RoiAlign", [normal(2, 3, 8, 8), rois, images], 16, mode=mode, output_height=3,
                        output_width=2, sampling_ratio=ratio, spatial_scale=0.9, coordinate_transformation_mode=frame)
    runtime("max_roi_pool", "MaxRoiPool", [normal(2, 3, 8, 8), np.column_stack([images, rois]).astype(F32)], 1, pooled_shape=[3, 2],
            spatial_scale=0.75)
    corner = rng.random((2, 20, 2))
    boxes = np.concatenate([corner, corner + 0.3 * rng.random((2, 20, 2))], 2).astype(F32)
    runtime("non_max_suppression", "NonMaxSuppression", [boxes, rng.random((2, 3, 20)).astype(F32), np.array([4], I64),
                                                          np.array([0.3], F32), np.array([0.4], F32)], 11)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, mask=0.0, scale=None, cap=0.0):
    scores = q.astype(float) @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if cap:
        scores = np.tanh(scores / cap) * cap
    scores = scores + mask
    return (softmax(scores) @ v).astype(F32), scores.astype(F32)


def causal(queries, keys, offset=0):
    return np.where(np.arange(keys) <= np.arange(queries)[:, None] + offset, 0.0, -np.inf)


def heads(x, n):
    return x.reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3)


def flat(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def attention():
    b, h, s, t, d, e = 2, 4, 3, 5, 8, 6
    q, k, v = normal(b, h, s, d), normal(b, h, t, d), normal(b, h, t, e)
    expect("attention", "Attention", [q, k, v], [attend(q, k, v)[0]], 23, symbolic=False)
    expect("attention_causal", "Attention", [q, k, v], [attend(q, k, v, causal(s, t))[0]], 23, symbolic=False, is_causal=1)
    mask = normal(s, t)
    expect("attention_mask", "Attention", [q, k, v, mask], [attend(q, k, v, mask)[0]], 23, symbolic=False)
    allowed = rng.random((b, 1, s, t)) > 0.3
    allowed[..., 0] = True
    want, scores = attend(q, k, v, np.where(allowed, 0.0, -np.inf), 0.3, 2.0)
    expect("attention_bool_mask_softcap", "Attention", [q, k, v, allowed], [want, None, None, scores], 23, symbolic=False, softcap=2.0,
           scale=0.3, qk_matmul_output_mode=2)
    past_k, past_v = normal(b, h, 4, d), normal(b, h, 4, e)
    all_k, all_v = np.concatenate([past_k, k[:, :, :s]], 2), np.concatenate([past_v, v[:, :, :s]], 2)
    expect("attention_past", "Attention", [q, k[:, :, :s], v[:, :, :s], None, past_k, past_v],
           [attend(q, all_k, all_v, causal(s, s + 4, 4))[0], all_k, all_v], 23, symbolic=False, is_causal=1)
    q3, k3, v3 = normal(b, s, 4 * d), normal(b, t, 2 * d), normal(b, t, 2 * e)
    want = attend(heads(q3, 4), np.repeat(heads(k3, 2), 2, 1), np.repeat(heads(v3, 2), 2, 1))[0]
    expect("attention_grouped_flat", "Attention", [q3, k3, v3], [flat(want)], 23, symbolic=False, q_num_heads=4, kv_num_heads=2)
    lengths = np.array([4, 5], I64)
    real = np.where(np.arange(t) < lengths[:, None], 0.0, -np.inf)[:, None, None]
    expect("attention_lengths", "Attention", [q, k, v, None, None, None, lengths], [attend(q, k, v, real)[0]], 24, symbolic=False)
    q, k, v = normal(b, h, 5, d), normal(b, h, 5, d), normal(b, h, 5, e)
    ahead = np.arange(5) - np.arange(5)[:, None]
    for left, right, causal_too in ((1, 2, 0), (-1, 1, 0), (2, -1, 0), (1, 2, 1), (0, 0, 0)):
        seen = (ahead >= -left if left >= 0 else True) & (ahead <= (0 if causal_too else right if right >= 0 else 9))
        expect(f"attention_window_{left}_{right}_{causal_too}", "Attention", [q, k, v], [attend(q, k, v, np.where(seen, 0.0, -np.inf))[0]],
               25, symbolic=False, left_window_size=left, right_window_size=right, is_causal=causal_too)
    seen = np.arange(9) >= np.arange(5)[:, None] + 4 - 1
    past_k, past_v = normal(b, h, 4, d), normal(b, h, 4, e)
    all_k, all_v = np.concatenate([past_k, k], 2), np.concatenate([past_v, v], 2)
    expect("attention_window_past", "Attention", [q, k, v, None, past_k, past_v],
           [attend(q, all_k, all_v, np.where(seen, 0.0, -np.inf))[0], all_k, all_v], 25, symbolic=False, left_window_size=1)


def rotary(x, cosine, sine, interleaved, size):
    a, rest = x[..., :size], x[..., size:]
    p, q = (a[..., 0::2], a[..., 1::2]) if interleaved else np.split(a, 2, -1)
    pair = [cosine * p - sine * q, sine * p + cosine * q]
    turned = np.stack(pair, -1).reshape(a.shape) if interleaved else np.concatenate(pair, -1)
    return np.concatenate([turned, rest], -1)


def positions():
    b, h, s, d = 2, 4, 3, 8
    at = rng.integers(0, 10, (b, s)).astype(I64)
    for interleaved in (0, 1):
        for size in (4, 8):
            x, cosine, sine = normal(b, h, s, d), normal(10, size // 2), normal(10, size // 2)
            want = rotary(x, cosine[at][:, None], sine[at][:, None], interleaved, size)
            expect(f"rotary_{interleaved}_{size}", "RotaryEmbedding", [x, cosine, sine, at], [want], 23, symbolic=False,
                   interleaved=interleaved, rotary_embedding_dim=size)
    for mode, start in (("linear", [1, 3]), ("circular", [1, 5])):
        cache, update = normal(2, 3, 6, 4), normal(2, 3, 3, 4)
        want = cache.copy()
        for k in range(2):
            want[k][:, (start[k] + np.arange(3)) % 6] = update[k]
        expect(f"tensor_scatter_{mode}", "TensorScatter", [cache, update, np.array(start, I64)], [want], 24, symbolic=False, mode=mode)


def newer():
    x, w = normal(2, 3, 8), normal(8)
    rms = np.sqrt((x.astype(float) ** 2).mean(-1, keepdims=True) + 1e-5)
    expect("rms_normalization", "RMSNormalization", [x, w], [(x / rms * w).astype(F32)], 23, symbolic=False)
    doubles = w.astype(float)  # the result is of the scale's type, what it scales of the input's
    expect("rms_normalization_scale_type", "RMSNormalization", [x, doubles], [(x / rms).astype(F32) * doubles], 23)
    q, k, v = normal(1, 2, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 2)
    score = helper.make_tensor_value_info("s", onnx.TensorProto.DOUBLE, ["a", "b", "c", "d"])
    changed = helper.make_tensor_value_info("t", onnx.TensorProto.DOUBLE, ["a", "b", "c", "d"])
    change = helper.make_graph([helper.make_node("Mul", ["s", "s"], ["t"])], "m", [score], [changed])
    want = softmax((q @ k.swapaxes(2, 3) * F32(0.5)).astype(float) ** 2).astype(F32) @ v
    expect("flex_attention_in_double", "FlexAttention", [q, k, v], [want], 23, domain="ai.onnx.preview", softmax_precision=11, score_mod=change)
    a, b = normal(3, 4), normal(3, 4)
    expect("swiglu", "SwiGLU", [a, b], [(a / (1 + np.exp(-0.5 * a)) * b).astype(F32)], 28, alpha=0.5, symbolic=False)
    x, w, past = normal(2, 4, 7), normal(4, 1, 3), normal(2, 4, 2)
    padded = np.concatenate([past, x], 2)
    y = sum(padded[:, :, k:k + 7].astype(float) * w[:, 0, k, None] for k in range(3))
    expect("causal_conv", "CausalConvWithState", [x, w, None, past], [(y / (1 + np.exp(-y))).astype(F32), padded[:, :, -2:]], 28,
           symbolic=False, activation="silu")
    linear_attention()
    for size in (8, 9):
        signal = normal(2, size, 3)
        half = np.fft.rfft(signal.astype(float), axis=1)
        pairs = np.stack([half.real, half.imag], -1).astype(F32)
        length = np.array(size, I64)
        if size % 2:  # otherwise the last bin's imaginary part is rounding noise
            expect(f"dft_half_{size}", "DFT", [signal[..., None], None, np.array(1, I64)], [pairs], 20, const=(2,), onesided=1)
        expect(f"dft_from_half_{size}", "DFT", [pairs, length, np.array(1, I64)], [signal[..., None]], 20, const=(1, 2), symbolic=False,
               onesided=1, inverse=1)
    expect("dft_from_half_cut", "DFT", [pairs, np.array(6, I64), np.array(-3, I64)],
           [np.fft.irfft(half[:, :4], 6, axis=1).astype(F32)[..., None]], 20, const=(1, 2), symbolic=False, onesided=1,
           inverse=1)
    expect("dft_from_half_default", "DFT", [pairs, None, np.array(1, I64)],
           [np.fft.irfft(half, axis=1).astype(F32)[..., None]], 20, const=(2,), symbolic=False, onesided=1, inverse=1)
    narrow()


def code_tensor(t, codes, *shape):
    """A tensor of a type that numpy lacks, by its bits: whole bytes, or several elements a byte, the first in the lowest bits."""
    bits = {"INT2": 2, "UINT2": 2, "INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4}.get(t, 8)
    raw = bytearray((len(codes) * bits + 7) // 8)
    for k, c in enumerate(codes):
        raw[k * bits // 8] |= (int(c) & (1 << bits) - 1) << k * bits % 8
    number = {"UINT4": 21, "INT4": 22, "FLOAT4E2M1": 23, "FLOAT8E8M0": 24, "UINT2": 25, "INT2": 26}[t]
    return onnx.TensorProto(data_type=number, dims=shape or (len(codes),), raw_data=bytes(raw)), number


def narrow():
    """Types newer than Debian's onnx package; a second node brings results back to what numpy holds."""
    x = np.array([-9, -2.5, -1.5, -0.4, 0, 0.6, 1.5, 2.5, 3.7, 7], F32)
    for t, bits in (("INT2", 2), ("UINT2", 2), ("INT4", 4), ("UINT4", 4)):
        low = np.trunc(x).astype(int) & (1 << bits) - 1
        want = np.where((t[0] == "I") & (low >> bits - 1 > 0), low - (1 << bits), low)
        round_trip(f"cast_25_{t}", x, code_tensor(t, [0])[1], want, 25)
    x = np.array([0.3, 1, 1.4, 1.5, 1.6, 2, 3, 1e38, 3e38, np.inf, 2.0 ** -120 * 1.2, np.nan], F32)
    exponent = np.floor(np.log2(x[:-1].clip(None, 3e38).astype(float)))
    for mode, e in (("down", exponent), ("up", np.ceil(np.log2(x[:-1].clip(None, 3e38).astype(float)))),
                    ("nearest", exponent + (x[:-1].clip(None, 3e38) / 2.0 ** exponent >= 1.5))):
        for saturate in (0, 1):
            want = np.append(2.0 ** np.minimum(e, 127), np.nan)
            if not saturate:
                want[:-1][e > 127] = np.nan
                want[9] = np.nan
            round_trip(f"cast_e8m0_{mode}_{saturate}", x, 24, want, 25, round_mode=mode, saturate=saturate)
    round_trip("cast_f4", np.array([-7, -0.3, 0.25, 0.26, 1.25, 2.5, 5, np.inf, np.nan], F32), 23,
               [-6, -0.5, 0, 0.5, 1, 2, 4, 6, -0.0], 25)
    quantized()
    ties()


def round_trip(name, x, t, want, opset, **attributes):
    pair(name, helper.make_node("Cast", ["i0"], ["m"], to=t, **attributes), helper.make_node("Cast", ["m"], ["o0"], to=1), x, want, opset)


def pair(name, first, second, x, want, opset, fixed=()):
    case = Case(name, "Identity", [x], opset, symbolic=False)
    case.fixed = list(fixed)
    case.make_nodes = lambda names: [first, second]
    case.write([np.array(want, F32)])


def quantized():
    x = (normal(2, 6) * 3).astype(F32)
    for t, lo, hi in (("INT2", -2, 1), ("UINT2", 0, 3), ("INT4", -8, 7), ("UINT4", 0, 15)):
        zero, number = code_tensor(t, [1] * 6, 6)
        scale = positive(6)
        zero.name, per = "zero", numpy_helper.from_array(scale, "scale")
        want = (np.clip(np.rint(x / scale) + 1, lo, hi) - 1) * scale
        pair(f"quantize_{t}", helper.make_node("QuantizeLinear", ["i0", "scale", "zero"], ["m"], axis=1),
             helper.make_node("DequantizeLinear", ["m", "scale", "zero"], ["o0"], axis=1), x, want, 25, (per, zero))
    exponents, _ = code_tensor("FLOAT8E8M0", [126, 127, 129, 128], 2, 2)  # a scale for every three elements along axis 1
    exponents.name = "scale"
    scale = np.repeat(np.array([[0.5, 1], [4, 2]]), 3, 1)
    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    ratio = x / scale
    want = np.sign(ratio) * levels[np.abs(np.abs(ratio)[..., None] - levels).argmin(-1)] * scale
    pair("quantize_mxfp4", helper.make_node("QuantizeLinear", ["i0", "scale"], ["m"], axis=1, block_size=3, output_dtype=23),
         helper.make_node("DequantizeLinear", ["m", "scale"], ["o0"], axis=1, block_size=3, output_dtype=1), x, want, 25, (exponents,))


def linear_attention():
    b, t, hq, h, dk, dv = 2, 5, 4, 2, 3, 6
    q, k, v, past = normal(b, t, hq * dk), normal(b, t, h * dk), normal(b, t, h * dv), normal(b, h, dk, dv)
    decay, beta = -positive(b, t, h * dk), positive(b, t, h)
    for rule in ("linear", "gated", "delta", "gated_delta"):
        gated, delta = "gated" in rule, "delta" in rule
        state, out = past.astype(float), np.zeros((b, hq, t, dv))
        for i in range(t):
            key, value = heads(k, h)[:, :, i], heads(v, h)[:, :, i].astype(float)
            if gated:
                state = state * np.exp(heads(decay, h)[:, :, i])[..., None]
            if delta:
                recalled = np.einsum("bhdm,bhd->bhm", state, key)
                value = heads(beta, h)[:, :, i] * (value - recalled)
            state = state + key[..., None] * value[..., None, :]
            out[:, :, i] = 0.7 * np.einsum("bhd,bhdm->bhm", heads(q, hq)[:, :, i], np.repeat(state, hq // h, 1))
        inputs = [q, k, v, past, decay if gated else None, beta if delta else None]
        expect(f"linear_attention_{rule}", "LinearAttention", inputs, [flat(out).astype(F32), state.astype(F32)], 28, update_rule=rule,
               symbolic=False, q_num_heads=hq, kv_num_heads=h, scale=0.7)


def ties():
    """Sums that fall half-way between two steps of the result, or do not, by how the scales are multiplied."""
    x, y = np.arange(0, 256, dtype=np.uint8)[:, None], np.arange(1, 9, dtype=np.int8)[None]
    sx, sw, sy, zx, zw, zy = np.array(0.099, F32), np.array(0.025, F32), np.array(0.033, F32), *np.array([0, 1, 3], np.uint8)
    zw = zw.astype(np.int8)
    const = (1, 2, 3, 4, 5, 6, 7)
    runtime("ties_matmul", "QLinearMatMul", [x, sx, zx, y, sw, zw, sy, zy], 10, const=const)
    runtime("ties_conv", "QLinearConv", [x[None, None], sx, zx, y.reshape(8, 1, 1, 1), np.full(8, sw), np.full(8, zw), sy, zy], 10, const=const)
    runtime("ties_gemm", "QGemm", [x, sx, zx, y, sw, zw, np.arange(8, dtype=np.int32), sy, zy], 17, const=(*const, 8), domain="com.microsoft")


def microsoft():
    x, bias = normal(2, 3, 8), normal(8)
    ms = dict(domain="com.microsoft")
    for op in ("Gelu", "FastGelu", "QuickGelu"):
        runtime(f"ms_{op.lower()}", op, [x], 17, **ms)
    for op in ("BiasGelu", "FastGelu"):
        runtime(f"ms_{op.lower()}_bias", op, [x, bias], 17, **ms)
    for op in ("QLinearAdd", "QLinearMul"):
        quantized = [(rng.integers(0, 256, shape).astype(np.uint8), np.array(0.02, F32), np.array(100, np.uint8)) for shape in ((2, 3, 8), (8,))]
        runtime(f"ms_{op.lower()}", op, [*quantized[0], *quantized[1], np.array(0.05, F32), np.array(90, np.uint8)], 17, const=(1, 2, 4, 5, 6, 7), **ms)
    byte = lambda *shape: rng.integers(0, 256, shape).astype(np.uint8)
    one, zero = np.array(0.02, F32), np.array(100, np.uint8)
    image = [byte(2, 3, 6, 8), one, zero]
    for op, how in (("Sigmoid", {}), ("LeakyRelu", {"alpha": 0.2}),
                    ("GlobalAveragePool", {"channels_last": 0}), ("AveragePool", {"kernel_shape": [2, 3], "pads": [1, 1, 0, 0]})):
        runtime(f"ms_qlinear_{op.lower()}", f"QLinear{op}", [*image, np.array(0.013, F32), np.array(7, np.uint8)], 17, const=(1, 2, 3, 4), **how, **ms)
    want = np.rint(softmax((image[0].astype(float) - 100) * 0.02) * 256).clip(0, 255)
    expect("ms_qlinear_softmax", "QLinearSoftmax", [*image, np.array(1 / 256, F32), np.array(0, np.uint8)], [want.astype(np.uint8)], 17,
           const=(1, 2, 3, 4), axis=-1, opset_=13, **ms)
    runtime("ms_qlinear_nhwc", "QLinearGlobalAveragePool", [*image, np.array(0.013, F32), zero], 17, const=(1, 2, 3, 4), channels_last=1, **ms)
    runtime("ms_qlinear_concat", "QLinearConcat", [one, zero, *image, byte(2, 2, 6, 8), np.array(0.03, F32), zero], 17, const=(0, 1, 3, 4, 6, 7),
            axis=1, **ms)
    runtime("ms_qlinear_concat_one", "QLinearConcat", [one, zero, *image], 17, const=(0, 1, 3, 4), axis=1, **ms)
    runtime("ms_qlinear_where", "QLinearWhere", [rng.random((2, 1, 6, 8)) > 0.5, *image, byte(8), np.array(0.03, F32), zero, one, zero], 17,
            const=(2, 3, 5, 6, 7, 8), symbolic=False, **ms)
    runtime("ms_dequantize", "DequantizeLinear", [rng.integers(0, 60000, (3, 4)).astype(np.uint16), positive(4), np.full(4, 30000, np.uint16)], 17,
            const=(1, 2), axis=1, **ms)
    runtime("ms_quantize", "QuantizeLinear", [normal(3, 4), positive(4) / 999, np.full(4, -30, np.int16)], 17, const=(1, 2), axis=1, **ms)
    weight = rng.integers(-99, 99, (8, 5)).astype(np.int8)
    runtime("ms_matmul_real", "MatMulIntegerToFloat", [byte(2, 3, 8), weight, one, positive(5), zero, weight[0], normal(5)], 17,
            const=(1, 2, 3, 4, 5, 6), **ms)
    runtime("ms_matmul_dynamic", "DynamicQuantizeMatMul", [x, weight, one, None, normal(5)], 17, const=(1, 2, 4), **ms)
    picture, filters = normal(2, 3, 6, 8), normal(4, 3, 2, 3)
    for f, how in (("Relu", {}), ("LeakyRelu", {"activation_params": [0.3]}), ("HardSigmoid", {"activation_params": [0.3, 0.4]}),
                   ("Clip", {"activation_params": [-0.5, 0.5]})):
        runtime(f"ms_fused_conv_{f.lower()}", "FusedConv", [picture, filters, normal(4)], 17, const=(1, 2), activation=f, strides=[2, 1], **how, **ms)
    runtime("ms_fused_conv_sum", "FusedConv", [picture, normal(16, 3, 2, 3), normal(16), normal(2, 16, 5, 6)], 17, const=(1, 2), symbolic=False,
            activation="Relu", **ms)
    wide, more, padded = normal(2, 16, 5, 6), normal(2, 16, 5, 6), dict(pads=[0, 1, 1, 1], group=4)
    filters, offsets, turn = normal(16, 4, 2, 3), normal(16), lambda x: np.moveaxis(x, 1, -1)
    want = computed(Case("", "Conv", [wide, filters, offsets], 17, **padded), 1)[0]
    expect("ms_nhwc_conv", "NhwcConv", [turn(wide), turn(filters), offsets], [turn(want)], 17, const=(1, 2), symbolic=False, **padded, **ms)
    expect("ms_nhwc_fused_conv", "NhwcFusedConv", [turn(wide), filters, offsets, turn(more)], [turn(np.maximum(want + more, 0))], 17, const=(1, 2),
           symbolic=False, activation="Relu", **padded, **ms)
    runtime("ms_fused_gemm", "FusedGemm", [normal(3, 4), normal(5, 4), normal(5)], 17, transB=1, alpha=0.5, activation="LeakyRelu",
            activation_alpha=0.3, **ms)
    words, segments = rng.integers(0, 9, (2, 5)).astype(np.int32), rng.integers(0, 2, (2, 5)).astype(np.int32)
    tables = [normal(9, 8), normal(7, 8), normal(2, 8), normal(8), normal(8)]
    for name, ids in (("", segments), ("_words", None)):
        tables[2] = None if ids is None else tables[2]
        runtime(f"ms_embed{name}", "EmbedLayerNormalization", [words, ids, *tables, (words > 2).astype(np.int32)], 17, outputs=3, symbolic=False, **ms)
    gemm = [byte(3, 5), one, zero, byte(4, 5), one, zero, rng.integers(-99, 99, 4).astype(np.int32)]
    runtime("ms_qgemm_real", "QGemm", gemm, 17, const=(1, 2, 4, 5), transB=1, alpha=0.5, **ms)
    runtime("ms_qgemm", "QGemm", [*gemm, np.array(0.3, F32), zero], 17, const=(1, 2, 4, 5, 7, 8), transB=1, **ms)
    a, b = normal(2, 3, 5, 4), normal(2, 3, 6, 4)
    runtime("ms_fused_matmul", "FusedMatMul", [a, b], 17, transB=1, alpha=0.5, **ms)
    a, b = normal(5, 2, 3, 4), normal(2, 3, 5, 6)
    runtime("ms_fused_matmul_batch", "FusedMatMul", [a, b], 17, transA=1, transBatchA=1, alpha=2.0, **ms)
    skip = [x, normal(2, 3, 8), normal(8), bias, normal(8)]
    runtime("ms_skip_layer_norm", "SkipLayerNormalization", skip, 17, epsilon=1e-5, **ms)
    runtime("ms_skip_rms_norm", "SkipSimplifiedLayerNormalization", skip[:3], 17, epsilon=1e-5, **ms)
    expect("ms_simplified_layer_norm", "SimplifiedLayerNormalization", [x, bias],
           [(x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * bias).astype(F32)], 17, axis=-1, epsilon=1e-5)
    q, k, v = normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)
    kept = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 1, 1]], np.int32)
    runtime("ms_attention_heads", "MultiHeadAttention", [q, k, v], 17, symbolic=False, num_heads=2, **ms)
    runtime("ms_attention_heads_masked", "MultiHeadAttention", [q, k, v, normal(24), kept, normal(1, 2, 3, 5)], 17, symbolic=False, num_heads=2,
            scale=0.3, **ms)
    past = [normal(2, 2, 4, 4), normal(2, 2, 4, 4)]
    all_k, all_v = (np.concatenate([p, heads(q, 2)], 2) for p in past)
    expect("ms_attention_past", "MultiHeadAttention", [q, q, q, None, None, None, *past], [flat(attend(heads(q, 2), all_k, all_v)[0]), all_k, all_v],
           17, symbolic=False, num_heads=2, **ms)
    runtime("ms_attention", "Attention", [k, normal(8, 24), normal(24), kept], 17, symbolic=False, num_heads=4, **ms)
    runtime("ms_attention_lengths", "Attention", [k, normal(8, 24), normal(24), np.array([3, 5], np.int32)], 17, symbolic=False, num_heads=2,
            unidirectional=1, **ms)
    runtime("ms_attention_begins", "Attention", [k, normal(8, 24), normal(24), np.array([3, 5, 0, 2], np.int32)], 17, symbolic=False, num_heads=2, **ms)
    packed, w = np.array([3, 5, 0, 3, 8, 0, 3, 8], np.int32), [normal(8, 24), normal(24)]
    expect("ms_attention_packed", "Attention", [k, *w, packed],
           computed(Case("", "Attention", [k, *w, packed[:2]], 17, symbolic=False, num_heads=2, **ms), 1), 17, symbolic=False, num_heads=2, **ms)
    b3 = normal(24)
    expect("ms_attention_cross", "MultiHeadAttention", [q, heads(k, 2), heads(v, 2), b3],
           computed(Case("", "MultiHeadAttention", [q + b3[:8], k, v], 17, symbolic=False, num_heads=2, **ms), 1), 17, symbolic=False, num_heads=2, **ms)
    earlier = normal(2, 2, 4, 3, 2)
    runtime("ms_attention_past_packed", "Attention", [k, normal(8, 24), normal(24), np.ones((2, 8), np.int32), earlier], 17, outputs=2,
            symbolic=False, num_heads=4, unidirectional=1, **ms)
    runtime("ms_attention_sizes", "Attention", [k, normal(8, 20), normal(20)], 17, symbolic=False, num_heads=2, qkv_hidden_sizes=[8, 8, 4], **ms)
    qkv = [byte(2, 3, 8), rng.integers(-99, 99, (8, 24)).astype(np.int8), normal(24), one, np.array(0.01, F32), None, zero, np.array(3, np.int8)]
    runtime("ms_attention_quantized", "QAttention", qkv, 17, const=(1, 2, 3, 4, 6, 7), symbolic=False, num_heads=2, **ms)
    caches = [normal(9, 4), normal(9, 4)]
    for name, data, at in (("", normal(2, 5, 16), np.array([3], I64)), ("_heads", normal(2, 2, 5, 8), rng.integers(0, 9, (2, 5)).astype(I64))):
        for pairs in (0, 1):
            runtime(f"ms_rotary{name}_{pairs}", "RotaryEmbedding", [data, at, *caches], 17, interleaved=pairs, **ms)
    total, size = lambda n: np.array(n, np.int32), dict(num_heads=4, kv_num_heads=2)
    grouped = lambda s: [normal(2, s, 64), normal(2, s, 32), normal(2, s, 32)]
    earlier = [normal(2, 2, 3, 16), normal(2, 2, 3, 16)]
    turns = [normal(9, 8), normal(9, 8)]
    runtime("ms_grouped", "GroupQueryAttention", [*grouped(5), None, None, total([4, 4]), total(5)], 17, outputs=3, symbolic=False, **size, **ms)
    runtime("ms_grouped_past", "GroupQueryAttention", [*grouped(1), *earlier, total([3, 2]), total(4), *turns], 17, outputs=3, do_rotary=1,
            rotary_interleaved=1, **size, **ms)
    runtime("ms_grouped_packed", "GroupQueryAttention", [normal(2, 5, 128), None, None, None, None, total([4, 4]), total(5), *turns], 17, outputs=3,
            symbolic=False, do_rotary=1, softcap=2.0, local_window_size=2, **size, **ms)
    room = [normal(2, 2, 6, 16) * (np.arange(6) < [[3], [1]])[:, None, :, None].astype(F32) for _ in range(2)]
    runtime("ms_grouped_room", "GroupQueryAttention", [*grouped(1), *room, total([3, 1]), total(4)], 17, outputs=3,
            symbolic=False, scale=0.2, **size, **ms)
    fresh, raised = grouped(1), normal(1, 1, 1, 4)
    after = [np.concatenate([p[:, :, :3], heads(x, 2), p[:, :, 4:]], 2) for p, x in zip(room, fresh[1:])]
    want = attend(heads(fresh[0], 4), *(np.repeat(p[:, :, :4], 2, 1) for p in after), raised)[0]
    expect("ms_grouped_room_biased", "GroupQueryAttention", [*fresh, *room, total([3, 3]), total(4), None, None, None, raised],
           [flat(want), *after], 17, const=(6,), symbolic=False, **size, **ms)
    w, r = (rng.integers(-99, 99, (1, size, 16)).astype(np.int8) for size in (3, 4))
    per, zeros, state = np.full((1, 16), 0.02, F32), np.zeros((1, 16), np.int8), normal(5, 2, 3)
    whole = lambda x: (x * F32(0.02)).transpose(0, 2, 1)
    expect("ms_lstm_quantized", "DynamicQuantizeLSTM", [state, w, r, None, None, None, None, None, per, zeros, per[:, 0], zeros[:, 0]],
           computed(Case("", "LSTM", [state, whole(w), whole(r)], 14, hidden_size=4), 3), 17, const=(1, 2, 8, 9, 10, 11), hidden_size=4, **ms)
    for bits in (2, 8):
        codes, zeros, scales = rng.integers(0, 1 << bits, (3, 40)), rng.integers(0, 1 << bits, (3, 3)), positive(3, 3)
        pack = lambda c: np.packbits((c[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(3, -1), axis=1, bitorder="little")
        weights = (codes - zeros.repeat(16, 1)[:, :40]) * scales.repeat(16, 1)[:, :40]
        whole = np.pad(codes, ((0, 0), (0, 8)))
        data = normal(2, 4, 40)
        expect(f"ms_matmul_{bits}_bits", "MatMulNBits", [data, pack(whole).reshape(3, 3, -1), scales.reshape(-1), pack(zeros).reshape(-1)],
               [(data @ weights.T).astype(F32)], 17, const=(1, 2, 3), K=40, N=3, bits=bits, block_size=16, **ms)
    for name, zeros in (("", None), ("_zeros", byte(3, 2))):
        runtime(f"ms_matmul_nbits{name}", "MatMulNBits", [normal(2, 4, 40), byte(3, 3, 8), positive(9), zeros], 17, const=(1, 2, 3), K=40, N=3,
                bits=4, block_size=16, **ms)


def exported():
    # A size that is found out behind the product that its bias joins, and one that the graph computes by a division.
    graph("size_behind_dot", """(float[n, 4] x, int64[2] to) => (float[p, q] y) {
        w = Constant<value = float[4, 6] {1, 2, 3, 4, 5, 6, -1, 2, -3, 4, -5, 6, 1, 0, 1, 0, 1, 0, 2, 2, 2, 2, 2, 2}> ()
        p = MatMul(x, w)
        r = Reshape(p, to)
        half = Constant<value = float {0.5}> ()
        h = Expand(half, to)
        y = Add(r, h) }""", x=normal(3, 4), to=np.array([2, 9], I64))
    graph("size_by_division", """(float[a, b] x, float[c] m) => (float[p, q, r] y) {
        zero = Constant<value = int64[1] {0}> ()
        one = Constant<value = int64[1] {1}> ()
        minus = Constant<value = int64[1] {-1}> ()
        s = Shape(x)
        rows = Gather<axis = 0>(s, zero)
        c = Shape(m)
        groups = Div(rows, c)
        to = Concat<axis = 0>(groups, c, minus)
        r = Reshape(x, to)
        um = Unsqueeze(m, one)
        y = Add(r, um) }""", x=normal(6, 4), m=normal(3))
    # A scale of one element in a vector, as quantizers write it for a bias.
    graph("scale_of_one", """(int32[n] x) => (float[n] y) {
        s = Constant<value = float[1] {0.25}> ()
        z = Constant<value = int32[1] {0}> ()
        y = DequantizeLinear(x, s, z) }""", x=np.arange(-3, 4, dtype=np.int32))
    # What only a branch uses is computed all the same.
    graph("used_in_branch", """(bool[1] c, float[n] x, int64[n] at) => (float[n] y) {
        s = ScatterElements<reduction = "add">(x, at, x)
        y = If(c) <then_branch = t () => (float[n] a) { a = Neg(s) }, else_branch = e () => (float[n] b) { b = Identity(x) }> }""",
          c=np.array([True]), x=normal(5), at=np.array([1, 1, 3, 0, 4], I64))


def sizes_at_run_time():
    """What is known when the model is compiled elsewhere, but not here, and what an attribute sweep has found beside it."""
    q, k, v = normal(2, 4, 3, 8), normal(2, 2, 5, 8), normal(2, 2, 5, 6)
    expect("attention_symbolic_heads", "Attention", [q, k, v], [attend(q, np.repeat(k, 2, 1), np.repeat(v, 2, 1))[0]], 23)
    signal = normal(1, 5, 2)
    spectrum = np.fft.fft(signal[..., 0] + 1j * signal[..., 1], axis=1)
    expect("dft_of_complex_or_real", "DFT", [signal], [np.stack([spectrum.real, spectrum.imag], -1).astype(F32)], 20)
    theta = normal(2, 2, 3)
    points = np.array([[-1, -1, 1], [0, -1, 1], [1, -1, 1]])  # one row of three
    expect("affine_grid_of_one_row", "AffineGrid", [theta, np.array([2, 1, 1, 3], I64)],
           [np.einsum("nij,kj->nki", theta, points)[:, None].astype(F32)], 20, align_corners=1)
    x, bf16 = np.array([7, 61.75], F32), lambda a: (np.array(a, F32).view(np.uint32) >> 16).astype(np.uint16)
    # 7 / 0.482421875 is 14.51, which bfloat16 rounds to 14.5 and the operator to 14
    narrow = lambda name, a: helper.make_tensor(name, onnx.TensorProto.BFLOAT16, a.shape, bf16(a).tobytes(), raw=True)
    nodes = [helper.make_node("Cast", ["x"], ["b"], to=16), helper.make_node("QuantizeLinear", ["b", "s"], ["y"], output_dtype=4)]
    whole = helper.make_graph(nodes, "g", [value_info("x", x)], [helper.make_tensor_value_info("y", 4, [2])], [narrow("s", np.array(0.482421875))])
    save("quantize_bfloat16", helper.make_model(whole, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), [("x", x)],
         [("y", np.array([14, 128], np.uint16))])
    image, none = normal(1, 2, 4, 9), np.array([], F32)
    for policy, sizes in (("not_larger", (5, 12)), ("not_smaller", (2, 4))):
        pick = max if policy == "not_smaller" else min
        scale = pick(sizes[0] / 4, sizes[1] / 9)
        h, w = int(4 * scale + 0.5), int(9 * scale + 0.5)
        rows, columns = (np.minimum(np.floor(np.arange(m) / scale), n - 1).astype(int) for m, n in ((h, 4), (w, 9)))
        expect(f"resize_{policy}", "Resize", [image, none, None, np.array(sizes, I64)], [image[:, :, rows][:, :, :, columns]], 18, const=(1,),
               axes=[2, 3], mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric", keep_aspect_ratio_policy=policy)
    at = np.maximum(0, 1 - np.abs((np.arange(3)[:, None] + 0.5) * 100 / 3 - 0.5 - np.arange(-40, 140)) * 3 / 100)
    at /= at.sum(1, keepdims=True)
    long = normal(2, 100)
    want = np.pad(long.astype(float), ((0, 0), (40, 40)), mode="edge") @ at.T
    for name, const in (("of_many_taps", (1, 3)), ("at_run_time", (1,))):
        expect(f"resize_antialias_{name}", "Resize", [long, none, None, np.array([3], I64)], [want.astype(F32)], 18, const=const,
               symbolic=len(const) < 2, axes=[1], mode="linear", antialias=1)
    for scales in ((1, 1, 0.5, 2), (1, 1, 1.5, 0.7)):
        runtime(f"resize_10_{scales[2]}", "Resize", [normal(1, 2, 4, 6), np.array(scales, F32)], 10, mode="nearest")
    runtime("resize_tf_half_pixel", "Resize", [normal(1, 2, 4, 6), none, np.array([1, 1, 1.5, 0.5], F32)], 11, const=(1, 2), mode="nearest",
            coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor")
    line = np.ones((1, 5), F32)
    runtime("resize_symmetric", "Resize", [normal(1, 2, 3), none, np.array([1.8629432], F32)], 19, const=(1, 2), mode="nearest", nearest_mode="floor",
            axes=[2], coordinate_transformation_mode="half_pixel_symmetric")
    expect("resize_floor_of_size", "Resize", [line, none, np.array([2.6], F32)], [np.ones((1, 12), F32)], 18, const=(1,), axes=[1])
    # ONNX leaves open what an index outside its axis means: here gathers clamp it, scatters drop the update; other rows stay untouched
    table, far = np.arange(12, dtype=F32).reshape(3, 4), np.array([[7, -9], [1, 4], [-5, 3]], I64)
    expect("gather_elements_outside", "GatherElements", [table, far], [np.take_along_axis(table, np.clip(np.where(far < 0, far + 4, far), 0, 3), 1)],
           13, axis=1)
    expect("gather_nd_outside", "GatherND", [table, np.array([[1, 9], [5, 0], [0, -7]], I64)], [np.array([7, 8, 0], F32)], 13, const=(1,))
    want = table.copy()
    want[1, 1] = want[2, 3] = -1
    expect("scatter_elements_outside", "ScatterElements", [table, far, np.full((3, 2), -1, F32)], [want], 16, axis=1)
    want = table.copy()
    want[2, 2] += 4
    expect("scatter_nd_outside", "ScatterND", [table, np.array([[1, 9], [5, 0], [0, -7], [2, 2]], I64), np.arange(1, 5, dtype=F32)], [want], 16,
           symbolic=False, reduction="add")
    # and from an axis without elements a gather gives zeros
    nothing, at = np.zeros((0, 4), F32), np.array([[0, -1, 2, 0]], I64)
    expect("gather_from_nothing", "Gather", [nothing, at[0]], [np.zeros((4, 4), F32)], 13)
    expect("gather_elements_from_nothing", "GatherElements", [nothing, at], [np.zeros((1, 4), F32)], 13)
    expect("gather_nd_from_nothing", "GatherND", [nothing, at[:, :2]], [np.zeros(1, F32)], 13, const=(1,))
    expect("scatter_elements_into_nothing", "ScatterElements", [nothing, at, normal(1, 4)], [nothing], 16)
    expect("scatter_nd_into_nothing", "ScatterND", [nothing, at[:, :2], normal(1)], [nothing], 16, const=(1,))
    expect("leaky_relu_without_bound", "LeakyRelu", [np.array([0, -1, 2], F32)], [np.array([0, -np.inf, 2], F32)], 16, alpha=math.inf)
    rows = rng.integers(0, 2, (6, 3, 7)).astype(F32)[[0, 1, 0, 2, 3, 1, 4, 5]]
    unique, first, inverse, count = np.unique(rows, axis=0, return_index=True, return_inverse=True, return_counts=True)
    expect("unique_slices", "Unique", [rows], [unique, first, inverse.reshape(-1), count], 11, axis=0)
    expect("unique_long_slices", "Unique", [rows.repeat(20, 2)], [unique.repeat(20, 2), first, inverse.reshape(-1), count], 11, axis=0,
           symbolic=False)
    # A loop over what is as long as data says does not change that length while it runs.
    graph("scan_of_unknown_length", """(float[n] x) => (float[k] y, float s) <float zero = {0}, float[3] c = {10, 20, 30}> {
        m = Greater(x, zero)
        v = Compress<axis = 0>(x, m)
        s, sums = Scan(zero, v) <body = b (float sum, float e) => (float sum1, float sum2) {
            sum1 = Add(sum, e)
            sum2 = Identity(sum1) }, num_scan_inputs = 1>
        w = Add(v, c)
        y = Mul(w, sums) }""", x=np.array([0.5, -1, 2.5, 3.5, -4.5], F32))
    graph("scan_8_lengths", """(int64[b] lens, float[b, 2] s0, float[b, n, 2] x) => (float[b, 2] s, float[b, n, 2] y) {
        s, y = Scan(lens, s0, x) <body = b (float[2] sum, float[2] e) => (float[2] sum1, float[2] sum2) {
            sum1 = Add(sum, e)
            sum2 = Mul(sum1, e) }, num_scan_inputs = 1> }""", 8, lens=np.array([3, 1, 4], I64), s0=normal(3, 2), x=normal(3, 4, 2))
    # What a loop carries has the size that its body declares, before the first iteration and after each.
    graph("loop_declared_size", """(float[m] x, float[n] w, int64 trips) => (float[k] y) {
        y = Loop(trips, , x) <body = b (int64 i, bool go, float[3] s) => (bool go1, float[3] s1) {
            go1 = Identity(go)
            a = ReduceMean<keepdims = 1>(s)
            s1 = Mul(w, a) }> }""", x=normal(3), w=normal(3), trips=np.array(4))
    # What holds in a branch is asked of the iterations alone that take it.
    graph("loop_branch_sizes", """(float[k] x, int64 n) => (float y)
        <int64 three = {3}, float[3] c = {10, 20, 30}, float zero = {0}> {
        y = Loop(n, , zero) <body = b (int64 i, bool go, float sum) => (bool go1, float sum1) {
            go1 = Identity(go)
            f = Cast<to = 1>(i)
            m = Greater(x, f)
            v = Compress<axis = 0>(x, m)
            size = Size(v)
            is3 = Equal(size, three)
            r = If(is3) <then_branch = t () => (float r1) {
                a = Add(v, c)
                r1 = ReduceSum<keepdims = 0>(a) }, else_branch = e () => (float r2) {
                r2 = ReduceSum<keepdims = 0>(v) }>
            sum1 = Add(sum, r) }> }""", x=np.array([0.5, 1.5, 2.5, 3.5, 4.5], F32), n=np.array(5))


def oddities():
    """What is legal and seldom written."""
    x = normal(2, 3)
    plain = lambda a: helper.make_tensor_value_info(a, 1, [2, 3])
    only = lambda nodes, inputs, outputs, *fixed: helper.make_model(
        helper.make_graph(nodes, "g", inputs, [plain(o) for o in outputs], fixed), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    name = "*/ \n#version 99 \\"
    save("name_of_lines", only([helper.make_node("Neg", ["x\n"], ["y"], name=name)], [plain("x\n")], ["y", "x\n"]), [("x\n", x)],
         [("y", -x), ("x\n", x)])
    w = normal(3)
    save("initializer_overridden", only([helper.make_node("Add", ["x", "w"], ["y"])], [plain("x"), value_info("w", w)], ["y"],
                                        numpy_helper.from_array(normal(3), "w")), [("x", x), ("w", w)], [("y", x + w)])
    # sizes that only the inputs tell: which axis is broadcast, how many axes an index is for, how many elements a sequence has
    runtime("broadcast_at_run_time", "Mul", [x, normal(2, 1)], 14)
    at = np.array([[0, 1], [1, 2], [1, 0]], I64)
    runtime("gather_nd_of_any_width", "GatherND", [x, at], 13)
    runtime("scatter_nd_of_any_width", "ScatterND", [x, at, normal(3)], 13)
    graph("sequence_split_by_input", """(float[n, 2] x) => (float[m, 2] y, float[p, 2] z) {
        one = Constant<value = int64 {1}> ()
        minus = Constant<value = int64 {-1}> ()
        s = SplitToSequence<axis = 0>(x)
        t = SequenceErase(s, one)
        y = ConcatFromSequence<axis = 0>(t)
        z = SequenceAt(s, minus) }""", x=normal(4, 2))
    runtime("divided_by_zero", "Div", [np.array([1, -1, 0, np.inf, np.nan], F32), np.array(0, F32)], 14, const=(1,))


def sequences():
    # Appended to by a loop of any length, once and twice an iteration, to nothing and to what is there.
    running = """body (int64 i, bool go, float[n] sum, seq(float[n]) s) => (bool go_on, float[n] new_sum, seq(float[n]) longer) {
            go_on = Identity(go)
            row = Gather<axis = 0>(x, i)
            new_sum = Add(sum, row)
            %s }"""
    once = running % "longer = SequenceInsert(s, new_sum)"
    twice = running % "some = SequenceInsert(s, new_sum) half = Mul(new_sum, row) longer = SequenceInsert(some, half)"
    for name, begin, body, axis, new_axis in (("once", "SequenceEmpty()", once, 0, 1), ("twice", "SequenceEmpty()", twice, 1, 1),
                                              ("behind", "SequenceConstruct(first, first)", twice, 0, 0)):
        graph(f"sequence_appended_{name}", f"""(float[m, n] x, float[n] first) => (float[p, q] y, int64 count, float[n] last) {{
            zero = Constant<value = int64 {{0}}> ()
            minus = Constant<value = int64 {{-2}}> ()
            yes = Constant<value = bool {{1}}> ()
            sizes = Shape(x)
            trips = Gather<axis = 0>(sizes, zero)
            begin = {begin}
            sum, s = Loop(trips, yes, first, begin) <body = {body}>
            y = ConcatFromSequence<axis = {axis}, new_axis = {new_axis}>(s)
            count = SequenceLength(s)
            last = SequenceAt(s, minus) }}""".replace("float[p, q] y", "float[p, q] y" if new_axis else "float[p] y"),
              x=normal(7, 3), first=normal(3))
    graph("sequence_in_loop", """(float[3, n] x, int64 trips, float[1, n] start) => (float[1, n] y) {
        yes = Constant<value = bool {1}> ()
        s = SplitToSequence<axis = 0>(x)
        y = Loop(trips, yes, start) <body = body (int64 i, bool go, float[1, n] t) => (bool go_on, float[1, n] next) {
            go_on = Identity(go)
            row = SequenceAt(s, i)
            product = Mul(t, row)
            next = Add(product, row) }> }""", x=normal(3, 5), trips=np.array(2, I64), start=normal(1, 5))


def strings(*items):
    return np.array(items, dtype=object)


def longer_and_longer():
    """A loop's body: s + "!", in the third iteration s + "?", after a split whose size changes from one iteration to the next."""
    def branch(word):
        constant = helper.make_node("Constant", [], [f"w{word}"], value=numpy_helper.from_array(strings(word)))
        return helper.make_graph([constant], "b", [], [helper.make_tensor_value_info(f"w{word}", 8, [1])])
    string = lambda name: helper.make_tensor_value_info(name, 8, [2])
    nodes = [helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array(2, I64))),
             helper.make_node("Equal", ["i", "two"], ["third"]),
             helper.make_node("If", ["third"], ["mark"], then_branch=branch("?"), else_branch=branch("!")),
             helper.make_node("StringConcat", ["s", "mark"], ["t"]),
             helper.make_node("StringSplit", ["t"], ["parts", "count"], delimiter="!"),
             helper.make_node("Shape", ["parts"], ["shape"]),
             helper.make_node("Cast", ["shape"], ["sizes"], to=8),
             helper.make_node("StringConcat", ["first_letter", "sizes"], ["scan"]),
             helper.make_node("Identity", ["t"], ["next"]), helper.make_node("Identity", ["c"], ["go_on"])]
    constant = helper.make_node("Constant", [], ["first_letter"], value=numpy_helper.from_array(strings("rows ", "parts ")))
    nodes.insert(0, constant)
    inputs = [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("c", 9, []), string("s")]
    return helper.make_graph(nodes, "body", inputs, [helper.make_tensor_value_info("go_on", 9, []), string("next"), string("scan")])


def text():
    words = strings("b", "a", "", "c\u00e4", "b", "a longer one", "c\u00e4")
    table = words[:6].reshape(2, 3)
    at = np.array([3, 0, -1], I64)
    runtime("string_gather", "Gather", [table, at % 3], 13, axis=1)
    expect("string_transpose", "Transpose", [table], [table.T], 13)
    expect("string_reshape", "Reshape", [table, np.array([3, -1], I64)], [table.reshape(3, 2)], 14, const=(1,))
    expect("string_slice", "Slice", [table, np.array([0], I64), np.array([2], I64), np.array([1], I64)], [table[:, :2]], 13, const=(1, 2, 3))
    expect("string_concat_axis", "Concat", [table, table], [np.concatenate([table, table], 1)], 13, symbolic=False, axis=1)
    expect("string_expand", "Expand", [table, np.array([2, 2, 3], I64)], [np.stack([table, table])], 13, const=(1,))
    expect("string_tile", "Tile", [table, np.array([1, 2], I64)], [np.tile(table, (1, 2))], 13, const=(1,))
    expect("string_pad", "Pad", [table, np.array([0, 1, 0, 1], I64)], [np.pad(table, ((0, 0), (1, 1)), constant_values="")], 13, const=(1,))
    expect("string_gather_elements", "GatherElements", [table, np.array([[2, 0, 1], [1, 1, -1]], I64)],
           [np.take_along_axis(table, np.array([[2, 0, 1], [1, 1, 2]]), 1)], 13, symbolic=False, axis=1)
    want = words.copy()
    want[[1, 5]] = ["x", "y"]
    expect("string_scatter", "ScatterElements", [words, np.array([1, 5], I64), strings("x", "y")], [want], 13)
    keep = np.array([True, False, True, True, False, False, True])
    expect("string_compress", "Compress", [words, keep], [words[keep]], 11, axis=0)
    expect("string_where", "Where", [keep, words, words[::-1].copy()], [np.where(keep, words, words[::-1])], 16, symbolic=False)
    unique, first, inverse, count = np.unique(words.astype(str), return_index=True, return_inverse=True, return_counts=True)
    expect("string_unique", "Unique", [words], [unique.astype(object), first, inverse, count], 11)
    order = np.argsort(first)
    back = np.argsort(order)
    expect("string_unique_unsorted", "Unique", [words], [unique[order].astype(object), first[order], back[inverse], count[order]], 11, sorted=0)
    expect("string_one_hot", "OneHot", [at, np.array(4, I64), strings("off", "on")],
           [np.where(np.eye(4, dtype=bool)[at], "on", "off").astype(object)], 11, const=(1,))
    integers = np.array([0, -17, 1 << 40], I64)
    expect("string_of_integers", "Cast", [integers], [strings("0", "-17", "1099511627776")], 19, to=8)
    expect("string_of_floats", "Cast", [np.array([1, -0.5, 1e-3, 123456.79, 2.5e-7, 3e20, 0.1], F32)],
           [strings("1.0", "-0.5", "0.001", "123456.79", "2.5e-07", "3e+20", "0.1")], 19, to=8)
    expect("string_of_halves", "Cast", [np.array([0.1, 65504, 3], np.float16)], [strings("0.1", "65500.0", "3.0")], 19, to=8)
    expect("string_to_integers", "Cast", [strings(" 12", "-3", "100.5", "0")], [np.array([12, -3, 100, 0], np.int32)], 19, to=6)
    expect("string_to_doubles", "Cast", [strings("1e-300", "+INF", "0.1", "-2")], [np.array([1e-300, np.inf, 0.1, -2])], 19, to=11)
    runtime("string_split_trailing", "StringSplit", [strings(" a  b c ", "", "d")], 20, outputs=2, maxsplit=1)
    expect("string_split_words", "StringSplit", [words[4:]], [np.array([["b", ""], ["", "onger one"], ["c\u00e4", ""]], dtype=object),
                                                              np.array([1, 2, 1], I64)], 20, delimiter="a l")
    expect("string_loop", "Loop", [np.array(3, I64), np.array(True), words[:2]],
           [strings("b!!?", "a!!?"), np.array([["rows 2", f"parts {n}"] for n in (2, 3, 3)], dtype=object)], 20, symbolic=False,
           body=longer_and_longer())
    graph("string_sequence", """(string[6] x) => (string[m] y, string[k] z) {
        two = Constant<value = int64 {2}> ()
        one = Constant<value = int64 {1}> ()
        s = SplitToSequence<axis = 0>(x, two)
        z = SequenceAt(s, one)
        t = SequenceInsert(s, z)
        y = ConcatFromSequence<axis = 0>(t) }""", x=words[:6])
    graph("string_sequence_loop", """(string[6] x, int64 n) => (string[m] y, string[k] z) {
        nothing = SequenceEmpty<dtype = 8> ()
        go = Constant<value = bool {1}> ()
        s = Loop(n, go, nothing) <body = b (int64 i, bool c, seq(string[k0]) s0) => (bool c1, seq(string[k1]) s1) {
            c1 = Identity(c)
            zero = Constant<value = int64[1] {0}> ()
            at = Unsqueeze(i, zero)
            e = Gather<axis = 0>(x, at)
            s1 = SequenceInsert(s0, e) }>
        y = ConcatFromSequence<axis = 0>(s)
        one = Constant<value = int64 {1}> ()
        z = SequenceAt(s, one) }""", x=words[:6], n=np.array(4, I64))
    graph("string_parts_scale_a_product", """(float[n, 16] x, string[m] s) => (float[n, 16] y, float[n, 1] z)
        <float[16, 16] w = {%s}> {
        p = MatMul(x, w)
        axis = Constant<value = int64[1] {1}> ()
        r = ReduceSum(x, axis)
        parts, count = StringSplit<delimiter = ",">(s)
        one = Constant<value = int64 {1}> ()
        size = Shape(parts)
        at = Gather(size, one)
        k = Cast<to = 1>(at)
        y = Mul(p, k)
        z = Mul(r, k) }""" % ", ".join(str(i % 7) for i in range(256)), opset=20, x=normal(5, 16), s=strings("a,b,c", "d"))
    runtime("regex_classes", "RegexFullMatch", [words], 20, pattern="[[:alpha:]]\\pL?")
    upper = strings("A", "", "C\u00c4", "A LONGER ONE", "C\u00c4")
    expect("string_normalizer_umlaut", "StringNormalizer", [words], [upper], 10, case_change_action="UPPER", stopwords=["B"])
    runtime("tf_idf_strings", "TfIdfVectorizer", [words], 9, max_gram_length=2, min_gram_length=1, max_skip_count=1, mode="TF",
            ngram_counts=[0, 2], ngram_indexes=[0, 1, 2, 3], pool_strings=["a", "b", "b", "a", "a", "c\u00e4"])
    runtime("label_encoder_names", "LabelEncoder", [np.array([2, 0, 7], I64)], 15, domain="ai.onnx.ml", version=2, keys_int64s=[0, 2],
            values_strings=["zero", "two"], default_string="none")
    runtime("one_hot_encoder_strings", "OneHotEncoder", [table], 15, domain="ai.onnx.ml", cats_strings=["b", "", "z"])
    runtime("category_mapper", "CategoryMapper", [words], 15, domain="ai.onnx.ml", cats_strings=["a", "b"], cats_int64s=[5, 6], default_int64=-2)


for family in (convolution, recurrence, contraction, normalization, losses, regions, attention, positions, newer, microsoft, exported, sizes_at_run_time, oddities,
               sequences, text):
    family()
