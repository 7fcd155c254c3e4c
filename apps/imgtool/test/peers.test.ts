// @module-tag system
/** Neighbours on a network of their own: two network namespaces and the cable between them. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { indexDigest } from "@imgtool/store";
import {
  needPrograms,
  needRoot,
  randomBytes,
  run,
  runAsync,
  temporaryFolder,
  type TemporaryFolder,
  tryRun,
} from "@imgtool/testkit";
import { expect, onTestFinished, test, type TestContext } from "vitest";
import { cli, imgtool } from "./cli.ts";

/** Two machines, `here` and `there`, with a network between them and none to elsewhere. */
interface Network {
  readonly here: string;
  readonly there: string;
}

function makeNetwork(context: TestContext): Network {
  needRoot(context);
  needPrograms(context, "ip");
  const [here, there] = [`imgtool-a${process.pid}`, `imgtool-b${process.pid}`];
  if (tryRun("ip", ["netns", "add", here]).status !== 0) context.skip("needs network namespaces");
  onTestFinished(() => void tryRun("ip", ["netns", "del", here]));
  run("ip", ["netns", "add", there]);
  onTestFinished(() => void tryRun("ip", ["netns", "del", there]));
  run("ip", ["link", "add", "va", "netns", here, "type", "veth", "peer", "name", "vb", "netns", there]);
  for (const [space, device, address] of [
    [here, "va", "10.77.0.1/24"],
    [there, "vb", "10.77.0.2/24"],
  ] as const) {
    run("ip", ["-n", space, "addr", "add", address, "dev", device]);
    for (const up of ["lo", device]) run("ip", ["-n", space, "link", "set", up, "up"]);
  }
  // The kernel tells of a new cable up to a second later.
  for (const [space, device] of [
    [here, "va"],
    [there, "vb"],
  ] as const) {
    while (!run("ip", ["-n", space, "-br", "link", "show", device]).includes(" UP ")) context.signal.throwIfAborted();
  }
  return { here, there };
}

/** Serves a directory on a machine until the test ends. */
async function serve(machine: string, ...args: readonly string[]): Promise<ChildProcess & { readonly url: string }> {
  const options = ["netns", "exec", machine, imgtool, "serve", "--json", "--debug", "--port=0", ...args];
  const child = spawn("ip", options, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  onTestFinished(() => end(child, "SIGKILL"));
  const url = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (part: Buffer) => {
      text += part.toString("utf8");
      const found = /"url":"([^"]+)"/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("exit", () => reject(new Error(`serve ended: ${text}`)));
  });
  return Object.assign(child, { url });
}

/** Sends a signal to a server and all that it runs. */
function end(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // it has ended
  }
}

interface Extraction {
  readonly fromStores: number;
  readonly fromPeers: number;
}

/** Extracts on a machine, and compares with the source. */
async function extract(machine: string, folder: TemporaryFolder, ...args: readonly string[]): Promise<Extraction> {
  const output = folder.join("out");
  const command = [imgtool, "extract", "--json", "--seed-output=no", ...args, output];
  const text = await runAsync("ip", ["netns", "exec", machine, ...command]);
  expect(readFileSync(output).equals(readFileSync(folder.join("raw")))).toBe(true);
  const result = text.split("\n").find((line) => line.includes('"type":"result"'));
  return JSON.parse(result ?? "{}") as Extraction;
}

/** A published image in a folder that a peer can serve, and its index elsewhere. */
function publish(folder: TemporaryFolder, ...options: readonly string[]): string {
  const store = folder.join("peer", "default.castr");
  mkdirSync(folder.join("peer"));
  writeFileSync(folder.join("raw"), randomBytes(6_000_000, "neighbours"));
  const held = folder.join("peer", "image-of-a-customer.caibx");
  const made = cli(["make", ...options, `--store=${store}`, held, folder.join("raw")]);
  expect(made.exitCode, made.stderr).toBe(0);
  copyFileSync(held, folder.join("image.caibx"));
  return store;
}

/** Nothing answers there. */
const nowhere = "--store=http://127.0.0.1:9/default.castr";

