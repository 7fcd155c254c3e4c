import { compareBytes } from "@imgtool/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decode, encode, latin1, type Tree } from "../test/collect.ts";
import { compareAclEntries, defaultArchiveFlags, features, featureSets, parseWith, type AclEntry } from "./index.ts";

const name = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f))
  .filter((bytes) => !["46", "46,46"].includes(bytes.join(",")));

const text = fc.string({ minLength: 1, maxLength: 20 }).filter((value) => !value.includes("\0"));

const aclEntries: fc.Arbitrary<AclEntry[]> = fc
  .uniqueArray(
    fc.record({ id: fc.nat(70_000), permissions: fc.nat(7), name: text }, { requiredKeys: ["id", "permissions"] }),
    { selector: (entry) => entry.id, maxLength: 4 },
  )
  .map((entries) => entries.toSorted(compareAclEntries));

const common = {
  uid: fc.nat(0xffff_fffe),
  gid: fc.nat(0xffff_fffe),
  mtime: fc.bigInt({ min: -(1n << 62n), max: 1n << 62n }),
  attributes: fc.constantFrom(0n, features["flag-append"], features["flag-hidden"] | features["flag-noatime"]),
};
const names = { user: text, group: text };
const rich = {
  ...names,
  xattrs: fc
    .uniqueArray(
      fc.record({
        name: name.map((bytes) => latin1(`user.${Buffer.from(bytes).toString("latin1")}`)),
        value: fc.uint8Array(),
      }),
      { selector: (xattr) => Buffer.from(xattr.name).toString("latin1"), minLength: 1, maxLength: 3 },
    )
    .map((xattrs) => xattrs.toSorted((a, b) => compareBytes(a.name, b.name))),
  acl: fc.record({ users: aclEntries, groups: aclEntries, groupObject: fc.nat(7) }),
  selinux: text.map((value) => new TextEncoder().encode(value)),
  projectId: fc.integer({ min: 1, max: 0xffff_ffff }),
};
const keys = Object.keys(common) as (keyof typeof common)[];
const metadata = (type: number, extra: object) =>
  fc
    .tuple(fc.record({ ...common, ...extra }, { requiredKeys: keys }), fc.nat(0o7777))
    .map(([fields, permissions]) => ({ ...fields, mode: type | permissions }));

const file: fc.Arbitrary<Tree> = fc
  .tuple(metadata(0o100_000, { ...rich, capability: fc.uint8Array({ minLength: 20, maxLength: 20 }) }), fc.uint8Array())
  .map(([fields, payload]) => ({
    node: { metadata: fields, content: { kind: "file", size: payload.length } },
    payload,
  }));
const symlink: fc.Arbitrary<Tree> = fc.tuple(metadata(0o120_000, names), name).map(([fields, target]) => ({
  node: { metadata: { ...fields, mode: 0o120_777, attributes: 0n }, content: { kind: "symlink", target } },
}));
const fifo: fc.Arbitrary<Tree> = metadata(0o010_000, names).map((fields) => ({
  node: { metadata: { ...fields, attributes: 0n }, content: { kind: "fifo" } },
}));
const device: fc.Arbitrary<Tree> = fc
  .tuple(metadata(0o060_000, names), fc.nat(0xfff), fc.nat(0xf_ffff))
  .map(([fields, major, minor]) => ({
    node: { metadata: { ...fields, attributes: 0n }, content: { kind: "block", major, minor } },
  }));
const { directory } = fc.letrec<{ directory: Tree; node: Tree }>((tie) => ({
  node: fc.oneof({ depthSize: "small" }, file, symlink, fifo, device, tie("directory")),
  directory: fc
    .tuple(
      metadata(0o040_000, rich),
      fc.uniqueArray(fc.record({ name, tree: tie("node") }), {
        selector: (child) => Buffer.from(child.name).toString("latin1"),
        maxLength: 6,
      }),
    )
    .map(([fields, children]) => ({
      node: { metadata: fields, content: { kind: "directory" } },
      children: children.toSorted((a, b) => compareBytes(a.name, b.name)),
    })),
}));

test("what is encoded decodes to the same tree, however the bytes are cut", () => {
  fc.assert(
    fc.property(
      directory,
      fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 5 }),
      (tree, pieces) => {
        expect(decode(encode(tree, defaultArchiveFlags), pieces)).toEqual(tree);
      },
    ),
    { numRuns: 150 },
  );
});

test("with fewer features the decoder accepts what the encoder reduced, and it is stable", () => {
  const sets = fc.subarray(Object.keys(features));
  fc.assert(
    fc.property(directory, sets, (tree, withNames) => {
      // Kinds of node are left out by whoever walks, so all kinds stay recorded here; 16-bit ids would not fit.
      const flags =
        (parseWith({ with: [...withNames, "symlinks"], without: ["16bit-uids"] }) & ~features["16bit-uids"]) |
        (featureSets.unix & ~(features["16bit-uids"] | features["sec-time"] | features.permissions));
      const archive = encode(tree, flags);
      expect(Buffer.compare(encode(decode(archive), flags), archive)).toBe(0);
    }),
    { numRuns: 100 },
  );
});

test("every cut of an archive is told from a whole one", () => {
  fc.assert(
    fc.property(directory, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (tree, part) => {
      const archive = encode(tree, defaultArchiveFlags);
      const cut = archive.subarray(0, Math.floor(archive.length * part));
      expect(() => decode(cut)).toThrow(expect.objectContaining({ code: "catar-truncated" }));
    }),
    { numRuns: 50 },
  );
});

function outcome(archive: Uint8Array): string {
  try {
    decode(archive);
    return "valid";
  } catch (error) {
    return error instanceof Error ? error.name : "not an error";
  }
}

test("a changed byte is refused as an error of format or leads to another valid tree", () => {
  fc.assert(
    fc.property(directory, fc.nat(), fc.integer({ min: 1, max: 255 }), (tree, place, change) => {
      const archive = encode(tree, defaultArchiveFlags);
      const at = place % archive.length;
      archive[at] = (archive[at] as number) ^ change;
      expect(["valid", "FormatError", "CatarError"]).toContain(outcome(archive));
    }),
    { numRuns: 300 },
  );
});

test("ACL entries that nothing tells apart without ids and names are recorded once", () => {
  const acl = {
    users: [
      { id: 1, permissions: 5 },
      { id: 2, permissions: 5 },
    ],
    groups: [],
    groupObject: 0,
  };
  const metadata = { uid: 0, gid: 0, mtime: 0n, mode: 0o040_755, acl };
  const tree: Tree = { node: { metadata, content: { kind: "directory" } }, children: [] };
  const flags = parseWith({ with: ["user-names", "acl"] });
  expect(decode(encode(tree, flags)).node.metadata.acl?.users).toEqual([{ id: 0, permissions: 5 }]);
});
