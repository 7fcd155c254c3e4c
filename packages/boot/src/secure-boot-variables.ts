/**
 * The variables by which UEFI firmware knows whose programs it may start: signature lists, and updates
 * of variables that firmware in setup mode, or whoever holds the platform key, takes
 * (UEFI 2.10, sections 8.2.2 and 32.4.1).
 *
 * They are those of sbsigntools' `sbsiglist` and `sbvarsign`, but for attributes in the signature that
 * hold the time of signing: the same input gives the same bytes.
 * @module
 */
import { signContent, type Signer } from "@imgtool/cms";
import { concatBytes, parseUuid, swapGuid } from "@imgtool/core";

/** A name by which firmware tells things apart, in UEFI's byte order. */
function guid(text: string): Uint8Array<ArrayBuffer> {
  return swapGuid(parseUuid(text));
}

/** EFI_GLOBAL_VARIABLE, and EFI_IMAGE_SECURITY_DATABASE_GUID. */
const globalVariable = guid("8be4df61-93ca-11d2-aa0d-00e098032b8c");
const securityDatabase = guid("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
/** EFI_CERT_X509_GUID, and EFI_CERT_TYPE_PKCS7_GUID. */
const x509Certificate = guid("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
const pkcs7Signature = guid("4aafd29d-68df-49ee-8aa9-347d375665a7");

/** Kept over a reset, seen by boot services and by the running system, changed by signed updates alone. */
export const secureBootAttributes = 0x27;

/** What each of the keys may do: own the machine, change `db`, start programs. */
export const secureBootVariables: readonly SecureBootVariable[] = [
  { name: "PK", vendor: globalVariable },
  { name: "KEK", vendor: globalVariable },
  { name: "db", vendor: securityDatabase },
];

export interface SecureBootVariable {
  readonly name: "PK" | "KEK" | "db";
  /** The vendor's GUID, in UEFI's byte order. */
  readonly vendor: Uint8Array;
}

/** An EFI_SIGNATURE_LIST with one certificate, DER, that names no owner: a variable's content. */
export function signatureList(certificate: Uint8Array): Uint8Array {
  const owner = new Uint8Array(16);
  const signatureSize = owner.length + certificate.length;
  const headerSize = x509Certificate.length + 12;
  return concatBytes([x509Certificate, uint32(headerSize + signatureSize, 0, signatureSize), owner, certificate]);
}

/**
 * An update that sets a variable, signed: EFI_VARIABLE_AUTHENTICATION_2, then the content. What
 * systemd-boot looks for in `/loader/keys/NAME/VARIABLE.auth`.
 * @param seconds since 1970: a later update of the same variable must have a later time
 */
export function signVariable(
  { name, vendor }: SecureBootVariable,
  content: Uint8Array,
  seconds: number,
  signer: Signer,
): Uint8Array {
  const time = efiTime(seconds);
  const signed = concatBytes([utf16(name), vendor, uint32(secureBootAttributes), time, content]);
  const signature = signContent(signed, signer);
  // WIN_CERTIFICATE_UEFI_GUID: its length, revision 2.0, type EFI_GUID
  const header = concatBytes([uint32(8 + pkcs7Signature.length + signature.length), uint16(0x0200, 0x0ef1)]);
  return concatBytes([time, header, pkcs7Signature, signature, content]);
}

/** EFI_TIME in UTC, to the second: updates must leave the rest zero. */
export function efiTime(seconds: number): Uint8Array {
  const date = new Date(seconds * 1000);
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint16(0, date.getUTCFullYear(), true);
  bytes.set(
    [date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()],
    2,
  );
  return bytes;
}

/** Text as firmware has it, without an end. */
export function utf16(text: string): Uint8Array {
  return uint16(...Array.from(text, (letter) => letter.charCodeAt(0)));
}

function uint16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value & 0xff, value >>> 8]));
}

function uint32(...values: readonly number[]): Uint8Array {
  return uint16(...values.flatMap((value) => [value & 0xffff, value >>> 16]));
}
