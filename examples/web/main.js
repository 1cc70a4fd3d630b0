// The page: what people choose, drop and draw, to the network and back.
import { PRESETS, Problem, largest, numbers } from "./model.js";
import { Network } from "./network.js";
import { Pad } from "./pad.js";
import { decode, digit, fit, shown } from "./picture.js";
import * as view from "./view.js";
import { element } from "./heatmap.js";

const find = (id) => document.getElementById(id);
const network = new Network((text) => say(text, true));
let model = null;
let labels = null;
let source = null; // what was drawn or opened: (model) => { pixels, note }
let input = null; // that at the model's size: { pixels, note, x }
let result = null;
let chosen = 0;
let asked; // the neurons that are wanted, where the model lets us choose
let stale = false; // whether there is something newer than the result
let busy = null; // the promise of what is being explained
let opening = false;
let faulty = false; // whether a fault is told that what was asked for earlier may not cover

function say(text, bad = false) {
  const status = find("status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
  faulty = bad;
}

/** Runs `work`; what goes wrong is said. */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    say(error instanceof Problem ? error.message : `Something went wrong: ${error?.message ?? error}`, true);
  }
}

const name = (k) => labels?.[result.numbers[k]] || String(result.numbers[k]);
const isDigits = () => model.channels === 1 && model.height === 28 && model.width === 28;

/** Explains the newest input, and the `neurons` where the model lets us choose; what comes while the network
 * is busy is explained when it is done. */
async function explain(neurons) {
  [asked, stale, faulty] = [neurons, true, false];
  if (!busy) await (busy = attempt(catchUp)).finally(() => (busy = null));
}

async function catchUp() {
  while (stale && source && model && !opening) {
    stale = false;
    const wanted = asked;
    const { pixels, note } = source(model);
    const x = numbers(pixels.data, model, PRESETS[find("preset").value]);
    const found = await network.explain(model, x, wanted);
    if (!source) return;
    [input, result] = [{ pixels, note, x }, found];
    show(wanted ? found.numbers.indexOf(wanted[0]) : largest(found.activity, 1)[0]);
    if (!faulty) say(`Answered and explained in ${Math.round(found.milliseconds)} ms, on this device.`);
  }
}

function show(k) {
  chosen = k;
  view.answer(result, name, chosen, show);
  for (const place of document.getElementsByClassName("chosen")) place.textContent = name(k);
  const percentile = Number(find("clip").value);
  find("percent").textContent = percentile === 100 ? "100th" : `${percentile}th`;
  view.maps(result, model, input, k, percentile);
  view.patterns(result, model, k, percentile);
  find("save").disabled = false;
}

function forget() {
  [source, result, input] = [null, null, null];
  for (const id of ["hero", "answer", "why", "shared"]) find(id).hidden = true;
  find("save").disabled = true;
}

const pad = new Pad(find("pad"), (drawing) => {
  find("hint").hidden = drawing !== null;
  if (!drawing) {
    forget();
    return say("Draw something, or open a picture.");
  }
  source = (model) => (isDigits() ? digit(drawing, model) : { ...fit(drawing, model), note: "your drawing" });
  explain();
});

async function openPicture(file) {
  const bitmap = await decode(file);
  source = (model) => fit(bitmap, model);
  find("hint").hidden = true;
  if (model) pad.put(shown(source(model).pixels));
  await explain();
}

async function openModel(bytes, { title, preset, names = null }) {
  say(`Loading ${title} …`);
  opening = true;
  await busy;
  let opened;
  try {
    opened = await network.open(bytes);
  } catch (error) {
    const kept = model ? " The model before is kept." : "";
    throw new Problem(`${title} could not be loaded: ${error.message}${kept}`);
  } finally {
    opening = false;
  }
  const same = model && model.channels === opened.channels && model.height === opened.height;
  [model, labels] = [opened, names];
  find("preset").value = preset ?? (model.channels === 1 ? "unit" : "imagenet");
  // In a photograph a few of many pixels stand out so far that the others would be white.
  find("clip").value = model.height > 64 ? 99.5 : 100;
  find("samples").hidden = !isDigits();
  find("another-label").hidden = !model.chooses;
  const size = `${model.channels} × ${model.height} × ${model.width}`;
  find("facts").textContent = `${title}: input “${model.name}”, ${size}; layer “${model.alias}”.`;
  if (!same) {
    pad.clear();
    if (isDigits()) return find("samples").querySelector("[data-digit='7']").click();
    return say(`${title} is ready. Open or drop a picture.`);
  }
  await explain();
}

