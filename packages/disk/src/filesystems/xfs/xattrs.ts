/**
 * Extended attributes: in the inode where they fit ("short form"), else in leaves in the order of the
 * hashes of their names, values that are too large for a leaf in blocks of their own behind them. Access
 * lists are attributes of the root namespace with an encoding of their own.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import type { TreeNode } from "../../tree/node.ts";
import { blockSize, hashName, seal, setAddress, setU64, viewOf, type Identity, type Run } from "./format.ts";
import {
  encodeHashNode,
  leafSiblings,
  planHashTree,
  sealHashBlock,
  writeHashHeader,
  type HashTree,
} from "./hash-tree.ts";

const leafMagic = 0x3bee;
const remoteMagic = 0x5841_524d;
const leafHeader = 80;
const remoteHeader = 56;
const perRemoteBlock: number = blockSize - remoteHeader;
/** Entries larger than three quarters of a block have their value elsewhere. */
const largestLocal: number = (blockSize * 3) / 4;
const longestName = 255;
const largestValue = 65_536;
const localFlag = 1;

/** Namespaces by the prefixes of names, with their bits. */
const namespaces: readonly (readonly [prefix: string, flags: number])[] = [
  ["user.", 0],
  ["trusted.", 2],
  ["security.", 4],
];
const lists: Readonly<Record<string, string>> = {
  "system.posix_acl_access": "SGI_ACL_FILE",
  "system.posix_acl_default": "SGI_ACL_DEFAULT",
};

interface Entry {
  readonly flags: number;
  readonly name: Buffer;
  readonly value: Uint8Array;
}

interface LeafEntry extends Entry {
  readonly hash: number;
  /** Bytes of name and value, or of name and pointer. */
  readonly size: number;
  /** Block of the attribute fork where the value begins; undefined: it is in the leaf. */
  readonly remote: number | undefined;
}

export interface XattrLayout {
  /** undefined: they are in the inode, and have these bytes. */
  readonly inline: Uint8Array | undefined;
  readonly leaves: readonly (readonly LeafEntry[])[];
  readonly tree: HashTree;
  /** Blocks of the attribute fork. */
  readonly runs: readonly Run[];
}

/** From the form of the system call (version 2, little-endian) to that on disk. */
function packAcl(value: Uint8Array): Uint8Array {
  const from = viewOf(value);
  if (value.length < 4 || from.getUint32(0, true) !== 2 || (value.length - 4) % 8 !== 0)
    throw new ConfigError("not a POSIX ACL", { code: "acl-invalid" });
  const count = (value.length - 4) / 8;
  const bytes = new Uint8Array(4 + 12 * count);
  const to = viewOf(bytes);
  to.setUint32(0, count);
  for (let entry = 0; entry < count; entry++) {
    const tag = from.getUint16(4 + entry * 8, true);
    to.setUint32(4 + entry * 12, tag);
    // ACL_USER and ACL_GROUP name somebody.
    if (tag === 2 || tag === 8) to.setUint32(8 + entry * 12, from.getUint32(8 + entry * 8, true));
    to.setUint16(12 + entry * 12, from.getUint16(6 + entry * 8, true));
  }
  return bytes;
}

function entriesOf(node: TreeNode): Entry[] {
  const path = displayPath(node.source ?? "/");
  return node.xattrs.map(({ name, value }): Entry => {
    const list = Object.hasOwn(lists, name) ? lists[name] : undefined;
    if (list !== undefined) return { flags: 2, name: Buffer.from(list), value: packAcl(value) };
    const found = namespaces.find(([prefix]) => name.startsWith(prefix));
    if (found === undefined)
      throw new ConfigError(`${path}: xfs cannot hold the extended attribute "${name}"`, { code: "xattr-unknown" });
    const [prefix, flags] = found;
    const rest = Buffer.from(name.slice(prefix.length));
    if (rest.length > longestName || value.length > largestValue)
      throw new ConfigError(
        `${path}: the extended attribute "${name}" has ${value.length} bytes, xfs has room for ${largestValue}`,
        { code: "xattr-too-large", data: { path, size: value.length, limit: largestValue } },
      );
    return { flags, name: rest, value };
  });
}

