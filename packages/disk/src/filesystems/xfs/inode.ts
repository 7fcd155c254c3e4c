/**
 * Inodes: 176 bytes of fixed fields (version 3), then the data fork, then the attribute fork.
 * @module
 */
import { fileTypeBits, type TreeNode } from "../../tree/node.ts";
import { forkRoom, inodeSize, seal, setU64, viewOf } from "./format.ts";

const forkStart = 176;
export const forkFormats = { device: 0, local: 1, extents: 2, tree: 3 } as const;
/** XFS_DIFLAG_NEWRTBM: of the bitmap of real-time extents. */
const realTimeBitmapFlag = 4;
const bigTimeFlag = 8n;

/** What an inode keeps in itself. */
export interface Fork {
  readonly format: number;
  readonly bytes: Uint8Array;
  readonly extents: number;
}

export interface InodeFields {
  readonly number: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Blocks of both forks, those of their trees too. */
  readonly blocks: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly flags: number;
  readonly data: Fork;
  /** undefined: no attributes. */
  readonly attributes: Fork | undefined;
  /** Bytes behind the fixed fields where the attribute fork begins. */
  readonly attributesAt: number;
}

/** The fields of an inode with a node's owner, mode and times. */
export function fieldsOf(node: TreeNode): Pick<InodeFields, "mode" | "uid" | "gid" | "seconds" | "nanoseconds"> {
  const { uid, gid, seconds, nanoseconds } = node;
  return { mode: fileTypeBits[node.kind] | node.mode, uid, gid, seconds, nanoseconds };
}

/** An inode of the real-time device, which is not there: an empty file that the superblock points to. */
export function encodeRealTimeInode(number: number, seconds: number, bitmap: boolean, uuid: Uint8Array): Uint8Array {
  const fields: InodeFields = {
    number,
    mode: fileTypeBits.file,
    uid: 0,
    gid: 0,
    links: 1,
    size: 0,
    blocks: 0,
    seconds,
    nanoseconds: 0,
    flags: bitmap ? realTimeBitmapFlag : 0,
    data: { format: forkFormats.extents, bytes: new Uint8Array(0), extents: 0 },
    attributes: undefined,
    attributesAt: 0,
  };
  return encodeInode(fields, uuid);
}

/** Nanoseconds since December 1901 ("bigtime"): until 2486. Other times become the nearest there is. */
function encodeTime({ seconds, nanoseconds }: InodeFields): bigint {
  const first = -(2 ** 31);
  const last = 16_299_260_424;
  if (seconds < first) return 0n;
  if (seconds > last) return BigInt(last - first) * 1_000_000_000n;
  return BigInt(seconds - first) * 1_000_000_000n + BigInt(nanoseconds);
}

/** What an inode has that is used or free. */
function common(number: number, uuid: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(inodeSize);
  const view = viewOf(bytes);
  view.setUint16(0, 0x494e);
  view.setUint8(4, 3);
  view.setUint32(96, 0xffff_ffff);
  setU64(view, 152, number);
  bytes.set(uuid, 160);
  return bytes;
}

export function encodeFreeInode(number: number, uuid: Uint8Array): Uint8Array {
  return seal(common(number, uuid), 100);
}

export function encodeInode(fields: InodeFields, uuid: Uint8Array): Uint8Array {
  const { number, data, attributes, attributesAt } = fields;
  const bytes = common(number, uuid);
  const view = viewOf(bytes);
  const time = encodeTime(fields);
  view.setUint16(2, fields.mode);
  view.setUint8(5, data.format);
  view.setUint32(8, fields.uid);
  view.setUint32(12, fields.gid);
  view.setUint32(16, fields.links);
  for (const at of [32, 40, 48, 144]) view.setBigUint64(at, time);
  setU64(view, 56, fields.size);
  setU64(view, 64, fields.blocks);
  view.setUint32(76, data.extents);
  view.setUint16(80, attributes?.extents ?? 0);
  view.setUint8(82, attributesAt / 8);
  view.setUint8(83, attributes?.format ?? forkFormats.extents);
  view.setUint16(90, fields.flags);
  setU64(view, 104, 1);
  view.setBigUint64(120, bigTimeFlag);
  bytes.set(data.bytes, forkStart);
  if (attributes !== undefined) bytes.set(attributes.bytes, forkStart + attributesAt);
  return seal(bytes, 100);
}

/** Room of the data fork when the attributes begin so far behind the fixed fields, 0 for none. */
export function dataRoom(attributesAt: number): number {
  return attributesAt === 0 ? forkRoom : attributesAt;
}
