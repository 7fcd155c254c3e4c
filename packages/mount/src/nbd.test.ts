import { rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { chunkPath, openLocalStore } from "@imgtool/store";
import { ChunkSource, makeBlob, readIndex } from "@imgtool/sync";
import { needPrograms, randomBytes, run, runAsync, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ByteQueue } from "./byte-queue.ts";
import { ImageReader, type NbdServer, serveBlockDevice } from "./index.ts";

/** 1 MiB of data, 4 MiB of zeros, and some more data that is no whole sector. */
const content = Buffer.concat([
  randomBytes(1024 ** 2, "head"),
  Buffer.alloc(4 * 1024 ** 2),
  randomBytes(300_001, "tail"),
]);

async function publish(folder: TemporaryFolder): Promise<ImageReader> {
  writeFileSync(folder.join("disk"), content);
  await makeBlob({
    source: folder.join("disk"),
    index: folder.join("x.caibx"),
    store: folder.join("s"),
    durable: false,
  });
  const index = await readIndex(folder.join("x.caibx"));
  return new ImageReader(new ChunkSource({ index, stores: [await openLocalStore(folder.join("s"))] }), {
    cacheSize: 512 * 1024,
  });
}

function serve(folder: TemporaryFolder, image: ImageReader, onError?: (message: string) => void): Promise<NbdServer> {
  return serveBlockDevice({ image, name: "disk", listen: { path: folder.join("socket") }, onError });
}

test("any range reads as the image does, and extents say where there are zeros", async () => {
  using folder = temporaryFolder();
  const image = await publish(folder);
  expect(image.size).toBe(content.length);
  await fc.assert(
    fc.asyncProperty(fc.nat(content.length), fc.nat(700_000), async (offset, wanted) => {
      const length = Math.min(wanted, content.length - offset);
      expect(Buffer.from(await image.read(offset, length)).equals(content.subarray(offset, offset + length))).toBe(
        true,
      );
      let at = offset;
      for (const extent of image.extents(offset, length)) {
        expect(extent.offset).toBe(at);
        const isZero = content.subarray(at, at + extent.length).every((byte) => byte === 0);
        expect(extent.isZero && !isZero).toBe(false);
        at += extent.length;
      }
      expect(at).toBe(offset + length);
    }),
    { numRuns: 60 },
  );
  const zeros = [...image.extents(0, content.length)].filter(({ isZero }) => isZero);
  expect(zeros.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(3 * 1024 ** 2);
  await expect(image.read(content.length, 1)).rejects.toThrow(RangeError);
});

test("nbdinfo, nbdcopy and qemu-img find the image, on a socket and on a port", async (context) => {
  needPrograms(context, "nbdinfo", "nbdcopy", "qemu-img");
  using folder = temporaryFolder();
  const image = await publish(folder);
  await using onSocket = await serve(folder, image);
  await using onPort = await serveBlockDevice({ image, name: "disk", listen: { host: "127.0.0.1", port: 0 } });
  for (const { uri } of [onSocket, onPort]) {
    const info = JSON.parse(await runAsync("nbdinfo", ["--json", uri])) as {
      readonly structured: boolean;
      readonly exports: readonly Readonly<Record<string, unknown>>[];
    };
    expect(info.structured).toBe(true);
    expect(info.exports[0]).toMatchObject({
      "export-size": content.length,
      is_read_only: true,
      can_multi_conn: true,
      contexts: ["base:allocation"],
    });
    // several connections
    await runAsync("nbdcopy", ["--connections=4", "--requests=64", uri, folder.join("copy")]);
    run("cmp", [folder.join("copy"), folder.join("disk")]);
    const compared = await runAsync("qemu-img", ["compare", "-f", "raw", "-F", "raw", uri, folder.join("disk")]);
    expect(compared).toContain("Images are identical");
  }
  const map = JSON.parse(await runAsync("nbdinfo", ["--map", "--json", onSocket.uri])) as readonly {
    readonly length: number;
    readonly type: number;
  }[];
  expect(map.reduce((sum, { length }) => sum + length, 0)).toBe(content.length);
  expect(map.filter(({ type }) => type === 3).reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(
    3 * 1024 ** 2,
  );
  expect(await runAsync("nbdinfo", ["--list", onSocket.uri])).toContain('export="disk"');
  await expect(runAsync("nbdinfo", [onPort.uri.replace("/disk", "/other")])).rejects.toThrow(
    "No such file or directory for export: other",
  );
});

test("what a store has lost or altered is an error of the read, and of no other", async (context) => {
  needPrograms(context, "nbdcopy", "nbdinfo");
  using folder = temporaryFolder();
  const image = await publish(folder);
  const told: string[] = [];
  await using server = await serve(folder, image, (message) => told.push(message));
  const index = await readIndex(folder.join("x.caibx"));
  const path = folder.join("s", chunkPath(index.name(4)));
  rmSync(path);
  writeFileSync(path, "altered");
  await expect(runAsync("nbdcopy", [server.uri, folder.join("copy")])).rejects.toThrow("Input/output error");
  expect(told.join()).toContain("is altered");
  const [start, end] = [index.start(3), index.end(3)];
  expect(Buffer.from(await image.read(start, end - start)).equals(content.subarray(start, end))).toBe(true);
});

/** A client by hand: past the greeting. */
async function dial(uri: string): Promise<{ readonly socket: Socket; readonly input: ByteQueue }> {
  const socket = connect(new URL(uri).searchParams.get("socket") ?? "");
  socket.on("error", () => {});
  const input = new ByteQueue(socket);
  expect((await input.take(18))?.toString("latin1", 0, 16)).toBe("NBDMAGICIHAVEOPT");
  return { socket, input };
}

function optionBytes(number: number, data: Uint8Array, length: number = data.length): Buffer {
  const head = Buffer.from("0000000349484156454f50540000000000000000", "hex");
  head.writeUInt32BE(number, 12);
  head.writeUInt32BE(length, 16);
  return Buffer.concat([head, data]);
}

function requestBytes(type: number, offset: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x2560_9513, 0);
  bytes.writeUInt16BE(type, 6);
  bytes.write("a cookie", 8, "latin1");
  bytes.writeBigUInt64BE(offset, 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

test("writes, impossible ranges and unknown requests are refused, and reading goes on", async () => {
  using folder = temporaryFolder();
  await using server = await serve(folder, await publish(folder));
  const { socket, input } = await dial(server.uri);
  // EXPORT_NAME, simple replies: size, flags, and 124 zeros because the client did not ask to be spared
  const exportName = optionBytes(1, new Uint8Array(0));
  exportName.writeUInt32BE(1, 0);
  socket.write(exportName);
  const exported = await input.take(134);
  expect(exported?.readBigUInt64BE(0)).toBe(BigInt(content.length));
  const error = async (bytes: Buffer): Promise<number | undefined> => {
    socket.write(bytes);
    const reply = await input.take(16);
    expect(reply?.toString("latin1", 8)).toBe("a cookie");
    return reply?.readUInt32BE(4);
  };
  expect(await error(Buffer.concat([requestBytes(1, 0n, 5), Buffer.from("bytes")]))).toBe(1);
  expect(await error(requestBytes(4, 0n, 4096))).toBe(1);
  expect(await error(requestBytes(0, BigInt(content.length) - 5n, 6))).toBe(22);
  expect(await error(requestBytes(0, 2n ** 64n - 1n, 0xffff_ffff))).toBe(22);
  expect(await error(requestBytes(0, 0n, 0))).toBe(22);
  expect(await error(requestBytes(99, 0n, 1))).toBe(22);
  expect(await error(requestBytes(7, 0n, 4096))).toBe(22);
  expect(await error(requestBytes(3, 0n, 0))).toBe(0);
  expect(await error(requestBytes(0, 7n, 9))).toBe(0);
  expect(await input.take(9)).toEqual(content.subarray(7, 16));
  socket.write(Buffer.alloc(28));
  expect(await input.take(1)).toBeUndefined();
});

test("no bytes that a client sends end the server or make it hang", async () => {
  using folder = temporaryFolder();
  await using server = await serve(folder, await publish(folder));
  const options = fc
    .tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 60 }), fc.constantFrom(0, 0, 0, 7, 70_000))
    .map(([number, data, more]) => optionBytes(number, data, data.length + more));
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(options, { maxLength: 5 }).map((parts) => Buffer.concat(parts)),
  );
  await fc.assert(
    fc.asyncProperty(hostile, async (bytes) => {
      const { socket, input } = await dial(server.uri);
      socket.end(bytes);
      // to the connection's end
      expect(await input.take(2 ** 30).catch(() => undefined)).toBeUndefined();
    }),
    { numRuns: 60 },
  );
  const { socket } = await dial(server.uri);
  socket.destroy();
});

test("a socket that a killed server has left is taken over, one in use is not", async () => {
  using folder = temporaryFolder();
  const image = await publish(folder);
  const path = folder.join("socket");
  const script = `
    import { createServer } from "node:net";
    createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"));`;
  await runAsync(process.execPath, ["--input-type=module", "-e", script]).catch(() => "killed");
  await using server = await serve(folder, image);
  expect(server.uri).toContain("nbd+unix:///disk?socket=");
  await expect(serve(folder, image)).rejects.toThrow(expect.objectContaining({ code: "address-not-available" }));
});
