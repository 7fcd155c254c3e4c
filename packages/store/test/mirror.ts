/**
 * The store contract for services that keep no files here: what it lays in a directory is copied to them.
 * @module
 */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PruneStore } from "../src/index.ts";

/** Copies what is new below the directory to a service: the contract lays chunks as files. */
export function mirror(root: string, put: (path: string, bytes: Uint8Array) => Promise<unknown>): () => Promise<void> {
  const seen = new Map<string, string>();
  let last: Promise<void> = Promise.resolve();
  const copy = async (): Promise<void> => {
    for (const path of readdirSync(root, { recursive: true }) as string[]) {
      const stats = lstatSync(join(root, path));
      const version = `${stats.size} ${stats.mtimeMs}`;
      if (!stats.isFile() || seen.get(path) === version) continue;
      seen.set(path, version);
      await put(path, readFileSync(join(root, path)));
    }
  };
  return () => (last = last.then(copy));
}

/** The store, whose reads see what lies in the directory. */
export function mirrored(store: PruneStore, refresh: () => Promise<void>): PruneStore {
  const after = async <T>(call: () => Promise<T>): Promise<T> => {
    await refresh();
    return call();
  };
  return {
    location: store.location,
    has: (name, signal) => after(() => store.has(name, signal)),
    get: (name, signal, maxBytes) => after(() => store.get(name, signal, maxBytes)),
    keep: (name, signal) => store.keep(name, signal),
    put: (name, chunk, signal) => store.put(name, chunk, signal),
    flush: () => store.flush(),
    async *list(signal) {
      await refresh();
      yield* store.list(signal);
    },
    remove: (entry, unusedSince) => store.remove(entry, unusedSince),
    close: () => store.close(),
  };
}
