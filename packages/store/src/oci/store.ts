/**
 * Driver: a chunk store in a repository of an OCI registry.
 *
 * Chunks are put together into packs of 32 MiB, and a publish is one artifact: its packs, a table that says
 * where in them each chunk lies, and a tag of its own. An artifact names the packs of former ones, too, whose
 * chunks its writer has kept: it is whole in itself, so that tags of others can be deleted, and the
 * registry's own garbage collection removes the packs that no artifact names any more.
 * @module
 */
import { concatBytes, FormatError, throwIfAborted } from "@imgtool/core";
import { checkChunkName } from "../chunk-path.ts";
import type { HttpStatistics } from "../http-client.ts";
import { maxStoredBytes } from "../limits.ts";
import type { ChunkName, StoredChunk, WriteStore } from "../store.ts";
import { JoinedRanges } from "./joined-ranges.ts";
import { chunksTag, parseOciStore } from "./location.ts";
import { decodePackTable, encodePackTable, maxTableBytes, type PackedPlace } from "./pack-table.ts";
import { type Descriptor, Registry, type RegistryOptions } from "./registry.ts";

export interface OciStoreOptions extends RegistryOptions {
  /** Bytes after which a pack is pushed. Default 32 MiB. */
  readonly packSize?: number;
  /** Milliseconds for which the list of artifacts is believed when a chunk is not found. Default 5000. */
  readonly listAge?: number;
}

const chunksType = "application/vnd.imgtool.chunks.v1";
const tableType = "application/vnd.imgtool.pack-table.v1";
const packType = "application/vnd.imgtool.pack.v1";
/** The annotation by which ORAS names the file that it makes of a blob. */
export const titleAnnotation = "org.opencontainers.image.title";
/** Packs that are pushed at once: each is in memory. */
const pushesAtOnce = 2;

/** Where a chunk is in the registry. */
interface Place extends Omit<PackedPlace, "pack"> {
  readonly pack: Descriptor;
}

/** A pack that is being filled or pushed; its chunks are read from memory until it is there. */
interface OpenPack {
  readonly chunks: Map<ChunkName, StoredChunk>;
  bytes: number;
}

/**
 * Opens a store in a repository: `oci://registry/repository`. No request is sent yet.
 * @throws ConfigError `url-invalid`, `credentials-in-url`, `credentials-invalid`
 */
export function openOciStore(location: string, options: OciStoreOptions = {}): OciStore {
  return new OciStore(location, options);
}

export class OciStore implements WriteStore {
  readonly location: string;
  readonly #registry: Registry;
  readonly #ranges: JoinedRanges;
  readonly #packSize: number;
  readonly #listAge: number;
  /** What is known of the registry, and the tags from which it is. */
  readonly #places = new Map<ChunkName, Place>();
  readonly #tags = new Set<string>();
  #listedAt = -Infinity;
  #listing: Promise<void> | undefined;
  /** Chunks that the next artifact names. */
  readonly #used = new Set<ChunkName>();
  #open: OpenPack = { chunks: new Map(), bytes: 0 };
  readonly #pushes = new Map<OpenPack, Promise<void>>();
  #failure: unknown;

  constructor(location: string, options: OciStoreOptions) {
    const place = parseOciStore(location);
    this.location = place.shown;
    const registry = new Registry(place, options);
    this.#registry = registry;
    this.#ranges = new JoinedRanges((...request) => registry.range(...request));
    this.#packSize = options.packSize ?? 32 * 1024 ** 2;
    this.#listAge = options.listAge ?? 5000;
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#registry.statistics;
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return (await this.storedSize(name, signal)) !== undefined;
  }

  async storedSize(name: ChunkName, signal?: AbortSignal): Promise<number | undefined> {
    return this.#inMemory(name)?.bytes.length ?? (await this.#find(name, signal))?.length;
  }

  async get(
    name: ChunkName,
    signal?: AbortSignal,
    maxBytes: number = maxStoredBytes(),
  ): Promise<StoredChunk | undefined> {
    const here = this.#inMemory(name);
    if (here !== undefined) return here;
    const place = await this.#find(name, signal);
    if (place === undefined) return undefined;
    const { pack, offset, length, compressed } = place;
    if (length > maxBytes) {
      throw new FormatError(
        `the chunk ${name} in ${this.location} is too large: expected at most ${maxBytes} bytes, found ${length}`,
        {
          code: "store-entry-invalid",
          data: { store: this.location, chunk: name, maxBytes, found: length },
        },
      );
    }
    const bytes = await this.#ranges.read(pack.digest, offset, length, signal);
    return bytes === undefined ? undefined : { bytes, compressed };
  }

  async keep(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    if (!(await this.has(name, signal))) return false;
    this.#used.add(name);
    return true;
  }

