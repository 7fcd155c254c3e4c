import {
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { gnuCpio, needPrograms, needRoot, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeCpio, type CpioEntry, type FileEntry } from "./index.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function archive(entries: readonly CpioEntry[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of encodeCpio(entries)) parts.push(bytes);
  return Buffer.concat(parts);
}

const common = { mode: 0o644, uid: 0, gid: 0, mtime: 1_700_000_000 };

function file(path: string | Uint8Array, content: Uint8Array, rest: Partial<FileEntry> = {}): FileEntry {
  const name = typeof path === "string" ? text(path) : path;
  return { ...common, ...rest, kind: "file", path: name, size: content.length, content: [content] };
}

const hardLink = { id: "linked", count: 3 };
const sample: readonly CpioEntry[] = [
  file("a", text("linked"), { hardLink }),
  file("b", text("linked"), { hardLink }),
  { ...common, kind: "character-device", path: text("console"), mode: 0o600, major: 5, minor: 1 },
  { ...common, kind: "directory", path: text("d"), mode: 0o1755, uid: 1000, gid: 4_000_000_000 },
  file("d/c", text("linked"), { hardLink }),
  file("d/init", text("#!/bin/sh\n"), { mode: 0o4755 }),
  { ...common, kind: "block-device", path: text("disk"), major: 254, minor: 70_000 },
  file("empty", text("")),
  { ...common, kind: "symlink", path: text("link"), mode: 0o777, target: text("d/init") },
  { ...common, kind: "fifo", path: text("pipe"), mtime: 0 },
  file(Uint8Array.of(0xff, 0xfe), text("not UTF-8")),
];

test("GNU cpio extracts every kind of entry, and packs them to the same bytes", async (context) => {
  needRoot(context);
  needPrograms(context, "cpio");
  using folder = temporaryFolder();
  const bytes = await archive(sample);
  expect(bytes.length % 512).toBe(0);
  run("cpio", ["--extract", "--preserve-modification-time", "--quiet"], { cwd: folder.path, input: bytes });
  expect(lstatSync(folder.join("d"))).toMatchObject({ mode: 0o041755, uid: 1000, gid: 4_000_000_000 });
  expect(lstatSync(folder.join("d/init"))).toMatchObject({ mode: 0o104755, mtimeMs: 1_700_000_000_000 });
  expect(lstatSync(folder.join("a")).ino).toBe(lstatSync(folder.join("d/c")).ino);
  expect(readFileSync(folder.join("b"), "utf8")).toBe("linked");
  expect(lstatSync(folder.join("console"))).toMatchObject({ mode: 0o020600, rdev: (5 << 8) | 1 });
  expect(readlinkSync(folder.join("link"))).toBe("d/init");
  expect(readdirSync(folder.path)).toHaveLength(9);
  // cpio leaves a symbolic link and a folder with content the time of the extraction.
  for (const name of ["link", "d"]) lutimesSync(folder.join(name), common.mtime, common.mtime);
  expect(gnuCpio(folder.path).equals(bytes)).toBe(true);
});

test("GNU cpio lists names and metadata", async (context) => {
  needPrograms(context, "cpio");
  const lines = run("cpio", ["--list", "--verbose", "--numeric-uid-gid", "--quiet"], {
    input: await archive(sample.slice(0, -1)),
    env: { TZ: "UTC" },
  });
  expect(
    lines
      .trimEnd()
      .split("\n")
      .map((line) => line.replaceAll(/ +/g, " ")),
  ).toEqual([
    "crw------- 1 0 0 5, 1 Nov 14 2023 console",
    "drwxr-xr-t 2 1000 4000000000 0 Nov 14 2023 d",
    "-rw-r--r-- 3 0 0 0 Nov 14 2023 b",
    "-rw-r--r-- 3 0 0 0 Nov 14 2023 a",
    "-rw-r--r-- 3 0 0 6 Nov 14 2023 d/c",
    "-rwsr-xr-x 1 0 0 10 Nov 14 2023 d/init",
    "brw-r--r-- 1 0 0 254, 70000 Nov 14 2023 disk",
    "-rw-r--r-- 1 0 0 0 Nov 14 2023 empty",
    "lrwxrwxrwx 1 0 0 6 Nov 14 2023 link -> d/init",
    "prw-r--r-- 1 0 0 0 Jan 1 1970 pipe",
  ]);
});

