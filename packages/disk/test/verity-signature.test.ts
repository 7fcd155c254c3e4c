/**
 * Signature partitions, held to systemd-repart 257. `repart-257-signature.txt` is the content, without
 * its zeros, of the third partition that it made of a file of 4 MiB with
 *
 *     [Partition] Type=root CopyBlocks=… Verity=data VerityMatchKey=root
 *     [Partition] Type=root-verity Verity=hash VerityMatchKey=root
 *     [Partition] Type=root-verity-sig Verity=signature VerityMatchKey=root
 *
 * and `--seed=01234567-89ab-cdef-0123-456789abcdef --private-key= --certificate=` of the test key.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { makeSigner } from "@imgtool/cms/node";
import { fromHex } from "@imgtool/core";
import { needPrograms, run, temporaryFolder, testCertificate, testKey, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { defaultDefinitions, makeDisk, type PartitionDefinition } from "../src/index.ts";
import { signRootHash, veritySignatureSize } from "../src/verity-signature.ts";

const signer = makeSigner({ key: Buffer.from(testKey), certificate: Buffer.from(testCertificate) });
const golden = readFileSync(new URL("./repart-257-signature.txt", import.meta.url), "utf8").trimEnd();
const common = { seed: "01234567-89ab-cdef-0123-456789abcdef", architecture: "x86-64", sourceDateEpoch: 1_700_000_000 };
const signed = defaultDefinitions({ format: "erofs", verity: "signed" });

test("a signature partition is systemd-repart's, byte for byte", () => {
  const { rootHash } = JSON.parse(golden) as { rootHash: string };
  const { partition } = signRootHash(fromHex(rootHash), signer);
  expect(partition.length).toBe(veritySignatureSize);
  expect(Buffer.from(partition).toString("latin1")).toBe(golden.padEnd(veritySignatureSize, "\0"));
});

test("a signed disk holds a signature that OpenSSL and systemd-dissect read", async (context) => {
  needPrograms(context, "openssl", "systemd-dissect");
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree/usr/lib"), { recursive: true });
  writeFileSync(folder.join("tree/usr/lib/os-release"), "ID=signed\n");
  const output = folder.join("disk.raw");
  const disk = await makeDisk({
    ...common,
    output,
    tree: folder.join("tree"),
    definitions: signed,
    veritySigner: signer,
  });
  const [data, hash, signature] = disk.partitions;
  // As systemd-repart: its UUID derives from the seed, it has no flags, and it is no larger than it must be.
  expect(signature).toMatchObject({
    type: "root-x86-64-verity-sig",
    label: "root-x86-64-verity-sig",
    uuid: "ca977224-9a98-40c9-bef7-eae884d35446",
    flags: 0n,
    size: veritySignatureSize,
    rootHash: disk.rootHash,
  });
  expect(`${data?.uuid ?? ""}${hash?.uuid ?? ""}`.replaceAll("-", "")).toBe(disk.rootHash);
  const bytes = Buffer.alloc(veritySignatureSize);
  const file = openSync(output, "r");
  readSync(file, bytes, 0, bytes.length, signature?.offset ?? 0);
  closeSync(file);
  const content = JSON.parse(bytes.toString("utf8").replace(/\0+$/, "")) as Record<string, string>;
  expect(content["rootHash"]).toBe(disk.rootHash);
  expect(Buffer.from(content["signature"] ?? "", "base64").equals(disk.rootHashSignature ?? Buffer.alloc(0))).toBe(
    true,
  );

  writeFileSync(folder.join("crt"), testCertificate);
  writeFileSync(folder.join("p7s"), disk.rootHashSignature ?? "");
  writeFileSync(folder.join("roothash"), disk.rootHash ?? "");
  const verify = ["smime", "-verify", "-inform", "DER", "-in", folder.join("p7s"), "-CAfile", folder.join("crt")];
  run("openssl", [...verify, "-binary", "-content", folder.join("roothash"), "-out", folder.join("out")]);

  const dissected = tryRun("systemd-dissect", ["--json=short", "--no-pager", output]);
  if (dissected.status !== 0) context.skip(`systemd-dissect cannot work here: ${dissected.stderr.slice(0, 100)}`);
  expect(dissected.stdout.toString("utf8")).toMatch(/"verity":"signed"/);
});

test("two signed disks of the same tree are the same", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("tree"));
  for (const name of ["a", "b"])
    await makeDisk({
      ...common,
      output: folder.join(name),
      tree: folder.join("tree"),
      definitions: signed,
      veritySigner: signer,
    });
  expect(readFileSync(folder.join("a")).equals(readFileSync(folder.join("b")))).toBe(true);
});

test("a signature without a key is refused before anything is made", async () => {
  using folder = temporaryFolder();
  const made = makeDisk({ ...common, output: folder.join("disk"), tree: folder.join("no tree"), definitions: signed });
  await expect(made).rejects.toMatchObject({ code: "verity-signer-missing", exitCode: 2 });
});

const [data, hash, signature] = signed as [PartitionDefinition, PartitionDefinition, PartitionDefinition];
test.for([
  ["two signatures of one tree", [data, hash, signature, signature], /at most one partition with Verity=signature/],
  ["a signature without data", [signature], /expected one partition with Verity=data/],
  ["a signature without a hash tree", [data, signature], /expected one partition with Verity=hash/],
  [
    "a signature with a file system",
    [data, hash, { ...signature, format: "ext4" }],
    /a signature partition has no Format=/,
  ],
] as const)("%s: refused", async ([, definitions, message]) => {
  using folder = temporaryFolder();
  const made = makeDisk({
    ...common,
    output: folder.join("disk"),
    tree: folder.path,
    definitions,
    veritySigner: signer,
  });
  await expect(made).rejects.toThrow(message);
});
