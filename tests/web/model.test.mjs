// What the page understands of a model's inputs and outputs, and which numbers it feeds.
import assert from "node:assert/strict";
import test from "node:test";
import { PRESETS, Problem, describe, largest, numbers } from "../../examples/web/model.js";
import { diverging, limit, plane, short } from "../../examples/web/heatmap.js";
import { probabilities } from "../../examples/web/view.js";

const picture = (...shape) => ({ name: "x", type: "float32", shape });
const outputs = ["y", "slp/l/icd", "slp/l/activity"].map((name) => ({ name }));
const refused = (inputs, outs, told) => {
  assert.throws(() => describe(inputs, outs), (error) => error instanceof Problem && error.message.includes(told));
};

test("layouts are told apart, and open sizes are chosen", () => {
  assert.deepEqual(describe([picture("N", 1, 28, 28)], outputs).dims, [1, 1, 28, 28]);
  assert.deepEqual(describe([picture("N", 64, 48, 3)], outputs).dims, [1, 64, 48, 3]);
  assert.deepEqual(describe([picture("N", 3, "H", "W")], outputs).dims, [1, 3, 224, 224]);
  const chosen = describe([picture(1, 3, 8, 8), { name: "slp/l/neurons", type: "int64", shape: ["K"] }], outputs);
  assert.deepEqual([chosen.chooses, chosen.scores, chosen.alias], ["slp/l/neurons", "y", "l"]);
});

test("what cannot be shown is refused with its reason", () => {
  refused([picture(1, 3, 8, 8)], [{ name: "y" }], "slpc transform");
  refused([picture(1, 3, 8, 8), picture(1, 3, 8, 8)], outputs, "has 2");
  refused([{ ...picture(1, 3, 8, 8), type: "float16" }], outputs, "float16");
  refused([picture(1, 10)], outputs, "[1, 10] is no picture");
  refused([picture(1, 7, 8, 8)], outputs, "no picture");
});

test("pixels become what slpc run would feed", () => {
  const rgba = Uint8ClampedArray.from([10, 20, 30, 255, 200, 100, 50, 255]);
  const frame = { channels: 3, height: 1, width: 2, last: false };
  const near = (found, wanted) => found.forEach((v, i) => assert.ok(Math.abs(v - wanted[i]) < 1e-5, `${found}`));
  near(numbers(rgba, frame, PRESETS.caffe), [30 - 104, 50 - 104, 20 - 117, 100 - 117, 10 - 123, 200 - 123]);
  near(numbers(rgba, { ...frame, last: true }, PRESETS.unit), [10, 20, 30, 200, 100, 50].map((v) => v / 255));
  near(numbers(rgba, { ...frame, channels: 1 }, PRESETS.raw), [18.596, 117.65]);
});

test("colours and scales are those of slpc explain", () => {
  assert.deepEqual(diverging(0), [255, 255, 255]);
  assert.deepEqual(diverging(-0), [255, 255, 255]);
  assert.deepEqual([diverging(1), diverging(-2)], [[138, 5, 13], [0, 65, 155]]);
  const frame = { channels: 2, height: 1, width: 2 };
  assert.deepEqual([...plane([1, 2, 3, 4], { ...frame, last: false })], [4, 6]);
  assert.deepEqual([...plane([1, 2, 3, 4], { ...frame, last: true })], [3, 7]);
  assert.deepEqual([limit([1, -4, 0]), limit([1, -4, 0], 50), limit([0, 0, 5], 50), limit([0])], [4, 1, 5, 0]);
  assert.deepEqual([0.0012, 1, 123.4, -0.5, 0].map(short), ["1.20e−3", "1.00", "123", "−0.500", "0"]);
});

test("the winner is the first of the largest, and scores are probabilities or become some", () => {
  assert.deepEqual(largest([1, 3, 3, 2], 3), [1, 2, 3]);
  assert.deepEqual(probabilities([0.25, 0.75]), [0.25, 0.75]);
  assert.deepEqual(probabilities([1000, 1000]), [0.5, 0.5]);
});
