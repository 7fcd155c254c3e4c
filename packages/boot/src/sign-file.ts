/**
 * Signs EFI programs for Secure Boot, in place. Memory: two MiB, whatever their size.
 * @module
 */
import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { signAuthenticode, type Signer } from "@imgtool/cms";
import { EnvironmentError, throwIfAborted } from "@imgtool/core";
import {
  encodeAttributeCertificate,
  layoutAuthenticode,
  refuseSigned,
  type AuthenticodeLayout,
} from "./authenticode.ts";
import { PeChecksum } from "./pe-checksum.ts";

/** Headers of EFI programs have some KiB. */
const headSize = 1024 ** 2;
const blockSize = 1024 ** 2;

export interface SignPeOptions {
  readonly signer: Signer;
  /** What becomes of a signature that is there: an error (default), or it gives way to the new one. */
  readonly existing?: "refuse" | "replace";
  readonly signal?: AbortSignal | undefined;
}

/**
 * The digest that a signature of the PE file covers: Authenticode SHA-256.
 * @throws FormatError `pe-invalid`
 */
export async function peFileDigest(path: string, signal?: AbortSignal): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    return await digest(file, await readLayout(file), signal);
  } finally {
    await file.close();
  }
}

/**
 * Signs a PE file in place: the signature is appended, the header says where. After an error the file is
 * not to be used: sign a copy.
 * @throws FormatError `pe-invalid`; ConfigError `pe-signed`; EnvironmentError `file-changed`; AbortedError
 */
export async function signPeFile(path: string, options: SignPeOptions): Promise<void> {
  const { signer, existing = "refuse", signal } = options;
  const file = await open(path, "r+");
  try {
    const layout = await readLayout(file);
    if (existing === "refuse") refuseSigned(layout, path);
    const signature = signAuthenticode(await digest(file, layout, signal), signer);
    const certificate = encodeAttributeCertificate(signature);
    const start = layout.end + layout.padding;
    await file.truncate(layout.end);
    await file.truncate(start);
    await file.write(certificate, 0, certificate.length, start);
    const entry = new DataView(new ArrayBuffer(8));
    entry.setUint32(0, start, true);
    entry.setUint32(4, certificate.length, true);
    await file.write(new Uint8Array(entry.buffer), 0, 8, layout.securityOffset);
    await writeChecksum(file, layout.image.checksumOffset, signal);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readLayout(file: FileHandle): Promise<AuthenticodeLayout> {
  const { size } = await file.stat();
  const head = Buffer.alloc(Math.min(size, headSize));
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  return layoutAuthenticode(head.subarray(0, bytesRead), size);
}

async function digest(file: FileHandle, layout: AuthenticodeLayout, signal: AbortSignal | undefined): Promise<Buffer> {
  const hash = createHash("sha256");
  for (const { start, end } of layout.ranges)
    for await (const bytes of readRange(file, start, end, signal)) hash.update(bytes);
  return hash.update(Buffer.alloc(layout.padding)).digest();
}

async function writeChecksum(file: FileHandle, offset: number, signal: AbortSignal | undefined): Promise<void> {
  await file.write(Buffer.alloc(4), 0, 4, offset);
  const checksum = new PeChecksum();
  const { size } = await file.stat();
  for await (const bytes of readRange(file, 0, size, signal)) checksum.update(bytes);
  const field = Buffer.alloc(4);
  field.writeUInt32LE(checksum.value);
  await file.write(field, 0, 4, offset);
}

/** The file's bytes from `start` to `end`, in one buffer that is used again and again. */
async function* readRange(
  file: FileHandle,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const buffer = Buffer.alloc(Math.min(blockSize, end - start));
  for (let at = start; at < end;) {
    throwIfAborted(signal);
    const wanted = Math.min(buffer.length, end - at);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await file.read(buffer, filled, wanted - filled, at + filled);
      if (bytesRead === 0)
        throw new EnvironmentError("a file became shorter while it was signed", { code: "file-changed" });
      filled += bytesRead;
    }
    yield buffer.subarray(0, wanted);
    at += wanted;
  }
}
