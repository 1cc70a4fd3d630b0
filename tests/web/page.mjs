// The page in a real browser: node page.mjs SITE OUT BROWSER PACKAGES MODELS [PICTURE]; what it saves goes to OUT.
// MODELS holds the shipped network as it is (plain.onnx) and transformed with top:3 and runtime neurons.
import assert from "node:assert/strict";
import { createReadStream, mkdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";

const [site, out, executablePath, packages, models, large] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, "package.json"))("playwright-core");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml" };

const server = createServer((request, response) => {
  const path = join(site, normalize(new URL(request.url, "http://x").pathname));
  const file = path.endsWith("/") ? join(path, "index.html") : path;
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const address = `http://127.0.0.1:${server.address().port}/`;
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
mkdirSync(out, { recursive: true });

/** A fresh page on which `prepare` was done, and the faults that the browser told. */
async function opened({ prepare = async () => {}, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(30000);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  await prepare(page);
  await page.goto(address);
  return { context, page, faults };
}

const status = (page, part) => page.locator("#status", { hasText: part }).waitFor();
const answered = (page, winner) => page.locator("#winner").and(page.getByText(winner, { exact: true })).waitFor();
const file = (page, name, buffer, mimeType = "image/png") => page.setInputFiles("#file", { name, mimeType, buffer });

async function saved(page, name) {
  const download = page.waitForEvent("download");
  await page.click("#save");
  await (await download).saveAs(join(out, name));
  return JSON.parse(readFileSync(join(out, name)));
}

async function step(name, work) {
  const start = Date.now();
  await work();
  console.log(`${name}: ${Date.now() - start} ms`);
}

const { context, page, faults } = await opened();

await step("a click explains a digit, and any class of it", async () => {
  await answered(page, "7");
  await page.getByRole("button", { name: "a handwritten 3" }).click();
  await answered(page, "3");
  assert.equal((await saved(page, "three-3.json")).neuron, 3);
  await page.getByRole("radio").nth(8).check();
  await page.locator("#why-title", { hasText: "Why 8" }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.locator("#why-title", { hasText: "Why 9" }).waitFor();
  const nine = await saved(page, "three-9.json");
  assert.equal(nine.neuron, 9);
  // The map of ν̂ has full colour where it is largest and white where it is 0, and prints its scale.
  const map = page.locator("#hero figure");
  const pixels = await map.locator("canvas").evaluate((c) => [...c.getContext("2d").getImageData(0, 0, 28, 28).data]);
  const size = nine.icd.map(Math.abs);
  const most = size.indexOf(Math.max(...size));
  const colour = nine.icd[most] > 0 ? [138, 5, 13] : [0, 65, 155];
  assert.deepEqual(pixels.slice(4 * most, 4 * most + 3), colour);
  const none = nine.icd.indexOf(0);
  if (none >= 0) assert.deepEqual(pixels.slice(4 * none, 4 * none + 3), [255, 255, 255]);
  assert.match(await map.locator(".scale").textContent(), /^−[\d.e−]+\+[\d.e−]+0$/);
});

await step("drawing by pointer and by keyboard", async () => {
  await page.locator("#pad").scrollIntoViewIfNeeded();
  const box = await page.locator("#pad").boundingBox();
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(0.5, 0.15));
  await page.mouse.down();
  await page.mouse.move(...at(0.5, 0.85), { steps: 12 });
  await page.mouse.up();
  await answered(page, "1");
  await page.focus("#pad");
  await page.keyboard.press("Delete");
  await page.locator("#why").waitFor({ state: "hidden" });
  await page.keyboard.press("Space");
  for (let i = 0; i < 9; i++) await page.keyboard.press("ArrowDown");
  await page.locator("#why").waitFor();
  await answered(page, "1");
});

await step("bad files are told and leave what there was", async () => {
  await file(page, "notes.png", Buffer.from("no picture at all"));
  await status(page, "“notes.png” is no picture that this browser can read");
  await file(page, "broken.onnx", Buffer.from("neither a model"), "");
  await status(page, "broken.onnx could not be loaded");
  await status(page, "The model before is kept.");
  await page.setInputFiles("#file", join(models, "plain.onnx"));
  await status(page, "does not explain itself");
  await file(page, "names.txt", Buffer.from("zero\none\n"), "text/plain");
  await status(page, "names 2 classes where the model has 10");
  await page.getByRole("button", { name: "a handwritten 5" }).click();
  await answered(page, "5");
  // A dropped picture of dark ink on paper is turned, and it says so.
  await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 300, height: 300 });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, 300, 300);
    context.fillStyle = "#111";
    context.fillRect(135, 60, 30, 180);
    const blob = await new Promise((done) => canvas.toBlob(done));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([blob], "ink.png", { type: "image/png" }));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  });
  await answered(page, "1");
  await page.getByText("inverted: ink is white here").waitFor();
});

