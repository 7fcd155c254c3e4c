/** Whole disks, judged by the programs that will read them. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync, openSync, readSync, closeSync, statSync } from "node:fs";
import { silentProgress, type Progress } from "@imgtool/core";
import { needPrograms, randomBytes, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { decodeGpt, gptFlags } from "../src/gpt.ts";
import { fileSystemUuid } from "../src/identifiers.ts";
import {
  defaultDefinitions,
  makeDisk,
  type DiskOptions,
  type DiskResult,
  type PartitionDefinition,
} from "../src/index.ts";
import { epoch, makeFixture } from "./fixture.ts";

const seed = "01234567-89ab-cdef-0123-456789abcdef";

async function make(
  tree: string,
  output: string,
  definitions: readonly PartitionDefinition[],
  options: Partial<DiskOptions> = {},
): Promise<DiskResult> {
  const common = { seed, architecture: "x86-64", sourceDateEpoch: epoch };
  return await makeDisk({ ...common, tree, output, definitions, ...options });
}

/** Progress that keeps the warnings. */
function warningsTo(warnings: string[]): Progress {
  return {
    ...silentProgress,
    log: (level, message) => {
      if (level === "warning") warnings.push(message);
    },
  };
}

/** Copies a partition to a file of its own. */
function extract(disk: DiskResult, index: number, path: string): string {
  const { offset, size } = disk.partitions[index] ?? { offset: 0, size: 0 };
  const bytes = Buffer.alloc(size);
  const file = openSync(disk.path, "r");
  readSync(file, bytes, 0, size, offset);
  closeSync(file);
  writeFileSync(path, bytes);
  return path;
}

test.for([
  ["ext4", ["e2fsck", "-fn"]],
  ["erofs", ["fsck.erofs"]],
  ["squashfs", ["unsquashfs", "-s"]],
] as const)(
  "a verified root of %s passes every judge",
  { tags: ["system"] },
  async ([format, [program, ...args]], context) => {
    needPrograms(
      context,
      "sgdisk",
      "veritysetup",
      program,
      "setfattr",
      ...(format === "squashfs" ? ["mksquashfs"] : []),
    );
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    makeFixture(folder.join("tree"));
    const disk = await make(folder.join("tree"), folder.join("disk"), defaultDefinitions({ format, verity: true }));
    expect(run("sgdisk", ["-v", disk.path])).toContain("No problems found");
    const data = extract(disk, 0, folder.join("data"));
    const hash = extract(disk, 1, folder.join("hash"));
    run(program, [...args, data]);
    run("veritysetup", ["verify", data, hash, disk.rootHash ?? ""]);
    // The way a hash tree behind its data is checked.
    writeFileSync(folder.join("both"), Buffer.concat([readFileSync(data), readFileSync(hash)]));
    const both = [
      `--hash-offset=${statSync(data).size}`,
      folder.join("both"),
      folder.join("both"),
      disk.rootHash ?? "",
    ];
    run("veritysetup", ["verify", ...both]);
    const changed = readFileSync(data);
    changed[changed.length - 5000] = (changed[changed.length - 5000] as number) ^ 1;
    writeFileSync(data, changed);
    expect(tryRun("veritysetup", ["verify", data, hash, disk.rootHash ?? ""]).status).not.toBe(0);
    const uuids = disk.partitions.map(({ uuid }) => uuid.replaceAll("-", "")).join("");
    expect(uuids).toBe(disk.rootHash);
  },
);

test("systemd-dissect reads os-release from the image", { tags: ["system"] }, async (context) => {
  needPrograms(context, "systemd-dissect", "setfattr");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  makeFixture(folder.join("tree"), { many: 3 });
  const disk = await make(folder.join("tree"), folder.join("image.raw"), defaultDefinitions({ format: "ext4" }));
  const dissected = tryRun("systemd-dissect", ["--json=short", "--no-pager", disk.path]);
  if (dissected.status !== 0) {
    context.skip(`systemd-dissect cannot work here: ${dissected.stderr.slice(0, 100)}`);
    return;
  }
  const text = dissected.stdout.toString("utf8");
  expect(text).toContain("ID=fixture");
  expect(text).toContain(disk.partitions[0]?.uuid ?? "no partition");
});

