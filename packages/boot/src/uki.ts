/**
 * Unified kernel images: systemd-stub with kernel, initrd, command line and more as further PE
 * sections (the UAPI Group's UKI specification). Pure: says which bytes go where, so that an image of
 * any size can be written from files without holding it in memory.
 *
 * From the same parts the image has the bytes that ukify 257 writes.
 * @module
 */
import { ConfigError, FormatError } from "@imgtool/core";
import {
  nxCompatible,
  peContent,
  peContentSize,
  peSectionFlags,
  peSectionHeaderSize,
  readPe,
  type PeImage,
  type PeSection,
} from "./pe.ts";
import { mergeSbat, ukiSbat } from "./sbat.ts";

/** The sections that have a meaning, in the order ukify writes them. `.sbat` is made from all parts' own. */
export const ukiSectionNames = [
  ".osrel",
  ".cmdline",
  ".dtb",
  ".uname",
  ".splash",
  ".pcrpkey",
  ".linux",
  ".initrd",
  ".ucode",
  ".sbat",
  ".profile",
  ".pcrsig",
] as const;

export type UkiSectionName = (typeof ukiSectionNames)[number];

/** A section to add. `size` in bytes. */
export interface UkiSection {
  readonly name: string;
  readonly size: number;
}

/** Where a section's content goes in the finished file. */
export interface UkiPlacement {
  readonly name: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly size: number;
}

export interface UkiLayout {
  /** The stub with its new headers: the file's beginning. */
  readonly head: Uint8Array;
  /** In the order of the sections asked for; what lies between them is zeros. */
  readonly placements: readonly UkiPlacement[];
  /** Bytes of the whole file. */
  readonly size: number;
}

export interface UkiOptions {
  /** systemd-stub, whole. */
  readonly stub: Uint8Array;
  readonly sections: readonly UkiSection[];
  /** The kernel can do without pages that are writable and executable; default true. */
  readonly nxCompatible?: boolean;
}

/**
 * Lays out an image.
 * @throws FormatError `pe-invalid` for a stub that is no PE file, ConfigError `stub-signed` for one that
 *   is signed, `uki-headers-full` when the stub has no room for that many sections, `uki-too-large`
 */
export function layoutUki(options: UkiOptions): UkiLayout {
  const whole = prepareStub(options.stub);
  const bytes = prepareStub(options.stub, replacedElsewhere(readPe(whole), options.sections));
  const image = readPe(bytes);

  const fileAlignment = image.fileAlignment;
  const added = options.sections.filter(({ name }) => !image.sections.some((own) => own.name === name));
  const tableEnd = image.tableOffset + (image.sections.length + added.length) * peSectionHeaderSize;
  const sizeOfHeaders = roundUp(image.sizeOfHeaders, fileAlignment);
  if (tableEnd > sizeOfHeaders)
    throw new ConfigError(
      `the stub's headers have room for ${Math.floor((sizeOfHeaders - image.tableOffset) / peSectionHeaderSize)} sections, ${image.sections.length + added.length} are needed`,
      {
        code: "uki-headers-full",
        hint: "take the stub of a newer systemd",
        data: { available: sizeOfHeaders - image.tableOffset, needed: tableEnd - image.tableOffset },
      },
    );

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Slack between headers and the first section may hold a linker's leftovers.
  bytes.fill(0, image.tableOffset + image.sections.length * peSectionHeaderSize, tableEnd);
  let fileEnd = bytes.length;
  let memoryEnd = Math.max(...image.sections.map((one) => one.virtualAddress + one.virtualSize));
  let initialized = image.sizeOfInitializedData;
  let count = image.sections.length;
  const placements = options.sections.map(({ name, size }): UkiPlacement => {
    const own = image.sections.find((one) => one.name === name);
    if (own !== undefined) {
      view.setUint32(own.headerOffset + 8, size, true);
      bytes.fill(0, own.rawOffset, own.rawOffset + own.rawSize);
      return { name, offset: own.rawOffset, size };
    }
    const offset = roundUp(fileEnd, fileAlignment);
    const address = roundUp(memoryEnd, image.sectionAlignment);
    const rawSize = roundUp(size, fileAlignment);
    if (offset + rawSize > 0xffffffff || address + size > 0xffffffff)
      throw new ConfigError(`a PE file holds at most 4 GiB: ${name} of ${size} bytes does not fit`, {
        code: "uki-too-large",
        data: { section: name, size },
      });
    writeSectionHeader(bytes, image.tableOffset + count * peSectionHeaderSize, {
      name,
      virtualSize: size,
      virtualAddress: address,
      rawSize,
      rawOffset: offset,
      // The EFI handover protocol, which stubs before systemd 250 use, enters the kernel where it lies.
      characteristics: peSectionFlags.read | (name === ".linux" ? peSectionFlags.code : peSectionFlags.initializedData),
    });
    count++;
    fileEnd = offset + rawSize;
    memoryEnd = address + size;
    initialized += size;
    return { name, offset, size };
  });

  view.setUint16(image.headerOffset + 6, count, true);
  view.setUint32(image.optionalOffset + 8, initialized, true);
  view.setUint32(image.optionalOffset + 56, roundUp(memoryEnd, image.sectionAlignment), true);
  view.setUint32(image.optionalOffset + 60, sizeOfHeaders, true);
  view.setUint32(image.checksumOffset, 0, true);
  if (options.nxCompatible === false)
    view.setUint16(image.optionalOffset + 70, image.dllCharacteristics & ~nxCompatible, true);
  return { head: bytes, placements, size: fileEnd };
}

