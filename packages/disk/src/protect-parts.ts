/** What protects partitions once their content is on the disk: LUKS2, hash trees, signatures of root hashes. */
import type { Signer } from "@imgtool/cms";
import { ConfigError, type Progress } from "@imgtool/core";
import { describeDefinition, verityBlocksOf } from "./definitions.ts";
import { luksUuid, veritySalt, verityUuid } from "./identifiers.ts";
import { encryptFile, formatLuks, luksLabelLimit, luksSectorSize } from "./luks/index.ts";
import { partner, type Part } from "./part.ts";
import type { SparseFile } from "./sparse-file.ts";
import { truncateLabel } from "./truncate-label.ts";
import { makeVerity, veritySize } from "./verity-file.ts";
import { signRootHash, type VeritySignature } from "./verity-signature.ts";

export interface ProtectOptions {
  /** Path of the image. */
  readonly output: string;
  /** UUID that identifiers and salts derive from. */
  readonly seed: string;
  /** Default: "derived". */
  readonly encryptionKeys?: "derived" | "random";
  /** Bytes of the disk's sectors, where they are asked for. */
  readonly sectorSize?: number | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Encrypts what the encrypted partitions hold, and puts LUKS headers before it. */
export async function encryptParts(options: ProtectOptions, parts: readonly Part[], file: SparseFile): Promise<void> {
  for (const { passphrase, placement, identified, prepared, lead } of parts) {
    if (passphrase === undefined || !placement.placed) continue;
    const volume = await formatLuks({
      uuid: luksUuid(identified.uuid),
      label: truncateLabel(identified.label, luksLabelLimit),
      passphrase,
      sectorSize: luksSectorSize,
      keys: options.encryptionKeys ?? "derived",
    });
    for (const { offset, bytes } of volume.header) file.write(placement.offset + offset, bytes);
    file.flush();
    if (prepared === undefined) continue;
    await encryptFile({
      path: options.output,
      offset: placement.offset + lead,
      size: prepared.size,
      volumeKey: volume.volumeKey,
      sectorSize: volume.sectorSize,
      label: identified.label,
      progress: options.progress,
      signal: options.signal,
    });
  }
}

/** Makes the hash trees; the root hash of each data and hash partition. */
export async function hashParts(options: ProtectOptions, parts: readonly Part[]): Promise<Map<Part, Uint8Array>> {
  const hashes = new Map<Part, Uint8Array>();
  for (const [index, part] of parts.entries()) {
    if (part.definition.verity !== "hash" || !part.placement.placed) continue;
    const data = partner(parts, part);
    if (data?.prepared === undefined || !data.placement.placed) continue;
    const dataSize = data.prepared.size;
    const blockSizes = verityBlocksOf(part.definition, options.sectorSize);
    const needed = veritySize(dataSize, blockSizes);
    if (needed > part.placement.size)
      throw new ConfigError(
        `${describeDefinition(part.definition, index)}: the hash tree needs ${needed} bytes, ${needed - part.placement.size} more than the ${part.placement.size} there are`,
        {
          code: "hash-tree-full",
          hint: "raise SizeMinBytes= and SizeMaxBytes=, or set Minimize=best",
          data: { needed, size: part.placement.size, missing: needed - part.placement.size },
        },
      );
    const { rootHash } = await makeVerity({
      data: options.output,
      dataOffset: data.placement.offset,
      dataSize,
      output: options.output,
      outputOffset: part.placement.offset,
      uuid: verityUuid(options.seed),
      salt: veritySalt(options.seed),
      blockSizes,
      progress: options.progress,
      signal: options.signal,
    });
    hashes.set(part, rootHash);
    hashes.set(data, rootHash);
    const signature = parts.find(
      ({ definition }) =>
        definition.verity === "signature" && definition.verityMatchKey === part.definition.verityMatchKey,
    );
    if (signature !== undefined) hashes.set(signature, rootHash);
  }
  return hashes;
}

/** Signs the root hash of each signature partition. */
export function signParts(
  veritySigner: Signer | undefined,
  parts: readonly Part[],
  rootHashes: ReadonlyMap<Part, Uint8Array>,
): Map<Part, VeritySignature> {
  const signatures = new Map<Part, VeritySignature>();
  for (const part of parts) {
    const rootHash = rootHashes.get(part);
    if (part.definition.verity !== "signature" || !part.placement.placed) continue;
    if (rootHash !== undefined && veritySigner !== undefined)
      signatures.set(part, signRootHash(rootHash, veritySigner));
  }
  return signatures;
}
