// @module-tag system
/** The HTTP client against everything that networks, servers and attackers do. */
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needRoot, randomBytes, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  chunkName,
  chunkPath,
  fetchBytes,
  fetchFile,
  HttpClient,
  openHttpStore,
  type HttpStore,
  RateLimit,
  readChunk,
  serveDirectory,
  type DirectoryServer,
  type HttpStoreOptions,
} from "../src/index.ts";
import { isTransientError, retryDelay } from "../src/http-retry.ts";
import { parseHttpUrl, redirected } from "../src/http-target.ts";
import { layChunk } from "./contract.ts";
import { firstTimes, startFaultProxy, type Fault, type FaultProxy } from "./fault-proxy.ts";

const plain = randomBytes(30_000, "http");
const name = chunkName(plain);
const quick: HttpStoreOptions = { retryDelay: 2, retries: 3, chunks: "compressed" };

let folder: TemporaryFolder;
let server: DirectoryServer;
let proxy: FaultProxy;

beforeEach(async () => {
  folder = temporaryFolder();
  layChunk(folder.path, plain);
  server = await serveDirectory(folder.path);
  proxy = await startFaultProxy(server.url);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await proxy.close();
  await server.close();
  folder[Symbol.dispose]();
});

const transient: readonly Fault[] = [
  { kind: "drop" },
  { kind: "garbage" },
  { kind: "cut" },
  ...[408, 425, 429, 500, 502, 503, 504].map((status) => ({ kind: "status", status }) as const),
];

test("a limit of the rate holds for all requests together, and ends with an abort", async () => {
  // a load makes it slower, never faster: 180,000 bytes less those of a tenth of a second
  const limit = new RateLimit(300_000);
  const stores = [1, 2].map(() => openHttpStore(server.url, { ...quick, rateLimit: limit }));
  const start = performance.now();
  const reads = Array.from({ length: 6 }, (_, i) => readChunk([stores[i % 2] as HttpStore], name, plain.length));
  for (const bytes of await Promise.all(reads)) expect(Buffer.compare(bytes, plain)).toBe(0);
  expect(performance.now() - start).toBeGreaterThan(400);
  for (const store of stores) await store.close();

  const slow = openHttpStore(server.url, { ...quick, rateLimit: new RateLimit(1) });
  const controller = new AbortController();
  const read = Promise.all([1, 2].map(() => readChunk([slow], name, plain.length, "sha512-256", controller.signal)));
  controller.abort();
  await expect(read).rejects.toMatchObject({ code: "aborted" });
  await slow.close();
});

test.each(transient)("after $kind $status the request is repeated", async (fault) => {
  proxy.decide = firstTimes(2, fault);
  const store = openHttpStore(proxy.url, quick);
  expect(Buffer.compare(await readChunk([store], name, plain.length), plain)).toBe(0);
  expect(store.statistics).toMatchObject({ requests: 3, retries: 2 });
  await store.close();
});

test.each(transient)("$kind $status without end is a NetworkError after the last repetition", async (fault) => {
  proxy.decide = () => fault;
  const store = openHttpStore(proxy.url, quick);
  await expect(readChunk([store], name, plain.length)).rejects.toMatchObject({
    name: "NetworkError",
    exitCode: 8,
    data: { url: `${proxy.url}${chunkPath(name)}` },
  });
  expect(store.statistics.requests).toBe(4);
  // the server is down: other chunks do not wait for all their repetitions
  await expect(store.has(name)).rejects.toMatchObject({ name: "NetworkError" });
  expect(store.statistics.requests).toBe(5);
  proxy.decide = () => undefined;
  expect(await store.has(name)).toBe(true);
  proxy.decide = firstTimes(1, fault);
  expect(await readChunk([store], name, plain.length)).toHaveLength(plain.length);
  await store.close();
});

