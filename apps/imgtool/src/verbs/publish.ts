/**
 * `imgtool publish [DEST]`: puts what the build record names into a chunk store.
 * @module
 */
import { dirname, join } from "node:path";
import { formatSize } from "@imgtool/core";
import type { PublishArtifact, PublishedArtifact } from "@imgtool/publish";

import { type Compression, compressions, readStoreKey } from "@imgtool/store";
import { type Command, Option } from "commander";
import { becomeRootIfPossible } from "../become-root.ts";
import { addTransferOptions, networkAccess, type NetworkOptions } from "../chunk-options.ts";
import { yesNo } from "../parse.ts";
import { projectCommand, requireBuiltProject } from "../project.ts";
import { runVerb } from "../verb.ts";

interface PublishVerbOptions extends NetworkOptions {
  readonly store?: string;
  readonly compression?: Compression;
  readonly durable?: boolean;
  readonly storeKey?: string;
}

export function command(): Command {
  const project = projectCommand("publish", "Put the built image into a chunk store and say what the update costs.");
  const { command: publish } = project;
  publish
    .argument(
      "[destination]",
      "directory for the indexes, or the URL of a folder (s3, gs, azure, oci, sftp, ftp, ftps); published/ in the output directory otherwise",
    )
    .option("--store <location>", "the chunk store: a path or a URL; default.castr in the destination otherwise")
    .option("--store-key <file>", "encrypt chunks and indexes with this key: see imgtool genkey --store")
    .addOption(new Option("--compression <codec>", "compression of new chunks").choices([...compressions]))
    .option("--durable <yes|no>", "flush chunks to the disk before the index names them; default: yes", yesNo);
  addTransferOptions(publish);
  return publish.action((destination: string | undefined) =>
    runVerb(publish, async ({ reporter, signal }) => {
      // An image that is a directory has the owners and the secrets of the namespace that it was built in.
      await becomeRootIfPossible();
      const { config, publish: own } = await requireBuiltProject(project, reporter, signal);
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
        destination: destination ?? own.destination ?? join(config.outputDirectory, "published"),
        // A store of the project is the one beside its destination, not beside another.
        store: options.store ?? (destination === undefined ? own.store : undefined),
        access: networkAccess(options),
        key: options.storeKey === undefined ? undefined : readStoreKey(options.storeKey),
        compression: options.compression ?? codecOf(own.compression),
        durable: options.durable ?? own.durable ?? true,
        progress: reporter,
        signal,
      });
      const files = result.artifacts.filter(({ kind }) => kind === "file").length;
      if (options.storeKey !== undefined && files > 0)
        reporter.log("warning", `${files} small files and the version list beside the indexes are not encrypted`);
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

function codecOf(name: string | undefined): Compression | undefined {
  return compressions.find((codec) => codec === name);
}

/** Images become chunks; the small files that describe them are copied as they are. */
const publishKind = {
  disk: "blob",
  tar: "blob",
  cpio: "blob",
  directory: "tree",
  roothash: "file",
  "roothash-signature": "file",
  "nspawn-settings": "file",
  manifest: "file",
  sbom: "file",
  checksums: "file",
  "checksums-signature": "file",
  uki: "blob",
  addon: "blob",
  kernel: "blob",
  initrd: "blob",
  "kernel-modules-initrd": "blob",
  partition: "blob",
  "os-release": "file",
  pcrs: "file",
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
