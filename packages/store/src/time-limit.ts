/**
 * A store that answers in time or not at all: for those who read on behalf of somebody who waits, such as a
 * file system. Repetitions and stalls count; a store that is down would take minutes otherwise.
 * @module
 */
import { NetworkError } from "@imgtool/core";
import type { ReadStore } from "./store.ts";

/**
 * The same store, of which no answer takes longer.
 * @param milliseconds from the call on; then it throws NetworkError `store-too-slow`
 */
export function limitTime(store: ReadStore, milliseconds: number): ReadStore {
  const limited = async <T>(call: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> => {
    const time = AbortSignal.timeout(milliseconds);
    try {
      return await call(signal === undefined ? time : AbortSignal.any([signal, time]));
    } catch (error) {
      if (!time.aborted || signal?.aborted === true) throw error;
      throw new NetworkError(`${store.location} has not answered within ${milliseconds / 1000} s`, {
        code: "store-too-slow",
        data: { store: store.location, milliseconds },
        cause: error,
      });
    }
  };
  return {
    location: store.location,
    has: (name, signal) => limited((either) => store.has(name, either), signal),
    get: (name, signal, maxBytes) => limited((either) => store.get(name, either, maxBytes), signal),
    close: () => store.close(),
  };
}
