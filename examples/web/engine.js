// The network, in a worker of its own so that drawing stays smooth: { id, load } or { id, run } in, an answer out.
import * as ort from "./ort/ort.wasm.min.mjs";
import { describe } from "./model.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
ort.env.logLevel = "error";

let session;

async function load(bytes) {
  const next = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const told = ({ name, type, shape = [] }) => ({ name, type, shape });
  try {
    const model = describe(next.inputMetadata.map(told), next.outputMetadata.map(told));
    await session?.release();
    session = next;
    return model;
  } catch (error) {
    await next.release();
    throw error;
  }
}

async function run(feeds) {
  const tensors = {};
  for (const [name, { type, data, dims }] of Object.entries(feeds)) {
    tensors[name] = new ort.Tensor(type, data, dims);
  }
  const start = performance.now();
  const results = await session.run(tensors);
  const milliseconds = performance.now() - start;
  const outputs = {};
  for (const [name, { data, dims }] of Object.entries(results)) {
    outputs[name] = { data: data.slice(), dims };
  }
  return { outputs, milliseconds };
}

self.onmessage = async ({ data: { id, load: bytes, run: feeds } }) => {
  try {
    const answer = bytes ? await load(bytes) : await run(feeds);
    const buffers = Object.values(answer.outputs ?? {}).map(({ data }) => data?.buffer).filter(Boolean);
    self.postMessage({ id, answer }, buffers);
  } catch (error) {
    self.postMessage({ id, fault: String(error?.message ?? error) });
  }
};
self.postMessage({ ready: true });
