/**
 * The Portable Executable format as EFI programs have it: Microsoft's PE format specification,
 * PE32 and PE32+. Pure: bytes in, values out; every offset that is read is checked first.
 *
 * @example
 * ```ts
 * const image = readPe(bytes);
 * const section = image.sections.find(({ name }) => name === ".osrel");
 * ```
 * @module
 */
import { FormatError } from "@imgtool/core";

/** Machine types, by the name that EFI has for them: systemd-stub is `linux<name>.efi.stub`. */
export const peMachines: Readonly<Record<string, number>> = {
  ia32: 0x014c,
  x64: 0x8664,
  arm: 0x01c2,
  aa64: 0xaa64,
  riscv64: 0x5064,
  loongarch64: 0x6264,
};

/** Section characteristics. */
export const peSectionFlags: Readonly<Record<"code" | "initializedData" | "read", number>> = {
  code: 0x20,
  initializedData: 0x40,
  read: 0x40000000,
};

/** DllCharacteristics: pages are either writable or executable. */
export const nxCompatible = 0x0100;

/** Bytes of one entry of the section table. */
export const peSectionHeaderSize = 40;

// The Windows loader's limit; no EFI program comes near it.
const maxSections = 96;

export interface PeSection {
  /** At most 8 characters. */
  readonly name: string;
  /** Relative to the image's base in memory. */
  readonly virtualAddress: number;
  /** Bytes in memory; the rest after `rawSize` is zeros. */
  readonly virtualSize: number;
  /** Bytes from the start of the file. */
  readonly rawOffset: number;
  /** Bytes in the file: `virtualSize` rounded up, or less. */
  readonly rawSize: number;
  readonly characteristics: number;
  /** Where its entry of the section table is in the file. */
  readonly headerOffset: number;
}

export interface PeDirectory {
  /** A memory address; for the security directory an offset in the file. */
  readonly address: number;
  readonly size: number;
}

export interface PeImage {
  readonly machine: number;
  /** PE32+ (64 bits) or PE32. */
  readonly wide: boolean;
  /** Offset of the signature "PE\0\0". */
  readonly headerOffset: number;
  /** Offset of the optional header. */
  readonly optionalOffset: number;
  /** Offset of the section table. */
  readonly tableOffset: number;
  readonly symbolTable: { readonly offset: number; readonly count: number };
  readonly sectionAlignment: number;
  readonly fileAlignment: number;
  /** Bytes of all headers, section table included. */
  readonly sizeOfHeaders: number;
  /** Bytes in memory. */
  readonly sizeOfImage: number;
  readonly sizeOfInitializedData: number;
  readonly checksum: number;
  readonly checksumOffset: number;
  readonly subsystem: number;
  readonly dllCharacteristics: number;
  /** Where the entry of the security directory is; undefined when the header has no such entry. */
  readonly securityOffset: number | undefined;
  /** Attached signatures; size 0 without any. */
  readonly security: PeDirectory;
  readonly sections: readonly PeSection[];
}

/**
 * Reads the headers of a PE file.
 * @param bytes the file, or its beginning as far as the headers go
 * @param size bytes of the whole file, when `bytes` is its beginning
 * @throws FormatError `pe-invalid` with the offset of what is wrong
 */
