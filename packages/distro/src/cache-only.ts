/**
 * The error of a build that may not ask the network (CacheOnly=) for what its cache does not have.
 * @module
 */
import { NetworkError, NotFoundError, ProcessError } from "@imgtool/core";

/** @param what "the package lists of debian bookworm" */
export function cacheIncomplete(what: string, cause?: unknown): NotFoundError {
  return new NotFoundError(`the package cache does not have ${what}, and CacheOnly= forbids to download it`, {
    code: "cache-incomplete",
    hint: "build once without CacheOnly=, with the same PackageCacheDirectory=",
    data: { missing: what },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Without a network a download that fails, however a package manager says it, means that something is not cached. */
export function asCacheError(error: unknown, doing: string): unknown {
  const isMissing = error instanceof NetworkError || (error instanceof ProcessError && doing === "download packages");
  return isMissing ? cacheIncomplete("what is needed", error) : error;
}
