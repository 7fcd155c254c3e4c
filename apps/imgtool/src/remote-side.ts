/**
 * What `pull` and `push` open for another machine: the standard streams and the stores.
 * @module
 */
import { NotFoundError } from "@imgtool/core";
import { type Channel, openLocalStore, type ReadStore, streamChannel } from "@imgtool/store";

export function standardChannel(): Channel {
  return streamChannel("the other machine", process.stdin, process.stdout);
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