export function readPe(bytes: Uint8Array, size: number = bytes.length): PeImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const need = (offset: number, length: number, what: string): void => {
    if (offset + length > bytes.length)
      refuse(offset, `${what}: expected ${length} bytes, found the end of the file at ${bytes.length}`);
  };
  need(0, 64, "DOS header");
  if (view.getUint16(0, true) !== 0x5a4d) refuse(0, `expected "MZ", found ${hex(view.getUint16(0, true))}`);
  const headerOffset = view.getUint32(0x3c, true);
  need(headerOffset, 24, "PE header");
  const signature = view.getUint32(headerOffset, true);
  if (signature !== 0x00004550) refuse(headerOffset, `expected the signature "PE", found ${hex(signature)}`);
  const machine = view.getUint16(headerOffset + 4, true);
  const count = view.getUint16(headerOffset + 6, true);
  if (count > maxSections) refuse(headerOffset + 6, `${count} sections: expected at most ${maxSections}`);
  const optionalSize = view.getUint16(headerOffset + 20, true);
  const optionalOffset = headerOffset + 24;
  need(optionalOffset, optionalSize, "optional header");
  if (optionalSize < 2) refuse(headerOffset + 20, `an optional header of ${optionalSize} bytes`);
  const magic = view.getUint16(optionalOffset, true);
  if (magic !== 0x20b && magic !== 0x10b)
    refuse(optionalOffset, `magic number: expected 0x20b or 0x10b, found ${hex(magic)}`);
  const wide = magic === 0x20b;
  const directoriesOffset = optionalOffset + (wide ? 112 : 96);
  if (optionalSize < directoriesOffset - optionalOffset)
    refuse(
      headerOffset + 20,
      `optional header: expected ${directoriesOffset - optionalOffset} bytes, found ${optionalSize}`,
    );
  const directories = view.getUint32(directoriesOffset - 4, true);
  if (directories > 16 || directoriesOffset + 8 * directories > optionalOffset + optionalSize)
    refuse(directoriesOffset - 4, `${directories} data directories do not fit the optional header`);

  const sectionAlignment = view.getUint32(optionalOffset + 32, true);
  const fileAlignment = view.getUint32(optionalOffset + 36, true);
  for (const [at, alignment] of [
    [optionalOffset + 32, sectionAlignment],
    [optionalOffset + 36, fileAlignment],
  ] as const)
    if (alignment === 0 || (alignment & (alignment - 1)) !== 0 || alignment > 1024 ** 2)
      refuse(at, `alignment: expected a power of two up to 1 MiB, found ${alignment}`);
  const sizeOfHeaders = view.getUint32(optionalOffset + 60, true);
  const tableOffset = optionalOffset + optionalSize;
  need(tableOffset, count * peSectionHeaderSize, "section table");
  if (sizeOfHeaders > size || sizeOfHeaders < tableOffset + count * peSectionHeaderSize)
    refuse(
      optionalOffset + 60,
      `size of headers: expected ${tableOffset + count * peSectionHeaderSize} to ${size}, found ${sizeOfHeaders}`,
    );

  const securityOffset = directories > 4 ? directoriesOffset + 32 : undefined;
  const security: PeDirectory =
    securityOffset === undefined
      ? { address: 0, size: 0 }
      : { address: view.getUint32(securityOffset, true), size: view.getUint32(securityOffset + 4, true) };
  if (security.size > 0 && security.address + security.size > size)
    refuse(
      securityOffset ?? 0,
      `signatures at ${security.address} to ${security.address + security.size} are outside the file of ${size} bytes`,
    );

  const sections: PeSection[] = [];
  for (let index = 0; index < count; index++) {
    const at = tableOffset + index * peSectionHeaderSize;
    const section: PeSection = {
      name: new TextDecoder("latin1").decode(bytes.subarray(at, at + 8)).replace(/\0.*$/s, ""),
      virtualSize: view.getUint32(at + 8, true),
      virtualAddress: view.getUint32(at + 12, true),
      rawSize: view.getUint32(at + 16, true),
      rawOffset: view.getUint32(at + 20, true),
      characteristics: view.getUint32(at + 36, true),
      headerOffset: at,
    };
    if (section.rawSize > 0 && section.rawOffset + section.rawSize > size)
      refuse(
        at + 16,
        `section ${JSON.stringify(section.name)} at ${section.rawOffset} to ${section.rawOffset + section.rawSize} is outside the file of ${size} bytes`,
      );
    sections.push(section);
  }
  return {
    machine,
    wide,
    headerOffset,
    optionalOffset,
    tableOffset,
    symbolTable: { offset: view.getUint32(headerOffset + 12, true), count: view.getUint32(headerOffset + 16, true) },
    sectionAlignment,
    fileAlignment,
    sizeOfHeaders,
    sizeOfImage: view.getUint32(optionalOffset + 56, true),
    sizeOfInitializedData: view.getUint32(optionalOffset + 8, true),
    checksum: view.getUint32(optionalOffset + 64, true),
    checksumOffset: optionalOffset + 64,
    subsystem: view.getUint16(optionalOffset + 68, true),
    dllCharacteristics: view.getUint16(optionalOffset + 70, true),
    securityOffset,
    security,
    sections,
  };
}

/** Bytes of a section that are in the file and in memory: its content without padding. */
export function peContentSize({ virtualSize, rawSize }: PeSection): number {
  // Linkers that leave the size in memory out mean that in the file.
  return virtualSize === 0 ? rawSize : Math.min(virtualSize, rawSize);
}

/** A section's content, without padding; a view on `bytes`. Undefined when there is no such section. */
export function peContent(bytes: Uint8Array, image: PeImage, name: string): Uint8Array | undefined {
  const section = image.sections.find((one) => one.name === name);
  if (section === undefined) return undefined;
  return bytes.subarray(section.rawOffset, section.rawOffset + peContentSize(section));
}

function refuse(offset: number, message: string): never {
  throw new FormatError(`not a PE file: byte ${offset}: ${message}`, { code: "pe-invalid", data: { offset } });
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
