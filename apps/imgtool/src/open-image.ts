/**
 * Published images that are opened without being extracted: what `mount` and `mkdev` have in common.
 * @module
 */
import { AbortedError, ConfigError, errorMessage, type Progress } from "@imgtool/core";
import type { ImageReader } from "@imgtool/mount";
import { limitTime } from "@imgtool/store";
import type { Command } from "commander";
import { addDiskCacheOptions, keptOnDisk } from "./disk-cache.ts";
import { openIndex, type OpenOptions } from "./open-source.ts";
import { positiveNumber } from "./parse.ts";
import { collect } from "./verb.ts";

export interface ImageOptions extends OpenOptions {
  /** MiB. */
  readonly cacheSize: number;
  readonly prefetch?: boolean;
}

export function addImageOptions(command: Command): Command {
  return addDiskCacheOptions(command)
    .option("--cache-size <MiB>", "memory for chunks that were read", positiveNumber, 64)
    .option("--prefetch", "fetch the rest in the background, until the disk cache has all or is full")
    .option("--seed <path>", "a directory, file, device or index to take chunks from; may be repeated", collect);
}

export interface OpenedImage extends AsyncDisposable {
  readonly image: ImageReader;
}

/** Opens the image of an index; disposing closes all that belongs to it. */
export async function openImage(
  location: string,
  options: ImageOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<OpenedImage> {
  if (options.prefetch === true && options.diskCache === undefined) {
    throw new ConfigError("--prefetch has no place for what it fetches", {
      code: "option-missing",
      hint: "name a directory with --disk-cache",
    });
  }
  const { ChunkSource } = await import("@imgtool/sync");
  const { ImageReader, prefetch } = await import("@imgtool/mount");
  // Whoever reads a file waits no longer for a chunk, repetitions included, than a server may say nothing.
  const { timeout = 30_000 } = options;
  await using resources = new AsyncDisposableStack();
  const opened = resources.use(await openIndex(location, { ...options, diskCache: undefined }, progress, signal));
  const limited = opened.stores.map((store) => (store.place === undefined ? limitTime(store, timeout) : store));
  const { stores, cached } = await keptOnDisk(limited, options, progress);
  resources.defer(() => cached?.close());
  const { index, seeds } = opened;
  const source = new ChunkSource({ index, stores, seeds });
  const image = resources.use(new ImageReader(source, { signal, cacheSize: options.cacheSize * 1024 ** 2 }));
  if (options.prefetch === true && cached !== undefined) {
    const ending = new AbortController();
    const all = prefetch({
      index,
      store: cached,
      isBusy: () => image.isBusy,
      signal: AbortSignal.any([signal, ending.signal]),
    }).then(
      (fetched) => progress.log("info", `${fetched} chunks were fetched in the background`),
      (error: unknown) => {
        if (!(error instanceof AbortedError))
          progress.log("warning", `fetching in the background has ended: ${errorMessage(error)}`);
      },
    );
    resources.defer(async () => {
      ending.abort();
      await all;
    });
  }
  const owned = resources.move();
  return { image, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
