/**
 * Identifiers that derive from a seed, as systemd-repart(8) derives them: HMAC-SHA256, keyed by the
 * seed, over a constant; the first 16 bytes marked as a version 4 UUID. The same seed and definitions
 * give the same disk.
 * @module
 */
import { formatUuid, parseUuid } from "@imgtool/core";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

function markVersion4(bytes: Uint8Array): Uint8Array {
  const uuid = bytes.slice(0, 16);
  uuid[6] = ((uuid[6] as number) & 0x0f) | 0x40;
  uuid[8] = ((uuid[8] as number) & 0x3f) | 0x80;
  return uuid;
}

/** A UUID keyed by another UUID: HMAC-SHA256(key, message), first half, version 4. */
export function deriveUuid(key: string, message: string | Uint8Array): string {
  const bytes = typeof message === "string" ? new TextEncoder().encode(message) : message;
  return formatUuid(markVersion4(hmac(sha256, parseUuid(key), bytes)));
}

/** The disk's UUID. */
export function diskUuid(seed: string): string {
  return deriveUuid(seed, "disk-uuid");
}

/**
 * A partition's UUID.
 * @param type type UUID
 * @param index how many partitions of that type come before it: 0 for the first
 */
export function partitionUuid(seed: string, type: string, index = 0): string {
  const typeBytes = parseUuid(type);
  if (index === 0) return deriveUuid(seed, typeBytes);
  const message = new Uint8Array(24);
  message.set(typeBytes);
  new DataView(message.buffer).setBigUint64(16, BigInt(index), true);
  return deriveUuid(seed, message);
}

/** The UUID of the file system in a partition, from the partition's derived (or configured) UUID. */
export function fileSystemUuid(partition: string): string {
  return deriveUuid(partition, "file-system-uuid");
}

/** The UUID of the LUKS2 superblock in a partition. */
export function luksUuid(partition: string): string {
  return deriveUuid(partition, "luks-uuid");
}

/** The dm-verity salt: all 32 bytes of the HMAC. */
export function veritySalt(seed: string): Uint8Array {
  return hmac(sha256, parseUuid(seed), new TextEncoder().encode("verity-salt"));
}

/** The UUID in the dm-verity superblock. */
export function verityUuid(seed: string): string {
  return deriveUuid(seed, "verity-uuid");
}

/** The volume id of a FAT file system: the first 4 bytes of its file system UUID, as 8 hexadecimal digits. */
export function fatSerial(fileSystem: string): string {
  return fileSystem.replaceAll("-", "").slice(0, 8).toLowerCase();
}

/** The partition UUIDs that announce a root hash: its first 128 bits for the data, its last for the tree. */
export function verityPartitionUuids(rootHash: Uint8Array): { readonly data: string; readonly hash: string } {
  if (rootHash.length < 32) throw new RangeError(`a root hash has at least 32 bytes, not ${rootHash.length}`);
  return { data: formatUuid(rootHash.slice(0, 16)), hash: formatUuid(rootHash.slice(-16)) };
}
