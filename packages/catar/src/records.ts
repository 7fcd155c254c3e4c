/**
 * Records of the archive format: {u64 size of the whole record, u64 type, body}, little-endian. This
 * file knows their types and the size each may have; what they mean is in node.ts.
 *
 * Sizes are bounded before a body is collected, so that a hostile archive cannot make a reader
 * allocate what it likes.
 * @module
 */

/** Bytes of a record's header: size and type. */
export const headerSize = 16;

export type RecordName =
  | "entry"
  | "user"
  | "group"
  | "xattr"
  | "acl-user"
  | "acl-group"
  | "acl-group-obj"
  | "acl-default"
  | "acl-default-user"
  | "acl-default-group"
  | "selinux"
  | "fcaps"
  | "quota-projid"
  | "payload"
  | "symlink"
  | "device"
  | "filename"
  | "goodbye";

/** The type word of every record, in the order in which the records of a node stand. */
export const recordTypes: Readonly<Record<RecordName, bigint>> = {
  entry: 0x1396fabcea5bbb51n,
  user: 0xf453131aaeeaccb3n,
  group: 0x25eb6ac969396a52n,
  xattr: 0xb8157091f80bc486n,
  "acl-user": 0x297dc88b2ef12fafn,
  "acl-group": 0x36f2acb56cb3dd0bn,
  "acl-group-obj": 0x23047110441f38f3n,
  "acl-default": 0xfe3eeda6823c8cd0n,
  "acl-default-user": 0xbdf03df9bd010a91n,
  "acl-default-group": 0xa0cb1168782d1f51n,
  selinux: 0x46faf0602fd26c59n,
  fcaps: 0xf7267db0afed0629n,
  "quota-projid": 0x161baf2d8772a72bn,
  payload: 0x8b9e1d93d6dcffc9n,
  symlink: 0x664a6fb6830e0d6cn,
  device: 0xac3dace369dfe643n,
  filename: 0x6dbb6ebcb3161f0bn,
  goodbye: 0xdfd35c5e8327c403n,
};

const namesByType: ReadonlyMap<bigint, RecordName> = new Map(
  Object.entries(recordTypes).map(([name, type]) => [type, name as RecordName]),
);

/** The record's name, or undefined for a type that the format does not define. */
export function recordName(type: bigint): RecordName | undefined {
  return namesByType.get(type);
}

/** Longest file name, without its NUL (NAME_MAX). */
export const maxNameLength = 255;
/** Longest symlink target, without its NUL (PATH_MAX). */
export const maxTargetLength = 4095;
/** Longest user or group name, without its NUL. */
const maxUserNameLength = 255;
/** Longest value of an extended attribute (XATTR_SIZE_MAX). */
const maxXattrValueLength = 65_536;
/** Longest SELinux label, without its NUL. */
const maxLabelLength = 65_535;
/** `security.capability` has 12, 20 or 24 bytes; room for revisions to come. */
const maxCapabilityLength = 64;
/** Nodes on the way from the root to the deepest node, both counted; casync refuses more. */
export const maxDepth = 64;
/** Bytes of one node's metadata records together. */
export const maxMetadataSize: number = 16 * 1024 ** 2;
/** Entries of one access control list. */
export const maxAclEntries = 8192;

/** Sizes of bodies, in bytes. Payloads stream and have no bound; goodbye tables depend on the directory. */
export const bodySizes: Readonly<Record<RecordName, { readonly min: number; readonly max: number }>> = {
  entry: { min: 48, max: 48 },
  user: { min: 2, max: maxUserNameLength + 1 },
  group: { min: 2, max: maxUserNameLength + 1 },
  xattr: { min: 2, max: maxNameLength + 1 + maxXattrValueLength },
  "acl-user": { min: 16, max: 16 + maxUserNameLength + 1 },
  "acl-group": { min: 16, max: 16 + maxUserNameLength + 1 },
  "acl-group-obj": { min: 8, max: 8 },
  "acl-default": { min: 32, max: 32 },
  "acl-default-user": { min: 16, max: 16 + maxUserNameLength + 1 },
  "acl-default-group": { min: 16, max: 16 + maxUserNameLength + 1 },
  selinux: { min: 2, max: maxLabelLength + 1 },
  fcaps: { min: 1, max: maxCapabilityLength },
  "quota-projid": { min: 8, max: 8 },
  payload: { min: 0, max: Number.MAX_SAFE_INTEGER - headerSize },
  symlink: { min: 2, max: maxTargetLength + 1 },
  device: { min: 16, max: 16 },
  filename: { min: 2, max: maxNameLength + 1 },
  goodbye: { min: 24, max: Number.MAX_SAFE_INTEGER - headerSize },
};

/** The 16 bytes that open a record whose body has `bodySize` bytes. */
export function encodeHeader(name: RecordName, bodySize: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(headerSize);
  const view = new DataView(header.buffer);
  view.setBigUint64(0, BigInt(headerSize + bodySize), true);
  view.setBigUint64(8, recordTypes[name], true);
  return header;
}

/** A whole record. */
export function encodeRecord(name: RecordName, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(headerSize + body.length);
  record.set(encodeHeader(name, body.length));
  record.set(body, headerSize);
  return record;
}
