/**
 * `imgtool diff A B`: what differs between two trees, and what an update from one index to the other costs.
 * @module
 */
import { defaultArchiveFlags } from "@imgtool/catar";
import type { ChunkIndex } from "@imgtool/chunker";
import { ConfigError, formatSize } from "@imgtool/core";
import { type ReadStore, shownLocation } from "@imgtool/store";
import type { TreeSource } from "@imgtool/sync";
import type { Command } from "commander";
import { addStoreOptions, storeKey, type StoreOptions, targetOf } from "../chunk-options.ts";
import { differenceEvent, differenceText } from "../difference-text.ts";
import { openIndexAlone, openTree } from "../open-source.ts";
import { runVerb, type VerbContext, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool diff 1.caibx 2.caibx           chunks in common, what the update costs, ranges that changed
  imgtool diff 1.caidx 2.caidx           the same, and the files that were added, removed or changed
  imgtool diff tree.caidx /srv/tree      an index, archive or directory with another

Lines begin with + (added), - (removed) or ~ (changed).`;

interface DiffTask extends VerbContext {
  readonly previous: string;
  readonly next: string;
  readonly options: StoreOptions;
}

export function command(): Command {
  const diff = verbCommand("diff", "Compare two trees or indexes.")
    .argument("<previous>", ".caibx, .caidx (path or URL), .catar or directory")
    .argument("<next>", "what to compare it with")
    .addHelpText("after", examples);
  addStoreOptions(diff);
  return diff.action((previous: string, next: string) =>
    runVerb(diff, async (context) => {
      const task: DiffTask = { ...context, previous, next, options: diff.opts<StoreOptions>() };
      const blobs = [previous, next].filter((location) => targetOf(location) === "blob-index");
      if (blobs.length === 1) {
        throw new ConfigError("an index of a blob can only be compared with another", {
          code: "diff-kinds",
          hint: "name two .caibx, or two of .caidx, .catar and directories; imgtool verify checks a file against an index",
          data: { previous, next },
        });
      }
      if (blobs.length === 2) await diffBlobs(task);
      else await diffTreesOf(task);
    }),
  );
}

async function diffBlobs(task: DiffTask): Promise<void> {
  const { previous, next, options, reporter, signal } = task;
  const { changedRanges, readIndex } = await import("@imgtool/sync");
  const before = await readIndex(previous, { key: storeKey(options, [previous]), signal });
  await using after = await openIndexAlone(next, options, reporter, signal);
  let ranges = 0;
  for (const { start, end } of changedRanges(before, after.index)) {
    ranges++;
    reporter.event({ type: "range", start, end }, `~ ${start}-${end}  ${formatSize(end - start)}`);
  }
  const cost = await costOf(task, before, after.index, after.stores[0]);
  reporter.result({ previous: shownLocation(previous), next: shownLocation(next), ranges, ...cost.data }, cost.text);
}

async function diffTreesOf(task: DiffTask): Promise<void> {
  const { previous, next, options, reporter, signal } = task;
  const { diffTrees } = await import("@imgtool/sync");
  const opening = { ...options, flags: defaultArchiveFlags };
  await using before = await openTree(previous, opening, reporter, signal);
  await using after = await openTree(next, opening, reporter, signal);
  const counts = { added: 0, removed: 0, changed: 0 };
  for await (const difference of diffTrees(asOther(before.source), asOther(after.source), signal)) {
    counts[difference.change]++;
    reporter.event(differenceEvent(difference), differenceText(difference));
  }
  const { added, removed, changed } = counts;
  const text = `${added} added, ${removed} removed, ${changed} changed`;
  if (!("index" in before.source && "index" in after.source)) {
    reporter.result({ previous: shownLocation(previous), next: shownLocation(next), nodes: counts }, text);
    return;
  }
  const cost = await costOf(task, before.source.index, after.source.index, after.source.stores[0]);
  reporter.result(
    { previous: shownLocation(previous), next: shownLocation(next), nodes: counts, ...cost.data },
    `${text}\n${cost.text}`,
  );
}

/** A directory is read as the other side's archive would record it. */
function asOther(source: TreeSource): TreeSource {
  return "directory" in source ? { directory: source.directory } : source;
}

interface Cost {
  readonly data: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** What the two indexes have in common, and what a device fetches to get from one to the other. */
async function costOf(
  { reporter, signal }: VerbContext,
  before: ChunkIndex,
  after: ChunkIndex,
  store: ReadStore | undefined,
): Promise<Cost> {
  const { diffIndexes, updateCost } = await import("@imgtool/sync");
  const chunks = diffIndexes(before, after);
  if (!chunks.comparable) {
    reporter.log("warning", "the indexes were made with other chunk sizes or digests: equal content has other chunks");
  }
  const update = store === undefined ? undefined : await updateCost(before, after, store.place ?? store, signal);
  const share = after.totalSize === 0 ? 0 : (chunks.changedBytes / after.totalSize) * 100;
  const lines = [
    `chunks  ${chunks.shared} in common (${formatSize(chunks.sharedBytes)}), ${chunks.added} new (${formatSize(chunks.addedBytes)}), ${chunks.removed} gone (${formatSize(chunks.removedBytes)})`,
    `content ${formatSize(after.totalSize)}, ${formatSize(chunks.changedBytes)} of it new (${share.toFixed(1)} %)`,
  ];
  if (update !== undefined) {
    lines.push(`update  ${update.newChunks} chunks, ${formatSize(update.storedBytes)} to fetch`);
  }
  return { data: { chunks, update, size: after.totalSize }, text: lines.join("\n") };
}
