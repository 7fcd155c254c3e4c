// @module-tag system
/** Stores over sftp, judged by OpenSSH's own server, which a script in ssh's place starts here. */
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { randomBytes, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  chunkName,
  compressChunk,
  defaultStoreLocation,
  fetchStoredFile,
  openPruneStore,
  openSftpStore,
  openStore,
  readChunk,
  writeStoredFile,
} from "../src/index.ts";
import { packetType } from "../src/sftp/packets.ts";
import { every, layChunk, listFailures, readFailures, storeContract, writeFailures } from "./contract.ts";
import { checkSendingRate } from "./sending-rate.ts";
import { checkRangedFile } from "./ranged-file.ts";
import { faultySftp } from "./sftp-faults.ts";

const server = "/usr/lib/openssh/sftp-server";
if (!existsSync(server)) throw new Error(`${server} is missing: apt-get install openssh-server`);

/** ssh's place, taken by a script that starts what the far side would. */
function sshTo(folder: TemporaryFolder, command = `exec ${server}`): string {
  const path = folder.join("ssh");
  writeFileSync(path, `#!/bin/sh\necho "$@" >>"$0.log"\n${command}\n`, { mode: 0o755 });
  return path;
}

storeContract("sftp, through a bad link", {
  reads: every(readFailures),
  writes: every(writeFailures),
  renews: true,
  lists: every(listFailures),
  async open(root) {
    const folder = temporaryFolder();
    const { ssh, setFault } = faultySftp(folder, server);
    const store = openSftpStore(`sftp://user@host:2222${root}`, { ssh });
    return {
      store,
      writable: store,
      prunable: store,
      fail: (path, failure) =>
        setFault({
          type: failure === "cut" ? packetType.read : packetType.open,
          path: failure === "cut" ? "" : path,
          failure,
        }),
      failWrites: (path, failure) => setFault({ type: packetType.rename, path, failure }),
      failListings: (failure) => setFault({ type: packetType.opendir, path: "", after: 1, failure }),
      close: async () => folder[Symbol.dispose](),
    };
  },
});

test("a store that is not there is made by the first chunk; chunks of many pieces arrive whole", async () => {
  using folder = temporaryFolder();
  const ssh = sshTo(folder);
  const location = `sftp://host${folder.join("new.castr")}`;
  const store = await openPruneStore(location, { ssh });
  const bytes = randomBytes(3_000_001, "many pieces");
  const name = chunkName(bytes);
  expect(await store.has(name)).toBe(false);
  expect(await store.put(name, compressChunk(bytes, "none"))).toBe(true);
  await store.flush();
  expect(readFileSync(folder.join("new.castr", name.slice(0, 4), name)).equals(Buffer.from(bytes))).toBe(true);
  expect(readdirSync(folder.join("new.castr", name.slice(0, 4)))).toEqual([name]);
  await store.close();
  // another connection
  const again = await openStore(location, { ssh });
  expect(Buffer.compare(await readChunk([again], name, bytes.length), bytes)).toBe(0);
  await again.close();
  // many calls at once share a connection
  const chunks = Array.from({ length: 20 }, (_, i) => Buffer.from(`chunk ${i}`));
  const many = openSftpStore(location, { ssh });
  await Promise.all(chunks.map((chunk) => many.put(chunkName(chunk), compressChunk(chunk))));
  await many.close();
  expect(readFileSync(`${ssh}.log`, "utf8").trim().split("\n")).toEqual(Array(3).fill("-s host sftp"));
  expect(defaultStoreLocation("sftp://host/srv/x.caibx")).toBe("sftp://host/srv/default.castr");
});

test("a store is listed, and chunks that nobody used lately are removed", async () => {
  using folder = temporaryFolder();
  const root = folder.join("s");
  const [used, unused] = [Buffer.from("used"), Buffer.from("unused")];
  const old = new Date(Date.now() - 10 * 3_600_000);
  for (const bytes of [used, unused]) utimesSync(layChunk(root, bytes), old, old);
  writeFileSync(`${root}/stray`, "");
  mkdirSync(`${root}/abcd`);
  writeFileSync(`${root}/abcd/.tmp-0123456789abcdef-1`, "half");
  const store = openSftpStore(`sftp://host${root}`, { ssh: sshTo(folder) });
  const entries = [];
  for await (const entry of store.list()) entries.push(entry);
  expect(entries.map(({ kind }) => kind).sort()).toEqual(["chunk", "chunk", "stray", "unfinished"]);
  // a writer finds one of them between the listing and the removal
  expect(await store.keep(chunkName(used))).toBe(true);
  await store.flush();
  const since = Date.now() - 3_600_000;
  const removed = [];
  for (const entry of entries)
    if (entry.kind === "chunk" && (await store.remove(entry, since))) removed.push(entry.name);
  expect(removed).toEqual([chunkName(unused)]);
  expect(await store.has(chunkName(used))).toBe(true);
  expect(await store.has(chunkName(unused))).toBe(false);
  await store.close();
});

test("what is sent is limited", async () => {
  using folder = temporaryFolder();
  const ssh = sshTo(folder);
  expect.hasAssertions();
  await checkSendingRate((rateLimit) => openSftpStore(`sftp://host${folder.join("s")}`, { ssh, rateLimit }));
});