/**
 * The `.sbat` section of an image: what the stub and the kernel have, and the line of all UKIs.
 * @throws FormatError `pe-invalid`, `sbat-invalid`
 */
export function ukiSbatSection(...programs: readonly Uint8Array[]): Uint8Array {
  const texts = programs.flatMap((program) => {
    const section = peContent(program, readPe(program), ".sbat");
    return section === undefined ? [] : [new TextDecoder().decode(section)];
  });
  return mergeSbat([...texts, ukiSbat]);
}

/** An image in memory, from its parts in memory. @throws as layoutUki */
export function assembleUki(
  stub: Uint8Array,
  sections: readonly { readonly name: string; readonly content: Uint8Array }[],
): Uint8Array {
  const kernel = sections.find(({ name }) => name === ".linux")?.content;
  const layout = layoutUki({
    stub,
    sections: sections.map(({ name, content }) => ({ name, size: content.length })),
    ...(kernel === undefined ? {} : { nxCompatible: isNxCompatible(kernel) }),
  });
  const result = new Uint8Array(layout.size);
  result.set(layout.head);
  for (const [index, { offset }] of layout.placements.entries())
    result.set((sections[index] as { content: Uint8Array }).content, offset);
  return result;
}

/**
 * Whether a kernel says that it can do without pages that are writable and executable. One that is no
 * PE file says nothing, and the stub's own word stands.
 */
export function isNxCompatible(kernel: Uint8Array): boolean {
  try {
    return (readPe(kernel).dllCharacteristics & nxCompatible) !== 0;
  } catch (error) {
    if (error instanceof FormatError) return true;
    throw error;
  }
}

/** The version of systemd that a stub or boot loader says it is from, or undefined: before 254 it may not show. */
export function stubVersion(program: Uint8Array): string | undefined {
  const magic = peContent(program, readPe(program), ".sdmagic");
  if (magic === undefined) return undefined;
  return /^#### LoaderInfo: systemd-\w+ (\S+) ####/.exec(new TextDecoder("latin1").decode(magic))?.[1];
}

/**
 * A copy of the stub that is as the format wants it: no symbols at its end, content on the grain of the
 * file, and without the sections that shall go. No gap stays where they were: what a signature covers
 * has none.
 */
