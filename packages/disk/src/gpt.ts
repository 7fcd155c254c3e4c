/**
 * The GUID Partition Table: UEFI Specification 2.10, chapter 5. Protective MBR, primary and backup
 * header, entry array, for sector sizes of 512 to 4096 bytes. Pure: bytes in, bytes out.
 *
 * @example
 * ```ts
 * const regions = encodeGpt({ diskUuid, size: 64 * 1024 ** 2, partitions: [{ type, uuid, offset: 1 << 20, size: 1 << 20 }] });
 * for (const { offset, bytes } of regions) write(bytes, offset);
 * ```
 * @module
 */
import { ConfigError, FormatError, formatUuid, parseUuid, swapGuid } from "@imgtool/core";
import { crc32 } from "./crc32.ts";

/** Entries of the array; every tool expects 128. */
export const gptEntries = 128;
const entrySize = 128;
const headerSize = 92;
const arraySize = gptEntries * entrySize;
/** UTF-16 units of a partition's name. */
export const gptNameUnits = 36;

/** Attribute bits of a partition entry (Discoverable Partitions Specification). */
export const gptFlags: Readonly<Record<"required" | "growFileSystem" | "readOnly" | "noAuto", bigint>> = {
  /** Bit 0: the platform needs the partition. */
  required: 1n << 0n,
  /** Bit 59: the file system shall grow to the partition's size when mounted. */
  growFileSystem: 1n << 59n,
  /** Bit 60: mount read-only. */
  readOnly: 1n << 60n,
  /** Bit 63: do not mount automatically. */
  noAuto: 1n << 63n,
};

export interface GptPartition {
  /** Place in the entry array, from 1; default: the position in the list. */
  readonly number?: number;
  /** Type UUID. */
  readonly type: string;
  readonly uuid: string;
  /** Name, at most 36 UTF-16 units. */
  readonly label?: string;
  /** Attribute bits; see `gptFlags`. */
  readonly flags?: bigint;
  /** Bytes from the start of the disk; a multiple of the sector size. */
  readonly offset: number;
  /** Bytes; a multiple of the sector size. */
  readonly size: number;
}

export interface GptDisk {
  readonly diskUuid: string;
  /** Bytes of the whole disk. */
  readonly size: number;
  /** Default 512. */
  readonly sectorSize?: number;
  readonly partitions: readonly GptPartition[];
  /** Bytes that partitions may begin at, as the header says; default 1 MiB as fdisk and repart have it. */
  readonly firstUsable?: number;
}

