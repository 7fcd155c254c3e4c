/**
 * Publishes one version of an image: chunks first, then the indexes, the small files beside them, and
 * last the version list. A run that is stopped leaves a destination that is valid, and the next run
 * takes up where it ended.
 * @module
 */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import type { ChunkIndex } from "@imgtool/chunker";
import { ConfigError, NotFoundError, type Progress, silentProgress, throwIfAborted } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";
import {
  chunkName,
  type Compression,
  encryptStore,
  isFailoverGroup,
  isRemoteLocation,
  isStoredFile,
  type LocalStorePlace,
  type OpenStoreOptions,
  openWriteStore,
  refuseGroup,
  shownLocation,
  storedFileBelow,
  type StoreKey,
  type WriteStore,
} from "@imgtool/store";
import { makeBlob, makeTree, readIndex, type UpdateCost, updateCost } from "@imgtool/sync";
import { uploading } from "./uploading.ts";
import {
  type PublishedFile,
  type PublishedVersion,
  readVersionList,
  type VersionList,
  withVersion,
  writeVersionList,
} from "./versions.ts";

export interface PublishArtifact {
  /** Where it is. */
  readonly path: string;
  /** What it is called at the destination; indexes get `.caibx` or `.caidx` behind it. */
  readonly name: string;
  /** A blob (image, archive) becomes chunks, a tree (directory) an archive in chunks; a file is copied. */
  readonly kind: "blob" | "tree" | "file";
}

