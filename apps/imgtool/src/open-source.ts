/**
 * From a location on the command line to something to read: its index, its stores, its seeds.
 * @module
 */
import { existsSync, statSync } from "node:fs";
import type { ChunkIndex } from "@imgtool/chunker";
import { ConfigError, NotFoundError, type Progress } from "@imgtool/core";
import {
  encryptStore,
  HttpClient,
  indexDigest,
  isHttpUrl,
  isRemoteLocation,
  isSshLocation,
  isStoredFile,
  openStore,
  parseSshLocation,
  PeerFinder,
  pullArchive,
  type ReadStore,
  shownLocation,
  sshConnect,
  withStoreAccess,
} from "@imgtool/store";
import {
  type ByteSource,
  fetchIndex,
  type IdShift,
  openSeed,
  parseIndex,
  readIndex,
  type Seed,
  type TreeSource,
} from "@imgtool/sync";
import {
  networkAccess,
  type NetworkOptions,
  storeKey,
  storeLocations,
  type StoreOptions,
  targetOf,
  type What,
} from "./chunk-options.ts";
import { type DiskCacheOptions, keptOnDisk } from "./disk-cache.ts";
import { fetchArchive, openRemoteArchive } from "./fetched-archive.ts";
import { withNeighbours } from "./neighbours.ts";

export interface OpenedIndex extends AsyncDisposable {
  readonly index: ChunkIndex;
  readonly stores: readonly ReadStore[];
  readonly seeds: readonly Seed[];
  /** Requests to web servers so far, and bytes of the index that came from one. */
  httpRequests(): number;
  /** Chunks that came from neighbours so far. */
  fromPeers(): number;
  readonly indexBytes: number;
}

export interface OpenOptions extends StoreOptions, NetworkOptions, DiskCacheOptions {
  readonly seed?: readonly string[];
  /** Whether whoever gets the seeds scans them. Default false. */
  readonly lazySeeds?: boolean;
  /** Whether neighbours are asked for chunks. Default false. */
  readonly peers?: boolean;
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
  const access = networkAccess(options);
  const client = new HttpClient(await withStoreAccess(location, access));
  resources.defer(() => client.close());
  const locations = storeLocations(location, options);
  const key = storeKey(options, [location, ...locations]);
  // Neighbours have the time to answer while the index is read.
  const finder = options.peers === true ? resources.use(new PeerFinder()) : undefined;
  const { bytes, name } = await fetchIndex(location, {
    load: (url, request) => client.fetchBytes(url, request),
    access,
    signal,
  });
  const index = parseIndex(bytes, name, key);
  const opened: ReadStore[] = [];
  for (const storeLocation of locations) {
    const store = await openStore(storeLocation, access);
    resources.defer(() => store.close());
    opened.push(store);
  }
  finder?.want(indexDigest(bytes));
  const neighbours = finder === undefined ? undefined : withNeighbours(finder, opened, { index, key, progress });
  resources.defer(() => neighbours?.close());
  const fetching = (neighbours?.stores ?? opened).map((store) =>
    key === undefined ? store : encryptStore(store, key),
  );
  const { stores, cached } = await keptOnDisk(fetching, options, progress);
  resources.defer(() => cached?.close());
  const seeds: Seed[] = [];
  for (const path of options.seed ?? []) {
    const { idShift, lazySeeds: lazy } = options;
    const seed = await openSeed(path, { index, idShift, lazy, key, progress, signal });
    resources.defer(() => seed.close());
    seeds.push(seed);
  }
  const owned = resources.move();
  return {
    index,
    stores,
    seeds,
    indexBytes: client.statistics.bytes,
    fromPeers: () => neighbours?.chunks() ?? 0,
    httpRequests: () => fetching.reduce((sum, store) => sum + requestsOf(store), client.statistics.requests),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** As openIndex(), for what is of use without a store: the one beside the index need not be there. */
export async function openIndexAlone(
  location: string,
  options: StoreOptions & NetworkOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<OpenedIndex> {
  try {
    return await openIndex(location, options, progress, signal);
  } catch (error) {
    if (options.store !== undefined || !(error instanceof NotFoundError) || error.code !== "store-missing") throw error;
    return {
      index: await readIndex(location, {
        key: storeKey(options, [location]),
        access: networkAccess(options),
        signal,
      }),
      stores: [],
      seeds: [],
      indexBytes: 0,
      fromPeers: () => 0,
      httpRequests: () => 0,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}

function requestsOf(store: ReadStore): number {
  const { statistics } = store as { readonly statistics?: { readonly requests: number } };
  return statistics?.requests ?? 0;
}

export interface OpenedTree extends AsyncDisposable {
  readonly source: TreeSource;
}

export interface OpenTreeOptions extends OpenOptions {
  /** Feature flags with which a directory is archived. */
  readonly flags: bigint;
  /** What the location is; its name tells otherwise. */
  readonly what?: What;
  /** Whether parts of an archive are looked into, rather than all of it read. Default false. */
  readonly parts?: boolean;
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
  if (kind === "archive" || location === "-") {
    const opened = await openArchive(location, options, signal, options.parts);
    return { source: { archive: opened.archive }, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
  }
  const source: TreeSource = {
    directory: directoryPath(location),
    flags: options.flags,
    idShift: options.idShift,
  };
  return { source, [Symbol.asyncDispose]: () => Promise.resolve() };
}

export interface OpenedArchive extends AsyncDisposable {
  readonly archive: ByteSource;
}

/**
 * An archive in a file, on standard input, on another machine, on a web server or a storage service; disposing
 * removes what was fetched.
 * @param parts whether parts of it are looked into: then it need not be fetched whole
 * @throws ConfigError `archive-remote`; as fetchArchive()
 */
export async function openArchive(
  location: string,
  options: NetworkOptions,
  signal: AbortSignal,
  parts = false,
): Promise<OpenedArchive> {
  const access = networkAccess(options);
  if (isSshLocation(location)) {
    const remote = parseSshLocation(location);
    const archive = pullArchive(sshConnect(remote, access), remote.path, signal);
    return { archive, [Symbol.asyncDispose]: nothingToClose };
  }
  if (!isRemoteLocation(location)) return { archive: location, [Symbol.asyncDispose]: nothingToClose };
  if (isHttpUrl(location) || isStoredFile(location))
    return (parts ? openRemoteArchive : fetchArchive)(location, access, signal);
  throw new ConfigError(`no driver reads an archive at ${shownLocation(location)}`, {
    code: "archive-remote",
    hint: "give a path, host:path, or a URL that begins with http://, https://, s3://, gs://, azure://, oci://, sftp://, ftp:// or ftps://",
    data: { found: shownLocation(location) },
  });
}

async function nothingToClose(): Promise<void> {}

/**
 * What a server has under a name that does not tell is not looked at.
 * @throws ConfigError `source-unknown` unless it is a path of this machine
 */
export function refuseUnknownRemote(location: string): void {
  if (!isRemoteLocation(location) || existsSync(location)) return;
  throw new ConfigError(`cannot tell what ${shownLocation(location)} is from its name`, {
    code: "source-unknown",
    hint: "expected a name that ends with .catar, .caidx or .caibx, or --what; directories and plain files are read on this machine",
    data: { source: shownLocation(location) },
  });
}

function directoryPath(location: string): string {
  refuseUnknownRemote(location);
  if (statSync(location, { throwIfNoEntry: false })?.isFile() !== true) return location;
  throw new ConfigError(`cannot tell what ${location} is from its name`, {
    code: "source-unknown",
    hint: "expected a directory, a name that ends with .catar or .caidx, or --what",
  });
}