test.for(["ext4", "erofs", "squashfs"])(
  "two copies of a tree, made in different order, give the same disk of %s",
  { tags: ["system"] },
  async (format, context) => {
    needPrograms(context, "setfattr", ...(format === "squashfs" ? ["mksquashfs"] : []));
    using folder = temporaryFolder();
    const images: Buffer[] = [];
    for (const reverse of [false, true]) {
      const tree = folder.join(`tree-${reverse}`);
      mkdirSync(tree);
      makeFixture(tree, { reverse, many: 300 });
      const disk = await make(tree, folder.join(`disk-${reverse}`), defaultDefinitions({ format, verity: true }));
      images.push(readFileSync(disk.path));
      // The next one is made in another second.
      await new Promise((resolve) => setTimeout(resolve, 1100));
    }
    expect(images[0]?.equals(images[1] as Buffer)).toBe(true);
  },
);

test("several partitions: selection, mount points, labels, flags, sectors of 4096 bytes", async (context) => {
  needPrograms(context, "debugfs");
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  for (const path of ["home/user", "proc/1", "opt/big", "etc", "var/tmp/x"])
    mkdirSync(`${tree}/${path}`, { recursive: true });
  writeFileSync(`${tree}/home/user/file`, "mine");
  writeFileSync(`${tree}/etc/passwd`, "root");
  const definitions: PartitionDefinition[] = [
    {
      type: "root",
      format: "ext4",
      minimize: "best",
      makeDirectories: ["/made/deep"],
      copyFiles: [{ source: "/", target: "/" }],
      excludeFiles: ["/opt"],
    },
    {
      type: "home",
      format: "ext4",
      copyFiles: [{ source: "/home", target: "/" }],
      readOnly: true,
      sizeMax: 40 * 1024 ** 2,
    },
    { type: "home", format: "empty" },
    { type: "swap", sizeMin: 1024 ** 2, sizeMax: 1024 ** 2 },
  ];
  const disk = await make(tree, folder.join("disk"), definitions, { sectorSize: 4096, size: 200 * 1024 ** 2 });
  const head = Buffer.alloc(32_768);
  const file = openSync(disk.path, "r");
  readSync(file, head, 0, head.length, 0);
  closeSync(file);
  expect(decodeGpt(head, { sectorSize: 4096 }).partitions.map(({ label, flags }) => [label, flags])).toEqual([
    ["root-x86-64", gptFlags.growFileSystem],
    ["home", gptFlags.readOnly],
    ["_empty", gptFlags.growFileSystem | gptFlags.noAuto],
    ["swap", 0n],
  ]);
  const list = (index: number, path: string): string[] =>
    run("debugfs", ["-R", `ls -p ${path}`, extract(disk, index, folder.join("part"))])
      .split("\n")
      .flatMap((line) => line.split("/")[5] ?? [])
      .filter((name) => !/^\.\.?$/.test(name))
      .sort();
  expect(list(0, "/")).toEqual(["etc", "home", "lost+found", "made", "proc", "var"]);
  expect(list(0, "/home")).toEqual([]);
  expect(list(0, "/proc")).toEqual([]);
  expect(list(0, "/var/tmp")).toEqual([]);
  expect(list(0, "/made")).toEqual(["deep"]);
  expect(list(1, "/")).toEqual(["lost+found", "user"]);
  expect(disk.partitions[1]?.size).toBe(40 * 1024 ** 2);
});

test("swap space is what mkswap writes", async (context) => {
  needPrograms(context, "mkswap");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const size = 12 * 1024 ** 2;
  const definitions = [{ type: "swap", format: "swap", label: "a long label of swap", sizeMin: size, sizeMax: size }];
  const disk = await make(folder.join("tree"), folder.join("disk"), definitions);
  const uuid = fileSystemUuid(disk.partitions[0]?.uuid ?? "");
  writeFileSync(folder.join("expected"), Buffer.alloc(size));
  run("mkswap", ["-U", uuid, "-L", "a long label of swap".slice(0, 15), folder.join("expected")]);
  const made = readFileSync(extract(disk, 0, folder.join("made")));
  expect(made.equals(readFileSync(folder.join("expected")))).toBe(true);
});

