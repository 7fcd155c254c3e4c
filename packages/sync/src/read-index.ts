/**
 * Reads an index from wherever it is.
 * @module
 */
import { NotFoundError } from "@imgtool/core";
import { checkFlags } from "@imgtool/catar";
import { type ChunkIndex, decodeIndex } from "@imgtool/chunker";
import {
  fetchBytes,
  fetchS3Object,
  fetchSftpFile,
  isHttpUrl,
  isS3Location,
  isSftpLocation,
  isSshLocation,
  parseHttpUrl,
  parseSshLocation,
  pullIndex,
  sshConnect,
} from "@imgtool/store";
import { maxIndexBytes, readIndexBytes } from "./index-file.ts";

export interface ReadIndexOptions {
  /**
   * Fetches the bytes at an http(s) URL, of which there may be `maxSize`. Default: a plain HTTP request;
   * hand in another for credentials or proxies.
   */
  readonly load?: (
    url: string,
    options: { readonly maxSize: number; readonly signal?: AbortSignal | undefined },
  ) => Promise<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The index at a path, an http(s) URL, in a bucket (s3 URL), at an sftp URL or, through ssh, at host:path.
 * @throws NotFoundError `index-missing`, `remote-not-found`; NetworkError; FormatError `index-…` or `catar-flags-…`; what `load` throws
 */
export async function readIndex(location: string, options: ReadIndexOptions = {}): Promise<ChunkIndex> {
  const { load = fetchBytes, signal } = options;
  if (isSshLocation(location)) {
    const remote = parseSshLocation(location);
    return parseIndex(await pullIndex(sshConnect(remote), remote.path, { maxSize: maxIndexBytes, signal }), location);
  }
  if (isS3Location(location)) {
    const bytes = await fetchS3Object(location, maxIndexBytes, { signal });
    if (bytes !== undefined) return parseIndex(bytes, location);
    throw new NotFoundError(`there is no index ${location}`, {
      code: "index-missing",
      hint: "check the bucket and the key",
      data: { index: location },
    });
  }
  if (isSftpLocation(location)) {
    const bytes = await fetchSftpFile(location, maxIndexBytes, { signal });
    if (bytes !== undefined) return parseIndex(bytes, location);
    throw new NotFoundError(`there is no index ${location}`, {
      code: "index-missing",
      hint: "check the path on that machine",
      data: { index: location },
    });
  }
  if (!isHttpUrl(location)) return parseIndex(await readIndexBytes(location), location);
  const bytes = await load(location, { maxSize: maxIndexBytes, signal });
  // A URL may hold a password: messages name it without.
  return parseIndex(bytes, parseHttpUrl(location).shown);
}

/**
 * The index in bytes from elsewhere; `name` is what they are called in errors.
 * @throws FormatError as decodeIndex(); `catar-flags-not-normal` when the features are not in normal
 *   form, which casync refuses as well
 */
export function parseIndex(bytes: Uint8Array, name: string): ChunkIndex {
  const index = decodeIndex(bytes, { name });
  checkFlags(index.flags);
  return index;
}
