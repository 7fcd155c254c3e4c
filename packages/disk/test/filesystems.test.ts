/** The contract of every file system driver, judged by the file system's own tools and the kernel. */
import { statSync, writeFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { silentProgress } from "@imgtool/core";
import { needPrograms, needRoot, run, temporaryFolder, tryRun, type SkippableContext } from "@imgtool/testkit";
import { describe, expect, test } from "vitest";
import { filesystems, makeFilesystem, scanTree, type MakeFilesystemOptions } from "../src/index.ts";
import { describeTree, epoch, makeFixture, type DescribeOptions, type FixtureOptions } from "./fixture.ts";

interface Contract {
  /** The judge: must exit with 0 for a whole file system. */
  readonly check: readonly [program: string, ...args: string[]];
  readonly describe: DescribeOptions;
  /** The fixed size to try besides 300 MiB. Default: 40 MiB. */
  readonly size?: number;
  readonly fixture?: FixtureOptions;
}

const contracts: Readonly<Record<string, Contract>> = {
  ext4: { check: ["e2fsck", "-fn"], describe: { nanoseconds: true, attributes: "-" } },
  btrfs: { check: ["btrfs", "check", "--check-data-csum"], describe: { nanoseconds: true, attributes: "-" } },
  // No file system of less than 300 MiB; symbolic links of 1023 bytes at most.
  xfs: {
    check: ["xfs_repair", "-n"],
    // All but access lists as it keeps them (trusted.SGI_ACL_FILE).
    describe: { nanoseconds: true, attributes: "^(user|system|security|trusted\\.[a-z])" },
    size: 301 * 1024 ** 2 + 4096,
    fixture: { longestLink: 1023 },
  },
  erofs: { check: ["fsck.erofs"], describe: { nanoseconds: true, attributes: "-" } },
  // No ACLs, no times before 1970, whole seconds: the format's own limits.
  squashfs: {
    check: ["unsquashfs", "-s"],
    describe: { nanoseconds: false, unsigned: true, attributes: "^(user|security|trusted)" },
  },
};

test("squashfs says once that it leaves access control lists out", { tags: ["system"] }, async (context) => {
  needs(context, "squashfs");
  needPrograms(context, "setfacl");
  using folder = temporaryFolder();
  const tree = folder.join("tree");
  mkdirSync(`${tree}/b/c`, { recursive: true });
  const said: string[] = [];
  const progress = {
    ...silentProgress,
    log: (level: string, message: string) => void said.push(`${level}: ${message}`),
  };
  await make("squashfs", tree, folder.path, { progress });
  expect(said).toEqual([]);
  run("setfacl", ["-m", "u:1234:rwx", `${tree}/b/c`]);
  await make("squashfs", tree, folder.path, { progress });
  run("setfacl", ["-d", "-m", "u:1234:rwx", `${tree}/b`]);
  await make("squashfs", tree, folder.path, { progress });
  const begin = "warning: squashfs cannot keep access control lists:";
  expect(said).toEqual([`${begin} that of /b/c is left out`, `${begin} those of 2 paths, /b the first, are left out`]);
});

const uuid = "0a1b2c3d-0011-4233-8455-66778899aabb";

async function make(
  format: string,
  tree: string,
  scratch: string,
  options: Partial<MakeFilesystemOptions> = {},
): Promise<string> {
  const output = `${scratch}/${format}-${Math.random().toString(36).slice(2)}.img`;
  const scanned = await scanTree({ tree, sourceDateEpoch: epoch });
  await makeFilesystem(format, {
    tree: scanned,
    scratch,
    output,
    uuid,
    label: "fixture",
    sourceDateEpoch: epoch,
    ...options,
  });
  return output;
}

function needs(context: SkippableContext, format: string): void {
  const { check } = contracts[format] as Contract;
  needPrograms(context, check[0], "setfattr", "getfattr", ...(filesystems[format]?.tools ?? []));
}

/** Mounts an image through a loop device and describes what the kernel sees; undefined where it cannot. */
function describeMounted(image: string, folder: string, options: DescribeOptions): string[] | undefined {
  mkdirSync(folder);
  if (tryRun("mount", ["-o", "loop,ro", image, folder]).status !== 0) return undefined;
  try {
    return describeTree(folder, options);
  } finally {
    run("umount", [folder]);
  }
}

describe.each(Object.keys(contracts))("%s", (format) => {
  const {
    check,
    describe: describeOptions,
    size: fixedSize = 40 * 1024 ** 2,
    fixture = {},
  } = contracts[format] as Contract;

  test(
    "the same tree made in another order, at another time, gives the same bytes",
    { tags: ["system"] },
    async (context) => {
      needs(context, format);
      using folder = temporaryFolder();
      for (const reverse of [false, true]) {
        mkdirSync(folder.join(String(reverse)));
        makeFixture(folder.join(String(reverse)), { ...fixture, reverse });
      }
      const images: string[] = [];
      for (const tree of ["false", "true"]) images.push(await make(format, folder.join(tree), folder.path));
      expect(run("cmp", images)).toBe("");
    },
  );

  test("its judge finds nothing wrong, at the least size and at a fixed one", { tags: ["system"] }, async (context) => {
    needs(context, format);
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    makeFixture(folder.join("tree"), fixture);
    for (const options of [{ readOnly: true }, {}, { size: fixedSize }, { size: 300 * 1024 ** 2 }]) {
      const image = await make(format, folder.join("tree"), folder.path, options);
      run(check[0], [...check.slice(1), image]);
      expect(statSync(image).size % 4096).toBe(0);
      expect(statSync(image).size).toBe("size" in options ? options.size : statSync(image).size);
    }
  });

  test(
    "the kernel sees every owner, mode, time, link, device, attribute and byte",
    { tags: ["system"] },
    async (context) => {
      needs(context, format);
      needRoot(context);
      using folder = temporaryFolder();
      mkdirSync(folder.join("tree"));
      makeFixture(folder.join("tree"), fixture);
      const image = await make(format, folder.join("tree"), folder.path);
      const mounted = describeMounted(image, folder.join("mounted"), describeOptions);
      if (mounted === undefined) {
        context.skip("needs loop devices and the file system in the kernel");
        return;
      }
      const expected = describeTree(folder.join("tree"), { ...describeOptions, epoch });
      expect(mounted.slice(1)).toEqual(expected.slice(1));
      // mksquashfs 4.5 cannot be told the root's own time.
      const rootTime = format === "squashfs" ? String(epoch) : undefined;
      const [path, mode, owner, time] = JSON.parse(expected[0] ?? "") as string[];
      expect(JSON.parse(mounted[0] ?? "")).toEqual([path, mode, owner, rootTime ?? time, "", "", ""]);
    },
  );

  test("a tree that does not fit is refused with the number of bytes missing", async (context) => {
    needs(context, format);
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    makeFixture(folder.join("tree"), { ...fixture, many: 10 });
    const smallest = statSync(await make(format, folder.join("tree"), folder.path)).size;
    const size = 2 * 1024 ** 2;
    await expect(make(format, folder.join("tree"), folder.path, { size })).rejects.toMatchObject({
      code: "filesystem-full",
      data: { size, needed: smallest, missing: smallest - size },
    });
  });

  test("an empty tree is a whole file system", async (context) => {
    needs(context, format);
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    const image = await make(format, folder.join("tree"), folder.path);
    expect(tryRun(check[0], [...check.slice(1), image]).status).toBe(0);
  });

  test("an interruption ends it", async (context) => {
    needs(context, format);
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    makeFixture(folder.join("tree"), { ...fixture, many: 300 });
    await expect(make(format, folder.join("tree"), folder.path, { signal: AbortSignal.abort() })).rejects.toMatchObject(
      {
        code: "aborted",
      },
    );
  });

  test("a file that shrinks while the image is made is an error", async (context) => {
    needs(context, format);
    using folder = temporaryFolder();
    mkdirSync(folder.join("tree"));
    writeFileSync(folder.join("tree", "file"), "x".repeat(50_000));
    const tree = await scanTree({ tree: folder.join("tree") });
    writeFileSync(folder.join("tree", "file"), "short");
    const output = folder.join("image");
    await expect(makeFilesystem(format, { tree, scratch: folder.path, output, uuid })).rejects.toMatchObject({
      code: "tree-changed",
    });
    expect(statSync(output, { throwIfNoEntry: false })).toBeUndefined();
  });
});

test("an unknown file system is refused with the nearest name", async () => {
  const tree = await scanTree({ tree: import.meta.dirname });
  await expect(makeFilesystem("ext5", { tree, scratch: "/nowhere", output: "/nowhere/x", uuid })).rejects.toMatchObject(
    {
      code: "filesystem-unknown",
      hint: expect.stringContaining('"ext4"') as string,
    },
  );
});
