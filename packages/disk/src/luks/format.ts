/**
 * Makes LUKS2 volumes, as cryptsetup(8) and systemd-repart(8) do: one key slot, AES-256-XTS, data from
 * 16 MiB on. Without device-mapper and without root.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { Region } from "../gpt.ts";
import { splitKey } from "./anti-forensic.ts";
import { encodeLuksHeader, type LuksKdf } from "./header.ts";
import { deriveKey, derivedSecrets, randomSecrets } from "./keys.ts";
import { XtsEncryptor } from "./xts.ts";

/**
 * The second recommended option of RFC 9106, section 4: 64 MiB, which small devices have, too; with one pass
 * more, the least that cryptsetup takes. cryptsetup measures the machine that it runs on, but the machine that
 * builds an image is not the one that opens it.
 */
export const defaultLuksKdf: LuksKdf = { type: "argon2id", time: 4, memory: 64 * 1024, cpus: 4 };
/** The volume key cannot be guessed, so this need not be slow. */
const digestIterations = 100_000;
const digestSize = 32;
/** Sectors of the key slot's area, whatever those of the data are. */
const keyslotSectorSize = 512;
/** What cryptsetup reads of a key file at most. */
const passphraseLimit = 8 * 1024 ** 2;

export interface LuksOptions {
  readonly uuid: string;
  /** At most 47 bytes. */
  readonly label?: string;
  readonly passphrase: Uint8Array;
  /** Bytes that are encrypted together: 512, 1024, 2048 or 4096 (default). */
  readonly sectorSize?: number;
  readonly kdf?: LuksKdf;
  /** Where keys and salts come from: the passphrase (default), so that two builds are the same, or nowhere. */
  readonly keys?: "derived" | "random";
}

export interface LuksVolume {
  /** What stands before the data, which begins at `luksDataOffset`. */
  readonly header: readonly Region[];
  /** Encrypts the data; sectors are numbered from the data's beginning. */
  readonly volumeKey: Uint8Array;
  readonly sectorSize: number;
}

/**
 * Makes header and key of a volume.
 * @throws ConfigError `passphrase-invalid` for one that is empty or larger than 8 MiB; RangeError for a label,
 *   sector size or function that the format does not allow
 */
export async function formatLuks(options: LuksOptions): Promise<LuksVolume> {
  const { uuid, label = "", passphrase, sectorSize = 4096, kdf = defaultLuksKdf, keys = "derived" } = options;
  checkPassphrase(passphrase);
  if (![512, 1024, 2048, 4096].includes(sectorSize)) throw new RangeError(`LUKS sectors of ${sectorSize} bytes`);
  checkKdf(kdf);
  const secrets = keys === "random" ? randomSecrets() : await derivedSecrets(passphrase, uuid, kdf);
  const { volumeKey, digestSalt } = secrets;
  const keyslot = splitKey(volumeKey, secrets.stripes);
  new XtsEncryptor(await deriveKey(passphrase, secrets.kdfSalt, kdf), keyslotSectorSize).encrypt(keyslot, 0);
  const digestKdf: LuksKdf = { type: "pbkdf2", iterations: digestIterations };
  const header = encodeLuksHeader({
    uuid,
    label,
    sectorSize,
    kdf,
    kdfSalt: secrets.kdfSalt,
    keyslot,
    digest: {
      iterations: digestIterations,
      salt: digestSalt,
      value: await deriveKey(volumeKey, digestSalt, digestKdf, digestSize),
    },
    salts: secrets.headerSalts,
  });
  return { header, volumeKey, sectorSize };
}

/** @throws ConfigError `passphrase-invalid` */
export function checkPassphrase(passphrase: Uint8Array): void {
  if (passphrase.length === 0 || passphrase.length > passphraseLimit)
    throw new ConfigError(`a passphrase of ${passphrase.length} bytes: expected 1 to ${passphraseLimit}`, {
      code: "passphrase-invalid",
      hint: "write the passphrase into the file, without a line end",
      data: { length: passphrase.length },
    });
}

/** cryptsetup's limits. */
function checkKdf(kdf: LuksKdf): void {
  const ranges: readonly (readonly [string, number, number, number])[] =
    kdf.type === "pbkdf2"
      ? [["iterations", kdf.iterations, 1000, 2 ** 31 - 1]]
      : [
          ["time", kdf.time, 4, 2 ** 31 - 1],
          ["memory", kdf.memory, Math.max(32, 8 * kdf.cpus), 4 * 1024 ** 2],
          ["cpus", kdf.cpus, 1, 4],
        ];
  for (const [name, value, least, most] of ranges)
    if (!Number.isInteger(value) || value < least || value > most)
      throw new RangeError(`${kdf.type}: ${name}: expected ${least} to ${most}, found ${value}`);
}
