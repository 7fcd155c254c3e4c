// @module-tag system
/** The S3 driver against OpenStack Swift, and against Amazon's published signatures. */
import { basename } from "node:path";
import { needPrograms, randomBytes } from "@imgtool/testkit";
import * as fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  chunkName,
  compressChunk,
  fetchStoredFile,
  openS3Store,
  readChunk,
  type PruneStore,
  type S3StoreOptions,
  type StoreEntry,
  writeStoredFile,
} from "../src/index.ts";
import { HttpClient } from "../src/http-client.ts";
import { parseHttpUrl } from "../src/http-target.ts";
import { refreshAge } from "../src/local-refresh.ts";
import { amazonWords, signerV4 } from "../src/signature-v4.ts";
import { parseListing } from "../src/s3-listing.ts";
import { parseS3Location } from "../src/s3-location.ts";
import { behindProxy } from "./behind-proxy.ts";
import { every, listFailures, readFailures, storeContract, writeFailures } from "./contract.ts";
import { type ProxiedRequest, startFaultProxy } from "./fault-proxy.ts";
import { mirror, mirrored } from "./mirror.ts";
import { checkSendingRate } from "./sending-rate.ts";
import { checkRangedFile } from "./ranged-file.ts";
import { startSwift, type SwiftServer } from "@imgtool/testkit/servers";

/** The one server of this file, with an empty bucket; started when it is first asked for. */
let swift: Promise<SwiftServer> | undefined;

async function server(): Promise<SwiftServer> {
  return (swift ??= startSwift().then(async (started) => {
    const put = await send(started, "PUT", "/bucket");
    expect(put).toBe(200);
    return started;
  }));
}

afterAll(async () => {
  await (await swift)?.close();
});

/** A request past the driver. */
async function send(to: SwiftServer, method: "PUT" | "DELETE", path: string, body?: Uint8Array): Promise<number> {
  const client = new HttpClient({ sign: signerV4(amazonWords, to.credentials, "us-east-1"), proxy: false });
  try {
    const target = parseHttpUrl(`${to.endpoint}${path}`);
    return (await client.send(target, { method, body, accept: [204], maxBytes: 65_536 }))?.status ?? 404;
  } finally {
    await client.close();
  }
}

/** How the contract's files get into the bucket. */
async function toBucket(prefix: string): Promise<(path: string, bytes: Uint8Array) => Promise<unknown>> {
  const to = await server();
  return (path, bytes) => send(to, "PUT", `/bucket/${prefix}/${path}`, bytes);
}

function isListing({ url }: ProxiedRequest): boolean {
  return url.includes("list-type=2");
}

async function open(prefix: string, options: S3StoreOptions = {}, endpoint?: string): Promise<PruneStore> {
  const { credentials, endpoint: own } = await server();
  const host = new URL(endpoint ?? own).host;
  return openS3Store(`s3+http://${host}/bucket/${prefix}`, { credentials, proxy: false, retryDelay: 5, ...options });
}

