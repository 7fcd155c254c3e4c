/**
 * Decides everything about a btrfs before a byte is written: the trees, and where each of their nodes is.
 * The extent tree lists its own nodes, and they need space that other trees describe; so these few are
 * laid out again until nothing changes.
 * @module
 */
import { ConfigError, parseUuid } from "@imgtool/core";
import { deriveUuid } from "../../identifiers.ts";
import { walk } from "../../tree/node.ts";
import type { FilesystemOptions } from "../filesystem.ts";
import { compressionTypes, type CompressedTree } from "./compress.ts";
import { encodeEntry, nameHash, planSubvolume, type Copy, type Subvolume, type SubvolumePlan } from "./files.ts";
import {
  chunkItemSize,
  chunkTypes,
  compareItems,
  deviceItemSize,
  encodeChunk,
  encodeDevice,
  encodeInode,
  encodeRoot,
  Fields,
  inodeItemSize,
  nodeSize,
  objects,
  rootItemSize,
  sectorSize,
  stripeLength,
  sumOf,
  types,
  type Chunk,
  type Identity,
  type Item,
} from "./format.ts";
import { alignUp, DataSpace, dataStart, freeRanges, stepOver, systemChunk, type Range } from "./space.ts";
import { TreePlan } from "./tree.ts";

/** Room in the metadata chunk of a file system that can be written to. */
const spareMetadata: number = 4 * 1024 ** 2;
/** It takes three or four. */
const mostRounds = 50;
/** Checksums in one item: as many as fit into a leaf, about. */
const csumsPerItem = 4000;

export interface BtrfsPlan {
  readonly identity: Identity;
  readonly trees: readonly TreePlan[];
  readonly root: TreePlan;
  readonly chunkTree: TreePlan;
  readonly chunks: readonly Chunk[];
  /** Bytes in use. */
  readonly used: number;
  /** Bytes it needs at least. */
  readonly smallest: number;
  readonly copies: readonly Copy[];
  readonly defaultSubvolume: boolean;
  /** There are extents compressed by zstd, perhaps: a kernel must know it. */
  readonly zstd: boolean;
  /** Checksums of the sectors from `dataStart` on; filled in when they are written. */
  readonly csums: Uint32Array;
  /** Bytes of the whole, to be set before the trees are encoded. */
  size: number;
}

/**
 * Plans the smallest file system for a tree; more space may follow behind it.
 * @throws ConfigError `subvolume-missing`, `xattr-too-large`
 */
