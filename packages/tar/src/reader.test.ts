/** The reader: what the encoder writes, old forms, and archives that lie. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeTar, readTarMember, type TarEntry, type TarInput, type TarMember } from "./index.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function inputOf(bytes: Uint8Array): TarInput {
  return { read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

async function readAll(bytes: Uint8Array): Promise<readonly TarMember[]> {
  const members: TarMember[] = [];
  for (let member = await readTarMember(inputOf(bytes), 0); member !== undefined;) {
    members.push(member);
    member = await readTarMember(inputOf(bytes), member.next, member.globals);
  }
  return members;
}

async function archive(entries: readonly TarEntry[]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const bytes of encodeTar(entries)) parts.push(bytes);
  return Buffer.concat(parts);
}

const name = fc
  .uint8Array({ minLength: 1, maxLength: 300 })
  .map((bytes) => bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte)));
const id = fc.oneof(fc.nat(0o7777777), fc.nat(0xffff_fffe));
const common = {
  path: name,
  mode: fc.nat(0o7777),
  uid: id,
  gid: id,
  mtime: fc.bigInt(-(10n ** 19n), 10n ** 19n),
  xattrs: fc.uniqueArray(
    fc.record({ name: fc.string({ minLength: 1, unit: fc.constantFrom("a", "=", "%", ".") }), value: fc.uint8Array() }),
    { selector: (one) => one.name },
  ),
};
const entry: fc.Arbitrary<TarEntry> = fc.oneof(
  fc
    .record({ ...common, kind: fc.constant("file" as const), bytes: fc.uint8Array({ maxLength: 1500 }) })
    .map(({ bytes, ...rest }) => ({ ...rest, size: bytes.length, content: [bytes] })),
  fc.record({ ...common, kind: fc.constantFrom("symlink" as const, "hardlink" as const), target: name }),
  fc.record({ ...common, kind: fc.constantFrom("directory" as const, "fifo" as const) }),
  fc.record({
    ...common,
    kind: fc.constantFrom("character-device" as const, "block-device" as const),
    major: fc.nat(0o7777777),
    minor: fc.nat(0o7777777),
  }),
);

test("members are what the encoder was given", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 6 }), async (entries) => {
      const bytes = await archive(entries);
      const members = await readAll(bytes);
      expect(members).toHaveLength(entries.length);
      for (const [i, one] of entries.entries()) {
        const { kind, mode, uid, gid, mtime } = one;
        expect(members[i]).toMatchObject({ kind, mode, uid, gid, mtime });
        const found = Buffer.from(members[i]?.path ?? []);
        expect(found.subarray(0, one.path.length)).toEqual(Buffer.from(one.path));
        const sorted = [...(one.xattrs ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
        const xattrs = [...(members[i]?.xattrs ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
        expect(xattrs.map((attribute) => [attribute.name, [...attribute.value]])).toEqual(
          sorted.map((attribute) => [attribute.name, [...attribute.value]]),
        );
        const [segment] = members[i]?.segments ?? [];
        const content = segment === undefined ? [] : bytes.subarray(segment.at, segment.at + segment.length);
        expect([...content]).toEqual(one.kind === "file" ? [...((one.content as Uint8Array[])[0] ?? [])] : []);
      }
    }),
    { numRuns: 60 },
  );
});

/** A header block with a right checksum. */
function header(change: (block: Buffer) => void, size = 0): Buffer {
  const block = Buffer.alloc(512);
  block.write("name", 0);
  block.write("0000644\0", 100);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("0", 156);
  block.write("ustar\x0000", 257);
  change(block);
  block.write("        ", 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

const end = Buffer.alloc(1024);

test("old forms are read: v7, the prefix of ustar, base 256, GNU's long names", async () => {
  const v7 = header((block) => block.fill(0, 257, 263).write("directory/\0", 0));
  const prefix = header((block) => void block.write("deep/down", 345));
  const gnu = header((block) => {
    block.write("ustar  \0", 257);
    block.write("old/times", 345);
    block.set([0x80, 0, 0, 0, 0xee, 0x6b, 0x28, 0x00], 108);
    block.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], 136);
  });
  const long = `${"x".repeat(600)}\0`;
  const body = Buffer.alloc(1024);
  body.write(long);
  const longName = Buffer.concat([header((block) => void block.write("L", 156), long.length), body, header(() => {})]);
  const members = await readAll(Buffer.concat([v7, prefix, gnu, longName, end]));
  expect(members.map(({ path }) => Buffer.from(path).toString())).toEqual([
    "directory/",
    "deep/down/name",
    "name",
    "x".repeat(600),
  ]);
  expect(members[0]?.kind).toBe("directory");
  expect(members[2]).toMatchObject({ uid: 4_000_000_000, mtime: -2_000_000_000n });
});

