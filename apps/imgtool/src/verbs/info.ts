/**
 * `imgtool info`, also `inspect`: what indexes, archives, directories and stores consist of, and what
 * indexes share.
 * @module
 */
import { type Command, Option } from "commander";
import { addStoreOptions, addTransferOptions, type NetworkOptions, type StoreOptions } from "../chunk-options.ts";
import { indexLines, type StoreRow, storeLines, type TreeRow, treeLines } from "../info/lines.ts";
import { indexRows, storeRow, treeRow } from "../info/rows.ts";
import { type InfoWhat, infoWhats, subjectOf } from "../info/subject.ts";
import { runVerb, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool info disk.caibx
  imgtool info v1.caibx v2.caibx v3.caibx      what each version has that no other has
  imgtool info tree.catar                      how many files, how large, and what is recorded of them
  imgtool info default.castr                   how many chunks, how large, how compressed
  imgtool info default.castr *.caibx           and how much of the store the indexes need

Of an archive at a URL only the entries are fetched. Directories with a name that ends with .castr, or
with nothing but folders of chunks in them, are stores; so are URLs with another name than an index or
an archive has. --what tells otherwise.`;

interface InfoOptions extends StoreOptions, NetworkOptions {
  readonly what?: InfoWhat;
}

export function command(): Command {
  const info = verbCommand("info", "Show the sizes of indexes, archives, directories and stores, and what is shared.")
    .argument("<source...>", ".caibx, .caidx and .catar, paths or URLs; directories; stores; - for an archive")
    .addOption(new Option("--what <kind>", "what the sources are; their names tell otherwise").choices([...infoWhats]))
    .addHelpText("after", examples);
  addTransferOptions(addStoreOptions(info));
  return info.action((locations: readonly string[]) =>
    runVerb(info, async ({ reporter, signal }) => {
      const options = info.opts<InfoOptions>();
      const task = { options, reporter, signal };
      const subjects = locations.map((location) => ({ location, subject: subjectOf(location, options.what) }));
      const indexes = subjects.filter(({ subject }) => subject === "index").map(({ location }) => location);
      const { rows, opened, ...all } = await indexRows(indexes, task);
      const trees: TreeRow[] = [];
      const stores: StoreRow[] = [];
      for (const { location, subject } of subjects) {
        if (subject === "store") stores.push(await storeRow(location, opened, task));
        else if (subject !== "index") trees.push(await treeRow(location, subject, task));
      }
      const lines = [...indexLines(rows, all), ...trees.flatMap(treeLines), ...stores.flatMap(storeLines)];
      reporter.result({ indexes: rows, ...all, trees, stores }, lines.join("\n"));
    }),
  );
}