export function planBtrfs(options: FilesystemOptions, compressed?: CompressedTree): BtrfsPlan {
  const { uuid } = options;
  const identity = {
    uuid,
    chunkTreeUuid: deriveUuid(uuid, "btrfs-chunk-tree"),
    deviceUuid: deriveUuid(uuid, "btrfs-device"),
  };
  const space = new DataSpace();
  const subvolumes = findSubvolumes(options);
  const byRoot = new Map(subvolumes.slice(1).map((subvolume) => [subvolume.root, subvolume]));
  const files = subvolumes.map((subvolume) => planSubvolume(subvolume, byRoot, space, compressed, options.signal));
  const csums = new Uint32Array((space.end - dataStart) / sectorSize);
  const fileTrees = files.map(({ items }, index) => new TreePlan((subvolumes[index] as Subvolume).id, sorted(items)));
  const seconds = options.sourceDateEpoch ?? 0;
  const fixed = [
    ...fileTrees,
    new TreePlan(objects.dataRelocation, relocationItems()),
    new TreePlan(objects.csumTree, csumItems(space.ranges(), csums)),
    new TreePlan(objects.uuidTree, sorted(subvolumes.map(({ id }) => uuidItem(subvolumeUuid(uuid, id), id)))),
  ];
  const defaultId = subvolumes.find(({ path }) => path === (options.defaultSubvolume ?? "/"))?.id;
  if (defaultId === undefined)
    throw new ConfigError(`DefaultSubvolume=${options.defaultSubvolume ?? ""} is not among Subvolumes=`, {
      code: "subvolume-missing",
      data: { path: options.defaultSubvolume },
    });

  const plan: { size: number } = { size: 0 };
  let moving: TreePlan[] = [];
  let counts = [1, 1, 1, 1];
  for (let round = 1; ; round++) {
    if (round > mostRounds) throw new RangeError(`the trees of this file system do not settle in ${mostRounds} rounds`);
    // As many nodes as the round before needed.
    const all: TreePlan[] = [...fixed, ...moving];
    const rootItems = (): Item[] =>
      sorted([
        ...[...fixed, ...moving.slice(0, 3)].map((tree) =>
          rootItem(
            tree,
            subvolumes.find(({ id }) => id === tree.owner),
            uuid,
            seconds,
          ),
        ),
        ...files.flatMap(({ mounts }) => mounts.flatMap((mount) => mountItems(mount))),
        ...rootDirectoryItems(defaultId, seconds),
      ]);
    const rootTree = new TreePlan(objects.rootTree, moving.length > 0 ? rootItems() : placeholderRoot(rootItems(), 3));
    all.push(rootTree);
    const metadata: (Range & { readonly owner: number; readonly level: number })[] = [];
    let next = systemChunk.start;
    const chunkNodes = counts[3] ?? 1;
    const system: Range[] = Array.from({ length: chunkNodes }, (_, index) => ({
      start: next + index * nodeSize,
      length: nodeSize,
    }));
    const metadataStart = space.end;
    next = metadataStart;
    const place = (owner: number, level: number): number => {
      next = stepOver(next, nodeSize);
      metadata.push({ start: next, length: nodeSize, owner, level });
      next += nodeSize;
      return next - nodeSize;
    };
    for (const tree of [...fixed, rootTree])
      for (const node of tree.nodes) node.address = place(tree.owner, node.level);
    // Levels of the moving trees follow from the counts of the last round, when they are right.
    for (const [index, owner] of [objects.extentTree, objects.devTree, objects.freeSpaceTree].entries()) {
      const tree = moving[index];
      for (let node = 0; node < (counts[index] ?? 1); node++) place(owner, tree?.nodes[node]?.level ?? 0);
    }
    const metadataLength =
      alignUp(next - metadataStart, stripeLength) + (options.readOnly === true ? 0 : spareMetadata);
    const chunks: Chunk[] = [
      systemChunk,
      ...space.chunks(),
      { start: metadataStart, length: metadataLength, type: chunkTypes.metadata },
    ];
    const systemNodes = system.map((range, index) => ({
      ...range,
      owner: objects.chunkTree,
      level: moving[3]?.nodes[index]?.level ?? 0,
    }));
    const used = [...systemNodes, ...space.extents, ...metadata].map(({ start, length }) => ({ start, length }));
    used.sort((a, b) => a.start - b.start);
    const rebuilt = [
      new TreePlan(
        objects.extentTree,
        sorted([
          ...[...systemNodes, ...metadata].map((node) => metadataItem(node)),
          ...files.flatMap((one, index) => dataItems(one, (subvolumes[index] as Subvolume).id)),
          ...chunks.map((chunk) => blockGroupItem(chunk, used)),
        ]),
      ),
      new TreePlan(objects.devTree, sorted(chunks.map((chunk) => deviceExtentItem(chunk, identity)))),
      new TreePlan(objects.freeSpaceTree, sorted(chunks.flatMap((chunk) => freeSpaceItems(chunk, used)))),
      new TreePlan(objects.chunkTree, chunkItems(chunks, identity, plan)),
    ];
    const rebuiltCounts = rebuilt.map(({ nodes }) => nodes.length);
    const stable =
      moving.length > 0 &&
      rebuiltCounts.every((count, index) => count === counts[index]) &&
      rebuilt.every(({ nodes }, index) =>
        nodes.every(({ level }, node) => level === moving[index]?.nodes[node]?.level),
      );
    moving = rebuilt;
    counts = rebuiltCounts;
    if (!stable) continue;
    // Now the addresses that the items speak of are those of the nodes.
    const byOwner = (owner: number): number[] =>
      metadata.filter((node) => node.owner === owner).map(({ start }) => start);
    for (const tree of moving.slice(0, 3)) {
      const addresses = byOwner(tree.owner);
      for (const [index, node] of tree.nodes.entries()) node.address = addresses[index] ?? 0;
    }
    const chunkTree = moving[3] as TreePlan;
    for (const [index, node] of chunkTree.nodes.entries()) node.address = system[index]?.start ?? 0;
    const finalRoot = new TreePlan(objects.rootTree, rootItems());
    for (const [index, node] of finalRoot.nodes.entries()) node.address = rootTree.nodes[index]?.address ?? 0;
    return Object.assign(plan, {
      identity,
      trees: [...fixed, ...moving, finalRoot],
      root: finalRoot,
      chunkTree,
      chunks,
      used: sumOf(used.map(({ length }) => length)),
      smallest: metadataStart + metadataLength,
      copies: files.flatMap(({ copies }) => copies),
      defaultSubvolume: defaultId !== objects.fsTree,
      csums,
      zstd: compressed?.type === compressionTypes.zstd,
    });
  }
}

