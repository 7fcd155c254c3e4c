/**
 * `imgtool gc INDEX...`: removes the chunks of a store that no index names, with casync's arguments.
 * @module
 */
import { ConfigError, formatSize } from "@imgtool/core";
import { encryptStore, openPruneStore, shownLocation } from "@imgtool/store";
import type { Command } from "commander";
import {
  addTransferOptions,
  networkAccess,
  type NetworkOptions,
  addStoreOptions,
  storeKey,
  storeLocations,
  type StoreOptions,
} from "../chunk-options.ts";
import { duration } from "../parse.ts";
import { runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool gc --store=www/default.castr www/*.caibx www/*.caidx
  imgtool gc -n *.caibx                           only say what would be removed
  imgtool gc --store=https://host/default.castr *.caibx
                                                  where the server lets it: imgtool serve --prunable, WebDAV

Name every index whose chunks are to stay. What was written or used within the grace period stays as
well, so that gc may run while others publish to the store; a run has to end within the grace period
less one hour. Writers other than imgtool do not mark chunks that they find as used.`;

interface GcOptions extends StoreOptions, NetworkOptions {
  readonly dryRun?: boolean;
  readonly gracePeriod?: number;
  readonly verbose?: boolean;
}

const shortestGracePeriod = 2 * 3_600_000;

export function command(): Command {
  const gc = verbCommand("gc", "Remove the chunks of a store that no index names.")
    .argument("<index...>", "every .caibx and .caidx (path or URL) whose chunks are to stay")
    .option("-n, --dry-run", "remove nothing, only say what would be removed")
    .option(
      "--grace-period <time>",
      "keep what was used within this time: 90m, 12h, 7d; 0 where nothing writes to the store (default: 1d)",
      duration,
    )
    .addHelpText("after", examples);
  addTransferOptions(addStoreOptions(gc));
  return gc.action((locations: readonly string[]) =>
    runVerb(gc, async ({ reporter, signal }) => {
      const { collectGarbage, defaultGracePeriod, readIndex } = await import("@imgtool/sync");
      const options = gc.opts<GcOptions>();
      const location = storeOf(locations, options);
      const { gracePeriod = defaultGracePeriod, dryRun = false, verbose = false } = options;
      if (gracePeriod < shortestGracePeriod) {
        reporter.log("warning", "the grace period is shorter than two hours: nothing may be writing to the store");
      }
      // All of them before anything is removed: one that cannot be read ends the run.
      const key = storeKey(options, [...locations, location]);
      const access = networkAccess(options);
      const indexes = [];
      for (const one of locations) indexes.push(await readIndex(one, { key, access, signal }));
      await using resources = new AsyncDisposableStack();
      const listed = await openPruneStore(location, access);
      resources.defer(() => listed.close());
      const opened = key === undefined ? listed : encryptStore(listed, key);
      const result = await collectGarbage({
        indexes,
        store: opened,
        gracePeriod,
        dryRun,
        progress: reporter,
        signal,
        onStray: ({ path, reason }) => reporter.log("warning", `left alone: ${path}: ${reason}`),
        onRemove(entry) {
          if (verbose && entry.kind !== "stray") reporter.event({ type: "removed", ...entry }, entry.path);
        },
      });
      const store = shownLocation(location);
      reporter.result({ store, dryRun, ...result }, resultText(store, dryRun, result));
    }),
  );
}

/** @throws ConfigError `store-ambiguous` when indexes lie in different folders and no store is named */
function storeOf(locations: readonly string[], options: StoreOptions): string {
  if ((options.extraStore ?? []).length > 0) {
    throw new ConfigError("gc cleans one store at a time", {
      code: "config-invalid",
      hint: "run it once for each store, with --store",
    });
  }
  const stores = new Set(locations.map((location) => storeLocations(location, options)[0] ?? ""));
  if (stores.size > 1) {
    throw new ConfigError("the indexes lie in different folders, so their store is not clear", {
      code: "store-ambiguous",
      hint: "name it with --store",
      data: { stores: [...stores].map(shownLocation) },
    });
  }
  return [...stores][0] ?? "";
}

function resultText(
  store: string,
  dryRun: boolean,
  result: Readonly<
    Record<"removed" | "removedBytes" | "kept" | "keptBytes" | "recent" | "unfinished" | "strays", number>
  >,
): string {
  const { removed, removedBytes, kept, keptBytes, recent, unfinished, strays } = result;
  const verb = dryRun ? "would remove" : "removed";
  const details = [
    recent > 0 ? `${recent} of them unused but recent` : "",
    unfinished > 0 ? `${verb} ${unfinished} unfinished files` : "",
    strays > 0 ? `${strays} stray files left alone` : "",
  ].filter((text) => text !== "");
  return [
    `${store}  ${verb} ${removed} chunks (${formatSize(removedBytes)}), ${kept} remain (${formatSize(keptBytes)})`,
    ...details,
  ].join("; ");
}
