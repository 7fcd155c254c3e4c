/**
 * Azurite, Microsoft's emulator of Azure Storage, on loopback and in memory. It is no development
 * dependency: its 377 packages take 240 MB. `scripts/setup.sh --peers` installs it beside Node.js.
 * @module
 */
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "../needs.ts";
import { temporaryFolder } from "../temporary.ts";
import { freePort } from "./free-port.ts";

export interface AzuriteServer {
  /** http://127.0.0.1:port */
  readonly endpoint: string;
  readonly account: string;
  readonly key: string;
  close(): Promise<void>;
}

export async function startAzurite(): Promise<AzuriteServer> {
  const folder = temporaryFolder();
  const port = await freePort();
  const account = "tester";
  const key = randomBytes(64).toString("base64");
  const child = spawn(
    findProgram("azurite-blob") ?? "azurite-blob",
    ["--blobPort", String(port), "--inMemoryPersistence", "--silent", "--disableTelemetry"],
    { stdio: "ignore", cwd: folder.path, env: { ...process.env, AZURITE_ACCOUNTS: `${account}:${key}` } },
  );
  const close = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null && child.kill("SIGKILL")) await ended;
    folder[Symbol.dispose]();
  };
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 600 && child.exitCode === null; tries++) {
    if ((await fetch(endpoint).catch(() => undefined)) !== undefined) return { endpoint, account, key, close };
    await delay(100);
  }
  await close();
  throw new Error("azurite does not answer");
}

/** Makes a container, with a Shared Key ("Authorize with Shared Key", Azure Storage's REST reference). */
export async function makeContainer({ endpoint, account, key }: AzuriteServer, name: string): Promise<void> {
  const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-12-02" };
  const lines = Object.entries(headers).map(([header, value]) => `${header}:${value}\n`);
  const text = `PUT${"\n".repeat(12)}${lines.join("")}/${account}/${account}/${name}\nrestype:container`;
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
  const made = await fetch(`${endpoint}/${account}/${name}?restype=container`, {
    method: "PUT",
    headers: { ...headers, authorization: `SharedKey ${account}:${signature}` },
  });
  if (!made.ok) throw new Error(`azurite makes no container: ${made.status} ${await made.text()}`);
}
