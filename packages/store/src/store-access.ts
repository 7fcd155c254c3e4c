/**
 * What is known of servers beside their locations: credentials, certificates, patience. A program sets once
 * where that is found, and everything that opens a store or a stored file by its location keeps to it, however
 * deep in the libraries that happens: no caller can forget to hand a certificate on.
 * @module
 */
import type { OpenStoreOptions } from "./open.ts";

/** Finds the options for a location: a URL, or a member of a group. */
export type StoreAccess = (location: string) => Promise<OpenStoreOptions>;

let current: StoreAccess | undefined;

/** Sets for this process where options for locations are found; undefined: nowhere, as in the beginning. */
export function setStoreAccess(access: StoreAccess | undefined): void {
  current = access;
}

/**
 * The options for a location, with what is set for it; what the caller asks for counts more.
 * @throws what the access throws
 */
export async function withStoreAccess<Options extends object>(
  location: string,
  options: Options,
): Promise<OpenStoreOptions & Options> {
  const found: OpenStoreOptions = (await current?.(location)) ?? {};
  const entries: readonly (readonly [string, unknown])[] = Object.entries(options);
  return { ...options, ...found, ...Object.fromEntries(entries.filter(([, value]) => value !== undefined)) };
}