test.each([400, 401, 403, 405, 501])("status %s is not repeated", async (status) => {
  proxy.decide = () => ({ kind: "status", status });
  const store = openHttpStore(proxy.url, quick);
  await expect(store.get(name)).rejects.toMatchObject({ code: "http-status", data: { found: status } });
  expect(store.statistics).toMatchObject({ requests: 1, retries: 0 });
  await store.close();
});

test.each([404, 410])("status %s means that the chunk is not there", async (status) => {
  proxy.decide = () => ({ kind: "status", status });
  const store = openHttpStore(proxy.url, { ...quick, chunks: "either" });
  expect([await store.get(name), await store.has(name)]).toEqual([undefined, false]);
  expect(proxy.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
    `GET /${chunkPath(name)}`,
    `GET /${chunkPath(name, false)}`,
    `HEAD /${chunkPath(name)}`,
    `HEAD /${chunkPath(name, false)}`,
  ]);
  await store.close();
});

test("a body that is altered, doubled or too short on the way is never taken for the chunk", async () => {
  const store = openHttpStore(proxy.url, quick);
  for (const kind of ["alter", "duplicate", "short"] as const) {
    proxy.decide = () => ({ kind });
    await expect(readChunk([store], name, plain.length)).rejects.toMatchObject({ exitCode: 3 });
  }
  expect(store.statistics.requests).toBe(3);
  await store.close();
});

test("a body that never ends is cut at the limit", async () => {
  proxy.decide = () => ({ kind: "endless" });
  const store = openHttpStore(proxy.url, quick);
  const error = { code: "http-too-large", exitCode: 3, data: { maxBytes: 35_000 } };
  await expect(store.get(name, undefined, 35_000)).rejects.toMatchObject(error);
  proxy.decide = () => undefined;
  await expect(store.get(name, undefined, 100)).rejects.toThrow("expected at most 100 bytes, found 30");
  expect(await readChunk([store], name, plain.length)).toHaveLength(plain.length);
  await store.close();
});

test("a server that stops before the body is left after the time-out", async () => {
  const store = openHttpStore(proxy.url, { ...quick, headersTimeout: 300, retries: 1 });
  proxy.decide = firstTimes(1, { kind: "delay", milliseconds: 20_000 });
  expect(await readChunk([store], name, plain.length)).toHaveLength(plain.length);
  expect(store.statistics.retries).toBe(1);
  await store.close();
});

test("a server that stops within the body is left after the time-out", async () => {
  const store = openHttpStore(proxy.url, { ...quick, bodyTimeout: 300, retries: 0 });
  proxy.decide = firstTimes(1, { kind: "stall" });
  await expect(store.get(name)).rejects.toMatchObject({ code: "http-timeout" });
  expect(await readChunk([store], name, plain.length)).toHaveLength(plain.length);
  await store.close();
});

test("a server that is not there is an error with a hint, and a wrong name is not tried again", async () => {
  const unused = createServer();
  await new Promise<void>((resolve) => unused.listen(0, "127.0.0.1", resolve));
  const { port } = unused.address() as AddressInfo;
  await new Promise((resolve) => unused.close(resolve));
  const store = openHttpStore(`http://127.0.0.1:${port}`, quick);
  await expect(store.has(name)).rejects.toMatchObject({ code: "http-connection", data: { errno: "ECONNREFUSED" } });
  expect(store.statistics.requests).toBe(4);
  await store.close();
  for (const code of ["ENOTFOUND", "SELF_SIGNED_CERT_IN_CHAIN", "CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID"])
    expect(isTransientError(Object.assign(new Error("x"), { code }))).toBe(false);
  for (const code of ["ECONNRESET", "EAI_AGAIN", "UND_ERR_SOCKET", "ERR_HTTP2_STREAM_ERROR", "HPE_INVALID_CONSTANT"])
    expect(isTransientError(Object.assign(new Error("x"), { code }))).toBe(true);
});

const waits = (attempt: number, header?: string): number[] =>
  Array.from({ length: 50 }, () => retryDelay(attempt, { retryDelay: 100, maxRetryDelay: 1000 }, header));

