/**
 * The tree of hashes above the leaves of a large directory or of many attributes ("da btree"): its root
 * is the first block, the leaves follow, other nodes stand behind them.
 * @module
 */
import { blockSize, seal, setAddress, setU64, spread, viewOf, type Identity } from "./format.ts";

const nodeMagic = 0x3ebe;
export const hashHeader = 64;
const perNode: number = (blockSize - hashHeader) / 8;

/** The header that leaves and nodes share; `forward` and `back` are blocks of the file, 0 for none. */
export function writeHashHeader(
  bytes: Uint8Array,
  magic: number,
  siblings: { readonly forward: number; readonly back: number },
  { uuid, owner, block }: Identity,
): void {
  const view = viewOf(bytes);
  view.setUint32(0, siblings.forward);
  view.setUint32(4, siblings.back);
  view.setUint16(8, magic);
  setAddress(view, 16, block);
  bytes.set(uuid, 32);
  setU64(view, 48, owner);
}

/** Seals a leaf or a node. */
export function sealHashBlock(bytes: Uint8Array): Uint8Array {
  return seal(bytes, 12);
}

interface HashNode {
  readonly level: number;
  readonly entries: readonly { readonly hash: number; readonly before: number }[];
  readonly forward: number;
  readonly back: number;
}

export interface HashTree {
  /** Blocks of leaves and nodes together. */
  readonly count: number;
  /** First leaf, counted like `base`. */
  readonly firstLeaf: number;
  /** Nodes by their place behind `base`. */
  readonly nodes: ReadonlyMap<number, HashNode>;
}

/**
 * Plans the nodes above leaves.
 * @param hashes the last hash of each leaf
 * @param base block of the file where the root is: a single leaf, or a node
 */
export function planHashTree(hashes: readonly number[], base: number): HashTree {
  const nodes = new Map<number, HashNode>();
  if (hashes.length === 1) return { count: 1, firstLeaf: base, nodes };
  let next = 1 + hashes.length;
  let below = hashes.map((hash, index) => ({ hash, before: base + 1 + index }));
  for (let level = 1; ; level++) {
    const sizes = spread(below.length, perNode);
    const isRoot = sizes.length === 1;
    const first = isRoot ? 0 : next;
    if (!isRoot) next += sizes.length;
    const above: { hash: number; before: number }[] = [];
    let from = 0;
    for (const [index, size] of sizes.entries()) {
      const entries = below.slice(from, from + size);
      from += size;
      const place = first + index;
      const forward = index + 1 < sizes.length ? base + place + 1 : 0;
      nodes.set(place, { level, entries, forward, back: index > 0 ? base + place - 1 : 0 });
      above.push({ hash: entries.at(-1)?.hash ?? 0, before: base + place });
    }
    if (isRoot) return { count: next, firstLeaf: base + 1, nodes };
    below = above;
  }
}

/** Neighbours of a leaf. */
export function leafSiblings(tree: HashTree, index: number, leaves: number): { forward: number; back: number } {
  const at = tree.firstLeaf + index;
  return { forward: index + 1 < leaves ? at + 1 : 0, back: index > 0 ? at - 1 : 0 };
}

export function encodeHashNode(node: HashNode, identity: Identity): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  writeHashHeader(bytes, nodeMagic, node, identity);
  view.setUint16(56, node.entries.length);
  view.setUint16(58, node.level);
  for (const [index, { hash, before }] of node.entries.entries()) {
    view.setUint32(hashHeader + index * 8, hash);
    view.setUint32(hashHeader + index * 8 + 4, before);
  }
  return sealHashBlock(bytes);
}
