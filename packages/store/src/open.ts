/**
 * From a store's location to its driver. Drivers are loaded when they are used.
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@imgtool/core";
import { FailoverStore, groupMembers, isFailoverGroup } from "./failover.ts";
import type { HttpStoreOptions } from "./http.ts";
import { isHttpUrl, parseHttpUrl } from "./http-target.ts";
import type { LocalStoreOptions } from "./local.ts";
import { objectScheme, objectSchemeNames, type ObjectStoreOptions } from "./object-schemes.ts";
import type { SshOptions } from "./remote/ssh-channel.ts";
import { isSshLocation, withPath } from "./remote/ssh-location.ts";
import { withStoreAccess } from "./store-access.ts";
import type { PruneStore, ReadStore, WriteStore } from "./store.ts";

export interface OpenStoreOptions extends LocalStoreOptions, HttpStoreOptions, ObjectStoreOptions, SshOptions {}

/**
 * Whether a location is no path on this machine, but a group, a URL or another machine's: what openStore() and
 * its like are for, which refuse URLs that no driver takes.
 */
export function isRemoteLocation(location: string): boolean {
  return isFailoverGroup(location) || schemeOf(location) !== undefined || isSshLocation(location);
}

/** What stands before `://`. */
function schemeOf(location: string): string | undefined {
  return /^([a-z][a-z0-9+.-]*):\/\//i.exec(location)?.[1]?.toLowerCase();
}

/**
 * A location for messages, or the members of a group: without passwords, the user names of all but ssh, and
 * the queries in which signed URLs have their signatures. It need not be one that a driver takes.
 */
export function shownLocation(location: string): string {
  return location
    .split(/(^\s+|\s*\|\s*)/)
    .map(shownMember)
    .join("");
}

function shownMember(location: string): string {
  if (isHttpUrl(location) && URL.canParse(location)) return parseHttpUrl(location).shown;
  if (/^s(?:sh|ftp):/i.test(location)) return location.replace(/^(s(?:sh|ftp):\/\/[^/:@]*):[^/]*@/i, "$1@");
  const shown = location.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, "$1");
  // The keys of objects in buckets can hold question marks.
  return /^(?:https?|ftps?|azure(?:\+https?)?):\/\//i.test(shown) ? shown.replace(/\?.*/s, "") : shown;
}

/**
 * Opens a store for reading by its location: a path, an http(s) URL, a URL that a driver of
 * object-schemes.ts takes (s3, gs, azure, oci, sftp, ftp, ftps), or host:path for ssh; several with | between them
 * are places of one store, see failover.ts.
 * @throws ConfigError for a location that no driver takes; as openLocalStore, openHttpStore and
 *   openSshStore
 */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<ReadStore> {
  if (isFailoverGroup(location)) {
    // another member is a better second attempt than a dead one's sixth
    return new FailoverStore(
      groupMembers(location).map((member) => ({
        location: shownLocation(member),
        open: async () => openWith(member, { retries: 1, ...(await withStoreAccess(member, options)) }),
      })),
    );
  }
  return openWith(location, await withStoreAccess(location, options));
}

/** Opens a single store for reading, with all that is known of it. */
async function openWith(location: string, options: OpenStoreOptions): Promise<ReadStore> {
  if (isSshLocation(location)) {
    const { openSshStore } = await import("./remote/remote-store.ts");
    return openSshStore(location, options);
  }
  return openWriteWith(location, options);
}

/**
 * Opens a store for writing by its location: a path, an http(s) URL, or a URL that a driver of
 * object-schemes.ts takes.
 * @throws ConfigError `store-read-only`, `store-scheme-unknown`; as openLocalStore
 */
export async function openWriteStore(location: string, options: OpenStoreOptions = {}): Promise<WriteStore> {
  return openWriteWith(location, await withStoreAccess(location, options));
}

async function openWriteWith(location: string, options: OpenStoreOptions): Promise<WriteStore> {
  refuseGroup(location);
  if (isHttpUrl(location)) {
    const { openHttpStore } = await import("./http.ts");
    return openHttpStore(location, options);
  }
  return (await objectScheme(location)?.store(location, options)) ?? openPruneWith(location, options);
}

/**
 * Opens a store for writing, listing and pruning by its location: a path, the URL of a web server that lists and
 * removes (see webdav.ts), or a URL that a driver of object-schemes.ts takes.
 * @throws ConfigError `store-read-only` where the store cannot say what it holds; as openWriteStore
 */
export async function openPruneStore(location: string, options: OpenStoreOptions = {}): Promise<PruneStore> {
  return openPruneWith(location, await withStoreAccess(location, options));
}

async function openPruneWith(location: string, options: OpenStoreOptions): Promise<PruneStore> {
  refuseGroup(location);
  if (isSshLocation(location)) {
    throw new ConfigError("a store on another machine is written by the program there, for an index there", {
      code: "store-read-only",
      hint: "name an index on that machine: imgtool make host:image.caibx image.raw",
      data: { expected: ["path"], found: "ssh" },
    });
  }
  if (isHttpUrl(location)) {
    const { openWebDavStore } = await import("./webdav.ts");
    return openWebDavStore(location, options);
  }
  const driver = objectScheme(location);
  if (driver?.prune !== undefined) return driver.prune(location, options);
  if (driver !== undefined) {
    throw new ConfigError("chunks in a registry are in packs, of which none can be removed alone", {
      code: "store-read-only",
      hint: "delete tags that are not needed any more: the registry's garbage collection removes what no tag names",
      data: { expected: ["path"], found: driver.names[0] },
    });
  }
  const scheme = schemeOf(location);
  if (scheme !== undefined && scheme !== "file") {
    throw new ConfigError(`no store driver takes ${scheme}:// locations`, {
      code: "store-scheme-unknown",
      hint: "give a path, host:path, or a URL that begins with http://, https://, s3://, gs://, azure://, oci://, sftp://, ftp:// or ftps://",
      data: { expected: ["path", "http", "https", ...objectSchemeNames, "ssh"], found: scheme },
    });
  }
  const { openLocalStore } = await import("./local.ts");
  return openLocalStore(scheme === "file" ? fileURLToPath(location) : location, options);
}

/** @throws ConfigError `store-read-only` for several locations of one store, which names them */
export function refuseGroup(location: string): void {
  if (!isFailoverGroup(location)) return;
  const members = groupMembers(location).map(shownLocation);
  throw new ConfigError(`a group of stores is only read: ${members.join(", ")} are taken for copies of one store`, {
    code: "store-read-only",
    hint: `name the one store of the group that others are copied from, such as ${members[0]}; imgtool cache --to= copies to the others`,
    data: { expected: ["one location"], found: "group", members },
  });
}

/** The store that belongs to an index unless another is named: `default.castr` beside it. */
export function defaultStoreLocation(indexLocation: string): string {
  const name = "default.castr";
  if (isSshLocation(indexLocation)) return withPath(indexLocation, (path) => join(dirname(path), name));
  if (objectScheme(indexLocation) !== undefined)
    return `${indexLocation.slice(0, indexLocation.lastIndexOf("/") + 1)}${name}`;
  if (!isHttpUrl(indexLocation)) return join(dirname(indexLocation), name);
  const url = new URL(indexLocation);
  url.pathname = `${url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1)}${name}`;
  url.hash = "";
  return url.href;
}
