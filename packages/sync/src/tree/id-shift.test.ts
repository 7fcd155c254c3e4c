import { chownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defaultArchiveFlags } from "@imgtool/catar";
import { getXattr, setXattr } from "@imgtool/host";
import { needPrograms, needRoot, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makePlainFixture } from "../../test/trees.ts";
import { digestTree } from "./digest-tree.ts";
import { extractTree } from "./extract-tree.ts";
import { type IdShift, shiftDown, shiftOfDirectory, shiftUp } from "./id-shift.ts";
import { makeArchive } from "./make-tree.ts";
import { mtreeLines } from "./mtree.ts";
import { formatStatus, statTree } from "./stat.ts";

const metadata = { mode: 0o100_644, uid: 65_537, gid: 131_071, mtime: 0n };

test("ids move down into an archive and up out of it", () => {
  const ids: IdShift = { shift: 65_536, range: 65_536 };
  const acl = { users: [{ id: 65_538, permissions: 6 }], groups: [{ id: 5, permissions: 4 }] };
  expect(shiftDown({ ...metadata, acl, defaultAcl: acl }, ids)).toMatchObject({
    uid: 1,
    gid: 65_535,
    acl: { users: [{ id: 2 }], groups: [{ id: 5 }] },
    defaultAcl: { users: [{ id: 2 }] },
  });
  expect(() => shiftDown({ ...metadata, gid: 65_535 }, ids)).toThrow(
    expect.objectContaining({ code: "id-below-shift", data: { found: 65_535, expected: 65_536 } }),
  );
  expect(shiftDown({ ...metadata, gid: 65_535 }, { ...ids, wraps: true })).toMatchObject({ uid: 1, gid: 65_535 });
  expect([shiftUp(1, ids), shiftUp(65_537, ids), shiftUp(7, undefined)]).toEqual([65_537, 65_537, 7]);
});

/** Owner and access control list of every entry. */
function owners(root: string): readonly string[] {
  return ["", ...readdirSync(root, { recursive: true, encoding: "latin1" })].sort().map((name) => {
    const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")]);
    const { uid, gid } = lstatSync(path);
    const acl = lstatSync(path).isSymbolicLink() ? undefined : getXattr(path, "system.posix_acl_access");
    return `${name} ${uid} ${gid} ${acl?.toString("hex") ?? ""}`;
  });
}

test("archives and trees of containers are casync's", async (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = makePlainFixture(folder.join("tree"));
  const ids = { ".": 65_536, a: 65_537, b: 100_000, "b/c": 131_070, fifo: 70_000 };
  run("chown", ["-Rh", "65536:65540", tree]);
  for (const [name, id] of Object.entries(ids)) chownSync(join(tree, name), id, 65_536);
  // user::rw- user:65538:rw- group::r-- mask::rw- other::r--
  const acl = "0200000001000600ffffffff020006000200010004000400ffffffff10000600ffffffff20000400ffffffff";
  setXattr(join(tree, "a"), "system.posix_acl_access", Buffer.from(acl, "hex"));

  const shifts: readonly (readonly [readonly string[], IdShift])[] = [
    [["--uid-shift=65536"], { shift: 65_536, range: 65_536 }],
    [["--uid-shift=yes"], { shift: shiftOfDirectory(tree), range: 65_536 }],
    [["--uid-shift=1", "--uid-range=1000"], { shift: 1, range: 1000 }],
    [["--uid-range=65536"], { shift: 0, range: 65_536 }],
  ];
  for (const [options, idShift] of shifts) {
    const ours = await digestTree({ directory: tree, flags: defaultArchiveFlags, idShift });
    expect([options, ours]).toEqual([options, run("casync", [...options, "digest", tree]).trim()]);
    const shifted = { directory: tree, flags: defaultArchiveFlags, idShift };
    const status = `${formatStatus(await statTree(shifted))}\n`;
    expect([options, status]).toEqual([options, run("casync", [...options, "stat", tree])]);
    const lines: string[] = [];
    for await (const line of mtreeLines(shifted)) lines.push(`${line}\n`);
    expect([options, lines.join("").replaceAll(/ (flags|time)=.*/g, "")]).toEqual([
      options,
      // casync calls every attribute of links and special nodes set: manifest.test.ts has them.
      run("casync", [...options, "mtree", tree]).replaceAll(/ (flags|time)=.*/g, ""),
    ]);
  }
  const below = { directory: tree, idShift: { shift: 65_537, range: 65_536 } };
  await expect(digestTree(below)).rejects.toThrow(expect.objectContaining({ code: "id-below-shift" }));
  expect(tryRun("casync", ["--uid-shift=65537", "digest", tree]).status).not.toBe(0);

  const archive = folder.join("x.catar");
  await makeArchive({ source: tree, output: archive, idShift: { shift: 65_536, range: 65_536 } });
  const idShift = { shift: 131_072, range: 65_536 };
  await extractTree({ source: { archive }, target: folder.join("ours"), idShift });
  run("casync", ["extract", "--uid-shift=131072", archive, folder.join("theirs")]);
  expect(owners(folder.join("ours"))).toEqual(owners(folder.join("theirs")));
  expect(lstatSync(folder.join("ours", "a")).uid).toBe(131_073);
});

test("owners that are known here by name are not shifted, as in casync", async (context) => {
  needPrograms(context, "casync");
  needRoot(context);
  using folder = temporaryFolder();
  const tree = makePlainFixture(folder.join("tree"));
  chownSync(join(tree, "a"), 1, 1);
  await makeArchive({ source: tree, output: folder.join("x.catar") });
  const source = { archive: folder.join("x.catar") };
  await extractTree({ source, target: folder.join("ours"), idShift: { shift: 65_536, range: 65_536 } });
  run("casync", ["extract", "--uid-shift=65536", source.archive, folder.join("theirs")]);
  expect(owners(folder.join("ours"))).toEqual(owners(folder.join("theirs")));
});