describe("OpenStack Swift", { timeout: 120_000 }, () => {
  beforeEach((context) => needPrograms(context, "swift-proxy-server"));

  storeContract("S3 from Swift, through a bad network", {
    reads: every(readFailures),
    writes: every(writeFailures),
    renews: { not: "the files of this test are copies of what the service has" },
    lists: every(listFailures),
    pageSize: 3,
    open: async (root) => {
      const proxy = await startFaultProxy(`${(await server()).endpoint}/`);
      const opened = await open(basename(root), { retries: 3, pageSize: 3 }, proxy.url);
      const store = mirrored(opened, mirror(root, await toBucket(basename(root))));
      return behindProxy(proxy, store, isListing);
    },
  });

  test("what is sent is limited", async () => {
    expect.hasAssertions();
    await checkSendingRate((rateLimit) => open("limited", { rateLimit }));
  });

  test("parts of a file are of one version", async () => {
    expect.hasAssertions();
    const { endpoint, credentials } = await server();
    const location = `s3+http://${new URL(endpoint).host}/bucket/ranged/a +é.catar`;
    await checkRangedFile(location, { credentials, proxy: false, retryDelay: 5 });
  });

  test("what is there is listed in pages, and removed unless it was used since", async () => {
    const store = await open("pages and more", { pageSize: 3 });
    const names: string[] = [];
    for (let i = 0; i < 8; i++) {
      const bytes = randomBytes(100 + i, `page ${i}`);
      names.push(chunkName(bytes));
      expect(await store.put(chunkName(bytes), compressChunk(bytes, i === 0 ? "none" : "zstd"))).toBe(true);
    }
    await send(await server(), "PUT", "/bucket/pages%20and%20more/x%2B%26%3C%C3%A9.caibx", Buffer.from("index"));
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
    await expect(all(store, AbortSignal.abort())).rejects.toMatchObject({ code: "aborted" });
    const { endpoint, credentials } = await server();
    const location = `s3+http://${new URL(endpoint).host}/bucket/pages and more`;
    const fetched = await fetchStoredFile(`${location}/x+&<é.caibx`, 100, { credentials, proxy: false });
    expect(Buffer.from(fetched ?? []).toString()).toBe("index");
    await writeStoredFile(`${location}/x+&<é.caibx`, Buffer.from("other"), { credentials, proxy: false });
    const again = await fetchStoredFile(`${location}/x+&<é.caibx`, 100, { credentials, proxy: false });
    expect(Buffer.from(again ?? []).toString()).toBe("other");
    expect(await fetchStoredFile(`${location}/missing`, 100, { credentials, proxy: false })).toBeUndefined();
    await store.close();
  });

  test("an old chunk that a writer finds is renewed; one that a prune was faster with, an error or stored anew", async () => {
    const proxy = await startFaultProxy(`${(await server()).endpoint}/`);
    const store = await open("renewed", {}, proxy.url);
    const bytes = randomBytes(500, "renewed");
    const name = chunkName(bytes);
    await store.put(name, compressChunk(bytes));
    const before = (await all(store)).map((entry) => (entry.kind === "chunk" ? entry.lastUsed : 0))[0] ?? 0;
    // a server's clock cannot be set back: the answer says that the chunk is old
    const old = new Date(Date.now() - 2 * refreshAge).toUTCString();
    const sayOld = (): void => {
      proxy.decide = ({ method }) =>
        method === "HEAD"
          ? { kind: "status", status: 200, headers: { "last-modified": old, "content-length": "100" } }
          : undefined;
    };
    await new Promise((resolve) => setTimeout(resolve, 1100 - (Date.now() % 1000)));
    sayOld();
    expect(await store.keep(name)).toBe(true);
    const copies = proxy.requests.filter(({ headers }) => headers["x-amz-copy-source"] !== undefined);
    expect(copies.map(({ method }) => method)).toEqual(["PUT"]);
    proxy.decide = () => undefined;
    const entry = (await all(store))[0];
    if (entry?.kind !== "chunk") throw new Error("no chunk");
    expect(entry.lastUsed).toBeGreaterThan(before);
    await store.flush();
    expect(await readChunk([store], name, 500)).toHaveLength(500);
    // removed between the renewal and the index
    sayOld();
    expect(await store.keep(name)).toBe(true);
    proxy.decide = () => undefined;
    await store.remove(entry, Date.now() + 300_000);
    await expect(store.flush()).rejects.toMatchObject({ code: "chunk-removed-meanwhile", exitCode: 8 });
    // removed between the question and the renewal
    sayOld();
    expect(await store.keep(name)).toBe(false);
    await store.close();
    await proxy.close();
  });

  test("conditional writes: one that meets another is looked at again, one that comes second stores nothing", async () => {
    const proxy = await startFaultProxy(`${(await server()).endpoint}/`);
    const store = await open("conditional", {}, proxy.url);
    const bytes = randomBytes(500, "conditional");
    const name = chunkName(bytes);
    const answerConditional = (status: number): void => {
      proxy.decide = ({ method, headers }) =>
        method === "PUT" && headers["if-none-match"] === "*" ? { kind: "status", status } : undefined;
    };
    answerConditional(409);
    expect(await store.put(name, compressChunk(bytes))).toBe(true);
    answerConditional(412);
    expect(await store.put(name, compressChunk(bytes))).toBe(false);
    answerConditional(501);
    expect(await store.put(name, compressChunk(bytes))).toBe(false);
    expect(await readChunk([store], name, 500)).toHaveLength(500);
    await store.close();
    await proxy.close();
  });

  test("a chunk is removed as it was found: what the server says has changed stays", async () => {
    const proxy = await startFaultProxy(`${(await server()).endpoint}/`);
    const store = await open("changed", {}, proxy.url);
    const bytes = randomBytes(500, "changed");
    await store.put(chunkName(bytes), compressChunk(bytes));
    const [entry] = await all(store);
    if (entry?.kind !== "chunk") throw new Error("no chunk");
    const answerConditional = (status: number): void => {
      proxy.decide = ({ method, headers }) =>
        method === "DELETE" && headers["if-match"] !== undefined ? { kind: "status", status } : undefined;
    };
    answerConditional(412);
    expect(await store.remove(entry, Date.now() + 300_000)).toBe(false);
    // the ETag is that of the answer to HEAD
    const deletes = proxy.requests.filter(({ method }) => method === "DELETE");
    expect(deletes.map(({ headers }) => headers["if-match"])).toEqual([expect.stringMatching(/^"[0-9a-f]{32}"$/)]);
    expect(await store.has(chunkName(bytes))).toBe(true);
    // a server that knows no conditions is asked without, from then on
    answerConditional(400);
    expect(await store.remove(entry, Date.now() + 300_000)).toBe(true);
    expect(await store.has(chunkName(bytes))).toBe(false);
    await store.close();
    await proxy.close();
  });

  test("an empty object is none; a wrong key and a bucket that is not there say so, without the key", async () => {
    const bytes = randomBytes(500, "empty");
    const name = chunkName(bytes);
    const store = await open("empty");
    await send(await server(), "PUT", `/bucket/empty/${name.slice(0, 4)}/${name}.cacnk`, new Uint8Array(0));
    expect(await store.keep(name)).toBe(false);
    expect(await store.put(name, compressChunk(bytes))).toBe(true);
    expect(await readChunk([store], name, 500)).toHaveLength(500);
    const wrong = await open("empty", { credentials: { accessKeyId: "test:tester", secretAccessKey: "se-cret" } });
    const refused: unknown = await wrong.put(name, compressChunk(bytes)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "http-status", data: { found: 403 } });
    await expect(wrong.get(name)).rejects.toThrow(/status 403 \(SignatureDoesNotMatch\)/);
    expect(JSON.stringify(refused)).not.toContain("se-cret");
    const { endpoint, credentials } = await server();
    const missing = openS3Store(`s3+http://${new URL(endpoint).host}/nobucket/x`, { credentials, proxy: false });
    await expect(missing.put(name, compressChunk(bytes))).rejects.toMatchObject({ code: "store-bucket-missing" });
    await Promise.all([store.close(), wrong.close(), missing.close()]);
  });
});

