/**
 * Certificates that sign themselves (RFC 5280, section 4), as `openssl req -x509` makes them: what
 * firmware and kernels take for the key of one project.
 * @module
 */
import { concatBytes } from "@imgtool/core";
import {
  contextTag,
  derTag,
  encodeElement,
  encodeInteger,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOf,
} from "./der.ts";
import { oids } from "./oids.ts";

export interface SelfSignedOptions {
  /** Whom the certificate names, as subject and issuer. */
  readonly commonName: string;
  /** Milliseconds since 1970, whole seconds count. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Positive, at most 20 bytes. */
  readonly serialNumber: bigint;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** SHA-1 of the public key's bits, by which certificates name keys; any 20 bytes that are the key's own will do. */
  readonly keyIdentifier: Uint8Array;
  /** RSASSA-PKCS1-v1_5 with SHA-256 over the bytes, by the private key. */
  readonly sign: (bytes: Uint8Array) => Uint8Array;
}

/** The certificate, DER. */
export function selfSignedCertificate(options: SelfSignedOptions): Uint8Array<ArrayBuffer> {
  const algorithm = encodeSequence(encodeOid(oids.sha256WithRsa), encodeNull());
  const commonName = encodeElement(derTag.utf8String, new TextEncoder().encode(options.commonName));
  const name = encodeSequence(encodeSetOf([encodeSequence(encodeOid(oids.commonName), commonName)]));
  const version3 = encodeElement(contextTag(0), encodeInteger(2));
  const body = encodeSequence(
    version3,
    encodeInteger(options.serialNumber),
    algorithm,
    name,
    encodeSequence(encodeTime(options.notBefore), encodeTime(options.notAfter)),
    name,
    options.publicKey,
    encodeElement(contextTag(3), encodeSequence(...extensions(options.keyIdentifier))),
  );
  return encodeSequence(body, algorithm, encodeBits(options.sign(body)));
}

function extensions(keyIdentifier: Uint8Array): Uint8Array[] {
  return [
    extension(oids.subjectKeyIdentifier, encodeOctetString(keyIdentifier)),
    // [0] IMPLICIT KeyIdentifier
    extension(oids.authorityKeyIdentifier, encodeSequence(encodeElement(0x80, keyIdentifier))),
    extension(oids.basicConstraints, encodeSequence(encodeElement(derTag.boolean, Uint8Array.of(0xff))), true),
  ];
}

function extension(oid: string, value: Uint8Array, critical = false): Uint8Array {
  const isCritical = critical ? [encodeElement(derTag.boolean, Uint8Array.of(0xff))] : [];
  return encodeSequence(encodeOid(oid), ...isCritical, encodeOctetString(value));
}

function encodeBits(bytes: Uint8Array): Uint8Array {
  return encodeElement(derTag.bitString, concatBytes([Uint8Array.of(0), bytes]));
}

/** Up to 2049 times have years of two digits (RFC 5280, section 4.1.2.5). */
function encodeTime(milliseconds: number): Uint8Array {
  const text = new Date(milliseconds).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  const isShort = new Date(milliseconds).getUTCFullYear() < 2050;
  return encodeElement(
    isShort ? derTag.utcTime : derTag.generalizedTime,
    new TextEncoder().encode(isShort ? text.slice(2) : text),
  );
}
