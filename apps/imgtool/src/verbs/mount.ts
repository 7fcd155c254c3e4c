/**
 * `imgtool mount`: a published tree as a file system; chunks are fetched as they are read.
 * @module
 */
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import type { RandomAccess } from "@imgtool/sync";
import type { Command } from "commander";
import {
  addRateLimit,
  addStoreOptions,
  addWhatOption,
  type StoreOptions,
  targetOf,
  type What,
} from "../chunk-options.ts";
import { openIndex, type OpenOptions } from "../open-source.ts";
import { positiveNumber, yesNo } from "../parse.ts";
import { collect, runVerb, verbCommand } from "../verb.ts";

interface MountVerbOptions extends StoreOptions, OpenOptions {
  readonly what?: What;
  readonly mkdir: boolean;
  readonly trusted?: boolean;
  /** MiB. */
  readonly cacheSize: number;
}

const examples = `
Examples:
  imgtool mount http://example.org/tree.caidx /mnt        until Ctrl-C, or umount /mnt
  imgtool mount backup.catar /mnt`;

export function command(): Command {
  const mount = verbCommand("mount", "Mount a published tree, read-only, until Ctrl-C or umount.")
    .argument("<archive>", ".caidx (path or URL) or .catar")
    .argument("<directory>", "where to mount it")
    .option("--mkdir <yes|no>", "make the directory where it is not there, and remove it afterwards", yesNo, true)
    .option("--trusted", "let device nodes and set-id bits count, as in a tree that root extracts")
    .option("--cache-size <MiB>", "memory for chunks that were read", positiveNumber, 64)
    .option("--seed <path>", "a directory, file, device or index to take chunks from; may be repeated", collect)
    .addHelpText("after", examples);
  addWhatOption(addRateLimit(addStoreOptions(mount)), ["archive", "archive-index"]);
  return mount.action((location: string, target: string) =>
    runVerb(mount, async ({ reporter, signal }) => {
      const options = mount.opts<MountVerbOptions>();
      const kind = targetOf(location, options.what);
      if (kind !== "archive" && kind !== "archive-index") {
        throw new ConfigError(`cannot mount ${location}: expected a .caidx or .catar`, {
          code: "source-unknown",
          hint: "imgtool mkdev opens a .caibx as a block device",
        });
      }
      const { ArchiveBrowser, ChunkSource, fileReader } = await import("@imgtool/sync");
      const { ImageReader, mountArchive } = await import("@imgtool/mount");
      await using resources = new AsyncDisposableStack();
      let reader: RandomAccess;
      if (kind === "archive") reader = resources.use(await fileReader(location));
      else {
        const opened = resources.use(await openIndex(location, options, reporter, signal));
        const cacheSize = options.cacheSize * 1024 ** 2;
        const image = new ImageReader(new ChunkSource(opened), { signal, cacheSize });
        reader = { name: location, size: image.size, read: (offset, length) => image.read(offset, length) };
      }
      if (!existsSync(target) && options.mkdir) {
        mkdirSync(target);
        resources.defer(() => rmdirSync(target));
      }
      await mountArchive({
        archive: new ArchiveBrowser(reader),
        size: reader.size,
        target,
        source: location,
        trusted: options.trusted === true,
        onMounted: () => reporter.result({ source: location, target }, `${location} is mounted on ${target}`),
        onError: (message) => reporter.log("warning", message),
        signal,
      });
    }),
  );
}