test("waits double, vary, end at the limit, and follow Retry-After", () => {
  for (const [attempt, longest] of [
    [1, 100],
    [2, 200],
    [4, 800],
    [5, 1000],
    [60, 1000],
  ] as const) {
    const found = waits(attempt);
    expect(Math.max(...found)).toBeLessThanOrEqual(longest);
    expect(Math.min(...found)).toBeGreaterThanOrEqual(longest / 2);
    expect(new Set(found).size).toBeGreaterThan(10);
  }
  expect(retryDelay(1, {}, "7")).toBe(7000);
  expect(retryDelay(1, {}, "86400")).toBe(30_000);
  const inFiveSeconds = retryDelay(1, {}, new Date(Date.now() + 5000).toUTCString());
  expect(inFiveSeconds).toBeGreaterThan(3500);
  expect(inFiveSeconds).toBeLessThanOrEqual(5000);
  expect(retryDelay(1, {}, new Date(0).toUTCString())).toBe(0);
  expect(waits(1, "soon").every((wait) => wait <= 100)).toBe(true);
});

test("Retry-After is honoured", async () => {
  proxy.decide = firstTimes(1, { kind: "status", status: 503, headers: { "retry-after": "1" } });
  const store = openHttpStore(proxy.url, quick);
  const started = performance.now();
  expect(await store.has(name)).toBe(true);
  expect(performance.now() - started).toBeGreaterThan(950);
  await store.close();
});

test("a server that asks for less gets less, until it answers again", async () => {
  let refused = 0;
  proxy.decide = () => {
    if (proxy.open() <= 4) return { kind: "delay", milliseconds: 10 };
    refused++;
    return { kind: "status", status: 503 };
  };
  const store = openHttpStore(proxy.url, { ...quick, retries: 12, concurrency: 32 });
  await Promise.all(Array.from({ length: 300 }, () => store.has(name)));
  proxy.peak = 0;
  await Promise.all(Array.from({ length: 100 }, () => store.has(name)));
  // without, all 32 come at once again
  expect(proxy.peak).toBeLessThan(16);
  expect(refused).toBeGreaterThan(0);
  proxy.decide = () => ({ kind: "delay", milliseconds: 20 });
  await Promise.all(Array.from({ length: 700 }, () => store.has(name)));
  expect(proxy.peak).toBeGreaterThan(16);
  await store.close();
});

test("the root of a host can be asked with a query: a bucket that has a host of its own is listed so", async () => {
  const client = new HttpClient({ proxy: false });
  const target = { ...parseHttpUrl(proxy.url), path: "", query: "?list-type=2" };
  expect(await client.send(target, { method: "GET", maxBytes: 65_536 })).toMatchObject({ status: 200 });
  expect(proxy.requests.map(({ url }) => url)).toEqual(["/?list-type=2"]);
  await client.close();
});

test("a request is cancelled while it waits for its turn, its answer, its body and its repetition", async () => {
  const cases: readonly (readonly [Fault, HttpStoreOptions])[] = [
    [{ kind: "delay", milliseconds: 20_000 }, quick],
    [{ kind: "stall" }, quick],
    [
      { kind: "status", status: 503 },
      { ...quick, retryDelay: 20_000 },
    ],
  ];
  for (const [fault, options] of cases) {
    const store = openHttpStore(proxy.url, { ...options, concurrency: 1 });
    proxy.decide = firstTimes(1, fault);
    const first = new AbortController();
    const second = new AbortController();
    const results = Promise.allSettled([
      store.get(name, first.signal),
      store.get(name, second.signal),
      store.get(name),
    ]);
    setTimeout(() => second.abort(), 30);
    setTimeout(() => first.abort(), 60);
    const [a, b, c] = await results;
    expect([a.status === "rejected" && String(a.reason), b.status === "rejected" && String(b.reason)]).toEqual([
      "AbortedError: interrupted",
      "AbortedError: interrupted",
    ]);
    expect(c.status).toBe("fulfilled");
    await store.close();
  }
});

