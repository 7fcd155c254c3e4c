/**
 * What `imgtool serve --prunable` answers to those who clean a store: WebDAV's PROPFIND (RFC 4918, 9.1) for one
 * level, and DELETE of a chunk that is still the one with the ETag. Nothing but chunks is removed.
 * @module
 */
import { readdirSync, statSync, type BigIntStats } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { isFolderTarget, pathBelow, requestNames } from "./serve-path.ts";
import { removeFile } from "./local-remove.ts";
import { chunkTarget } from "./serve-put.ts";

/** The tag of a file's content at its time. */
export function etagOf({ size, mtimeNs }: Pick<BigIntStats, "size" | "mtimeNs">): string {
  return `"${size.toString(16)}-${mtimeNs.toString(16)}"`;
}

/** Removes a chunk. @returns the status to answer with */
export async function deleteChunk(root: string, request: IncomingMessage): Promise<number> {
  const target = request.url ?? "";
  const names = requestNames(target);
  const chunk = chunkTarget(target);
  if (names === undefined || chunk === undefined) return 403;
  const path = await pathBelow(root, names);
  // A link in a chunk's place leads to what is none.
  if (path === undefined || !path.endsWith(`/${names.slice(-2).join("/")}`)) return 404;
  const match = request.headers["if-match"];
  // Without it, a chunk that a writer has just found would go.
  if (match === undefined) return 428;
  const stats = statSync(path, { bigint: true });
  if (!stats.isFile()) return 404;
  if (match !== etagOf(stats)) return 412;
  // No time but this one counts as unused; a writer that finds the chunk sets a later one.
  const unusedSince = Number(stats.mtimeNs) / 1e6 + 1;
  const { name, compressed } = chunk;
  const entry = { kind: "chunk", path, name, compressed, bytes: Number(stats.size), lastUsed: unusedSince } as const;
  return removeFile(entry, unusedSince) ? 204 : 412;
}

/** What a folder or file is. @returns the multistatus, or the status to answer with */
export async function describeResources(root: string, request: IncomingMessage): Promise<string | number> {
  const depth = request.headers["depth"];
  if (depth !== "0" && depth !== "1") return 403;
  const names = requestNames(request.url ?? "");
  const path = names === undefined ? undefined : await pathBelow(root, names);
  if (names === undefined || path === undefined) return 404;
  const here = `/${names.map(encodeURIComponent).join("/")}`;
  const stats = statSync(path, { bigint: true });
  if (!stats.isDirectory()) {
    if (!stats.isFile() || isFolderTarget(request.url ?? "")) return 404;
    return multistatus([describe(here, stats)]);
  }
  const folder = here === "/" ? here : `${here}/`;
  const responses = [describe(folder, stats)];
  for (const name of depth === "0" ? [] : readdirSync(path)) {
    if (name.startsWith(".")) continue;
    // Gone since, or a link that leads nowhere or out of the directory.
    const below = await pathBelow(root, [...names, name]).catch(() => undefined);
    const child = below === undefined ? undefined : statSync(join(path, name), { bigint: true, throwIfNoEntry: false });
    const link = folder + encodeURIComponent(name);
    if (child?.isDirectory() === true) responses.push(describe(`${link}/`, child));
    else if (child?.isFile() === true) responses.push(describe(link, child));
  }
  return multistatus(responses);
}

function multistatus(responses: readonly string[]): string {
  return `<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n${responses.join("")}</D:multistatus>\n`;
}

function describe(href: string, stats: BigIntStats): string {
  const properties = stats.isDirectory()
    ? "<D:resourcetype><D:collection/></D:resourcetype>"
    : `<D:resourcetype/><D:getcontentlength>${stats.size}</D:getcontentlength>` +
      `<D:getetag>${etagOf(stats)}</D:getetag>`;
  return (
    `<D:response><D:href>${href}</D:href><D:propstat><D:prop>${properties}` +
    `<D:getlastmodified>${stats.mtime.toUTCString()}</D:getlastmodified></D:prop>` +
    "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n"
  );
}
