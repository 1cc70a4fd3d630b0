// Heatmaps: diverging colours with zero exactly white, and the scale printed underneath.

/** The colour of t in −1 … 1 as [r, g, b], made in Oklab (Ottosson, 2020): both arms equally light. */
export function diverging(t) {
  const size = Math.min(Math.abs(t), 1);
  const hue = ((t > 0 ? 27 : 258) * Math.PI) / 180;
  const chroma = 0.29 * size * (1 - 0.45 * size);
  return srgb(1 - 0.6 * size, chroma * Math.cos(hue), chroma * Math.sin(hue));
}

function srgb(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((v) => {
    const inside = Math.min(Math.max(v, 0), 1);
    const coded = inside <= 0.0031308 ? 12.92 * inside : 1.055 * inside ** (1 / 2.4) - 0.055;
    return Math.round(coded * 255);
  });
}

/** The map of a flat sample, its channels summed, for display only. */
export function plane(values, { channels, height, width, last }) {
  const sum = new Float64Array(height * width);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < sum.length; i++) {
      sum[i] += values[last ? i * channels + c : c * sum.length + i];
    }
  }
  return sum;
}

/** The magnitude of full colour: |a| at a percentile, or the largest where that is 0. */
export function limit(map, percentile = 100) {
  const sizes = Float64Array.from(map, Math.abs).sort();
  const at = sizes[Math.round((percentile / 100) * (sizes.length - 1))];
  return at > 0 ? at : sizes[sizes.length - 1];
}

/** A number of three digits, as a decimal fraction where that is short. */
export function short(v) {
  const e = Math.floor(Math.log10(Math.abs(v)));
  if (v === 0) return "0";
  const text = e >= -2 && e < 3 ? v.toFixed(2 - e) : v.toExponential(2);
  return text.replace("-", "−");
}

/** A figure: the map, its scale and its caption; moving over it tells the values. */
export function figure(values, frame, { symbol, name, note = "", percentile = 100 }) {
  const map = plane(values, frame);
  const full = limit(map, percentile);
  const canvas = Object.assign(document.createElement("canvas"), { width: frame.width, height: frame.height });
  const pixels = new ImageData(frame.width, frame.height);
  map.forEach((v, i) => pixels.data.set([...diverging(full > 0 ? v / full : 0), 255], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  const scale = element("div", "scale");
  if (full > 0) {
    const readout = element("span", "zero", "0");
    scale.append(element("span", "", `−${short(full)}`), element("i"), element("span", "", `+${short(full)}`), readout);
    told(canvas, map, readout);
  } else {
    scale.append(element("span", "none", "all zero"));
  }
  const about = full > 0 ? `scale ±${short(full)}` : "all zero";
  return framed(canvas, scale, symbol, name, note, `${symbol}, ${name}: ${about}`);
}

/** A figure of the picture that the network sees, `pixels` as ImageData. */
export function picture(pixels, note) {
  const canvas = Object.assign(document.createElement("canvas"), { width: pixels.width, height: pixels.height });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  const scale = element("div", "scale");
  scale.append(element("span", "none", note));
  return framed(canvas, scale, "x", "what the network sees", "", "The picture that the network sees");
}

function framed(canvas, scale, symbol, name, note, label) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const caption = element("figcaption");
  caption.append(element("b", "", symbol), ` ${name}`);
  if (note) caption.append(element("span", "note", note));
  const figure = element("figure");
  figure.append(canvas, scale, caption);
  return figure;
}

function told(canvas, map, readout) {
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const column = Math.floor((x / box.width) * canvas.width);
    const row = Math.floor((y / box.height) * canvas.height);
    const value = map[row * canvas.width + column];
    if (value !== undefined) readout.textContent = `[${row}, ${column}] ${short(value)}`;
  });
  canvas.addEventListener("pointerleave", () => (readout.textContent = "0"));
}

/** An element with a class and a text. */
export function element(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
