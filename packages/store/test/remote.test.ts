// @module-tag system
/** Conversations in casync's remote protocol: both sides of imgtool, and peers that do not keep to it. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { blobFlags, ChunkIndex, chunkSizes, encodeIndex } from "@imgtool/chunker";
import { fromHex } from "@imgtool/core";
import { randomBytes, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import {
  chunkName,
  compressChunk,
  type Connect,
  openLocalStore,
  openRemoteStore,
  pullArchive,
  pullIndex,
  pushArchive,
  pushIndex,
  type ReadStore,
  servePull,
  servePush,
  sshConnect,
  type WriteStore,
} from "../src/index.ts";
import { type Channel, Connection } from "../src/remote/connection.ts";
import { remoteFeatures } from "../src/remote/features.ts";
import { encodeMessage, type Message } from "../src/remote/protocol.ts";
import { connectTo, fakeSsh } from "./remote-peer.ts";

const chunks = Array.from({ length: 40 }, (_, i) => randomBytes(1000 + i, `remote ${i}`));
const first = chunks[0] ?? new Uint8Array(0);

interface Made {
  readonly index: string;
  readonly store: WriteStore;
}

/** An index with its store; the first chunk occurs twice. */
async function makeIndex(folder: TemporaryFolder): Promise<Made> {
  const store = await openLocalStore(folder.join("source.castr"), { create: true, durable: false });
  const entries = [...chunks, first].map((bytes) => ({ size: bytes.length, id: fromHex(chunkName(bytes)) }));
  for (const bytes of chunks) await store.put(chunkName(bytes), compressChunk(bytes));
  const index = folder.join("source.caibx");
  let end = 0;
  const ends = new Float64Array(entries.map(({ size }) => (end += size)));
  const ids = Buffer.concat(entries.map(({ id }) => id));
  writeFileSync(index, encodeIndex(new ChunkIndex({ flags: blobFlags(), sizes: chunkSizes(), ends, ids })));
  return { index, store };
}

/** Serves what a real peer would, from the paths that are asked for. */
const honest = connectTo(async (channel, { archive, index, stores = [] }) => {
  const opened: ReadStore[] = [];
  for (const path of stores) opened.push(await openLocalStore(path));
  await servePull({ channel, archive, index, stores: opened });
});

/** A peer that takes and sends what the test says. */
function scripted(script: (connection: Connection, channel: Channel) => Promise<void>): ReturnType<typeof connectTo> {
  return connectTo(async (channel) => {
    await script(new Connection(channel), channel);
  });
}

test("an index, an archive and chunks are read; a chunk as often as one likes", async () => {
  using folder = temporaryFolder();
  const { index, store } = await makeIndex(folder);
  writeFileSync(folder.join("x.catar"), randomBytes(700_000, "archive"));
  const pulled = await pullIndex(honest, index, { maxSize: 100_000 });
  expect(Buffer.compare(pulled, readFileSync(index))).toBe(0);
  const parts: Uint8Array[] = [];
  for await (const bytes of pullArchive(honest, folder.join("x.catar"))) parts.push(bytes);
  expect(Buffer.concat(parts)).toHaveLength(700_000);
  const remote = openRemoteStore(honest, store.location, "host:store");
  for (let i = 0; i < 4; i++) expect((await remote.get(chunkName(first)))?.compressed).toBe(true);
  await remote.close();
  await expect(pullIndex(honest, index, { maxSize: 1000 })).rejects.toMatchObject({ code: "remote-too-large" });
  await expect(pullIndex(honest, folder.join("none"), { maxSize: 1000 })).rejects.toMatchObject({
    code: "remote-not-found",
    exitCode: 4,
  });
});

test("casync's habit of answering each request once does no harm", async () => {
  using folder = temporaryFolder();
  const { store } = await makeIndex(folder);
  let conversations = 0;
  const remote = openRemoteStore(
    scripted(async (connection) => {
      conversations++;
      await connection.greet(1n);
      const answered = new Set<string>();
      for (let message = await connection.read(); message !== undefined; message = await connection.read()) {
        if (message.type !== "request") continue;
        for (const name of message.names) {
          const chunk = answered.has(name) ? undefined : await store.get(name);
          answered.add(name);
          if (chunk !== undefined) await connection.send({ type: "chunk", name, ...chunk });
        }
      }
    }),
    "store",
    "host:store",
  );
  for (let round = 0; round < 3; round++) {
    const found = await Promise.all(chunks.map((bytes) => remote.get(chunkName(bytes))));
    expect(found.every((chunk) => chunk !== undefined)).toBe(true);
  }
  // The second round asks anew, the third has what is wanted again and again.
  expect(conversations).toBe(2);
  await remote.close();
});

