// Runs a list of jobs in onnxruntime-web; tells a line of JSON a job, as `worker.py` does.
//
// Usage: node worker.mjs wasm|webgpu|node MODULES JOBS.json FROM. MODULES is the node_modules folder that
// holds onnxruntime-web and playwright-core; CHROMIUM names the browser.

import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [where, modules, list, from] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const load = createRequire(join(modules, "x.js"));
const dist = join(modules, "onnxruntime-web/dist");
const { version } = JSON.parse(readFileSync(join(modules, "onnxruntime-web/package.json")));
const BUNDLE = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };

const files = (job) => ({
  original: readFileSync(job.original),
  augmented: readFileSync(job.augmented),
  feed: JSON.parse(readFileSync(job.feed)),
});

async function inNode() {
  const { run } = await import(pathToFileURL(join(here, "job.js")));
  const ort = load("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  return { do: (job) => run(ort, job, files(job), "wasm"), end: () => {} };
}

// The page's files from two folders, and the files of the job that is being done.
function serve(current) {
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://localhost").pathname.slice(1);
    const [folder, name] = path.split("/");
    const types = { mjs: "text/javascript", js: "text/javascript", wasm: "application/wasm", html: "text/html" };
    try {
      const body =
        folder === "job" ? readFileSync(current.job[name]) : readFileSync(join({ ort: dist, page: here }[folder], name));
      response.setHeader("Content-Type", types[name.split(".").pop()] ?? "application/octet-stream");
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
}

async function inBrowser() {
  const { chromium } = load("playwright-core");
  const current = {};
  const server = await serve(current);
  const quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const gpu = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--no-first-run", ...quiet, ...(where === "webgpu" ? gpu : ["--disable-gpu"])],
  });
  const page = await browser.newPage();
  const home = `http://127.0.0.1:${server.address().port}`;
  await page.goto(`${home}/page/page.html`);
  await page.evaluate(async (bundle) => {
    globalThis.ort = await import(`/ort/${bundle}`);
    globalThis.ort.env.wasm.numThreads = 1;
    globalThis.ort.env.wasm.wasmPaths = "/ort/";
    globalThis.ort.env.logLevel = "fatal";
    globalThis.job = await import("/page/job.js");
  }, BUNDLE[where]);
  const perform = async ([job, provider]) => {
    const get = async (what) => (await fetch(`/job/${what}`)).arrayBuffer();
    const parts = await Promise.all(["original", "augmented"].map(get));
    const feed = await (await fetch("/job/feed")).json();
    const files = { original: new Uint8Array(parts[0]), augmented: new Uint8Array(parts[1]), feed };
    return globalThis.job.run(globalThis.ort, job, files, provider);
  };
  return {
    do: (job) => {
      current.job = job;
      return page.evaluate(perform, [job, where]);
    },
    end: async () => {
      await browser.close();
      server.close();
    },
  };
}

const runner = await (where === "node" ? inNode() : inBrowser());
console.log(JSON.stringify({ version }));
for (const job of JSON.parse(readFileSync(list)).slice(Number(from))) {
  const { told, arrays } = await runner.do(job);
  if (arrays) writeFileSync(job.result, JSON.stringify(arrays));
  console.log(JSON.stringify(told));
}
await runner.end();
