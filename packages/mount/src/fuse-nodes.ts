/**
 * The nodes that the kernel knows. Of each only its place is kept, for a tree may have millions; the last
 * ones that were asked for are there with all their metadata.
 * @module
 */
import type { ArchiveBrowser, BrowsedNode, Place } from "@imgtool/sync";
import { rootNode } from "./fuse-protocol.ts";

/** Nodes with metadata, and bytes of extended attributes with which one is not kept. */
const [keptNodes, muchXattr] = [4096, 4096];

interface KnownNode {
  readonly place: Place;
  /** Lookups that the kernel has not taken back. */
  lookups: number;
}

export class FuseNodes {
  readonly #archive: ArchiveBrowser;
  readonly #known = new Map<number, KnownNode>();
  /** The least recently used first. */
  readonly #recent = new Map<number, BrowsedNode>();

  constructor(archive: ArchiveBrowser, root: BrowsedNode) {
    this.#archive = archive;
    this.#known.set(rootNode, { place: root.place, lookups: 1 });
    this.#keep(root);
  }

  /** A node that the kernel knows. @throws what reading the archive throws */
  get(number: number): BrowsedNode | Promise<BrowsedNode> | undefined {
    const recent = this.#recent.get(number);
    if (recent !== undefined) {
      this.#recent.delete(number);
      this.#recent.set(number, recent);
      return recent;
    }
    const known = this.#known.get(number);
    return known === undefined ? undefined : this.#read(known.place);
  }

  /** The kernel is about to be told of a node. */
  remember(node: BrowsedNode): void {
    const number = nodeNumber(node);
    const known = this.#known.get(number);
    if (known === undefined) this.#known.set(number, { place: node.place, lookups: 1 });
    else known.lookups++;
    this.#keep(node);
  }

  /** The kernel takes lookups back. */
  forget(number: number, lookups: number): void {
    const known = this.#known.get(number);
    if (known === undefined || number === rootNode) return;
    known.lookups -= lookups;
    if (known.lookups > 0) return;
    this.#known.delete(number);
    this.#recent.delete(number);
  }

  async #read(place: Place): Promise<BrowsedNode> {
    const node = await this.#archive.node(place);
    this.#keep(node);
    return node;
  }

  #keep(node: BrowsedNode): void {
    let bytes = 0;
    for (const value of node.xattrs.values()) bytes += value.length;
    if (bytes > muchXattr) return;
    this.#recent.set(nodeNumber(node), node);
    const [oldest] = this.#recent.keys();
    if (this.#recent.size > keptNodes && oldest !== undefined) this.#recent.delete(oldest);
  }
}

/** Offsets of ENTRY records are at least 64, but for the root's. */
export function nodeNumber({ id }: BrowsedNode): number {
  return id === 0 ? rootNode : id;
}
