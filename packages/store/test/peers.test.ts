// @module-tag system
/** Neighbours before a store: good ones, and those that lie, dawdle or vanish. */
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, onTestFinished, test } from "vitest";
import {
  announcePeer,
  chunkName,
  compressChunk,
  encryptStore,
  generateStoreKey,
  HeldIndexFiles,
  indexDigest,
  openLocalStore,
  type PeerAddress,
  peerCheck,
  PeerFinder,
  type PeerSource,
  PeerStore,
  type PeerStoreOptions,
  readChunk,
  type ReadStore,
  serveDirectory,
  StoreCipher,
} from "../src/index.ts";
import { layChunk } from "./contract.ts";

const chunks = Array.from({ length: 40 }, (_, i) => Buffer.from(randomBytes(3000 + i, `peer ${i}`)));
const check = peerCheck({ digest: "sha512-256", largest: 262_144 });

/** Peers that are known from the beginning. */
function known(...urls: readonly string[]): PeerSource {
  const peers = urls.map((url): PeerAddress => ({ address: new URL(url).hostname, port: Number(new URL(url).port) }));
  return { peers, isAnswered: true, answered: () => Promise.resolve() };
}

/** A store elsewhere that counts what it is asked for. */
async function elsewhere(folder: TemporaryFolder): Promise<ReadStore & { readonly asked: string[] }> {
  mkdirSync(folder.join("far"));
  for (const bytes of chunks) layChunk(folder.join("far"), bytes);
  const store = await openLocalStore(folder.join("far"));
  const asked: string[] = [];
  return {
    asked,
    location: "far away",
    has: (name) => store.has(name),
    get: (name, ...rest) => {
      asked.push(name);
      return store.get(name, ...rest);
    },
    close: () => store.close(),
  };
}

/** A peer with these chunks. */
async function goodPeer(folder: TemporaryFolder, some: readonly Uint8Array[] = chunks): Promise<string> {
  mkdirSync(folder.join("default.castr"), { recursive: true });
  for (const bytes of some) layChunk(folder.join("default.castr"), bytes);
  const server = await serveDirectory(folder.path);
  onTestFinished(() => server.close());
  return server.url;
}