/** Before the first round there are no trees to point to, yet their items take their space. */
function placeholderRoot(items: readonly Item[], missing: number): Item[] {
  const empty = Buffer.alloc(rootItemSize);
  const more = Array.from({ length: missing }, (_, index): Item => {
    return { objectid: 2 + index, type: types.rootItem, offset: 0, size: rootItemSize, content: () => empty };
  });
  return sorted([...items, ...more]);
}

function sorted(items: readonly Item[]): Item[] {
  return [...items].sort(compareItems);
}

/** The top, then the subvolumes in the order of their paths. */
function findSubvolumes(options: FilesystemOptions): Subvolume[] {
  const found: Subvolume[] = [{ id: objects.fsTree, root: options.tree, readOnly: false, path: "/" }];
  const wanted = new Map((options.subvolumes ?? []).map((one) => [one.path.replace(/\/+$/, "") || "/", one]));
  wanted.delete("/");
  for (const { node, path } of walk(options.tree)) {
    const name = `/${path.toString()}`;
    const one = wanted.get(name);
    if (one === undefined || node.kind !== "directory") continue;
    wanted.delete(name);
    found.push({ id: objects.firstFree + found.length - 1, root: node, readOnly: one.readOnly, path: name });
  }
  const [missing] = wanted.keys();
  if (missing !== undefined)
    throw new ConfigError(`Subvolumes=${missing}: the file system has no such directory`, {
      code: "subvolume-missing",
      hint: "copy it with CopyFiles= or make it with MakeDirectories=",
      data: { path: missing },
    });
  return found;
}

function subvolumeUuid(uuid: string, id: number): string {
  return deriveUuid(uuid, `btrfs-subvolume-${id}`);
}

function rootItem(tree: TreePlan, subvolume: Subvolume | undefined, uuid: string, seconds: number): Item {
  const isFiles = subvolume !== undefined;
  const content = (): Uint8Array =>
    encodeRoot({
      address: tree.root.address,
      level: tree.root.level,
      nodes: tree.nodes.length,
      files: isFiles ? { uuid: subvolumeUuid(uuid, subvolume.id), readOnly: subvolume.readOnly, seconds } : undefined,
      directory: isFiles || tree.owner === objects.dataRelocation,
    });
  return { objectid: tree.owner, type: types.rootItem, offset: 0, size: rootItemSize, content };
}

function mountItems({ child, parent, directory, index, name }: SubvolumePlan["mounts"][number]): Item[] {
  const bytes = new Fields(18 + name.length).u64(directory, index).u16(name.length).raw(name).bytes;
  const item = (objectid: number, type: number, offset: number): Item => {
    return { objectid, type, offset, size: bytes.length, content: () => bytes };
  };
  return [item(parent, types.rootRef, child), item(child, types.rootBackref, parent)];
}

function directoryItems(number: number, seconds: number): Item[] {
  const inode = encodeInode({ size: 0, bytes: 0, links: 1, uid: 0, gid: 0, mode: 0o40755, seconds });
  const name = Buffer.from("..");
  const reference = new Fields(12).u64(0).u16(2).raw(name).bytes;
  return [
    { objectid: number, type: types.inodeItem, offset: 0, size: inodeItemSize, content: () => inode },
    { objectid: number, type: types.inodeRef, offset: number, size: reference.length, content: () => reference },
  ];
}

