/**
 * What a unified kernel image leaves in a TPM, read back from its file: the values of PCR 11 at each phase of
 * the boot, in every bank, as `systemd-measure calculate --json=short` prints them.
 * @module
 */
import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { throwIfAborted } from "@imgtool/core";
import { bootPhases, measuredSections } from "./pcr-signature.ts";
import { peContentSize, readPe, type PeSection } from "./pe.ts";

/** A value of PCR 11. */
export interface PhaseMeasurement {
  /** The phases up to here, with colons between them. */
  readonly phase: string;
  readonly pcr: 11;
  /** Hexadecimal. */
  readonly hash: string;
}

const banks = ["sha1", "sha256", "sha384", "sha512"] as const;
export type PcrBank = (typeof banks)[number];

const headerBytes = 64 * 1024;
const blockSize = 4 * 1024 ** 2;

/**
 * Measures the image at `path` as the stub measures its first profile.
 * @throws FormatError for what is no PE file
 */
export async function measureUki(path: string, signal?: AbortSignal): Promise<Record<PcrBank, PhaseMeasurement[]>> {
  await using file = await open(path);
  const { size } = await file.stat();
  const head = Buffer.alloc(Math.min(size, headerBytes));
  await file.read(head, 0, head.length, 0);
  const sections = effectiveSections(readPe(head, size).sections);
  const digests = await Promise.all(
    measuredSections.flatMap((name) => {
      const section = sections.get(name);
      return section === undefined ? [] : [digestSection(file, name, section, signal)];
    }),
  );
  const result: Partial<Record<PcrBank, PhaseMeasurement[]>> = {};
  for (const bank of banks) {
    let value: Uint8Array = Buffer.alloc(createHash(bank).digest().length);
    const extend = (digest: Uint8Array): void => {
      value = createHash(bank).update(value).update(digest).digest();
    };
    for (const section of digests) {
      extend(createHash(bank).update(`${section.name}\0`).digest());
      extend(section.digests[bank]);
    }
    result[bank] = bootPhases.map((phase, index) => {
      extend(createHash(bank).update(phase).digest());
      return { phase: bootPhases.slice(0, index + 1).join(":"), pcr: 11, hash: Buffer.from(value).toString("hex") };
    });
  }
  return result as Record<PcrBank, PhaseMeasurement[]>;
}

/** What comes before the second `.profile`: there another way to boot begins. Of one name, the profile's own counts. */
function effectiveSections(sections: readonly PeSection[]): Map<string, PeSection> {
  const found = new Map<string, PeSection>();
  for (const section of sections) {
    if (section.name === ".profile" && found.has(".profile")) break;
    found.set(section.name, section);
  }
  return found;
}

async function digestSection(
  file: FileHandle,
  name: string,
  section: PeSection,
  signal: AbortSignal | undefined,
): Promise<{ name: string; digests: Record<PcrBank, Uint8Array> }> {
  const hashes = banks.map((bank) => createHash(bank));
  const size = peContentSize(section);
  const block = Buffer.alloc(Math.min(size, blockSize));
  for (let at = 0; at < size; at += blockSize) {
    throwIfAborted(signal);
    const { bytesRead } = await file.read(block, 0, Math.min(blockSize, size - at), section.rawOffset + at);
    for (const hash of hashes) hash.update(block.subarray(0, bytesRead));
  }
  const [sha1, sha256, sha384, sha512] = hashes.map((hash) => hash.digest());
  if (sha1 === undefined || sha256 === undefined || sha384 === undefined || sha512 === undefined)
    throw new RangeError("a bank has no digest");
  return { name, digests: { sha1, sha256, sha384, sha512 } };
}