test("an index is pushed with the chunks that are missing, and no others", async () => {
  using folder = temporaryFolder();
  const { index, store } = await makeIndex(folder);
  const target = await openLocalStore(folder.join("target.castr"), { create: true, durable: false });
  for (const bytes of chunks.slice(10)) await target.put(chunkName(bytes), compressChunk(bytes));
  const connect = connectTo((channel, files) => servePush({ channel, index: files.index, store: target }));
  const push = { connect, source: index, index: folder.join("target.caibx"), store: "store", chunks: store };
  expect(await pushIndex(push)).toMatchObject({ chunksSent: 10 });
  expect(Buffer.compare(readFileSync(folder.join("target.caibx")), readFileSync(index))).toBe(0);
  for (const bytes of chunks) expect(await target.has(chunkName(bytes))).toBe(true);
  expect(await pushIndex(push)).toMatchObject({ chunksSent: 0 });
  // The index alone, for a store that is elsewhere.
  const { store: _, ...alone } = push;
  expect(await pushIndex({ ...alone, index: folder.join("alone.caibx") })).toMatchObject({ chunksSent: 0 });
  expect(existsSync(folder.join("alone.caibx"))).toBe(true);
});

async function* source(fails: boolean): AsyncGenerator<Uint8Array> {
  yield randomBytes(3_000_000, "pushed");
  if (fails) throw new Error("the tree changed");
}

test("an archive is pushed whole or not at all", async () => {
  using folder = temporaryFolder();
  const connect = connectTo((channel, { archive }) => servePush({ channel, archive }));
  await pushArchive({ connect, source: source(false), archive: folder.join("x.catar") });
  expect(readFileSync(folder.join("x.catar"))).toHaveLength(3_000_000);
  await expect(pushArchive({ connect, source: source(true), archive: folder.join("y.catar") })).rejects.toThrow(
    "the tree changed",
  );
  await expect.poll(() => readdirSync(folder.path)).toEqual(["x.catar"]);
});

/** Sends messages after the greeting, then ends. */
function saying(features: bigint, ...messages: readonly Message[]): ReturnType<typeof connectTo> {
  return scripted(async (connection, channel) => {
    await connection.greet(features);
    for (const message of messages) await connection.send(message);
    channel.end();
  });
}

const wrong: Message = { type: "chunk", name: "ab".repeat(32), compressed: false, bytes: Buffer.from("evil") };

test("a peer that is read from cannot send what was not asked for", async () => {
  const name = chunkName(first);
  const refusal = (connect: ReturnType<typeof connectTo>): Promise<unknown> =>
    openRemoteStore(connect, "store", "host:store")
      .get(name)
      .catch((error: unknown) => error);
  expect(await refusal(saying(1n, wrong))).toMatchObject({ code: "protocol-unexpected" });
  expect(await refusal(saying(1n, { type: "missing", name: "ab".repeat(32) }))).toMatchObject({
    code: "protocol-unexpected",
  });
  expect(await refusal(saying(1n, { type: "index", bytes: first }))).toMatchObject({ code: "protocol-unexpected" });
  expect(await refusal(saying(1n, { type: "request", urgent: false, names: [name] }))).toMatchObject({
    code: "protocol-unexpected",
  });
  expect(await refusal(saying(1n))).toMatchObject({ code: "remote-ended" });
  expect(await refusal(saying(1n, { type: "goodbye" }))).toMatchObject({ code: "protocol-unexpected" });
  expect(await refusal(saying(1n, { type: "abort", errno: 5, reason: "disk on fire" }))).toMatchObject({
    code: "remote-aborted",
    message: expect.stringContaining("disk on fire") as string,
  });
  const noStore = scripted(async (connection) => {
    await connection.send({ type: "hello", features: 4n });
  });
  expect(await refusal(noStore)).toMatchObject({ code: "protocol-features" });
  const noGreeting = scripted(async (_connection, channel) => {
    await channel.write(Buffer.from("Welcome to this machine! Your mail is in /var/mail.\n"));
    channel.end();
  });
  expect(await refusal(noGreeting)).toMatchObject({ code: "protocol-frame", data: { offset: 8 } });
  const endless = scripted(async (connection) => {
    for (let i = 0; i < 1000; i++) await connection.send({ type: "hello", features: 1n });
  });
  expect(await refusal(endless)).toMatchObject({ code: "protocol-frame" });
  const amidst = scripted(async (connection, channel) => {
    await connection.greet(1n);
    const frame = encodeMessage({ type: "chunk", name, compressed: false, bytes: first });
    await channel.write(frame.subarray(0, 500));
    channel.end();
  });
  expect(await refusal(amidst)).toMatchObject({
    code: "remote-ended",
    exitCode: 8,
    message: "server ends the connection amid a message",
  });
});

