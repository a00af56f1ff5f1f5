"""The tables of bench.py: a line while it runs, Markdown, JSON."""

COLUMNS = ("eager", "graph", "graph-nhwc", "compiled", "cpu", "webgpu")


def best(case):
    """The rival's shortest time on the same hardware; ONNX Runtime's CPU provider is what a driver on the CPU is compared with."""
    times = [case.ms[k] for k in COLUMNS if k in case.ms and k != "webgpu"]
    return min(times) if times else None


def number(v, digits=3):
    return "" if v is None else f"{v:.{digits}g}" if v < 1000 else f"{v:.0f}"


def line(case):
    times = "  ".join(f"{k} {number(v, 4)}" for k, v in case.ms.items())
    why = "; ".join(f"{k}: {v}" for k, v in case.errors.items())
    return f"{case.id:40} {times}{'   ' + why if why else ''}"


def complaints(case, webgpu):
    found = []
    if "dlvk" not in case.ms:
        found.append("was not measured: " + "; ".join(f"{k}: {v}" for k, v in case.errors.items()))
    off = case.facts.get("off")
    if off is not None and not off <= case.tolerance():
        found.append(f"outputs differ by {off:.2g} of the largest")
    if off is None and case.kind != "train":
        found.append("outputs were not compared")
    for column, limit in case.limits.items():
        # The best of the turns: in the others the machine was at something else.
        ratios = [mine / theirs for mine, theirs in zip(case.turns.get("dlvk", []), case.turns.get(column, []))]
        if not ratios and (column != "webgpu" or webgpu):
            found.append(f"{column} was not measured")
        elif ratios and min(ratios) > limit:
            found.append(f"takes {min(ratios):.3g} times {column}'s time, above {limit:.3g}")
    return found


def floor(case, rates):
    """(ms, which bound): of a model, what its kernels' operations and its weights alone ask for, and its launches."""
    if case.kind == "micro":
        bounds = case.floor(rates)
    else:
        if "launches" not in case.facts:
            return None, ""
        rate = rates["f16" if case.dtype == "f16" else "f32"]
        bounds = (case.facts["weights"] / rates["bandwidth"] * 1e3, case.facts["flops"] / rate * 1e3, case.facts["launches"] * rates["launch"] * 1e3)
    at = max(range(3), key=lambda k: bounds[k])
    return bounds[at], ("bytes", "operations", "launches")[at]


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(out + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"


def off_text(case):
    off = case.facts.get("off")
    return "not compared" if off is None else f"{off:.1e}" + ("" if off <= case.tolerance() else " DIFFERS")


def model_table(cases, rates):
    columns = [k for k in COLUMNS if any(k in c.ms for c in cases)]
    head = ["case", "DLVK, ms", "on the device", *columns, "DLVK / best", *(["webgpu / DLVK"] if "webgpu" in columns else []), "kernels", "their sum",
            "floor", "start, ms", "compile, s", "difference"]
    rows = []
    for c in cases:
        low, bound = floor(c, rates)
        mine, other, gpu = c.ms.get("dlvk"), best(c), c.ms.get("webgpu")
        row = [c.id.split("/", 1)[1], number(mine), number(c.ms.get("dlvk_device")), *[number(c.ms.get(k)) for k in columns],
               f"{mine / other:.2f}" if mine and other else ""]
        if "webgpu" in columns:
            row.append(f"{gpu / mine:.1f}" if gpu and mine else "")
        rows.append([*row, str(c.facts.get("launches", "")), number(c.facts.get("kernels_ms")), f"{number(low)} {bound}", number(c.facts.get("start_ms")),
                     number(c.facts.get("compile_s"), 2), off_text(c) if c.kind == "model" else ""])
    return table(head, rows)


def micro_table(cases, rates):
    columns = [k for k in COLUMNS if any(k in c.ms for c in cases)]
    head = ["case", "DLVK, ms", "on the device", *columns, "floor, ms", "by", "device / floor", "GB/s", "TFLOP/s", "difference"]
    rows = []
    for c in cases:
        low, bound = floor(c, rates)
        ms = c.ms.get("dlvk_device")
        rows.append([c.id.split("/", 1)[1], number(c.ms.get("dlvk")), number(ms), *[number(c.ms.get(k)) for k in columns], number(low), bound,
                     f"{ms / low:.2f}" if ms else "", number(c.micro.bytes / ms / 1e6) if ms else "",
                     number(c.micro.flops / ms / 1e9) if ms and c.micro.flops else "", off_text(c)])
    return table(head, rows)


def markdown(cases, about):
    r = about["rates"]
    text = (f"{about['device']}; medians of wall ms, programs in turn, {about['total_s']:.0f} s in all. Floors: {r['bandwidth'] / 1e9:.0f} GB/s, "
            f"{r['f32'] / 1e12:.3g} TFLOP/s in f32, {r['f16'] / 1e12:.3g} in f16, {r['launch'] * 1e6:.1f} us a launch.\n")
    for kind, title, make in (("model", "Models", model_table), ("train", "Training steps", model_table), ("micro", "Single operators", micro_table)):
        some = [c for c in cases if c.kind == kind]
        if some:
            text += f"\n## {title}\n{make(some, r)}"
    reasons = {}
    for c in cases:
        for who, why in c.errors.items():
            reasons.setdefault(f"{who}: {why}", []).append(c.id)
    if reasons:
        text += "\n## Missing\n"
        for why, ids in reasons.items():
            text += f"- {why} ({', '.join(ids) if len(ids) < 5 else f'{len(ids)} cases'})\n"
    return text


def as_json(cases, about):
    return dict(about, cases=[dict(id=c.id, ms=c.ms, floor_ms=floor(c, about["rates"])[0], errors=c.errors, **c.facts) for c in cases])
