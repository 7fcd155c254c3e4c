/** Mounts of trees on web servers that fail: errors instead of waits, and what is kept here. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { silentProgress } from "@imgtool/core";
import { needRoot, randomBytes, run, runAsync, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { openImage } from "../src/open-image.ts";
import { imgtool } from "./cli.ts";

/** A web server that serves a directory, sends half of each file and then nothing more, or closes connections. */
async function faultyServer(root: string): Promise<{ url: string; does: "serve" | "stall" | "drop" } & Disposable> {
  const server = createServer((request, response) => {
    const path = `${root}${request.url}`;
    if (self.does === "drop") response.destroy();
    else if (!existsSync(path)) response.writeHead(404).end();
    else {
      const body = readFileSync(path);
      response.setHeader("content-length", body.length);
      if (self.does === "serve") response.end(body);
      else response.write(body.subarray(0, body.length >> 1));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const self: Awaited<ReturnType<typeof faultyServer>> = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    does: "serve",
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return self;
}

interface Mounted {
  /** Resolves with the line that has the text. */
  told(text: string): Promise<void>;
  /** Ends it by a signal; its exit code. */
  end(): Promise<number | null>;
}

/** Runs `imgtool mount` until the file system is there. */
async function mount(...args: readonly string[]): Promise<Mounted> {
  const child: ChildProcess = spawn(imgtool, ["mount", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  const exited = once(child, "exit");
  let look: (() => void) | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) throw new Error("imgtool's output is piped");
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      look?.();
    });
  }
  const told = async (text: string): Promise<void> => {
    const heard = new Promise<void>((resolve) => {
      look = () => lines.some((line) => line.includes(text)) && resolve();
      look();
    });
    await Promise.race([heard, exited.then(() => Promise.reject(new Error(lines.join("\n"))))]);
  };
  await told("is mounted on");
  return {
    told,
    async end() {
      child.kill("SIGTERM");
      await exited;
      return child.exitCode;
    },
  };
}

test(
  "a store that stalls or is gone is an I/O error in time; the disk cache needs no store",
  { tags: ["system"] },
  async (context) => {
    needRoot(context);
    if (!existsSync("/dev/fuse")) context.skip("needs /dev/fuse");
    using folder = temporaryFolder();
    const tree = folder.join("tree");
    mkdirSync(tree);
    writeFileSync(`${tree}/large`, randomBytes(2_000_000, "large"));
    writeFileSync(`${tree}/small`, "small\n");
    run(imgtool, ["make", "--durable=no", folder.join("x.caidx"), tree]);
    using server = await faultyServer(folder.path);
    const target = folder.join("mnt");
    const cat = (): Promise<string> => runAsync("cat", [`${target}/large`]);
    const read = (): Promise<string> => runAsync("cmp", [`${target}/large`, `${tree}/large`]);
    const at = [`${server.url}x.caidx`, target];
    const disk = `--disk-cache=${folder.join("kept")}`;
    const mounted = await mount("--timeout=1", disk, "--disk-cache-size=1", ...at);
    for (const fault of ["stall", "drop"] as const) {
      server.does = fault;
      const before = performance.now();
      await expect(cat()).rejects.toThrow("Input/output error");
      expect(performance.now() - before).toBeLessThan(15_000);
    }
    server.does = "serve";
    await read();
    expect(await mounted.end()).toBe(0);
    // What was made goes, and of 2 MB one is kept.
    expect(existsSync(target)).toBe(false);
    const kept = Number(run("sh", ["-c", 'cat "$0"/*/* | wc -c', folder.join("kept")]));
    expect(kept).toBeGreaterThan(500_000);
    expect(kept).toBeLessThanOrEqual(1024 ** 2);
    const whole = await mount("--timeout=1", disk, "--prefetch", ...at);
    await whole.told("fetched in the background");
    server.does = "drop";
    await read();
    expect(readdirSync(target)).toEqual(["large", "small"]);
    expect(await whole.end()).toBe(0);
  },
);

test("a chunk that does not come is waited for once, with a disk cache, too", { tags: ["system"] }, async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("raw"), randomBytes(100_000, "once"));
  run(imgtool, ["make", "--durable=no", folder.join("x.caibx"), folder.join("raw")]);
  using server = await faultyServer(folder.path);
  await using opened = await openImage(
    `${server.url}x.caibx`,
    { cacheSize: 1, diskCache: folder.join("kept"), diskCacheSize: 1, timeout: 2000 },
    silentProgress,
    new AbortController().signal,
  );
  server.does = "stall";
  const before = performance.now();
  await expect(opened.image.read(0, 10)).rejects.toMatchObject({ code: "store-too-slow" });
  expect(performance.now() - before).toBeLessThan(3500);
  server.does = "serve";
  expect(Buffer.from(await opened.image.read(0, 100_000)).equals(readFileSync(folder.join("raw")))).toBe(true);
});

test(
  "extract, list and cat keep chunks on the disk, and mend what is damaged there",
  { tags: ["system"] },
  async () => {
    using folder = temporaryFolder();
    const tree = folder.join("tree");
    mkdirSync(tree);
    writeFileSync(`${tree}/file`, randomBytes(700_000, "kept"));
    run(imgtool, ["make", "--durable=no", folder.join("x.caidx"), tree]);
    run(imgtool, ["make", "--durable=no", folder.join("x.caibx"), `${tree}/file`]);
    using server = await faultyServer(folder.path);
    const extract = (name: string, target: string): Promise<string> =>
      runAsync(imgtool, ["extract", "--json", `--disk-cache=${folder.join("kept")}`, `${server.url}${name}`, target]);
    await extract("x.caibx", folder.join("blob"));
    const kept = (): string[] => globSync(folder.join("kept/*/*.cacnk"));
    const count = kept().length;
    expect(count).toBeGreaterThan(3);
    const [damaged = ""] = kept();
    const whole = readFileSync(damaged);
    chmodSync(damaged, 0o600);
    writeFileSync(damaged, "damaged");
    await extract("x.caibx", folder.join("blob2"));
    for (const name of ["blob", "blob2"])
      expect(readFileSync(folder.join(name)).equals(readFileSync(`${tree}/file`))).toBe(true);
    expect(readFileSync(damaged).equals(whole)).toBe(true);
    // Without the store, from the cache alone.
    rmSync(folder.join("default.castr"), { recursive: true });
    await extract("x.caibx", folder.join("blob3"));
    expect(readFileSync(folder.join("blob3")).equals(readFileSync(`${tree}/file`))).toBe(true);
    const disk = `--disk-cache=${folder.join("kept")}`;
    run(imgtool, ["make", "--durable=no", folder.join("x.caidx"), tree]);
    await extract("x.caidx", folder.join("out"));
    rmSync(folder.join("default.castr"), { recursive: true });
    expect(await runAsync(imgtool, ["list", disk, `${server.url}x.caidx`])).toContain("file");
    expect(await runAsync(imgtool, ["cat", disk, "--length=10", `${server.url}x.caidx`, "file"])).not.toBe("");
  },
);