export interface PublishOptions {
  /** What all versions of the image have in common: its ImageId. Names the version list. */
  readonly family: string;
  /** The outputs' name, of this version alone: `minimal_1`. */
  readonly name: string;
  readonly version?: string | undefined;
  readonly artifacts: readonly PublishArtifact[];
  /**
   * What gets the indexes and the version list: a directory, made when it is not there, or the URL of a folder
   * that writeStoredFile() takes (s3, gs, azure, sftp, ftp, ftps).
   */
  readonly destination: string;
  /** Location of the chunk store. Default: default.castr in the destination. */
  readonly store?: string | undefined;
  /**
   * With which the chunks and the indexes are encrypted. What is copied as a file, and the version list with
   * the names of all of them, is not.
   */
  readonly key?: StoreKey | undefined;
  /** For the drivers of the store and the destination. */
  readonly access?: OpenStoreOptions | undefined;
  /** Default "zstd". */
  readonly compression?: Compression | undefined;
  /** Whether everything is flushed to the disk before it is named. Default true. */
  readonly durable?: boolean | undefined;
  readonly progress?: Progress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PublishedArtifact extends PublishedFile {
  readonly chunks: number;
  /** Chunks that the store did not hold, and the bytes they take up in it. */
  readonly newChunks: number;
  readonly newBytes: number;
  /** What a device that has the version before transfers; undefined where there is none. */
  readonly update?: UpdateCost & { readonly from: string };
}

export interface PublishResult {
  readonly destination: string;
  readonly store: string;
  readonly artifacts: readonly PublishedArtifact[];
  /** Whether anything at the destination changed. */
  readonly changed: boolean;
}

/**
 * Publishes a version. Publishing the same again writes nothing.
 * @throws ConfigError `name-invalid`; what makeBlob(), makeTree() and the store's driver throw
 */
export async function publish(options: PublishOptions): Promise<PublishResult> {
  const { family, name, destination, signal } = options;
  for (const part of [family, name, ...options.artifacts.map((artifact) => artifact.name)]) requireFileName(part);
  checkDestination(destination);
  const location = options.store ?? fileIn(destination, "default.castr");
  // One on this machine is written by the worker threads themselves.
  const opened = isRemoteLocation(location)
    ? await openWriteStore(location, { ...options.access, create: true })
    : undefined;
  const { key } = options;
  const remote = opened === undefined || key === undefined ? opened : encryptStore(opened, key);
  try {
    const context = {
      ...options,
      store: remote ?? { directory: location, key },
      progress: options.progress ?? silentProgress,
    };
    const published = isStoredFile(destination)
      ? await uploading(destination, `${family}.versions.json`, { ...options.access, signal }, (folder) =>
          publishInto({ ...context, destination: folder, published: destination }),
        )
      : await publishInto({ ...context, published: destination });
    return { destination: shownLocation(destination), store: opened?.location ?? location, ...published };
  } finally {
    await opened?.close();
  }
}

/** @throws ConfigError `store-read-only` for a group, `destination-read-only` where no file can be written */
function checkDestination(destination: string): void {
  if (isFailoverGroup(destination)) refuseGroup(destination);
  if (!isRemoteLocation(destination) || isStoredFile(destination)) return;
  const shown = shownLocation(destination);
  throw new ConfigError(`indexes cannot be written to ${shown}`, {
    code: "destination-read-only",
    hint: "publish into a directory, or to s3, gs, azure, oci, sftp or ftp; chunks alone may go to a web server: --store=URL",
    data: { destination: shown },
  });
}

interface PublishContext extends Omit<PublishOptions, "store"> {
  /** A local store, with its key, or an open one. */
  readonly store: LocalStorePlace | WriteStore;
  readonly progress: Progress;
  /** Where the indexes of former versions are. */
  readonly published: string;
}

/** Publishes into a directory of this machine. */
async function publishInto(context: PublishContext): Promise<Pick<PublishResult, "artifacts" | "changed">> {
  const { family, name, destination, signal } = context;
  await mkdir(destination, { recursive: true });
  const listPath = join(destination, `${family}.versions.json`);
  const list = await readVersionList(listPath, family);

  const published: PublishedArtifact[] = [];
  let changed = false;
  for (const artifact of context.artifacts) {
    throwIfAborted(signal);
    if (artifact.kind === "file") {
      const { file, copied } = await publishFile(artifact, destination);
      published.push({ ...file, chunks: 0, newChunks: 0, newBytes: 0 });
      changed ||= copied;
      continue;
    }
    const index = indexName(artifact);
    const previous = await previousIndex(context, versionBefore(list, name), artifact);
    const made = await publishChunks(artifact, context);
    const next = await readIndex(join(destination, index), { key: context.key });
    const update =
      previous === undefined
        ? undefined
        : {
            from: previous.name,
            ...(await updateCost(previous.index, next, context.store, signal)),
          };
    published.push({
      file: index,
      kind: artifact.kind,
      digest: chunkName(await readFile(join(destination, index))),
      size: made.size,
      chunks: made.chunks,
      newChunks: made.newChunks,
      newBytes: made.newBytes,
      ...(update === undefined ? {} : { update }),
    });
    changed ||= made.newChunks > 0;
  }
  const files = published.map(({ file, kind, digest, size }): PublishedFile => ({ file, kind, digest, size }));
  const version = { name, ...(context.version === undefined ? {} : { version: context.version }), files };
  const written = await writeVersionList(listPath, withVersion(list, version));
  return { artifacts: published, changed: changed || written };
}

/** The newest version before the one with this name. */
function versionBefore(list: VersionList, name: string): PublishedVersion | undefined {
  const position = list.versions.findIndex((version) => version.name === name);
  return (position < 0 ? list.versions : list.versions.slice(0, position)).at(-1);
}

function indexName({ name, kind }: PublishArtifact): string {
  return `${name}${kind === "blob" ? ".caibx" : ".caidx"}`;
}

/** Cuts, stores and indexes one artifact. */
async function publishChunks(
  artifact: PublishArtifact,
  context: PublishContext,
): Promise<{
  readonly size: number;
  readonly chunks: number;
  readonly newChunks: number;
  readonly newBytes: number;
}> {
  const { compression, durable, signal, progress, store, key } = context;
  const shared = {
    source: artifact.path,
    index: join(context.destination, indexName(artifact)),
    store,
    key,
    progress,
    ...(compression === undefined ? {} : { compression }),
    ...(durable === undefined ? {} : { durable }),
    ...(signal === undefined ? {} : { signal }),
  };
  return artifact.kind === "blob" ? makeBlob(shared) : makeTree(shared);
}

/** Copies a small file, unless the destination holds the same. */
async function publishFile(
  artifact: PublishArtifact,
  destination: string,
): Promise<{ file: PublishedFile; copied: boolean }> {
  const target = join(destination, artifact.name);
  const content = await readFile(artifact.path);
  const file: PublishedFile = { file: artifact.name, kind: "file", digest: chunkName(content), size: content.length };
  const present = await readFile(target).catch(() => undefined);
  if (present?.equals(content) === true) return { file, copied: false };
  await makeAtomically(target, (temporary) => copyFile(artifact.path, temporary));
  return { file, copied: true };
}

/** The index of the like artifact (kind and suffix are the same) in an earlier version. */
async function previousIndex(
  { published, key, access, signal }: PublishContext,
  version: PublishedVersion | undefined,
  artifact: PublishArtifact,
): Promise<{ readonly name: string; readonly index: ChunkIndex } | undefined> {
  const wanted = extname(artifact.name);
  const like = version?.files.find(
    ({ kind, file }) => kind === artifact.kind && extname(file.replace(/\.cai[bd]x$/, "")) === wanted,
  );
  if (version === undefined || like === undefined) return undefined;
  try {
    return { name: version.name, index: await readIndex(fileIn(published, like.file), { key, access, signal }) };
  } catch (error) {
    // Somebody may have deleted an old index; the list still tells of the version.
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

function fileIn(destination: string, name: string): string {
  return isStoredFile(destination) ? storedFileBelow(destination, name) : join(destination, name);
}

function requireFileName(name: string): void {
  if (name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0")) return;
  throw new ConfigError(`not a file name: ${JSON.stringify(name)}`, {
    code: "name-invalid",
    hint: "ImageId=, Output= and file names of artifacts must not hold a slash",
    data: { name },
  });
}