/** Bytes and where on the disk they belong. */
export interface Region {
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function checkSectorSize(sectorSize: number): void {
  if (![512, 1024, 2048, 4096].includes(sectorSize)) {
    throw new ConfigError(`sector size ${sectorSize}: expected 512, 1024, 2048 or 4096`, {
      code: "sector-size-invalid",
      data: { found: sectorSize },
    });
  }
}

/** Bytes that the backup table takes at the end of the disk. */
export function gptTailSize(sectorSize = 512): number {
  return sectorSize + Math.ceil(arraySize / sectorSize) * sectorSize;
}

function refuse(message: string, data: Record<string, unknown> = {}): never {
  throw new ConfigError(message, { code: "gpt-invalid", data });
}

/**
 * The regions at the head (MBR, header, entries) and at the tail (entries, header) of a disk.
 * @throws ConfigError `gpt-invalid` for partitions that overlap, lie outside, or are not on sectors; for
 *   names over 36 UTF-16 units
 */
export function encodeGpt(disk: GptDisk): readonly [head: Region, tail: Region] {
  const sectorSize = disk.sectorSize ?? 512;
  checkSectorSize(sectorSize);
  if (disk.size % sectorSize !== 0) refuse(`disk size ${disk.size} is not a multiple of ${sectorSize}`);
  const sectors = disk.size / sectorSize;
  const arraySectors = Math.ceil(arraySize / sectorSize);
  const firstUsable = Math.max(2 + arraySectors, (disk.firstUsable ?? 1024 ** 2) / sectorSize);
  const lastUsable = sectors - arraySectors - 2;
  if (lastUsable < firstUsable) refuse(`a disk of ${disk.size} bytes is too small for a partition table`);

  const entries = new Uint8Array(arraySectors * sectorSize);
  const view = new DataView(entries.buffer);
  const taken: { first: number; last: number; number: number }[] = [];
  for (const [index, partition] of disk.partitions.entries()) {
    const number = partition.number ?? index + 1;
    const name = `partition ${number}${partition.label === undefined ? "" : ` ("${partition.label}")`}`;
    if (!Number.isInteger(number) || number < 1 || number > gptEntries)
      refuse(`${name}: the number must be from 1 to ${gptEntries}`);
    if (partition.offset % sectorSize !== 0 || partition.size % sectorSize !== 0 || partition.size <= 0)
      refuse(`${name}: offset ${partition.offset} and size ${partition.size} must be multiples of ${sectorSize}`);
    const first = partition.offset / sectorSize;
    const last = first + partition.size / sectorSize - 1;
    if (first < firstUsable || last > lastUsable)
      refuse(`${name}: sectors ${first} to ${last} are outside ${firstUsable} to ${lastUsable}`, { number });
    for (const other of taken) {
      if (other.number === number) refuse(`${name}: the number is used twice`);
      if (first <= other.last && last >= other.first) refuse(`${name} overlaps partition ${other.number}`, { number });
    }
    taken.push({ first, last, number });
    const label = partition.label ?? "";
    if (label.length > gptNameUnits)
      refuse(`${name}: the label has ${label.length} UTF-16 units, at most ${gptNameUnits} fit`);
    const at = (number - 1) * entrySize;
    entries.set(swapGuid(parseUuid(partition.type)), at);
    entries.set(swapGuid(parseUuid(partition.uuid)), at + 16);
    view.setBigUint64(at + 32, BigInt(first), true);
    view.setBigUint64(at + 40, BigInt(last), true);
    view.setBigUint64(at + 48, partition.flags ?? 0n, true);
    for (let i = 0; i < label.length; i++) view.setUint16(at + 56 + 2 * i, label.charCodeAt(i), true);
  }

  const entriesCrc = crc32(entries.subarray(0, arraySize));
  const makeHeader = (current: number, backup: number, array: number): Uint8Array => {
    const header = new Uint8Array(sectorSize);
    const view = new DataView(header.buffer);
    header.set(new TextEncoder().encode("EFI PART"));
    view.setUint32(8, 0x00010000, true);
    view.setUint32(12, headerSize, true);
    view.setBigUint64(24, BigInt(current), true);
    view.setBigUint64(32, BigInt(backup), true);
    view.setBigUint64(40, BigInt(firstUsable), true);
    view.setBigUint64(48, BigInt(lastUsable), true);
    header.set(swapGuid(parseUuid(disk.diskUuid)), 56);
    view.setBigUint64(72, BigInt(array), true);
    view.setUint32(80, gptEntries, true);
    view.setUint32(84, entrySize, true);
    view.setUint32(88, entriesCrc, true);
    view.setUint32(16, crc32(header.subarray(0, headerSize)), true);
    return header;
  };

  const head = new Uint8Array((2 + arraySectors) * sectorSize);
  head.set(protectiveMbr(sectors));
  head.set(makeHeader(1, sectors - 1, 2), sectorSize);
  head.set(entries, 2 * sectorSize);
  const tail = new Uint8Array((arraySectors + 1) * sectorSize);
  tail.set(entries);
  tail.set(makeHeader(sectors - 1, 1, sectors - 1 - arraySectors), arraySectors * sectorSize);
  return [
    { offset: 0, bytes: head },
    { offset: (sectors - 1 - arraySectors) * sectorSize, bytes: tail },
  ];
}

/** One MBR partition of type 0xEE over the whole disk, so that old tools see no free space. */
function protectiveMbr(sectors: number): Uint8Array {
  const mbr = new Uint8Array(512);
  const view = new DataView(mbr.buffer);
  mbr.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  view.setUint32(454, 1, true);
  view.setUint32(458, Math.min(sectors - 1, 0xffffffff), true);
  mbr.set([0x55, 0xaa], 510);
  return mbr;
}

export interface DecodedGpt {
  readonly diskUuid: string;
  readonly sectorSize: number;
  /** Bytes of the disk as the header's own and backup position say. */
  readonly size: number;
  /** Bytes from the start of the disk that the backup table begins at. */
  readonly backupOffset: number;
  readonly partitions: readonly Required<GptPartition>[];
}

/**
 * Reads the table from the head of a disk (MBR, header and entries; at least 2 sectors + 16 KiB) or,
 * with `part: "tail"`, from its last bytes (`gptTailSize`), and checks signature, sizes and both CRCs.
 * @throws FormatError `gpt-invalid`
 */
export function decodeGpt(
  bytes: Uint8Array,
  options: { readonly sectorSize?: number; readonly part?: "head" | "tail" } = {},
): DecodedGpt {
  const sectorSize = options.sectorSize ?? 512;
  checkSectorSize(sectorSize);
  const tail = options.part === "tail";
  const arraySectors = Math.ceil(arraySize / sectorSize);
  const at = tail ? arraySectors * sectorSize : sectorSize;
  const refuse = (what: string, expected: unknown, found: unknown): never => {
    throw new FormatError(
      `GPT ${tail ? "backup" : "primary"} header at byte ${at}: ${what}: expected ${String(expected)}, found ${String(found)}`,
      {
        code: "gpt-invalid",
        data: { offset: at, expected, found },
      },
    );
  };
  const needed = (tail ? arraySectors + 1 : arraySectors + 2) * sectorSize;
  if (bytes.length < needed) refuse("bytes", needed, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const signature = new TextDecoder("latin1").decode(bytes.subarray(at, at + 8));
  if (signature !== "EFI PART") refuse("signature", "EFI PART", JSON.stringify(signature));
  if (view.getUint32(at + 12, true) !== headerSize) refuse("header size", headerSize, view.getUint32(at + 12, true));
  // Not slice(): a Buffer's is a view.
  const header = Uint8Array.from(bytes.subarray(at, at + headerSize));
  header.fill(0, 16, 20);
  const headerCrc = crc32(header);
  if (headerCrc !== view.getUint32(at + 16, true)) refuse("header CRC", view.getUint32(at + 16, true), headerCrc);
  if (view.getUint32(at + 80, true) !== gptEntries) refuse("entries", gptEntries, view.getUint32(at + 80, true));
  if (view.getUint32(at + 84, true) !== entrySize) refuse("entry size", entrySize, view.getUint32(at + 84, true));
  const arrayAt = tail ? 0 : 2 * sectorSize;
  const entries = bytes.subarray(arrayAt, arrayAt + arraySize);
  const entriesCrc = crc32(entries);
  if (entriesCrc !== view.getUint32(at + 88, true)) refuse("entries CRC", view.getUint32(at + 88, true), entriesCrc);

  const current = Number(view.getBigUint64(at + 24, true));
  const alternate = Number(view.getBigUint64(at + 32, true));
  const sectors = (tail ? current : alternate) + 1;
  if (!Number.isSafeInteger(sectors * sectorSize)) refuse("disk size", "at most 2^53 bytes", sectors * sectorSize);
  if ((tail ? alternate : current) !== 1) refuse("primary header's sector", 1, tail ? alternate : current);
  const first = Number(view.getBigUint64(at + 40, true));
  const last = Number(view.getBigUint64(at + 48, true));
  const partitions: Required<GptPartition>[] = [];
  for (let index = 0; index < gptEntries; index++) {
    const from = arrayAt + index * entrySize;
    if (bytes.subarray(from, from + 16).every((byte) => byte === 0)) continue;
    const start = Number(view.getBigUint64(from + 32, true));
    const end = Number(view.getBigUint64(from + 40, true));
    if (start < first || end > last || end < start)
      refuse(`partition ${index + 1}'s sectors`, `${first} to ${last}`, `${start} to ${end}`);
    let label = "";
    for (let unit = 0; unit < gptNameUnits; unit++) {
      const code = view.getUint16(from + 56 + 2 * unit, true);
      if (code === 0) break;
      label += String.fromCharCode(code);
    }
    partitions.push({
      number: index + 1,
      type: formatUuid(swapGuid(bytes.subarray(from, from + 16))),
      uuid: formatUuid(swapGuid(bytes.subarray(from + 16, from + 32))),
      label,
      flags: view.getBigUint64(from + 48, true),
      offset: start * sectorSize,
      size: (end - start + 1) * sectorSize,
    });
  }
  return {
    diskUuid: formatUuid(swapGuid(bytes.subarray(at + 56, at + 72))),
    sectorSize,
    size: sectors * sectorSize,
    backupOffset: sectors * sectorSize - gptTailSize(sectorSize),
    partitions,
  };
}
