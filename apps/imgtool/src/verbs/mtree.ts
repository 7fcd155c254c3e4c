/**
 * `imgtool mtree`: the manifest of a tree, as `casync mtree` prints it.
 * @module
 */
import type { Command } from "commander";
import { printLines } from "../print-lines.ts";
import { addContentDigestOption, addTreeArguments, openTreeAt, type TreeOptions } from "../tree-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

interface MtreeVerbOptions extends TreeOptions {
  readonly contentDigest: boolean;
  readonly json?: boolean;
}

export function command(): Command {
  const mtree = verbCommand("mtree", "Print the manifest of an archive, index or directory in the format of mtree(5).");
  addContentDigestOption(addTreeArguments(mtree));
  return mtree.action((location: string, path: string | undefined) =>
    runVerb(mtree, async ({ reporter, signal }) => {
      const { mtreeLines } = await import("@imgtool/sync");
      const options = mtree.opts<MtreeVerbOptions>();
      const { contentDigest: contentDigests } = options;
      await using opened = await openTreeAt(location, path, options, reporter, signal, !contentDigests);
      const lines = mtreeLines(opened.source, { contentDigests, signal });
      await printLines(options.json === true ? jsonLines(lines) : lines);
    }),
  );
}

async function* jsonLines(lines: AsyncIterable<string>): AsyncGenerator<string, void> {
  for await (const line of lines) yield JSON.stringify({ type: "mtree", line });
}