test("closing a store ends what is under way", async () => {
  proxy.decide = () => ({ kind: "delay", milliseconds: 20_000 });
  const store = openHttpStore(proxy.url, { ...quick, retries: 0 });
  const pending = store.get(name).catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await store.close();
  expect(await pending).toMatchObject({ name: "NetworkError" });
});

test("no more requests are open at once than allowed, and connections are kept", async () => {
  proxy.decide = () => ({ kind: "delay", milliseconds: 3 });
  const sockets = new Set<unknown>();
  const counter = createServer((request, response) => {
    sockets.add(request.socket);
    response.end("counted");
  });
  await new Promise<void>((resolve) => counter.listen(0, "127.0.0.1", resolve));
  const store = openHttpStore(proxy.url, { ...quick, concurrency: 7 });
  await Promise.all(Array.from({ length: 60 }, () => store.get(name)));
  expect(proxy.peak).toBe(7);
  await store.close();
  const kept = openHttpStore(`http://127.0.0.1:${(counter.address() as AddressInfo).port}/`, {
    ...quick,
    concurrency: 4,
  });
  await Promise.all(Array.from({ length: 60 }, () => kept.get(name)));
  expect(sockets.size).toBeLessThanOrEqual(4);
  await kept.close();
  counter.closeAllConnections();
  counter.close();
});

test("credentials and queries are sent but never shown", async () => {
  const url = new URL(`${proxy.url}?signature=secret-query`);
  url.username = "us%40er";
  url.password = "pass:w%C3%B6rd";
  const store = openHttpStore(url, quick);
  await store.get(name);
  expect(proxy.requests[0]).toMatchObject({
    url: `/${chunkPath(name)}?signature=secret-query`,
    headers: { authorization: `Basic ${Buffer.from("us@er:pass:wörd").toString("base64")}` },
  });
  proxy.decide = () => ({ kind: "status", status: 401 });
  const error: unknown = await store.get(name).catch((error: unknown) => error);
  const shown = JSON.stringify([store.location, String(error), error]);
  expect(store.location).toBe(proxy.url);
  expect(shown).toContain(name);
  expect(shown).not.toMatch(/secret|w%C3|wörd|us%40er/);
  for (const wrong of ["http://user:secret@", "ftp://user:secret@host/", "http://user:secret@[::/?secret"])
    expect(() => openHttpStore(wrong)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("secret") as string }) as Error,
    );
  await store.close();
});

test("redirections are followed, a few times, never from https to http, and credentials stay behind", async () => {
  const other = await startFaultProxy(server.url);
  proxy.decide = ({ url }) => ({ kind: "status", status: 302, headers: { location: `${other.url}${url.slice(1)}` } });
  const url = new URL(proxy.url);
  url.password = "secret";
  const store = openHttpStore(url, quick);
  expect(await readChunk([store], name, plain.length)).toHaveLength(plain.length);
  expect(proxy.requests[0]?.headers.authorization).toBeDefined();
  expect(other.requests[0]?.headers.authorization).toBeUndefined();
  proxy.decide = () => ({ kind: "status", status: 301, headers: { location: "/again" } });
  await expect(store.get(name)).rejects.toMatchObject({ code: "http-status", data: { found: 301 } });
  expect(proxy.requests).toHaveLength(7);
  await store.close();
  await other.close();
  const secure = parseHttpUrl("https://user:password@host/a/b");
  expect(redirected(secure, "http://host/a/b")).toBeUndefined();
  expect(redirected(secure, "file:///etc/passwd")).toBeUndefined();
  expect(redirected(secure, "c")).toMatchObject({ path: "/a/c", authorization: secure.authorization });
  expect(redirected(secure, "//other/c")?.authorization).toBeUndefined();
});

