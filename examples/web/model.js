// What an augmented model's inputs and outputs say about it. No part of the browser is used here.

/** A fault that the page shows as it stands. */
export class Problem extends Error {}

/** From pixels to numbers as `slpc --preprocess` names it: (v · scale − mean) / std of 0 … 255. */
export const PRESETS = {
  unit: { text: "0 … 1 (unit)", scale: 1 / 255, mean: [0], std: [1] },
  imagenet: {
    text: "ImageNet mean and deviation (imagenet)",
    scale: 1 / 255,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
  },
  caffe: { text: "BGR less the mean (caffe)", scale: 1, mean: [104, 117, 123], std: [1], bgr: true },
  tf: { text: "−1 … 1 (tf)", scale: 1 / 127.5, mean: [1], std: [1] },
  raw: { text: "0 … 255 as they are", scale: 1, mean: [0], std: [1] },
};

/** The size of a picture's side where the model leaves it open. */
const OPEN_SIDE = 224;

/**
 * The picture input and the projected layer of a model: `{ name, channels, height, width, last, dims, alias,
 * quantities, chooses, picked }`, where `chooses` names the input that takes neuron numbers and `picked`
 * the output that tells them, where there are such.
 */
export function describe(inputs, outputs) {
  const alias = outputs.map(({ name }) => /^slp\/(.+)\/icd$/.exec(name)?.[1]).find(Boolean);
  if (!alias) {
    throw new Problem(
      "This model does not explain itself: it has no output slp/…/icd. Make one that does with “slpc transform MODEL.onnx --target web”.",
    );
  }
  const own = (name) => name.startsWith(`slp/${alias}/`);
  const pictures = inputs.filter(({ name }) => !name.startsWith("slp/"));
  if (pictures.length !== 1) {
    const names = pictures.map(({ name }) => name).join(", ");
    throw new Problem(`This page feeds one input, a picture; the model has ${pictures.length}: ${names}.`);
  }
  const [{ name, type, shape }] = pictures;
  if (type !== "float32") {
    throw new Problem(`The input “${name}” is ${type}; this page feeds float32.`);
  }
  const frame = frameOf(name, shape);
  const quantities = new Set(outputs.filter((o) => own(o.name)).map((o) => o.name.slice(`slp/${alias}/`.length)));
  const chooses = inputs.find((input) => input.name === `slp/${alias}/neurons`)?.name;
  const picked = quantities.has("neurons") ? `slp/${alias}/neurons` : undefined;
  const scores = outputs.find((output) => !output.name.startsWith("slp/"))?.name;
  return { name, ...frame, alias, quantities, chooses, picked, scores };
}

function frameOf(name, shape) {
  const known = shape.map((d) => (typeof d === "number" && d > 0 ? d : undefined));
  const colour = (d) => d === 1 || d === 3;
  const last = shape.length === 4 && !colour(known[1]) && colour(known[3]);
  if (shape.length !== 4 || !(last || colour(known[1]))) {
    throw new Problem(`The input “${name}” of shape [${shape.join(", ")}] is no picture: it needs 1 or 3 channels.`);
  }
  const [channels, height, width] = last ? [known[3], known[1], known[2]] : known.slice(1);
  const [h, w] = [height ?? OPEN_SIDE, width ?? OPEN_SIDE];
  return { channels, height: h, width: w, last, dims: last ? [1, h, w, channels] : [1, channels, h, w] };
}

/** The numbers that the network takes, from RGBA bytes of its size. */
export function numbers(rgba, { channels, height, width, last }, preset) {
  const { scale, mean, std, bgr } = preset;
  const size = height * width;
  const x = new Float32Array(channels * size);
  const of = (list, c) => list[Math.min(c, list.length - 1)];
  for (let i = 0; i < size; i++) {
    const [r, g, b] = rgba.subarray(4 * i, 4 * i + 3);
    const grey = r === g && g === b ? r : 0.2126 * r + 0.7152 * g + 0.0722 * b;
    const colours = channels === 1 ? [grey] : bgr ? [b, g, r] : [r, g, b];
    colours.forEach((v, c) => {
      x[last ? i * channels + c : c * size + i] = (v * scale - of(mean, c)) / of(std, c);
    });
  }
  return x;
}

/** The places of the `count` largest values, largest first; of equal ones the first. */
export function largest(values, count) {
  const order = Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
  return order.slice(0, count);
}
