/**
 * What the two sides of casync's remote protocol tell in their greeting: what each offers and what it
 * wants to do. Pure.
 * @module
 */
import { FormatError } from "@imgtool/core";

/** Bits of a greeting, under casync's names. */
export const remoteFeatures = {
  readableStore: 0x1n,
  writableStore: 0x2n,
  readableIndex: 0x4n,
  writableIndex: 0x8n,
  readableArchive: 0x10n,
  writableArchive: 0x20n,
  pullChunks: 0x40n,
  pullIndex: 0x80n,
  pullArchive: 0x100n,
  pushChunks: 0x200n,
  pushIndex: 0x400n,
  /** The other side asks for the chunks of the index that was pushed. */
  pushIndexChunks: 0x800n,
  pushArchive: 0x1000n,
} as const;

const allFeatures = 0x1fffn;

/** What is wanted, and what the other side has to offer for it. */
const needs: readonly (readonly [wanted: bigint, offered: bigint, what: string])[] = [
  [remoteFeatures.pullChunks, remoteFeatures.readableStore, "a store to read"],
  [remoteFeatures.pullIndex, remoteFeatures.readableIndex, "an index to read"],
  [remoteFeatures.pullArchive, remoteFeatures.readableArchive, "an archive to read"],
  [remoteFeatures.pushChunks, remoteFeatures.writableStore, "a store to write"],
  [remoteFeatures.pushIndex, remoteFeatures.writableIndex, "an index to write"],
  [remoteFeatures.pushArchive, remoteFeatures.writableArchive, "an archive to write"],
];

/**
 * Checks that each side offers what the other wants, and that there is something to do.
 * @throws FormatError `protocol-features`
 */
export function checkFeatures(local: bigint, remote: bigint): void {
  if ((remote & ~allFeatures) !== 0n || remote === 0n) {
    throw mismatch("greets with features that are not known", "bits of 0x1fff", `0x${remote.toString(16)}`);
  }
  for (const [wanted, offered, what] of needs) {
    if ((local & wanted) !== 0n && (remote & offered) === 0n) throw mismatch("does not offer", what, "none");
    if ((remote & wanted) !== 0n && (local & offered) === 0n) throw mismatch("wants", "nothing of the kind", what);
  }
  const { pushIndex, pushChunks, pushIndexChunks } = remoteFeatures;
  if ((remote & pushIndexChunks) !== 0n && (remote & (pushIndex | pushChunks)) !== (pushIndex | pushChunks)) {
    throw mismatch("pushes the chunks of an index", "the index and the chunks", "not both");
  }
  if (needs.every(([wanted]) => ((local | remote) & wanted) === 0n)) {
    throw mismatch("wants nothing", "something to pull or push", "nothing");
  }
}

function mismatch(what: string, expected: string, found: string): FormatError {
  return new FormatError(`the remote side ${what}: expected ${expected}, found ${found}`, {
    code: "protocol-features",
    hint: "check that both sides name the same index, archive and store",
    data: { expected, found },
  });
}
