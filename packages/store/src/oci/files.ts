/**
 * Files in a registry, such as indexes: each an artifact of one blob, under the file's name as its tag.
 * @module
 */
import { createHash } from "node:crypto";
import { FormatError } from "@imgtool/core";
import { CopiedFile } from "../copied-file.ts";
import type { ObjectFacts, ObjectRange } from "../object-store.ts";
import { parseOciFile } from "./location.ts";
import { Registry, type RegistryOptions } from "./registry.ts";
import { titleAnnotation } from "./store.ts";

/** Bytes that are asked for at once when the file is copied. */
const pieceSize = 8 * 1024 ** 2;

const fileType = "application/vnd.imgtool.file.v1";

/** The file at a location, whose own path is empty. */
export class OciFile {
  readonly location: string;
  readonly #tag: string;
  readonly #registry: Registry;

  /** @throws ConfigError `url-invalid`, `credentials-in-url`, `tag-invalid`, `credentials-invalid` */
  constructor(location: string, options: RegistryOptions = {}) {
    const place = parseOciFile(location);
    this.location = location;
    this.#tag = place.tag;
    this.#registry = new Registry(place, options);
  }

  /**
   * @returns undefined when there is none
   * @throws FormatError when it is larger, altered, or no file
   */
  async read(_path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const manifest = await this.#registry.manifest(this.#tag, signal);
    const layer = manifest?.layers[0];
    return layer === undefined ? undefined : this.#registry.blob(layer.digest, maxBytes, signal);
  }

  async stat(_path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const layer = (await this.#registry.manifest(this.#tag, signal))?.layers[0];
    return layer === undefined ? undefined : { bytes: layer.size, lastUsed: undefined, version: layer.digest };
  }

  /** The version is the digest under which the content is kept, whatever the tag names meanwhile. */
  async readRange(
    _path: string,
    { offset, length, version }: ObjectRange,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    return this.#registry.range(version, offset, length, signal);
  }

  /** @throws FormatError `registry-altered` when the content is not what its digest says */
  async copy(_path: string, file: string, signal?: AbortSignal): Promise<boolean> {
    const layer = (await this.#registry.manifest(this.#tag, signal))?.layers[0];
    if (layer === undefined) return false;
    const hash = createHash("sha256");
    await using output = await CopiedFile.create(file);
    for (let offset = 0; offset < layer.size; offset += pieceSize) {
      const length = Math.min(pieceSize, layer.size - offset);
      const bytes = await this.#registry.range(layer.digest, offset, length, signal);
      if (bytes === undefined) return false;
      hash.update(bytes);
      await output.write(bytes);
    }
    const found = `sha256:${hash.digest("hex")}`;
    if (found === layer.digest) return true;
    throw new FormatError(`${this.location} is not what its digest says`, {
      code: "registry-altered",
      data: { url: this.location, expected: layer.digest, found },
    });
  }

  /** Writes it, whole or not at all: the tag is moved when the blob is there. */
  async create(_path: string, bytes: Uint8Array, _replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const layer = await this.#registry.pushBlob(bytes, fileType, { [titleAnnotation]: this.#tag }, signal);
    await this.#registry.pushManifest({ artifactType: fileType, layers: [layer] }, this.#tag, signal);
    return true;
  }

  async close(): Promise<void> {
    await this.#registry.close();
  }
}
