/**
 * What a signature of a PE file covers and where it goes ("Windows Authenticode Portable Executable
 * Signature Format", Microsoft 2008; UEFI 2.10, section 32.2.3). Pure; `sign-file.ts` does it to files.
 * @module
 */
import { ConfigError, FormatError } from "@imgtool/core";
import { readPe, type PeImage } from "./pe.ts";

/** WIN_CERTIFICATE: length, revision, type. */
const certificateHeaderSize = 8;
const revision2 = 0x0200;
const pkcsSignedData = 0x0002;
/** Certificates begin and end on multiples of this. */
const alignment = 8;

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface AuthenticodeLayout {
  readonly image: PeImage;
  /** What the digest covers, in order; then follow `padding` zeros. */
  readonly ranges: readonly ByteRange[];
  /** Bytes of the file without signatures, before padding. */
  readonly end: number;
  readonly padding: number;
  /** Where the address and size of the signatures are written. */
  readonly securityOffset: number;
  /** Whether the file has a signature already. */
  readonly signed: boolean;
}

/**
 * Finds what a signature covers.
 * @param bytes the file, or its beginning as far as the headers go
 * @param size bytes of the whole file
 * @throws FormatError `pe-invalid` for what is no PE file, has no room for the address of signatures, or
 *   whose sections leave gaps or overlap: firmware and signing tools disagree on the digest of such a file
 */
export function layoutAuthenticode(bytes: Uint8Array, size: number): AuthenticodeLayout {
  const image = readPe(bytes, size);
  const { securityOffset, security, checksumOffset } = image;
  if (securityOffset === undefined)
    throw refuse(image.optionalOffset, "there is no entry for signatures among the data directories");
  const signed = security.size > 0;
  const end = signed ? security.address : size;
  let hashed = image.sizeOfHeaders;
  const sections = image.sections.filter(({ rawSize }) => rawSize > 0);
  for (const section of sections.sort((a, b) => a.rawOffset - b.rawOffset)) {
    if (section.rawOffset !== hashed)
      throw refuse(
        section.headerOffset,
        `section ${JSON.stringify(section.name)} begins at ${section.rawOffset}, what stands before it ends at ${hashed}`,
      );
    hashed += section.rawSize;
  }
  if (signed && (end < hashed || end % alignment !== 0 || alignUp(end + security.size) !== alignUp(size)))
    throw refuse(
      securityOffset,
      `signatures at ${end} to ${end + security.size} are not the end of the file (${hashed} to ${size})`,
    );
  return {
    image,
    ranges: [
      { start: 0, end: checksumOffset },
      { start: checksumOffset + 4, end: securityOffset },
      { start: securityOffset + 8, end },
    ],
    end,
    padding: alignUp(end) - end,
    securityOffset,
    signed,
  };
}

/** A signature as the attribute certificate table holds it: header, ContentInfo, zeros up to 8 bytes. */
export function encodeAttributeCertificate(signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = certificateHeaderSize + signature.length;
  const bytes = new Uint8Array(alignUp(length));
  const view = new DataView(bytes.buffer);
  // As sbsign: without the padding, which the security directory's size counts.
  view.setUint32(0, length, true);
  view.setUint16(4, revision2, true);
  view.setUint16(6, pkcsSignedData, true);
  bytes.set(signature, certificateHeaderSize);
  return bytes;
}

/**
 * @throws ConfigError `pe-signed` for a file that has a signature, when it must not have one
 */
export function refuseSigned(layout: AuthenticodeLayout, name: string): void {
  if (layout.signed)
    throw new ConfigError(`${name} is signed already`, {
      code: "pe-signed",
      hint: "sign the file as it was before, or have its signature replaced",
      data: { name },
    });
}

function alignUp(size: number): number {
  return Math.ceil(size / alignment) * alignment;
}

function refuse(offset: number, message: string): FormatError {
  return new FormatError(`cannot sign this PE file: byte ${offset}: ${message}`, {
    code: "pe-invalid",
    data: { offset },
  });
}
