/**
 * The version that a kernel image carries in itself: the x86 boot protocol's header (the kernel's
 * Documentation/arch/x86/boot.rst), or the banner of an uncompressed image.
 * @module
 */

/**
 * The version (what `uname -r` will say) from a kernel image, or undefined when it does not show: a
 * compressed image of another architecture than x86. Reads no byte that is not there.
 */
export function kernelVersion(image: Uint8Array): string | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.length >= 0x210 && view.getUint32(0x202, true) === 0x53726448) {
    const pointer = view.getUint16(0x20e, true);
    if (pointer === 0) return undefined;
    const text = new TextDecoder("latin1").decode(image.subarray(0x200 + pointer, 0x200 + pointer + 128));
    return /^([\w.+~-]+) /.exec(text)?.[1];
  }
  const at = Buffer.from(image.buffer, image.byteOffset, image.byteLength).indexOf("Linux version ");
  if (at < 0) return undefined;
  const text = new TextDecoder("latin1").decode(image.subarray(at + 14, at + 14 + 128));
  return /^(\d[\w.+~-]*) \(/.exec(text)?.[1];
}
