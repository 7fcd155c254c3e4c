/**
 * CopyBlocks=: a partition whose content is a file, byte for byte.
 * @module
 */
import { closeSync, openSync, statSync } from "node:fs";
import { ConfigError, NotFoundError, systemErrorCode, throwIfAborted } from "@imgtool/core";
import type { PreparedFilesystem } from "./filesystems/filesystem.ts";
import { readRun } from "./filesystems/data-runs.ts";
import { grain } from "./plan.ts";
import { resolveInTree } from "./tree/resolve.ts";

const sector = 512;
const piece = 2 ** 26;

/**
 * Prepares the file `path` of the tree as a partition's content; what is left of the last 4096 bytes is
 * zero.
 * @throws NotFoundError `copy-source-missing`, ConfigError `copy-blocks-invalid`
 */
export function prepareCopyBlocks(
  tree: string,
  path: string,
  options: { readonly size?: number | undefined; readonly signal?: AbortSignal | undefined },
): PreparedFilesystem {
  let source: string;
  try {
    const inner = resolveInTree(tree, path);
    source = [inner.tree, ...inner.names].join("/");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`CopyBlocks=${path}: it is not in the tree`, {
      code: "copy-source-missing",
      hint: "check the path: it is one of the image, with all its packages and files",
      data: { source: path, tree },
      cause: error,
    });
  }
  const stat = statSync(source);
  if (!stat.isFile() || stat.size === 0 || stat.size % sector !== 0)
    throw new ConfigError(
      `CopyBlocks=${path}: expected a file of whole sectors of ${sector} bytes, found ${stat.isFile() ? `one of ${stat.size} bytes` : "something that is no file"}`,
      { code: "copy-blocks-invalid", data: { source: path, size: stat.size } },
    );
  return {
    size: options.size ?? Math.ceil(stat.size / grain) * grain,
    write: (target) => {
      const file = openSync(source, "r");
      try {
        for (let offset = 0; offset < stat.size; offset += piece) {
          throwIfAborted(options.signal);
          const length = Math.min(piece, stat.size - offset);
          readRun(file, Buffer.from(source), { offset, length }, (at, wanted) => target.room(at, wanted));
        }
      } finally {
        closeSync(file);
      }
      return Promise.resolve();
    },
  };
}
