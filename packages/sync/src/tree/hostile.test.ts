/**
 * Archives that want out: nothing outside the target may change, whatever they say.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import {
  CatarEncoder,
  defaultArchiveFlags,
  encodeGoodbye,
  encodeHeader,
  encodeRecord,
  hashName,
  type CatarNode,
} from "@imgtool/catar";
import { temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { extractTree } from "./extract-tree.ts";

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtime: 0n };
const directory: CatarNode = { metadata: { ...owner, mode: 0o040_755 }, content: { kind: "directory" } };
const file: CatarNode = { metadata: { ...owner, mode: 0o100_644 }, content: { kind: "file", size: 5 } };
const link = (target: string): CatarNode => ({
  metadata: { ...owner, mode: 0o120_777 },
  content: { kind: "symlink", target: Buffer.from(target) },
});

/** The records of a node by themselves, as an encoder without rules would write them. */
function raw(node: CatarNode): Buffer {
  const encoder = new CatarEncoder(defaultArchiveFlags);
  const root = encoder.entry(undefined, directory);
  if (node === directory) return Buffer.from(root);
  const name = Buffer.from("x");
  const bytes = encoder.entry(name, node);
  return Buffer.from(bytes.subarray(encodeRecord("filename", Buffer.from("x\0")).length));
}

type Child = readonly [name: string, ...records: readonly Uint8Array[]];

/** A directory whose children are what they are, with a GOODBYE that is true. */
function archive(...children: readonly Child[]): Buffer {
  const start = raw(directory);
  let end = start.length;
  const parts: Uint8Array[] = [start];
  const items = children.map(([name, ...records]) => {
    const bytes = Buffer.concat([encodeRecord("filename", Buffer.from(`${name}\0`)), ...records]);
    parts.push(bytes);
    const item = { start: end, end: end + bytes.length, hash: hashName(Buffer.from(name)) };
    end = item.end;
    return item;
  });
  return Buffer.concat([...parts, encodeGoodbye(items, 0, end)]);
}

const content = Buffer.from("owned");
const inner = (name: string): Buffer => archive([name, raw(file), content]);

/** A target beside a folder that must stay as it is. */
function scene(folder: TemporaryFolder): { target: string; untouched: () => void } {
  mkdirSync(folder.join("outside"));
  writeFileSync(folder.join("outside", "file"), "precious");
  mkdirSync(folder.join("target"));
  return {
    target: folder.join("target"),
    untouched: () => {
      expect(readdirSync(folder.path).sort()).toEqual(["outside", "target"]);
      expect(readdirSync(folder.join("outside"))).toEqual(["file"]);
      expect(readFileSync(folder.join("outside", "file"), "utf8")).toBe("precious");
    },
  };
}

const once = async function* (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
};

test("the scene works: an honest archive is extracted", async () => {
  using folder = temporaryFolder();
  const { target, untouched } = scene(folder);
  await extractTree({ source: { archive: once(archive(["d", inner("f")])) }, target });
  expect(readFileSync(folder.join("target", "d", "f"), "utf8")).toBe("owned");
  untouched();
});

const oversize = encodeHeader("payload", 0);
new DataView(oversize.buffer).setBigUint64(0, 1n << 62n, true);

const refused: readonly (readonly [string, string, Buffer])[] = [
  ["..", "catar-name-invalid", archive(["..", raw(file), content])],
  ["a path with ..", "catar-name-invalid", archive(["../outside/file", raw(file), content])],
  ["an absolute path", "catar-name-invalid", archive(["/etc/passwd", raw(file), content])],
  [
    "a symlink, then a directory of its name",
    "catar-name-order",
    archive(["a", raw(link("../outside"))], ["a", inner("file")]),
  ],
  [
    "a symlink, then a file of its name",
    "catar-name-order",
    archive(["a", raw(link("../outside/file"))], ["a", raw(file), content]),
  ],
  [
    "children of a symlink",
    "catar-goodbye",
    archive(["a", raw(link("../outside")), encodeRecord("filename", Buffer.from("file\0")), raw(file), content]),
  ],
  ["names out of order", "catar-name-order", archive(["b", raw(file), content], ["a", raw(file), content])],
  ["a payload of 2^62 bytes", "catar-record-size", archive(["a", raw(file).subarray(0, 64), oversize])],
  [
    "a lying goodbye",
    "catar-goodbye",
    Buffer.concat([archive(["a", raw(file), content]).subarray(0, -1), Buffer.from([0])]),
  ],
  ["bytes behind the end", "catar-record-order", Buffer.concat([archive(), raw(directory)])],
];

test.for(refused)("%s is refused, outside nothing changes", async ([, code, bytes]) => {
  using folder = temporaryFolder();
  const { target, untouched } = scene(folder);
  await expect(extractTree({ source: { archive: once(bytes) }, target })).rejects.toThrow(
    expect.objectContaining({ code, exitCode: 3 }),
  );
  untouched();
  await expect(extractTree({ source: { archive: once(bytes) }, target: folder.join("new") })).rejects.toThrow(
    expect.objectContaining({ code }),
  );
  expect(existsSync(folder.join("new"))).toBe(false);
  untouched();
});

test("symlinks planted in the target are replaced, not followed", async () => {
  using folder = temporaryFolder();
  const { target, untouched } = scene(folder);
  symlinkSync("../outside", folder.join("target", "d"));
  symlinkSync("../outside/file", folder.join("target", "f"));
  symlinkSync("../outside", folder.join("target", "stray"));
  await extractTree({
    source: { archive: once(archive(["d", inner("file")], ["f", raw(file), content], ["l", raw(link("../outside"))])) },
    target,
  });
  expect(readFileSync(folder.join("target", "d", "file"), "utf8")).toBe("owned");
  expect(readFileSync(folder.join("target", "f"), "utf8")).toBe("owned");
  expect(readlinkSync(folder.join("target", "l"))).toBe("../outside");
  expect(readdirSync(target).sort()).toEqual(["d", "f", "l"]);
  untouched();
});

test("a symlink that the archive itself brought is replaced by its next version's directory", async () => {
  using folder = temporaryFolder();
  const { target, untouched } = scene(folder);
  await extractTree({ source: { archive: once(archive(["a", raw(link("../outside"))])) }, target });
  await extractTree({ source: { archive: once(archive(["a", inner("file")])) }, target });
  expect(readFileSync(folder.join("target", "a", "file"), "utf8")).toBe("owned");
  untouched();
});

test("an interrupted extraction into a target that was there leaves no temporary files", async () => {
  using folder = temporaryFolder();
  const { target } = scene(folder);
  writeFileSync(folder.join("target", "a"), "old");
  const bytes = archive(["a", raw(file), content]);
  await expect(
    extractTree({ source: { archive: once(bytes.subarray(0, 64 + 18 + 64 + 16 + 2)) }, target }),
  ).rejects.toThrow(expect.objectContaining({ code: "catar-truncated" }));
  expect(readdirSync(target)).toEqual(["a"]);
  expect(readFileSync(folder.join("target", "a"), "utf8")).toBe("old");
});