async function all(store: PruneStore, signal?: AbortSignal): Promise<readonly StoreEntry[]> {
  const entries: StoreEntry[] = [];
  for await (const entry of store.list(signal)) entries.push(entry);
  return entries;
}

// Amazon S3, API reference, "Authenticating requests: signature calculations for the authorization header"
test.each([
  ["?lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"],
  ["?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"],
])("the signature of GET %s is Amazon's", async (query, signature) => {
  const credentials = {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  };
  const sign = signerV4(amazonWords, credentials, "us-east-1", "20130524T000000Z");
  const target = parseHttpUrl(`https://examplebucket.s3.amazonaws.com/${query}`);
  const headers = await sign({ method: "GET", target, headers: { range: "bytes=0-9" }, body: undefined });
  expect(headers["authorization"]).toContain(`Signature=${signature}`);
});

test.each([
  ["s3://bucket/a/b", "https://bucket.s3.eu-west-1.amazonaws.com", "a/b/"],
  ["s3://with.dots", "https://s3.eu-west-1.amazonaws.com/with.dots", ""],
  ["s3+https://storage.example:9000/bucket/a//b/", "https://storage.example:9000/bucket", "a/b/"],
])("%s is a bucket at %s", (location, url, prefix) => {
  expect(parseS3Location(location, "eu-west-1")).toMatchObject({ target: { shown: url }, prefix });
});

test.each(["s3://", "s3://bucket/../other", "s3://b/?x", "s3+http://host", "s3://bucket/a#b", "s3://-o/x"])(
  "%s is refused",
  (location) => {
    expect(() => parseS3Location(location, "us-east-1")).toThrow(expect.objectContaining({ code: "url-invalid" }));
  },
);

test("credentials in the URL of a bucket are refused and not repeated", () => {
  const location = "s3+http://key:hidden@host/bucket";
  expect(() => parseS3Location(location, "us-east-1")).toThrow(expect.objectContaining({ code: "credentials-in-url" }));
  expect(() => parseS3Location(location, "us-east-1")).not.toThrow(/hidden/);
});

test("a listing of elements that never end is refused at once", () => {
  const text = `<ListBucketResult>${"<Contents>".repeat(500_000)}</ListBucketResult>`;
  const started = performance.now();
  expect(() => parseListing(Buffer.from(text), "s3://b")).toThrow(/without an end/);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("a listing that is none is a FormatError, whatever it holds", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, inside) => {
      const text = `${before}<ListBucketResult><Contents><Key>${inside}</Key></Contents></ListBucketResult>`;
      expect(() => parseListing(Buffer.from(text), "s3://b")).toThrow(
        expect.objectContaining({ code: "s3-listing-invalid" }),
      );
    }),
  );
});