test("trees of any names, sizes and links have GNU cpio's bytes", async (context) => {
  needRoot(context);
  needPrograms(context, "cpio");
  const name = fc.stringMatching(/^[a-z0-9.\- ü]{1,40}$/u).filter((value) => value !== "." && value !== "..");
  const entry = fc.record({
    name,
    kind: fc.constantFrom("file", "directory", "symlink", "link"),
    size: fc.nat(3000),
  });
  const entries = fc.uniqueArray(entry, { minLength: 1, maxLength: 12, selector: (value) => value.name });
  await fc.assert(
    fc.asyncProperty(entries, async (values) => {
      using folder = temporaryFolder();
      for (const { name: path, kind, size } of values) {
        const place = folder.join(path);
        const first = readdirSync(folder.path).find((other) => lstatSync(folder.join(other)).isFile());
        if (kind === "directory") mkdirSync(place);
        else if (kind === "symlink") symlinkSync(path.repeat(3), place);
        else if (kind === "link" && first !== undefined) linkSync(folder.join(first), place);
        else writeFileSync(place, randomBytes(size, path));
        lutimesSync(place, size, size);
      }
      const names = readdirSync(folder.path, { encoding: "buffer" }).sort((a, b) => a.compare(b));
      const ours = await archive(
        names.map((path): CpioEntry => {
          const place = Buffer.concat([Buffer.from(folder.join("/")), path]);
          const stat = lstatSync(place);
          const rest = { path, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtimeMs / 1000 };
          if (stat.isDirectory()) return { ...rest, kind: "directory" };
          if (stat.isSymbolicLink()) return { ...rest, kind: "symlink", target: readlinkSync(place, "buffer") };
          const linked = stat.nlink === 1 ? {} : { hardLink: { id: String(stat.ino), count: stat.nlink } };
          return file(path, readFileSync(place), { ...rest, ...linked });
        }),
      );
      expect(ours.equals(gnuCpio(folder.path))).toBe(true);
    }),
    { numRuns: 15 },
  );
});

test("a file whose other names are not in the archive keeps its content", async (context) => {
  needPrograms(context, "cpio");
  using folder = temporaryFolder();
  const input = await archive([file("x", text("linked"), { hardLink }), file("y", text("linked"), { hardLink })]);
  run("cpio", ["--extract", "--quiet"], { cwd: folder.path, input });
  expect(["x", "y"].map((path) => readFileSync(folder.join(path), "utf8"))).toEqual(["linked", "linked"]);
});

test("archives can follow each other, as early microcode and an initial RAM disk do", async (context) => {
  needPrograms(context, "cpio");
  using folder = temporaryFolder();
  const first = await archive([file("first", text("1"))]);
  const second = await archive([file("second", text("2"))]);
  writeFileSync(folder.join("both"), Buffer.concat([first, second]));
  const list = "cpio --list --quiet; cpio --list --quiet";
  expect(run("sh", ["-c", `{ ${list}; } < both`], { cwd: folder.path })).toBe("first\nsecond\n");
});

test("times that the format has no room for become the nearest it has", async () => {
  const times: string[] = [];
  for (const mtime of [-1, 1.9, 2 ** 40])
    times.push((await archive([file("x", text(""), { mtime })])).toString("latin1", 46, 54));
  expect(times).toEqual(["00000000", "00000001", "FFFFFFFF"]);
});

test("what cpio cannot say is refused", async () => {
  const plain = file("x", text(""));
  for (const entry of [
    { ...plain, path: text("/etc/passwd") },
    { ...plain, path: text("") },
    { ...plain, path: text("a\0b") },
    { ...plain, path: text("TRAILER!!!") },
    { ...plain, mode: 0o10000 },
    { ...plain, uid: -1 },
    { ...plain, gid: 2 ** 32 },
    { ...plain, mtime: Number.NaN },
    { ...plain, size: 2 ** 32 },
    { ...plain, hardLink: { id: "x", count: 1 } },
    { ...plain, kind: "symlink", target: text("") } as CpioEntry,
    { ...plain, kind: "block-device", major: -1, minor: 0 } as CpioEntry,
  ])
    await expect(archive([entry])).rejects.toMatchObject({ code: "cpio-entry-invalid" });
  for (const size of [0, 5])
    await expect(archive([{ ...plain, size, content: [text("abc")] }])).rejects.toMatchObject({
      code: "cpio-size-changed",
    });
});
