import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseWith } from "@imgtool/catar";
import { needPrograms, needRoot, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { addRichMetadata, makeFixture, makePlainFixture, plainDigest, plainFlags } from "../../test/trees.ts";
import { digestTree } from "./digest-tree.ts";
import { makeArchive, makeTree } from "./make-tree.ts";

const chunkNames = (store: string): string[] =>
  readdirSync(store, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".cacnk"))
    .sort();

test("a plain tree has the digest that casync computed for it, on any machine", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  const made = await makeArchive({ source, output: folder.join("x.catar"), flags: plainFlags, contentDigest: true });
  expect(made.digest).toBe(plainDigest);
  expect(made.size).toBe(readFileSync(folder.join("x.catar")).length);
  const tree = await makeTree({
    source,
    index: folder.join("x.caidx"),
    store: folder.join("s"),
    flags: plainFlags,
    contentDigest: true,
  });
  expect(tree).toMatchObject({ digest: plainDigest, size: made.size, indexPath: folder.join("x.caidx") });
});

test("casync agrees on the plain digest", (context) => {
  needPrograms(context, "casync");
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  const features = ["permissions", "symlinks", "fifos", "nsec-time"].map((name) => `--with=${name}`);
  expect(run("casync", [...features, "digest", source]).trim()).toBe(plainDigest);
});

test("index, chunks and archive are casync's byte for byte", async (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  addRichMetadata(source);
  const store = folder.join("ours.castr");
  const made = await makeTree({ source, index: folder.join("ours.caidx"), store, contentDigest: true });
  const printed = run("casync", [
    "make",
    folder.join("theirs.caidx"),
    source,
    `--store=${folder.join("theirs.castr")}`,
  ]);
  expect(made.digest).toBe(printed.trim());
  expect(readFileSync(folder.join("ours.caidx")).equals(readFileSync(folder.join("theirs.caidx")))).toBe(true);
  expect(chunkNames(store)).toEqual(chunkNames(folder.join("theirs.castr")));
  expect(made.newChunks).toBe(chunkNames(store).length);

  await makeArchive({ source, output: folder.join("ours.catar") });
  run("casync", ["make", folder.join("theirs.catar"), source]);
  expect(readFileSync(folder.join("ours.catar")).equals(readFileSync(folder.join("theirs.catar")))).toBe(true);

  const again = await makeTree({ source, index: folder.join("again.caidx"), store, contentDigest: true });
  expect(again).toMatchObject({ digest: made.digest, newChunks: 0, newBytes: 0 });
});

test("archives with other features are casync's too", async (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const source = makeFixture(folder.join("tree"));
  addRichMetadata(source);
  const requests: readonly { with?: string[]; without?: string[]; digest?: "sha256" }[] = [
    { with: ["unix"] },
    { with: ["fat"] },
    { with: ["fuse"] },
    { with: ["privileged"] },
    { without: ["privileged"] },
    { without: ["all"] },
    { with: ["read-only", "symlinks", "2sec-time"] },
    { with: ["user-names", "sockets"], digest: "sha256" },
    { without: ["xattrs", "acl"] },
    { with: ["acl", "user-names"] },
    { with: ["acl", "32bit-uids"] },
    { without: ["user-names"] },
    { without: ["32bit-uids", "nsec-time"] },
  ];
  for (const request of requests) {
    const options = [
      ...(request.with ?? []).map((name) => `--with=${name}`),
      ...(request.without ?? []).map((name) => `--without=${name}`),
      ...(request.digest === undefined ? [] : [`--digest=${request.digest}`]),
    ];
    const digest = run("casync", [...options, "digest", source]).trim();
    const ours = await digestTree({ directory: source, flags: parseWith(request) });
    expect(`${options.join(" ")} ${ours}`).toBe(`${options.join(" ")} ${digest}`);
  }
});

test("nodump files are left out by default", async (context) => {
  needPrograms(context, "casync", "chattr");
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  const before = await digestTree({ directory: source, flags: plainFlags });
  writeFileSync(folder.join("tree", "b", "cache"), "not worth keeping");
  try {
    run("chattr", ["+d", folder.join("tree", "b", "cache")]);
  } catch {
    context.skip("needs a file system with chattr attributes for TMPDIR");
  }
  // the folder's time has changed
  const flags = parseWith({ with: ["permissions", "symlinks", "fifos"] });
  const digest = run("casync", ["--with=permissions", "--with=symlinks", "--with=fifos", "digest", source]).trim();
  expect(await digestTree({ directory: source, flags })).toBe(digest);
  expect(await digestTree({ directory: source, flags: plainFlags })).not.toBe(before);
});

test("submounts are left out when asked, and what the kernel shows of itself is empty", (context) => {
  needPrograms(context, "casync", "unshare", "mount");
  needRoot(context);
  using folder = temporaryFolder();
  for (const name of ["ram", "proc", "sys"]) mkdirSync(folder.join("tree", name), { recursive: true });
  for (const name of ["file", "version"]) writeFileSync(folder.join("tree", name), "");
  // No times: the kernel's file systems take the time at which they first show a file, and may forget it.
  const times = ["sec-time", "usec-time", "nsec-time", "2sec-time"];
  const script = `
    import { digestTree } from "@imgtool/sync";
    import { parseWith } from "@imgtool/catar";
    for (const excludeSubmounts of [false, true]) {
      console.log(await digestTree({ directory: process.argv[1], flags: parseWith({ excludeSubmounts, without: ${JSON.stringify(times)} }) }));
    }`;
  const shell = `
    mount -t tmpfs none tree/ram && echo x > tree/ram/inner || exit 77
    mount -t proc none tree/proc && mount -t sysfs none tree/sys || exit 77
    mount --bind /etc/hostname tree/file && mount --bind /proc/version tree/version || exit 77
    for option in no yes; do casync --exclude-submounts=$option ${times.map((name) => `--without=${name}`).join(" ")} digest tree || exit 1; done
    cd "$3" && exec "$0" --conditions=@imgtool/source --input-type=module -e "$1" "$2"`;
  const result = tryRun("unshare", [
    "--mount",
    "sh",
    "-c",
    `cd ${folder.path} && ${shell.trim()}`,
    process.execPath,
    script,
    folder.join("tree"),
    import.meta.dirname,
  ]);
  if (result.status === 77) context.skip(`needs to mount in a namespace: ${result.stderr}`);
  const [all, without, oursAll, oursWithout] = result.stdout.toString().trim().split("\n");
  expect([oursAll, oursWithout]).toEqual([all, without]);
  expect(all).not.toBe(without);
});

test("a source that is missing or no directory is an error, and nothing is left behind", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("file"), "");
  for (const name of ["missing", "file"]) {
    await expect(
      makeTree({ source: folder.join(name), index: folder.join("x.caidx"), store: folder.join("s") }),
    ).rejects.toThrow(expect.objectContaining({ code: "source-missing" }));
    await expect(makeArchive({ source: folder.join(name), output: folder.join("x.catar") })).rejects.toThrow(
      expect.objectContaining({ code: "source-missing" }),
    );
  }
  expect(readdirSync(folder.path).filter((name) => name !== "s")).toEqual(["file"]);
});

test("an abort ends it", async () => {
  using folder = temporaryFolder();
  const source = makePlainFixture(folder.join("tree"));
  const signal = AbortSignal.abort();
  await expect(makeArchive({ source, output: folder.join("x.catar"), signal })).rejects.toThrow(
    expect.objectContaining({ code: "aborted" }),
  );
  expect(readdirSync(folder.path)).toEqual(["tree"]);
});