test("parts of a file are of one version", async () => {
  expect.hasAssertions();
  using folder = temporaryFolder();
  await checkRangedFile(`sftp://host${folder.path}/a%20file`, { ssh: sshTo(folder) });
});

test("files are written and fetched, missing ones are none, larger ones are refused", async () => {
  using folder = temporaryFolder();
  const ssh = sshTo(folder);
  writeFileSync(folder.join("a file"), "content");
  const url = `sftp://host${folder.path}/a%20file`;
  expect(Buffer.from((await fetchStoredFile(url, 100, { ssh })) ?? []).toString()).toBe("content");
  expect(await fetchStoredFile(`${url}s`, 100, { ssh })).toBeUndefined();
  await writeStoredFile(url, Buffer.from("other"), { ssh });
  expect(readFileSync(folder.join("a file"), "utf8")).toBe("other");
  await expect(fetchStoredFile(url, 4, { ssh })).rejects.toThrow(expect.objectContaining({ code: "remote-too-large" }));
});

test("a server that fails, lies or says too much is told of, and the next call connects anew", async () => {
  using folder = temporaryFolder();
  const root = folder.join("s");
  mkdirSync(root);
  const bytes = Buffer.from("a chunk");
  layChunk(root, bytes);
  const read = async (command: string): Promise<unknown> => {
    const store = openSftpStore(`sftp://host${root}`, { ssh: sshTo(folder, command) });
    try {
      return await readChunk([store], chunkName(bytes), bytes.length);
    } catch (error) {
      return error;
    } finally {
      await store.close();
    }
  };
  expect(await read("exit 255")).toMatchObject({ code: "ssh-failed" });
  expect(await read("exit 0")).toMatchObject({ code: "remote-closed" });
  expect(await read("echo Welcome to this machine")).toMatchObject({ code: "sftp-packet" });
  expect(await read(String.raw`printf '\0\0\0\5\2\0\0\0\2'; cat >/dev/null`)).toMatchObject({ code: "sftp-version" });
  expect(await read(String.raw`printf '\0\0\0\3\2\0\0'; cat >/dev/null`)).toMatchObject({ code: "sftp-packet" });
  // a connection that ends after the greeting, once
  const once = `if [ -e "$0.used" ]; then exec ${server}; fi; touch "$0.used"; ${server} <&0 & sleep 0.3; kill $!`;
  const store = openSftpStore(`sftp://host${root}`, { ssh: sshTo(folder, once) });
  const first = await readChunk([store], chunkName(bytes), bytes.length).catch((error: unknown) => error);
  expect(first === undefined).toBe(false);
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(Buffer.from(await readChunk([store], chunkName(bytes), bytes.length)).toString()).toBe("a chunk");
  await store.close();
});

test("nothing in a location becomes an option of ssh", async () => {
  for (const location of ["sftp://-oProxyCommand=x/store", "sftp://a b/store", "sftp://host:99999/store", "sftp:///x"])
    expect(() => openSftpStore(location)).toThrow(expect.objectContaining({ code: "ssh-location-invalid" }));
});

test("a link that stalls is an error that names the machine and what was awaited", async () => {
  using folder = temporaryFolder();
  const bytes = randomBytes(2_000_000, "stalls");
  layChunk(folder.join("s"), bytes);
  const location = `sftp://user@host${folder.join("s")}`;
  const get = async (command: string): Promise<unknown> => {
    const store = openSftpStore(location, { ssh: sshTo(folder, command), sshTimeout: 500 });
    const start = performance.now();
    const result: unknown = await store.get(chunkName(bytes)).catch((error: unknown) => error);
    expect(performance.now() - start).toBeLessThan(10_000);
    await store.close();
    return result;
  };
  expect(await get("exec sleep 60")).toMatchObject({
    code: "remote-timeout",
    exitCode: 8,
    message: "user@host has said nothing for 0.5 s: expected its greeting",
  });
  // Whatever it is that comes no more: an answer as a whole, or the rest of one.
  for (const count of [1, 6]) {
    expect(await get(`${server} | { dd bs=10000 count=${count} 2>/dev/null; sleep 60; }`)).toMatchObject({
      code: "remote-timeout",
      message: expect.stringMatching(/^user@host has [^:]*: expected an answer to: (lstat|open|fstat|read) .*\.cacnk$/),
    });
  }
  // A program that is stopped is ended all the same.
  expect(await get("kill -STOP $$")).toMatchObject({ code: "remote-timeout" });
});

test("a link that is slow, and nobody who asks for nothing, is no error", async () => {
  using folder = temporaryFolder();
  const bytes = randomBytes(120_000, "slow");
  layChunk(folder.join("s"), bytes);
  // 10 kB each tenth of a second: longer than the time-out for the chunk
  const slowly = `${server} | while dd bs=10000 count=1 2>/dev/null >"$0.part" && [ -s "$0.part" ]; do cat "$0.part"; sleep 0.1; done`;
  const store = openSftpStore(`sftp://host${folder.join("s")}`, { ssh: sshTo(folder, slowly), sshTimeout: 700 });
  const start = performance.now();
  expect(await store.get(chunkName(bytes))).toBeDefined();
  expect(performance.now() - start).toBeGreaterThan(700);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await store.has(chunkName(bytes))).toBe(true);
  await store.close();
});
