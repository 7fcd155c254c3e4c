/**
 * Archives on web servers. One is fetched whole, by one request, before anything of it is read: what was
 * published in its place meanwhile can neither be mixed into it nor be found half way.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { HttpClient, type OpenStoreOptions, withStoreAccess } from "@imgtool/store";

export interface FetchedArchive extends AsyncDisposable {
  /** A file that goes away when this is disposed. */
  readonly path: string;
}

/** @throws as HttpClient.fetchFile(); what setStoreAccess() throws */
export async function fetchArchive(
  url: string,
  access: OpenStoreOptions,
  signal: AbortSignal,
): Promise<FetchedArchive> {
  await using resources = new AsyncDisposableStack();
  // As casync: /tmp may be memory.
  const folder = await mkdtemp(join(process.env["TMPDIR"] || "/var/tmp", "imgtool-archive-"));
  resources.defer(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "archive.catar");
  const client = new HttpClient(await withStoreAccess(url, access));
  try {
    await client.fetchFile(url, path, { maxSize: Number.MAX_SAFE_INTEGER, signal });
  } finally {
    await client.close();
  }
  const owned = resources.move();
  return { path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