test("CopyBlocks= is a partition's content, and can be verified", async (context) => {
  needPrograms(context, "veritysetup");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const content = randomBytes(1024 ** 2 + 512, "blocks");
  writeFileSync(folder.join("tree/blocks"), content);
  const disk = await make(folder.join("tree"), folder.join("disk"), [
    { type: "usr", copyBlocks: "/blocks", verity: "data", verityMatchKey: "usr", sizeMin: 10 * 1024 ** 2 },
    { type: "usr-verity", verity: "hash", verityMatchKey: "usr", sizeMin: 1024 ** 2 },
  ]);
  const data = extract(disk, 0, folder.join("data"));
  expect(readFileSync(data).subarray(0, content.length).equals(content)).toBe(true);
  run("veritysetup", ["verify", data, extract(disk, 1, folder.join("hash")), disk.rootHash ?? ""]);
  expect(disk.partitions[0]?.size).toBe(10 * 1024 ** 2);
});

test.for([
  [512, 512],
  [1024, 4096],
  [4096, 512],
  [2048, 1024],
] as const)("veritysetup verifies data blocks of %d and hash blocks of %d bytes", async ([data, hash], context) => {
  needPrograms(context, "veritysetup");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  // More than one thread's share.
  const content = Buffer.alloc(150 * 1024 ** 2);
  content.set(randomBytes(5 * 1024 ** 2, "blocks"), 0);
  content.set(randomBytes(5 * 1024 ** 2, "more"), 100 * 1024 ** 2 + 512);
  writeFileSync(folder.join("tree/blocks"), content);
  const disk = await make(folder.join("tree"), folder.join("disk"), [
    { type: "usr", copyBlocks: "/blocks", verity: "data", verityMatchKey: "usr" },
    {
      type: "usr-verity",
      verity: "hash",
      verityMatchKey: "usr",
      minimize: "best",
      verityDataBlockSize: data,
      verityHashBlockSize: hash,
    },
  ]);
  const [dataFile, hashFile] = [extract(disk, 0, folder.join("data")), extract(disk, 1, folder.join("hash"))];
  run("veritysetup", ["verify", dataFile, hashFile, disk.rootHash ?? ""]);
  const shown = run("veritysetup", ["dump", hashFile]);
  expect(shown).toMatch(new RegExp(String.raw`Data block size:\s+${data}\n`));
  expect(shown).toMatch(new RegExp(String.raw`Hash block size:\s+${hash}\n`));
});

test("Minimize=guess leaves room to write, best none", async (context) => {
  needPrograms(context, "dumpe2fs", "e2fsck", "fsck.fat");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree/file"), randomBytes(40_000_000, "content"));
  const sized = async (definition: Partial<PartitionDefinition>): Promise<{ size: number; free: number }> => {
    const whole = { type: "root", format: "ext4", copyFiles: [{ source: "/", target: "/" }], ...definition };
    const disk = await make(folder.join("tree"), folder.join("disk"), [whole]);
    const path = extract(disk, 0, folder.join("part"));
    const size = disk.partitions[0]?.size ?? 0;
    if (whole.format === "vfat") {
      const [, used, all] = /(\d+)\/(\d+) clusters/.exec(run("fsck.fat", ["-n", path])) ?? [];
      return { size, free: 1 - Number(used) / Number(all) };
    }
    run("e2fsck", ["-fn", path]);
    const [, free] = /^Free blocks: *(\d+)$/m.exec(run("dumpe2fs", ["-h", path])) ?? [];
    return { size, free: (Number(free) * 4096) / size };
  };
  const best = await sized({ minimize: "best" });
  expect(best.free).toBe(0);
  const guess = await sized({ minimize: "guess" });
  expect(guess.free).toBeGreaterThan(0.2);
  expect(guess.size).toBeLessThan(2 * best.size);
  const limit = best.size + 1024 ** 2;
  expect((await sized({ minimize: "guess", sizeMax: limit })).size).toBe(limit);
  expect((await sized({ minimize: "guess", readOnly: true })).free).toBe(0);
  expect((await sized({ minimize: "guess", format: "vfat" })).free).toBeGreaterThan(0.2);
});

