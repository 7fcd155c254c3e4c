import { concatBytes } from "@imgtool/core";
import { expect, test } from "vitest";
import { decode, encode, latin1, type Tree } from "../test/collect.ts";
import { encodeNumbers, terminated } from "./fields.ts";
import {
  CatarDecoder,
  CatarEncoder,
  defaultArchiveFlags,
  encodeGoodbye,
  encodeHeader,
  encodeRecord,
  features,
  hashName,
  headerSize,
  type CatarNode,
  type NodeContent,
} from "./index.ts";

const flags = defaultArchiveFlags;
const entry = (mode: number, fields: { flags?: bigint; attributes?: bigint; uid?: bigint; mtime?: bigint } = {}) =>
  encodeRecord(
    "entry",
    encodeNumbers(
      fields.flags ?? flags,
      BigInt(mode),
      fields.attributes ?? 0n,
      fields.uid ?? 0n,
      0n,
      fields.mtime ?? 0n,
    ),
  );
const directory = entry(0o040_755);
const file = concatBytes([entry(0o100_644), encodeHeader("payload", 0)]);
const named = (name: string, ...records: readonly Uint8Array[]) =>
  concatBytes([encodeRecord("filename", terminated(latin1(name))), ...records]);

/** A directory of hand-made children with a true GOODBYE. */
function archive(...children: readonly { name: string; bytes: Uint8Array }[]): Uint8Array {
  let end = directory.length;
  const items = children.map(({ name, bytes }) => {
    const start = end;
    end += bytes.length;
    return { start, end, hash: hashName(latin1(name)) };
  });
  return concatBytes([directory, ...children.map((child) => child.bytes), encodeGoodbye(items, 0, end)]);
}
const child = (name: string, ...records: readonly Uint8Array[]) => ({ name, bytes: named(name, ...records) });

test("the hand-made archives are valid where they should be", () => {
  expect(decode(archive()).children).toEqual([]);
  expect(decode(archive(child("a", file), child("b", directory, encodeGoodbye([], 0, 64)))).children?.length).toBe(2);
});