  async put(name: ChunkName, chunk: StoredChunk, signal?: AbortSignal): Promise<boolean> {
    if (await this.keep(name, signal)) return false;
    // Whoever calls may use the memory again.
    this.#open.chunks.set(name, { bytes: Uint8Array.from(chunk.bytes), compressed: chunk.compressed });
    this.#open.bytes += chunk.bytes.length;
    this.#used.add(name);
    if (this.#open.bytes >= this.#packSize) this.#push();
    while (this.#pushes.size > pushesAtOnce) await Promise.race(this.#pushes.values());
    if (this.#failure !== undefined) throw this.#failure;
    return true;
  }

  /** Pushes what is not there yet, and the artifact that names all that was put and kept. */
  async flush(): Promise<void> {
    if (this.#open.bytes > 0) this.#push();
    await Promise.all(this.#pushes.values());
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#used.size === 0) return;
    const packs = new Map<string, { readonly position: number; readonly descriptor: Descriptor }>();
    const chunks = new Map<ChunkName, PackedPlace>();
    for (const name of this.#used) {
      const place = this.#places.get(name);
      if (place === undefined) throw new RangeError(`the chunk ${name} is in no pack`);
      const { pack, ...where } = place;
      const known = packs.get(pack.digest) ?? { position: packs.size, descriptor: pack };
      packs.set(pack.digest, known);
      chunks.set(name, { ...where, pack: known.position });
    }
    const table = await this.#registry.pushBlob(encodePackTable(chunks), tableType, {
      [titleAnnotation]: "chunks.table",
    });
    const layers = [table, ...[...packs.values()].map(({ descriptor }) => descriptor)];
    await this.#registry.pushManifest({ artifactType: chunksType, layers }, { prefix: chunksTag });
    this.#used.clear();
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#pushes.values());
    await this.#registry.close();
  }

  #inMemory(name: ChunkName): StoredChunk | undefined {
    const here = this.#open.chunks.get(name);
    if (here !== undefined) return here;
    for (const pack of this.#pushes.keys()) {
      const chunk = pack.chunks.get(name);
      if (chunk !== undefined) return chunk;
    }
    return undefined;
  }

  /** Where the chunk is; the registry is asked for new artifacts when it is not known. */
  async #find(name: ChunkName, signal: AbortSignal | undefined): Promise<Place | undefined> {
    checkChunkName(name);
    throwIfAborted(signal);
    const known = this.#places.get(name);
    if (known !== undefined || performance.now() - this.#listedAt < this.#listAge) return known;
    // Many ask at once, and one list answers all: who is cancelled does not cancel the others.
    this.#listing ??= this.#list().finally(() => (this.#listing = undefined));
    await untilAborted(this.#listing, signal);
    return this.#places.get(name);
  }

  async #list(): Promise<void> {
    for (const tag of await this.#registry.tags(chunksTag)) {
      if (this.#tags.has(tag)) continue;
      const manifest = await this.#registry.manifest(tag);
      // deleted since it was listed
      if (manifest === undefined) continue;
      const [table, ...packs] = manifest.layers;
      if (table?.mediaType !== tableType || packs.some(({ mediaType }) => mediaType !== packType))
        throw this.#invalid(tag);
      const bytes = await this.#registry.blob(table.digest, Math.min(table.size, maxTableBytes));
      if (bytes === undefined) throw this.#invalid(tag);
      for (const [name, { pack, ...where }] of decodePackTable(
        bytes,
        packs.map(({ size }) => size),
      ))
        this.#places.set(name, { ...where, pack: packs[pack] as Descriptor });
      this.#tags.add(tag);
    }
    this.#listedAt = performance.now();
  }

  #invalid(tag: string): FormatError {
    return new FormatError(`${this.location} has no chunks under the tag ${tag}: expected a table and packs`, {
      code: "registry-invalid",
      hint: "delete the tag: something else than imgtool has written it",
      data: { store: this.location, tag },
    });
  }

  /** Begins to push the open pack, and opens another. */
  #push(): void {
    const pack = this.#open;
    this.#open = { chunks: new Map(), bytes: 0 };
    const push = this.#pushPack(pack)
      .catch((error: unknown) => void (this.#failure ??= error))
      .finally(() => this.#pushes.delete(pack));
    this.#pushes.set(pack, push);
  }

  async #pushPack({ chunks }: OpenPack): Promise<void> {
    const bytes = concatBytes([...chunks.values()].map((chunk) => chunk.bytes));
    const title = { [titleAnnotation]: `${chunks.keys().next().value?.slice(0, 16)}.pack` };
    const pack = await this.#registry.pushBlob(bytes, packType, title);
    let offset = 0;
    for (const [name, chunk] of chunks) {
      const length = chunk.bytes.length;
      this.#places.set(name, { pack, offset, length, compressed: chunk.compressed });
      offset += length;
    }
  }
}

/** The promise, unless the signal fires first. */
async function untilAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const onAbort = (): void => resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  throwIfAborted(signal);
}
