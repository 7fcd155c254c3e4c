/**
 * Small PE32+ files for tests.
 * @module
 */

export interface SampleSection {
  readonly name: string;
  readonly content: Buffer;
}

export interface SamplePe {
  readonly bytes: Buffer;
  readonly checksumOffset: number;
  readonly securityOffset: number;
}

const headersSize = 1024;
const fileAlignment = 512;
const optionalOffset = 0x40 + 24;

/** A file with these sections; `gap` bytes between them, `directories` data directories. */
export function samplePe(
  sections: readonly SampleSection[],
  options: { readonly gap?: number; readonly directories?: number } = {},
): SamplePe {
  const { gap = 0, directories = 16 } = options;
  const head = Buffer.alloc(headersSize);
  head.write("MZ", 0);
  head.writeUInt32LE(0x40, 0x3c);
  head.write("PE\0\0", 0x40);
  head.writeUInt16LE(0x8664, 0x44);
  head.writeUInt16LE(sections.length, 0x46);
  const optionalSize = 112 + 8 * directories;
  head.writeUInt16LE(optionalSize, 0x54);
  head.writeUInt16LE(0x2022, 0x56);
  head.writeUInt16LE(0x20b, optionalOffset);
  head.writeUInt32LE(4096, optionalOffset + 16);
  head.writeUInt32LE(4096, optionalOffset + 32);
  head.writeUInt32LE(fileAlignment, optionalOffset + 36);
  head.writeUInt32LE(4096 * (1 + sections.length), optionalOffset + 56);
  head.writeUInt32LE(headersSize, optionalOffset + 60);
  head.writeUInt16LE(10, optionalOffset + 68);
  head.writeUInt32LE(directories, optionalOffset + 108);
  const parts = [head];
  let offset = headersSize;
  for (const [index, { name, content }] of sections.entries()) {
    const at = optionalOffset + optionalSize + 40 * index;
    const size = Math.ceil(content.length / fileAlignment) * fileAlignment;
    const start = offset + (index === 0 ? 0 : gap);
    head.write(name, at);
    head.writeUInt32LE(content.length, at + 8);
    head.writeUInt32LE(4096 * (index + 1), at + 12);
    head.writeUInt32LE(size, at + 16);
    head.writeUInt32LE(start, at + 20);
    head.writeUInt32LE(0x60000020, at + 36);
    parts.push(
      Buffer.alloc(Math.max(0, start - offset)),
      Buffer.concat([content, Buffer.alloc(size - content.length)]),
    );
    offset = start + size;
  }
  return {
    bytes: Buffer.concat(parts),
    checksumOffset: optionalOffset + 64,
    securityOffset: optionalOffset + 112 + 32,
  };
}
