/**
 * A web server for a directory, read-only unless asked, for a desk or a test bench: stores, indexes and images as
 * any server of static files would give them. It knows GET and HEAD, single ranges and conditions;
 * nothing outside the directory can be reached.
 * @module
 */
import { constants, createReadStream } from "node:fs";
import { open, readdir, realpath, type FileHandle } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { isIPv6, type AddressInfo } from "node:net";
import { extname } from "node:path";
import { pipeline } from "node:stream/promises";
import { abortedError, EnvironmentError, errorMessage, NotFoundError, systemErrorCode } from "@imgtool/core";
import { isNotModified, requestedRange } from "./serve-conditions.ts";
import { keepHeader } from "./http.ts";
import { keepChunkFileAsync } from "./local-refresh.ts";
import { deleteChunk, describeResources, etagOf } from "./serve-manage.ts";
import { isFolderTarget, pathBelow, requestNames } from "./serve-path.ts";
import { isChunkTarget, putChunk } from "./serve-put.ts";
import { isWriter, type Writers } from "./serve-writers.ts";

export interface ServedRequest {
  readonly method: string;
  /** The request's target as it came: percent-encoded. */
  readonly path: string;
  readonly status: number;
  /** Bytes of body sent. */
  readonly bytes: number;
  readonly milliseconds: number;
}

export interface ServeOptions {
  /** Address to listen on. Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** Port to listen on. Default 0: any free one. */
  readonly port?: number;
  /**
   * Whether chunks may be put: PUT of a chunk's path stores it unless it is there, and HEAD with the
   * header `imgtool-keep` marks it as used. Nothing else can be written. Default false.
   */
  readonly writable?: boolean;
  /**
   * Whether stores may be listed and cleaned as well: PROPFIND says what is in a folder, DELETE removes a chunk
   * that has the ETag of If-Match. Chunks may be put then, too. Default false.
   */
  readonly prunable?: boolean;
  /** Who may do that; default: whoever can connect. Reading is for everybody. */
  readonly writers?: Writers | undefined;
  /** Ends the server. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each answer. */
  readonly onRequest?: (request: ServedRequest) => void;
}

export interface DirectoryServer {
  /** Where it listens, with a slash at the end. */
  readonly url: string;
  readonly statistics: Readonly<{ requests: number; bytes: number }>;
  /** Stops listening and ends all connections. */
  close(): Promise<void>;
}

/** Files up to this size are read whole: one write instead of a stream, which is twice as fast. */
const wholeFile: number = 512 * 1024;

const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".json": "application/json",
  ".txt": "text/plain; charset=utf-8",
};

/**
 * Serves the directory until close() is called or the signal fires.
 * @throws EnvironmentError `address-not-available` or `serve-failed`; NotFoundError `serve-failed`; AbortedError
 */
export async function serveDirectory(root: string, options: ServeOptions = {}): Promise<DirectoryServer> {
  const { host = "127.0.0.1", port = 0, signal } = options;
  const statistics = { requests: 0, bytes: 0 };
  if (signal?.aborted === true) throw abortedError(signal);
  let realRoot: string;
  try {
    realRoot = await realpath(root);
    await readdir(realRoot);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT")
      throw new NotFoundError(`there is no directory ${root} to serve`, { code: "serve-failed", cause: error });
    throw new EnvironmentError(`cannot serve ${root}: ${errorMessage(error)}`, { code: "serve-failed", cause: error });
  }
  // Loaded here: node:http brings some 20 ms of modules, and most that load this package serve nothing.
  const { createServer } = await import("node:http");
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const started = performance.now();
    const { method = "", url = "" } = request;
    response.once("close", () => {
      const bytes = sentBytes(response);
      statistics.requests++;
      statistics.bytes += bytes;
      options.onRequest?.({
        method,
        path: url,
        status: response.statusCode,
        bytes,
        milliseconds: performance.now() - started,
      });
    });
    void answer(realRoot, permissionsOf(options), request, response);
  });
  // a client that takes nothing for two minutes is gone
  server.setTimeout(120_000);
  await listen(server, host, port);
  const address = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      signal?.removeEventListener("abort", onAbort);
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const onAbort = (): void => void close();
  signal?.addEventListener("abort", onAbort, { once: true });
  return { url: `http://${isIPv6(host) ? `[${host}]` : host}:${address.port}/`, statistics, close };
}