await step("models whose neurons are chosen at run time", async () => {
  await page.setInputFiles("#file", join(models, "top.onnx"));
  await page.locator("#facts", { hasText: "top.onnx" }).waitFor();
  await page.getByRole("button", { name: "a handwritten 3" }).click();
  await answered(page, "3");
  assert.equal(await page.getByRole("radio").count(), 3);
  assert.equal((await saved(page, "top-3.json")).neuron, 3);
  await page.setInputFiles("#file", join(models, "runtime.onnx"));
  await page.locator("#facts", { hasText: "runtime.onnx" }).waitFor();
  await page.getByRole("button", { name: "a handwritten 3" }).click();
  await answered(page, "3");
  await page.fill("#another", "ten");
  await page.press("#another", "Enter");
  await status(page, "“ten” is no class: give its number, 0 to 9");
  await page.fill("#another", "6");
  await page.press("#another", "Enter");
  await page.locator("#why-title", { hasText: "Why 6" }).waitFor();
  assert.equal((await saved(page, "runtime-6.json")).neuron, 6);
  await page.locator("#model").selectOption({ index: 0 });
  await page.locator("#facts", { hasText: "2CONV" }).waitFor();
});

await step("no sideways scrolling, from a small phone up; pictures of the page", async () => {
  await page.getByRole("button", { name: "a handwritten 7" }).click();
  await answered(page, "7");
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(0, 0);
  for (const [name, width, height] of [["small", 320, 640], ["tablet", 800, 1000], ["phone", 390, 1180], ["desktop", 1280, 860]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} scrolls`);
      await page.screenshot({ path: join(out, `${name}-${colorScheme}.jpg`), type: "jpeg", quality: 80 });
    }
  }
  assert.deepEqual(faults, []);
  await context.close();
});

await step("a browser without WebAssembly, and a missing engine", async () => {
  const without = await opened({ prepare: (page) => page.addInitScript(() => delete window.WebAssembly) });
  await status(without.page, "This browser has no WebAssembly");
  await without.context.close();
  const lost = await opened({ serviceWorkers: "block", prepare: (page) => page.route("**/*.wasm", (route) => route.abort()) });
  await status(lost.page, "could not be loaded");
  await lost.context.close();
  const bare = await opened({ serviceWorkers: "block", prepare: (page) => page.route("**/models.json", (route) => route.abort()) });
  await status(bare.page, "models.json is missing");
  await bare.context.close();
});

await step("offline once loaded", async () => {
  const { context, page } = await opened();
  await answered(page, "7");
  await page.evaluate(() => navigator.serviceWorker.ready);
  await context.setOffline(true);
  await page.reload();
  await answered(page, "7");
  await page.getByRole("button", { name: "a handwritten 4" }).click();
  await answered(page, "4");
  await context.close();
});

if (large) {
  await step("a large model, its neurons chosen in the page", async () => {
    const { context, page, faults } = await opened();
    await answered(page, "7");
    await page.locator("#model").selectOption({ index: 1 });
    await status(page, "is ready");
    await page.setInputFiles("#file", large);
    await page.locator("#winner", { hasText: "goldfish" }).waitFor();
    assert.equal((await saved(page, "large-winner.json")).neuron, 1);
    await page.fill("#another", "207");
    await page.press("#another", "Enter");
    await page.locator("#why-title", { hasText: "golden retriever" }).waitFor();
    assert.equal((await saved(page, "large-other.json")).neuron, 207);
    await page.screenshot({ path: join(out, "large.jpg"), type: "jpeg", quality: 82, fullPage: true });
    assert.deepEqual(faults, []);
    await context.close();
  });
}

await browser.close();
server.close();
