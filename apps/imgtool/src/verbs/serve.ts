/**
 * `imgtool serve DIR`: a static, read-only web server for a desk.
 * @module
 */
import { formatSize } from "@imgtool/core";
import type { Command } from "commander";
import { runVerb, verbCommand } from "../verb.ts";
import { portNumber } from "../parse.ts";

interface ServeOptions {
  readonly host: string;
  readonly port: number;
}

export function command(): Command {
  const serve = verbCommand("serve", "Serve a directory over HTTP until Ctrl-C: read-only, for a desk.")
    .argument("[directory]", "what to serve", ".")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on, 0 for any free one", portNumber, 8080);
  return serve.action((directory: string) =>
    runVerb(serve, async ({ reporter, signal }) => {
      const { serveDirectory } = await import("@imgtool/store");
      const { host, port } = serve.opts<ServeOptions>();
      const server = await serveDirectory(directory, {
        host,
        port,
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
