// @module-tag system
/** Stores over FTP, judged by ProFTPD. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { needPrograms, randomBytes, temporaryFolder } from "@imgtool/testkit";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  chunkName,
  compressChunk,
  defaultStoreLocation,
  fetchStoredFile,
  type FtpStoreOptions,
  openFtpStore,
  openPruneStore,
  openRangedFile,
  type PruneStore,
  readChunk,
  refreshAge,
  type StoreEntry,
  writeStoredFile,
} from "../src/index.ts";
import { ftpCredentials } from "../src/ftp/credentials.ts";
import { parseFtpLocation } from "../src/ftp/location.ts";
import { every, layChunk, listFailures, readFailures, storeContract, writeFailures } from "./contract.ts";
import { type FtpFault, type FtpProxy, startFtpProxy } from "./ftp-proxy.ts";
import { checkCopy } from "./ranged-file.ts";
import { checkSendingRate } from "./sending-rate.ts";
import { type FtpServer, startProftpd } from "@imgtool/testkit/servers";

let proftpd: Promise<FtpServer> | undefined;

/** The one server of this file without TLS; started when it is first asked for. */
function server(): Promise<FtpServer> {
  return (proftpd ??= startProftpd());
}

afterAll(async () => {
  await (await proftpd)?.close();
});

function location(port: number, root: string, scheme = "ftp", host = "127.0.0.1"): string {
  return `${scheme}://tester:pass%20word%3A%40%2F@${host}:${port}/${root}`;
}

const quick: FtpStoreOptions = { retries: 3, retryDelay: 5 };

/** A proxy in front of the server, and a folder for a store. */
async function behindProxy(): Promise<
  AsyncDisposable & { readonly proxy: FtpProxy; readonly root: string; readonly url: string }
> {
  const folder = temporaryFolder();
  const proxy = await startFtpProxy((await server()).port);
  const root = folder.join("store");
  return {
    proxy,
    root,
    url: location(proxy.port, root),
    async [Symbol.asyncDispose]() {
      await proxy.close();
      folder[Symbol.dispose]();
    },
  };
}

/** Decides the fault for commands that match. */
function on(pattern: RegExp, fault: FtpFault, times = Infinity): (command: string) => FtpFault | undefined {
  let seen = 0;
  return (command) => (pattern.test(command) && seen++ < times ? fault : undefined);
}

function reply(text: string): FtpFault {
  return { kind: "reply", text };
}

/** What the store contract asks for, of commands that match. */
function failing(
  pattern: RegExp,
  failure: "once" | "cut" | "lost" | "always" | "slow",
): (command: string) => FtpFault | undefined {
  if (failure === "always") return on(pattern, reply("451 Local error in processing"));
  if (failure === "slow") return on(pattern, { kind: "delay", milliseconds: 60_000 });
  return on(pattern, { kind: failure === "lost" ? "lost" : "drop" }, 1);
}

async function all(store: PruneStore): Promise<readonly StoreEntry[]> {
  const entries: StoreEntry[] = [];
  for await (const entry of store.list()) entries.push(entry);
  return entries;
}

const bytes = randomBytes(5000, "ftp");
const name = chunkName(bytes);
const chunk = compressChunk(bytes, "none");

