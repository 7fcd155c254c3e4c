/**
 * `imgtool make`: from a file or directory to an archive or index, with casync's arguments.
 * @module
 */
import { statSync } from "node:fs";
import { ConfigError, formatSize } from "@imgtool/core";
import type { MadeBlob, MadeTree } from "@imgtool/sync";
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
      const { isRemoteLocation, isSshLocation, openWriteStore } = await import("@imgtool/store");
      const isRemote = isSshLocation(target);
      const shared = {
        flags: await directoryFlags(options),
        idShift: idShiftOf(options, from),
        contentDigest: options.contentDigest,
        progress: reporter,
        signal,
      };
      if (kind === "archive") {
        const { makeRemoteArchive } = await import("../make-remote.ts");
        const archive = isRemote
          ? await makeRemoteArchive({ ...shared, target, directory: from })
          : await sync.makeArchive({ ...shared, source: from, output: target });
        reporter.result({ target, ...archive }, archive.digest ?? `${target}  ${formatSize(archive.size)}`);
        return;
      }
      const makeHere = (index: string, store: string, isTemporary = false): Promise<MadeBlob | MadeTree> => {
        const { durable, chunkSize, digest, compression } = options;
        const where = {
          ...shared,
          index,
          store,
          durable: durable && !isTemporary,
          ...(chunkSize === undefined ? {} : { chunkSizes: chunkSize }),
          ...(digest === undefined ? {} : { digest }),
          ...(compression === undefined ? {} : { compression }),
        };
        if (kind === "blob-index") return sync.makeBlob({ ...where, source: from });
        // What is no directory is an archive that is there already; it brings its flags.
        return sync.makeTree({ ...where, source: isDirectory(from) ? from : { archive: from } });
      };
      const store = storeLocations(target, options)[0] ?? "";
      if (isRemote) {
        const { makeRemote } = await import("../make-remote.ts");
        const { indexPath: _, ...made } = await makeRemote({
          target,
          store,
          make: makeHere,
          progress: reporter,
          signal,
        });
        const facts = `${made.chunks} chunks, ${made.chunksSent} sent (${formatSize(made.bytesSent)})`;
        reporter.result({ target, ...made }, made.digest ?? `${target}  ${formatSize(made.size)} in ${facts}`);
        return;
      }
      // Says what can be written to, and where.
      if (isRemoteLocation(store)) await openWriteStore(store);
      const made = await makeHere(target, store);
      const facts = `${made.chunks} chunks, ${made.newChunks} new (${formatSize(made.newBytes)} written)`;
      reporter.result({ target, ...made }, made.digest ?? `${target}  ${formatSize(made.size)} in ${facts}`);
    }),
  );
}

function isDirectory(path: string): boolean {
  return path !== "-" && statSync(path, { throwIfNoEntry: false })?.isFile() !== true;
}
