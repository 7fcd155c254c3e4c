/**
 * Restores a directory tree from an archive, or from an index and its chunks.
 * @module
 */
import { closeSync, readdirSync } from "node:fs";
import { ConfigError, type Progress, silentProgress, systemErrorCode, type Task, throwIfAborted } from "@imgtool/core";
import { AT_FDCWD, openat, openFlags, readDirectory, syncfs } from "@imgtool/host";
import { ChunkSource, type ChunkSourceCounts } from "../chunk-source.ts";
import { makeResumably } from "../partial-output.ts";
import { readStream } from "../read-stream.ts";
import type { Seed } from "../seed.ts";
import type { IdShift } from "./id-shift.ts";
import { removeEntry } from "./remove-entry.ts";
import type { Subtree } from "./subtree.ts";
import { archiveBytes, archiveDecoder, type TreeSource } from "./tree-source.ts";
import { treeSeed } from "./tree-seed.ts";
import { restoredFlags, restoredNode } from "./restored-node.ts";
import { TreeWriter, type TreeWriterOptions } from "./tree-writer.ts";

export interface ExtractTreeOptions {
  /**
   * An archive, an index with its stores and seeds, or one node of either: that is restored below the
   * target under its name, and what else is in the target stays.
   */
  readonly source: Exclude<TreeSource, { readonly directory: string }>;
  /** The directory. One that is not there is made, under a temporary name until it is whole. */
  readonly target: string;
  /** Whether what the archive does not have is removed from a target that was there. Default true. */
  readonly delete?: boolean;
  /** Whether a target that was there serves as a seed. Default true. */
  readonly seedOutput?: boolean;
  /** Feature flags of the metadata that is restored, as parseWith() gives them. Default: all that is recorded. */
  readonly features?: bigint | undefined;
  /** The host's range of ids that owners are moved to. Default: none. */
  readonly idShift?: IdShift | undefined;
  /** Whether attributes that forbid changes are taken off what is replaced or removed. Default false. */
  readonly undoImmutable?: boolean;
  /** Whether zeros become holes. Default true. */
  readonly punchHoles?: boolean;
  /** Whether changed files share blocks with what they were, and with seeds. Default true. */
  readonly reflink?: boolean;
  /**
   * Whether files become hard links of equal ones, with equal metadata: of those of the same path in
   * directories that are seeds, and of others in the archive. Default false.
   */
  readonly hardlink?: boolean;
  /** Whether all is flushed to the disk before the end. Default true. */
  readonly durable?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface ExtractedTree extends ChunkSourceCounts {
  /** Length of the archive in bytes. */
  readonly bytes: number;
  /** Nodes restored, the root counted. */
  readonly nodes: number;
}

/**
 * Restores a tree. Nothing outside the target is touched, whatever the archive says; owners,
 * `trusted.*` and the like are restored when run as root.
 * @throws CatarError for an archive that is none; EnvironmentError `device-needs-root`, `no-space`,
 *   `extract-failed`; ConfigError `target-not-a-directory`; for an index as ChunkSource.get(); AbortedError
 * @example await extractTree({ source: { index, stores }, target: "rootfs" })
 */
export async function extractTree(options: ExtractTreeOptions): Promise<ExtractedTree> {
  const { target, source } = options;
  const old = openTarget(target);
  if (old !== undefined) {
    try {
      return await extractInto(old, false, options);
    } finally {
      closeSync(old);
    }
  }
  // An archive brings the mode of its root; one node does not.
  const isNode = "subtree" in source;
  return makeResumably(target, "directory", isNode ? 0o777 : undefined, async (partial) => {
    const root = partial.descriptor;
    // What a former run left belongs to the tree's root, not beside a node.
    if (isNode && partial.isResumed)
      for (const { name } of readDirectory(root)) removeEntry(root, name, { undoImmutable: true });
    const isFresh = isNode || !partial.isResumed;
    try {
      // What is there is no one's but a former run's, and has to go when it is not in the archive: also
      // what rm(1) would fail at, read-only subvolumes and immutable files.
      return await extractInto(root, isFresh, {
        ...options,
        target: partial.path,
        delete: true,
        undoImmutable: true,
        seedOutput: true,
      });
    } finally {
      partial.hasContent = readdirSync(partial.path).length > 0;
    }
  });
}

function openTarget(path: string): number | undefined {
  try {
    return openat(AT_FDCWD, path, openFlags.read | openFlags.directory);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    if (systemErrorCode(error) !== "ENOTDIR") throw error;
    throw new ConfigError(`cannot extract a tree to ${path}: it is no directory`, {
      code: "target-not-a-directory",
      hint: "name a directory, or a path where nothing is yet",
      data: { target: path },
      cause: error,
    });
  }
}

async function extractInto(root: number, isFresh: boolean, options: ExtractTreeOptions): Promise<ExtractedTree> {
  const { source, progress = silentProgress, signal } = options;
  await using resources = new AsyncDisposableStack();
  const subtree = "subtree" in source ? source.subtree : undefined;
  let chunks: ChunkSource | undefined;
  if ("index" in source) {
    const seeds: Seed[] = [...(source.seeds ?? [])];
    if (!isFresh && options.seedOutput !== false) {
      const seed = await treeSeed(options.target, { index: source.index, idShift: options.idShift, progress, signal });
      resources.defer(() => seed.close());
      seeds.push(seed);
    }
    chunks = new ChunkSource({ ...source, seeds });
    await chunks.scanSeeds();
  }
  const bytes = chunks === undefined ? archiveBytes(source, signal) : readStream(chunks, { signal, borrow: true });
  using task = progress.start({
    label: "restore tree",
    unit: "bytes",
    ...(chunks === undefined ? {} : { total: chunks.index.totalSize }),
    ...(subtree === undefined ? {} : { total: subtree.size }),
  });
  const written = await writeTree(bytes, root, isFresh, options, task);
  if (options.durable !== false) syncfs(root);
  const counts = chunks?.counts ?? subtree?.counts() ?? { fromSeeds: 0, fromStores: 0, bytesFetched: 0 };
  // The directory that an archive of one node has around it is none of the tree's.
  if (subtree !== undefined && !isRoot(subtree)) written.nodes--;
  task.done(`${written.nodes} files and directories`);
  return { ...written, ...counts };
}

function isRoot(subtree: Subtree): boolean {
  return subtree.name.toString("latin1") === ".";
}

async function writeTree(
  stream: AsyncIterable<Uint8Array>,
  root: number,
  isFresh: boolean,
  options: ExtractTreeOptions,
  task: Task,
): Promise<{ bytes: number; nodes: number }> {
  const decoder = archiveDecoder(options.source);
  let writer: TreeWriter | undefined;
  let nodes = 0;
  try {
    for await (const bytes of stream) {
      throwIfAborted(options.signal);
      for (const event of decoder.push(bytes)) {
        // The first event comes after the first ENTRY, which has the flags.
        const recorded = decoder.flags ?? 0n;
        const flags = options.features === undefined ? recorded : restoredFlags(recorded, options.features);
        writer ??= new TreeWriter(root, isFresh, writerOptions(options, flags));
        if (event.type === "entry") nodes++;
        const isReduced = event.type === "entry" && flags !== recorded;
        writer.take(isReduced ? { ...event, node: restoredNode(event.node, flags) } : event);
      }
      task.advance(bytes.length);
    }
    decoder.finish();
  } finally {
    writer?.[Symbol.dispose]();
  }
  return { bytes: decoder.offset, nodes };
}

/** Directories of seeds in which files have the paths that they have in the archive. */
function formersOf(source: ExtractTreeOptions["source"]): readonly number[] {
  return "index" in source ? (source.seeds ?? []).flatMap(({ directory }) => directory ?? []) : [];
}

function writerOptions(options: ExtractTreeOptions, flags: bigint): TreeWriterOptions {
  const { progress = silentProgress } = options;
  const told = new Set<string>();
  return {
    flags,
    privileged: process.geteuid?.() === 0,
    umask: process.umask(),
    idShift: options.idShift,
    undoImmutable: options.undoImmutable === true,
    delete: options.delete !== false,
    keepsRoot: "subtree" in options.source && !isRoot(options.source.subtree),
    punchHoles: options.punchHoles !== false,
    reflink: options.reflink !== false,
    hardlink: options.hardlink === true,
    formers: formersOf(options.source),
    onSkipped: (what, reason) => {
      if (told.has(what)) return;
      told.add(what);
      progress.log("warning", `${what} were not restored: ${reason}`);
    },
  };
}
