"""ONNX Runtime on the CPU beside DLVK: a worker of bench.py, with the protocol of torch_rival.py.

    ort_rival.py SPEC.json"""
import json
import os
import sys
import time

import numpy as np


def main():
    with open(sys.argv[1]) as f:
        cases = {c["id"]: c for c in json.load(f)}
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)  # Debian's complains about every operator schema while it starts

    def say(**what):
        print(json.dumps(what), file=out, flush=True)

    try:
        import onnxruntime as ort
    except ImportError as e:
        say(fatal=str(e))
        return
    options = ort.SessionOptions()
    options.intra_op_num_threads = cases[next(iter(cases))]["threads"]
    options.log_severity_level = 3
    ready = {}
    for case in cases.values():
        try:
            session = ort.InferenceSession(case["onnx"], options, providers=["CPUExecutionProvider"])
            feeds = {n: np.load(p) for n, p in case["inputs"].items()}
            for o, y in zip(session.get_outputs(), session.run(None, feeds)):
                np.save(f"{case['reference']}/{o.name.replace('/', '_')}.npy", y)
            ready[case["id"]] = lambda session=session, feeds=feeds: session.run(None, feeds)
            say(id=case["id"], columns=["cpu"])
        except Exception as e:
            say(id=case["id"], error=str(e)[:300])
    say(done=True)
    for line in sys.stdin:
        wish = json.loads(line)
        run, times = ready[wish["id"]], []
        run()
        end = time.perf_counter() + wish["seconds"]
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
        say(ms={"cpu": float(np.median(times))})


main()
