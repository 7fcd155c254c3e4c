/**
 * `imgtool serve DIR`: a web server of static files for a desk, on request one that takes chunks.
 * @module
 */
import { formatSize } from "@imgtool/core";
import type { Command } from "commander";
import { runVerb, verbCommand } from "../verb.ts";
import { portNumber } from "../parse.ts";

interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly writable?: boolean;
}

export function command(): Command {
  const serve = verbCommand("serve", "Serve a directory over HTTP until Ctrl-C, for a desk.")
    .argument("[directory]", "what to serve", ".")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on, 0 for any free one", portNumber, 8080)
    .option("--writable", "let anyone who can connect put chunks into the stores below the directory");
  return serve.action((directory: string) =>
    runVerb(serve, async ({ reporter, signal }) => {
      const { serveDirectory } = await import("@imgtool/store");
      const { host, port, writable = false } = serve.opts<ServeOptions>();
      const server = await serveDirectory(directory, {
        host,
        port,
        writable,
        signal,
        onRequest: (request) => reporter.log("debug", `${request.method} ${request.path} ${request.status}`),
      });
      reporter.result({ url: server.url }, `serving ${directory} at ${server.url}`);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await server.close();
      const { requests, bytes } = server.statistics;
      reporter.log("info", `${requests} requests, ${formatSize(bytes)} sent`);
    }),
  );
}
