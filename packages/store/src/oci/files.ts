/**
 * Files in a registry, such as indexes: each an artifact of one blob, under the file's name as its tag.
 * @module
 */
import { parseOciFile } from "./location.ts";
import { Registry, type RegistryOptions } from "./registry.ts";
import { titleAnnotation } from "./store.ts";

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
