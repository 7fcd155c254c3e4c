/**
 * `imgtool publish [DEST]`: puts what the build record names into a chunk store.
 * @module
 */
import { dirname, join } from "node:path";
import { formatSize } from "@imgtool/core";
import type { PublishArtifact, PublishedArtifact } from "@imgtool/publish";

import { type Compression, compressions } from "@imgtool/store";
import { type Command, Option } from "commander";
import { becomeRootIfPossible } from "../become-root.ts";
import { yesNo } from "../parse.ts";
import { projectCommand, requireConfig } from "../project.ts";
import { runVerb } from "../verb.ts";

interface PublishVerbOptions {
  readonly store?: string;
  readonly compression?: Compression;
  readonly durable: boolean;
}

export function command(): Command {
  const project = projectCommand("publish", "Put the built image into a chunk store and say what the update costs.");
  const { command: publish } = project;
  publish
    .argument("[destination]", "directory for the indexes; published/ in the output directory otherwise")
    .option("--store <path>", "the chunk store; default.castr in the destination otherwise")
    .addOption(new Option("--compression <codec>", "compression of new chunks").choices([...compressions]))
    .option("--durable <yes|no>", "flush chunks to the disk before the index names them", yesNo, true);
  return publish.action((destination: string | undefined) =>
    runVerb(publish, async ({ reporter, signal }) => {
      // An image that is a directory has the owners and the secrets of the namespace that it was built in.
      await becomeRootIfPossible();
      const config = requireConfig(project, reporter);
      const builder = await import("@imgtool/builder");
      const publisher = await import("@imgtool/publish");
      const recordPath = builder.buildRecordPath(config);
      const record = await builder.readBuildRecord(recordPath);
      const options = publish.opts<PublishVerbOptions>();
      const folder = dirname(recordPath);
      const artifacts = record.artifacts.map(({ kind, path }): PublishArtifact => ({
        kind: publishKind[kind],
        path: join(folder, path),
        name: path,
      }));
      const result = await publisher.publish({
        family: record.imageId ?? record.output,
        name: record.output,
        version: record.imageVersion,
        artifacts: [...artifacts, { kind: "file", path: recordPath, name: `${record.output}.build.json` }],
        destination: destination ?? join(config.outputDirectory, "published"),
        store: options.store,
        compression: options.compression,
        durable: options.durable,
        progress: reporter,
        signal,
      });
      reporter.result(
        { ...result },
        [
          ...result.artifacts.map(artifactText),
          ...(result.changed ? [] : ["nothing new: this version is published already"]),
        ].join("\n"),
      );
    }),
  );
}

/** Images become chunks; the small files that describe them are copied as they are. */
const publishKind = {
  disk: "blob",
  tar: "blob",
  cpio: "blob",
  directory: "tree",
  roothash: "file",
  "roothash-signature": "file",
  manifest: "file",
  sbom: "file",
  checksums: "file",
  "checksums-signature": "file",
  uki: "blob",
  kernel: "blob",
  initrd: "blob",
  "kernel-modules-initrd": "blob",
  partition: "blob",
  "os-release": "file",
  "repart-definitions": "tree",
  other: "file",
} as const;

function artifactText({ file, kind, size, chunks, newChunks, newBytes, update }: PublishedArtifact): string {
  if (kind === "file") return `${file}  ${formatSize(size)}`;
  const stored = `${file}  ${formatSize(size)} in ${chunks} chunks, ${newChunks} new (${formatSize(newBytes)} stored)`;
  if (update === undefined) return stored;
  const share = size === 0 ? 0 : (update.storedBytes / size) * 100;
  return `${stored}\n  update from ${update.from}: ${update.newChunks} chunks, ${formatSize(update.storedBytes)} to fetch (${share.toFixed(1)} % of the image)`;
}
