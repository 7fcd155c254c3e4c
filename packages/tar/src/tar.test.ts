import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { needPrograms, needRoot, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeHeader, encodeTar, type TarEntry } from "./index.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function archive(entries: readonly TarEntry[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of encodeTar(entries)) parts.push(bytes);
  return Buffer.concat(parts);
}

function file(path: Uint8Array | string, bytes: Uint8Array, rest: Partial<TarEntry> = {}): TarEntry {
  const common = { path: typeof path === "string" ? text(path) : path, mode: 0o644, uid: 0, gid: 0, mtime: 0n };
  return { ...common, ...rest, kind: "file", size: bytes.length, content: [bytes] };
}

const wrong = (rest: object): TarEntry => ({ ...file("x", text("")), ...rest });

const sample: readonly TarEntry[] = [
  { kind: "directory", path: text("./"), mode: 0o755, uid: 0, gid: 0, mtime: 0n },
  file("./plain", text("hello\n"), { mode: 0o4755, uid: 1, gid: 2, mtime: 1_700_000_000_123_456_789n }),
  file(`./${"long/".repeat(40)}name`, text("far down"), { mtime: 1_700_000_000_000_000_000n }),
  file(Uint8Array.of(0x2e, 0x2f, 0xff, 0xfe, 0x6e), text("not UTF-8")),
  file("./big-ids", text(""), { uid: 4_000_000_000, gid: 3_000_000_000 }),
  file("./old", text(""), { mtime: -2_000_000_000n }),
  { kind: "symlink", path: text("./link"), target: text("t".repeat(150)), mode: 0o777, uid: 0, gid: 0, mtime: 0n },
  { kind: "hardlink", path: text("./again"), target: text("./plain"), mode: 0o4755, uid: 1, gid: 2, mtime: 0n },
  { kind: "character-device", path: text("./null"), mode: 0o666, uid: 0, gid: 0, mtime: 0n, major: 1, minor: 3 },
  { kind: "block-device", path: text("./disk"), mode: 0o660, uid: 0, gid: 6, mtime: 0n, major: 254, minor: 70_000 },
  { kind: "fifo", path: text("./pipe"), mode: 0o600, uid: 0, gid: 0, mtime: 0n },
];

test("the bytes of an archive are what they always were", async () => {
  const bytes = await archive(sample);
  expect(bytes.length % 10_240).toBe(0);
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(
    "710bc5294ca2d5e32cd38407c89a5d39116c88b9903e70b6b590d41de87e791d",
  );
  expect(await archive(sample)).toEqual(bytes);
});

test("GNU tar lists every entry with its metadata", async (context) => {
  needPrograms(context, "tar");
  const args = ["--list", "--verbose", "--numeric-owner", "--full-time", "--utc", "--quoting-style=escape"];
  const lines = run("tar", args, { input: await archive(sample) })
    .trimEnd()
    .split("\n");
  expect(lines.map((line) => line.replace(/ +/g, " "))).toEqual([
    "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 ./",
    "-rwsr-xr-x 1/2 6 2023-11-14 22:13:20.123456789 ./plain",
    `-rw-r--r-- 0/0 8 2023-11-14 22:13:20 ./${"long/".repeat(40)}name`,
    "-rw-r--r-- 0/0 9 1970-01-01 00:00:00 ./\\377\\376n",
    "-rw-r--r-- 4000000000/3000000000 0 1970-01-01 00:00:00 ./big-ids",
    "-rw-r--r-- 0/0 0 1969-12-31 23:59:58 ./old",
    `lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 ./link -> ${"t".repeat(150)}`,
    "hrwsr-xr-x 1/2 0 1970-01-01 00:00:00 ./again link to ./plain",
    "crw-rw-rw- 0/0 1,3 1970-01-01 00:00:00 ./null",
    "brw-rw---- 0/6 254,70000 1970-01-01 00:00:00 ./disk",
    "prw------- 0/0 0 1970-01-01 00:00:00 ./pipe",
  ]);
});

