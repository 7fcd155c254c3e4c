/**
 * What `imgtool info` is asked about, by a location's name and what lies there.
 * @module
 */
import { readdirSync, statSync } from "node:fs";
import { ConfigError, NotFoundError } from "@imgtool/core";
import { isRemoteLocation } from "@imgtool/store";
import { targetOf } from "../chunk-options.ts";

export const infoWhats = ["archive", "archive-index", "blob-index", "directory", "store"] as const;

export type InfoWhat = (typeof infoWhats)[number];

export type InfoSubject = "index" | "archive" | "directory" | "store";

/** @throws ConfigError `source-unknown`; NotFoundError `source-missing` */
export function subjectOf(location: string, what?: InfoWhat): InfoSubject {
  if (what === "directory" || what === "store") return what;
  const target = targetOf(location, what);
  if (target === "archive" || location === "-") return "archive";
  if (target !== "other") return "index";
  if (isRemoteLocation(location)) return "store";
  const stats = statSync(location, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new NotFoundError(`there is no ${location}`, {
      code: "source-missing",
      hint: "name an index, an archive, a directory or a store",
      data: { source: location },
    });
  }
  if (stats.isDirectory()) return isStoreDirectory(location) ? "store" : "directory";
  throw new ConfigError(`cannot tell what ${location} is from its name`, {
    code: "source-unknown",
    hint: "expected a name that ends with .caibx, .caidx or .catar, a directory, or --what; imgtool diff and digest take plain files",
    data: { source: location },
  });
}

function isStoreDirectory(path: string): boolean {
  if (/\.castr\/*$/.test(path)) return true;
  const names = readdirSync(path);
  return names.length > 0 && names.every((name) => /^[0-9a-f]{4}$/.test(name));
}