/** What a client that plays by the script makes of a store and an index. */
async function pushed(
  script: (connection: Connection, index: Uint8Array) => Promise<void>,
): Promise<{ error: unknown; files: readonly string[] }> {
  using folder = temporaryFolder();
  const { index } = await makeIndex(folder);
  const target = await openLocalStore(folder.join("target.castr"), { create: true, durable: false });
  const served = Promise.withResolvers<unknown>();
  const connect = connectTo((channel) =>
    servePush({ channel, index: folder.join("target.caibx"), store: target }).then(served.resolve, served.resolve),
  );
  const channel = await connect({}, "push");
  const connection = new Connection(channel);
  await script(connection, readFileSync(index)).catch(() => {});
  channel.end();
  const error = await served.promise;
  return { error, files: [...readdirSync(folder.path), ...readdirSync(target.location)].toSorted() };
}

async function greetAndSend(connection: Connection, bytes: Uint8Array): Promise<void> {
  await connection.greet(0xe00n);
  await connection.send({ type: "index", bytes });
  await connection.send({ type: "index-end" });
}

test("a peer that writes cannot leave half an index, or a chunk that is another one", async () => {
  const untouched = ["source.caibx", "source.castr", "target.castr"];
  const withAnswer =
    (answer: (name: string) => Message) =>
    async (connection: Connection, index: Uint8Array): Promise<void> => {
      await greetAndSend(connection, index);
      const request = await connection.next();
      if (request.type === "request") await connection.send(answer(request.names[0] ?? ""));
      await connection.next();
    };
  const cases: readonly (readonly [string, Parameters<typeof pushed>[0]])[] = [
    ["chunk-altered", withAnswer((name) => ({ ...wrong, name }))],
    ["chunk-altered", withAnswer((name) => ({ ...wrong, name, compressed: true }))],
    ["protocol-unexpected", withAnswer(() => wrong)],
    ["protocol-unexpected", withAnswer(() => ({ type: "index", bytes: first }))],
    ["chunk-missing", withAnswer((name) => ({ type: "missing", name }))],
    ["protocol-unexpected", withAnswer((name) => ({ type: "missing", name: name.replace(/./g, "0") }))],
    ["index-truncated", (connection, index) => greetAndSend(connection, index.subarray(0, 500))],
    ["index-invalid", (connection, index) => greetAndSend(connection, Buffer.concat([index.subarray(0, 8), index]))],
    ["remote-ended", greetAndSend],
    [
      "protocol-unexpected",
      async (connection, index) => {
        await connection.greet(0xe00n);
        await connection.send({ type: "archive", bytes: index });
        await connection.next();
      },
    ],
    [
      "protocol-features",
      async (connection) => {
        await connection.send({ type: "hello", features: 0x40n });
        await connection.next();
      },
    ],
  ];
  for (const [code, script] of cases) {
    const { error, files } = await pushed(script);
    expect([code, error, files]).toMatchObject([code, { code }, untouched]);
  }
});

test("a bomb that is pushed inflates no further than its index says", async () => {
  const { error } = await pushed(async (connection, index) => {
    await greetAndSend(connection, index);
    const request = await connection.next();
    const { bytes } = compressChunk(new Uint8Array(64 * 1024 ** 2));
    if (request.type === "request") {
      await connection.send({ type: "chunk", name: request.names[0] ?? "", compressed: true, bytes });
    }
    await connection.next();
  });
  expect(error).toMatchObject({ code: "chunk-altered", data: { found: "inflates-too-far" } });
});

test("nothing but the index's chunks leaves this machine", async () => {
  using folder = temporaryFolder();
  const { index, store } = await makeIndex(folder);
  const secret = Buffer.from("another image's chunk");
  await store.put(chunkName(secret), compressChunk(secret));
  const connect = scripted(async (connection) => {
    await connection.greet(0xan);
    await connection.send({ type: "request", urgent: true, names: [chunkName(secret)] });
    for (;;) await connection.next();
  });
  const push = { connect, source: index, index: "x.caibx", store: "store", chunks: store };
  await expect(pushIndex(push)).rejects.toMatchObject({ code: "protocol-unexpected" });
});

