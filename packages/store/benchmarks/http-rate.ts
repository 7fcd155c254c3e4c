/**
 * How fast chunks are read over loopback HTTP, verified: run it with
 * `node --conditions=@imgtool/source packages/store/benchmarks/http-rate.ts [URL-OF-STORE-SERVER-ROOT]`.
 *
 * The server runs in a thread of its own, as a server elsewhere would.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { randomBytes } from "@imgtool/testkit";
import { chunkName, compressChunk, openHttpStore, readChunk, SyncLocalStore } from "../src/index.ts";

const count = 2000;
const size = 65_536;
const root = mkdtempSync(join(tmpdir(), "imgtool-bench-"));
try {
  const store = new SyncLocalStore(root, { durable: false });
  const names = Array.from({ length: count }, (_, i) => {
    // half random, half repeated: compresses by half, as binaries do
    const bytes = Buffer.concat([randomBytes(size / 2, `${i}`), Buffer.alloc(size / 2, `chunk ${i}`)]);
    const name = chunkName(bytes);
    store.put(name, compressChunk(bytes));
    return name;
  });
  const code = `
    const { serveDirectory } = await import(${JSON.stringify(import.meta.resolve("../src/serve.ts"))});
    const { parentPort, workerData } = await import("node:worker_threads");
    parentPort.postMessage((await serveDirectory(workerData)).url);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: root });
  const url = await new Promise<string>((resolve) => worker.once("message", resolve));
  for (const concurrency of [1, 4, 16, 64]) {
    const http = openHttpStore(url, { concurrency });
    const queue = names.values();
    const started = performance.now();
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        for (const name of queue) await readChunk([http], name, size);
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    const rate = (count / seconds).toFixed(0).padStart(6);
    const megabytes = ((count * size) / seconds / 1e6).toFixed(0).padStart(5);
    console.log(
      `${String(concurrency).padStart(3)} at once: ${rate} chunks/s, ${megabytes} MB/s of plain data`,
      http.statistics,
    );
    await http.close();
  }
  await worker.terminate();
} finally {
  rmSync(root, { recursive: true, force: true });
}