const refused: readonly [what: string, code: string, bytes: Uint8Array][] = [
  ["a name ..", "catar-name-invalid", archive(child("..", file))],
  ["a name .", "catar-name-invalid", archive(child(".", file))],
  ["a name with a slash", "catar-name-invalid", archive(child("a/b", file))],
  ["an absolute name", "catar-name-invalid", archive(child("/etc", file))],
  ["a name with NUL inside", "catar-string-invalid", archive(child("a\0b", file))],
  ["a name without NUL", "catar-string-invalid", concatBytes([directory, encodeRecord("filename", latin1("ab"))])],
  ["an empty name", "catar-record-size", concatBytes([directory, encodeRecord("filename", latin1("\0"))])],
  ["a name of 256 bytes", "catar-record-size", archive(child("x".repeat(256), file))],
  ["the same name twice", "catar-name-order", archive(child("a", file), child("a", file))],
  ["names that are not sorted", "catar-name-order", archive(child("b", file), child("a", file))],
  ["a file as root", "catar-record-order", file],
  ["payload first", "catar-record-order", encodeHeader("payload", 0)],
  ["bytes behind the end", "catar-record-order", concatBytes([archive(), file])],
  ["a second root", "catar-record-order", concatBytes([archive(), archive()])],
  ["an unknown record", "catar-record-unknown", concatBytes([directory, encodeNumbers(16n, 1n)])],
  ["a file without payload", "catar-record-order", archive(child("a", entry(0o100_644)))],
  ["a directory with payload", "catar-record-order", archive(child("a", directory, encodeHeader("payload", 0)))],
  ["a FIFO with payload", "catar-record-order", archive(child("a", entry(0o010_644), encodeHeader("payload", 0)))],
  ["a symlink without target", "catar-record-order", archive(child("a", entry(0o120_777)), child("b", file))],
  ["two names in a row", "catar-record-order", concatBytes([directory, named("a"), named("b", file)])],
  ["a payload of 2^63 bytes", "catar-record-size", oversize("payload")],
  ["a name of 2^40 bytes", "catar-record-size", oversize("filename", 1n << 40n)],
  ["a goodbye of 2^40 bytes", "catar-goodbye", oversize("goodbye", 1n << 40n)],
  ["an entry that is too small", "catar-record-size", encodeRecord("entry", new Uint8Array(40))],
  [
    "a user name twice",
    "catar-record-order",
    archive(child("a", entry(0o100_644), user("u"), user("v"), file.subarray(64))),
  ],
  [
    "a group before the user",
    "catar-record-order",
    archive(child("a", entry(0o100_644), group("u"), user("v"), file.subarray(64))),
  ],
  [
    "a user name that is not UTF-8",
    "catar-string-invalid",
    archive(child("a", entry(0o100_644), user("\u00ff"), file.subarray(64))),
  ],
  ["an xattr on a symlink", "catar-record-unexpected", archive(child("a", entry(0o120_777), xattr("user.a")))],
  [
    "an xattr security.capability",
    "catar-xattr-invalid",
    archive(child("a", entry(0o100_644), xattr("security.capability"))),
  ],
  ["the xattr user.", "catar-xattr-invalid", archive(child("a", entry(0o100_644), xattr("user.")))],
  [
    "xattrs that are not sorted",
    "catar-record-order",
    archive(child("a", entry(0o100_644), xattr("user.b"), xattr("user.a"))),
  ],
  [
    "the same xattr twice",
    "catar-record-order",
    archive(child("a", entry(0o100_644), xattr("user.b"), xattr("user.b"))),
  ],
  [
    "default ACL entries without head",
    "catar-record-order",
    archive(child("a", directory, encodeRecord("acl-default-user", encodeNumbers(1n, 1n)))),
  ],
  [
    "ACL permissions above 7",
    "catar-field-invalid",
    archive(child("a", directory, encodeRecord("acl-group-obj", encodeNumbers(8n)))),
  ],
  [
    "project id 0",
    "catar-field-invalid",
    archive(child("a", directory, encodeRecord("quota-projid", encodeNumbers(0n)))),
  ],
  [
    "other flags on a child",
    "catar-flags-differ",
    archive(child("a", entry(0o100_644, { flags: features.permissions }), file.subarray(64))),
  ],
  [
    "flags that are not normal",
    "catar-flags-not-normal",
    entry(0o040_755, { flags: features["16bit-uids"] | features["32bit-uids"] }),
  ],
  ["flags that are unknown", "catar-flags-unknown", entry(0o040_755, { flags: 1n << 50n })],
  ["a mode without type", "catar-entry-invalid", entry(0o755)],
  ["a mode with more bits", "catar-field-invalid", entry(0o1_040_755)],
  ["a symlink with other permissions", "catar-entry-invalid", archive(child("a", entry(0o120_644)))],
  ["an unknown attribute", "catar-entry-invalid", entry(0o040_755, { attributes: 1n })],
  [
    "attributes on a FIFO",
    "catar-entry-invalid",
    archive(child("a", entry(0o010_644, { attributes: features["flag-append"] }))),
  ],
  ["uid -1", "catar-field-invalid", entry(0o040_755, { uid: 0xffff_ffffn })],
  ["16-bit uid 65535", "catar-field-invalid", entry(0o040_777, { flags: features["16bit-uids"], uid: 65_535n })],
  ["times finer than the flags", "catar-entry-invalid", entry(0o040_777, { flags: features["sec-time"], mtime: 1n })],
  [
    "a kind the flags leave out",
    "catar-entry-invalid",
    concatBytes([entry(0o040_777, { flags: 0n }), named("a", entry(0o010_666, { flags: 0n }))]),
  ],
  [
    "a device number that no kernel has",
    "catar-field-invalid",
    archive(child("a", entry(0o020_644), encodeRecord("device", encodeNumbers(1n << 32n, 0n)))),
  ],
];

for (const [what, code, bytes] of refused) {
  test(`refuses ${what}`, () => {
    for (const pieces of [[bytes.length], [1]]) {
      expect(() => decode(bytes, pieces)).toThrow(expect.objectContaining({ code, exitCode: 3 }));
    }
  });
}

function user(name: string): Uint8Array {
  return encodeRecord("user", terminated(latin1(name)));
}
function group(name: string): Uint8Array {
  return encodeRecord("group", terminated(latin1(name)));
}
function xattr(name: string): Uint8Array {
  return encodeRecord("xattr", terminated(latin1(name)));
}
function oversize(name: "payload" | "filename" | "goodbye", size: bigint = 1n << 63n): Uint8Array {
  const header = encodeHeader(name, 0);
  new DataView(header.buffer).setBigUint64(0, size, true);
  return concatBytes(name === "payload" ? [directory, named("a", entry(0o100_644)), header] : [directory, header]);
}

