/**
 * From a store's location to its driver. Drivers are loaded when they are used.
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@imgtool/core";
import type { HttpStoreOptions } from "./http.ts";
import { isHttpUrl } from "./http-target.ts";
import type { LocalStoreOptions } from "./local.ts";
import type { S3StoreOptions } from "./s3.ts";
import { isS3Location } from "./s3-location.ts";
import type { SshOptions } from "./remote/ssh-channel.ts";
import { isSshLocation, withPath } from "./remote/ssh-location.ts";
import { isSftpLocation } from "./sftp/location.ts";
import type { SftpStoreOptions } from "./sftp/store.ts";
import type { PruneStore, ReadStore, WriteStore } from "./store.ts";

export interface OpenStoreOptions
  extends LocalStoreOptions, HttpStoreOptions, S3StoreOptions, SftpStoreOptions, SshOptions {}

/** Whether a location is not a path on this machine, but one that a driver for the network takes. */
export function isRemoteLocation(location: string): boolean {
  return isHttpUrl(location) || isS3Location(location) || isSftpLocation(location) || isSshLocation(location);
}

/**
 * Opens a store for reading by its location: a path, an http(s) URL, a bucket's s3 URL, an sftp URL,
 * or host:path for ssh.
 * @throws ConfigError for a location that no driver takes; as openLocalStore, openHttpStore and
 *   openSshStore
 */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<ReadStore> {
  if (isHttpUrl(location)) {
    const { openHttpStore } = await import("./http.ts");
    return openHttpStore(location, options);
  }
  if (isSshLocation(location)) {
    const { openSshStore } = await import("./remote/remote-store.ts");
    return openSshStore(location, options);
  }
  return openWriteStore(location, options);
}

/**
 * Opens a store for writing by its location: a path, an http(s) URL, a bucket's s3 URL or
 * an sftp URL.
 * @throws ConfigError `store-read-only`, `store-scheme-unknown`; as openLocalStore
 */
export async function openWriteStore(location: string, options: OpenStoreOptions = {}): Promise<WriteStore> {
  if (isHttpUrl(location)) {
    const { openHttpStore } = await import("./http.ts");
    return openHttpStore(location, options);
  }
  return openPruneStore(location, options);
}

/**
 * Opens a store for writing, listing and pruning by its location: a path, a bucket's s3 URL or an
 * sftp URL.
 * @throws ConfigError `store-read-only` where the store cannot say what it holds; as openWriteStore
 */
export async function openPruneStore(location: string, options: OpenStoreOptions = {}): Promise<PruneStore> {
  if (isSshLocation(location)) {
    throw new ConfigError("a store on another machine is written by the program there, for an index there", {
      code: "store-read-only",
      hint: "name an index on that machine: imgtool make host:image.caibx image.raw",
      data: { expected: ["path"], found: "ssh" },
    });
  }
  if (isHttpUrl(location)) {
    throw new ConfigError("a store on a web server cannot be listed", {
      code: "store-read-only",
      hint: "run it where the directory is that the server serves",
      data: { expected: ["path"], found: "http" },
    });
  }
  if (isS3Location(location)) {
    const { openS3Store } = await import("./s3.ts");
    return openS3Store(location, options);
  }
  if (isSftpLocation(location)) {
    const { openSftpStore } = await import("./sftp/store.ts");
    return openSftpStore(location, options);
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(location)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "file") {
    throw new ConfigError(`no store driver takes ${scheme}:// locations`, {
      code: "store-scheme-unknown",
      hint: "give a path, host:path, or a URL that begins with http://, https://, s3:// or sftp://",
      data: { expected: ["path", "http", "https", "s3", "s3+http", "s3+https", "sftp", "ssh"], found: scheme },
    });
  }
  const { openLocalStore } = await import("./local.ts");
  return openLocalStore(scheme === "file" ? fileURLToPath(location) : location, options);
}

/** The store that belongs to an index unless another is named: `default.castr` beside it. */
export function defaultStoreLocation(indexLocation: string): string {
  const name = "default.castr";
  if (isSshLocation(indexLocation)) return withPath(indexLocation, (path) => join(dirname(path), name));
  if (isS3Location(indexLocation) || isSftpLocation(indexLocation))
    return `${indexLocation.slice(0, indexLocation.lastIndexOf("/") + 1)}${name}`;
  if (!isHttpUrl(indexLocation)) return join(dirname(indexLocation), name);
  const url = new URL(indexLocation);
  url.pathname = `${url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1)}${name}`;
  url.hash = "";
  return url.href;
}
