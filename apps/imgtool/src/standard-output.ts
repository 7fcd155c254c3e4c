/**
 * Data on standard output: no faster than the reader takes it.
 * @module
 */

/** Writes text or bytes, which must not change afterwards; resolves when more may be written. */
export async function writeOut(data: string | Uint8Array): Promise<void> {
  if (process.stdout.write(data)) return;
  await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
}

/** Writes all pieces, none of which may change afterwards. */
export async function writeStandardOutput(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const bytes of pieces) await writeOut(bytes);
}
