/**
 * Signed policies for what a unified kernel image leaves in a TPM: secrets that are sealed to the key open
 * for every image that the key's owner has signed (systemd-measure(1), systemd-stub(7)).
 *
 * systemd-stub measures the sections into PCR 11, systemd then the phases of the boot. For each phase the
 * policy that PCR 11 has that value is signed (TPM 2.0 Library, part 3, section 23.7, TPM2_PolicyPCR).
 * The bytes are those of ukify 257 with the bank SHA-256.
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Signer } from "@imgtool/cms";
import { concatBytes, fromHex, toHex } from "@imgtool/core";

/** The sections that systemd-stub measures, in its order. `.pcrsig` cannot hold its own digest. */
export const measuredSections: readonly string[] = [
  ".linux",
  ".osrel",
  ".cmdline",
  ".initrd",
  ".ucode",
  ".splash",
  ".dtb",
  ".uname",
  ".sbat",
  ".pcrpkey",
  ".profile",
];

export interface MeasuredSection {
  readonly name: string;
  /** SHA-256 of the content. */
  readonly digest: Uint8Array;
}

const pcr = 11;
/** What systemd measures as the boot goes on, each time after the ones before. */
export const bootPhases: readonly string[] = ["enter-initrd", "leave-initrd", "sysinit", "ready"];

/** The value of PCR 11 when the kernel starts. */
export function expectedPcr(sections: readonly MeasuredSection[]): Uint8Array {
  let value: Uint8Array = new Uint8Array(32);
  for (const name of measuredSections) {
    const section = sections.find((one) => one.name === name);
    if (section === undefined) continue;
    value = extend(extend(value, sha256(ascii(`${name}\0`))), section.digest);
  }
  return value;
}

/**
 * The content of `.pcrsig`: a signed policy for each phase, as JSON.
 * @param sections those of the image; what is not measured has no effect
 */
export function signPcrPolicies(sections: readonly MeasuredSection[], signer: Signer): Uint8Array {
  const fingerprint = toHex(sha256(signer.certificate.subjectPublicKey));
  let value = expectedPcr(sections);
  const signatures = bootPhases.map((phase) => {
    value = extend(value, sha256(ascii(phase)));
    const policy = policyDigest(value);
    return { pcrs: [pcr], pkfp: fingerprint, pol: toHex(policy), sig: base64(signer.sign(policy)) };
  });
  return ascii(spaced({ sha256: signatures }));
}

/** JSON as Python's json.dumps() writes it: in these values colons and commas stand between names and values only. */
function spaced(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('":', '": ')
    .replaceAll(/,(?=["{])/g, ", ");
}

/** TPM2_Extend of one PCR. */
function extend(value: Uint8Array, digest: Uint8Array): Uint8Array {
  return sha256(concatBytes([value, digest]));
}

/** The policy session's digest after TPM2_PolicyPCR: the command, TPML_PCR_SELECTION of PCR 11, the values' digest. */
function policyDigest(value: Uint8Array): Uint8Array {
  const command = fromHex("0000017f");
  const selection = fromHex("00000001000b03000800");
  return sha256(concatBytes([new Uint8Array(32), command, selection, sha256(value)]));
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
