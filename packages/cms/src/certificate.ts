/**
 * The parts of an X.509 certificate (RFC 5280) that signing with its key needs.
 * @module
 */
import { FormatError } from "@imgtool/core";
import { DerReader, derTag, contextTag, type DerElement } from "./der.ts";

/** Certificates in use have one or two KiB; this is generous. */
const sizeLimit = 64 * 1024;

export interface Certificate {
  /** The whole certificate, DER. */
  readonly der: Uint8Array;
  /** DER of the serial number, the issuer's and the subject's name, and the public key with its algorithm. */
  readonly serialNumber: Uint8Array;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKey: Uint8Array;
  /** The key alone, for RSA an RSAPublicKey (RFC 8017, appendix A.1.1), DER. */
  readonly subjectPublicKey: Uint8Array;
  /** Milliseconds since 1970 between which it is valid. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Reads a certificate.
 * @param bytes DER, or PEM text whose first certificate counts
 * @param name how messages name it: a path
 * @throws FormatError `certificate-invalid`
 */
export function decodeCertificate(bytes: Uint8Array, name = "the certificate"): Certificate {
  try {
    const der = pemContent(bytes, "CERTIFICATE") ?? bytes;
    if (der.length > sizeLimit) throw new FormatError(`expected at most ${sizeLimit} bytes, found ${der.length}`);
    const outer = new DerReader(der);
    const certificate = DerReader.into(outer.read(derTag.sequence));
    outer.end();
    const fields = DerReader.into(certificate.read(derTag.sequence));
    if (fields.nextTag === contextTag(0)) fields.read();
    const serialNumber = fields.read(derTag.integer).whole;
    fields.read(derTag.sequence);
    const issuer = fields.read(derTag.sequence).whole;
    const validity = DerReader.into(fields.read(derTag.sequence));
    const notBefore = timeOf(validity.read());
    const notAfter = timeOf(validity.read());
    const subject = fields.read(derTag.sequence).whole;
    const publicKey = fields.read(derTag.sequence);
    const info = DerReader.into(publicKey);
    info.read(derTag.sequence);
    // Before it is the number of bits that are not used, which whole bytes have none of.
    const subjectPublicKey = info.read(derTag.bitString).content.subarray(1);
    certificate.read(derTag.sequence);
    certificate.read(derTag.bitString);
    certificate.end();
    return {
      der,
      serialNumber,
      issuer,
      subject,
      publicKey: publicKey.whole,
      subjectPublicKey,
      notBefore,
      notAfter,
    };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(`${name} is not an X.509 certificate: ${error.message}`, {
      code: "certificate-invalid",
      hint: "give a certificate in PEM or DER form",
      data: { name, ...error.data },
      cause: error,
    });
  }
}

/** UTCTime (years 1950 to 2049) or GeneralizedTime, both in UTC to the second. */
function timeOf(element: DerElement): number {
  const text = new TextDecoder("latin1").decode(element.content);
  const pattern = element.tag === derTag.utcTime ? /^(\d{2})(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/;
  const match = pattern.exec(text);
  if (match === null || (element.tag !== derTag.utcTime && element.tag !== derTag.generalizedTime))
    throw new FormatError(`expected a time at byte ${element.offset}, found ${JSON.stringify(text)}`);
  const [, year = "", rest = ""] = match;
  const [month = 0, day = 0, hour = 0, minute = 0, second = 0] = (rest.match(/../g) ?? []).map(Number);
  const full = year.length === 4 ? Number(year) : Number(year) + (Number(year) < 50 ? 2000 : 1900);
  const date = new Date(0);
  date.setUTCFullYear(full, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date.getTime();
}

/**
 * The bytes of the first PEM block (RFC 7468) with this label, or undefined where there is none.
 * @throws FormatError `pem-invalid` when the block is not closed or not base64
 */
export function pemContent(bytes: Uint8Array, label: string): Uint8Array | undefined {
  const text = new TextDecoder("latin1").decode(bytes);
  const begin = text.indexOf(`-----BEGIN ${label}-----`);
  if (begin < 0) return undefined;
  const from = begin + label.length + "-----BEGIN -----".length;
  const end = text.indexOf(`-----END ${label}-----`, from);
  const body = text.slice(from, end < 0 ? from : end).replace(/\s+/g, "");
  if (end < 0 || body.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(body))
    throw new FormatError(`the PEM block ${label} is damaged`, { code: "pem-invalid", data: { label } });
  return Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
}

/** PEM text of DER bytes, in lines of 64 characters. */
export function encodePem(label: string, der: Uint8Array): string {
  let binary = "";
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
