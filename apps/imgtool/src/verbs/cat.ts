/**
 * `imgtool cat`: a published blob, a part of it, or a file of an archive, on standard output. Only the
 * chunks that it needs are fetched.
 * @module
 */
import { ConfigError, parseSize } from "@imgtool/core";
import { shownLocation } from "@imgtool/store";
import type { Command } from "commander";
import { targetOf } from "../chunk-options.ts";
import { openIndex } from "../open-source.ts";
import { wrapped } from "../parse.ts";
import { writeStandardOutput } from "../standard-output.ts";
import { addTreeArguments, openTreeAt, type TreeOptions } from "../tree-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

interface CatOptions extends TreeOptions {
  readonly offset: number;
  readonly length?: number;
}

const examples = `
Examples:
  imgtool cat disk.caibx >disk.raw
  imgtool cat --offset=1M --length=512 disk.caibx | xxd
  imgtool cat tree.caidx etc/os-release`;

export function command(): Command {
  const cat = verbCommand("cat", "Print what an index describes to standard output.");
  addTreeArguments(cat, ".caibx, .caidx or .catar", ["archive", "archive-index", "blob-index"])
    .option("--offset <bytes>", "where to begin; K, M and G allowed", size, 0)
    .option("--length <bytes>", "how much to print; K, M and G allowed", size)
    .addHelpText("after", examples);
  return cat.action((location: string, path: string | undefined) =>
    runVerb(cat, async ({ reporter, signal }) => {
      const options = cat.opts<CatOptions>();
      const kind = targetOf(location, options.what);
      if (kind === "blob-index" && path === undefined) {
        const { ImageReader } = await import("@imgtool/mount");
        const { ChunkSource } = await import("@imgtool/sync");
        await using opened = await openIndex(location, options, reporter, signal);
        const image = new ImageReader(new ChunkSource(opened), { signal });
        await writeStandardOutput(pieces(image, options));
        return;
      }
      if (path === undefined || kind === "other" || kind === "blob-index") {
        throw new ConfigError(
          `cannot print ${shownLocation(location)}: expected a .caibx, or a file in a .caidx or .catar`,
          {
            code: "not-printable",
            hint: "imgtool cat disk.caibx, or imgtool cat tree.caidx etc/hostname",
          },
        );
      }
      const { archiveEvents } = await import("@imgtool/sync");
      await using opened = await openTreeAt(location, path, options, reporter, signal);
      const { source } = opened;
      if (!("subtree" in source) || source.subtree.kind !== "file") {
        throw new ConfigError(`${path} in ${shownLocation(location)} is no file`, {
          code: "not-printable",
          hint: "imgtool list shows what there is",
          data: { path },
        });
      }
      const content = async function* (): AsyncGenerator<Uint8Array, void> {
        for await (const event of archiveEvents(source, signal)) if (event.type === "payload") yield event.bytes;
      };
      await writeStandardOutput(slice(content(), options));
    }),
  );
}

const pieceSize: number = 1024 ** 2;

async function* pieces(
  image: { readonly size: number; read(offset: number, length: number): Promise<Uint8Array> },
  { offset, length = Infinity }: CatOptions,
): AsyncGenerator<Uint8Array, void> {
  const end = Math.min(image.size, offset + length);
  for (let at = offset; at < end; at += pieceSize) yield await image.read(at, Math.min(pieceSize, end - at));
}

async function* slice(
  content: AsyncIterable<Uint8Array>,
  { offset, length = Infinity }: CatOptions,
): AsyncGenerator<Uint8Array, void> {
  let at = 0;
  for await (const bytes of content) {
    const part = bytes.subarray(Math.max(offset - at, 0), Math.max(offset + length - at, 0));
    at += bytes.length;
    // What is written may be waited for after the next step: a copy.
    if (part.length > 0) yield new Uint8Array(part);
    if (at >= offset + length) return;
  }
}

function size(text: string): number {
  return wrapped(() => parseSize(text));
}
