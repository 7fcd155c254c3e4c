/**
 * Driver: a chunk store on a web server that can be listed and cleaned: one with WebDAV's PROPFIND and DELETE
 * (RFC 4918), as apache2's mod_dav and `imgtool serve --prunable` have them.
 * @module
 */
import { ConfigError, NotFoundError, throwIfAborted } from "@imgtool/core";
import { statusError } from "./http-errors.ts";
import { HttpObjects, type HttpStoreOptions } from "./http.ts";
import { below, type HttpTarget, parseHttpUrl } from "./http-target.ts";
import { httpObjectStore, type HttpObjectStore } from "./http-object-store.ts";
import type { ObjectFacts, ObjectManager } from "./object-store.ts";
import { type ListedResource, parseMultistatus, propfindBody } from "./webdav-listing.ts";

/** The folders of a store's chunks are asked for so many at once: a full store has 65536. */
const foldersAtOnce = 16;
/** Of an answer, in bytes: 65536 folders at some 500 each are half of it. */
const maxListing = 64 * 1024 ** 2;

/**
 * Opens a chunk store on a web server for writing, listing and pruning; the server is asked whether it can.
 * @throws ConfigError `store-read-only` where it cannot, `url-invalid`; NotFoundError `store-missing`; NetworkError
 */
export async function openWebDavStore(url: string | URL, options: HttpStoreOptions = {}): Promise<HttpObjectStore> {
  const objects = new WebDavObjects(parseHttpUrl(url), options);
  try {
    const { allows } = await objects.abilities();
    if (allows.has("PROPFIND") && allows.has("DELETE")) return httpObjectStore(objects, options.chunks);
    // What WebDAV offers where there is nothing yet.
    if (allows.has("MKCOL")) throw missingStore(objects.location);
    throw new ConfigError(`the web server of ${objects.location} lists and removes nothing`, {
      code: "store-read-only",
      hint: "it takes imgtool serve --prunable, or WebDAV with PROPFIND and DELETE; or run it where the directory is that the server serves",
      data: { store: objects.location, expected: ["PROPFIND", "DELETE"], found: [...allows] },
    });
  } catch (error) {
    await objects.close();
    throw error;
  }
}

class WebDavObjects extends HttpObjects implements ObjectManager {
  /** With when it was marked as used, which HEAD does not say. */
  override async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const found = (await this.#propfind(below(this.base, path), 0, signal))?.at(0);
    return found === undefined || found.isFolder ? undefined : found;
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void> {
    const root = await this.#propfind(below(this.base, ""), 1, signal);
    if (root === undefined) throw missingStore(this.location);
    const folders: string[] = [];
    for (const { name, ...facts } of childrenOf(root, this.base.path)) {
      if (facts.isFolder && /^[0-9a-f]{4}$/.test(name)) folders.push(name);
      else yield { ...facts, path: name };
    }
    const ask = (name: string | undefined): Promise<readonly ListedResource[] | undefined> | undefined => {
      if (name === undefined) return undefined;
      const asked = this.#propfind(below(this.base, `${name}/`), 1, signal);
      // Nobody may come for it.
      asked.catch(() => {});
      return asked;
    };
    const asked = folders.slice(0, foldersAtOnce).map(ask);
    for (const [i, folder] of folders.entries()) {
      throwIfAborted(signal);
      // undefined: it went away since
      const inside = (await asked.shift()) ?? [];
      asked.push(ask(folders[i + foldersAtOnce]));
      for (const { name, ...facts } of childrenOf(inside, `${this.base.path.replace(/\/$/, "")}/${folder}`)) {
        // What is no file keeps its slash, so that it is not taken for a chunk.
        yield { ...facts, path: `${folder}/${name}${facts.isFolder ? "/" : ""}` };
      }
    }
  }

  async delete(path: string, version: string | undefined): Promise<boolean> {
    const answer = await this.client.send(below(this.base, path), {
      method: "DELETE",
      headers: version === undefined ? {} : { "if-match": version },
      // 412: it has changed; 423: somebody has locked it, and it stays
      accept: [204, 412, 423],
      maxBytes: 65_536,
    });
    return answer?.status === 204 || answer?.status === 200;
  }

  async #propfind(target: HttpTarget, depth: 0 | 1, signal?: AbortSignal): Promise<ListedResource[] | undefined> {
    const answer = await this.client.send(target, {
      method: "PROPFIND",
      body: propfindBody,
      headers: { depth: String(depth), "content-type": 'application/xml; charset="utf-8"' },
      accept: [207],
      maxBytes: maxListing,
      signal,
    });
    if (answer === undefined) return undefined;
    if (answer.status !== 207) throw statusError(target, answer.status, "PROPFIND");
    return parseMultistatus(answer.bytes, target.shown);
  }
}

function missingStore(location: string): NotFoundError {
  return new NotFoundError(`there is no chunk store at ${location}`, {
    code: "store-missing",
    hint: "check the URL, or make the store by publishing to it",
    data: { store: location },
  });
}

/** What lies in a folder, by its name there; the folder itself is among what the server answers. */
function* childrenOf(
  listed: readonly ListedResource[],
  folder: string,
): Generator<ListedResource & { readonly name: string }, void> {
  const prefix = `${decodeURIComponent(folder).replace(/\/+$/, "")}/`;
  for (const resource of listed) {
    const name = resource.path.startsWith(prefix) ? resource.path.slice(prefix.length) : "";
    if (name !== "" && !name.includes("/")) yield { ...resource, name };
  }
}
