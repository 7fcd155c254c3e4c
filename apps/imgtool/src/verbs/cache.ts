/**
 * `imgtool cache`: copies the chunks that indexes name into another store.
 * @module
 */
import { ConfigError, formatSize } from "@imgtool/core";
import { encryptStore, openWriteStore, shownLocation } from "@imgtool/store";
import type { Command } from "commander";
import { networkAccess, addNetworkOptions, addStoreOptions, storeKey, type StoreOptions } from "../chunk-options.ts";
import { openIndex, type OpenOptions } from "../open-source.ts";
import { runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool cache --to=/var/cache/chunks http://example.org/disk.caibx
  imgtool cache --store=http://example.org/default.castr --to=mirror.castr *.caibx`;

interface CacheOptions extends StoreOptions, OpenOptions {
  readonly to: string;
}

export function command(): Command {
  const cache = verbCommand("cache", "Copy the chunks of indexes into another store; what it has is not fetched.")
    .argument("<index...>", ".caibx and .caidx, paths or URLs")
    .requiredOption(
      "--to <location>",
      "the store to fill: a path or a URL (http, https, s3, gs, azure, oci, sftp, ftp, ftps)",
    )
    .addHelpText("after", examples);
  addNetworkOptions(addStoreOptions(cache));
  return cache.action((locations: readonly string[]) =>
    runVerb(cache, async ({ reporter, signal }) => {
      const { fillStore } = await import("@imgtool/sync");
      const options = cache.opts<CacheOptions>();
      await using resources = new AsyncDisposableStack();
      const key = storeKey(options, [options.to]);
      const target = await openWriteStore(options.to, { ...networkAccess(options), create: true });
      resources.defer(() => target.close());
      const to = key === undefined ? target : encryptStore(target, key);
      let [chunks, copied, bytes] = [0, 0, 0];
      for (const location of locations) {
        await using opened = await openIndex(location, options, reporter, signal);
        if (opened.stores.some((store) => store.location === to.location)) {
          throw new ConfigError(`the chunks of ${shownLocation(location)} are in ${to.location} already`, {
            code: "same-store",
            hint: "name another store with --to=",
          });
        }
        const filled = await fillStore({
          indexes: [opened.index],
          from: opened.stores,
          to,
          progress: reporter,
          signal,
        });
        chunks += filled.chunks;
        copied += filled.copied;
        bytes += filled.bytes;
      }
      reporter.result(
        { to: to.location, chunks, copied, bytes },
        `${to.location}  ${copied} of ${chunks} chunks copied, ${formatSize(bytes)}`,
      );
    }),
  );
}
