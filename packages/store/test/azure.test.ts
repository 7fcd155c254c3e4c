// @module-tag system
/** The driver for Azure Blob Storage, against Azurite. */
import { createHmac } from "node:crypto";
import { basename } from "node:path";
import { needPrograms, randomBytes } from "@imgtool/testkit";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  type AzureCredentials,
  type AzureStoreOptions,
  chunkName,
  compressChunk,
  fetchStoredFile,
  openAzureStore,
  openPruneStore,
  type PruneStore,
  readChunk,
  type StoreEntry,
  writeStoredFile,
} from "../src/index.ts";
import { openAzureObjects } from "../src/azure.ts";
import { sharedKeySigner } from "../src/azure-signature.ts";
import { HttpClient } from "../src/http-client.ts";
import { parseHttpUrl } from "../src/http-target.ts";
import { refreshAge } from "../src/local-refresh.ts";
import { type AzuriteServer, startAzurite } from "@imgtool/testkit/servers";
import { behindProxy } from "./behind-proxy.ts";
import { every, listFailures, readFailures, storeContract, writeFailures } from "./contract.ts";
import { type ProxiedRequest, startFaultProxy } from "./fault-proxy.ts";
import { mirror, mirrored } from "./mirror.ts";
import { checkSendingRate } from "./sending-rate.ts";
import { checkRangedFile } from "./ranged-file.ts";

let azurite: Promise<AzuriteServer> | undefined;

/** The one server of this file, with an empty container; started when it is first asked for. */
async function server(): Promise<AzuriteServer> {
  return (azurite ??= startAzurite().then(async (started) => {
    expect(await send(started, "PUT", "/container?restype=container")).toBe(201);
    expect(await send(started, "PUT", "/public?restype=container", { "x-ms-blob-public-access": "container" })).toBe(
      201,
    );
    return started;
  }));
}

afterAll(async () => {
  await (await azurite)?.close();
});

/** A request past the driver. */
async function send(
  { endpoint, account, key }: AzuriteServer,
  method: "PUT" | "DELETE",
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: Uint8Array,
): Promise<number> {
  const client = new HttpClient({ sign: sharedKeySigner(account, key), proxy: false });
  try {
    const target = parseHttpUrl(`${endpoint}/${account}${path}`);
    const sent = { "x-ms-version": "2021-08-06", ...headers };
    return (
      (await client.send(target, { method, headers: sent, body, accept: [201, 202], maxBytes: 65_536 }))?.status ?? 404
    );
  } finally {
    await client.close();
  }
}

async function location(place: string, endpoint?: string): Promise<string> {
  const { account, endpoint: own } = await server();
  return `azure+http://${new URL(endpoint ?? own).host}/${account}/${place}`;
}

async function options(more: AzureStoreOptions = {}): Promise<AzureStoreOptions> {
  const { key } = await server();
  return { azureCredentials: { kind: "key", key }, proxy: false, retryDelay: 5, ...more };
}

function isListing({ url }: ProxiedRequest): boolean {
  return url.includes("comp=list");
}

async function open(prefix: string, more: AzureStoreOptions = {}, endpoint?: string): Promise<PruneStore> {
  return openAzureStore(await location(`container/${prefix}`, endpoint), await options(more));
}

async function all(store: PruneStore): Promise<readonly StoreEntry[]> {
  const entries: StoreEntry[] = [];
  for await (const entry of store.list()) entries.push(entry);
  return entries;
}

async function theChunk(store: PruneStore): Promise<Extract<StoreEntry, { kind: "chunk" }>> {
  const [entry] = await all(store);
  if (entry?.kind !== "chunk") throw new Error("no chunk");
  return entry;
}

/** A signature for the container, as the service's own are made: "Create a service SAS", version 2020-12-06. */
async function containerSas(permissions: string, minutes = 10): Promise<string> {
  const { account, key } = await server();
  const expiry = new Date(Date.now() + minutes * 60_000).toISOString().replace(/\.\d+/, "");
  const version = "2020-12-06";
  // permissions, start, expiry, resource, identifier, IP, protocol, version, kind, snapshot, encryption scope, five headers
  const fields = [
    permissions,
    "",
    expiry,
    `/blob/${account}/container`,
    "",
    "",
    "",
    version,
    "c",
    ...Array<string>(7).fill(""),
  ];
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(fields.join("\n")).digest("base64");
  return `?${new URLSearchParams({ sp: permissions, se: expiry, sv: version, sr: "c", sig: signature }).toString()}`;
}

