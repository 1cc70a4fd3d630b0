// From files and drawings to pixels of the network's size.
import { Problem } from "./model.js";

/** The side of the box that the ink of a digit is scaled to, inside 28 × 28 (LeCun et al., 1998). */
const INK = 20;

function canvas(width, height) {
  const made = Object.assign(document.createElement("canvas"), { width, height });
  const context = made.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  return [made, context];
}

/** A file as a bitmap, its colours as they stand in it. */
export async function decode(file) {
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    const name = file.name ? `“${file.name}”` : "What was given";
    throw new Problem(`${name} is no picture that this browser can read. PNG, JPEG, WebP and GIF are.`);
  }
}

/** The middle of a bitmap at the model's size, its shorter side fitted: `{ pixels, note }`. */
export function fit(bitmap, { width, height, channels }) {
  const [, context] = canvas(width, height);
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  context.imageSmoothingEnabled = scale !== 1;
  context.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
  const pixels = context.getImageData(0, 0, width, height);
  const same = bitmap.width === width && bitmap.height === height;
  const note = same ? `${width} × ${height}` : `scaled to ${width} × ${height}`;
  if (channels === 1 && !same && light(pixels)) {
    for (let i = 0; i < pixels.data.length; i++) if (i % 4 < 3) pixels.data[i] = 255 - pixels.data[i];
    return { pixels, note: `${note}, inverted: ink is white here` };
  }
  return { pixels, note };
}

/** Whether the border is lighter than mid-grey. */
function light({ data, width, height }) {
  let [sum, count] = [0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (x % (width - 1) && y % (height - 1)) continue;
      sum += data[4 * (y * width + x) + 1];
      count++;
    }
  }
  return sum / count > 127;
}

/** A drawing as the digits of MNIST were made: ink in a box of 20, its centre of mass in the middle. */
export function digit(drawing, { width, height }) {
  const ink = inkBox(drawing.getContext("2d").getImageData(0, 0, drawing.width, drawing.height));
  const [small, context] = canvas(width, height);
  if (ink) {
    const scale = (INK / 28) * Math.min(width / ink.width, height / ink.height);
    const [w, h] = [ink.width * scale, ink.height * scale];
    context.drawImage(drawing, ink.left, ink.top, ink.width, ink.height, (width - w) / 2, (height - h) / 2, w, h);
  }
  const [dx, dy] = offCentre(context.getImageData(0, 0, width, height));
  const [, centred] = canvas(width, height);
  centred.fillRect(0, 0, width, height);
  centred.drawImage(small, -dx, -dy);
  return { pixels: centred.getImageData(0, 0, width, height), note: `centred, ${width} × ${height}` };
}

function inkBox({ data, width, height }) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let i = 0; i < width * height; i++) {
    if (data[4 * i] < 16 || data[4 * i + 3] < 16) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** How many whole pixels the centre of mass is from the middle. */
function offCentre({ data, width, height }) {
  let [mass, mx, my] = [0, 0, 0];
  for (let i = 0; i < width * height; i++) {
    const ink = (data[4 * i] * data[4 * i + 3]) / 255;
    mass += ink;
    mx += ink * (i % width);
    my += ink * Math.floor(i / width);
  }
  if (mass === 0) return [0, 0];
  return [Math.round(mx / mass - (width - 1) / 2), Math.round(my / mass - (height - 1) / 2)];
}

/** The pixels as a canvas, for the drawing board. */
export function shown(pixels) {
  const [made, context] = canvas(pixels.width, pixels.height);
  context.putImageData(pixels, 0, 0);
  return made;
}
