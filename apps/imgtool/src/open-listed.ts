/**
 * Stores that are looked into as a whole: those that can say what they hold.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { type ListStore, openPruneStore, shownLocation } from "@imgtool/store";
import { networkAccess, type NetworkOptions } from "./chunk-options.ts";

/**
 * Opens a store that can be listed.
 * @param instead what can be done with an index, for the hint: "verify an index against it: …"
 * @throws ConfigError `store-not-listable` where the store cannot say what it holds; as openPruneStore()
 */
export async function openListed(location: string, options: NetworkOptions, instead: string): Promise<ListStore> {
  try {
    return await openPruneStore(location, networkAccess(options));
  } catch (error) {
    if (!(error instanceof ConfigError) || error.code !== "store-read-only") throw error;
    throw new ConfigError(
      `${shownLocation(location)} cannot say what it holds: registries, ssh, groups and web servers without WebDAV have no listing`,
      { code: "store-not-listable", hint: instead, data: { store: shownLocation(location) }, cause: error },
    );
  }
}
