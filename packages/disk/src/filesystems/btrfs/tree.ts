/**
 * A btrfs tree made at once from its sorted items: leaves filled to the brim, then levels of nodes above
 * them up to one root.
 * @module
 */
import { encodeLeaf, encodeNode, itemSpace, leafRoom, pointersPerNode, type Identity, type Item } from "./format.ts";

interface TreeNodePlan {
  readonly level: number;
  readonly first: Item;
  readonly items: readonly Item[];
  readonly children: readonly TreeNodePlan[];
  address: number;
}

/** Lays out the nodes of a tree; addresses come later. */
export class TreePlan {
  readonly owner: number;
  /** Leaves first, the root last. */
  readonly nodes: readonly TreeNodePlan[];

  constructor(owner: number, items: readonly Item[]) {
    this.owner = owner;
    let level: TreeNodePlan[] = pack(items);
    const nodes = [...level];
    for (let height = 1; level.length > 1; height++) {
      const above: TreeNodePlan[] = [];
      for (let at = 0; at < level.length; at += pointersPerNode) {
        const children = level.slice(at, at + pointersPerNode);
        const first = (children[0] as TreeNodePlan).first;
        above.push({ level: height, first, items: [], children, address: 0 });
      }
      nodes.push(...above);
      level = above;
    }
    this.nodes = nodes;
  }

  get root(): { readonly address: number; readonly level: number } {
    return this.nodes.at(-1) as TreeNodePlan;
  }

  /** Encodes every node. */
  *encode(identity: Identity): Generator<{ readonly address: number; readonly bytes: Buffer }> {
    for (const { address, level, items, children } of this.nodes) {
      const place = { address, owner: this.owner, level, count: level === 0 ? items.length : children.length };
      const bytes = level === 0 ? encodeLeaf(identity, place, items) : encodeNode(identity, place, children);
      yield { address, bytes };
    }
  }
}

function pack(items: readonly Item[]): TreeNodePlan[] {
  const leaves: TreeNodePlan[] = [];
  let start = 0;
  let used = 0;
  const close = (end: number): void => {
    const own = items.slice(start, end);
    // Only a tree without any item has a leaf without a first one; nothing is above that leaf.
    leaves.push({ level: 0, first: own[0] as Item, items: own, children: [], address: 0 });
    start = end;
    used = 0;
  };
  for (const [index, item] of items.entries()) {
    if (used + itemSpace(item) > leafRoom) close(index);
    used += itemSpace(item);
  }
  close(items.length);
  return leaves;
}
