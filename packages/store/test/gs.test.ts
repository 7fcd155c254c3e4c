// @module-tag system
/** The driver for Google Cloud Storage, against a strict server of the tests' own. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  chunkName,
  compressChunk,
  fetchStoredFile,
  type GoogleCredentials,
  type GsStoreOptions,
  openGsStore,
  openPruneStore,
  type PruneStore,
  readChunk,
  refreshAge,
  type StoreEntry,
  writeStoredFile,
} from "../src/index.ts";
import { googleCredentials } from "../src/google-credentials.ts";
import { openGsObjects } from "../src/gs.ts";
import { behindProxy } from "./behind-proxy.ts";
import { every, listFailures, readFailures, storeContract, writeFailures } from "./contract.ts";
import { type ProxiedRequest, startFaultProxy } from "./fault-proxy.ts";
import { type GsServer, startGsServer } from "./gs-server.ts";
import { mirror, mirrored } from "./mirror.ts";
import { checkSendingRate } from "./sending-rate.ts";
import { checkRangedFile } from "./ranged-file.ts";

let server: GsServer;

beforeAll(async () => {
  server = await startGsServer();
});

afterAll(() => server.close());

function options(more: GsStoreOptions = {}): GsStoreOptions {
  return { googleCredentials: { kind: "hmac", ...server.key }, proxy: false, retryDelay: 5, ...more };
}

function isListing({ url }: ProxiedRequest): boolean {
  return url.includes("list-type=2");
}

function open(prefix: string, more: GsStoreOptions = {}, host = server.host): PruneStore {
  return openGsStore(`gs+http://${host}/bucket/${prefix}`, options(more));
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

storeContract("Google Cloud Storage's interface, through a bad network", {
  reads: every(readFailures),
  writes: every(writeFailures),
  renews: { not: "the files of this test are copies of what the service has" },
  lists: every(listFailures),
  pageSize: 3,
  open: async (root) => {
    const proxy = await startFaultProxy(`http://${server.host}/`);
    const opened = open(basename(root), { retries: 3, pageSize: 3 }, new URL(proxy.url).host);
    const put = async (path: string, bytes: Uint8Array): Promise<void> =>
      server.put(`${basename(root)}/${path}`, bytes);
    const store = mirrored(opened, mirror(root, put));
    return behindProxy(proxy, store, isListing);
  },
});

test("what is sent is limited", async () => {
  expect.hasAssertions();
  await checkSendingRate((rateLimit) => open("limited", { rateLimit }));
});

test("parts of a file are of one version", async () => {
  expect.hasAssertions();
  await checkRangedFile(`gs+http://${server.host}/bucket/ranged/a +é.catar`, options());
});

test("what is there is listed in pages, and removed unless it was used since", async () => {
  const store = open("pages and more", { pageSize: 3 });
  const names: string[] = [];
  for (let i = 0; i < 8; i++) {
    const bytes = randomBytes(100 + i, `page ${i}`);
    names.push(chunkName(bytes));
    expect(await store.put(chunkName(bytes), compressChunk(bytes, i === 0 ? "none" : "zstd"))).toBe(true);
    expect(await store.put(chunkName(bytes), compressChunk(bytes, i === 0 ? "none" : "zstd"))).toBe(false);
  }
  const index = `gs+http://${server.host}/bucket/pages and more/x+&<é(1)*.caibx`;
  await writeStoredFile(index, Buffer.from("index"), options());
  const entries = await all(store);
  expect(entries.filter(({ kind }) => kind === "stray")).toMatchObject([{ path: "x+&<é(1)*.caibx" }]);
  expect(entries.flatMap((entry) => (entry.kind === "chunk" ? [entry.name] : [])).sort()).toEqual(names.sort());
  const first = entries.find((entry) => entry.kind === "chunk");
  if (first?.kind !== "chunk") throw new Error("no chunk");
  expect(await store.remove(first, Date.now() - 300_000)).toBe(false);
  expect(await store.remove(first, Date.now() + 300_000)).toBe(true);
  expect(await store.remove(first, Date.now() + 300_000)).toBe(false);
  expect(await store.has(first.name)).toBe(false);
  expect(Buffer.from((await fetchStoredFile(index, 100, options())) ?? []).toString()).toBe("index");
  expect(await fetchStoredFile(`${index}s`, 100, options())).toBeUndefined();
  await store.close();
});

test("an old chunk that a writer finds is renewed, and stays when it is being removed at that moment", async () => {
  const proxy = await startFaultProxy(`http://${server.host}/`);
  const store = open("old", {}, new URL(proxy.url).host);
  const direct = openGsObjects(`gs+http://${server.host}/bucket/old`, options());
  const bytes = randomBytes(500, "old");
  const name = chunkName(bytes);
  const key = `old/${name.slice(0, 4)}/${name}.cacnk`;
  server.put(key, compressChunk(bytes).bytes, Date.now() - 2 * refreshAge);
  const entry = await theChunk(store);
  expect(entry.lastUsed).toBeLessThan(Date.now() - refreshAge);
  expect(await store.has(name)).toBe(true);
  expect((await theChunk(store)).lastUsed).toBe(entry.lastUsed);
  expect(await store.keep(name)).toBe(true);
  expect((await theChunk(store)).lastUsed).toBeGreaterThan(Date.now() - 60_000);
  await store.flush();
  for (const use of [
    () => direct.renew(entry.path),
    () => direct.create(entry.path, compressChunk(bytes).bytes, true),
  ]) {
    const asked = Promise.withResolvers<void>();
    proxy.decide = ({ method }) => {
      if (method !== "DELETE") return undefined;
      asked.resolve();
      return { kind: "delay", milliseconds: 200 };
    };
    const removing = store.remove(entry, Date.now() + 300_000);
    await asked.promise;
    expect(await use()).toBe(true);
    expect(await removing).toBe(false);
  }
  expect(await readChunk([store], name, 500)).toHaveLength(500);
  proxy.decide = () => undefined;
  expect(await store.remove(entry, Date.now() + 300_000)).toBe(true);
  expect(await direct.renew(entry.path)).toBe(false);
  await Promise.all([store.close(), direct.close()]);
  await proxy.close();
});

test("an empty object is none; a wrong secret and a bucket that is not there say so, without the secret", async () => {
  const bytes = randomBytes(500, "empty");
  const name = chunkName(bytes);
  server.put(`empty/${name.slice(0, 4)}/${name}.cacnk`, new Uint8Array(0));
  const store = open("empty");
  expect(await store.keep(name)).toBe(false);
  expect(await store.put(name, compressChunk(bytes))).toBe(true);
  expect(await readChunk([store], name, 500)).toHaveLength(500);
  const hmac: GoogleCredentials = { kind: "hmac", accessKeyId: "GOOG1EXAMPLE", secretAccessKey: "wr-ong" };
  const wrong = open("empty", { googleCredentials: hmac });
  const refused: unknown = await wrong.get(name).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "http-status", data: { found: 403, errorCode: "SignatureDoesNotMatch" } });
  expect(`${String(refused)} ${JSON.stringify(refused)}`).not.toContain("wr-ong");
  const missing = openGsStore(`gs+http://${server.host}/nobucket/x`, options());
  await expect(missing.put(name, compressChunk(bytes))).rejects.toMatchObject({ code: "store-bucket-missing" });
  await Promise.all([store.close(), wrong.close(), missing.close()]);
});

test("tokens come from a file, a service account, a login, or the machine; one is used as long as it lasts", async () => {
  using folder = temporaryFolder();
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  server.accountKey = publicKey.export({ type: "spki", format: "pem" }).toString();
  const tokenUri = `http://${server.host}/token`;
  const write = (name: string, content: unknown): string => {
    writeFileSync(folder.join(name), typeof content === "string" ? content : JSON.stringify(content));
    return folder.join(name);
  };
  const account = {
    type: "service_account",
    client_email: "robot@project.iam.gserviceaccount.com",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    token_uri: tokenUri,
  };
  const login = {
    type: "authorized_user",
    client_id: "client",
    client_secret: "client-secret",
    refresh_token: "refreshing",
    token_uri: tokenUri,
  };
  const bytes = randomBytes(500, "tokens");
  server.put(`tokens/${chunkName(bytes).slice(0, 4)}/${chunkName(bytes)}.cacnk`, compressChunk(bytes).bytes);
  const read = async (environment: NodeJS.ProcessEnv, times = 1): Promise<unknown> => {
    const store = open("tokens", { googleCredentials: googleCredentials(environment) });
    try {
      const reads = Array.from({ length: times }, () => readChunk([store], chunkName(bytes), 500));
      return (await Promise.all(reads)).length;
    } catch (error) {
      return error;
    } finally {
      await store.close();
    }
  };
  expect(await read({ CLOUDSDK_AUTH_ACCESS_TOKEN: server.token })).toBe(1);
  expect(await read({ CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: write("token", `${server.token}\n`) })).toBe(1);
  expect(await read({ GOOGLE_APPLICATION_CREDENTIALS: write("account.json", account) }, 20)).toBe(20);
  expect(server.tokenRequests).toEqual(["urn:ietf:params:oauth:grant-type:jwt-bearer"]);
  expect(await read({ GOOGLE_APPLICATION_CREDENTIALS: write("login.json", login) }, 3)).toBe(3);
  expect(await read({ GCE_METADATA_HOST: server.host }, 3)).toBe(3);
  expect(server.tokenRequests.slice(1)).toEqual(["refresh_token", "metadata"]);

  const refused = { code: "token-refused", exitCode: 8 };
  const secret = { ...login, client_secret: "wr-ong" };
  const failed = await read({ GOOGLE_APPLICATION_CREDENTIALS: write("wrong.json", secret) });
  expect(failed).toMatchObject(refused);
  expect(`${String(failed)} ${JSON.stringify(failed)}`).not.toMatch(/wr-ong|refreshing/);
  const invalid = { code: "credentials-invalid", exitCode: 2 };
  for (const content of ["no JSON: se-cret", {}, { ...account, private_key: "se-cret" }, { ...login, client_id: 7 }]) {
    const error = await read({ GOOGLE_APPLICATION_CREDENTIALS: write("invalid.json", content) });
    expect(error).toMatchObject(invalid);
    expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain("se-cret");
  }
  expect(await read({ GOOGLE_APPLICATION_CREDENTIALS: folder.join("none") })).toMatchObject(invalid);
  expect(await read({ CLOUDSDK_AUTH_ACCESS_TOKEN: "a\r\nb: c" })).toMatchObject(invalid);
  expect(await read({ CLOUDSDK_AUTH_ACCESS_TOKEN: "ended" })).toMatchObject({
    code: "http-status",
    data: { found: 401 },
  });
});

test("public buckets are read without credentials; half a key is an error", async () => {
  const bytes = randomBytes(500, "public");
  server.put(`open/${chunkName(bytes).slice(0, 4)}/${chunkName(bytes)}.cacnk`, compressChunk(bytes).bytes);
  const store = await openPruneStore(`gs+http://${server.host}/public/open`, { proxy: false });
  expect(await readChunk([store], chunkName(bytes), 500)).toHaveLength(500);
  await store.close();
  expect(() => googleCredentials({ GOOGLE_ACCESS_KEY_ID: "x" })).toThrow(
    expect.objectContaining({ code: "credentials-incomplete" }),
  );
});

test.each(["gs://", "gs://bucket/../other", "gs://b/?x", "gs+http://host", "gs://bucket/a#b", "gs://-o/x"])(
  "%s is refused",
  (location) => {
    expect(() => openGsStore(location)).toThrow(expect.objectContaining({ code: "url-invalid" }));
  },
);
