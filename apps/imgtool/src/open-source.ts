/**
 * From a location on the command line to something to read: its index, its stores, its seeds.
 * @module
 */
import { statSync } from "node:fs";
import type { ChunkIndex } from "@imgtool/chunker";
import { ConfigError, NotFoundError, type Progress } from "@imgtool/core";
import {
  HttpClient,
  isHttpUrl,
  isRemoteLocation,
  isSshLocation,
  openStore,
  RateLimit,
  parseSshLocation,
  pullArchive,
  type ReadStore,
  sshConnect,
} from "@imgtool/store";
import { type ByteSource, type IdShift, openSeed, readIndex, type Seed, type TreeSource } from "@imgtool/sync";
import { storeLocations, type StoreOptions, targetOf, type What } from "./chunk-options.ts";

export interface OpenedIndex extends AsyncDisposable {
  readonly index: ChunkIndex;
  readonly stores: readonly ReadStore[];
  /** The same, local ones by their paths: extractBlob() reads those in worker threads. */
  readonly storesOrPaths: readonly (ReadStore | string)[];
  readonly seeds: readonly Seed[];
  /** Requests to web servers so far, and bytes of the index that came from one. */
  httpRequests(): number;
  readonly indexBytes: number;
}

export interface OpenOptions extends StoreOptions {
  readonly seed?: readonly string[];
  /** Whether whoever gets the seeds scans them. Default false. */
  readonly lazySeeds?: boolean;
  /** Bytes a second that are received from web servers. */
  readonly rateLimitBps?: number;
  /** Range of ids of the owners of a directory, or of a seed. */
  readonly idShift?: IdShift | undefined;
}

/** Opens an index with its stores and seeds; disposing closes them. */
export async function openIndex(
  location: string,
  options: OpenOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<OpenedIndex> {
  await using resources = new AsyncDisposableStack();
  const { rateLimitBps } = options;
  const rateLimit = rateLimitBps === undefined ? undefined : new RateLimit(rateLimitBps);
  const client = new HttpClient({ rateLimit });
  resources.defer(() => client.close());
  const index = await readIndex(location, { load: (url, request) => client.fetchBytes(url, request), signal });
  const stores: ReadStore[] = [];
  const locations = storeLocations(location, options);
  for (const storeLocation of locations) {
    const store = await openStore(storeLocation, { rateLimit });
    resources.defer(() => store.close());
    stores.push(store);
  }
  const seeds: Seed[] = [];
  for (const path of options.seed ?? []) {
    const { idShift, lazySeeds: lazy } = options;
    const seed = await openSeed(path, { index, idShift, lazy, progress, signal });
    resources.defer(() => seed.close());
    seeds.push(seed);
  }
  const owned = resources.move();
  return {
    index,
    stores,
    storesOrPaths: stores.map((store, i) => (isRemoteLocation(locations[i] ?? "") ? store : (locations[i] ?? store))),
    seeds,
    indexBytes: client.statistics.bytes,
    httpRequests: () => stores.reduce((sum, store) => sum + requestsOf(store), client.statistics.requests),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** As openIndex(), for what is of use without a store: the one beside the index need not be there. */
export async function openIndexAlone(
  location: string,
  options: StoreOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<OpenedIndex> {
  try {
    return await openIndex(location, options, progress, signal);
  } catch (error) {
    if (options.store !== undefined || !(error instanceof NotFoundError) || error.code !== "store-missing") throw error;
    return {
      index: await readIndex(location, { signal }),
      stores: [],
      storesOrPaths: [],
      seeds: [],
      indexBytes: 0,
      httpRequests: () => 0,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}

function requestsOf(store: ReadStore): number {
  return "statistics" in store ? (store.statistics as { readonly requests: number }).requests : 0;
}

export interface OpenedTree extends AsyncDisposable {
  readonly source: TreeSource;
}

export interface OpenTreeOptions extends OpenOptions {
  /** Feature flags with which a directory is archived. */
  readonly flags: bigint;
  /** What the location is; its name tells otherwise. */
  readonly what?: What;
}

/** Opens a directory, a .catar or a .caidx. @throws ConfigError `source-unknown` */
export async function openTree(
  location: string,
  options: OpenTreeOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<OpenedTree> {
  const kind = targetOf(location, options.what);
  if (kind === "archive-index") {
    const opened = await openIndex(location, options, progress, signal);
    return { source: opened, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
  }
  const source: TreeSource =
    kind === "archive" || location === "-"
      ? { archive: archiveSource(location, signal) }
      : { directory: directoryPath(location), flags: options.flags, idShift: options.idShift };
  return { source, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** An archive is read from a file, standard input or another machine. @throws ConfigError `archive-remote` */
export function archiveSource(location: string, signal: AbortSignal): ByteSource {
  if (isSshLocation(location)) {
    const remote = parseSshLocation(location);
    return pullArchive(sshConnect(remote), remote.path, signal);
  }
  if (!isHttpUrl(location)) return location;
  throw new ConfigError("an archive on a web server cannot be read in place", {
    code: "archive-remote",
    hint: "publish a .caidx, or download the archive first",
  });
}

function directoryPath(location: string): string {
  if (statSync(location, { throwIfNoEntry: false })?.isFile() !== true) return location;
  throw new ConfigError(`cannot tell what ${location} is from its name`, {
    code: "source-unknown",
    hint: "expected a directory, a name that ends with .catar or .caidx, or --what",
  });
}
