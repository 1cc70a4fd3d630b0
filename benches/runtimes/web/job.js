// One job in onnxruntime-web, in a page or in node: what `worker.py` does in Python.

const TYPES = {
  float32: [Float32Array, "float32"],
  float64: [Float64Array, "float64"],
  int64: [BigInt64Array, "int64"],
  int32: [Int32Array, "int32"],
  uint8: [Uint8Array, "uint8"],
  bool: [Uint8Array, "bool"],
};

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function text(array) {
  const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let letters = "";
  for (let i = 0; i < view.length; i += 8192) letters += String.fromCharCode(...view.subarray(i, i + 8192));
  return btoa(letters);
}

function decode(ort, arrays) {
  const tensor = ({ dtype, dims, data }) => {
    const [kind, name] = TYPES[dtype];
    return new ort.Tensor(name, new kind(bytes(data).buffer), dims);
  };
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, tensor(array)]));
}

function encode(outputs, names) {
  const array = (t) => ({ dtype: t.type, dims: t.dims, data: text(t.data) });
  return Object.fromEntries(names.filter((name) => name in outputs).map((name) => [name, array(outputs[name])]));
}

// Of the largest magnitude; of numbers that are not finite, only where they are.
function difference(found, expected) {
  const number = (value) => (Number.isFinite(Number(value)) ? Number(value) : 0);
  let [most, size] = [0, 1e-6];
  for (let i = 0; i < expected.length; i++) {
    most = Math.max(most, Math.abs(number(found[i]) - number(expected[i])));
    size = Math.max(size, Math.abs(number(expected[i])));
  }
  return found.length === expected.length ? most / size : Infinity;
}

const short = (problem) => `${problem?.name ?? "Error"}: ${problem?.message ?? problem}`.slice(0, 600);

async function load(ort, model, provider) {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [provider],
    logSeverityLevel: 4,
    logVerbosityLevel: 0,
  });
  return { run: (feed) => session.run(feed), end: () => session.release() };
}

async function seconds(session, feed) {
  const start = performance.now();
  await session.run(feed);
  return (performance.now() - start) / 1000;
}

// `files` holds the bytes of `original` and `augmented`, and `feed`, arrays by name.
export async function run(ort, job, files, provider) {
  const told = { name: job.name };
  const feed = decode(ort, files.feed);
  const own = Object.fromEntries(Object.entries(feed).filter(([name]) => !name.startsWith("slp/")));
  let plain = null;
  let augmented = null;
  let arrays = null;
  let before = {};
  try {
    plain = await load(ort, files.original, provider);
    before = await plain.run(own);
  } catch (problem) {
    told.model = short(problem);
    plain = null;
  }
  try {
    augmented = await load(ort, files.augmented, provider);
    told.loaded = true;
    const after = await augmented.run(feed);
    arrays = encode(after, job.outputs);
    told.ran = true;
    told.changed = Math.max(0, ...job.outputs.filter((name) => name in before).map((name) => difference(after[name].data, before[name].data)));
    if (plain && job.timed) {
      const pairs = [];
      for (let i = 0; i < job.timed; i++) pairs.push([await seconds(plain, own), await seconds(augmented, feed)]);
      told.seconds = [0, 1].map((i) => Math.min(...pairs.map((pair) => pair[i])));
    }
  } catch (problem) {
    told.error = short(problem);
    arrays ??= encode(before, Object.keys(before));
  }
  await plain?.end();
  await augmented?.end();
  return { told, arrays };
}
