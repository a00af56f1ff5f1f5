"""The programs that bench.py lets run in turn: DLVK's (a process a case) and the rivals' (a process for several)."""
import json
import os
import queue
import signal
import subprocess
import threading
import time


class Process:
    """Speaks in lines of JSON; whatever it writes to stderr goes to a file."""

    def __init__(self, command, log):
        self.log, self.stopped = log, False
        with open(log, "w") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def read(self, timeout):
        line = self.lines.get(timeout=max(0.01, timeout))  # queue.Empty: too late
        if line is None:
            raise RuntimeError(self._why())
        return json.loads(line)

    def _why(self):
        if self.stopped:
            return "not ready in time"
        code = self.process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        with open(self.log) as f:
            last = (f.read().strip().splitlines() or ["no message"])[-1]
        return f"ended with {how}: {last[:300]}"

    def ask(self, text, timeout=120):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.read(timeout)

    def stop(self):
        self.stopped = True
        self.process.kill()
        self.process.wait()


class Dlvk:
    def __init__(self, o, case):
        self.o, self.case, self.ready, self.stopped, self.process = o, case, False, False, None
        self.bundle = f"{case.folder}/model.dlvk"
        self.dims = [w for n, v in case.dims.items() for w in ("--dim", f"{n}={v}")]

    def prepare(self):
        try:
            self._prepare()
        except Exception as e:
            self.case.errors["DLVK"] = str(e)

    def _run(self, *words):
        done = subprocess.run([*self.o.dlvkc, *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["?"])[0][:300])

    def _prepare(self):
        c = self.case
        if c.train_flags() is None:
            start = time.time()
            self._run("compile", c.onnx, "-o", self.bundle, *c.flags())
            c.facts["compile_s"] = time.time() - start
        measured, compared = c.given()
        words = [w for g in measured for w in ("--input", g)]
        if compared is not None:
            self._run("run", self.bundle, *[w for g in compared for w in ("--input", g)], "--output-dir", f"{c.folder}/dlvk", *self.o.tail)
        self.words = [*words, *(c.train_flags() or self.dims if c.kind != "model" else []), *self.o.tail]
        self.bench = ["bench", self.bundle if c.train_flags() is None else c.onnx]
        if self.stopped:
            raise RuntimeError("not ready in time")
        self.process = Process([*self.o.dlvkc, *self.bench, "--turns", *self.words], f"{c.folder}/turns.log")
        cold = self.process.read(600)
        c.facts.update(device=cold["device"], cold_ms=cold["load_ms"] + cold["first_run_ms"])
        self.ready = True

    def measure(self, _, seconds):
        got = self.process.ask(str(seconds), max(5, min(120, self.o.end - time.time())))
        return {"dlvk": got["wall_ms"], "dlvk_device": got["device_ms"]}

    def look_at_kernels(self):
        """A start with a warm pipeline cache, and the kernels one by one."""
        c, path = self.case, f"{self.case.folder}/kernels.json"
        try:
            self._run(*self.bench, "--kernels", "--runs", "5", "--min-time", "0", "--json", path, *self.words)
        except RuntimeError as e:
            c.errors["kernels"] = str(e)
            return
        with open(path) as f:
            got = json.load(f)
        k = got.pop("kernels")
        c.facts.update(device=got["device"], start_ms=got["load_ms"] + got["first_run_ms"], load_ms=got["load_ms"], launches=len(k),
                       kernels_ms=sum(x["median_us"] for x in k) / 1e3, flops=sum(x["flops"] for x in k), bytes=sum(x["bytes"] for x in k),
                       weights=got["weights_bytes"], memory=got["memory_bytes"])

    def stop_unless_ready(self):
        if not self.ready:
            self.stop()

    def stop(self):
        self.stopped = True
        if self.process:
            self.process.stop()


class Rival:
    def __init__(self, o, tmp, label, command, cases, variants):
        self.label, self.command, self.cases, self.variants = label, command, cases, variants
        self.spec = f"{tmp}/{label.replace('/', '_').replace(' ', '_')}.json"
        self.o, self.threads, self.ready, self.process = o, o.threads, set(), None
        self.wanted = not o.no_rivals

    def prepare(self, deadline):
        for c in self.cases:
            c.made_ready.wait(max(0, deadline - time.time()))
        given = [c for c in self.cases if c.made_ready.is_set() and "model" not in c.errors]
        if not given:
            return
        with open(self.spec, "w") as f:
            json.dump([dict(c.spec(self.variants, f"{c.folder}/reference", self.threads), deadline=deadline) for c in given], f)
        by_id = {c.id: c for c in given}
        try:
            self.process = Process([*self.command, self.spec], self.spec + ".log")
            while True:
                got = self.process.read(deadline + (0 if self.variants == ["compiled"] else 6) - time.time())  # it stops by itself
                if "fatal" in got:
                    raise RuntimeError(got["fatal"])
                if got.get("done"):
                    return
                if "error" in got:
                    by_id[got["id"]].errors[self.label] = got["error"]
                else:
                    self.ready.add(got["id"])
        except queue.Empty:
            self.ready.clear()  # what is ready cannot be asked: it is in the midst of another case
            self._miss(given, "not ready in time")
            self.stop()
        except (OSError, RuntimeError) as e:
            self._miss(given, str(e))
            self.ready.clear()

    def _miss(self, given, why):
        for c in given:
            if c.id not in self.ready:
                c.errors[self.label] = why

    def measure(self, case_id, seconds):
        got = self.process.ask(json.dumps({"id": case_id, "seconds": seconds}), max(5, min(120, self.o.end - time.time())))
        if "error" in got:
            raise RuntimeError(got["error"])
        return got["ms"]

    def stop_unless_ready(self):
        if not self.ready:
            self.stop()

    def stop(self):
        if self.process:
            self.process.stop()
        self.ready.clear()