test("an answer that the server compressed on the way is refused", async () => {
  const compressing = createServer((_request, response) => response.setHeader("content-encoding", "gzip").end("xx"));
  await new Promise<void>((resolve) => compressing.listen(0, "127.0.0.1", resolve));
  const store = openHttpStore(`http://127.0.0.1:${(compressing.address() as AddressInfo).port}/`, quick);
  await expect(store.get(name)).rejects.toMatchObject({ code: "http-encoding" });
  await store.close();
  compressing.closeAllConnections();
  compressing.close();
});

test("a proxy of the environment is used, unless NO_PROXY names the server", async () => {
  const seen: string[] = [];
  const forward = createServer((request, response) => {
    seen.push(`${request.url} ${request.headers["proxy-authorization"]}`);
    void fetch(request.url ?? "").then(async (answer) => response.end(Buffer.from(await answer.arrayBuffer())));
  });
  await new Promise<void>((resolve) => forward.listen(0, "127.0.0.1", resolve));
  vi.stubEnv("HTTP_PROXY", `http://me:secret@127.0.0.1:${(forward.address() as AddressInfo).port}`);
  vi.stubEnv("NO_PROXY", "");
  const store = openHttpStore(server.url, quick);
  expect(await readChunk([store], name, plain.length)).toHaveLength(plain.length);
  const authorization = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  expect(seen).toEqual([`${server.url}${chunkPath(name)} ${authorization}`]);
  await store.close();
  vi.stubEnv("NO_PROXY", "localhost,127.0.0.1");
  for (const options of [quick, { ...quick, proxy: false }]) {
    const direct = openHttpStore(server.url, options);
    expect(await readChunk([direct], name, plain.length)).toHaveLength(plain.length);
    await direct.close();
    vi.stubEnv("NO_PROXY", "");
  }
  expect(seen).toHaveLength(1);
  forward.closeAllConnections();
  forward.close();
});

test("a file that has no room where it is put is an error that says where temporary files go", async (context) => {
  needRoot(context);
  writeFileSync(folder.join("image.catar"), randomBytes(200_000, "large"));
  const small = folder.join("small");
  mkdirSync(small);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]);
  try {
    const fetched = fetchFile(`${server.url}image.catar`, join(small, "copy"), { maxSize: 300_000 });
    await expect(fetched).rejects.toMatchObject({
      code: "no-space",
      exitCode: 6,
      message: `no space left to write ${join(small, "copy")}`,
      hint: expect.stringContaining("TMPDIR") as string,
    });
    expect(readdirSync(small)).toEqual([]);
  } finally {
    execFileSync("umount", [small]);
  }
});

test("files are fetched whole or not at all", async () => {
  const index = randomBytes(2_000_000, "index");
  writeFileSync(folder.join("image.caibx"), index);
  proxy.decide = firstTimes(1, { kind: "cut" });
  const url = `${proxy.url}image.caibx`;
  const options = { maxSize: 3_000_000, retryDelay: 2 };
  expect(await fetchFile(url, folder.join("copy"), options)).toBe(index.length);
  expect(Buffer.compare(readFileSync(folder.join("copy")), index)).toBe(0);
  proxy.decide = firstTimes(1, { kind: "cut" });
  expect(Buffer.compare(await fetchBytes(url, options), index)).toBe(0);
  for (const [wrong, code] of [
    [`${url}x`, "http-not-found"],
    [url, "http-too-large"],
  ] as const) {
    await expect(fetchFile(wrong, folder.join("none"), { ...options, maxSize: 1000 })).rejects.toMatchObject({ code });
    await expect(fetchBytes(wrong, { ...options, maxSize: 1000 })).rejects.toMatchObject({ code });
  }
  await expect(fetchFile(url, folder.join("none"), { ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "aborted",
  });
  expect(existsSync(folder.join("none"))).toBe(false);
  expect(readdirSync(folder.path).filter((entry) => entry.includes("tmp"))).toEqual([]);
});
