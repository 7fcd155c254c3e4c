/**
 * What of an archive's metadata is restored, where not all of it is wanted.
 * @module
 */
import { type CatarNode, features, reduceMetadata, timeMask } from "@imgtool/catar";

/** Features of which an archive records one: whoever wants a coarser form gets the one that is there, as of casync. */
const groups = [timeMask, features["32bit-uids"] | features["16bit-uids"]];

/** Modes are recorded by either. */
const modes = features.permissions | features.acl;

/**
 * The feature flags that are restored of an archive.
 * @param recorded the archive's
 * @param wanted those asked for
 */
export function restoredFlags(recorded: bigint, wanted: bigint): bigint {
  let flags = recorded & wanted;
  for (const group of groups) if ((wanted & group) !== 0n) flags |= recorded & group;
  if ((wanted & modes) !== 0n && (recorded & modes) !== 0n) flags |= features.permissions;
  return flags;
}

/** A node without the metadata that is not restored. Its mode stays: what is made of it is restore.ts's to say. */
export function restoredNode(node: CatarNode, flags: bigint): CatarNode {
  return { ...node, metadata: { ...reduceMetadata(node, flags), mode: node.metadata.mode } };
}