function prepareStub(stub: Uint8Array, gone: ReadonlySet<string> = new Set()): Uint8Array {
  const image = readPe(stub);
  if (image.security.size > 0)
    throw new ConfigError("the stub is signed already: sections cannot be added to it", {
      code: "stub-signed",
      hint: "take the unsigned stub, linux<arch>.efi.stub; imgtool signs the finished image",
      data: { offset: image.security.address },
    });
  const whole = withoutSymbols(stub, image);
  const grain = image.fileAlignment;
  const kept = image.sections.filter(({ name }) => !gone.has(name));
  const first = Math.min(
    ...image.sections.filter(({ rawSize }) => rawSize > 0).map(({ rawOffset }) => rawOffset),
    whole.length,
  );
  if (first < image.tableOffset + image.sections.length * peSectionHeaderSize)
    throw new FormatError(`not a PE file: byte ${first}: a section overlaps the headers`, {
      code: "pe-invalid",
      data: { offset: first },
    });
  const result: Uint8Array[] = [whole.slice(0, first)];
  const head = result[0] as Uint8Array;
  const view = new DataView(head.buffer);
  let length = first;
  let read = first;
  let index = 0;
  for (const section of image.sections) {
    const { rawOffset, rawSize, headerOffset, name } = section;
    if (rawSize > 0 && rawOffset < read)
      throw new FormatError(`not a PE file: byte ${headerOffset + 20}: section ${name} overlaps what is before it`, {
        code: "pe-invalid",
        data: { offset: headerOffset + 20 },
      });
    if (gone.has(name)) {
      read = Math.max(read, rawOffset + roundUp(rawSize, grain));
      continue;
    }
    const between = rawSize > 0 ? whole.subarray(Math.min(read, rawOffset), rawOffset) : new Uint8Array();
    const to = roundUp(length + between.length, grain);
    const size = roundUp(rawSize, grain);
    const at = image.tableOffset + index++ * peSectionHeaderSize;
    head.set(stub.subarray(headerOffset, headerOffset + peSectionHeaderSize), at);
    if (rawSize === 0) continue;
    view.setUint32(at + 16, size, true);
    view.setUint32(at + 20, to, true);
    result.push(between, new Uint8Array(to - length - between.length));
    result.push(whole.subarray(rawOffset, rawOffset + rawSize), new Uint8Array(size - rawSize));
    length = to + size;
    read = rawOffset + rawSize;
  }
  // What a section that is gone had padding behind it may end beyond the file.
  result.push(whole.subarray(Math.min(read, whole.length)));
  view.setUint16(image.headerOffset + 6, kept.length, true);
  const lost = image.sections.filter(({ name }) => gone.has(name)).reduce((sum, one) => sum + peContentSize(one), 0);
  view.setUint32(image.optionalOffset + 8, Math.max(0, image.sizeOfInitializedData - lost), true);
  return concatenate(result);
}

/** Stubs before systemd 254 carry a symbol table at their end, which nothing reads. */
function withoutSymbols(stub: Uint8Array, { symbolTable, headerOffset }: PeImage): Uint8Array {
  const result = Uint8Array.from(stub);
  const view = new DataView(result.buffer);
  const { offset, count } = symbolTable;
  const strings = offset + 18 * count;
  if (offset === 0 || strings + 4 > stub.length) return result;
  // Only at the very end can it go without moving anything.
  if (strings + view.getUint32(strings, true) !== stub.length) return result;
  view.setUint32(headerOffset + 12, 0, true);
  view.setUint32(headerOffset + 16, 0, true);
  return result.subarray(0, offset).slice();
}

/**
 * The stub's own sections whose new content does not fit where they are: in the file, or in memory
 * before the next. In stubs before systemd 254 another section begins 256 bytes after `.sbat`.
 */
function replacedElsewhere(image: PeImage, sections: readonly UkiSection[]): Set<string> {
  const names = new Set<string>();
  for (const { name, size } of sections) {
    const own = image.sections.find((one) => one.name === name);
    if (own === undefined) continue;
    const room = Math.min(
      own.rawSize,
      ...image.sections
        .filter(({ virtualAddress }) => virtualAddress > own.virtualAddress)
        .map(({ virtualAddress }) => virtualAddress - own.virtualAddress),
    );
    if (size > room) names.add(name);
  }
  return names;
}

function writeSectionHeader(bytes: Uint8Array, at: number, section: Omit<PeSection, "headerOffset">): void {
  const name = new TextEncoder().encode(section.name);
  if (name.length > 8)
    throw new ConfigError(`the section name ${section.name} has more than 8 bytes`, { code: "section-name-invalid" });
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, peSectionHeaderSize);
  bytes.set(name, at);
  view.setUint32(8, section.virtualSize, true);
  view.setUint32(12, section.virtualAddress, true);
  view.setUint32(16, section.rawSize, true);
  view.setUint32(20, section.rawOffset, true);
  view.setUint32(36, section.characteristics, true);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

function roundUp(value: number, grain: number): number {
  return Math.ceil(value / grain) * grain;
}
