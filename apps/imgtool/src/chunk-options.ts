/**
 * Options that the verbs on archives and indexes share, with casync's names.
 * @module
 */
import { type ChunkSizes, type DigestAlgorithm, parseChunkSizes } from "@imgtool/chunker";
import { ConfigError, parseSize } from "@imgtool/core";
import {
  type Compression,
  compressions,
  defaultStoreLocation,
  isSshLocation,
  type OpenStoreOptions,
  RateLimit,
  readStoreKey,
  type StoreKey,
} from "@imgtool/store";
import { type Command, Option } from "commander";
import { duration, wrapped, yesNo } from "./parse.ts";
import { collect } from "./verb.ts";

export interface StoreOptions {
  readonly store?: string;
  readonly extraStore?: readonly string[];
  /** Path of the key's file. */
  readonly key?: string;
}

export interface ChunkOptions {
  readonly chunkSize?: ChunkSizes;
  readonly digest?: DigestAlgorithm;
  readonly compression?: Compression;
  readonly durable: boolean;
  readonly contentDigest: boolean;
}

export function addStoreOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--store <location>",
        "the chunk store: a path, a URL (http, https, s3, gs, azure, oci, sftp, ftp, ftps), or host:path; places of one store have | between them; default.castr beside the index otherwise",
      ).env("CASYNC_STORE"),
    )
    .option("--extra-store <location>", "another store to read chunks from; may be repeated", collect)
    .option("--key <file>", "the index and the stores are encrypted with this key: see imgtool genkey --store");
}

/**
 * The key of --key, if there is one.
 * @param locations of indexes and stores that are used with it
 * @throws ConfigError `key-over-ssh`; as readStoreKey()
 */
export function storeKey({ key }: StoreOptions, locations: readonly string[]): StoreKey | undefined {
  if (key === undefined) return undefined;
  const remote = locations.find((location) => isSshLocation(location));
  if (remote === undefined) return readStoreKey(key);
  throw new ConfigError(`${remote} cannot be encrypted: over ssh the other machine verifies every chunk`, {
    code: "key-over-ssh",
    hint: "casync's protocol names chunks by their content; use sftp:// for the store, and copy the index",
    data: { location: remote },
  });
}

/** How servers and other machines are read from. */
export interface NetworkOptions {
  /** Bytes a second that are received from them and sent to them. */
  readonly rateLimitBps?: number;
  /** Milliseconds that one may say nothing; undefined: what its driver, or stores.conf, has. */
  readonly timeout?: number;
  /** How often a failed request is repeated; undefined: what its driver, or stores.conf, has. No option sets it. */
  readonly retries?: number;
}

/** What the drivers make of the options. */
export function networkAccess({ timeout, rateLimitBps, retries }: NetworkOptions): OpenStoreOptions {
  const patience = {
    connectTimeout: timeout,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    ftpTimeout: timeout,
    sshTimeout: timeout,
  };
  return {
    ...(timeout === undefined ? {} : patience),
    ...(retries === undefined ? {} : { retries }),
    ...(rateLimitBps === undefined ? {} : { rateLimit: sharedLimit(rateLimitBps) }),
  };
}

const limits = new Map<number, RateLimit>();

/** The one limit of this process: all that it opens share it. */
function sharedLimit(bytesPerSecond: number): RateLimit {
  const limit = limits.get(bytesPerSecond) ?? new RateLimit(bytesPerSecond);
  limits.set(bytesPerSecond, limit);
  return limit;
}

/** `--rate-limit-bps` and `--timeout`: for verbs that read from or write to servers and other machines. */
export function addTransferOptions(command: Command): Command {
  return command
    .option(
      "--timeout <time>",
      "how long a server or another machine may say nothing, and a mounted image wait for a chunk: 30 (the default), 2m",
      duration,
    )
    .option("--rate-limit-bps <bytes>", "receive and send no more bytes a second; K and M allowed", (text) =>
      wrapped(() => parseSize(text)),
    );
}

/** Those, and `--peers`: for verbs that read stores on web servers. */
export function addNetworkOptions(command: Command): Command {
  return addTransferOptions(command).option(
    "--peers",
    "ask neighbours that run imgtool serve --peer for chunks before stores elsewhere",
  );
}

export function addChunkOptions(command: Command): Command {
  return command
    .option("--chunk-size <[min:]avg[:max]>", "chunk sizes in bytes, K and M allowed, or auto", (text) =>
      wrapped(() => parseChunkSizes(text)),
    )
    .addOption(new Option("--digest <algorithm>", "digest of chunk ids").choices(["sha512-256", "sha256"]))
    .addOption(new Option("--compression <codec>", "compression of new chunks").choices([...compressions]))
    .option("--content-digest <yes|no>", "digest the whole content, too, and print that, as casync does", yesNo, false)
    .option("--durable <yes|no>", "flush chunks to the disk before the index names them", yesNo, true);
}

/** The store of an index and the extra ones, in the order they are asked. An empty CASYNC_STORE is none. */
export function storeLocations(index: string, options: StoreOptions): readonly string[] {
  return [options.store || defaultStoreLocation(index), ...(options.extraStore ?? [])];
}

/** What a location is, in casync's words but for `other`: a directory or a plain file. */
export type Target = "archive" | "archive-index" | "blob-index" | "other";

export type What = "archive" | "archive-index" | "blob" | "blob-index" | "directory";

/** `--what`: for names that do not tell what they are. */
export function addWhatOption(command: Command, choices: readonly What[]): Command {
  return command.addOption(new Option("--what <kind>", "what it is; its name tells otherwise").choices([...choices]));
}

/** What a name's suffix says, as casync takes it, unless --what says something else. */
export function targetOf(name: string, what?: What): Target {
  if (what !== undefined) return what === "blob" || what === "directory" ? "other" : what;
  const path = name.replace(/[?#].*$/, "");
  if (path.endsWith(".catar")) return "archive";
  if (path.endsWith(".caidx")) return "archive-index";
  if (path.endsWith(".caibx")) return "blob-index";
  return "other";
}
