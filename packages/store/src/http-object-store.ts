/**
 * Chunk stores on storage services that are asked over HTTP: what they were asked is counted.
 * @module
 */
import type { HttpStatistics } from "./http-client.ts";
import { type ChunkKinds, type ObjectManager, ObjectPruneStore } from "./object-store.ts";
import type { PruneStore } from "./store.ts";

export interface HttpObjectStore extends PruneStore {
  readonly statistics: Readonly<HttpStatistics>;
}

/** Objects of a service, with the counts of its client. */
export interface HttpObjects extends ObjectManager {
  readonly statistics: Readonly<HttpStatistics>;
}

/** A chunk store of the objects. */
export function httpObjectStore(objects: HttpObjects, chunks?: ChunkKinds): HttpObjectStore {
  return new CountingStore(objects, chunks);
}

class CountingStore extends ObjectPruneStore implements HttpObjectStore {
  readonly #objects: HttpObjects;

  constructor(objects: HttpObjects, chunks?: ChunkKinds) {
    super(objects, chunks);
    this.#objects = objects;
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#objects.statistics;
  }
}