/** Plans the attributes of a node when the inode can give them `room` bytes; undefined: there are none. */
export function layoutXattrs(node: TreeNode, room: number): XattrLayout | undefined {
  const entries = entriesOf(node);
  if (entries.length === 0) return undefined;
  const none = { count: 0, firstLeaf: 0, nodes: new Map() };
  const size = entries.reduce((sum, { name, value }) => sum + 3 + name.length + value.length, 4);
  if (size <= room && entries.every(({ value }) => value.length < 256))
    return { inline: encodeInline(entries, size), leaves: [], tree: none, runs: [] };
  const hashed = entries
    .map((entry): LeafEntry => {
      const whole = Math.ceil((3 + entry.name.length + entry.value.length) / 4) * 4;
      const hash = hashName(entry.name);
      if (whole < largestLocal) return { ...entry, hash, size: whole, remote: undefined };
      // Eleven where nine are used: the padding of the kernel's structure has become the format.
      return { ...entry, hash, size: Math.ceil((11 + entry.name.length) / 4) * 4, remote: 0 };
    })
    .sort((a, b) => a.hash - b.hash || a.flags - b.flags || Buffer.compare(a.name, b.name));
  const leaves: LeafEntry[][] = [];
  let leaf: LeafEntry[] = [];
  let used = leafHeader;
  for (const entry of hashed) {
    if (used + 8 + entry.size > blockSize) {
      leaves.push(leaf);
      leaf = [];
      used = leafHeader;
    }
    leaf.push(entry);
    used += 8 + entry.size;
  }
  leaves.push(leaf);
  const tree = planHashTree(
    leaves.map((one) => one.at(-1)?.hash ?? 0),
    0,
  );
  let next = tree.count;
  const placed = leaves.map((one) =>
    one.map((entry): LeafEntry => {
      if (entry.remote === undefined) return entry;
      const remote = next;
      next += Math.ceil(entry.value.length / perRemoteBlock);
      return { ...entry, remote };
    }),
  );
  return { inline: undefined, leaves: placed, tree, runs: [{ logical: 0, count: next }] };
}

function encodeInline(entries: readonly Entry[], size: number): Uint8Array {
  const bytes = Buffer.alloc(size);
  bytes.writeUInt16BE(size, 0);
  bytes.writeUInt8(entries.length, 2);
  let at = 4;
  for (const { flags, name, value } of entries) {
    bytes.set([name.length, value.length, flags], at);
    bytes.set(name, at + 3);
    bytes.set(value, at + 3 + name.length);
    at += 3 + name.length + value.length;
  }
  return bytes;
}

/** The blocks of the attribute fork, by their place in it. */
export function* encodeXattrs(
  { leaves, tree }: XattrLayout,
  identify: (logical: number) => Identity,
): Generator<{ readonly logical: number; readonly bytes: Uint8Array }> {
  for (const [index, leaf] of leaves.entries()) {
    const logical = tree.firstLeaf + index;
    const bytes = new Uint8Array(blockSize);
    writeHashHeader(bytes, leafMagic, leafSiblings(tree, index, leaves.length), identify(logical));
    writeLeaf(bytes, leaf);
    yield { logical, bytes: sealHashBlock(bytes) };
  }
  for (const [logical, node] of tree.nodes) yield { logical, bytes: encodeHashNode(node, identify(logical)) };
  for (const { remote, value } of leaves.flat()) {
    if (remote === undefined) continue;
    for (let offset = 0; offset < value.length; offset += perRemoteBlock) {
      const logical = remote + offset / perRemoteBlock;
      yield {
        logical,
        bytes: encodeRemote(value.subarray(offset, offset + perRemoteBlock), offset, identify(logical)),
      };
    }
  }
}

/** Entries from the front, names and values from the end. */
function writeLeaf(bytes: Uint8Array, entries: readonly LeafEntry[]): void {
  const view = viewOf(bytes);
  let end = blockSize;
  for (const [index, { hash, size, flags, name, value, remote }] of entries.entries()) {
    end -= size;
    const at = leafHeader + index * 8;
    view.setUint32(at, hash);
    view.setUint16(at + 4, end);
    view.setUint8(at + 6, remote === undefined ? flags | localFlag : flags);
    if (remote === undefined) {
      view.setUint16(end, value.length);
      view.setUint8(end + 2, name.length);
      bytes.set(name, end + 3);
      bytes.set(value, end + 3 + name.length);
    } else {
      view.setUint32(end, remote);
      view.setUint32(end + 4, value.length);
      view.setUint8(end + 8, name.length);
      bytes.set(name, end + 9);
    }
  }
  const free = leafHeader + entries.length * 8;
  view.setUint16(56, entries.length);
  view.setUint16(58, blockSize - end);
  view.setUint16(60, end);
  view.setUint16(64, free);
  view.setUint16(66, end - free);
}

function encodeRemote(value: Uint8Array, offset: number, { uuid, owner, block }: Identity): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  const view = viewOf(bytes);
  view.setUint32(0, remoteMagic);
  view.setUint32(4, offset);
  view.setUint32(8, value.length);
  bytes.set(uuid, 16);
  setU64(view, 32, owner);
  setAddress(view, 40, block);
  // Values are not logged, which their sequence number says.
  view.setBigUint64(48, 2n ** 64n - 1n);
  bytes.set(value, remoteHeader);
  return seal(bytes, 12);
}
