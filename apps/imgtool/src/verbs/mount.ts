/**
 * `imgtool mount`: a published tree as a file system; chunks are fetched as they are read.
 * @module
 */
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { shownLocation } from "@imgtool/store";
import type { RandomAccess } from "@imgtool/sync";
import type { Command } from "commander";
import { addNetworkOptions, addStoreOptions, addWhatOption, targetOf, type What } from "../chunk-options.ts";
import { addImageOptions, type ImageOptions, openImage } from "../open-image.ts";
import { openArchive } from "../open-source.ts";
import { yesNo } from "../parse.ts";
import { runVerb, verbCommand } from "../verb.ts";

interface MountVerbOptions extends ImageOptions {
  readonly what?: What;
  readonly mkdir: boolean;
  readonly trusted?: boolean;
}

const examples = `
Examples:
  imgtool mount http://example.org/tree.caidx /mnt        until Ctrl-C, or umount /mnt
  imgtool mount backup.catar /mnt
  imgtool mount --disk-cache=chunks --prefetch http://example.org/tree.caidx /mnt

What root mounts is for all users. Other users mount through fusermount3, each for himself.`;

export function command(): Command {
  const mount = verbCommand("mount", "Mount a published tree, read-only, until Ctrl-C or umount.")
    .argument("<archive>", ".caidx or .catar: a path or URL")
    .argument("<directory>", "where to mount it")
    .option("--mkdir <yes|no>", "make the directory where it is not there, and remove it afterwards", yesNo, true)
    .option("--trusted", "root: let device nodes and set-id bits count, as in a tree that was extracted")
    .addHelpText("after", examples);
  addWhatOption(addImageOptions(addNetworkOptions(addStoreOptions(mount))), ["archive", "archive-index"]);
  return mount.action((location: string, target: string) =>
    runVerb(mount, async ({ reporter, signal }) => {
      const options = mount.opts<MountVerbOptions>();
      const kind = targetOf(location, options.what);
      if (kind !== "archive" && kind !== "archive-index") {
        throw new ConfigError(`cannot mount ${shownLocation(location)}: expected a .caidx or .catar`, {
          code: "source-unknown",
          hint: "imgtool mkdev opens a .caibx as a block device",
        });
      }
      const { ArchiveBrowser, fileReader, RangedSource } = await import("@imgtool/sync");
      const { mountArchive } = await import("@imgtool/mount");
      await using resources = new AsyncDisposableStack();
      // the kernel shows everyone what is mounted
      const shown = shownLocation(location);
      let reader: RandomAccess;
      if (kind === "archive") {
        // Whoever reads a file waits for a dead server: twice as long as it may say nothing is enough.
        const { archive } = resources.use(await openArchive(location, { ...options, retries: 1 }, signal, true));
        if (archive instanceof RangedSource) reader = archive;
        else if (typeof archive === "string") reader = resources.use(await fileReader(archive));
        else throw notHere(location);
      } else {
        const { image } = resources.use(await openImage(location, options, reporter, signal));
        reader = {
          name: shown,
          size: image.size,
          read: (offset, length) => image.read(offset, length),
          pieces: (offset, length) => image.pieces(offset, length),
        };
      }
      if (!existsSync(target) && options.mkdir) {
        mkdirSync(target);
        resources.defer(() => rmdirSync(target));
      }
      await mountArchive({
        archive: new ArchiveBrowser(reader),
        size: reader.size,
        target,
        source: shown,
        trusted: options.trusted === true,
        onMounted: () => reporter.result({ source: shown, target }, `${shown} is mounted on ${target}`),
        onError: (message) => reporter.log("warning", message),
        signal,
      });
    }),
  );
}

/** What comes as a stream cannot be read in the order in which programs ask for it. */
function notHere(location: string): ConfigError {
  return new ConfigError(`${location} cannot be mounted from another machine's program`, {
    code: "archive-remote",
    hint: "publish a .caidx, or copy the archive here first",
  });
}
