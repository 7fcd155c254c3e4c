/**
 * The signature of a dm-verity root hash: the content of a verity signature partition (Discoverable
 * Partitions Specification, "Verity") and of a `.roothash.p7s` file. Byte for byte systemd-repart's.
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { signDetached, type Signer } from "@imgtool/cms";
import { toHex } from "@imgtool/core";

/** Bytes of a signature partition. */
export const veritySignatureSize: number = 16 * 1024;

export interface VeritySignature {
  /** The signature, DER: PKCS#7 over the hexadecimal text of the root hash. What a `.roothash.p7s` holds. */
  readonly der: Uint8Array;
  /** The partition's 16 KiB: JSON, padded with zeros. */
  readonly partition: Uint8Array;
}

/**
 * Signs a root hash.
 * @throws RangeError when the certificate is so large that the partition has no room
 */
export function signRootHash(rootHash: Uint8Array, signer: Signer): VeritySignature {
  const der = signDetached(new TextEncoder().encode(toHex(rootHash)), signer);
  const json = JSON.stringify({
    rootHash: toHex(rootHash),
    certificateFingerprint: toHex(sha256(signer.certificate.der)),
    signature: base64(der),
  });
  const partition = new Uint8Array(veritySignatureSize);
  if (json.length >= partition.length)
    throw new RangeError(`a verity signature of ${json.length} bytes, at most ${partition.length - 1} fit`);
  partition.set(new TextEncoder().encode(json));
  return { der, partition };
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
