/**
 * Archives on web servers and storage services. What is read whole is fetched whole before anything of it is
 * used: what was published in its place meanwhile can neither be mixed into it nor be found half way. Of what
 * is looked into, only parts are fetched, all of one version.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { NotFoundError } from "@imgtool/core";
import {
  copyStoredFile,
  HttpClient,
  isHttpUrl,
  openRangedFile,
  type OpenStoreOptions,
  shownLocation,
  withStoreAccess,
} from "@imgtool/store";
import type { RangedSource } from "@imgtool/sync";

export interface FetchedArchive extends AsyncDisposable {
  /** A file that goes away when this is disposed, or what reads parts. */
  readonly archive: string | RangedSource;
}

/**
 * Opens an archive of which parts are needed; where none can be had, it is fetched whole.
 * @throws as openRangedFile() and fetchArchive()
 */
export async function openRemoteArchive(
  url: string,
  access: OpenStoreOptions,
  signal: AbortSignal,
): Promise<FetchedArchive> {
  const file = await openRangedFile(url, access, signal);
  if (file === undefined) return fetchArchive(url, access, signal);
  const { RangedSource } = await import("@imgtool/sync");
  return { archive: new RangedSource(file), [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]() };
}

/** @throws as HttpClient.fetchFile() and copyStoredFile(); what setStoreAccess() throws */
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
  if (isHttpUrl(url)) {
    const client = new HttpClient(await withStoreAccess(url, access));
    resources.defer(() => client.close());
    await client.fetchFile(url, path, { maxSize: Number.MAX_SAFE_INTEGER, signal });
  } else if (!(await copyStoredFile(url, path, { ...access, signal }))) {
    throw new NotFoundError(`there is no ${shownLocation(url)}`, {
      code: "source-missing",
      data: { file: shownLocation(url) },
    });
  }
  const owned = resources.move();
  return { archive: path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
