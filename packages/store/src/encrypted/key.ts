/**
 * Keys of encrypted stores: 32 random bytes in a file of text (docs/encrypted-stores.md). There are no
 * passwords: a server that holds the chunks could try those out as fast as it likes.
 * @module
 */
import { hkdfSync, randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { ConfigError, errorMessage, FormatError, fromHex, NotFoundError, toHex } from "@imgtool/core";

/** How lengths are hidden: not at all, or rounded up to few different ones. */
export type Padding = "none" | "buckets";

/** Every Padding, for option parsers. */
export const paddings: readonly Padding[] = ["buckets", "none"];

/** A key, as plain data: threads are handed it. */
export interface StoreKey {
  /** 32 hexadecimal digits that tell keys apart and nothing else of them. */
  readonly id: string;
  /** 32 bytes. */
  readonly secret: Uint8Array;
  /** What writers with this key do; readers take both. */
  readonly padding: Padding;
}

const header = "imgtool store key 1";
const secretBytes = 32;
/** Larger than any key file with comments, and read before anything of it is known. */
const maxFileBytes: number = 64 * 1024;

/** `length` bytes for one purpose, from which neither the secret nor another purpose's can be computed. */
export function deriveBytes(secret: Uint8Array, purpose: string, length = 32): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), `imgtool store 1 ${purpose}`, length));
}

/** A new key from the system's random numbers. */
export function generateStoreKey(padding: Padding = "buckets"): StoreKey {
  return keyOf(randomBytes(secretBytes), padding);
}

function keyOf(secret: Uint8Array, padding: Padding): StoreKey {
  return { id: toHex(deriveBytes(secret, "key id", 16)), secret, padding };
}

/** The text of a key's file. */
export function formatStoreKey({ id, secret, padding }: StoreKey): string {
  return [
    header,
    "# Who has this file can read every store that it encrypts; without it nobody can.",
    `id: ${id}`,
    `padding: ${padding}`,
    `secret: ${toHex(secret)}`,
    "",
  ].join("\n");
}

/**
 * The key in a file's text.
 * @param name what the file is called in errors
 * @throws FormatError `store-key-invalid`
 */
export function parseStoreKey(text: string, name: string): StoreKey {
  const [first = "", ...rest] = text.split("\n").map((line) => line.trim());
  // What a wrong file holds may be a secret, too: its content is not shown.
  if (first !== header) throw invalid(name, 1, `the first line "${header}"`);
  const values = new Map<string, string>();
  for (const [i, line] of rest.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const [, key = "", value = ""] = /^([a-z]+): *(\S+)$/.exec(line) ?? [];
    if (!["id", "padding", "secret"].includes(key) || values.has(key))
      throw invalid(name, i + 2, "id:, padding: and secret:, each once");
    values.set(key, value);
  }
  const secret = values.get("secret") ?? "";
  const padding = paddings.find((one) => one === (values.get("padding") ?? "none"));
  if (!/^[0-9a-f]{64}$/.test(secret)) throw invalid(name, undefined, "secret: and 64 lower-case hexadecimal digits");
  if (padding === undefined) throw invalid(name, undefined, `padding: ${paddings.join(" or ")}`);
  const key = keyOf(fromHex(secret), padding);
  const id = values.get("id");
  if (id !== key.id) throw invalid(name, undefined, `the id ${key.id} of that secret, found ${id ?? "none"}`);
  return key;
}

function invalid(name: string, line: number | undefined, expected: string): FormatError {
  const where = line === undefined ? name : `${name}:${line}`;
  return new FormatError(`${where}: not a key of a store: expected ${expected}`, {
    code: "store-key-invalid",
    hint: "imgtool genkey --store FILE makes one; copy it whole",
    data: { file: name, line, expected },
  });
}

/**
 * Reads a key from its file.
 * @throws NotFoundError `store-key-missing`; ConfigError `secret-open` when everybody can read the file, as
 *   for passphrases; FormatError `store-key-invalid`
 */
export function readStoreKey(path: string): StoreKey {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new NotFoundError(`cannot read the key ${path}: ${errorMessage(error)}`, {
      code: "store-key-missing",
      hint: "correct --key; imgtool genkey --store FILE makes a key",
      data: { file: path },
      cause: error,
    });
  }
  try {
    const stats = fstatSync(file);
    if ((stats.mode & 0o007) !== 0)
      throw new ConfigError(
        `${path} holds a secret and is open to everybody (mode ${(stats.mode & 0o777).toString(8)})`,
        {
          code: "secret-open",
          hint: `chmod o= ${path}`,
          data: { path, mode: stats.mode },
        },
      );
    if (stats.isDirectory() || stats.size > maxFileBytes) throw invalid(path, undefined, "a file of a few lines");
    return parseStoreKey(readFileSync(file, "utf8"), path);
  } finally {
    closeSync(file);
  }
}