test("a lie in any field of GOODBYE is found and named", () => {
  const children = ["a", "b", "c"].map((name) => child(name, file));
  const honest = archive(...children);
  const size = headerSize + 4 * 24;
  for (let field = 0; field < 12; field++) {
    const lying = honest.slice();
    const at = honest.length - size + headerSize + 8 * field;
    lying[at] = (lying[at] as number) ^ 1;
    const place = field < 9 ? `item ${Math.floor(field / 3)}` : "tail";
    expect(() => decode(lying)).toThrow(expect.objectContaining({ code: "catar-goodbye" }));
    expect(() => decode(lying)).toThrow(place);
  }
  // one item fewer than there are children
  const short = concatBytes([directory, ...children.map((one) => one.bytes), encodeGoodbye([], 0, 0)]);
  expect(() => decode(short)).toThrow(expect.objectContaining({ code: "catar-goodbye" }));
});

test("an error says where, what was expected and what was found", () => {
  let thrown: unknown;
  try {
    decode(archive(child("..", file)));
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    message: expect.stringMatching(/^archive, offset 64: file name leaves its directory: expected .*, found "\.\."$/),
    data: { offset: 64, found: '".."' },
  });
});

function* manyXattrs(): Generator<Uint8Array> {
  yield directory;
  for (let i = 0; i < 1000; i++) {
    const body = new Uint8Array(60_000);
    body.set(latin1(`user.${String(i).padStart(6, "0")}`));
    yield encodeRecord("xattr", body);
  }
}

test("one node cannot make the reader collect metadata without end", () => {
  const decoder = new CatarDecoder();
  expect(() => {
    for (const bytes of manyXattrs()) for (const event of decoder.push(bytes)) void event;
  }).toThrow(expect.objectContaining({ code: "catar-record-size" }));
});

test("an archive must have the flags of its index", () => {
  const decoder = new CatarDecoder({ flags: features.permissions });
  expect(() => [...decoder.push(archive())]).toThrow(expect.objectContaining({ code: "catar-flags-differ" }));
});

function chain(depth: number): Tree {
  const node: CatarNode = {
    metadata: { mode: 0o040_755, uid: 0, gid: 0, mtime: 0n, attributes: 0n },
    content: { kind: "directory" },
  };
  return depth === 1 ? { node, children: [] } : { node, children: [{ name: latin1("d"), tree: chain(depth - 1) }] };
}

test("trees of 64 nodes depth pass, deeper ones are refused by encoder and decoder", () => {
  expect(decode(encode(chain(64), flags))).toEqual(chain(64));
  expect(() => encode(chain(65), flags)).toThrow(expect.objectContaining({ code: "catar-too-deep" }));
  const deep = concatBytes([directory, ...Array.from({ length: 64 }, () => named("d", directory))]);
  expect(() => decode(deep)).toThrow(expect.objectContaining({ code: "catar-too-deep" }));
});

function nodeOf(mode: number, content: NodeContent): CatarNode {
  return { metadata: { mode, uid: 0, gid: 0, mtime: 0n }, content };
}

test("the encoder refuses what is no archive", () => {
  const root = nodeOf(0o040_755, { kind: "directory" });
  const one = nodeOf(0o100_644, { kind: "file", size: 1 });
  const begun = (): CatarEncoder => {
    const encoder = new CatarEncoder(flags);
    encoder.entry(undefined, root);
    return encoder;
  };
  const order = expect.objectContaining({ code: "catar-encoder-order" });
  const payload = expect.objectContaining({ code: "catar-payload-size" });
  expect(() => new CatarEncoder(flags).finish()).toThrow(order);
  expect(() => begun().finish()).toThrow(order);
  expect(() => new CatarEncoder(flags).entry(undefined, one)).toThrow(order);
  expect(() => new CatarEncoder(flags).leave()).toThrow(order);
  expect(() => begun().entry(undefined, root)).toThrow(order);
  expect(() => begun().entry(latin1("a"), nodeOf(0o040_755, { kind: "file", size: 1 }))).toThrow(order);
  expect(() => begun().entry(latin1("a"), nodeOf(0o120_777, { kind: "symlink", target: latin1("") }))).toThrow(order);
  expect(() => begun().entry(latin1("a"), nodeOf(0o100_644, { kind: "file", size: -1 }))).toThrow(order);
  expect(() => begun().entry(latin1(".."), one)).toThrow(expect.objectContaining({ code: "catar-name-invalid" }));
  const open = begun();
  open.entry(latin1("b"), one);
  expect(() => open.leave()).toThrow(payload);
  expect(() => open.entry(latin1("c"), one)).toThrow(payload);
  expect(() => open.payload(2)).toThrow(payload);
  open.payload(1);
  expect(() => open.entry(latin1("a"), one)).toThrow(expect.objectContaining({ code: "catar-name-order" }));
  expect(() => new CatarEncoder(0x300n | features["read-only"])).toThrow(
    expect.objectContaining({ code: "catar-flags-not-normal" }),
  );
});