test("GNU tar extracts entries with equal content, owners, modes, times and attributes", async (context) => {
  needRoot(context);
  needPrograms(context, "tar", "getfattr");
  using folder = temporaryFolder();
  const withAttributes = file("./attributes", text("x"), {
    xattrs: [
      { name: "user.zero", value: Uint8Array.of(0, 1, 10, 255) },
      { name: "user.a=b%c", value: text("odd name") },
    ],
  });
  const [root, plain] = sample;
  if (root === undefined || plain === undefined) throw new Error("no sample");
  const input = await archive([root, plain, ...sample.slice(7), withAttributes]);
  run("tar", ["--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C", folder.path], { input });
  const plainStat = lstatSync(folder.join("plain"), { bigint: true });
  expect(plainStat).toMatchObject({
    mode: 0o104755n,
    uid: 1n,
    gid: 2n,
    mtimeNs: 1_700_000_000_123_456_789n,
    nlink: 2n,
  });
  expect(lstatSync(folder.join("again")).ino).toBe(Number(plainStat.ino));
  expect(lstatSync(folder.join("null"))).toMatchObject({ mode: 0o020666, rdev: (1 << 8) | 3 });
  const attributes = run("getfattr", ["--absolute-names", "-d", "-e", "hex", folder.join("attributes")]);
  expect(attributes).toContain("user.zero=0x00010aff");
  expect(attributes).toContain("user.a\\075b%c=0x");
});

test("any names, sizes and times survive GNU tar", async (context) => {
  needRoot(context);
  needPrograms(context, "tar");
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 200 })
    .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f) && !(bytes[0] === 0x2e && bytes.length < 3));
  const entry = fc.record({
    name,
    target: fc.option(name),
    size: fc.nat(3000),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 0xffff_fffe }),
    gid: fc.integer({ min: 0, max: 0xffff_fffe }),
    mtime: fc.bigInt(-(2n ** 30n) * 1_000_000_000n, 2n ** 33n * 1_000_000_000n),
  });
  const entries = fc.uniqueArray(entry, { maxLength: 6, selector: (value) => Buffer.from(value.name).toString("hex") });
  await fc.assert(
    fc.asyncProperty(entries, async (values) => {
      using folder = temporaryFolder();
      const input = await archive(
        values.map(({ name, target, size, ...rest }): TarEntry =>
          target === null
            ? file(name, randomBytes(size, String(size)), rest)
            : { ...rest, kind: "symlink", path: name, target, mode: 0o777 },
        ),
      );
      run("tar", ["--extract", "--numeric-owner", "-p", "-C", folder.path], { input });
      expect(readdirSync(folder.path).length).toBe(values.length);
      for (const { name, target, size, mode, uid, gid, mtime } of values) {
        const path = Buffer.concat([Buffer.from(`${folder.path}/`), name]);
        const stat = lstatSync(path, { bigint: true });
        expect([stat.uid, stat.gid, stat.mtimeNs]).toEqual([BigInt(uid), BigInt(gid), mtime]);
        const found = target === null ? readFileSync(path) : readlinkSync(path, "buffer");
        expect(found).toEqual(Buffer.from(target ?? randomBytes(size, String(size))));
        expect(Number(stat.mode) & 0o7777).toBe(target === null ? mode : 0o777);
      }
    }),
    { numRuns: 25 },
  );
});

test("a size past 8 GiB goes to the extended header", () => {
  const header = Buffer.from(encodeHeader({ ...file("x", text("")), size: 9 * 1024 ** 3 } as TarEntry));
  expect(header.length).toBe(3 * 512);
  expect(header.subarray(512, 512 + 19).toString()).toBe("19 size=9663676416\n");
});

test("bsdtar and Python read names that are not UTF-8", async (context) => {
  needPrograms(context, "python3");
  using folder = temporaryFolder();
  writeFileSync(folder.join("a.tar"), await archive(sample));
  const program = `
import sys, tarfile, os
for m in tarfile.open(sys.argv[1]): print(os.fsencode(m.name).hex(), m.uid, m.size)`;
  const listed = execFileSync("python3", ["-c", program, folder.join("a.tar")]).toString();
  expect(listed).toContain(`${Buffer.from([0x2e, 0x2f, 0xff, 0xfe, 0x6e]).toString("hex")} 0 9`);
  expect(listed).toContain(`${Buffer.from("./big-ids").toString("hex")} 4000000000 0`);
});

test("what tar cannot say is refused", async () => {
  for (const entry of [
    wrong({ path: text("/etc/passwd") }),
    wrong({ path: text("") }),
    wrong({ path: text("a\0b") }),
    wrong({ mode: 0o10000 }),
    wrong({ uid: -1 }),
    wrong({ gid: 2 ** 32 }),
    wrong({ size: 1.5 }),
  ])
    expect(() => encodeHeader(entry)).toThrow(expect.objectContaining({ code: "tar-entry-invalid" }) as Error);
  for (const size of [0, 5])
    await expect(archive([wrong({ size, content: [text("abc")] })])).rejects.toMatchObject({
      code: "tar-size-changed",
    });
});
