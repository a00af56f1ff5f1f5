// ONNX Runtime's WebGPU provider beside DLVK: a worker of bench.py, with the protocol of torch_rival.py.
//
//     node ort_webgpu.mjs MODULES SPEC.json        MODULES: a folder whose node_modules has onnxruntime-node
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [, , modules, spec] = process.argv;
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

// A .npy file as a tensor.
function load(ort, path) {
  const file = readFileSync(path);
  const start = 10 + file.readUInt16LE(8);
  const head = file.toString("latin1", 10, start);
  const shape = head.match(/\(([^)]*)\)/)[1].split(",").filter((d) => d.trim()).map(Number);
  const [type, Kind] = { "<f4": ["float32", Float32Array], "<i8": ["int64", BigInt64Array], "<i4": ["int32", Int32Array],
                         "<f2": ["float16", Uint16Array] }[head.match(/'descr': '([^']*)'/)[1]];
  const data = file.buffer.slice(file.byteOffset + start, file.byteOffset + file.length);
  return new ort.Tensor(type, new Kind(data), shape);
}

const median = (v) => v.sort((a, b) => a - b)[v.length >> 1];
let ort;
try {
  ort = createRequire(modules + "/")("onnxruntime-node");
} catch (e) {
  say({ fatal: String(e).split("\n")[0] });
  process.exit(0);
}
const ready = new Map();
for (const c of JSON.parse(readFileSync(spec))) {
  try {
    const begin = performance.now();
    const session = await ort.InferenceSession.create(c.onnx, { executionProviders: ["webgpu"], logSeverityLevel: 3 });
    const feeds = Object.fromEntries(Object.entries(c.inputs).map(([name, path]) => [name, load(ort, path)]));
    await session.run(feeds);
    ready.set(c.id, () => session.run(feeds));
    say({ id: c.id, columns: ["webgpu"], first_ms: performance.now() - begin });
  } catch (e) {
    say({ id: c.id, error: String(e).slice(0, 300) });
  }
}
say({ done: true });
for await (const line of createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line), times = [], end = performance.now() + wish.seconds * 1e3;
  while (times.length < 2 || performance.now() < end) {
    const start = performance.now();
    await ready.get(wish.id)();
    times.push(performance.now() - start);
  }
  say({ ms: { webgpu: median(times) } });
}
process.exit(0);
