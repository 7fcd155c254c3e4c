/**
 * SHA256SUMS of an output directory: what the checksums of all images there list. systemd-pull(8) and
 * systemd-sysupdate(8) ask a server for this name, in the folder of what they fetch.
 *
 * It is of several images, so it is in no image's build record, and no build depends on it.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ImageConfig } from "@imgtool/config";
import { silentProgress, systemErrorCode, throwIfAborted } from "@imgtool/core";
import { makeAtomically, tryLock } from "@imgtool/host";
import { describeFile, formatChecksums } from "./artifacts.ts";
import { signChecksums } from "./sign-checksums.ts";

/** Names in the output directory. */
export const mergedChecksums = "SHA256SUMS";
export const mergedSignature = "SHA256SUMS.gpg";
const suffix = ".SHA256SUMS";

/** Whether a file of the output directory has checksums of an image. */
export function isChecksums(name: string): boolean {
  return name.endsWith(suffix);
}

/**
 * Brings SHA256SUMS up to date, and signs it where the configuration asks for that; one of which nothing is
 * left to list goes. Builds that end at the same time wait for each other.
 * @param isAnew whether it is signed although it lists what it did: the key may be another
 * @returns names of files that were removed
 * @throws ProcessError `signing-failed`; AbortedError
 */
export async function mergeChecksums(
  config: ImageConfig,
  options: { readonly isAnew: boolean; readonly signal?: AbortSignal | undefined },
): Promise<string[]> {
  const { outputDirectory } = config;
  const folder = openSync(outputDirectory, "r");
  try {
    while (!tryLock(folder)) {
      throwIfAborted(options.signal);
      await setTimeout(50);
    }
    return await merge(config, options);
  } finally {
    closeSync(folder);
  }
}

async function merge(
  config: ImageConfig,
  { isAnew, signal }: { readonly isAnew: boolean; readonly signal?: AbortSignal | undefined },
): Promise<string[]> {
  const place = join(config.outputDirectory, mergedChecksums);
  const signature = join(config.outputDirectory, mergedSignature);
  const text = await collect(config.outputDirectory, signal);
  if (text === "") return await removeAll([place, signature]);
  const isSame = (await readText(place)) === text;
  if (!config.sign) {
    // Another image's signature is not of this text.
    if (!isSame) await rm(signature, { force: true });
    if (!isSame) await makeAtomically(place, async (temporary) => await writeFile(temporary, text));
    return [];
  }
  if (isSame && !isAnew && (await readText(signature)) !== undefined) return [];
  await makeAtomically(place, async (temporary) => {
    await writeFile(temporary, text);
    await makeAtomically(signature, async (signed) => await signChecksums(config, temporary, signed, signal));
  });
  return [];
}

/** The lines of all images, of files that are there. */
async function collect(folder: string, signal: AbortSignal | undefined): Promise<string> {
  const found = new Map<string, Set<string>>();
  for (const name of (await readdir(folder)).filter(isChecksums).sort()) {
    const text = (await readText(join(folder, name))) ?? "";
    for (const [, sha256 = "", path = ""] of text.matchAll(/^([0-9a-f]{64}) [ *](.+)$/gm))
      found.set(path, (found.get(path) ?? new Set()).add(sha256));
  }
  const lines: { path: string; sha256: string }[] = [];
  for (const [path, digests] of found) {
    if ((await stat(join(folder, path)).catch(() => undefined))?.isFile() !== true) continue;
    // Where two images say that they made it, the file knows which was the last.
    const [sha256 = ""] =
      digests.size === 1
        ? digests
        : [(await describeFile("other", path, { folder, progress: silentProgress, signal })).sha256];
    lines.push({ path, sha256 });
  }
  return formatChecksums(lines);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function removeAll(paths: readonly string[]): Promise<string[]> {
  const removed: string[] = [];
  for (const path of paths) {
    if ((await stat(path).catch(() => undefined)) === undefined) continue;
    await rm(path);
    removed.push(path);
  }
  return removed;
}
