/**
 * `imgtool extract`: from an index or archive to a file or directory, with casync's arguments.
 * @module
 */
import { statSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { shownLocation } from "@imgtool/store";
import { type Command } from "commander";
import { addNetworkOptions, addStoreOptions, addWhatOption, targetOf } from "../chunk-options.ts";
import { addDiskCacheOptions } from "../disk-cache.ts";
import { type ExtractOptions, extractBlobTo, extractTarTo, extractTreeTo } from "../extract.ts";
import { positiveNumber, yesNo } from "../parse.ts";
import { addMetadataOptions } from "../tree-options.ts";
import { addUidOptions } from "../uid-options.ts";
import { warnUnused } from "../unused-options.ts";
import { collect, runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool extract image.caibx image.raw
  imgtool extract --seed=old.raw https://example.org/image.caibx new.raw
  imgtool extract tree.caidx /srv/tree
  imgtool extract tree.caidx /srv/part usr/share  one path inside, with the chunks that it needs
  imgtool extract tree.caidx rootfs.tar           as a tar; with - to standard output
  imgtool extract image.caibx - | tar -t          to standard output`;

export function command(): Command {
  const extract = verbCommand(
    "extract",
    "Extract a file or directory from an index or archive; every chunk is verified before its bytes are used.",
  )
    .argument("<source>", ".caibx, .caidx or .catar: a path or http(s) URL; - for an archive on standard input")
    .argument("[target]", "file or block device (- for standard output), or directory; the current one otherwise")
    .argument("[path]", "of an archive or its index: a path inside, restored below the target")
    .option("--seed <path>", "a directory, file, device or index to take chunks from; may be repeated", collect)
    .option("--seed-output <yes|no>", "whether what is at the target serves as a seed", yesNo, true)
    .option("--reflink <yes|no>", "share blocks with seeds where the file system can", yesNo, true)
    .option(
      "--hardlink <yes|no>",
      "link files of a tree that are equal in everything: with directory seeds, and with each other",
      yesNo,
      false,
    )
    .option("--punch-holes <yes|no>", "whether zeros become holes", yesNo, true)
    .option("--delete <yes|no>", "whether what the archive lacks is removed from an existing directory", yesNo, true)
    .option(
      "--undo-immutable <yes|no>",
      "replace and remove files with chattr's immutable attribute, too",
      yesNo,
      false,
    )
    .option("--mkdir <yes|no>", "make a target directory that is not there", yesNo, true)
    .option("--durable <yes|no>", "flush what was extracted to the disk", yesNo, true)
    .option("--requests <number>", "chunks fetched at once", positiveNumber)
    .addHelpText("after", examples);
  addWhatOption(extract, ["archive", "archive-index", "blob-index"]);
  addMetadataOptions(addUidOptions(addDiskCacheOptions(addNetworkOptions(addStoreOptions(extract)))), "restore");
  return extract.action((source: string, target: string | undefined, path: string | undefined) =>
    runVerb(extract, async (context) => {
      const options = extract.opts<ExtractOptions>();
      // The stream of casync's users is an archive: an index needs to be read whole before anything else.
      const kind = source === "-" && options.what === undefined ? "archive" : targetOf(source, options.what);
      if (kind === "blob-index") {
        if (target === undefined) {
          throw new ConfigError("a file is extracted to a path, and none is given", {
            code: "target-missing",
            hint: `imgtool extract ${shownLocation(source)} OUTPUT, with - for standard output`,
          });
        }
        if (path !== undefined) {
          throw new ConfigError(`${shownLocation(source)} has no paths inside: expected a .catar or .caidx`, {
            code: "path-not-seekable",
            hint: "leave the path out",
          });
        }
        warnUnused(extract, treeOutputOptions, "for a file", context.reporter);
        await extractBlobTo({ source, target, kind, options, ...context });
        return;
      }
      if (kind === "other") {
        throw new ConfigError(`cannot tell what ${shownLocation(source)} is from its name`, {
          code: "source-unknown",
          hint: "expected a name that ends with .caibx, .caidx or .catar, or --what",
        });
      }
      const { reporter } = context;
      if (kind === "archive") warnUnused(extract, chunkOptions, "for an archive, which has no chunks", reporter);
      if (target === "-" || (target?.endsWith(".tar") === true && !isDirectory(target))) {
        warnUnused(extract, [...treeOutputOptions, ...outputOptions], "for a tar", reporter);
        await extractTarTo({ source, target, path, kind, options, ...context });
        return;
      }
      await extractTreeTo({ source, target: target ?? ".", path, kind, options, ...context });
    }),
  );
}

/** Options about a directory that is written. */
const treeOutputOptions = ["hardlink", "delete", "undoImmutable", "mkdir", "uidShift", "uidRange", "with", "without"];

/** Options about what is written to a file system. */
const outputOptions = ["seedOutput", "reflink", "punchHoles"];

/** Options about where chunks come from. */
const chunkOptions = ["seed", "store", "extraStore", "key", "requests", "peers"];

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
