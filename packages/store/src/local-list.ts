/**
 * What lies in a local store. Folders are read piece by piece and links are never followed, so that
 * neither a huge folder nor a hostile one does harm.
 * @module
 */
import { lstatSync, opendirSync, readdirSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { compressedSuffix, isChunkName } from "./chunk-path.ts";
import { isNullDevice, kindOf } from "./local-entries.ts";
import { notThere, temporaryPattern } from "./local-errors.ts";
import type { StoreEntry } from "./store.ts";

/** How a chunk's file is called while it is being removed: see local-remove.ts. */
export const leavingPattern: RegExp = /^\.gc-[0-9a-f]{16}-([0-9a-f]{64}(?:\.cacnk)?)$/;
/** casync's files under way (observed: <name>.<16 hex>.tmp). */
const casyncTemporary = /^[0-9a-f]{64}\.[0-9a-f]{16}\.tmp$/;

export interface ListedRoot {
  /** Folders that may hold chunks, by their four digits, sorted. */
  readonly folders: readonly string[];
  readonly strays: readonly Extract<StoreEntry, { kind: "stray" }>[];
}

/** The folders of a store, and what else lies beside them. */
export function listRoot(root: string): ListedRoot {
  const folders: string[] = [];
  const strays: Extract<StoreEntry, { kind: "stray" }>[] = [];
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const path = join(root, entry.name);
    if (!/^[0-9a-f]{4}$/.test(entry.name)) {
      strays.push({ kind: "stray", path, reason: "expected folders of four hexadecimal digits" });
    } else if (!entry.isDirectory()) {
      strays.push({ kind: "stray", path, reason: "expected a folder" });
    } else {
      folders.push(entry.name);
    }
  }
  return { folders: folders.sort(), strays };
}

/** What lies in one folder of a store; nothing when it is gone. */
export function* listFolder(root: string, folder: string): Generator<StoreEntry, void> {
  const path = join(root, folder);
  let directory;
  try {
    if (!lstatSync(path).isDirectory()) return;
    directory = opendirSync(path);
  } catch (error) {
    if (notThere(error)) return;
    throw error;
  }
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      const file = join(path, entry.name);
      const stats = lstatSync(file, { throwIfNoEntry: false });
      // gone since the folder was read
      if (stats === undefined) continue;
      const found = classify(folder, entry.name, file, stats);
      if (found !== undefined) yield found;
    }
  } finally {
    directory.closeSync();
  }
}

function classify(folder: string, fileName: string, path: string, stats: Stats): StoreEntry | undefined {
  const facts = { path, bytes: stats.size, lastUsed: stats.mtimeMs };
  const leaving = leavingPattern.exec(fileName)?.[1];
  const compressed = fileName.endsWith(compressedSuffix);
  const name = (leaving ?? fileName).slice(0, 64);
  const isChunk = leaving !== undefined || isChunkName(compressed ? fileName.slice(0, -6) : fileName);
  if (isChunk && !name.startsWith(folder)) {
    return { kind: "stray", path, reason: `expected below ${name.slice(0, 4)}` };
  }
  const isTemporary = temporaryPattern.test(fileName) || casyncTemporary.test(fileName);
  if (!isChunk && !isTemporary) return { kind: "stray", path, reason: "expected a chunk's name" };
  if (!stats.isFile()) {
    const isMark = isChunk && !compressed && stats.isSymbolicLink() && pointsToNull(path);
    return isMark ? undefined : { kind: "stray", path, reason: `expected a regular file, found a ${kindOf(stats)}` };
  }
  if (leaving !== undefined) return { kind: "leaving", name, ...facts };
  return isTemporary ? { kind: "unfinished", ...facts } : { kind: "chunk", name, compressed, ...facts };
}

function pointsToNull(path: string): boolean {
  try {
    return isNullDevice(statSync(path));
  } catch {
    // a link that leads nowhere, or in a circle
    return false;
  }
}
