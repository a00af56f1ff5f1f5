"""The table of docs/gradients.md: what `dlvkc test --grad` says about every operator of ONNX's conformance suite.

    dlvkc test --grad /usr/share/libonnx-testdata/data/node >sweep.txt
    gradient_table.py sweep.txt [--write docs/gradients.md]

The operators of a test are those of its model. With --write the table replaces the one between the two markers in the file.
"""
import collections
import re
import sys

import onnx

DATA = "/usr/share/libonnx-testdata/data/node"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def subject(test):
    """The operator a test is about: the one that its name holds, or the only one in its model."""
    names = set(operators(onnx.load(f"{DATA}/{test}/model.onnx").graph)) - {"Constant"}
    flat = test[5:].replace("_", "")
    inside = [n for n in names if flat.startswith(n.lower())] or [n for n in names if n.lower() in flat]
    return max(inside or names, key=lambda n: (len(n), n), default="(none)")


def main():
    rows = collections.defaultdict(lambda: [0, 0, collections.Counter()])
    for line in open(sys.argv[1]):
        found = re.match(r"(PASS|FAIL|ERROR|SKIP) (test_\S+) ?(.*)", line)
        if not found:
            continue
        outcome, test, detail = found.groups()
        if test.endswith("_expanded") or "_expanded_" in test:
            continue  # the same operator, spelled out
        row = rows[subject(test)]
        if outcome == "SKIP":
            row[2][detail] += 1
        else:
            row[outcome != "PASS"] += 1
    if not rows:
        sys.exit("no result in " + sys.argv[1])
    lines = ["| operator | agree | do not | without a derivative, and why |\n", "| --- | --- | --- | --- |\n"]
    for name in sorted(rows):
        good, bad, skips = rows[name]
        why = "; ".join(f"{n}: {text}" for text, n in sorted(skips.items()))
        lines.append(f"| {name} | {good or ''} | {bad or ''} | {why} |\n")
    table = "".join(lines)
    if "--write" not in sys.argv:
        sys.stdout.write(table)
        return
    path = sys.argv[sys.argv.index("--write") + 1]
    text = open(path).read()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    open(path, "w").write(text[:begin] + table + text[end:])


main()