describe("Azurite", { timeout: 60_000 }, () => {
  beforeEach((context) => needPrograms(context, "azurite-blob"));

  storeContract("Azure from Azurite, through a bad network", {
    reads: every(readFailures),
    writes: every(writeFailures),
    renews: { not: "the files of this test are copies of what the service has" },
    lists: every(listFailures),
    pageSize: 3,
    open: async (root) => {
      const to = await server();
      const proxy = await startFaultProxy(`${to.endpoint}/`);
      const opened = await open(basename(root), { retries: 3, pageSize: 3 }, proxy.url);
      const headers = { "x-ms-blob-type": "BlockBlob" };
      const store = mirrored(
        opened,
        mirror(root, (path, bytes) => send(to, "PUT", `/container/${basename(root)}/${path}`, headers, bytes)),
      );
      return behindProxy(proxy, store, isListing);
    },
  });

  test("what is sent is limited", async () => {
    expect.hasAssertions();
    await checkSendingRate((rateLimit) => open("limited", { rateLimit }));
  });

  test("parts of a file are of one version", async () => {
    expect.hasAssertions();
    await checkRangedFile(await location("container/ranged/a +é.catar"), await options());
  });

  test("what is there is listed in pages, and removed unless it was used since", async () => {
    const store = await open("pages and more", { pageSize: 3 });
    const names: string[] = [];
    for (let i = 0; i < 8; i++) {
      const bytes = randomBytes(100 + i, `page ${i}`);
      names.push(chunkName(bytes));
      expect(await store.put(chunkName(bytes), compressChunk(bytes, i === 0 ? "none" : "zstd"))).toBe(true);
    }
    const index = `${await location("container/pages and more")}/x+&<é.caibx`;
    await writeStoredFile(index, Buffer.from("index"), await options());
    const entries = await all(store);
    expect(entries.filter(({ kind }) => kind === "stray")).toMatchObject([{ path: "x+&<é.caibx" }]);
    const chunks = entries.filter((entry) => entry.kind === "chunk");
    expect(chunks.map(({ name }) => name).sort()).toEqual(names.sort());
    expect(chunks.every(({ bytes, lastUsed }) => bytes > 90 && Math.abs(lastUsed - Date.now()) < 120_000)).toBe(true);
    const [first, second] = chunks;
    if (first === undefined || second === undefined) throw new Error("no chunks");
    expect(await store.remove(first, Date.now() - 300_000)).toBe(false);
    expect(await store.remove(first, Date.now() + 300_000)).toBe(true);
    expect(await store.remove(first, Date.now() + 300_000)).toBe(false);
    expect([await store.has(first.name), await store.has(second.name)]).toEqual([false, true]);
    expect(Buffer.from((await fetchStoredFile(index, 100, await options())) ?? []).toString()).toBe("index");
    await writeStoredFile(index, Buffer.from("other"), await options());
    expect(Buffer.from((await fetchStoredFile(index, 100, await options())) ?? []).toString()).toBe("other");
    expect(await fetchStoredFile(`${index}s`, 100, await options())).toBeUndefined();
    await expect(fetchStoredFile(index, 4, await options())).rejects.toMatchObject({ code: "http-too-large" });
    await store.close();
  });

  test("an old chunk that a writer finds is renewed; one that a prune was faster with, an error", async () => {
    const proxy = await startFaultProxy(`${(await server()).endpoint}/`);
    const store = await open("renewed", {}, proxy.url);
    const bytes = randomBytes(500, "renewed");
    const name = chunkName(bytes);
    await store.put(name, compressChunk(bytes));
    const before = await theChunk(store);
    // a server's clock cannot be set back: the answer says that the chunk is old
    const headers = { "last-modified": new Date(Date.now() - 2 * refreshAge).toUTCString(), "content-length": "100" };
    const sayOld = (): void => {
      proxy.decide = ({ method }) => (method === "HEAD" ? { kind: "status", status: 200, headers } : undefined);
    };
    await new Promise((resolve) => setTimeout(resolve, 1100 - (Date.now() % 1000)));
    sayOld();
    expect(await store.keep(name)).toBe(true);
    proxy.decide = () => undefined;
    expect((await theChunk(store)).lastUsed).toBeGreaterThan(before.lastUsed);
    await store.flush();
    expect(await readChunk([store], name, 500)).toHaveLength(500);
    sayOld();
    expect(await store.keep(name)).toBe(true);
    proxy.decide = () => undefined;
    expect(await store.remove(before, Date.now() + 300_000)).toBe(true);
    await expect(store.flush()).rejects.toMatchObject({ code: "chunk-removed-meanwhile" });
    sayOld();
    expect(await store.keep(name)).toBe(false);
    await store.close();
    await proxy.close();
  });

  test("a chunk that is renewed or written anew while it is being removed stays", async () => {
    const proxy = await startFaultProxy(`${(await server()).endpoint}/`);
    const store = await open("raced", {}, proxy.url);
    const direct = openAzureObjects(await location("container/raced"), await options());
    const bytes = randomBytes(500, "raced");
    await store.put(chunkName(bytes), compressChunk(bytes));
    const entry = await theChunk(store);
    for (const use of [
      () => direct.renew?.(entry.path),
      () => direct.create(entry.path, compressChunk(bytes).bytes, true),
    ]) {
      const asked = Promise.withResolvers<void>();
      proxy.decide = ({ method }) => {
        if (method !== "DELETE") return undefined;
        asked.resolve();
        return { kind: "delay", milliseconds: 300 };
      };
      const removing = store.remove(entry, Date.now() + 300_000);
      await asked.promise;
      expect(await use()).toBe(true);
      expect(await removing).toBe(false);
    }
    expect(await readChunk([store], chunkName(bytes), 500)).toHaveLength(500);
    proxy.decide = () => undefined;
    expect(await store.remove(entry, Date.now() + 300_000)).toBe(true);
    await Promise.all([store.close(), direct.close()]);
    await proxy.close();
  });

  test("a shared access signature does what it allows, and is in no message", async () => {
    const bytes = randomBytes(500, "sas");
    const name = chunkName(bytes);
    const token = await containerSas("rcwdl");
    const store = openAzureStore(
      await location("container/sas"),
      await options({ azureCredentials: { kind: "sas", token } }),
    );
    expect(await store.put(name, compressChunk(bytes))).toBe(true);
    expect(await store.put(name, compressChunk(bytes))).toBe(false);
    const entry = await theChunk(store);
    expect(await readChunk([store], name, 500)).toHaveLength(500);
    const reading: AzureCredentials = { kind: "sas", token: await containerSas("r") };
    const reader = openAzureStore(await location("container/sas"), await options({ azureCredentials: reading }));
    expect(await readChunk([reader], name, 500)).toHaveLength(500);
    const refused: unknown = await reader.remove(entry, Date.now() + 300_000).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "http-status", data: { found: 403 } });
    expect(`${String(refused)} ${JSON.stringify(refused)}`).not.toMatch(/sig=|sp=/);
    expect(await store.remove(entry, Date.now() + 300_000)).toBe(true);
    await Promise.all([store.close(), reader.close()]);
  });

  test("public containers are read without credentials; a wrong key and a missing container say so, without the key", async () => {
    const bytes = randomBytes(500, "public");
    const name = chunkName(bytes);
    const writer = openAzureStore(await location("public/s"), await options());
    await writer.put(name, compressChunk(bytes));
    const reader = openAzureStore(await location("public/s"), { proxy: false });
    expect(await readChunk([reader], name, 500)).toHaveLength(500);
    const key = Buffer.from("another key").toString("base64");
    const wrong = openAzureStore(
      await location("container/s"),
      await options({ azureCredentials: { kind: "key", key } }),
    );
    const refused: unknown = await wrong.put(name, compressChunk(bytes)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "http-status", data: { found: 403, errorCode: "AuthorizationFailure" } });
    expect(`${String(refused)} ${JSON.stringify(refused)}`).not.toContain(key);
    const missing = openAzureStore(await location("missing/s"), await options());
    await expect(missing.put(name, compressChunk(bytes))).rejects.toMatchObject({ code: "store-bucket-missing" });
    await expect(all(missing)).rejects.toMatchObject({ code: "store-bucket-missing" });
    await Promise.all([writer.close(), reader.close(), wrong.close(), missing.close()]);
  });

  test("an empty blob is none; azure:// finds the account's service in a connection string", async () => {
    const { endpoint, account, key } = await server();
    const bytes = randomBytes(500, "empty");
    const name = chunkName(bytes);
    const path = `/container/empty/${name.slice(0, 4)}/${name}.cacnk`;
    expect(await send(await server(), "PUT", path, { "x-ms-blob-type": "BlockBlob" }, new Uint8Array(0))).toBe(201);
    process.env["AZURE_STORAGE_CONNECTION_STRING"] =
      `AccountName=${account};AccountKey=${key};BlobEndpoint=${endpoint}/${account};`;
    try {
      const store = await openPruneStore(`azure://${account}/container/empty`, { proxy: false });
      expect(await store.keep(name)).toBe(false);
      expect(await store.put(name, compressChunk(bytes))).toBe(true);
      expect(await readChunk([store], name, 500)).toHaveLength(500);
      await store.close();
    } finally {
      delete process.env["AZURE_STORAGE_CONNECTION_STRING"];
    }
  });
});
