/**
 * `imgtool diff A B`: what differs between two trees or indexes, and what an update from one to the other costs.
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
import { openIndexAlone, openTree, type OpenedTree } from "../open-source.ts";
import { yesNo } from "../parse.ts";
import { addUidOptions, idShiftOf, type UidOptions } from "../uid-options.ts";
import { runVerb, type VerbContext, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool diff 1.caibx 2.caibx           chunks in common, what the update costs, ranges that changed
  imgtool diff 1.caidx 2.caidx           the same, and the files that were added, removed or changed
  imgtool diff tree.caidx /srv/tree      the same: indexes, archives and directories go with each other

Lines begin with + (added), - (removed) or ~ (changed).`;

interface DiffOptions extends StoreOptions, UidOptions {
  readonly cost: boolean;
}

interface DiffTask extends VerbContext {
  readonly previous: string;
  readonly next: string;
  readonly options: DiffOptions;
}

export function command(): Command {
  const diff = verbCommand("diff", "Compare two trees or indexes.")
    .argument("<previous>", ".caibx, .caidx (path or URL), .catar or directory")
    .argument("<next>", "what to compare it with")
    .addHelpText("after", examples);
  addUidOptions(addStoreOptions(diff)).option(
    "--cost <yes|no>",
    "also say what an update costs; directories and archives are cut into chunks for it",
    yesNo,
    true,
  );
  return diff.action((previous: string, next: string) =>
    runVerb(diff, async (context) => {
      const task: DiffTask = { ...context, previous, next, options: diff.opts<DiffOptions>() };
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
  const openSide = (location: string): Promise<OpenedTree> =>
    openTree(
      location,
      { ...options, flags: defaultArchiveFlags, idShift: idShiftOf(options, location) },
      reporter,
      signal,
    );
  await using before = await openSide(previous);
  await using after = await openSide(next);
  const counts = { added: 0, removed: 0, changed: 0 };
  for await (const difference of diffTrees(asOther(before.source), asOther(after.source), signal)) {
    counts[difference.change]++;
    reporter.event(differenceEvent(difference), differenceText(difference));
  }
  const { added, removed, changed } = counts;
  const text = `${added} added, ${removed} removed, ${changed} changed`;
  const names = { previous: shownLocation(previous), next: shownLocation(next) };
  const sides = options.cost ? await chunksOf(task, asOther(before.source), asOther(after.source)) : undefined;
  if (sides === undefined) {
    reporter.result({ ...names, nodes: counts }, text);
    return;
  }
  const cost = await costOf(task, sides.before, sides.after, sides.store);
  reporter.result({ ...names, nodes: counts, ...cost.data }, `${text}\n${cost.text}`);
}

interface Sides {
  readonly before: ChunkIndex;
  readonly after: ChunkIndex;
  /** Knows how much new chunks take up. */
  readonly store: ReadStore | undefined;
}

/** Whether it can be read once only. */
function isStream(source: TreeSource): boolean {
  return "archive" in source && (typeof source.archive !== "string" || source.archive === "-");
}

function indexOf(source: TreeSource): ChunkIndex | undefined {
  return "index" in source ? source.index : undefined;
}

/** The chunks of both sides; what has no index is cut as the other one is. Undefined for a stream, which has gone by. */
async function chunksOf(task: DiffTask, before: TreeSource, after: TreeSource): Promise<Sides | undefined> {
  const { reporter, signal } = task;
  if (isStream(before) || isStream(after)) return undefined;
  const { cutTree, recordedFlags } = await import("@imgtool/sync");
  const given = indexOf(after) ?? indexOf(before);
  const shared = { sizes: given?.sizes, progress: reporter, signal };
  // What is recorded of a directory is what an archive beside it has.
  const archive = "archive" in before ? before : "archive" in after ? after : undefined;
  const flags = given?.flags ?? (archive === undefined ? undefined : await recordedFlags(archive));
  const previous = indexOf(before) ?? (await cutTree({ ...shared, source: before, flags })).index;
  if ("index" in after) return { before: previous, after: after.index, store: after.stores[0] };
  const next = await cutTree({ ...shared, source: after, flags, measureBeside: previous });
  return { before: previous, after: next.index, store: next.store };
}

/** A directory is read as the other side's archive would record it. */
function asOther(source: TreeSource): TreeSource {
  return "directory" in source ? { directory: source.directory, idShift: source.idShift } : source;
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