/** An extended header with these bytes, before a member. */
function extended(records: string, size = Buffer.byteLength(records)): Buffer {
  const body = Buffer.alloc(Math.ceil(size / 512) * 512);
  body.write(records);
  return Buffer.concat([header((block) => void block.write("x", 156), size), body]);
}

function pax(keyword: string, value: string): string {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return `${length}${rest}`;
}

test("archives that lie are refused with the offset", async () => {
  const file = header(() => {}, 5);
  const sparse = (map: string, size = "100"): Buffer =>
    extended(pax("GNU.sparse.map", map) + pax("GNU.sparse.size", size));
  const five = Buffer.concat([file, Buffer.alloc(512)]);
  const cases: readonly (readonly [string, number, Buffer])[] = [
    ["tar-truncated", 0, Buffer.alloc(100)],
    ["tar-truncated", 1024, five],
    ["tar-truncated", 1024, extended(pax("path", "x"))],
    ["tar-checksum", 0, Buffer.concat([Buffer.from(file).fill("X", 0, 1), end])],
    ["tar-number", 124, Buffer.concat([header((block) => void block.write("9999", 124)), end])],
    ["tar-number", 108, Buffer.concat([header((block) => block.set([0xff, 0xff], 108)), end])],
    ["tar-type", 156, Buffer.concat([header((block) => void block.write("M", 156)), end])],
    ["tar-extended", 512, header((block) => void block.write("x", 156), 8 * 1024 ** 2)],
    ["tar-extended", 512, header((block) => void block.write("L", 156), 8 * 1024 ** 2)],
    ["tar-pax", 512, extended("99 path=x\n")],
    ["tar-pax", 512, extended("3 x")],
    ["tar-pax", 512, extended("-5 a=b\n")],
    ["tar-pax", 512, extended("12 path=xxxxxxxxxxx\n")],
    ["tar-number", 1024, Buffer.concat([extended(pax("size", "-1")), file])],
    ["tar-number", 1024, Buffer.concat([extended(pax("size", "99999999999999999999")), file])],
    ["tar-number", 1024, Buffer.concat([extended(pax("mtime", "soon")), file])],
    ["tar-name", 0, Buffer.concat([header((block) => block.fill(0, 0, 100)), end])],
    ["tar-sparse", 1024, Buffer.concat([sparse("0,3,2,2"), five])],
    ["tar-sparse", 1024, Buffer.concat([sparse("0,3,99,2"), five])],
    ["tar-sparse", 1024, Buffer.concat([sparse("0,3,9,9"), five])],
    ["tar-sparse", 1024, Buffer.concat([sparse("0,3,9"), five])],
    ["tar-sparse", 1024, Buffer.concat([sparse("0,5x"), five])],
  ];
  for (const [code, offset, bytes] of cases) {
    const error: unknown = await readAll(bytes).catch((thrown: unknown) => thrown);
    expect([code, error]).toMatchObject([code, { code, exitCode: 3, data: { offset } }]);
  }
});

test("a sparse map that does not end costs no more than its limit", async () => {
  const records = pax("GNU.sparse.major", "1") + pax("GNU.sparse.realsize", "1000");
  const zeros = header(() => {}, 64 * 1024 ** 2);
  const bytes = Buffer.concat([extended(records), zeros, Buffer.alloc(8 * 1024 ** 2, "1")]);
  await expect(readAll(bytes)).rejects.toMatchObject({ code: "tar-sparse" });
});

test("any change of a byte is an archive or an error of the reader", async () => {
  const bytes = await archive([
    { kind: "directory", path: text("a/"), mode: 0o755, uid: 0, gid: 0, mtime: 5n },
    { kind: "file", path: text("a/b"), mode: 0o644, uid: 0, gid: 0, mtime: 1n, size: 3, content: [text("abc")] },
  ]);
  await fc.assert(
    fc.asyncProperty(fc.nat(3000), fc.nat(255), async (at, value) => {
      const changed = Buffer.from(bytes);
      changed[at] = value;
      const outcome: unknown = await readAll(changed).then(
        () => ({ exitCode: 3 }),
        (error: unknown) => error,
      );
      expect(outcome).toMatchObject({ exitCode: 3 });
    }),
  );
});
