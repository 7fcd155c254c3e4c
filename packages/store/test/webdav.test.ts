// @module-tag system
/** The driver for web servers that list and remove, against apache2's mod_dav. */
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram, needPrograms, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  chunkName,
  chunkPath,
  compressChunk,
  openHttpStore,
  openLocalStore,
  openPruneStore,
  openWebDavStore,
  readChunk,
  refreshAge,
  serveDirectory,
  type PruneStore,
  type StoreEntry,
} from "../src/index.ts";
import { startApache } from "@imgtool/testkit/servers";
import { layChunk, listFailures, none, readFailures, storeContract, writeFailures } from "./contract.ts";

const elsewhere = "the same driver is tested behind a bad network";
const patient = { proxy: false } as const;

if (findProgram("apache2") !== undefined) {
  storeContract("WebDAV from apache2", {
    reads: none(readFailures, elsewhere),
    writes: none(writeFailures, elsewhere),
    renews: { not: "a mark beside the file says that it was used: its time stays" },
    lists: none(listFailures, elsewhere),
    open: async (root) => {
      const apache = await startApache(root);
      const store = await openWebDavStore(apache.url, patient);
      return { store, writable: store, prunable: store, close: () => apache.close() };
    },
  });
}

async function listed(store: PruneStore): Promise<Extract<StoreEntry, { kind: "chunk" }>[]> {
  const entries: Extract<StoreEntry, { kind: "chunk" }>[] = [];
  for await (const entry of store.list()) if (entry.kind === "chunk") entries.push(entry);
  return entries;
}

test("apache2: an old chunk that a writer finds is marked, and a prune leaves it alone", async (context) => {
  needPrograms(context, "apache2");
  using folder = temporaryFolder();
  const apache = await startApache(folder.path);
  try {
    const [found, unused] = [randomBytes(3000, "found"), randomBytes(3000, "unused")];
    const old = Date.now() - 3 * refreshAge;
    for (const bytes of [found, unused]) {
      layChunk(folder.path, bytes);
      utimesSync(folder.join(chunkPath(chunkName(bytes))), old / 1000, old / 1000);
    }
    const writer = openHttpStore(apache.url, patient);
    expect(await writer.keep(chunkName(found))).toBe(true);
    const store = await openPruneStore(apache.url, patient);
    const entries = await listed(store);
    const used = new Map(entries.map(({ name, lastUsed }) => [name, lastUsed > Date.now() - 60_000]));
    expect(used).toEqual(
      new Map([
        [chunkName(found), true],
        [chunkName(unused), false],
      ]),
    );
    const removed: string[] = [];
    for (const entry of entries) if (await store.remove(entry, Date.now() - refreshAge)) removed.push(entry.name);
    expect(removed).toEqual([chunkName(unused)]);
    await writer.flush();
    expect(await readChunk([writer], chunkName(found), 3000)).toHaveLength(3000);
    await writer.close();
    await store.close();
    // Neither its file nor its mark was sent: two small requests.
    const requests = readFileSync(apache.log, "utf8").split("\n");
    expect(requests.filter((line) => line.startsWith("PUT "))).toEqual([]);
    // What mod_dav keeps of marks is in folders that hold no chunks.
    const local = await openLocalStore(folder.path);
    expect(await listed(local)).toHaveLength(1);
  } finally {
    await apache.close();
  }
});

test("apache2: a chunk that is exchanged between the look at it and its removal stays", async (context) => {
  needPrograms(context, "apache2");
  using folder = temporaryFolder();
  const apache = await startApache(folder.path);
  try {
    const bytes = randomBytes(3000, "exchanged");
    const path = join(folder.path, chunkPath(chunkName(bytes)));
    layChunk(folder.path, bytes);
    utimesSync(path, 1_500_000_000, 1_500_000_000);
    const answers: string[] = [];
    const proxied = await openWebDavStore(apache.url, patient);
    const [entry] = await listed(proxied);
    // Another writer stores it anew right before the DELETE: as sign() is called for each request.
    const store = await openWebDavStore(apache.url, {
      ...patient,
      sign: async ({ method, headers }) => {
        answers.push(method);
        if (method === "DELETE") writeFileSync(path, compressChunk(bytes, "xz").bytes);
        return headers;
      },
    });
    expect(entry === undefined ? undefined : await store.remove(entry, Date.now() - refreshAge)).toBe(false);
    expect(answers).toContain("DELETE");
    expect(existsSync(path)).toBe(true);
    await store.close();
    await proxied.close();
  } finally {
    await apache.close();
  }
});

test("apache2: a store is made where there is none, and its password is asked for", async (context) => {
  needPrograms(context, "apache2", "openssl");
  using folder = temporaryFolder();
  const passwords = folder.join("passwords");
  writeFileSync(passwords, `publisher:${run("openssl", ["passwd", "-apr1", "secret word"]).trim()}\n`);
  const apache = await startApache(folder.path, passwords);
  try {
    const url = `${apache.url}default.castr`.replace("//", "//publisher:secret%20word@");
    const bytes = randomBytes(3000, "published");
    await expect(openPruneStore(url, patient)).rejects.toMatchObject({ code: "store-missing" });
    const writer = openHttpStore(url, patient);
    expect(await writer.put(chunkName(bytes), compressChunk(bytes))).toBe(true);
    await writer.close();
    const store = await openPruneStore(url, patient);
    expect(readdirSync(folder.join("default.castr"))).toEqual([chunkName(bytes).slice(0, 4)]);
    expect(await listed(store)).toHaveLength(1);
    await store.close();
    for (const wrong of [apache.url, url.replace("secret", "wrong")])
      await expect(openPruneStore(wrong, patient)).rejects.toMatchObject({ code: "http-status", data: { found: 401 } });
  } finally {
    await apache.close();
  }
});

test("a web server that lists and removes nothing is told so", async () => {
  using folder = temporaryFolder();
  for (const options of [{}, { writable: true }]) {
    const server = await serveDirectory(folder.path, options);
    await expect(openPruneStore(server.url, patient)).rejects.toMatchObject({
      code: "store-read-only",
      message: expect.stringContaining(server.url) as string,
    });
    for (const method of ["DELETE", "PROPFIND"]) expect((await fetch(server.url, { method })).status, method).toBe(405);
    await server.close();
  }
});
