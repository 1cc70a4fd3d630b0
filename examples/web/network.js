// The page's side of the worker, and what a run means.
import { Problem, largest } from "./model.js";

/** How many neurons are explained at once where the model lets us choose. */
const CHOSEN = 5;

export class Network {
  #worker = new Worker(new URL("./engine.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  constructor(onFault) {
    this.#worker.onmessage = ({ data: { id, answer, fault } }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (fault === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Problem(fault));
    };
    this.#worker.onerror = (event) => {
      onFault(`The engine could not be started: ${event.message || "its files are missing"}. Was the page built with build.mjs?`);
    };
  }

  #ask(message, buffers = []) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...message }, buffers);
    });
  }

  /** Opens a model, whose bytes it takes, and says what it is; the one before stays where this fails. */
  open(bytes) {
    return this.#ask({ load: bytes }, [bytes.buffer]);
  }

  /** Runs the model: the projection of its layer, `{ neurons, K, d, milliseconds, activity, icd, … }`. */
  async explain(model, x, wanted) {
    const feeds = { [model.name]: { type: "float32", data: x, dims: model.dims } };
    const run = (neurons) => {
      if (!model.chooses) return this.#ask({ run: feeds });
      const data = BigInt64Array.from(neurons, BigInt);
      return this.#ask({ run: { ...feeds, [model.chooses]: { type: "int64", data, dims: [neurons.length] } } });
    };
    let neurons = wanted;
    if (model.chooses && !neurons) {
      const { outputs } = await run([0]);
      neurons = largest(outputs[model.scores].data, CHOSEN);
    }
    const { outputs, milliseconds } = await run(neurons);
    const of = (quantity) => outputs[`slp/${model.alias}/${quantity}`]?.data;
    const result = { milliseconds, scores: outputs[model.scores]?.data };
    for (const quantity of model.quantities) result[quantity] = of(quantity);
    result.K = outputs[`slp/${model.alias}/icd`].dims[1];
    result.d = x.length;
    if (model.picked) neurons = Array.from(of("neurons"), Number);
    result.numbers = neurons ?? Array.from({ length: result.K }, (_, k) => k);
    result.activity ??= sums(result.icd, result.K);
    return result;
  }
}

/** v of every neuron from Σν̂ = v, where the model was made without its activity. */
function sums(icd, count) {
  const d = icd.length / count;
  return Float64Array.from({ length: count }, (_, k) => icd.subarray(k * d, (k + 1) * d).reduce((a, b) => a + b, 0));
}
