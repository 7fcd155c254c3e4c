/**
 * Little PE32+ programs in the place of systemd-stub and of kernels: a few hundred bytes that nothing can
 * run, with sections and headers like theirs.
 * @module
 */

/** A section of a program. */
export interface StubSection {
  readonly name: string;
  readonly virtualAddress: number;
  readonly content: Uint8Array;
  /** Bytes in the file; default: as many as the content has, on the grain of 512. */
  readonly rawSize?: number;
}

/** The first line of every SBAT section. */
export const sbatHead: string = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n";

/** Sections of a stub: `.sbat` has room for more. */
export const stubSections: readonly StubSection[] = [
  { name: ".text", virtualAddress: 0x1000, content: new Uint8Array(300).fill(0xcc) },
  { name: ".sbat", virtualAddress: 0x2000, content: Buffer.from(`${sbatHead}systemd-stub,1,Test,test,1,test\n`) },
  { name: ".sdmagic", virtualAddress: 0x3000, content: Buffer.from("#### LoaderInfo: systemd-stub 257.13-1 ####\0") },
];

export interface StubOptions {
  readonly sections?: readonly StubSection[];
  readonly sizeOfHeaders?: number;
  /** Bytes at the end that the header calls a symbol table. */
  readonly symbols?: boolean;
  readonly dllCharacteristics?: number;
}

/** A program with these sections, and space in its headers. */
export function makeStub(options: StubOptions = {}): Uint8Array {
  const { sections = stubSections, sizeOfHeaders = 0x600 } = options;
  const parts: Uint8Array[] = [];
  const headers = new Uint8Array(sizeOfHeaders);
  const view = new DataView(headers.buffer);
  view.setUint16(0, 0x5a4d, true);
  view.setUint32(0x3c, 0x80, true);
  view.setUint32(0x80, 0x4550, true);
  view.setUint16(0x84, 0x8664, true);
  view.setUint16(0x86, sections.length, true);
  view.setUint16(0x94, 240, true);
  view.setUint16(0x96, 0x22e, true);
  const optional = 0x98;
  view.setUint16(optional, 0x20b, true);
  view.setUint32(optional + 16, 0x1000, true);
  view.setUint32(optional + 20, 0x1000, true);
  view.setBigUint64(optional + 24, 0x140000000n, true);
  view.setUint32(optional + 32, 0x1000, true);
  view.setUint32(optional + 36, 0x200, true);
  view.setUint32(optional + 60, sizeOfHeaders, true);
  view.setUint16(optional + 68, 10, true);
  view.setUint16(optional + 70, options.dllCharacteristics ?? 0x160, true);
  view.setUint32(optional + 108, 16, true);
  let end = Math.ceil(sizeOfHeaders / 512) * 512;
  parts.push(headers, new Uint8Array(end - sizeOfHeaders));
  let memory = 0;
  for (const [index, { name, virtualAddress, content, rawSize }] of sections.entries()) {
    const at = optional + 240 + 40 * index;
    const size = rawSize ?? Math.ceil(content.length / 512) * 512;
    headers.set(Buffer.from(name), at);
    view.setUint32(at + 8, content.length, true);
    view.setUint32(at + 12, virtualAddress, true);
    view.setUint32(at + 16, size, true);
    view.setUint32(at + 20, end, true);
    view.setUint32(at + 36, index === 0 ? 0x60000020 : 0x40000040, true);
    parts.push(content, new Uint8Array(size - content.length));
    end += size;
    memory = virtualAddress + Math.ceil(content.length / 0x1000) * 0x1000;
  }
  view.setUint32(optional + 8, 0x400, true);
  view.setUint32(optional + 56, memory, true);
  if (options.symbols === true) {
    view.setUint32(0x8c, end, true);
    view.setUint32(0x90, 2, true);
    parts.push(new Uint8Array(36).fill(1), Buffer.from([8, 0, 0, 0, 1, 1, 1, 1]));
  }
  return Buffer.concat(parts);
}

/** A kernel: a program with an SBAT of its own that cannot do without writable code. */
export const testKernel: Uint8Array = makeStub({
  sections: [
    { name: ".text", virtualAddress: 0x1000, content: Buffer.from("kernel") },
    { name: ".sbat", virtualAddress: 0x2000, content: Buffer.from(`${sbatHead}linux,1,Test,linux,6.1,test\n`) },
  ],
  dllCharacteristics: 0,
});
