/**
 * The secrets and salts of an encrypted partition: random, or derived from the passphrase so that two
 * builds make the same bytes.
 *
 * Nothing secret derives from what is public. Derived keys come from the passphrase by the same slow
 * function, with the same cost, that the key slot protects it with, salted with the LUKS UUID: trying
 * passphrases on the derivation takes as long as trying them on the key slot. What derivation gives up is
 * said in docs/encryption.md.
 * @module
 */
import { parseUuid } from "@imgtool/core";
import { argon2, createCipheriv, hkdfSync, pbkdf2, randomBytes, type Argon2Parameters } from "node:crypto";
import { promisify } from "node:util";
import { luksStripes, volumeKeySize, type LuksKdf } from "./header.ts";

/** What all that must not be guessed is made of. */
export interface LuksSecrets {
  readonly volumeKey: Uint8Array;
  /** The stripes of the split key but the last. */
  readonly stripes: Uint8Array;
  readonly kdfSalt: Uint8Array;
  readonly digestSalt: Uint8Array;
  readonly headerSalts: readonly [Uint8Array, Uint8Array];
}

const saltSize = 32;
const headerSaltSize = 64;
const stripesSize = volumeKeySize * (luksStripes - 1);

/** Different for every call. */
export function randomSecrets(): LuksSecrets {
  return secretsFrom(randomBytes(64));
}

/** The same for the same passphrase, UUID and function. */
export async function derivedSecrets(passphrase: Uint8Array, uuid: string, kdf: LuksKdf): Promise<LuksSecrets> {
  const salt = Buffer.concat([Buffer.from("imgtool LUKS2 secrets\0"), parseUuid(uuid)]);
  return secretsFrom(await deriveKey(passphrase, salt, kdf));
}

/** The key of `length` (default 64) bytes that a key slot makes of a passphrase. */
export async function deriveKey(
  passphrase: Uint8Array,
  salt: Uint8Array,
  kdf: LuksKdf,
  length = 64,
): Promise<Uint8Array> {
  if (kdf.type === "pbkdf2") return await promisify(pbkdf2)(passphrase, salt, kdf.iterations, length, "sha256");
  const parameters: Argon2Parameters = {
    message: passphrase,
    nonce: salt,
    passes: kdf.time,
    memory: kdf.memory,
    parallelism: kdf.cpus,
    tagLength: length,
  };
  return await promisify(argon2)("argon2id", parameters);
}

/** Expands 64 secret bytes: HKDF (RFC 5869) with a purpose for each value; AES-CTR for the many stripes. */
function secretsFrom(secret: Uint8Array): LuksSecrets {
  const expand = (purpose: string, length: number): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(), purpose, length));
  const stream = createCipheriv("aes-256-ctr", expand("stripes", 32), Buffer.alloc(16));
  return {
    volumeKey: expand("volume key", volumeKeySize),
    stripes: stream.update(Buffer.alloc(stripesSize)),
    kdfSalt: expand("key slot salt", saltSize),
    digestSalt: expand("digest salt", saltSize),
    headerSalts: [expand("first header salt", headerSaltSize), expand("second header salt", headerSaltSize)],
  };
}