/** A peer that does whatever it likes. */
async function badPeer(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** Reads all chunks, many at once; every one must be right. */
async function readAll(store: ReadStore): Promise<void> {
  const read = await Promise.all(chunks.map((bytes) => readChunk([store], chunkName(bytes), bytes.length)));
  for (const [i, bytes] of chunks.entries()) expect(bytes.equals(read[i] ?? bytes.subarray(1))).toBe(true);
}

function open(options: Omit<PeerStoreOptions, "check">): PeerStore {
  const store = new PeerStore({ check, ...options });
  onTestFinished(() => store.close());
  return store;
}

test("a neighbour is asked first, and the store for what it lacks", async () => {
  using folder = temporaryFolder();
  using there = temporaryFolder();
  const far = await elsewhere(folder);
  const store = open({ peers: known(await goodPeer(there, chunks.slice(0, 30))), next: far });
  await readAll(store);
  expect(far.asked.sort()).toEqual(
    chunks
      .slice(30)
      .map((bytes) => chunkName(bytes))
      .sort(),
  );
  expect(store.peerStatistics).toMatchObject({ chunks: 30, peers: 1, dropped: 0 });
  expect(await store.has(chunkName(Buffer.from("nowhere")))).toBe(false);
});

test("a peer that lies is found out at once, sees nothing but names, and another is asked", async () => {
  using folder = temporaryFolder();
  using there = temporaryFolder();
  const far = await elsewhere(folder);
  const requests: string[] = [];
  const liar = await badPeer((request, response) => {
    requests.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`);
    response.end(compressChunk(Buffer.from("not what you wanted")).bytes);
  });
  const reasons: string[] = [];
  const store = open({
    peers: known(liar, await goodPeer(there)),
    next: far,
    onDropped: (_, reason) => void reasons.push(reason),
  });
  await readAll(store);
  expect(reasons).toEqual([expect.stringContaining("other bytes")]);
  expect([far.asked, store.peerStatistics.chunks]).toEqual([[], chunks.length]);
  for (const request of requests) {
    expect(request).toMatch(/^GET \/default\.castr\/[0-9a-f]{4}\/[0-9a-f]{64}\.cacnk /);
    expect(request).not.toMatch(/authorization|cookie|referer/i);
  }
});

test("what is no chunk, too long, redirected or an error drops a peer", async () => {
  using folder = temporaryFolder();
  const far = await elsewhere(folder);
  const elsewhereAsked: string[] = [];
  const trap = await badPeer((request, response) => {
    elsewhereAsked.push(request.url ?? "");
    response.end();
  });
  const peers = [
    await badPeer((_, response) => void response.end("no chunk")),
    await badPeer((_, response) => void response.end(Buffer.alloc(5_000_000))),
    await badPeer((_, response) => void response.writeHead(302, { location: trap }).end()),
    await badPeer((_, response) => void response.writeHead(500).end()),
    await badPeer((_, response) => void response.destroy()),
    await badPeer((_, response) => void response.writeHead(404).end()),
    "http://127.0.0.1:9/",
  ];
  const store = open({ peers: known(...peers), next: far });
  await readAll(store);
  await readAll(store);
  expect(store.peerStatistics).toMatchObject({ chunks: 0, dropped: peers.length });
  expect(elsewhereAsked).toEqual([]);
});

test("a peer that is slow delays the first chunks, not all", async () => {
  using folder = temporaryFolder();
  const far = await elsewhere(folder);
  const slow = await badPeer(() => {});
  const store = open({ peers: known(slow), next: far, patience: 200 });
  const started = performance.now();
  await readAll(store);
  await readAll(store);
  expect(performance.now() - started).toBeLessThan(2500);
  expect(store.peerStatistics).toMatchObject({ chunks: 0, dropped: 1 });
});

test("a peer that can answer only a few at once is asked for a few", async () => {
  using folder = temporaryFolder();
  const far = await elsewhere(folder);
  const byName = new Map(chunks.map((bytes) => [chunkName(bytes), bytes]));
  const queue: (() => void)[] = [];
  const timer = setInterval(() => queue.shift()?.(), 40);
  onTestFinished(() => clearInterval(timer));
  const narrow = await badPeer((request, response) => {
    const bytes = byName.get(/([0-9a-f]{64})\.cacnk$/.exec(request.url ?? "")?.[1] ?? "");
    queue.push(() => void response.end(compressChunk(bytes ?? Buffer.alloc(0)).bytes));
  });
  const store = open({ peers: known(narrow), next: far, patience: 250 });
  await readAll(store);
  expect(store.peerStatistics).toMatchObject({ dropped: 0 });
  expect(store.peerStatistics.chunks).toBeGreaterThan(0);
  expect(store.peerStatistics.chunks).toBeLessThan(20);
});

test("a peer that vanishes in the middle costs nothing but its chunks", async () => {
  using folder = temporaryFolder();
  using there = temporaryFolder();
  const far = await elsewhere(folder);
  for (const bytes of chunks) layChunk(there.join("default.castr"), bytes);
  let count = 0;
  const server = await serveDirectory(there.path, {
    onRequest: () => {
      if (++count === 10) void server.close();
    },
  });
  onTestFinished(() => server.close());
  const store = open({ peers: known(server.url), next: far });
  for (const bytes of chunks)
    expect(await readChunk([store], chunkName(bytes), bytes.length)).toHaveLength(bytes.length);
  expect(store.peerStatistics).toMatchObject({ chunks: 10, dropped: 1 });
  expect(far.asked).toHaveLength(chunks.length - 10);
});

test("nobody waits for neighbours but who has no other store", async () => {
  using folder = temporaryFolder();
  using there = temporaryFolder();
  const far = await elsewhere(folder);
  const peer = known(await goodPeer(there));
  const answered = Promise.withResolvers<void>();
  const late = { peers: [] as PeerAddress[], isAnswered: false, answered: () => answered.promise };
  await readAll(open({ peers: late, next: far }));
  expect(far.asked).toHaveLength(chunks.length);
  const alone = open({ peers: late });
  const reading = readAll(alone);
  late.peers.push(...peer.peers);
  late.isAnswered = true;
  answered.resolve();
  await reading;
  expect(alone.peerStatistics.chunks).toBe(chunks.length);
});

test("an encrypted store is served by peers that have no key; their lies are refused, too", async () => {
  using there = temporaryFolder();
  const key = generateStoreKey();
  const local = encryptStore(await openLocalStore(there.join("default.castr"), { create: true }), key);
  for (const bytes of chunks) await local.put(chunkName(bytes), compressChunk(bytes));
  const server = await serveDirectory(there.path);
  onTestFinished(() => server.close());
  const cipher = new StoreCipher(key);
  const other = compressChunk(Buffer.from("other"));
  const liar = await badPeer((_, response) => {
    response.end(cipher.sealChunk(cipher.storedName(chunkName(Buffer.from("other"))), other));
  });
  using empty = temporaryFolder();
  const peers = new PeerStore({
    peers: known(liar, server.url),
    next: await openLocalStore(empty.path),
    check: peerCheck({ digest: "sha512-256", largest: 262_144, key }),
  });
  const store = encryptStore(peers, key);
  onTestFinished(() => store.close());
  await readAll(store);
  expect(peers.peerStatistics).toMatchObject({ chunks: chunks.length, dropped: 1 });
});

test("an index is announced to who asks, and no more when the peer ends", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("a.caibx"), "the bytes of an index");
  writeFileSync(folder.join(".hidden.caibx"), "hidden");
  writeFileSync(folder.join("a.raw"), "no index");
  const files = new HeldIndexFiles(folder.path);
  const wanted = indexDigest(Buffer.from("the bytes of an index"));
  expect(await files.list()).toEqual({ digests: [wanted], count: 1 });
  const addresses = ["127.0.0.1"];
  const find = async (digest: string): Promise<readonly number[]> => {
    using finder = new PeerFinder(addresses);
    finder.want(digest);
    await finder.answered();
    return finder.peers.map(({ port }) => port);
  };
  {
    await using first = await announcePeer({ port: 4711, digests: [wanted], addresses });
    await using second = await announcePeer({ port: 4712, digests: [], addresses });
    expect(first.addresses).toEqual(addresses);
    expect(await find(wanted)).toEqual([4711]);
    await second.update([wanted]);
    expect(new Set(await find(wanted))).toEqual(new Set([4711, 4712]));
    expect(await find(indexDigest(Buffer.from("another")))).toEqual([]);
  }
  expect(await find(wanted)).toEqual([]);
});
