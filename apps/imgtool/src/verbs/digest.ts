/**
 * `imgtool digest`: the digest of a file, directory, archive or index, as `casync digest` prints it.
 * @module
 */
import { statSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { shownLocation } from "@imgtool/store";
import { type Command, Option } from "commander";
import { targetOf } from "../chunk-options.ts";
import { openIndex, refuseUnknownRemote } from "../open-source.ts";
import { addTreeArguments, openTreeAt, type TreeOptions } from "../tree-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

export function command(): Command {
  const digest = verbCommand("digest", "Print the digest of a file, directory, archive or index.");
  addTreeArguments(digest, "file, device, directory, .catar, .caidx or .caibx; - for standard input", [
    "archive",
    "archive-index",
    "blob",
    "blob-index",
    "directory",
  ]).addOption(
    new Option(
      "--digest <algorithm>",
      "the digest of files and directories; indexes and archives name their own",
    ).choices(["sha512-256", "sha256"]),
  );
  return digest.action((location: string, path: string | undefined) =>
    runVerb(digest, async ({ reporter, signal }) => {
      const { digestBlob, digestTree } = await import("@imgtool/sync");
      const options = digest.opts<TreeOptions>();
      const kind = targetOf(location, options.what);
      if (path !== undefined && kind !== "archive" && kind !== "archive-index") {
        throw new ConfigError(`${shownLocation(location)} has no paths inside: expected a .catar or .caidx`, {
          code: "path-not-seekable",
          hint: "name the file or directory itself",
        });
      }
      let result: string;
      if (kind === "blob-index") {
        await using opened = await openIndex(location, options, reporter, signal);
        result = await digestBlob(opened, signal);
      } else if (kind === "other" && (options.what === "blob" || !isDirectory(location))) {
        refuseUnknownRemote(location);
        result = await digestBlob(
          { file: location, ...(options.digest === undefined ? {} : { digest: options.digest }) },
          signal,
        );
      } else {
        await using opened = await openTreeAt(location, path, options, reporter, signal);
        result = await digestTree(opened.source, signal);
      }
      reporter.result(
        { source: shownLocation(location), ...(path === undefined ? {} : { path }), digest: result },
        result,
      );
    }),
  );
}

function isDirectory(path: string): boolean {
  return path !== "-" && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
