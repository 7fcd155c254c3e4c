/** Signed PE files, judged by sbsigntool, osslsigncode, and by what must be refused. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { makeSigner } from "@imgtool/cms/node";
import { FormatError } from "@imgtool/core";
import { needPrograms, run, temporaryFolder, testCertificate, testKey, tryRun } from "@imgtool/testkit";
import { assert, integer, nat, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { layoutAuthenticode } from "../src/authenticode.ts";
import { PeChecksum } from "../src/pe-checksum.ts";
import { peFileDigest, signPeFile } from "../src/sign-file.ts";
import { samplePe, type SampleSection } from "./sample-pe.ts";

const signer = makeSigner({ key: Buffer.from(testKey), certificate: Buffer.from(testCertificate) });
const bootLoader = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
/** Where the header of a sample has the checksum and the security directory. */
const checksumAt = samplePe([]).checksumOffset;
const securityAt = samplePe([]).securityOffset;

const sections: readonly SampleSection[] = [
  { name: ".text", content: Buffer.alloc(700, "text") },
  { name: ".osrel", content: Buffer.from("ID=test\n") },
];

test.for([
  ["whose sections are all there is", 0],
  ["with a byte behind its sections", 1],
  ["with 8 bytes behind its sections", 8],
  ["with 1001 bytes behind its sections", 1001],
  ["that is systemd-boot", undefined],
] as const)("a file %s gets a signature as sbsign's", async ([, extra], context) => {
  needPrograms(context, "sbsign", "sbverify", "osslsigncode");
  if (extra === undefined && !existsSync(bootLoader)) context.skip(`needs ${bootLoader}`);
  using folder = temporaryFolder();
  const at = (name: string): string => folder.join(name);
  writeFileSync(at("key"), testKey);
  writeFileSync(at("crt"), testCertificate);
  const plain = at("plain");
  if (extra === undefined) copyFileSync(bootLoader, plain);
  else writeFileSync(plain, Buffer.concat([samplePe(sections).bytes, Buffer.alloc(extra, "x")]));

  copyFileSync(plain, at("ours"));
  await signPeFile(at("ours"), { signer });
  run("sbverify", ["--cert", at("crt"), at("ours")]);
  const verdict = run("osslsigncode", ["verify", "-CAfile", at("crt"), at("ours")]);
  expect(verdict).toContain("Signature verification: ok");
  expect(verdict).not.toMatch(/mismatch/i);
  run("sbsign", ["--key", at("key"), "--cert", at("crt"), "--output", at("theirs"), plain]);
  expect(await peFileDigest(at("ours"))).toEqual(await peFileDigest(at("theirs")));
  // sbsign's signature holds the time; before it only its size and what depends on it differ.
  const [ours, theirs] = [readFileSync(at("ours")), readFileSync(at("theirs"))];
  const { image } = layoutAuthenticode(ours, ours.length);
  const neutral = (bytes: Buffer): Buffer => {
    const head = Buffer.from(bytes.subarray(0, image.security.address));
    head.fill(0, image.checksumOffset, image.checksumOffset + 4);
    return head.fill(0, (image.securityOffset ?? 0) + 4, (image.securityOffset ?? 0) + 8);
  };
  expect(neutral(ours).equals(neutral(theirs))).toBe(true);
  // The checksum is sbsign's algorithm: of its file it gives its number.
  const found = theirs.readUInt32LE(image.checksumOffset);
  theirs.fill(0, image.checksumOffset, image.checksumOffset + 4);
  const checksum = new PeChecksum();
  checksum.update(theirs);
  expect(checksum.value).toBe(found);

  copyFileSync(plain, at("again"));
  await signPeFile(at("again"), { signer });
  expect(readFileSync(at("again")).equals(ours)).toBe(true);

  ours[700] = (ours[700] ?? 0) ^ 1;
  writeFileSync(at("ours"), ours);
  expect(tryRun("sbverify", ["--cert", at("crt"), at("ours")]).status).not.toBe(0);
});

test("a signature that is there is refused, or replaced without a trace", async () => {
  using folder = temporaryFolder();
  const path = folder.join("file.efi");
  writeFileSync(path, samplePe(sections).bytes);
  await signPeFile(path, { signer });
  const once = readFileSync(path);
  await expect(signPeFile(path, { signer })).rejects.toThrow(/file\.efi is signed already$/);
  expect(readFileSync(path).equals(once)).toBe(true);
  await signPeFile(path, { signer, existing: "replace" });
  expect(readFileSync(path).equals(once)).toBe(true);
});

