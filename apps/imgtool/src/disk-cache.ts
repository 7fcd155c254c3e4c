/**
 * `--disk-cache`: what comes from elsewhere is kept here, too, for the next time.
 * @module
 */
import { errorMessage, type Progress } from "@imgtool/core";
import { CachedStore, type ReadStore } from "@imgtool/store";
import type { Command } from "commander";
import { positiveNumber } from "./parse.ts";

export interface DiskCacheOptions {
  /** A directory. */
  readonly diskCache?: string | undefined;
  /** MiB. */
  readonly diskCacheSize?: number;
}

const defaultSize = 1024;

export function addDiskCacheOptions(command: Command): Command {
  return command
    .option("--disk-cache <directory>", "keep chunks of the first store elsewhere here, too: for the next time")
    .option(
      "--disk-cache-size <MiB>",
      "disk space for them; the least recently used go first",
      positiveNumber,
      defaultSize,
    );
}

/** The same stores, the first that is elsewhere behind its cache, which is returned, too, and closes the store. */
export async function keptOnDisk(
  stores: readonly ReadStore[],
  { diskCache, diskCacheSize = defaultSize }: DiskCacheOptions,
  progress: Progress,
): Promise<{ readonly stores: readonly ReadStore[]; readonly cached: CachedStore | undefined }> {
  const position = diskCache === undefined ? -1 : stores.findIndex(({ place }) => place === undefined);
  const store = stores[position];
  if (diskCache === undefined || store === undefined) return { stores, cached: undefined };
  const cached = await CachedStore.open(store, {
    directory: diskCache,
    maxBytes: diskCacheSize * 1024 ** 2,
    onError: (error) => progress.log("warning", `chunks are not kept on the disk: ${errorMessage(error)}`),
  });
  return { stores: stores.with(position, cached), cached };
}
