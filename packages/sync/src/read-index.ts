/**
 * Reads an index from wherever it is.
 * @module
 */
import { ConfigError, NotFoundError } from "@imgtool/core";
import { checkFlags } from "@imgtool/catar";
import { type ChunkIndex, decodeIndex } from "@imgtool/chunker";
import {
  fetchBytes,
  fetchStoredFile,
  isHttpUrl,
  isSealedIndex,
  isSshLocation,
  isStoredFile,
  type OpenStoreOptions,
  parseHttpUrl,
  parseSshLocation,
  pullIndex,
  shownLocation,
  sshConnect,
  StoreCipher,
  type StoreKey,
  withStoreAccess,
} from "@imgtool/store";
import { maxIndexBytes, readIndexBytes } from "./index-file.ts";

export interface FetchIndexOptions {
  /**
   * Fetches the bytes at an http(s) URL, of which there may be `maxSize`. Default: a plain HTTP request;
   * with what setStoreAccess() knows of the server.
   */
  readonly load?: (
    url: string,
    options: { readonly maxSize: number; readonly signal?: AbortSignal | undefined },
  ) => Promise<Uint8Array>;
  /** For the driver that fetches it; what is asked for here counts more than what setStoreAccess() knows. */
  readonly access?: OpenStoreOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReadIndexOptions extends FetchIndexOptions {
  /** With which the index is encrypted; one that is not is refused then. */
  readonly key?: StoreKey | undefined;
}

/** The bytes of an index as they are stored. */
export interface FetchedIndex {
  readonly bytes: Uint8Array;
  /** What they are called in errors. */
  readonly name: string;
}

/**
 * The index at a path, an http(s) URL, where a driver for single files reaches (s3, gs, azure, sftp, ftp and
 * ftps URLs) or, through ssh, at host:path.
 * @throws as fetchIndex() and parseIndex()
 */
export async function readIndex(location: string, options: ReadIndexOptions = {}): Promise<ChunkIndex> {
  const { bytes, name } = await fetchIndex(location, options);
  return parseIndex(bytes, name, options.key);
}

/**
 * What readIndex() parses, as it is stored.
 * @throws NotFoundError `index-missing`, `remote-not-found`; NetworkError; FormatError `index-too-large`; what
 *   `load` throws
 */
export async function fetchIndex(location: string, options: FetchIndexOptions = {}): Promise<FetchedIndex> {
  const { access = {}, signal } = options;
  const { load = fetchWith(access) } = options;
  if (isSshLocation(location)) {
    const remote = parseSshLocation(location);
    const bytes = await pullIndex(sshConnect(remote, access), remote.path, { maxSize: maxIndexBytes, signal });
    return { bytes, name: location };
  }
  if (isStoredFile(location)) {
    const bytes = await fetchStoredFile(location, maxIndexBytes, { ...access, signal });
    const name = shownLocation(location);
    if (bytes !== undefined) return { bytes, name };
    throw missingIndex(name, "check the bucket or host, and the path in it");
  }
  if (!isHttpUrl(location)) return { bytes: await readIndexBytes(location), name: location };
  const bytes = await load(location, { maxSize: maxIndexBytes, signal });
  // A URL may hold a password: messages name it without.
  return { bytes, name: parseHttpUrl(location).shown };
}

function fetchWith(access: OpenStoreOptions): NonNullable<FetchIndexOptions["load"]> {
  return async (url, options) => fetchBytes(url, { ...(await withStoreAccess(url, access)), ...options });
}

function missingIndex(location: string, hint: string): NotFoundError {
  return new NotFoundError(`there is no index ${location}`, {
    code: "index-missing",
    hint,
    data: { index: location },
  });
}

/**
 * The index in bytes from elsewhere; `name` is what they are called in errors.
 * @param key with which they are encrypted
 * @throws FormatError as decodeIndex(); `catar-flags-not-normal` when the features are not in normal
 *   form, which casync refuses as well; ConfigError `index-encrypted` without a key; with one, as
 *   StoreCipher.openIndex()
 */
export function parseIndex(bytes: Uint8Array, name: string, key?: StoreKey): ChunkIndex {
  if (key === undefined && isSealedIndex(bytes)) {
    throw new ConfigError(`the index ${name} is encrypted`, {
      code: "index-encrypted",
      hint: "name its key: --key",
      data: { index: name },
    });
  }
  const place = { what: `the index ${name}`, data: { index: name } };
  const plain = key === undefined ? bytes : new StoreCipher(key).openIndex(bytes, place);
  const index = decodeIndex(plain, { name });
  checkFlags(index.flags);
  return index;
}
