/**
 * What `pull` and `push` open for another machine: the standard streams and the stores.
 * @module
 */
import type { RemoteOptions } from "./remote-operands.ts";
import { NotFoundError } from "@imgtool/core";
import { type Channel, openLocalStore, RateLimit, type ReadStore, streamChannel } from "@imgtool/store";

export function standardChannel({ rateLimitBps }: RemoteOptions): Channel {
  const limit = rateLimitBps === undefined ? undefined : new RateLimit(rateLimitBps);
  return streamChannel("the other machine", process.stdin, process.stdout, limit);
}

/** A store for reading. One that is not there holds nothing, as for casync. */
export async function openStoreIfThere(path: string): Promise<ReadStore> {
  try {
    return await openLocalStore(path);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    return { location: path, has: async () => false, get: async () => undefined, close: async () => {} };
  }
}
