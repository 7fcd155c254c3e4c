/**
 * `imgtool mtree`: the manifest of a tree, as `casync mtree` prints it.
 * @module
 */
import type { Command } from "commander";
import { printLines } from "../print-lines.ts";
import { addTreeArguments, openTreeAt, type TreeOptions } from "../tree-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

export function command(): Command {
  const mtree = verbCommand("mtree", "Print the manifest of an archive, index or directory in the format of mtree(5).");
  addTreeArguments(mtree);
  return mtree.action((location: string, path: string | undefined) =>
    runVerb(mtree, async ({ reporter, signal }) => {
      const { mtreeLines } = await import("@imgtool/sync");
      await using opened = await openTreeAt(location, path, mtree.opts<TreeOptions>(), reporter, signal);
      const lines = mtreeLines(opened.source, signal);
      await printLines(mtree.opts<{ readonly json?: boolean }>().json === true ? jsonLines(lines) : lines);
    }),
  );
}

async function* jsonLines(lines: AsyncIterable<string>): AsyncGenerator<string, void> {
  for await (const line of lines) yield JSON.stringify({ type: "mtree", line });
}
