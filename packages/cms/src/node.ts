/**
 * Signers whose key node:crypto holds.
 * @module
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";
import { promisify } from "node:util";
import { ConfigError, FormatError } from "@imgtool/core";
import { decodeCertificate, encodePem } from "./certificate.ts";
import { selfSignedCertificate } from "./self-signed.ts";
import type { Signer } from "./signed-data.ts";

export interface SignerFiles {
  /** Private key: PEM, or PKCS#8 or PKCS#1 in DER. */
  readonly key: Uint8Array;
  /** Certificate, PEM or DER. */
  readonly certificate: Uint8Array;
  /** How messages name them: paths. */
  readonly keyName?: string;
  readonly certificateName?: string;
}

/** Smaller keys than this are broken in practice. */
const leastBits = 2048;

/**
 * A signer from a private key and its certificate.
 * @throws FormatError `key-invalid`, `certificate-invalid`; ConfigError `key-mismatch` when the key is not
 *   the certificate's, `key-unsupported` when it is not RSA of at least 2048 bits
 */
export function makeSigner(files: SignerFiles): Signer {
  const { keyName = "the private key", certificateName = "the certificate" } = files;
  const key = readPrivateKey(files.key, keyName);
  const certificate = decodeCertificate(files.certificate, certificateName);
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== "rsa" || bits < leastBits)
    throw new ConfigError(
      `${keyName}: expected an RSA key of at least ${leastBits} bits, found ${key.asymmetricKeyType ?? "another key"}${bits === 0 ? "" : ` of ${bits} bits`}`,
      {
        code: "key-unsupported",
        hint: "make one with: imgtool genkey",
        data: { expected: leastBits, type: key.asymmetricKeyType, bits },
      },
    );
  const own = createPublicKey(key).export({ type: "spki", format: "der" });
  if (!own.equals(certificate.publicKey))
    throw new ConfigError(`${keyName} is not the key of ${certificateName}`, {
      code: "key-mismatch",
      hint: "give the certificate that was made for this key",
      data: { key: keyName, certificate: certificateName },
    });
  return { certificate, sign: (bytes) => new Uint8Array(sign("sha256", bytes, key)) };
}

export interface KeyPair {
  /** PKCS#8, PEM, not encrypted. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
}

export interface GenerateOptions {
  readonly commonName: string;
  /** From `now` on. */
  readonly validDays: number;
  /** Milliseconds since 1970. Default: the current time. */
  readonly now?: number;
}

const millisecondsOfADay = 86_400_000;

/** A new RSA key of 2048 bits, which all UEFI firmware takes, and its certificate. */
export async function generateKey({ commonName, validDays, now = Date.now() }: GenerateOptions): Promise<KeyPair> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  const bits = publicKey.export({ type: "pkcs1", format: "der" });
  const der = selfSignedCertificate({
    commonName,
    notBefore: now,
    notAfter: now + validDays * millisecondsOfADay,
    serialNumber: BigInt(`0x01${randomBytes(19).toString("hex")}`),
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    keyIdentifier: createHash("sha1").update(bits).digest(),
    sign: (bytes) => sign("sha256", bytes, privateKey),
  });
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    certificate: encodePem("CERTIFICATE", der),
  };
}

function readPrivateKey(bytes: Uint8Array, name: string): KeyObject {
  const data = Buffer.from(bytes);
  const text = data.toString("latin1");
  const encrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
  try {
    if (text.includes("-----BEGIN ")) return createPrivateKey({ key: data, format: "pem" });
    // PKCS#8 has another sequence, PKCS#1 an integer after the version.
    const type = data[data.indexOf("020100", 0, "hex") + 3] === 0x30 ? "pkcs8" : "pkcs1";
    return createPrivateKey({ key: data, format: "der", type });
  } catch (error) {
    throw new FormatError(`${name}: ${encrypted ? "the private key is encrypted" : "not a private key"}`, {
      code: "key-invalid",
      hint: encrypted
        ? `decrypt it first: openssl pkey -in ${name} -out decrypted.key`
        : "give a private key in PEM form",
      data: { key: name },
      cause: error,
    });
  }
}
