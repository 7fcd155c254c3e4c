/**
 * From a path to a seed, whatever is there: a directory, an image, an archive, a block device, or an
 * index with its own store.
 * @module
 */
import { open, stat } from "node:fs/promises";
import type { ChunkIndex } from "@imgtool/chunker";
import { ConfigError, NotFoundError, type Progress, systemErrorCode } from "@imgtool/core";
import { defaultStoreLocation, encryptStore, isSealedIndex, openStore, type StoreKey } from "@imgtool/store";
import { blobSeed, lazyBlobSeed } from "./file-seed.ts";
import { readIndex } from "./read-index.ts";
import type { Seed } from "./seed.ts";
import { storedSeed } from "./stored-seed.ts";
import type { IdShift } from "./tree/id-shift.ts";
import { lazyTreeSeed, treeSeed } from "./tree/tree-seed.ts";

export interface OpenSeedOptions {
  /** The wanted index. */
  readonly index: ChunkIndex;
  /** Of a directory: as the wanted tree was, or will be, shifted. */
  readonly idShift?: IdShift | undefined;
  /** Store of a seed that is an index. Default: `default.castr` beside it. */
  readonly store?: string | undefined;
  /** For a seed that is an encrypted index, with its store. */
  readonly key?: StoreKey | undefined;
  /** Whether the caller scans the seed: it holds nothing until then. Default false. */
  readonly lazy?: boolean | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

// Size of the first record, then its type: see index-layout.ts of @imgtool/chunker.
const indexMagic = Buffer.from("3000000000000000f99f127b9c4d8296", "hex");

/**
 * Opens a seed; files and directories are read once to know what chunks they have, of an index only
 * the index is read.
 * @throws NotFoundError `source-missing`; ConfigError `seed-invalid`; as treeSeed(), blobSeed(),
 *   readIndex() and openStore()
 */
export async function openSeed(path: string, options: OpenSeedOptions): Promise<Seed> {
  const { index, progress, signal, lazy = false } = options;
  const kind = await seedKind(path);
  if (kind === "directory") {
    const treeOptions = { index, idShift: options.idShift, progress, signal };
    return lazy ? lazyTreeSeed(path, treeOptions) : treeSeed(path, treeOptions);
  }
  if (kind === "content")
    return (lazy ? lazyBlobSeed : blobSeed)(path, { sizes: index.sizes, digest: index.digest, progress, signal });
  // A seed on this machine may be as it was before there was a key.
  const key = kind === "encrypted index" ? options.key : undefined;
  const seedIndex = await readIndex(path, { key, signal });
  if (seedIndex.digest !== index.digest) {
    progress?.log(
      "warning",
      `the seed ${path} is of no use: its chunks have ${seedIndex.digest} digests, those wanted ${index.digest}`,
    );
  }
  const store = await openStore(options.store ?? defaultStoreLocation(path));
  return storedSeed(seedIndex, key === undefined ? store : encryptStore(store, key));
}

async function seedKind(path: string): Promise<"directory" | "content" | "index" | "encrypted index"> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) return "directory";
    if (stats.isBlockDevice()) return "content";
    if (!stats.isFile()) {
      throw new ConfigError(`${path} cannot be a seed: it is neither a file nor a directory nor a block device`, {
        code: "seed-invalid",
        data: { file: path },
      });
    }
    await using handle = await open(path, "r");
    const head = Buffer.alloc(indexMagic.length);
    await handle.read(head, 0, head.length, 0);
    if (isSealedIndex(head)) return "encrypted index";
    return head.equals(indexMagic) ? "index" : "content";
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`there is no seed at ${path}`, {
      code: "source-missing",
      data: { file: path },
      cause: error,
    });
  }
}
