"use strict";
// Each map is a PNG of 255 levels: 127 is zero, 127 ± k is ±(k / 127)² of the limit, 255 is less.
const STEPS = 127;
const colour = (t) => {
  const place = 6 * Math.round((Math.max(-1, Math.min(1, t)) + 1) * STEPS);
  return [0, 2, 4].map((at) => parseInt(COLOURS.slice(place + at, place + at + 2), 16));
};
const share = (level) => (level === 255 ? 0 : Math.sign(level - STEPS) * ((level - STEPS) / STEPS) ** 2);

async function levels(image) {
  const text = atob(image.src.slice(image.src.indexOf(",") + 1));
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const parts = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    if (text.slice(at + 4, at + 8) === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const inflated = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(inflated).arrayBuffer());
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const found = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = y * (width + 1);
    if (lines[start] !== 0) throw new Error("a filtered line");
    found.set(lines.subarray(start + 1, start + 1 + width), y * width);
  }
  return found;
}

const short = (v, digits = 3) => {
  if (v === 0) return "0";
  const size = Math.abs(v);
  const text = size >= 1e-3 && size < 1e6 ? Number(size.toPrecision(digits)).toString() : size.toExponential(digits - 1).replace("e", "×10^");
  return (v < 0 ? "−" : "") + text;
};

class Chart {
  constructor(image, found, percentile) {
    this.limit = Number(image.dataset.limit);
    this.levels = found;
    this.sizes = found.map((level) => (level === 255 ? 0 : Math.abs(level - STEPS))).sort();
    this.canvas = document.createElement("canvas");
    this.canvas.className = "map";
    this.canvas.width = image.naturalWidth;
    this.canvas.height = image.naturalHeight;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", image.alt);
    this.ends = image.closest("figure").querySelectorAll(".scale span");
    this.given = [...this.ends].map((end) => end.textContent);
    this.draw(percentile, true);
    image.replaceWith(this.canvas);
  }
  draw(percentile, given) {
    const largest = this.sizes[this.sizes.length - 1];
    const kept = this.sizes[Math.round((percentile / 100) * (this.sizes.length - 1))] || largest;
    const clip = (kept / STEPS) ** 2;
    const table = Array.from({ length: 256 }, (_, level) => colour(clip > 0 ? share(level) / clip : 0));
    const pixels = new ImageData(this.canvas.width, this.canvas.height);
    this.levels.forEach((level, i) => pixels.data.set([...table[level], 255], 4 * i));
    this.canvas.getContext("2d").putImageData(pixels, 0, 0);
    this.ends.forEach((end, i) => {
      end.textContent = given ? this.given[i] : (i ? "+" : "−") + short(clip * this.limit, 2);
    });
  }
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (v, start, size, count) => Math.min(count - 1, Math.max(0, Math.floor(((v - start) / size) * count)));
    const x = place(event.clientX, box.left, box.width, this.canvas.width);
    const y = place(event.clientY, box.top, box.height, this.canvas.height);
    const level = this.levels[y * this.canvas.width + x];
    const least = short(this.limit / (4 * STEPS ** 2), 1);
    const value = level === 255 ? `|a| < ${least}` : level === STEPS ? "0" : `≈ ${short(share(level) * this.limit, Math.abs(level - STEPS) > 25 ? 2 : 1)}`;
    return `row ${y}, column ${x}: ${value}`;
  }
}

(async () => {
  const [slider, told] = [document.getElementById("clip"), document.getElementById("clipped")];
  const begun = slider.value;
  const charts = [];
  for (const image of document.querySelectorAll("img.map")) {
    try {
      await image.decode();
      charts.push(new Chart(image, await levels(image), Number(begun)));
    } catch {
      continue; // This map stays the picture that it is.
    }
  }
  if (!charts.length) return;
  const draw = () => {
    told.textContent = slider.value;
    for (const chart of charts) chart.draw(Number(slider.value), slider.value === begun);
  };
  document.querySelector(".tools").hidden = false;
  slider.addEventListener("input", draw);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const chart of charts) {
    chart.canvas.addEventListener("pointermove", (event) => {
      tip.textContent = chart.at(event);
      tip.hidden = false;
      tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${event.clientY + 18}px`;
    });
    chart.canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  }
})();
