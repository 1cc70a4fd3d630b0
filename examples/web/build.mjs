// Builds the page into target/web: node examples/web/build.mjs [MODEL.onnx PRESET LABELS.txt]
// The runtime comes from the package index, once; the model is written by slpc.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const site = process.env.SLPC_SITE ?? join(target, "web");
const making = `${site}.making`;
const packages = process.env.SLPC_PACKAGES ?? join(target, "web-packages");

const RUNTIME = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const PAGE = ["index.html", "style.css", "icon.svg", "guard.js", "sw.js", "main.js", "view.js", "heatmap.js", "model.js", "network.js", "engine.js", "picture.js", "pad.js"];
const QUANTITIES = "activity,weights,bias,icd,patterns,singular-values,mixing";

function fail(text) {
  console.error(`error: ${text}`);
  process.exit(1);
}

/** The packages of package-lock.json, fetched when it changed. */
function fetchPackages() {
  const lock = readFileSync(join(here, "package-lock.json"));
  const stamp = join(packages, "made-from.json");
  if (existsSync(stamp) && readFileSync(stamp).equals(lock)) return;
  mkdirSync(packages, { recursive: true });
  for (const file of ["package.json", "package-lock.json"]) cpSync(join(here, file), join(packages, file));
  const npm = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: packages,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (npm.error) fail(`npm cannot be run (${npm.error.message}): install Node.js 20 or newer`);
  if (npm.status !== 0) fail("npm could not fetch onnxruntime-web: the first build needs the package index");
  writeFileSync(stamp, lock);
}

/** Runs slpc: the one that SLPC names, else this repository's. */
function slpc(...options) {
  const [program, first] = process.env.SLPC
    ? [process.env.SLPC, []]
    : ["cargo", ["run", "--quiet", "--manifest-path", join(root, "Cargo.toml"), "--"]];
  try {
    execFileSync(program, [...first, ...options], { stdio: ["ignore", "ignore", "inherit"] });
  } catch (error) {
    fail(`${program} failed (${error.message}); SLPC may name an slpc that is built already`);
  }
}

function augment(model, neurons) {
  const file = `models/${basename(model, ".onnx")}.slp.onnx`;
  slpc("transform", model, "--neurons", neurons, "--emit", QUANTITIES, "--target", "web", "-o", join(making, file));
  return file;
}

function files(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/")).sort();
}

const [model, preset, names] = process.argv.slice(2);
if (model && !(preset && names)) fail("give MODEL.onnx PRESET LABELS.txt, or nothing");
fetchPackages();
rmSync(making, { recursive: true, force: true });
for (const folder of ["ort", "models", "digits"]) mkdirSync(join(making, folder), { recursive: true });
for (const file of PAGE) cpSync(join(here, file), join(making, file));
for (const file of RUNTIME) cpSync(join(packages, "node_modules/onnxruntime-web/dist", file), join(making, "ort", file));
for (let n = 0; n < 10; n++) cpSync(join(root, `examples/digits/${n}.png`), join(making, `digits/${n}.png`));
const list = [{ title: "2CONV, handwritten digits", file: augment(join(root, "examples/2conv_mnist.onnx"), "all"), preset: "unit" }];
if (model) {
  cpSync(names, join(making, "models/labels.txt"));
  list.push({ title: basename(model, ".onnx"), file: augment(model, "runtime"), preset, labels: "models/labels.txt" });
}
writeFileSync(join(making, "models.json"), JSON.stringify(list));
const all = files(making);
const hash = createHash("sha256");
for (const file of all) hash.update(readFileSync(join(making, file)));
const version = `slpc-${hash.digest("hex").slice(0, 16)}`;
writeFileSync(join(making, "offline.js"), `const VERSION = "${version}";\nconst FILES = ${JSON.stringify(["./", ...all])};\n`);
rmSync(site, { recursive: true, force: true });
renameSync(making, site);
console.log(`${relative(process.cwd(), site) || "."}: ${all.length} files. Serve it: python3 -m http.server -d ${relative(process.cwd(), site)}`);