test("requests go on while the answers wait, in bounded memory", async () => {
  using folder = temporaryFolder();
  const { store } = await makeIndex(folder);
  const large = randomBytes(4_000_000, "large");
  await store.put(chunkName(large), compressChunk(large, "none"));
  const channel = await honest({ stores: [store.location] }, "pull");
  const connection = new Connection(channel);
  await connection.greet(0x40n);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 50; i++) {
    void connection.send({ type: "request", urgent: false, names: Array(4).fill(chunkName(large)) }).catch(() => {});
  }
  let received = 0;
  for (; received < 20; received++) expect((await connection.next()).type).toBe("chunk");
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(400_000_000);
  connection.destroy();
});

test("a program in ssh's place that fails says so in the error", async () => {
  using folder = temporaryFolder();
  const ssh = fakeSsh(folder);
  const location = { destination: "host", port: undefined, path: "store" };
  const failing = (remoteProgram: string): Promise<unknown> =>
    openRemoteStore(sshConnect(location, { ssh, remoteProgram }), "store", "host:store").get(chunkName(first));
  await expect(failing("echo no such luck >&2; exit 3; true")).rejects.toMatchObject({
    code: "remote-failed",
    exitCode: 8,
    message: "host ends with status 3: no such luck",
  });
  await expect(failing("printf '\\033[31mred' >&2; exit 255; true")).rejects.toMatchObject({
    code: "ssh-failed",
    message: "ssh cannot reach host: [31mred",
  });
  await expect(failing("no-such-program-here")).rejects.toMatchObject({
    hint: expect.stringContaining("CASYNC_REMOTE_PATH") as string,
  });
  await expect(
    openRemoteStore(sshConnect(location, { ssh: folder.join("none") }), "store", "host:store").get(chunkName(first)),
  ).rejects.toMatchObject({ code: "ssh-not-started", exitCode: 6 });
});

test("paths reach the other side as they are, whatever is in them", async () => {
  using folder = temporaryFolder();
  const ssh = fakeSsh(folder);
  const record = folder.join("record");
  const location = { destination: "host", port: undefined, path: "" };
  for (const path of ["plain/x.caibx", "a b", "$(touch hacked)", "it's;`id`", "-rf", "-", 'quo"te']) {
    const connect = sshConnect(location, { ssh, remoteProgram: `printf '%s\\0' > '${record}'` });
    const channel = await connect({ index: path, stores: [path] }, "pull");
    await channel.ended();
    const expected = path.startsWith("-") ? `./${path}` : path;
    expect(readFileSync(record, "utf8")).toBe(["pull", "-", "-", expected, expected, ""].join("\0"));
  }
});

async function half(channel: Channel): Promise<void> {
  const connection = new Connection(channel);
  await connection.greet(remoteFeatures.readableIndex);
  await channel.write(encodeMessage({ type: "index", bytes: new Uint8Array(50) }).subarray(0, 40));
}

const impatient: Connect = async (...args) => ({ ...(await connectTo(half)(...args)), silence: 300 });

test("a machine that says nothing is not waited for for ever, one with nothing to say is", async () => {
  using folder = temporaryFolder();
  const stalled = folder.join("stalled");
  writeFileSync(stalled, "#!/bin/sh\nexec sleep 60\n", { mode: 0o755 });
  const location = { destination: "host", port: undefined, path: "x" };
  const connect = sshConnect(location, { ssh: stalled, sshTimeout: 300 });
  const error = {
    code: "remote-timeout",
    exitCode: 8,
    message: "host has said nothing for 0.3 s: expected its greeting",
  };
  await expect(pullIndex(connect, "x", { maxSize: 1000 })).rejects.toMatchObject(error);
  const store = openRemoteStore(connect, "store", "host:store");
  await expect(store.get(chunkName(first))).rejects.toMatchObject(error);
  await store.close();
  // Half of what was asked for, and the rest never.
  await expect(pullIndex(impatient, "x", { maxSize: 1000 })).rejects.toMatchObject({
    ...error,
    message: "server has said nothing for 0.3 s: expected the rest of the index",
  });
  // Nobody has asked for anything meanwhile.
  const { store: source } = await makeIndex(folder);
  const patient: typeof connect = async (...args) => ({
    ...(await connectTo((channel) => servePull({ channel, stores: [source] }))(...args)),
    silence: 300,
  });
  const lazy = openRemoteStore(patient, "store", "host:store");
  expect(await lazy.get(chunkName(first))).toBeDefined();
  await new Promise((resolve) => setTimeout(resolve, 800));
  expect(await lazy.get(chunkName(chunks[1] ?? first))).toBeDefined();
  await lazy.close();
});