test("partitions of xfs grow, know their sectors, and are never too small", { tags: ["system"] }, async (context) => {
  needPrograms(context, "xfs_repair", "xfs_db");
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(`${tree}/srv`, { recursive: true });
  writeFileSync(`${tree}/file`, randomBytes(3 * 1024 ** 2, "file"));
  const definitions: PartitionDefinition[] = [
    { type: "root", format: "xfs", minimize: "best", copyFiles: [{ source: "/", target: "/" }] },
    {
      type: "srv",
      format: "xfs",
      minimize: "guess",
      makeDirectories: ["/x"],
      label: "more-than-twelve",
      growFileSystem: false,
    },
  ];
  const disk = await make(tree, folder.join("disk"), definitions, { sectorSize: 4096 });
  expect(disk.partitions.map(({ size, flags }) => [size, flags])).toEqual([
    [300 * 1024 ** 2, gptFlags.growFileSystem],
    [300 * 1024 ** 2, 0n],
  ]);
  for (const [index, label] of [
    [0, "root-x86-64"],
    [1, "more-than-tw"],
  ] as const) {
    const part = extract(disk, index, folder.join("part"));
    run("xfs_repair", ["-n", part]);
    const shown = run("xfs_db", ["-r", "-c", "sb 0", "-c", "p fname sectsize uuid", part]);
    expect(shown).toContain(`fname = "${label}`);
    expect(shown).toContain("sectsize = 4096");
    expect(shown).toContain(`uuid = ${fileSystemUuid(disk.partitions[index]?.uuid ?? "")}`);
  }
  const small = [{ ...(definitions[0] as PartitionDefinition), sizeMax: 200 * 1024 ** 2 }];
  const warnings: string[] = [];
  const grown = await make(tree, folder.join("small"), small, { progress: warningsTo(warnings) });
  expect(grown.partitions.map(({ size }) => size)).toEqual([300 * 1024 ** 2]);
  expect(warnings.join("\n")).toContain("104857600 bytes more than SizeMaxBytes=");
});

test("a layout of given sizes", async (context) => {
  needPrograms(context, "sgdisk", "veritysetup");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree/home/user"), { recursive: true });
  const mebibyte = 1024 ** 2;
  const sizes = { root: 50 * mebibyte, esp: 40 * mebibyte, swap: mebibyte, home: 33 * mebibyte, srv: 34 * mebibyte };
  const definitions = defaultDefinitions({ format: "ext4", verity: true, esp: true, readOnly: true, sizes });
  const disk = await make(folder.join("tree"), folder.join("disk"), definitions);
  expect(run("sgdisk", ["-v", disk.path])).toContain("No problems found");
  expect(disk.partitions.map(({ type, size, format }) => [type, size / mebibyte, format])).toEqual([
    ["esp", 40, "vfat"],
    ["swap", 1, "swap"],
    ["home", 33, "ext4"],
    ["srv", 34, "ext4"],
    ["root-x86-64", 50, "ext4"],
    ["root-x86-64-verity", 102 / 256, undefined],
  ]);
  const [data, hash] = [4, 5].map((index) => extract(disk, index, folder.join(String(index)))) as [string, string];
  run("veritysetup", ["verify", data, hash, disk.rootHash ?? ""]);
});

test("squashfs is compressed as Compression= says", async (context) => {
  needPrograms(context, "mksquashfs", "unsquashfs");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree/file"), "text ".repeat(100_000));
  const root = {
    type: "root",
    format: "squashfs",
    minimize: "best",
    copyFiles: [{ source: "/", target: "/" }],
  } as const;
  const described = async (definition: Partial<PartitionDefinition>): Promise<string> => {
    const disk = await make(folder.join("tree"), folder.join("disk"), [{ ...root, ...definition }]);
    return run("unsquashfs", ["-s", extract(disk, 0, folder.join("part"))]);
  };
  expect(await described({})).toMatch(/Compression zstd\s+compression-level 6\b/);
  expect(await described({ compression: "xz" })).toContain("Compression xz");
  expect(await described({ compression: "gzip", compressionLevel: 4 })).toMatch(
    /Compression gzip\s+compression-level 4\b/,
  );
  await expect(described({ compression: "brotli" })).rejects.toThrow("squashfs does not know it");
  await expect(described({ compression: "xz", compressionLevel: 3 })).rejects.toThrow("no levels of xz");
  await expect(described({ compression: "gzip", compressionLevel: 12 })).rejects.toThrow("levels from 1 to 9");
});