test("chunks come from a neighbour that has the index, and from nobody who was not asked to", async (context) => {
  const { here, there } = makeNetwork(context);
  using folder = temporaryFolder();
  publish(folder);
  const index = folder.join("image.caibx");
  // A store that is there, and has nothing.
  mkdirSync(folder.join("empty"));
  const empty = `--store=${(await serve(here, folder.join("empty"))).url}`;
  const quiet = await serve(there, "--host=0.0.0.0", folder.join("peer"));
  await expect(extract(here, folder, "--peers", empty, index)).rejects.toThrow(/is missing/);
  end(quiet, "SIGKILL");
  await serve(there, "--peer", folder.join("peer"));
  await expect(extract(here, folder, empty, index)).rejects.toThrow(/is missing/);
  const found = await extract(here, folder, "--peers", nowhere, index);
  expect(found.fromStores).toBeGreaterThan(50);
  expect(found.fromPeers).toBe(found.fromStores);
});

test("a stranger sees digests of indexes, no names and nothing of the machine", async (context) => {
  const python = "/usr/bin/python3";
  const { here, there } = makeNetwork(context);
  if (!existsSync(python) || tryRun(python, ["-c", "import zeroconf"]).status !== 0)
    context.skip("needs python3-zeroconf");
  using folder = temporaryFolder();
  publish(folder);
  const server = await serve(there, "--peer", folder.join("peer"));
  const script = join(import.meta.dirname, "find-service.py");
  const stranger = spawn("ip", ["netns", "exec", here, python, script], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  stranger.stdout.on("data", (part: Buffer) => {
    text += part.toString("utf8");
    // It has been seen: it says goodbye.
    end(server, "SIGINT");
  });
  await new Promise((resolve) => stranger.once("exit", resolve));
  const [line = "", last] = text.split("\n");
  expect([JSON.parse(line), last]).toMatchObject([
    {
      port: Number(new URL(server.url).port),
      addresses: ["10.77.0.2"],
      texts: { v: "1", i0: indexDigest(readFileSync(folder.join("image.caibx"))) },
    },
    "gone",
  ]);
  expect(line).not.toContain("customer");
  expect(line).not.toContain(hostname());
});

test("a neighbour that lies, hangs or vanishes only costs what it sent", async (context) => {
  const { here, there } = makeNetwork(context);
  using folder = temporaryFolder();
  publish(folder);
  const index = folder.join("image.caibx");
  mkdirSync(folder.join("liar"));
  run("cp", ["-r", folder.join("peer") + "/.", folder.join("liar")]);
  for (const name of readdirSync(folder.join("liar"), { recursive: true, encoding: "utf8" })) {
    const path = folder.join("liar", name);
    if (!name.endsWith(".cacnk")) continue;
    const bytes = readFileSync(path);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1;
    chmodSync(path, 0o644);
    writeFileSync(path, bytes);
  }
  // The store of the publisher is on this machine's web server.
  const origin = await serve(here, folder.join("peer"));
  const args = ["--peers", `--store=${origin.url}default.castr`, index];
  const alone = await extract(here, folder, ...args);
  expect(alone.fromPeers).toBe(0);
  const liar = await serve(there, "--peer", folder.join("liar"));
  expect(await extract(here, folder, ...args)).toMatchObject({ fromPeers: 0, fromStores: alone.fromStores });
  const good = await serve(there, "--peer", folder.join("peer"));
  const both = await extract(here, folder, "--peers", nowhere, index);
  expect(both.fromPeers).toBe(both.fromStores);
  end(liar, "SIGKILL");
  // In the middle of an extraction, one stops: it takes connections, and answers nothing any more.
  good.stdout?.on("data", (part: Buffer) => part.includes("GET ") && end(good, "SIGSTOP"));
  const stopped = await extract(here, folder, ...args);
  expect(stopped.fromStores).toBe(alone.fromStores);
  expect(stopped.fromPeers).toBeLessThan(stopped.fromStores);
});

test("neighbours without the key serve an encrypted store", async (context) => {
  const { here, there } = makeNetwork(context);
  using folder = temporaryFolder();
  const key = folder.join("key");
  expect(cli(["genkey", `--store=${key}`]).exitCode).toBe(0);
  publish(folder, `--key=${key}`);
  await serve(there, "--peer", folder.join("peer"));
  const found = await extract(here, folder, "--peers", `--key=${key}`, nowhere, folder.join("image.caibx"));
  expect(found.fromPeers).toBe(found.fromStores);
});
