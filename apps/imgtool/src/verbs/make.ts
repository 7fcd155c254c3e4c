/**
 * `imgtool make`: from a file or directory to an archive or index, with casync's arguments.
 * @module
 */
import { statSync } from "node:fs";
import { ConfigError, formatSize } from "@imgtool/core";
import type { Command } from "commander";
import {
  addChunkOptions,
  addStoreOptions,
  addWhatOption,
  type ChunkOptions,
  storeLocations,
  type StoreOptions,
  targetOf,
  type What,
} from "../chunk-options.ts";
import { addFeatureOptions, directoryFlags, type FeatureOptions } from "../tree-options.ts";
import { idShiftOf } from "../uid-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool make image.caibx image.raw              a file or block device
  imgtool make --store=/srv/www/store tree.caidx /srv/tree
  imgtool make tree.caidx tree.catar              an archive that is there already
  tar -c /srv | imgtool make backup.caibx -       standard input`;

interface MakeOptions extends StoreOptions, Omit<ChunkOptions, "digest">, FeatureOptions {
  readonly what?: What;
}

export function command(): Command {
  const make = verbCommand("make", "Cut a file or directory into chunks and write the index that names them.")
    .argument("<target>", "what to make: .caibx (index of a file), .caidx (index of a directory), .catar (archive)")
    .argument("[source]", "file, block device, directory, a .catar to index, or - for standard input", undefined)
    .addHelpText("after", examples);
  addWhatOption(make, ["archive", "archive-index", "blob-index"]);
  addFeatureOptions(addChunkOptions(addStoreOptions(make)));
  return make.action((target: string, source: string | undefined) =>
    runVerb(make, async ({ reporter, signal }) => {
      const options = make.opts<MakeOptions>();
      const sync = await import("@imgtool/sync");
      const kind = targetOf(target, options.what);
      if (kind === "other") {
        throw new ConfigError(`cannot tell what to make from the name ${target}`, {
          code: "target-unknown",
          hint: "end the name with .caibx (file), .caidx (directory) or .catar (archive), or say --what",
        });
      }
      const from = source ?? (kind === "blob-index" ? "-" : ".");
      if (kind === "archive") {
        const archive = await sync.makeArchive({
          source: from,
          output: target,
          flags: await directoryFlags(options),
          idShift: idShiftOf(options, from),
          contentDigest: options.contentDigest,
          progress: reporter,
          signal,
        });
        reporter.result({ target, ...archive }, archive.digest ?? `${target}  ${formatSize(archive.size)}`);
        return;
      }
      const shared = {
        index: target,
        store: storeLocations(target, options)[0] ?? "",
        durable: options.durable,
        contentDigest: options.contentDigest,
        progress: reporter,
        signal,
        ...(options.chunkSize === undefined ? {} : { chunkSizes: options.chunkSize }),
        ...(options.digest === undefined ? {} : { digest: options.digest }),
        ...(options.compression === undefined ? {} : { compression: options.compression }),
      };
      const made =
        kind === "blob-index"
          ? await sync.makeBlob({ ...shared, source: from })
          : await sync.makeTree({
              ...shared,
              // What is no directory is an archive that is there already; it brings its flags.
              source: isDirectory(from) ? from : { archive: from },
              flags: await directoryFlags(options),
              idShift: idShiftOf(options, from),
            });
      const facts = `${made.chunks} chunks, ${made.newChunks} new (${formatSize(made.newBytes)} written)`;
      reporter.result({ target, ...made }, made.digest ?? `${target}  ${formatSize(made.size)} in ${facts}`);
    }),
  );
}

function isDirectory(path: string): boolean {
  return path !== "-" && statSync(path, { throwIfNoEntry: false })?.isFile() !== true;
}