test("names of split-off partitions", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  const definitions = [
    { type: "root", splitName: "%t-%n%%" },
    { type: "swap", label: "x" },
    { type: "srv", splitName: "-" },
    { type: "root", format: "empty" },
    { type: "home", uuid: seed, splitName: "%U.%T" },
  ];
  const { partitions } = await make(folder.join("tree"), folder.join("disk"), definitions);
  expect(partitions.map(({ splitName }) => splitName)).toEqual([
    "root-x86-64-1%",
    "swap",
    undefined,
    undefined,
    `${seed}.933ac7e1-2eb4-4f13-b844-0e14e2aef915`,
  ]);
});

test("what is needed counts for more than SizeMaxBytes=, and is told of", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree", "file"), randomBytes(3 * 1024 ** 2, "file"));
  const root = { type: "root", format: "erofs", copyFiles: [{ source: "/", target: "/" }] };
  const warnings: string[] = [];
  const definitions: PartitionDefinition[] = [
    { ...root, minimize: "best", sizeMax: 1024 ** 2 },
    { type: "usr", copyBlocks: "/file", sizeMax: 1024 ** 2 },
  ];
  const disk = await make(folder.join("tree"), folder.join("disk"), definitions, { progress: warningsTo(warnings) });
  expect(disk.partitions[1]?.size).toBe(10 * 1024 ** 2);
  expect(warnings).toEqual([
    expect.stringMatching(/^partition 1 \(root\): .* more than SizeMaxBytes=/) as string,
    expect.stringMatching(/^partition 2 \(usr\): .* 9437184 bytes more than SizeMaxBytes=/) as string,
  ]);
});

test.for(["erofs", "squashfs"])("%s without a size has the room that it needs", async (format, context) => {
  needPrograms(context, ...(format === "squashfs" ? ["mksquashfs"] : []));
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree", "file"), randomBytes(3 * 1024 ** 2, "file"));
  const root = { type: "root", format, copyFiles: [{ source: "/", target: "/" }] };
  const others: PartitionDefinition[] = [
    { type: "srv", copyBlocks: "/file" },
    { type: "home", format: "ext4", makeDirectories: ["/x"] },
  ];
  const sizes = async (...definitions: PartitionDefinition[]): Promise<number[]> => {
    const disk = await make(folder.join("tree"), folder.join("disk"), definitions);
    return disk.partitions.map(({ size }) => size);
  };
  const [whole = 0] = await sizes({ ...root, minimize: "best" }, ...others);
  expect(whole).toBeGreaterThan(3 * 1024 ** 2);
  expect(await sizes(root, ...others)).toEqual(await sizes({ ...root, sizeMin: whole }, ...others));
  const verity: Partial<PartitionDefinition> = { verity: "data", verityMatchKey: "root" };
  const hash: PartitionDefinition = { type: "root-verity", verity: "hash", verityMatchKey: "root" };
  // What needs no more than that shares what is free with the hash tree.
  await sizes({ ...root, ...verity }, hash);
  await sizes({ ...root, ...verity, sizeMin: 500 * 1024 ** 2 }, hash);
  await expect(sizes({ ...root, sizeMax: 1024 ** 2 }, ...others)).rejects.toMatchObject({ code: "filesystem-full" });
});

