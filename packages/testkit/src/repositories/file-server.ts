/**
 * A web server of files for tests, which counts what it sends of packages.
 * @module
 */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize } from "node:path";

export interface FileServer extends AsyncDisposable {
  /** Without a slash at its end. */
  readonly url: string;
  /** Paths that were sent whole, in order. */
  readonly sent: string[];
}

/** Serves a folder on a free port of the loopback. */
export async function serveFolder(folder: string): Promise<FileServer> {
  const sent: string[] = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname));
    const file = join(folder, path);
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats?.isFile() !== true) {
      response.writeHead(404).end();
      return;
    }
    sent.push(path);
    response.writeHead(200, { "content-length": stats.size, "last-modified": stats.mtime.toUTCString() });
    if (request.method === "HEAD") response.end();
    else createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    sent,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
