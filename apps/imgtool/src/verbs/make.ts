/**
 * `imgtool make`: from a file or directory to an archive or index, with casync's arguments.
 * @module
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, formatSize } from "@imgtool/core";
import {
  encryptStore,
  isRemoteLocation,
  isSshLocation,
  isStoredFile,
  type LocalStorePlace,
  type OpenStoreOptions,
  openWriteStore,
  shownLocation,
  type StoreKey,
  type WriteStore,
} from "@imgtool/store";
import type { MadeBlob, MadeTree } from "@imgtool/sync";
import type { Command } from "commander";
import {
  addChunkOptions,
  addStoreOptions,
  addTransferOptions,
  addWhatOption,
  type ChunkOptions,
  networkAccess,
  type NetworkOptions,
  storeKey,
  storeLocations,
  type StoreOptions,
  targetOf,
  type What,
} from "../chunk-options.ts";
import { addFeatureOptions, directoryFlags, type FeatureOptions } from "../tree-options.ts";
import { idShiftOf } from "../uid-options.ts";
import { writeStandardOutput } from "../standard-output.ts";
import { treeOptions, warnUnused } from "../unused-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool make image.caibx image.raw              a file or block device
  imgtool make --store=/srv/www/store tree.caidx /srv/tree
  imgtool make tree.caidx tree.catar              an archive that is there already
  imgtool make tree.caidx rootfs.tar.zst          the tree in a tar
  tar -c /srv | imgtool make backup.caibx -       standard input
  imgtool make - /srv/tree | ssh host imgtool extract - /srv/tree   an archive on standard output`;

interface MakeOptions extends StoreOptions, NetworkOptions, Omit<ChunkOptions, "digest">, FeatureOptions {
  readonly what?: What;
  readonly cache?: string;
  readonly cacheAuto?: boolean;
}

export function command(): Command {
  const make = verbCommand("make", "Cut a file or directory into chunks and write the index that names them.")
    .argument(
      "<target>",
      "what to make: .caibx (index of a file), .caidx (index of a directory), .catar (archive; - for standard output)",
    )
    .argument(
      "[source]",
      "file, block device, directory, a .catar or tar (also compressed) to index, or - for standard input",
      undefined,
    )
    .addHelpText("after", examples);
  addWhatOption(make, ["archive", "archive-index", "blob-index"]);
  addFeatureOptions(addChunkOptions(addTransferOptions(addStoreOptions(make))))
    .option("--cache <directory>", "of a directory, do not read again what has not changed since the last run")
    .option("-c, --cache-auto", "--cache below the user's cache directory");
  return make.action((target: string, source: string | undefined) =>
    runVerb(make, async ({ reporter, signal }) => {
      const options = make.opts<MakeOptions>();
      const sync = await import("@imgtool/sync");
      // The only stream that casync makes, too: an index is of no use without its store.
      const kind = target === "-" && options.what === undefined ? "archive" : targetOf(target, options.what);
      if (target === "-" && kind !== "archive") {
        throw new ConfigError("an index is not written to standard output", {
          code: "target-unknown",
          hint: "name a file: it appears when all of its chunks are in the store",
        });
      }
      if (kind === "other") {
        throw new ConfigError(`cannot tell what to make from the name ${target}`, {
          code: "target-unknown",
          hint: "end the name with .caibx (file), .caidx (directory) or .catar (archive), or say --what",
        });
      }
      if (kind === "blob-index") warnUnused(make, treeOptions, "for a file", reporter);
      if (kind === "archive") warnUnused(make, ["cache", "cacheAuto", "compression"], "for an archive", reporter);
      const from = source ?? (kind === "blob-index" ? "-" : ".");
      const access = networkAccess(options);
      const isRemote = isSshLocation(target);
      if (isRemoteLocation(target) && !isRemote && !isStoredFile(target)) {
        throw new ConfigError(`nothing can be made at ${shownLocation(target)}`, {
          code: "target-remote",
          hint: "make it here and copy it to the server; the chunks alone may go there: --store=URL",
          data: { target: shownLocation(target) },
        });
      }
      const shared = {
        flags: await directoryFlags(options),
        idShift: idShiftOf(options, from),
        contentDigest: options.contentDigest,
        progress: reporter,
        signal,
      };
      if (kind === "archive") {
        if (options.key !== undefined) {
          throw new ConfigError(`${target} would not be encrypted: --key is for chunks and their index`, {
            code: "key-without-index",
            hint: "make a .caidx, or encrypt the archive with another program",
          });
        }
        if (isStoredFile(target)) {
          throw new ConfigError("an archive cannot be written to a storage service", {
            code: "archive-remote",
            hint: "make a .caidx, whose chunks go there, or copy the archive afterwards",
          });
        }
        const { sendArchive, streamArchive } = await import("../make-remote.ts");
        const stream = { ...shared, source: treeSource(from) };
        if (target === "-") {
          const { digest } = await streamArchive(stream, (archive) => writeStandardOutput(copied(archive)));
          if (digest !== undefined) reporter.log("info", digest);
          return;
        }
        const archive = isRemote
          ? await streamArchive(stream, (bytes) => sendArchive(target, bytes, { access, progress: reporter, signal }))
          : await sync.makeArchive({ ...stream, output: target });
        reporter.result({ target, ...archive }, archive.digest ?? `${target}  ${formatSize(archive.size)}`);
        return;
      }
      const store = storeLocations(target, options)[0] ?? "";
      const key = storeKey(options, [target, store]);
      const makeHere = (
        index: string,
        store: string | LocalStorePlace | WriteStore,
        isTemporary = false,
      ): Promise<MadeBlob | MadeTree> => {
        const { durable, chunkSize, digest, compression } = options;
        const where = {
          ...shared,
          index,
          store,
          key,
          durable: durable && !isTemporary,
          ...(chunkSize === undefined ? {} : { chunkSizes: chunkSize }),
          ...(digest === undefined ? {} : { digest }),
          ...(compression === undefined ? {} : { compression }),
        };
        if (kind === "blob-index") return sync.makeBlob({ ...where, source: from });
        const tree = treeSource(from);
        if (typeof tree !== "string") warnUnused(make, ["cache", "cacheAuto"], "for an archive", reporter);
        return sync.makeTree({ ...where, source: tree, cache: cacheFolder(options) });
      };
      if (isRemote) {
        const { makeRemote } = await import("../make-remote.ts");
        const { indexPath: _, ...made } = await makeRemote({
          target,
          store,
          access,
          make: makeHere,
          progress: reporter,
          signal,
        });
        const facts = `${made.chunks} chunks, ${made.chunksSent} sent (${formatSize(made.bytesSent)})`;
        reporter.result({ target, ...made }, made.digest ?? `${target}  ${formatSize(made.size)} in ${facts}`);
        return;
      }
      // One on this machine is written by the worker threads themselves.
      await using opened = isRemoteLocation(store) ? await openDisposable(store, access, key) : undefined;
      const makeAt = (index: string): Promise<MadeBlob | MadeTree> =>
        makeHere(index, opened?.store ?? { directory: store, key });
      const { makeStored } = await import("../make-stored.ts");
      const made = isStoredFile(target)
        ? await makeStored(target, makeAt, { ...access, signal })
        : await makeAt(target);
      const facts = `${made.chunks} chunks, ${made.newChunks} new (${formatSize(made.newBytes)} written)`;
      const shown = shownLocation(target);
      reporter.result({ target: shown, ...made }, made.digest ?? `${shown}  ${formatSize(made.size)} in ${facts}`);
    }),
  );
}

function cacheFolder({ cache, cacheAuto }: MakeOptions): string | undefined {
  if (cache !== undefined || cacheAuto !== true) return cache;
  const { HOME = ".", XDG_CACHE_HOME = join(HOME, ".cache") } = process.env;
  return join(XDG_CACHE_HOME, "imgtool", "make");
}

async function openDisposable(
  location: string,
  access: OpenStoreOptions,
  key: StoreKey | undefined,
): Promise<AsyncDisposable & { readonly store: WriteStore }> {
  const opened = await openWriteStore(location, { ...access, create: true });
  const store = key === undefined ? opened : encryptStore(opened, key);
  return { store, [Symbol.asyncDispose]: () => store.close() };
}

/** A walk reads contents into memory that it uses again. */
async function* copied(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of pieces) yield Uint8Array.from(bytes);
}

/** What is no directory is an archive that is there already, or a tar. */
function treeSource(path: string): string | { readonly archive: string } {
  const isArchive = path === "-" || statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  return isArchive ? { archive: path } : path;
}
