/**
 * SHA-256 of package files, as pacman's lists of packages have them: the database of what is installed does
 * not keep them.
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { FormatError, systemErrorCode } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";
import { readTarMember, type PaxRecords } from "@imgtool/tar";
import { parseDescription } from "./pacman-description.ts";

// The lists of Arch Linux's largest repository are below 60 MB.
const maxListBytes = 1024 ** 3;

/**
 * What is told of each package, under `packageKeyOf`. Nothing is told of a package that two lists tell
 * different things of, nor out of a list that cannot be read: pacman has judged it.
 */
export async function readPackageSums(folder: string): Promise<ReadonlyMap<string, string>> {
  const sums = new Map<string, string>();
  for (const name of await listNames(folder)) {
    try {
      await readList(await readFile(await resolveInTree(folder, name, { followLast: true })), (key, sum) => {
        sums.set(key, (sums.get(key) ?? sum) === sum ? sum : "");
      });
    } catch (error) {
      if (!(error instanceof FormatError) && !/^(?:Z_|ERR_|ZSTD_)/.test(systemErrorCode(error) ?? "")) throw error;
    }
  }
  return new Map([...sums].filter(([, sum]) => sum !== ""));
}

/** What a package is known by in both databases: one built anew under its version differs in its date. */
export function packageKeyOf(fields: ReadonlyMap<string, readonly string[]>): string {
  return ["NAME", "VERSION", "ARCH", "BUILDDATE"].map((key) => fields.get(key)?.[0] ?? "").join("\n");
}

async function listNames(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith(".db")).sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}

async function readList(bytes: Buffer, found: (key: string, sum: string) => void): Promise<void> {
  const archive = decompress(bytes);
  const input = { read: async (offset: number, length: number) => archive.subarray(offset, offset + length) };
  let globals: PaxRecords = new Map();
  for (let offset = 0; ;) {
    const member = await readTarMember(input, offset, globals);
    if (member === undefined) return;
    ({ next: offset, globals } = member);
    if (!Buffer.from(member.path).toString().endsWith("/desc")) continue;
    const start = member.segments[0]?.at ?? offset;
    const fields = parseDescription(archive.subarray(start, start + member.size).toString());
    const sum = fields.get("SHA256SUM")?.[0]?.toLowerCase() ?? "";
    if (/^[0-9a-f]{64}$/.test(sum)) found(packageKeyOf(fields), sum);
  }
}

function decompress(bytes: Buffer): Buffer {
  const options = { maxOutputLength: maxListBytes };
  if (bytes.readUInt16BE(0) === 0x1f8b) return gunzipSync(bytes, options);
  return bytes.readUInt32LE(0) === 0xfd2fb528 ? zstdDecompressSync(bytes, options) : bytes;
}
