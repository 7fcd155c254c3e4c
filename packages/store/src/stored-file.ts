/**
 * Single files beside stores, such as indexes, wherever a driver of object-schemes.ts reaches.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { objectScheme, objectSchemeNames, type ObjectFile, type ObjectStoreOptions } from "./object-schemes.ts";
import { withStoreAccess } from "./store-access.ts";

export interface StoredFileOptions extends ObjectStoreOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Whether fetchStoredFile() and writeStoredFile() take the location. */
export function isStoredFile(location: string): boolean {
  return objectScheme(location) !== undefined;
}

/** The location of a file in the folder at a location. */
export function storedFileBelow(folder: string, name: string): string {
  const encoded = objectScheme(folder)?.isEncoded === true ? encodeURIComponent(name) : name;
  return `${folder.replace(/\/+$/, "")}/${encoded}`;
}

/**
 * The file at a location; undefined when there is none.
 * @param maxBytes the most bytes to take
 * @throws ConfigError `store-scheme-unknown`; FormatError when it is larger; what the driver throws
 */
export async function fetchStoredFile(
  location: string,
  maxBytes: number,
  options: StoredFileOptions = {},
): Promise<Uint8Array | undefined> {
  return at(location, options, (objects) => objects.read("", maxBytes, options.signal));
}

/**
 * Writes the file at a location, whole or not at all; one that is there is replaced.
 * @throws ConfigError `store-scheme-unknown`; what the driver throws
 */
export async function writeStoredFile(
  location: string,
  bytes: Uint8Array,
  options: StoredFileOptions = {},
): Promise<void> {
  await at(location, options, (objects) => objects.create("", bytes, true, options.signal));
}

/** Below the location of a file, the empty path is the file itself. */
async function at<T>(
  location: string,
  options: StoredFileOptions,
  work: (objects: ObjectFile) => Promise<T>,
): Promise<T> {
  const objects = await objectScheme(location)?.objects(location, await withStoreAccess(location, options));
  if (objects === undefined) {
    throw new ConfigError(`no driver takes the file ${location}`, {
      code: "store-scheme-unknown",
      hint: `expected one of ${objectSchemeNames.map((name) => `${name}://`).join(", ")}`,
      data: { expected: objectSchemeNames, found: location },
    });
  }
  try {
    return await work(objects);
  } finally {
    await objects.close();
  }
}
