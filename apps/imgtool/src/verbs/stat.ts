/**
 * `imgtool stat`: everything that an archive records of one node, as `casync stat` prints it.
 * @module
 */
import type { Command } from "commander";
import { addContentDigestOption, addTreeArguments, openTreeAt, type TreeOptions } from "../tree-options.ts";
import { runVerb, verbCommand } from "../verb.ts";

export function command(): Command {
  const stat = verbCommand("stat", "Show everything that an archive, index or directory records of one path.");
  addContentDigestOption(addTreeArguments(stat));
  return stat.action((location: string, path: string | undefined) =>
    runVerb(stat, async ({ reporter, signal }) => {
      const { formatStatus, statTree } = await import("@imgtool/sync");
      const options = stat.opts<TreeOptions & { readonly contentDigest: boolean }>();
      await using opened = await openTreeAt(location, path, options, reporter, signal, true);
      const status = await statTree(opened.source, { contentDigests: options.contentDigest, signal });
      const { metadata, content } = status.node;
      const data = {
        path: status.path.toString("utf8"),
        kind: content.kind,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: String(metadata.mtime),
        offset: status.offset,
        ...("size" in content ? { size: content.size } : {}),
        ...(status.digest === undefined ? {} : { digest: status.digest }),
        ...(status.nodeDigest === undefined ? {} : { nodeDigest: status.nodeDigest }),
      };
      reporter.result(data, formatStatus(status));
    }),
  );
}
