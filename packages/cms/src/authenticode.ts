/**
 * The signature in a signed PE file: CMS over SpcIndirectDataContent ("Windows Authenticode Portable
 * Executable Signature Format", Microsoft 2008). The digest of the PE file comes from elsewhere.
 * @module
 */
import { contextTag, derTag, encodeElement, encodeNull, encodeOctetString, encodeOid, encodeSequence } from "./der.ts";
import { oids } from "./oids.ts";
import { signEnveloped, type Signer } from "./signed-data.ts";

/**
 * Signs the digest of a PE file. There is no signing time among the attributes: firmware has no use for it,
 * and the same input shall give the same bytes.
 * @param digest the PE file's Authenticode SHA-256
 * @returns ContentInfo, DER
 * @throws RangeError when the digest has not 32 bytes
 */
export function signAuthenticode(digest: Uint8Array, signer: Signer): Uint8Array<ArrayBuffer> {
  if (digest.length !== 32) throw new RangeError(`a SHA-256 digest has 32 bytes, not ${digest.length}`);
  return signEnveloped(oids.spcIndirectData, encodeIndirectData(digest), signer);
}

/** SpcIndirectDataContent of a PE file; the file's name is the constant that the format fixes. */
function encodeIndirectData(digest: Uint8Array): Uint8Array<ArrayBuffer> {
  const name = Uint8Array.from("<<<Obsolete>>>".split("").flatMap((character) => [0, character.charCodeAt(0)]));
  const flags = encodeElement(derTag.bitString, Uint8Array.of(0));
  const link = encodeElement(contextTag(0), encodeElement(contextTag(2), encodeElement(0x80, name)));
  return encodeSequence(
    encodeSequence(encodeOid(oids.spcPeImageData), encodeSequence(flags, link)),
    encodeSequence(encodeSequence(encodeOid(oids.sha256), encodeNull()), encodeOctetString(digest)),
  );
}