describe("ProFTPD", { timeout: 60_000 }, () => {
  beforeEach((context) => needPrograms(context, "proftpd"));

  storeContract("FTP from ProFTPD, through a bad network", {
    reads: {
      ...every(readFailures),
      cut: { not: "data connections go past the proxy: a shorter file is tested below" },
    },
    writes: every(writeFailures),
    renews: true,
    lists: every(listFailures),
    async open(root) {
      const proxy = await startFtpProxy((await server()).port);
      const store = openFtpStore(location(proxy.port, root), quick);
      return {
        store,
        writable: store,
        prunable: store,
        fail: (chunk, failure) => void (proxy.decide = failing(new RegExp(`^RETR .*${chunk}`), failure)),
        // the temporary name is in the chunk's folder
        failWrites(chunk, failure) {
          const pattern =
            failure === "lost" ? new RegExp(`^RNTO .*${chunk}`) : new RegExp(`^STOR .*/${chunk.slice(0, 4)}/`);
          proxy.decide = failing(pattern, failure);
        },
        failListings(failure) {
          let seen = 0;
          const decide = failing(/^MLSD/, failure);
          proxy.decide = (command) => (command.startsWith("MLSD") && seen++ > 0 ? decide(command) : undefined);
        },
        close: () => proxy.close(),
      };
    },
  });

  // What servers without RFC 3659 answer; vsftpd is one that sets times by MDTM.
  const unknown = reply("500 Unknown command.");
  const noFeatures = reply("211-Features:\r\n EPSV\r\n211 End");
  test.each([
    ["with MLSD and MFMT", () => undefined],
    [
      "with LIST and MDTM",
      (command: string) => (command === "FEAT" ? noFeatures : on(/^(MLSD|MLST|MFMT)/, unknown)(command)),
    ],
    [
      "with NLST",
      (command: string) => (command === "FEAT" ? noFeatures : on(/^(MLSD|MLST|MFMT|LIST)/, unknown)(command)),
    ],
    ["that sets no times", (command: string) => on(/^(MFMT|MDTM \d{14} )/, unknown)(command)],
    ["without EPSV", (command: string) => on(/^EPSV/, unknown)(command)],
  ])("a server %s: the store is listed, and chunks that nobody used lately are removed", async (_title, decide) => {
    await using place = await behindProxy();
    const { root, proxy } = place;
    proxy.decide = decide;
    const [used, unused, recent] = [Buffer.from("used"), Buffer.from("unused"), Buffer.from("recent")];
    const old = new Date(Math.floor(Date.now() / 1000) * 1000 - 10 * refreshAge);
    for (const content of [used, unused]) utimesSync(layChunk(root, content), old, old);
    const path = layChunk(root, recent, "none");
    writeFileSync(`${root}/stray`, "");
    mkdirSync(`${root}/no chunks`);
    mkdirSync(`${root}/abcd`);
    writeFileSync(`${root}/abcd/.tmp-0123456789abcdef-1`, "half");
    const store = await openPruneStore(place.url, quick);
    const entries = await all(store);
    const hidden = decide("LIST") === undefined ? ["unfinished"] : [];
    expect(entries.map(({ kind }) => kind).sort()).toEqual(["chunk", "chunk", "chunk", "stray", "stray", ...hidden]);
    expect(entries.find((entry) => entry.kind === "chunk" && entry.name === chunkName(unused))).toMatchObject({
      lastUsed: old.getTime() + 999,
      compressed: true,
    });
    expect(entries.find((entry) => entry.kind === "chunk" && entry.name === chunkName(recent))).toMatchObject({
      path: path.slice(root.length + 1),
      bytes: 6,
      compressed: false,
    });
    // a writer finds one of them between the listing and the removal
    expect(await store.keep(chunkName(used))).toBe(true);
    await store.flush();
    const removed: string[] = [];
    for (const entry of entries)
      if (entry.kind === "chunk" && (await store.remove(entry, Date.now() - refreshAge))) removed.push(entry.name);
    expect(removed).toEqual([chunkName(unused)]);
    expect(await readChunk([store], chunkName(used), 4)).toHaveLength(4);
    expect([await store.has(chunkName(used)), await store.has(chunkName(unused))]).toEqual([true, false]);
    const chunks = entries.filter((entry) => entry.kind === "chunk");
    const rest = await Promise.all(chunks.map((entry) => store.remove(entry, Date.now() + 5000)));
    expect(rest.filter((isRemoved) => isRemoved)).toHaveLength(2);
    await store.close();
  });

  test("a store that is not there is made by the first chunk and is empty before; nothing but chunks is left", async () => {
    await using place = await behindProxy();
    const store = openFtpStore(place.url, quick);
    expect(await all(store)).toEqual([]);
    expect(await store.put(name, chunk)).toBe(true);
    expect(readdirSync(place.root)).toEqual([name.slice(0, 4)]);
    expect(readdirSync(`${place.root}/${name.slice(0, 4)}`)).toEqual([name]);
    expect(readFileSync(`${place.root}/${name.slice(0, 4)}/${name}`).equals(bytes)).toBe(true);
    // many at once share a few connections
    const many = Array.from({ length: 30 }, (_, i) => Buffer.from(`chunk ${i}`));
    await Promise.all(many.map((content) => store.put(chunkName(content), compressChunk(content))));
    expect(place.proxy.peak).toBe(4);
    expect(await all(store)).toHaveLength(31);
    await store.close();
  });

  test("what is sent is limited", async () => {
    await using place = await behindProxy();
    expect.hasAssertions();
    await checkSendingRate((rateLimit) => openFtpStore(place.url, { ...quick, rateLimit }));
  });

  test("an empty file in the place of a chunk is replaced, by servers whose rename does not replace, too", async () => {
    await using place = await behindProxy();
    const path = `${place.root}/${name.slice(0, 4)}/${name}`;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "");
    place.proxy.decide = on(/^RNTO/, { kind: "instead", command: "RNTO /none/none" }, 1);
    const store = openFtpStore(place.url, quick);
    expect(await store.keep(name)).toBe(false);
    expect(await store.put(name, chunk)).toBe(true);
    expect(await readChunk([store], name, bytes.length)).toHaveLength(bytes.length);
    expect(readdirSync(dirname(path))).toEqual([name]);
    await store.close();
  });

  test("connections that end are made anew; a server that takes few gets few", async () => {
    await using place = await behindProxy();
    const { proxy } = place;
    const store = openFtpStore(place.url, { ...quick, retries: 8 });
    await store.put(name, chunk);
    // between two commands
    proxy.drop();
    expect(await store.has(name)).toBe(true);
    // within a write
    const other = randomBytes(200_000, "within a write");
    proxy.decide = on(/^(STOR|RNTO)/, { kind: "drop" }, 2);
    expect(await store.put(chunkName(other), compressChunk(other))).toBe(true);
    expect(await readChunk([store], chunkName(other), other.length)).toHaveLength(other.length);
    proxy.drop();
    proxy.decide = (command) =>
      command.startsWith("USER") && proxy.open() > 2 ? reply("421 Too many connections") : undefined;
    const many = Array.from({ length: 20 }, (_, i) => Buffer.from(`few ${i}`));
    await Promise.all(many.map((content) => store.put(chunkName(content), compressChunk(content))));
    expect(await all(store)).toHaveLength(22);
    await store.close();
  });

  test("what a server refuses is told, without the password, and leaves nothing behind", async () => {
    await using place = await behindProxy();
    const { proxy, root } = place;
    const store = openFtpStore(place.url, quick);
    const failure = async (fault: (command: string) => FtpFault | undefined): Promise<unknown> => {
      proxy.decide = fault;
      return store.put(name, chunk).catch((error: unknown) => error);
    };
    expect(await failure(on(/^STOR/, reply("552 Disk quota exceeded")))).toMatchObject({
      code: "no-space",
      exitCode: 6,
    });
    expect(await failure(on(/^STOR/, reply("550 Permission denied.")))).toMatchObject({ code: "store-not-writable" });
    expect(await failure(on(/^STOR/, reply("553 Could not create file.")))).toMatchObject({
      code: "store-not-writable",
    });
    expect(await failure(on(/^STOR/, reply("451 Try again")))).toMatchObject({ code: "ftp-failed", exitCode: 8 });
    const refused = await failure(on(/^RNTO/, { kind: "instead", command: "RNTO /none/none" }));
    expect(refused).toMatchObject({ code: "store-not-writable", data: { found: 550 } });
    expect(readdirSync(`${root}/${name.slice(0, 4)}`)).toEqual([]);
    proxy.decide = on(/^SIZE/, reply("213 no number"));
    await expect(store.get(name)).rejects.toMatchObject({ code: "ftp-answer-invalid" });
    proxy.decide = () => undefined;
    expect(store.location).toBe(`ftp://127.0.0.1:${proxy.port}/${root}`);
    await store.close();
    const wrong = openFtpStore(place.url.replace("pass%20word", "wr-ong"), quick);
    const before = proxy.connections;
    const login: unknown = await wrong.get(name).catch((error: unknown) => error);
    expect(login).toMatchObject({ code: "ftp-login", exitCode: 8 });
    expect(proxy.connections).toBe(before + 1);
    for (const error of [refused, login]) {
      expect(`${String(error)} ${JSON.stringify(error)}`).not.toMatch(/pass word|pass%20|wr-ong|tester/);
    }
    await wrong.close();
  });

  test("a file that is shorter than the server has said, or longer than allowed, is not taken", async () => {
    await using place = await behindProxy();
    layChunk(place.root, bytes, "none");
    const store = openFtpStore(place.url, { ...quick, retries: 1 });
    place.proxy.decide = on(/^SIZE .*[0-9a-f]{64}$/, reply("213 6000"));
    await expect(store.get(name)).rejects.toMatchObject({ code: "ftp-failed" });
    place.proxy.decide = on(/^SIZE .*[0-9a-f]{64}$/, reply("213 10"));
    await expect(store.get(name, undefined, 4000)).rejects.toMatchObject({ code: "remote-too-large", exitCode: 3 });
    place.proxy.decide = () => undefined;
    expect(await store.get(name)).toMatchObject({ bytes: Buffer.from(bytes) });
    await store.close();
  });

  test("a server that says nothing more is given up in time; data from elsewhere is not fetched", async () => {
    await using place = await behindProxy();
    layChunk(place.root, bytes, "none");
    const store = openFtpStore(place.url, { retries: 0, ftpTimeout: 1000 });
    place.proxy.decide = on(/^RETR/, { kind: "delay", milliseconds: 60_000 });
    const started = performance.now();
    await expect(store.get(name)).rejects.toMatchObject({ code: "ftp-failed" });
    expect(performance.now() - started).toBeLessThan(5000);
    place.proxy.decide = (command) =>
      on(/^EPSV/, unknown)(command) ?? on(/^PASV/, reply("227 Entering Passive Mode (192,0,2,1,10,10)"))(command);
    await expect(store.get(name)).rejects.toThrow(/another host/);
    await store.close();
  });

  test("closing a store ends what is under way, which is not tried again", async () => {
    await using place = await behindProxy();
    layChunk(place.root, bytes, "none");
    const store = openFtpStore(place.url, quick);
    const asked = Promise.withResolvers<void>();
    place.proxy.decide = (command) => {
      if (!command.startsWith("RETR")) return undefined;
      asked.resolve();
      return { kind: "delay", milliseconds: 60_000 };
    };
    const reading = store.get(name).catch((error: unknown) => error);
    await asked.promise;
    await store.close();
    expect(await reading).toMatchObject({ code: "ftp-failed" });
    expect(place.proxy.connections).toBe(1);
  });

  test("files are written and fetched, missing ones are none, larger ones are refused, links to nothing are none", async () => {
    await using place = await behindProxy();
    mkdirSync(place.root);
    const url = `${place.url}/an%20index%25.caibx`;
    await writeStoredFile(url, Buffer.from("content"), quick);
    expect(readdirSync(place.root)).toEqual(["an index%.caibx"]);
    await writeStoredFile(url, Buffer.from("other"), quick);
    expect(Buffer.from((await fetchStoredFile(url, 5, quick)) ?? []).toString()).toBe("other");
    expect(await fetchStoredFile(`${url}s`, 100, quick)).toBeUndefined();
    await expect(fetchStoredFile(url, 4, quick)).rejects.toMatchObject({ code: "remote-too-large" });
    expect(await openRangedFile(url, quick)).toBeUndefined();
    const large = randomBytes(3_000_000, "copied");
    await writeStoredFile(url, large, quick);
    await checkCopy(url, quick, large);
    symlinkSync("nothing", `${place.root}/link`);
    expect(await fetchStoredFile(`${place.url}/link`, 100, quick)).toBeUndefined();
    expect(await fetchStoredFile(place.url, 100, quick)).toBeUndefined();
    expect(defaultStoreLocation("ftps://host/srv/x.caibx")).toBe("ftps://host/srv/default.castr");
  });

  test("ftps: both connections are encrypted; a certificate that is not trusted, or another host's, is refused", async () => {
    const secure = await startProftpd({ tls: true });
    using folder = temporaryFolder();
    try {
      const root = folder.join("store");
      const trusting = { ...quick, certificateAuthority: secure.authority };
      const store = await openPruneStore(location(secure.port, root, "ftps", "localhost"), trusting);
      const many = Array.from({ length: 12 }, (_, i) => randomBytes(50_000, `tls ${i}`));
      await Promise.all(many.map((content) => store.put(chunkName(content), compressChunk(content))));
      for (const content of many) expect(await readChunk([store], chunkName(content), 50_000)).toHaveLength(50_000);
      expect(await all(store)).toHaveLength(12);
      await store.close();
      const commands = secure.commands();
      expect(commands.filter((command) => command === "PROT P").length).toBeGreaterThan(0);
      const logins = commands.filter((command) => command.startsWith("USER")).length;
      for (const [url, options] of [
        [location(secure.port, root, "ftps", "localhost"), quick],
        [location(secure.port, root, "ftps", "127.0.0.1"), trusting],
      ] as const) {
        const untrusted = openFtpStore(url, options);
        await expect(untrusted.has(name)).rejects.toMatchObject({ code: "ftp-certificate", exitCode: 8 });
        await untrusted.close();
      }
      // no name and no password went to a server that was not trusted
      expect(secure.commands().filter((command) => command.startsWith("USER"))).toHaveLength(logins);
      // a server without TLS
      await using place = await behindProxy();
      const plain = openFtpStore(place.url.replace("ftp:", "ftps:"), quick);
      await expect(plain.has(name)).rejects.toMatchObject({ code: "ftp-failed" });
      expect(place.proxy.commands.filter((command) => /^(USER|PASS)/.test(command))).toEqual([]);
      await plain.close();
    } finally {
      await secure.close();
    }
  });

  test("without a user, the server is asked as anonymous; paths begin where it puts them", async () => {
    using folder = temporaryFolder();
    const chunks = folder.join("pub/default.castr");
    layChunk(chunks, bytes, "none");
    const anonymous = await startProftpd({
      lines: [`<Anonymous ${folder.path}>`, "UserAlias anonymous tester", "</Anonymous>"],
    });
    try {
      const location = `ftp://127.0.0.1:${anonymous.port}/pub/default.castr`;
      const credentials = ftpCredentials(parseFtpLocation(location), { HOME: folder.path });
      const store = openFtpStore(location, { ...quick, ftpCredentials: credentials });
      expect(await readChunk([store], name, bytes.length)).toHaveLength(bytes.length);
      await store.close();
    } finally {
      await anonymous.close();
    }
  });
});