test("what does not fit, and what is not there, says of which partition it is", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree", "file"), Buffer.alloc(3 * 1024 ** 2, 1));
  const make = async (definition: PartitionDefinition): Promise<unknown> =>
    await makeDisk({
      seed,
      architecture: "x86-64",
      tree: folder.join("tree"),
      output: folder.join("disk"),
      definitions: [
        { type: "home", format: "empty" },
        { origin: "20.conf", ...definition },
      ],
    });
  const root = { type: "root", format: "erofs", copyFiles: [{ source: "/", target: "/" }] };
  const small = { sizeMin: 1024 ** 2, sizeMax: 1024 ** 2 };
  await expect(make({ ...root, ...small })).rejects.toThrow(
    /^partition 2 \(root, 20\.conf\): as erofs the tree needs .* \(\d+ bytes\) more than the 1 MiB/,
  );
  await expect(make({ type: "root", copyBlocks: "/gone" })).rejects.toThrow(
    /^partition 2 \(root, 20\.conf\): CopyBlocks=\/gone: it is not in the tree$/,
  );
  await expect(make({ ...root, copyFiles: [{ source: "/gone", target: "/" }] })).rejects.toThrow(
    /^partition 2 \(root, 20\.conf\): CopyFiles=\/gone: it is not in the tree$/,
  );
});

test("errors leave nothing behind", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  writeFileSync(folder.join("tree", "file"), Buffer.alloc(3 * 1024 ** 2, 1));
  writeFileSync(folder.join("tree", "odd"), "odd");
  mkdirSync(folder.join("out"));
  const root = { type: "root", format: "erofs", copyFiles: [{ source: "/", target: "/" }] };
  const small = { sizeMin: 1024 ** 2, sizeMax: 1024 ** 2 };
  const cases: readonly [PartitionDefinition[], Partial<DiskOptions>, string][] = [
    [[{ ...root, ...small }], {}, "filesystem-full"],
    [[{ ...root, minimize: "best" }], { size: 2 * 1024 ** 2 }, "disk-too-small"],
    [[{ ...root, format: "exfat" }], {}, "filesystem-unknown"],
    [[{ ...root, type: "rooot" }], {}, "partition-type-unknown"],
    [[{ ...root, copyFiles: [{ source: "/missing", target: "/" }] }], {}, "copy-source-missing"],
    [[{ ...root, copyFiles: [{ source: "/../etc", target: "/" }] }], {}, "path-invalid"],
    [[{ ...root, verity: "data", verityMatchKey: "a" }], {}, "definition-invalid"],
    [[{ ...root, label: "x".repeat(40) }], {}, "label-too-long"],
    [[{ type: "root", copyBlocks: "/missing" }], {}, "copy-source-missing"],
    [[{ type: "root", copyBlocks: "/odd" }], {}, "copy-blocks-invalid"],
    [[{ type: "root", copyBlocks: "/" }], {}, "copy-blocks-invalid"],
    [[{ ...root, copyBlocks: "/file" }], {}, "definition-invalid"],
    [[{ ...root, format: "swap" }], {}, "definition-invalid"],
    [[{ type: "swap", format: "swap", minimize: "best" }], {}, "definition-invalid"],
    [[], {}, "definition-invalid"],
    [[{ ...root, minimize: "best" }], { signal: AbortSignal.abort() }, "aborted"],
    [
      [
        { ...root, minimize: "best", verity: "data", verityMatchKey: "a" },
        { type: "root-verity", verity: "hash", verityMatchKey: "a", sizeMin: 4096, sizeMax: 4096 },
      ],
      {},
      "hash-tree-full",
    ],
  ];
  for (const [definitions, options, code] of cases) {
    await expect(make(folder.join("tree"), folder.join("out", "disk"), definitions, options)).rejects.toMatchObject({
      code,
    });
    expect([code, ...readdirSync(folder.join("out"))]).toEqual([code]);
  }
});

test("a full disk is an error of the machine and leaves nothing", { tags: ["system"] }, async (context) => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  mkdirSync(folder.join("full"));
  if (tryRun("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder.join("full")]).status !== 0) {
    context.skip("needs to mount a tmpfs");
    return;
  }
  try {
    writeFileSync(folder.join("tree", "file"), Buffer.alloc(5_000_000, 1));
    for (const format of ["ext4", "erofs"]) {
      const made = make(folder.join("tree"), folder.join("full", "disk"), defaultDefinitions({ format, verity: true }));
      await expect(made).rejects.toMatchObject({ code: "no-space", name: "EnvironmentError" });
      expect(readdirSync(folder.join("full"))).toEqual([]);
    }
  } finally {
    run("umount", [folder.join("full")]);
  }
});