const bodyLengths = new WeakMap<ServerResponse, number>();
const sentBytes = (response: ServerResponse): number => bodyLengths.get(response) ?? 0;
const countSent = (response: ServerResponse, bytes: number): void => {
  bodyLengths.set(response, sentBytes(response) + bytes);
};

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(
        new EnvironmentError(`cannot listen on ${host} port ${port}: ${errorMessage(error)}`, {
          code: "address-not-available",
          hint: "choose another address or port; ports below 1024 are for root",
          data: { host, port, errno: systemErrorCode(error) },
          cause: error,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

interface Permissions {
  readonly writable: boolean;
  readonly prunable: boolean;
  readonly writers: Writers | undefined;
  /** Methods. */
  readonly allow: string;
}

function permissionsOf({ writable = false, prunable = false, writers }: ServeOptions): Permissions {
  const methods = ["GET", "HEAD", "OPTIONS"];
  if (writable || prunable) methods.push("PUT");
  if (prunable) methods.push("PROPFIND", "DELETE");
  return { writable: writable || prunable, prunable, writers, allow: methods.join(", ") };
}

async function answer(
  root: string,
  { writable, prunable, writers, allow }: Permissions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const isForWriters =
      (writable && (request.method === "PUT" || request.headers[keepHeader] !== undefined)) ||
      (prunable && (request.method === "DELETE" || request.method === "PROPFIND"));
    if (isForWriters && writers !== undefined && !isWriter(writers, request.headers.authorization)) {
      // What is being sent is not waited for.
      response.setHeader("connection", "close");
      response.setHeader("www-authenticate", 'Basic realm="imgtool", charset="UTF-8", Bearer realm="imgtool"');
      end(response, 401);
      return;
    }
    if (writable && request.method === "PUT") {
      end(response, await putChunk(root, request));
      return;
    }
    if (prunable && request.method === "DELETE") {
      end(response, await deleteChunk(root, request));
      return;
    }
    if (prunable && request.method === "PROPFIND") {
      const described = await describeResources(root, request);
      if (typeof described === "number") end(response, described);
      else answerText(207, described, request, response);
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", allow);
      if (writable) response.setHeader(keepHeader, "1");
      if (request.method === "OPTIONS") response.writeHead(204).end();
      else end(response, 405);
      return;
    }
    const target = request.url ?? "";
    const names = requestNames(target);
    const path = names === undefined ? undefined : await pathBelow(root, names);
    if (names === undefined || path === undefined) {
      end(response, 404);
      return;
    }
    if (writable && request.headers[keepHeader] !== undefined && isChunkTarget(target)) await keepChunkFileAsync(path);
    // not through a link that appeared since, and without waiting for a FIFO's writer
    await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await handle.stat({ bigint: true });
    if (stats.isDirectory()) await answerDirectory(path, names, request, response);
    else if (stats.isFile() && !isFolderTarget(target)) await answerFile(path, handle, stats, request, response);
    else end(response, 404);
  } catch (error) {
    const code = systemErrorCode(error) ?? "";
    if (response.headersSent) response.destroy();
    else if (["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"].includes(code)) end(response, 404);
    else end(response, code === "EACCES" || code === "EPERM" ? 403 : 500);
  }
}

async function answerFile(
  path: string,
  handle: FileHandle,
  stats: { readonly size: bigint; readonly mtimeNs: bigint; readonly mtime: Date },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const file = {
    etag: etagOf(stats),
    lastModified: stats.mtime.toUTCString(),
    size: Number(stats.size),
  };
  response.setHeader("etag", file.etag);
  response.setHeader("last-modified", file.lastModified);
  response.setHeader("accept-ranges", "bytes");
  // what a chunk's name means never changes
  response.setHeader("cache-control", path.endsWith(".cacnk") ? "public, max-age=31536000, immutable" : "no-cache");
  if (isNotModified(request.headers, file)) {
    response.writeHead(304).end();
    return;
  }
  const range = request.method === "GET" ? requestedRange(request.headers, file) : undefined;
  if (range === "unsatisfiable") {
    response.setHeader("content-range", `bytes */${file.size}`);
    end(response, 416);
    return;
  }
  const { start, end: stop } = range ?? { start: 0, end: file.size };
  if (range !== undefined) response.setHeader("content-range", `bytes ${start}-${stop - 1}/${file.size}`);
  response.setHeader("content-type", contentTypes[extname(path)] ?? "application/octet-stream");
  response.setHeader("content-length", stop - start);
  response.writeHead(range === undefined ? 200 : 206);
  if (request.method === "HEAD" || start === stop) {
    response.end();
  } else if (stop - start <= wholeFile) {
    const bytes = Buffer.allocUnsafe(stop - start);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
    if (bytesRead < bytes.length) throw new Error("the file became shorter");
    countSent(response, bytes.length);
    response.end(bytes);
  } else {
    const stream = createReadStream(path, {
      fd: handle,
      start,
      end: stop - 1,
      autoClose: false,
      highWaterMark: 262_144,
    });
    stream.on("data", (piece) => countSent(response, piece.length));
    await pipeline(stream, response);
  }
}

async function answerDirectory(
  path: string,
  names: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const here = `/${names.map((name) => `${encodeURIComponent(name)}/`).join("")}`;
  if (!isFolderTarget(request.url ?? "")) {
    response.setHeader("location", here);
    end(response, 301);
    return;
  }
  const entries = (await readdir(path, { withFileTypes: true }))
    .filter(({ name }) => !name.startsWith("."))
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .sort();
  const title = escapeHtml(decodeURIComponent(here));
  const items = entries.map((name) => {
    const link = encodeURIComponent(name.replace(/\/$/, "")) + (name.endsWith("/") ? "/" : "");
    return `<li><a href="${link}">${escapeHtml(name)}</a></li>\n`;
  });
  const page = Buffer.from(
    `<!doctype html>\n<meta charset="utf-8">\n<title>${title}</title>\n<h1>${title}</h1>\n<ul>\n${items.join("")}</ul>\n`,
  );
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.setHeader("content-length", page.length);
  response.writeHead(200);
  if (request.method === "GET") countSent(response, page.length);
  response.end(request.method === "HEAD" ? undefined : page);
}

function answerText(status: number, xml: string, request: IncomingMessage, response: ServerResponse): void {
  // A client that has sent a body is answered when it is all there; what it says is not needed.
  request.resume();
  const bytes = Buffer.from(xml);
  response.setHeader("content-type", 'application/xml; charset="utf-8"');
  response.setHeader("content-length", bytes.length);
  response.writeHead(status);
  countSent(response, bytes.length);
  response.end(bytes);
}

function end(response: ServerResponse, status: number): void {
  const text = `${status} ${process.getBuiltinModule("node:http").STATUS_CODES[status] ?? ""}\n`;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.setHeader("content-length", Buffer.byteLength(text));
  response.writeHead(status).end(text);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
