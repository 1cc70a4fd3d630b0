// What a run found, as the page shows it.
import { element, figure, picture, short } from "./heatmap.js";
import { largest } from "./model.js";

const find = (id) => document.getElementById(id);

/** The most neurons that are listed. */
const LISTED = 10;

/** Probabilities of the scores: themselves where they are some, else their softmax. */
export function probabilities(scores) {
  const total = scores.reduce((a, b) => a + b, 0);
  if (Math.abs(total - 1) < 1e-3 && scores.every((v) => v >= 0)) return Array.from(scores);
  const most = scores.reduce((a, b) => Math.max(a, b));
  const powers = Array.from(scores, (v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
}

/** The list of neurons, each a radio button; `choose(k)` is called with the place of the one chosen. */
export function answer(result, name, chosen, choose) {
  const winner = largest(result.activity, 1)[0];
  find("winner").textContent = name(winner);
  find("winner").className = name(winner).length > 3 ? "long" : "";
  const number = result.numbers[winner];
  const sure = result.scores?.length > number ? probabilities(result.scores)[number] : undefined;
  find("sure").textContent = sure === undefined ? "" : percent(sure);
  const whole = result.K <= LISTED && result.numbers.every((number, k) => number === k);
  const shown = whole ? result.numbers : largest(result.activity, LISTED);
  const most = Math.max(...shown.map((k) => Math.abs(result.activity[k]))) || 1;
  const list = find("classes");
  if (list.dataset.shown !== shown.map((k) => result.numbers[k]).join()) {
    list.dataset.shown = shown.map((k) => result.numbers[k]).join();
    list.replaceChildren(...shown.map((k) => item(name(k))));
  }
  [...list.children].forEach((line, i) => {
    const k = shown[i];
    const v = result.activity[k];
    const [radio, , bar, value] = line.firstChild.children;
    radio.checked = k === chosen;
    radio.onchange = () => choose(k);
    line.className = k === winner ? "winner" : "";
    bar.className = v < 0 ? "below" : "above";
    bar.firstChild.style.setProperty("--share", Math.abs(v) / most);
    value.textContent = v.toFixed(2).replace("-", "−");
  });
  find("answer").hidden = false;
}

function item(text) {
  const line = element("li");
  const label = element("label");
  const radio = Object.assign(element("input"), { type: "radio", name: "class" });
  const bar = element("i");
  bar.append(element("s"));
  label.append(radio, element("span", "name", text), bar, element("b"));
  line.append(label);
  return line;
}

function percent(share) {
  return share > 0.9999 ? "more than 99.99 %" : `${(100 * share).toFixed(share > 0.99 ? 2 : 1)} %`;
}

/** The maps of the neuron at place `k`. */
export function maps(result, frame, input, k, percentile) {
  const part = (values) => values.subarray(k * result.d, (k + 1) * result.d);
  const map = (values, symbol, name) => figure(values, frame, { symbol, name, percentile });
  const note = "the share of every input in v";
  find("hero").replaceChildren(figure(part(result.icd), frame, { symbol: "ν̂", name: "input component decomposition", note, percentile }));
  const shown = [picture(input.pixels, input.note)];
  if (result.weights) {
    const w = part(result.weights);
    shown.push(map(w, "ŵ", "switched weights"));
    shown.push(map(w.map((v, i) => v * input.x[i]), "x⊙ŵ", "input times weights"));
  }
  find("maps").replaceChildren(...shown);
  find("hero").hidden = false;
  find("identity").textContent = identity(result, input.x, k);
  find("why").hidden = false;
}

/** What v is made of, and by how much the parts miss it. */
function identity(result, x, k) {
  const v = result.activity[k];
  const text = `Here v = ${four(v)}`;
  if (!result.weights || !result.bias) return `${text}.`;
  const from = k * result.d;
  const product = x.reduce((sum, value, i) => sum + value * result.weights[from + i], 0);
  const miss = Math.abs(v - product - result.bias[k]);
  return `${text}, of which the input gives x·ŵ = ${four(product)} and the bias b̂ = ${four(result.bias[k])}; they miss v by ${short(miss)}.`;
}

const four = (v) => Number(v.toPrecision(4)).toString().replace("-", "−");

/** The singular patterns, and their share in the neuron at place `k`. */
export function patterns(result, frame, k, percentile) {
  const section = find("shared");
  section.hidden = !result.patterns || result.K < 2;
  if (section.hidden) return;
  find("among").textContent = `the ${result.K} neurons`;
  const count = result.patterns.length / result.d;
  const one = (j) => {
    const s = result["singular-values"]?.[j];
    const alpha = result.mixing?.[j * result.K + k];
    const told = [s === undefined ? "" : `s = ${short(s)}`, alpha === undefined ? "" : `α = ${short(alpha)}`];
    const values = result.patterns.subarray(j * result.d, (j + 1) * result.d);
    const symbol = `u${"₁₂₃₄₅₆₇₈₉"[j] ?? j + 1}`;
    const note = told.filter(Boolean).join(", ");
    return figure(values, frame, { symbol, name: "singular pattern", note, percentile });
  };
  find("patterns").replaceChildren(...Array.from({ length: count }, (_, j) => one(j)));
}
