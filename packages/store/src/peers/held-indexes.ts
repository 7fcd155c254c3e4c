/**
 * Which indexes a peer holds: the .caibx and .caidx files of a directory, by the digest of their bytes.
 * @module
 */
import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { storeError } from "../local-errors.ts";
import { indexDigest, maxAnnounced } from "./service.ts";

export interface HeldIndexes {
  /** Digests of the newest ones, as many as can be announced; sorted. */
  readonly digests: readonly string[];
  /** How many there are. */
  readonly count: number;
}

/** Looks into a directory again and again; files that have not changed are read once. */
export class HeldIndexFiles {
  readonly #directory: string;
  #known = new Map<string, string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** @throws EnvironmentError when the directory or an index cannot be read */
  async list(): Promise<HeldIndexes> {
    try {
      const files: { readonly name: string; readonly state: string; readonly time: number }[] = [];
      for (const name of await readdir(this.#directory)) {
        if (!/\.cai[bd]x$/.test(name) || name.startsWith(".")) continue;
        const stats = await lstat(join(this.#directory, name));
        const { mtimeMs: time, ino, size, ctimeMs } = stats;
        if (stats.isFile()) files.push({ name, state: `${name} ${ino} ${size} ${time} ${ctimeMs}`, time });
      }
      files.sort((a, b) => b.time - a.time);
      const known = new Map<string, string>();
      for (const { name, state } of files.slice(0, maxAnnounced))
        known.set(state, this.#known.get(state) ?? indexDigest(await readFile(join(this.#directory, name))));
      this.#known = known;
      return { digests: [...new Set(known.values())].sort(), count: files.length };
    } catch (error) {
      throw storeError(error, "read", this.#directory);
    }
  }
}
