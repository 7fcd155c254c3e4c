/**
 * `imgtool info`, also `inspect`: what indexes consist of, and what they share.
 * @module
 */
import { basename } from "node:path";
import type { ChunkIndex } from "@imgtool/chunker";
import { formatSize } from "@imgtool/core";
import { shownLocation } from "@imgtool/store";
import type { Command } from "commander";
import { addStoreOptions, type StoreOptions } from "../chunk-options.ts";
import { openIndexAlone } from "../open-source.ts";
import { runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool info disk.caibx
  imgtool info v1.caibx v2.caibx v3.caibx      what each version has that no other has`;

export function command(): Command {
  const info = verbCommand("info", "Show the sizes of indexes, and what several of them share.")
    .argument("<index...>", ".caibx and .caidx, paths or URLs")
    .addHelpText("after", examples);
  addStoreOptions(info);
  return info.action((locations: readonly string[]) =>
    runVerb(info, async ({ reporter, signal }) => {
      const { describeIndexes, updateCost } = await import("@imgtool/sync");
      const options = info.opts<StoreOptions>();
      const indexes: ChunkIndex[] = [];
      const stored: (number | undefined)[] = [];
      for (const location of locations) {
        await using opened = await openIndexAlone(location, options, reporter, signal);
        indexes.push(opened.index);
        // A remote store would have to hand every chunk out to be measured.
        const store = opened.stores[0]?.place;
        const cost = store === undefined ? undefined : await updateCost(undefined, opened.index, store, signal);
        stored.push(cost?.storedBytes);
      }
      const { indexes: described, ...all } = describeIndexes(indexes);
      const rows = described.map((one, i) => {
        const { sizes, digest } = indexes[i] as (typeof indexes)[number];
        return { index: shownLocation(locations[i] ?? ""), ...one, storedBytes: stored[i], chunkSizes: sizes, digest };
      });
      const lines = rows.flatMap((row) => [
        `${basename(row.index)}: ${formatSize(row.size)} in ${row.chunks} chunks, ${row.uniqueChunks} of them different (${formatSize(row.uniqueBytes)})`,
        `  chunk sizes ${row.chunkSizes.min}:${row.chunkSizes.avg}:${row.chunkSizes.max}, ids by ${row.digest}` +
          (row.storedBytes === undefined ? "" : `, ${formatSize(row.storedBytes)} in the store`),
        ...(rows.length > 1 ? [`  only here: ${formatSize(row.ownBytes)}`] : []),
      ]);
      if (rows.length > 1) lines.push(`together: ${all.uniqueChunks} different chunks, ${formatSize(all.uniqueBytes)}`);
      reporter.result({ indexes: rows, ...all }, lines.join("\n"));
    }),
  );
}