/** Names of classes, one a line: the first of several, without the number of a WordNet entry. */
const named = (text) => text.trim().split(/\r?\n/).map((line) => line.replace(/^n\d{8} /, "").split(",")[0].trim());

async function fetched(path) {
  const response = await fetch(path).catch(() => null);
  if (!response?.ok) throw new Problem(`${path} is missing: was the page built with build.mjs?`);
  return response;
}

async function openListed(entry) {
  const bytes = new Uint8Array(await (await fetched(entry.file)).arrayBuffer());
  const names = entry.labels && named(await (await fetched(entry.labels)).text());
  await openModel(bytes, { title: entry.title, preset: entry.preset, names });
}

/** A file that was dropped or opened: a model, names of classes, or a picture. */
async function take(file) {
  if (!file) return;
  if (/\.onnx$/i.test(file.name)) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    await openModel(bytes, { title: file.name, names: labels });
    find("model").selectedIndex = -1;
  } else if (/\.txt$/i.test(file.name)) {
    const names = named(await file.text());
    const classes = result?.scores?.length ?? names.length;
    if (names.length !== classes) {
      throw new Problem(`“${file.name}” names ${names.length} classes where the model has ${classes}: give one a line.`);
    }
    labels = names;
    find("classes").dataset.shown = "";
    say(`${labels.length} names read.`);
    if (result) show(chosen);
  } else {
    await openPicture(file);
  }
}

function save() {
  const part = (values) => values && Array.from(values.subarray(chosen * result.d, (chosen + 1) * result.d));
  const { numbers: all, K, patterns, mixing } = result;
  const told = {
    layer: model.alias,
    neuron: all[chosen],
    shape: model.dims.slice(1),
    x: Array.from(input.x),
    activity: result.activity[chosen],
    bias: result.bias?.[chosen],
    weights: part(result.weights),
    icd: part(result.icd),
    patterns: patterns && Array.from(patterns),
    "singular-values": result["singular-values"] && Array.from(result["singular-values"]),
    mixing: mixing && Array.from(mixing).filter((_, i) => i % K === chosen),
  };
  const url = URL.createObjectURL(new Blob([JSON.stringify(told)], { type: "application/json" }));
  Object.assign(element("a"), { href: url, download: `neuron-${all[chosen]}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function wire() {
  const file = find("file");
  const pick = (accept) => () => {
    file.accept = accept;
    file.click();
  };
  find("open").onclick = pick("image/*");
  find("open-model").onclick = pick(".onnx,.txt");
  file.onchange = () => attempt(() => take(file.files[0])).finally(() => (file.value = ""));
  find("clear").onclick = () => pad.clear();
  find("save").onclick = save;
  find("clip").oninput = () => result && show(chosen);
  find("preset").onchange = () => explain();
  find("another").onchange = ({ target }) => {
    const text = target.value.trim();
    const number = labels?.indexOf(text) >= 0 ? labels.indexOf(text) : Number(text);
    const last = (result?.scores?.length ?? 0) - 1;
    if (text === "" || !Number.isInteger(number) || number < 0 || number > last) {
      return say(`“${text}” is no class: give its number, 0 to ${last}, or its name.`, true);
    }
    explain([number, ...result.numbers.filter((n) => n !== number).slice(0, 4)]);
  };
  const over = (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", event.type === "dragover");
  };
  for (const type of ["dragover", "dragleave", "drop"]) document.addEventListener(type, over);
  document.addEventListener("drop", (event) => attempt(() => take(event.dataTransfer.files[0])));
}

function samples() {
  const button = (n) => {
    const made = Object.assign(element("button"), { type: "button" });
    made.dataset.digit = n;
    made.append(Object.assign(element("img"), { src: `digits/${n}.png`, alt: `a handwritten ${n}`, width: 28, height: 28 }));
    made.onclick = () => attempt(async () => openPicture(await (await fetched(`digits/${n}.png`)).blob()));
    return made;
  };
  find("samples").replaceChildren(...Array.from({ length: 10 }, (_, n) => button(n)));
}

async function start() {
  const option = (text, value) => Object.assign(element("option", "", text), { value });
  find("preset").replaceChildren(...Object.entries(PRESETS).map(([key, { text }]) => option(text, key)));
  const list = await (await fetched("models.json")).json();
  find("model").replaceChildren(...list.map(({ title }, i) => option(title, i)));
  find("model").onchange = ({ target }) => attempt(() => openListed(list[target.value]));
  await openListed(list[0]);
}

if (typeof WebAssembly === "object" && location.protocol !== "file:") {
  samples();
  wire();
  attempt(start);
  // Without a secure origin there is no service worker; the page then works, but not offline.
  navigator.serviceWorker?.register("sw.js").catch(() => {});
}