function rootDirectoryItems(defaultId: number, seconds: number): Item[] {
  const name = Buffer.from("default");
  const entry = encodeEntry([defaultId, types.rootItem, -1], 2, name);
  const number = objects.rootDirectory;
  return [
    ...directoryItems(number, seconds),
    { objectid: number, type: types.dirItem, offset: nameHash(name), size: entry.length, content: () => entry },
  ];
}

function relocationItems(): Item[] {
  return directoryItems(objects.firstFree, 0);
}

function csumItems(ranges: readonly Range[], csums: Uint32Array): Item[] {
  const items: Item[] = [];
  for (const { start, length } of ranges) {
    for (let at = 0; at < length; at += csumsPerItem * sectorSize) {
      const address = start + at;
      const count = Math.min(csumsPerItem, (length - at) / sectorSize);
      const first = (address - dataStart) / sectorSize;
      const content = (): Buffer => {
        const fields = new Fields(count * 4);
        for (let sector = 0; sector < count; sector++) fields.u32(csums[first + sector] ?? 0);
        return fields.bytes;
      };
      items.push({ objectid: objects.csums, type: types.csum, offset: address, size: count * 4, content });
    }
  }
  return items;
}

function uuidItem(uuid: string, id: number): Item {
  const bytes = Buffer.from(parseUuid(uuid));
  const value = new Fields(8).u64(id).bytes;
  return {
    objectid: bytes.readBigUInt64LE(0),
    type: types.uuidSubvolume,
    offset: bytes.readBigUInt64LE(8),
    size: 8,
    content: () => value,
  };
}

function metadataItem(node: { readonly start: number; readonly owner: number; readonly level: number }): Item {
  const content = (): Buffer => new Fields(33).u64(1, 1, 2).u8(176).u64(node.owner).bytes;
  return { objectid: node.start, type: types.metadata, offset: node.level, size: 33, content };
}

function dataItems({ references }: SubvolumePlan, tree: number): Item[] {
  return references.map(({ start, length, inode, offset }) => {
    const content = (): Buffer => new Fields(53).u64(1, 1, 1).u8(178).u64(tree, inode, offset).u32(1).bytes;
    return { objectid: start, type: types.extent, offset: length, size: 53, content };
  });
}

function usedWithin(chunk: Chunk, used: readonly Range[]): number {
  return chunk.length - sumOf(freeRanges(chunk, used).map(({ length }) => length));
}

function blockGroupItem(chunk: Chunk, used: readonly Range[]): Item {
  const content = (): Buffer => new Fields(24).u64(usedWithin(chunk, used), objects.firstFree, chunk.type).bytes;
  return { objectid: chunk.start, type: types.blockGroup, offset: chunk.length, size: 24, content };
}

function deviceExtentItem({ start, length }: Chunk, identity: Identity): Item {
  const content = (): Buffer =>
    new Fields(48).u64(objects.chunkTree, objects.firstFree, start, length).raw(parseUuid(identity.chunkTreeUuid))
      .bytes;
  return { objectid: 1, type: types.devExtent, offset: start, size: 48, content };
}

function freeSpaceItems(chunk: Chunk, used: readonly Range[]): Item[] {
  const free = freeRanges(chunk, used);
  const info = new Fields(8).u32(free.length).u32(0).bytes;
  const nothing = Buffer.alloc(0);
  return [
    { objectid: chunk.start, type: types.freeSpaceInfo, offset: chunk.length, size: 8, content: () => info },
    ...free.map(({ start, length }): Item => {
      return { objectid: start, type: types.freeSpaceExtent, offset: length, size: 0, content: () => nothing };
    }),
  ];
}

function chunkItems(chunks: readonly Chunk[], identity: Identity, plan: { readonly size: number }): Item[] {
  return sorted([
    {
      objectid: 1,
      type: types.device,
      offset: 1,
      size: deviceItemSize,
      content: () => encodeDevice(plan.size, chunks, identity),
    },
    ...chunks.map((chunk): Item => {
      const { start } = chunk;
      const content = (): Buffer => encodeChunk(chunk, identity);
      return { objectid: objects.firstFree, type: types.chunk, offset: start, size: chunkItemSize, content };
    }),
  ]);
}
