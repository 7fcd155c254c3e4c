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
import type { PruneStore, ReadStore } from "./store.ts";

export interface OpenStoreOptions extends LocalStoreOptions, HttpStoreOptions {}

/**
 * Opens a store for reading by its location: a path or an http(s) URL.
 * @throws ConfigError for a location that no driver takes; as openLocalStore and openHttpStore
 */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<ReadStore> {
  if (isHttpUrl(location)) {
    const { openHttpStore } = await import("./http.ts");
    return openHttpStore(location, options);
  }
  return openWriteStore(location, options);
}

/**
 * Opens a store for writing and pruning by its location: a path.
 * @throws ConfigError `store-read-only` for a URL; as openLocalStore
 */
export async function openWriteStore(location: string, options: LocalStoreOptions = {}): Promise<PruneStore> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(location)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "file") {
    const readOnly = isHttpUrl(location);
    throw new ConfigError(
      readOnly ? "a store on a web server is read-only" : `no store driver takes ${scheme}:// locations`,
      {
        code: readOnly ? "store-read-only" : "store-scheme-unknown",
        hint: readOnly
          ? "write to the directory that the server serves"
          : "give a path, or a URL that begins with http:// or https://",
        data: { expected: ["path", "http", "https"], found: scheme },
      },
    );
  }
  const { openLocalStore } = await import("./local.ts");
  return openLocalStore(scheme === "file" ? fileURLToPath(location) : location, options);
}

/** The store that belongs to an index unless another is named: `default.castr` beside it. */
export function defaultStoreLocation(indexLocation: string): string {
  const name = "default.castr";
  if (!isHttpUrl(indexLocation)) return join(dirname(indexLocation), name);
  const url = new URL(indexLocation);
  url.pathname = `${url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1)}${name}`;
  url.hash = "";
  return url.href;
}
