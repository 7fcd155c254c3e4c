/**
 * CMS SignedData (RFC 5652, section 5; PKCS#7 1.5, RFC 2315): one signer, SHA-256 with RSA PKCS#1 v1.5,
 * whose signatures are the same for the same input. The bytes are those that OpenSSL's PKCS7_sign makes.
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Certificate } from "./certificate.ts";
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

/** A private key with its certificate. */
export interface Signer {
  readonly certificate: Certificate;
  /** The RSA PKCS#1 v1.5 signature of the bytes' SHA-256. */
  sign(bytes: Uint8Array): Uint8Array;
}

/**
 * A detached signature without attributes: what `openssl smime -sign -binary -noattr -outform DER` makes,
 * what systemd-repart puts beside a root hash and the kernel checks.
 * @param content the bytes that are signed, which the result does not hold
 * @returns ContentInfo, DER
 */
export function signDetached(content: Uint8Array, signer: Signer): Uint8Array<ArrayBuffer> {
  return encodeSequence(encodeOid(oids.signedData), encodeElement(contextTag(0), signContent(content, signer)));
}

/**
 * As signDetached(), without a ContentInfo around it: the form that UEFI's signed variables hold.
 * @returns SignedData, DER
 */
export function signContent(content: Uint8Array, signer: Signer): Uint8Array<ArrayBuffer> {
  return signedData(encodeSequence(encodeOid(oids.data)), signer, signer.sign(content));
}

/**
 * A signature that holds what it signs, under signed attributes that name the content's type and digest.
 * @param type object identifier of the content
 * @param content one DER element; its digest leaves out tag and length (PKCS#7, RFC 2315, section 9.3)
 * @returns ContentInfo, DER
 */
export function signEnveloped(type: string, content: Uint8Array, signer: Signer): Uint8Array<ArrayBuffer> {
  return encodeSequence(
    encodeOid(oids.signedData),
    encodeElement(contextTag(0), signedDataWithAttributes(type, content, signer)),
  );
}

/** The SignedData alone, without a ContentInfo around it. */
function signedDataWithAttributes(type: string, content: Uint8Array, signer: Signer): Uint8Array<ArrayBuffer> {
  const attributes = [
    attribute(oids.contentType, encodeOid(type)),
    attribute(oids.messageDigest, encodeOctetString(sha256(contentOctets(content)))),
  ];
  return signedData(
    encodeSequence(encodeOid(type), encodeElement(contextTag(0), content)),
    signer,
    // What is signed is the set under its own tag, what is stored has the tag [0].
    signer.sign(encodeSetOf(attributes)),
    encodeSetOf(attributes, contextTag(0)),
  );
}

function attribute(type: string, value: Uint8Array): Uint8Array {
  return encodeSequence(encodeOid(type), encodeSetOf([value]));
}

/** An element without its tag and length. */
function contentOctets(element: Uint8Array): Uint8Array {
  const first = element[1] ?? 0;
  return element.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f));
}

function signedData(
  encapsulated: Uint8Array,
  { certificate }: Signer,
  signature: Uint8Array,
  attributes: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  const digestAlgorithm = encodeSequence(encodeOid(oids.sha256), encodeNull());
  const signerInfo = encodeSequence(
    encodeInteger(1),
    encodeSequence(certificate.issuer, certificate.serialNumber),
    digestAlgorithm,
    attributes,
    encodeSequence(encodeOid(oids.rsaEncryption), encodeNull()),
    encodeOctetString(signature),
  );
  return encodeSequence(
    encodeInteger(1),
    encodeElement(derTag.set, digestAlgorithm),
    encapsulated,
    encodeElement(contextTag(0), certificate.der),
    encodeElement(derTag.set, signerInfo),
  );
}
