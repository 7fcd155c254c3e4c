/**
 * What `imgtool extract` does for a blob and for a tree: everything opened, restored, and what it cost.
 * @module
 */
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { ConfigError, formatSize } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";
import { shownLocation } from "@imgtool/store";
import {
  ChunkSource,
  type ChunkSourceCounts,
  exportTar,
  extractBlob,
  type ExtractedTree,
  extractTree,
  type ExtractTreeOptions,
  openSubtree,
  readStream,
  type TreeSource,
} from "@imgtool/sync";
import type { Target, What } from "./chunk-options.ts";
import { openArchive, type OpenedIndex, openIndex, type OpenOptions } from "./open-source.ts";
import { writeStandardOutput } from "./standard-output.ts";
import { directoryFlags } from "./tree-options.ts";
import { idShiftOf, type UidOptions } from "./uid-options.ts";
import type { VerbContext } from "./verb.ts";

export interface ExtractOptions extends OpenOptions, UidOptions {
  readonly what?: What;
  readonly with?: readonly string[];
  readonly without?: readonly string[];
  readonly undoImmutable: boolean;
  readonly mkdir: boolean;
  readonly seedOutput: boolean;
  readonly punchHoles: boolean;
  readonly reflink: boolean;
  readonly hardlink: boolean;
  readonly durable: boolean;
  readonly delete: boolean;
  readonly requests?: number;
}

export interface ExtractTask extends VerbContext {
  readonly source: string;
  readonly target: string;
  /** A path inside an archive. */
  readonly path?: string | undefined;
  /** What the source is. */
  readonly kind: Exclude<Target, "other">;
  readonly options: ExtractOptions;
}

/** Restores the blob of a .caibx to a file, a block device or, for `-`, standard output. */
export async function extractBlobTo({ source, target, options, reporter, signal }: ExtractTask): Promise<void> {
  await using opened = await openIndex(source, { ...options, lazySeeds: target !== "-" }, reporter, signal);
  if (target === "-") {
    await writeStandardOutput(readStream(new ChunkSource(opened), { signal, requests: options.requests }));
    return;
  }
  const result = await extractBlob({
    index: opened.index,
    stores: opened.stores,
    seeds: opened.seeds,
    output: target,
    seedOutput: options.seedOutput,
    punchHoles: options.punchHoles,
    reflink: options.reflink,
    progress: reporter,
    signal,
    ...(options.requests === undefined ? {} : { requests: options.requests }),
  });
  const cost = costOf(opened, result);
  reporter.result(
    { source: shownLocation(source), target, ...result, ...cost },
    `${target}  ${formatSize(result.bytes)}${costText({ ...result, ...cost })}`,
  );
}

/** Writes the tree of a .caidx or .catar, or one path inside it, to a tar archive or, for `-`, standard output. */
export async function extractTarTo(task: ExtractTask): Promise<void> {
  const { source, target, path, options, reporter, signal } = task;
  await using opened = task.kind === "archive" ? undefined : await openIndex(source, options, reporter, signal);
  await using archive =
    opened === undefined ? await openArchive(source, options, signal, path !== undefined) : undefined;
  const from: TreeSource = opened ?? { archive: archive?.archive ?? source };
  await using subtree = path === undefined ? undefined : await openSubtree(from, path, signal);
  const tar = exportTar({ source: subtree === undefined ? from : { subtree }, progress: reporter, signal });
  if (target === "-") {
    await writeStandardOutput(tar);
    return;
  }
  const bytes = await makeAtomically(target, async (temporary) => {
    await using file = await open(temporary, "wx");
    let size = 0;
    for await (const piece of tar) {
      await file.writeFile(piece);
      size += piece.length;
    }
    return size;
  });
  reporter.result(
    { source: shownLocation(source), target, ...(path === undefined ? {} : { path }), bytes },
    `${target}  ${formatSize(bytes)}`,
  );
}

/** Restores the tree of a .caidx or .catar, or one path inside it, to a directory. */
export async function extractTreeTo(task: ExtractTask): Promise<void> {
  const { source, target, path, options, reporter, signal } = task;
  const isReduced = options.with !== undefined || options.without !== undefined;
  const features = isReduced ? await directoryFlags(options) : undefined;
  const extract = async (from: ExtractTreeOptions["source"]): Promise<ExtractedTree> => {
    const shared = {
      target,
      features,
      seedOutput: options.seedOutput,
      punchHoles: options.punchHoles,
      reflink: options.reflink,
      hardlink: options.hardlink,
      durable: options.durable,
      delete: options.delete,
      undoImmutable: options.undoImmutable,
      idShift: idShiftOf(options, target),
      progress: reporter,
      signal,
    };
    if (path === undefined) return extractTree({ ...shared, source: from });
    await using subtree = await openSubtree(from, path, signal);
    return await extractTree({ ...shared, source: { subtree } });
  };
  if (!options.mkdir && !existsSync(target)) {
    throw new ConfigError(`there is no directory ${target}`, {
      code: "target-missing",
      hint: "make it, or leave --mkdir=no out",
      data: { target },
    });
  }
  const facts = { source: shownLocation(source), target, ...(path === undefined ? {} : { path }) };
  const text = (result: ExtractedTree): string => `${target}  ${result.nodes} nodes from ${formatSize(result.bytes)}`;
  if (task.kind === "archive") {
    await using opened = await openArchive(source, options, signal, path !== undefined);
    const result = await extract({ archive: opened.archive });
    reporter.result({ ...facts, ...result }, text(result));
    return;
  }
  const idShift = idShiftOf(options, target);
  await using opened = await openIndex(source, { ...options, idShift }, reporter, signal);
  const result = await extract(opened);
  const cost = costOf(opened, result);
  reporter.result({ ...facts, ...result, ...cost }, `${text(result)}${costText({ ...result, ...cost })}`);
}

interface Cost {
  readonly bytesFetched: number;
  readonly requests: number;
  readonly fromPeers: number;
}

function costOf(opened: OpenedIndex, { bytesFetched }: ChunkSourceCounts): Cost {
  return {
    bytesFetched: opened.indexBytes + bytesFetched,
    requests: opened.httpRequests(),
    fromPeers: opened.fromPeers(),
  };
}

function costText({ fromSeeds, fromStores, bytesFetched, requests, fromPeers }: ChunkSourceCounts & Cost): string {
  const over = requests > 0 ? ` in ${requests} requests` : "";
  const near = fromPeers > 0 ? `, ${fromPeers} of them from neighbours` : "";
  return `: ${fromSeeds} chunks from seeds, ${fromStores} from stores${near} (${formatSize(bytesFetched)} fetched${over})`;
}
