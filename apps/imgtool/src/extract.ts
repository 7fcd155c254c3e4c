/**
 * What `imgtool extract` does for a blob and for a tree: everything opened, restored, and what it cost.
 * @module
 */
import { existsSync } from "node:fs";
import { ConfigError, formatSize } from "@imgtool/core";
import {
  ChunkSource,
  type ChunkSourceCounts,
  extractBlob,
  type ExtractedTree,
  extractTree,
  type ExtractTreeOptions,
  openSubtree,
  readStream,
} from "@imgtool/sync";
import type { Target, What } from "./chunk-options.ts";
import { archiveSource, openIndex, type OpenOptions } from "./open-source.ts";
import { idShiftOf, type UidOptions } from "./uid-options.ts";
import type { VerbContext } from "./verb.ts";

export interface ExtractOptions extends OpenOptions, UidOptions {
  readonly what?: What;
  readonly undoImmutable: boolean;
  readonly mkdir: boolean;
  readonly seedOutput: boolean;
  readonly punchHoles: boolean;
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
  await using opened = await openIndex(source, options, reporter, signal);
  if (target === "-") {
    for await (const bytes of readStream(new ChunkSource(opened), { signal, requests: options.requests })) {
      if (!process.stdout.write(bytes))
        await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
    }
    return;
  }
  const result = await extractBlob({
    index: opened.index,
    stores: opened.storesOrPaths,
    seeds: opened.seeds,
    output: target,
    seedOutput: options.seedOutput,
    punchHoles: options.punchHoles,
    progress: reporter,
    signal,
    ...(options.requests === undefined ? {} : { requests: options.requests }),
  });
  const cost = { bytesFetched: opened.indexBytes + result.bytesFetched, requests: opened.httpRequests() };
  reporter.result(
    { source, target, ...result, ...cost },
    `${target}  ${formatSize(result.bytes)}${costText({ ...result, ...cost })}`,
  );
}

/** Restores the tree of a .caidx or .catar, or one path inside it, to a directory. */
export async function extractTreeTo(task: ExtractTask): Promise<void> {
  const { source, target, path, options, reporter, signal } = task;
  const extract = async (from: ExtractTreeOptions["source"]): Promise<ExtractedTree> => {
    const shared = {
      target,
      seedOutput: options.seedOutput,
      punchHoles: options.punchHoles,
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
  const facts = { source, target, ...(path === undefined ? {} : { path }) };
  const text = (result: ExtractedTree): string => `${target}  ${result.nodes} nodes from ${formatSize(result.bytes)}`;
  if (task.kind === "archive") {
    const result = await extract({ archive: archiveSource(source, signal) });
    reporter.result({ ...facts, ...result }, text(result));
    return;
  }
  const idShift = idShiftOf(options, target);
  await using opened = await openIndex(source, { ...options, idShift }, reporter, signal);
  const result = await extract(opened);
  const cost = { bytesFetched: opened.indexBytes + result.bytesFetched, requests: opened.httpRequests() };
  reporter.result({ ...facts, ...result, ...cost }, `${text(result)}${costText({ ...result, ...cost })}`);
}

function costText({
  fromSeeds,
  fromStores,
  bytesFetched,
  requests,
}: ChunkSourceCounts & { readonly requests: number }): string {
  const over = requests > 0 ? ` in ${requests} requests` : "";
  return `: ${fromSeeds} chunks from seeds, ${fromStores} from stores (${formatSize(bytesFetched)} fetched${over})`;
}