test("an aborted signing says so", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("file"), samplePe(sections).bytes);
  await expect(signPeFile(folder.join("file"), { signer, signal: AbortSignal.abort() })).rejects.toThrow(
    expect.objectContaining({ code: "aborted" }),
  );
});

const edits: readonly (readonly [string, (bytes: Buffer) => Buffer, RegExp])[] = [
  ["a gap between sections", () => samplePe(sections, { gap: 512 }).bytes, /what stands before it ends at/],
  ["sections that overlap", () => samplePe(sections, { gap: -512 }).bytes, /what stands before it ends at/],
  ["no room for a signature", () => samplePe(sections, { directories: 4 }).bytes, /no entry for signatures/],
  ["a signature amid the file", (bytes) => security(bytes, 512, 16), /are not the end of the file/],
  ["a signature outside of the file", (bytes) => security(bytes, bytes.length, 16), /outside the file/],
  ["a signature that is not aligned", (bytes) => security(bytes, bytes.length - 4, 4), /are not the end/],
  ["a part of a file", (bytes) => bytes.subarray(0, bytes.length - 1), /outside the file/],
];

/** The file with another entry for signatures. */
function security(bytes: Buffer, address: number, size: number): Buffer {
  const changed = Buffer.concat([bytes, Buffer.alloc(0)]);
  changed.writeUInt32LE(address, securityAt);
  changed.writeUInt32LE(size, securityAt + 4);
  return changed;
}

test.for(edits)("refuses %s and leaves the file as it is", async ([, edit, message]) => {
  using folder = temporaryFolder();
  const path = folder.join("file.efi");
  const bytes = edit(samplePe(sections).bytes);
  writeFileSync(path, bytes);
  const failure = await signPeFile(path, { signer, existing: "replace" }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(FormatError);
  expect(String(failure)).toMatch(message);
  expect(readFileSync(path).equals(bytes)).toBe(true);
});

test("a damaged header gives a layout within the file, or a FormatError", () => {
  const { bytes } = samplePe(sections);
  assert(
    property(
      nat(1023),
      uint8Array({ minLength: 1, maxLength: 4 }),
      integer({ min: 1, max: bytes.length }),
      (at, change, size) => {
        const damaged = Buffer.from(bytes);
        damaged.set(change, at);
        const ranges = ((): readonly { start: number; end: number }[] => {
          try {
            return layoutAuthenticode(damaged.subarray(0, size), size).ranges;
          } catch (error) {
            if (error instanceof FormatError) return [];
            throw error;
          }
        })();
        for (const { start, end } of ranges) expect(start <= end && end <= size).toBe(true);
      },
    ),
    { numRuns: 2000 },
  );
});

test("the digest leaves out the checksum and the entry for signatures, and nothing else", async () => {
  using folder = temporaryFolder();
  const path = folder.join("file");
  const { bytes } = samplePe(sections);
  const digestOf = async (content: Buffer): Promise<string> => {
    writeFileSync(path, content);
    return (await peFileDigest(path)).toString("hex");
  };
  const plain = await digestOf(bytes);
  for (const [at, same] of [
    [checksumAt - 5, false],
    [checksumAt, true],
    [checksumAt + 3, true],
    [checksumAt + 4, false],
    [securityAt, true],
    [securityAt + 3, true],
    [securityAt + 8, false],
    [bytes.length - 1, false],
  ] as const) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 0x01;
    expect((await digestOf(changed)) === plain, `byte ${at}`).toBe(same);
  }
});

test("the checksum is the same however the bytes come", () => {
  assert(
    property(uint8Array({ maxLength: 200 }), nat(100), (bytes, cut) => {
      const whole = new PeChecksum();
      whole.update(bytes);
      const parts = new PeChecksum();
      parts.update(bytes.subarray(0, Math.min(bytes.length & ~1, 2 * cut)));
      parts.update(bytes.subarray(Math.min(bytes.length & ~1, 2 * cut)));
      expect(parts.value).toBe(whole.value);
    }),
  );
});
