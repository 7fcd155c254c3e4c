/**
 * `imgtool serve DIR`: a web server of static files for a desk, on request one that takes chunks, or one that
 * neighbours find.
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setInterval } from "node:timers/promises";
import { ConfigError, formatSize } from "@imgtool/core";
import { announcePeer, HeldIndexFiles, parseWriters, peerStorePath, serveDirectory } from "@imgtool/store";
import type { Command } from "commander";
import { portNumber } from "../parse.ts";
import { readNamedFile } from "../stores-file/secret-file.ts";
import { runVerb, type VerbContext, verbCommand } from "../verb.ts";

interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly writable?: boolean;
  readonly prunable?: boolean;
  /** Path of a file. */
  readonly writers?: string;
  readonly peer?: boolean;
}

const examples = `
Examples:
  imgtool serve www                     for this machine alone
  imgtool serve --prunable --writers=tokens www
                                        publish, cache and gc work on its stores for those whose token is in
                                        the file tokens; they name theirs in stores.conf
  imgtool serve --peer /var/cache/images
                                        extract --peers on machines nearby finds what is in default.castr

With --peer everybody in the local network can read the directory, and is told which indexes (.caibx and
.caidx) lie in it: the digests of these files, no names, nothing of the machine.`;

export function command(): Command {
  const serve = verbCommand("serve", "Serve a directory over HTTP until Ctrl-C, for a desk.")
    .argument("[directory]", "what to serve", ".")
    .option("--host <address>", "address to listen on; with --peer all of them otherwise", "127.0.0.1")
    .option("--port <number>", "port to listen on, 0 for any free one", portNumber, 8080)
    .option("--writable", "let anyone who can connect put chunks into the stores below the directory")
    .option("--prunable", "let them list and remove chunks as well: imgtool gc --store=http://… does")
    .option("--writers <file>", "let only those write whose user:password or token stands in the file, one on a line")
    .option("--peer", "announce the indexes in the directory to the local network: see --peers of imgtool extract")
    .addHelpText("after", examples);
  return serve.action((directory: string) =>
    runVerb(serve, async ({ reporter, signal }) => {
      const { port, writable = false, prunable = false, peer = false, ...options } = serve.opts<ServeOptions>();
      const isChosen = serve.getOptionValueSource("host") === "cli";
      const host = peer && !isChosen ? "0.0.0.0" : options.host;
      if (peer) await checkPeerStore(directory);
      if (options.writers !== undefined && !writable && !prunable) {
        throw new ConfigError("--writers says who may write, and nothing may be written", {
          code: "option-missing",
          hint: "give --writable or --prunable, too",
        });
      }
      const writers =
        options.writers === undefined
          ? undefined
          : parseWriters(readNamedFile(options.writers, "--writers", true), options.writers);
      await using resources = new AsyncDisposableStack();
      const server = await serveDirectory(directory, {
        host,
        port,
        writable,
        prunable,
        writers,
        signal,
        onRequest: (request) => reporter.log("debug", `${request.method} ${request.path} ${request.status}`),
      });
      resources.defer(() => server.close());
      const announced = peer
        ? resources.use(await announce(directory, server.url, isChosen ? host : undefined, { reporter, signal }))
        : undefined;
      const text = announced === undefined ? "" : `, ${announced.count} indexes announced`;
      reporter.result({ url: server.url, announced: announced?.count }, `serving ${directory} at ${server.url}${text}`);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await resources.disposeAsync();
      const { requests, bytes } = server.statistics;
      reporter.log("info", `${requests} requests, ${formatSize(bytes)} sent`);
    }),
  );
}

async function checkPeerStore(directory: string): Promise<void> {
  if (existsSync(join(directory, peerStorePath))) return;
  throw new ConfigError(`there is no ${peerStorePath} in ${directory} for neighbours to read`, {
    code: "peer-without-store",
    hint: `imgtool cache --to=${join(directory, peerStorePath)} INDEX fills one; the index belongs beside it`,
    data: { directory },
  });
}

/** Milliseconds between looks for new addresses: an interface that was plugged in takes a second. */
const lookAgain = 2000;
/** Looks for addresses between two for indexes. */
const looksForIndexes = 5;

/** Announces the indexes in the directory, and those that come. */
async function announce(
  directory: string,
  url: string,
  host: string | undefined,
  { reporter, signal }: VerbContext,
): Promise<AsyncDisposable & { readonly count: number }> {
  const files = new HeldIndexFiles(directory);
  let { digests, count } = await files.list();
  if (count > digests.length)
    reporter.log("warning", `${directory} holds ${count} indexes: the newest ${digests.length} are announced`);
  const addresses = host === undefined || host === "0.0.0.0" || host === "::" ? undefined : [host];
  const announcement = await announcePeer({ port: Number(new URL(url).port), digests, addresses });
  if (announcement.addresses.length === 0)
    reporter.log("warning", "no network: nothing is announced until there is one");
  const watch = async (): Promise<void> => {
    let looks = 0;
    for await (const _ of setInterval(lookAgain, undefined, { signal, ref: false })) {
      await announcement.refresh();
      if (++looks % looksForIndexes !== 0) continue;
      const held = await files.list();
      if (held.digests.join() !== digests.join()) await announcement.update(held.digests);
      ({ digests, count } = held);
    }
  };
  void watch().catch((error: unknown) => {
    if (!signal.aborted) reporter.log("warning", `new indexes are not announced: ${String(error)}`);
  });
  return { count: digests.length, [Symbol.asyncDispose]: () => announcement[Symbol.asyncDispose]() };
}
