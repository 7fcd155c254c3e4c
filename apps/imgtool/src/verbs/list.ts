/**
 * `imgtool list`: the paths in an archive, as `casync list` prints them.
 * @module
 */
import type { TreeSource } from "@imgtool/sync";
import type { Command } from "commander";
import { yesNo } from "../parse.ts";
import { printLines } from "../print-lines.ts";
import { addTreeArguments, openTreeAt, type TreeOptions } from "../tree-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

interface ListVerbOptions extends TreeOptions {
  readonly recursive: boolean;
  readonly json?: boolean;
}

export function command(): Command {
  const list = verbCommand("list", "List the paths in an archive, index or directory, with their types and modes.");
  addTreeArguments(list).option("--recursive <yes|no>", "list what is in subdirectories, too", yesNo, true);
  return list.action((location: string, path: string | undefined) =>
    runVerb(list, async ({ reporter, signal }) => {
      const options = list.opts<ListVerbOptions>();
      await using opened = await openTreeAt(location, path, options, reporter, signal, true);
      await printLines(lines(opened.source, options, signal));
    }),
  );
}

async function* lines(source: TreeSource, options: ListVerbOptions, signal: AbortSignal): AsyncGenerator<string> {
  const { formatListLine, formatMode, listTree } = await import("@imgtool/sync");
  for await (const listed of listTree(source, { recursive: options.recursive, signal })) {
    if (options.json !== true) yield formatListLine(listed);
    else yield JSON.stringify({ type: "node", path: listed.path.toString("utf8"), mode: formatMode(listed.node) });
  }
}
